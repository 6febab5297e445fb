//! What to do about an error, where an option or another file would cure it.

/// Part of an error's text, and what to do then.
const HINTS: &[(&str, &str)] = &[
    (
        "there is no volume",
        "`hexz layout IMAGE` lists the volumes; --volume also takes a label, a UUID or a mount point",
    ),
    (
        "unsupported path: there is no",
        "`hexz ls IMAGE DIRECTORY` lists what is there; `hexz ls IMAGE -R` lists all",
    ),
    (
        "allow-backing",
        "if you trust the image: --allow-backing DIR lets it name files in DIR",
    ),
    (
        "not in the folder of",
        "if you trust the image: --allow-backing DIR lets it name files in DIR",
    ),
    (
        "is encrypted",
        "open it with its key first: `qemu-img convert --object secret,… -O raw`, `cryptsetup open`",
    ),
    (
        "is there and is no page",
        "the page is written to the FILE of --html; images are only read",
    ),
    (
        "no snapshot",
        "`qemu-img snapshot -l IMAGE` lists the snapshots of an image",
    ),
    (
        "its log is to be replayed",
        "shut its machine down, or convert the image: `qemu-img convert -O raw`",
    ),
    (
        "give --base IMAGE",
        "the disk before is the archive or image that the overlay was made over; HEXZ_BASE names it \
         for all calls",
    ),
    (
        "nothing to look for",
        "for example: `hexz owner IMAGE --lba 2048`; `hexz map IMAGE` says it for the whole disk",
    ),
    (
        "Permission denied",
        "block devices and images of guests are mostly root's: `sudo`, or ask for the group `disk`",
    ),
    (
        "it names no parent",
        "give the disk before with --base IMAGE",
    ),
    ("Too many open files", "raise the limit: `ulimit -n 4096`"),
];

/// What to do about an error with this text.
pub(crate) fn of(text: &str) -> Option<&'static str> {
    let hint = HINTS.iter().find(|(part, _)| text.contains(part));
    hint.map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_what_to_do() {
        assert!(of("unsupported volume: there is no volume \"p9\"").is_some());
        assert_eq!(of("disk on fire"), None);
        assert!(HINTS.iter().all(|(_, hint)| !hint.contains("  ")));
    }
}
