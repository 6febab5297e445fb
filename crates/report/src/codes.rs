//! All stable codes of findings, with what they mean and what to do.

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its stable name.
    pub code: &'static str,
    /// `info`, `warning` or `error`.
    pub severity: &'static str,
    /// What was found.
    pub meaning: &'static str,
    /// What it does to `complete`: `false`, or `none`.
    pub effect: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const fn made(
    code: &'static str,
    severity: &'static str,
    meaning: &'static str,
    effect: &'static str,
    remedy: &'static str,
) -> Code {
    Code {
        code,
        severity,
        meaning,
        effect,
        remedy,
    }
}

/// All codes that stand in the source, by name: a line each of `codes.txt`, with the fields of
/// [`Code`] between bars.
pub fn codes() -> impl Iterator<Item = Code> {
    include_str!("codes.txt").lines().filter_map(|line| {
        let mut fields = line.split('|');
        let mut next = || fields.next();
        Some(Code {
            code: next()?,
            severity: next()?,
            meaning: next()?,
            effect: next()?,
            remedy: next()?,
        })
    })
}

/// Codes that are made of a kind and a structure: `corrupt-inode`, `io-extent-node`.
pub const KINDS: &[Code] = &[
    made(
        "io-*",
        "error",
        "Something could not be read: the rest of the name says which structure.",
        "false",
        "Copy the disk with a tool that retries (`ddrescue`), and ask about the copy.",
    ),
    made(
        "corrupt-*",
        "error",
        "A structure makes no sense; what depends on it is left out, and the rest stands.",
        "false",
        "Check a copy with the filesystem's own tool (`e2fsck -fn`, `xfs_repair -n`, `chkdsk`).",
    ),
    made(
        "unsupported-*",
        "error",
        "A structure is sound and of a kind that is not read; its bytes are unresolved.",
        "false",
        "See `docs/limits.md` for what is not done.",
    ),
    made(
        "limit-*",
        "error",
        "There is more of something than is looked at; what was found by then stands.",
        "false",
        "Narrow the question: `--volume`, or fewer blocks.",
    ),
    made(
        "*-more",
        "that of the code",
        "More findings of one code were left out than the hundred that are kept.",
        "that of the code",
        "See the code itself.",
    ),
];

/// What is known of `code`.
#[must_use]
pub fn explain(code: &str) -> Option<Code> {
    let exact = codes().find(|c| c.code == code);
    exact.or_else(|| {
        let made = KINDS.iter().find(|kind| {
            let (start, end) = kind.code.split_once('*').unwrap_or((kind.code, ""));
            code.starts_with(start) && code.ends_with(end)
        });
        made.copied()
    })
}

/// The page `docs/diagnostics.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Findings\n\n\
         Every finding has a stable code: `code` of a `diagnostic` record, and what \
         `hexz explain CODE` takes. This page is made from `crates/report/src/codes.txt` \
         (`cargo xtask docs`).\n\n\
         *Effect* is what it does to `complete` of the summary, and so to the exit status: \
         `false` makes the answer one that is not whole (3); `none` leaves it as it is. Every \
         finding of severity `error` makes it `false`.\n\n\
         | code | severity | meaning | effect | what to do |\n|---|---|---|---|---|\n",
    );
    for c in codes().chain(KINDS.iter().copied()) {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            c.code, c.severity, c.meaning, c.effect, c.remedy
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_told_once() {
        let all: Vec<Code> = codes().collect();
        assert!(all.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(all.len(), include_str!("codes.txt").lines().count());
    }

    #[test]
    fn every_error_makes_the_answer_one_that_is_not_whole() {
        for c in codes().filter(|c| c.severity == "error") {
            assert_eq!(c.effect, "false", "{}", c.code);
        }
    }

    #[test]
    fn made_codes_are_known() {
        assert_eq!(explain("corrupt-inode").map(|c| c.code), Some("corrupt-*"));
        assert_eq!(
            explain("ext4-checksum-more").map(|c| c.code),
            Some("*-more")
        );
        assert_eq!(explain("past-end").map(|c| c.code), Some("past-end"));
        assert_eq!(explain("nonsense"), None);
    }
}
