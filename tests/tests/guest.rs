//! Paths as the guest has them, where several volumes changed.

use hexz_acceptance::Case;

fn case() -> Case {
    Case::new(env!("CARGO_BIN_EXE_hexz-under-test"), "guest-mounts")
}

const DIFF: &str = "diff case.overlay --base base.img";

#[test]
fn machine_forms_name_the_volume() {
    let case = case();
    let names = case.hexz.text(&format!("{DIFF} --name-only"));
    let mut lines: Vec<&str> = names.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "p1:/config-local",
            "p1:/grub/grub.cfg",
            "p2:/etc/hosts",
            "p2:/srv/new",
        ]
    );
    // Of one volume there is nothing to tell apart.
    let one = case.hexz.text(&format!("{DIFF} --name-only --volume p1"));
    assert_eq!(one, "/config-local\n/grub/grub.cfg\n");
}

#[test]
fn people_see_paths_as_the_guest_does() {
    let case = case();
    let text = case.hexz.text(&format!("{DIFF} --files"));
    assert!(text.contains("  on /boot"), "{text}");
    assert!(text.contains("/boot/config-local"), "{text}");
    // A rule about the guest's path finds what lies on a volume of its own.
    let grub = text.lines().find(|l| l.contains("/boot/grub/grub.cfg"));
    let grub = grub.unwrap_or_else(|| panic!("{text}"));
    assert!(
        grub.ends_with("(kernel command line and boot loader)"),
        "{grub}"
    );
    let plain = case.hexz.text(&format!("{DIFF} --files --volume-paths"));
    assert!(!plain.contains("/boot/config-local"), "{plain}");
    assert!(plain.contains("  /config-local"), "{plain}");
}

#[test]
fn paths_are_found_however_they_are_written() {
    let case = case();
    let names = |more: &str| case.hexz.text(&format!("{DIFF} --name-only {more}"));
    let boot = "p1:/config-local\np1:/grub/grub.cfg\n";
    assert_eq!(names("-- /boot"), boot);
    assert_eq!(names("-- p1:/"), boot);
    assert_eq!(names("-- /grub"), "p1:/grub/grub.cfg\n");
    assert_eq!(names("--only /boot/config-*"), "p1:/config-local\n");
    assert_eq!(names("--exclude /boot --only *.cfg"), "");
    assert_eq!(names("--only hosts"), "p2:/etc/hosts\n");
    let report = case.hexz.report(&format!("{DIFF} --json --only *.cfg"));
    let found: Vec<&str> = report.changes.iter().map(|c| &*c.path).collect();
    assert_eq!(found, ["/grub/grub.cfg"]);
}

#[test]
fn a_volume_is_known_by_its_label_uuid_or_mount_point() {
    let case = case();
    for name in ["bootfs", "/boot", "p1"] {
        let text = case
            .hexz
            .text(&format!("{DIFF} --name-only --volume {name}"));
        assert_eq!(text, "/config-local\n/grub/grub.cfg\n", "{name}");
    }
    let uuid = "6E3F7B1C-0000-4000-8000-0000000000B2";
    let text = case
        .hexz
        .text(&format!("{DIFF} --name-only --volume {uuid}"));
    assert_eq!(text, "/etc/hosts\n/srv/new\n");
    let map = case.hexz.text("map base.img --json --volume bootfs");
    assert!(map.contains(r#""volume":"p1""#) && !map.contains(r#""volume":"p2""#));
    let output = case
        .hexz
        .run(&format!("{DIFF} --name-only --volume nothing"));
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("hexz: hint: "), "{errors}");
}
