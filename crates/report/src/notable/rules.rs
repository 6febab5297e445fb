//! The rules, as data: what a person wants to hear of first, and why.

/// What must hold of a change, beside its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Nothing more.
    Always,
    /// A regular file that came, or whose content or mode changed, and that may be executed.
    Executable,
}

/// Paths that matter, and why.
pub(super) struct Rule {
    /// Why it matters: a few words.
    pub(super) reason: &'static str,
    /// Patterns of whole paths as the guest sees them; `*` stays within a name.
    pub(super) globs: &'static [&'static str],
    pub(super) when: When,
    /// Of a filesystem of Windows, whose names know no case.
    pub(super) windows: bool,
}

const fn unix(reason: &'static str, globs: &'static [&'static str]) -> Rule {
    Rule {
        reason,
        globs,
        when: When::Always,
        windows: false,
    }
}

const fn windows(reason: &'static str, globs: &'static [&'static str]) -> Rule {
    Rule {
        reason,
        globs,
        when: When::Always,
        windows: true,
    }
}

/// The first rule that a change meets gives the reason.
pub(super) const RULES: &[Rule] = &[
    unix(
        "accounts",
        &[
            "/etc/passwd",
            "/etc/group",
            "/etc/subuid",
            "/etc/subgid",
            "/etc/login.defs",
        ],
    ),
    unix(
        "passwords",
        &["/etc/shadow", "/etc/gshadow", "/etc/security/opasswd"],
    ),
    unix("sudo rights", &["/etc/sudoers", "/etc/sudoers.d/**"]),
    unix(
        "polkit rights",
        &[
            "/etc/polkit-1/rules.d/**",
            "/etc/polkit-1/localauthority/**",
        ],
    ),
    unix(
        "login keys",
        &["/{root,home/*}/.ssh/**", "/etc/ssh/authorized_keys*/**"],
    ),
    unix(
        "SSH host keys",
        &["/etc/ssh/ssh_host_*", "/etc/ssh/*_ca*.pub"],
    ),
    unix(
        "SSH server",
        &["/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/**"],
    ),
    unix(
        "login checks (PAM)",
        &[
            "/etc/pam.d/**",
            "/etc/pam.conf",
            "/etc/security/*.conf",
            "/lib/security/pam_*.so",
            "/{usr/lib,lib,usr/lib64,lib64}{,/*}/security/pam_*.so",
        ],
    ),
    unix(
        "code loaded into every program",
        &[
            "/etc/ld.so.preload",
            "/etc/ld.so.conf",
            "/etc/ld.so.conf.d/**",
        ],
    ),
    unix(
        "scheduled tasks (cron, at)",
        &[
            "/etc/crontab",
            "/etc/anacrontab",
            "/etc/cron*/**",
            "/var/spool/cron/**",
            "/var/spool/at/**",
        ],
    ),
    unix(
        "systemd timers",
        &[
            "/{etc,run,usr/lib,lib,usr/local/lib}/systemd/{system,user}/**/*.timer",
            "/{etc,run,usr/lib,lib}/systemd/{system,user}/*.timer",
        ],
    ),
    unix(
        "systemd units",
        &[
            "/etc/systemd/{system,user}/**",
            "/{usr/lib,lib,usr/local/lib}/systemd/{system,user}/**",
            "/{root,home/*}/.config/systemd/user/**",
            "/etc/systemd/*.conf",
        ],
    ),
    unix(
        "start scripts",
        &[
            "/etc/init.d/**",
            "/etc/rc.local",
            "/etc/rc*.d/**",
            "/etc/inittab",
            "/etc/profile",
            "/etc/profile.d/**",
            "/etc/bash.bashrc",
            "/etc/environment",
            "/etc/xdg/autostart/**",
            "/etc/update-motd.d/**",
            "/{root,home/*}/.{bashrc,bash_profile,profile,zshrc}",
            "/{root,home/*}/.config/autostart/**",
        ],
    ),
    unix(
        "kernel command line and boot loader",
        &[
            "/etc/default/grub",
            "/etc/default/grub.d/**",
            "/etc/grub.d/**",
            "/etc/kernel/cmdline",
            "/boot/grub*/grub.cfg",
            "/boot/grub*/grubenv",
            "/boot/loader/**",
            "/boot/efi/loader/**",
            "/boot/extlinux/**",
            "/boot/{cmdline,config}.txt",
        ],
    ),
    unix(
        "boot files",
        &[
            "/boot/vmlinu*",
            "/boot/initr*",
            "/boot/initramfs*",
            "/boot/System.map*",
            "/{,boot/,boot/efi/,efi/}EFI/**/*.efi",
            "/{,boot/,boot/efi/,efi/}EFI/**/grub.cfg",
        ],
    ),
    unix(
        "kernel modules and settings",
        &[
            "/etc/modules",
            "/etc/modules-load.d/**",
            "/etc/modprobe.d/**",
            "/etc/sysctl.conf",
            "/etc/sysctl.d/**",
            "/etc/udev/rules.d/**",
        ],
    ),
    unix("mounts", &["/etc/fstab", "/etc/crypttab", "/etc/exports"]),
    unix(
        "names of hosts",
        &[
            "/etc/hosts",
            "/etc/hostname",
            "/etc/resolv.conf",
            "/etc/nsswitch.conf",
        ],
    ),
    unix(
        "network and firewall",
        &[
            "/etc/network/interfaces",
            "/etc/network/interfaces.d/**",
            "/etc/netplan/**",
            "/etc/NetworkManager/system-connections/**",
            "/etc/nftables.conf",
            "/etc/iptables/**",
            "/etc/ufw/*.rules",
            "/etc/hosts.{allow,deny}",
        ],
    ),
    unix(
        "package sources and their keys",
        &[
            "/etc/apt/sources.list",
            "/etc/apt/sources.list.d/**",
            "/etc/apt/trusted.gpg*",
            "/etc/apt/trusted.gpg.d/**",
            "/etc/apt/keyrings/**",
            "/etc/yum.repos.d/**",
            "/etc/pki/rpm-gpg/**",
        ],
    ),
    unix(
        "trusted certificates",
        &[
            "/usr/local/share/ca-certificates/**",
            "/etc/pki/ca-trust/source/**",
            "/etc/ssl/private/**",
        ],
    ),
    Rule {
        reason: "a program in a place for temporary files",
        globs: &["/{tmp,var/tmp,dev/shm,run/shm}/**"],
        when: When::Executable,
        windows: false,
    },
    Rule {
        reason: "a shell in an odd place",
        globs: &[
            "/{home,root,var,opt,srv,etc,mnt,media,dev}/**/{sh,bash,dash,zsh,ksh,fish,busybox,nc,ncat,socat}",
        ],
        when: When::Executable,
        windows: false,
    },
    windows(
        "accounts and passwords",
        &["/Windows/System32/config/{SAM,SECURITY}"],
    ),
    windows(
        "services, drivers and run keys (registry hives)",
        &["/Windows/System32/config/{SYSTEM,SOFTWARE}"],
    ),
    windows(
        "run keys of a user (registry hive)",
        &[
            "/Users/*/NTUSER.DAT",
            "/Users/*/AppData/Local/Microsoft/Windows/UsrClass.dat",
        ],
    ),
    windows(
        "scheduled tasks",
        &["/Windows/System32/Tasks/**", "/Windows/Tasks/**"],
    ),
    windows("drivers", &["/Windows/System32/drivers/**"]),
    windows(
        "programs that start with a session",
        &[
            "/ProgramData/Microsoft/Windows/Start Menu/Programs/StartUp/**",
            "/Users/*/AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Startup/**",
        ],
    ),
    windows(
        "policies",
        &[
            "/Windows/System32/GroupPolicy/**",
            "/Windows/System32/drivers/etc/hosts",
        ],
    ),
    windows(
        "boot files",
        &["/Boot/BCD", "/bootmgr", "/EFI/Microsoft/Boot/**"],
    ),
];
