//! The formats and tables that Debian's tools make.

/// A format: its name here, and the commands that make it on `$D`, in a folder with a tree `t`.
pub(super) struct Maker {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
}

const fn maker(name: &'static str, script: &'static str) -> Maker {
    Maker { name, script }
}

/// Writes an image to the start of the device.
macro_rules! image {
    ($name:literal, $script:literal) => {
        maker(
            $name,
            concat!(
                "rm -f x; ",
                $script,
                " >&2; dd if=x of=$D conv=notrunc status=none"
            ),
        )
    };
}

pub(super) const MAKERS: &[Maker] = &[
    maker("ext2", "mke2fs -q -F -E nodiscard -L lab -t ext2 $D"),
    maker(
        "ext4",
        "mke2fs -q -F -E nodiscard -L lab -t ext4 -b 4096 $D",
    ),
    maker("ext4-1k", "mke2fs -q -F -E nodiscard -t ext4 -b 1024 $D"),
    maker("jbd", "mke2fs -q -F -E nodiscard -O journal_dev $D"),
    maker("xfs", "mkfs.xfs -K -q -f -L lab $D"),
    maker("ntfs", "mkntfs -q -F -f -L lab $D"),
    maker("swap", "mkswap -f -L lab $D"),
    maker("btrfs", "mkfs.btrfs -K -q -f -L lab $D"),
    maker("f2fs", "mkfs.f2fs -q -t 0 -f -l lab $D"),
    maker("fat12", "mkfs.vfat -n LAB -F 12 -s 128 $D 100000"),
    maker("fat16", "mkfs.vfat -n LAB -F 16 $D"),
    maker("fat32", "mkfs.vfat -n LAB -F 32 $D"),
    maker("exfat", "mkfs.exfat $D"),
    maker("jfs", "mkfs.jfs -q -L lab $D"),
    maker("reiserfs", "mkreiserfs -f -f -q -l lab $D"),
    maker("reiser4", "mkfs.reiser4 -f -y -L lab $D"),
    maker("nilfs2", "mkfs.nilfs2 -K -f -q -L lab $D"),
    maker("minix", "mkfs.minix $D"),
    maker("minix3", "mkfs.minix -3 $D"),
    maker("udf", "mkudffs -b 512 -l lab $D"),
    maker("gfs2", "mkfs.gfs2 -K -O -p lock_nolock $D"),
    maker(
        "ocfs2",
        "mkfs.ocfs2 -q -F --fs-feature-level=max-compat -M local -L lab $D",
    ),
    maker("bcache", "make-bcache --wipe-bcache -B $D"),
    maker(
        "luks1",
        "echo pw | cryptsetup -q luksFormat --pbkdf-force-iterations 1000 --type luks1 $D",
    ),
    maker(
        "luks2",
        "echo pw | cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label lab --type luks2 $D",
    ),
    maker("bfs", "mkfs.bfs $D"),
    maker("apfs", "mkapfs $D"),
    maker("drbd", "yes | drbdmeta --force 0 v08 $D internal create-md"),
    maker(
        "mbr",
        "printf 'label: dos\\nstart=65536,size=20480\\n' | sfdisk -q -w never -W never $D; mke2fs -q -F -E nodiscard,offset=33554432 $D 10M",
    ),
    maker(
        "gpt",
        "printf 'label: gpt\\nstart=65536,size=20480\\n' | sfdisk -q -w never -W never $D; mke2fs -q -F -E nodiscard,offset=33554432 $D 10M",
    ),
    image!("cramfs", "mkfs.cramfs -n lab t x"),
    image!("squashfs", "mksquashfs t x -quiet -no-progress"),
    image!("erofs", "mkfs.erofs x t"),
    image!("romfs", "genromfs -f x -d t -V lab"),
    image!("iso9660", "xorriso -as mkisofs -quiet -V LAB -o x t"),
    image!("ufs1", "makefs -t ffs -s 16m -o version=1 x t"),
    image!("ufs2", "makefs -t ffs -s 16m -o version=2 x t"),
];

/// A pair of which the second is not what is there, by intent. `*` is any.
pub(super) struct Exception {
    pub(super) first: &'static str,
    pub(super) second: &'static str,
    pub(super) why: &'static str,
}

impl Exception {
    pub(super) fn covers(&self, first: &str, second: &str) -> bool {
        let is = |rule: &str, name: &str| rule == "*" || rule == name;
        is(self.first, first) && is(self.second, second)
    }
}

/// All of them.
pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception {
        first: "*",
        second: "drbd",
        why: "what lies in front of its metadata is a DRBD's data, and is read as it lies",
    },
    Exception {
        first: "mbr",
        second: "nilfs2",
        why: "nothing tells which came later: neither writes where the other lies, and the partition still holds its ext2",
    },
    Exception {
        first: "drbd",
        second: "ext4",
        why: "the whole of its data is in front, and is read as it lies",
    },
];
