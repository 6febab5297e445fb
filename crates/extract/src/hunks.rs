//! The hunks of a unified diff, as `git diff` writes them.

use std::io::{self, Write};

use imara_diff::sources::byte_lines;
use imara_diff::{Algorithm, Diff, Hunk, InternedInput};

/// Lines of two files, and which of them differ.
pub(crate) struct Lines<'a> {
    input: InternedInput<&'a [u8]>,
    hunks: Vec<Hunk>,
}

/// Part of a hunk: lines of one side, or of both.
struct Group {
    before: std::ops::Range<u32>,
    after: std::ops::Range<u32>,
    hunks: Vec<Hunk>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(before: &'a [u8], after: &'a [u8]) -> Self {
        let input = InternedInput::new(byte_lines(before), byte_lines(after));
        let mut diff = Diff::compute(Algorithm::Histogram, &input);
        diff.postprocess_lines(&input);
        let hunks = diff.hunks().collect();
        Self { input, hunks }
    }

    /// How much of the two is equal, in percent of the longer one: what git calls similarity.
    pub(crate) fn similarity(&self) -> u64 {
        let (mut gone, mut come) = (0_u64, 0_u64);
        let bytes = |tokens: &[imara_diff::Token]| -> u64 {
            let lines = tokens.iter().map(|token| self.line(*token).len());
            lines.filter_map(|n| u64::try_from(n).ok()).sum()
        };
        for hunk in &self.hunks {
            gone = gone.saturating_add(bytes(part(&self.input.before, &hunk.before)));
            come = come.saturating_add(bytes(part(&self.input.after, &hunk.after)));
        }
        let (before, after) = (bytes(&self.input.before), bytes(&self.input.after));
        let same = before.abs_diff(gone).min(after.abs_diff(come));
        let longer = before.max(after);
        same.saturating_mul(100).checked_div(longer).unwrap_or(100)
    }

    fn line(&self, token: imara_diff::Token) -> &'a [u8] {
        self.input.interner[token]
    }

    /// Writes the hunks, each with up to `context` equal lines around it.
    pub(crate) fn write(&self, out: &mut dyn Write, context: u32) -> io::Result<()> {
        for group in self.groups(context) {
            self.group(out, &group)?;
        }
        Ok(())
    }

    /// Hunks with their context; those whose contexts touch are one.
    fn groups(&self, context: u32) -> Vec<Group> {
        let end = u32::try_from(self.input.before.len()).unwrap_or(u32::MAX);
        let mut groups: Vec<Group> = Vec::new();
        for hunk in &self.hunks {
            let lead = context.min(hunk.before.start);
            let from = hunk.before.start.saturating_sub(lead);
            match groups.last_mut() {
                Some(last) if last.before.end >= from => last.hunks.push(hunk.clone()),
                _ => groups.push(Group {
                    before: from..from,
                    after: hunk.after.start.saturating_sub(lead)..0,
                    hunks: vec![hunk.clone()],
                }),
            }
            if let Some(last) = groups.last_mut() {
                let trail = context.min(end.saturating_sub(hunk.before.end));
                last.before.end = hunk.before.end.saturating_add(trail);
                last.after.end = hunk.after.end.saturating_add(trail);
            }
        }
        groups
    }

    fn group(&self, out: &mut dyn Write, group: &Group) -> io::Result<()> {
        writeln!(
            out,
            "@@ -{} +{} @@",
            span(&group.before),
            span(&group.after)
        )?;
        let mut at = group.before.start;
        for hunk in &group.hunks {
            self.lines(
                out,
                b" ",
                part(&self.input.before, &(at..hunk.before.start)),
            )?;
            self.lines(out, b"-", part(&self.input.before, &hunk.before))?;
            self.lines(out, b"+", part(&self.input.after, &hunk.after))?;
            at = hunk.before.end;
        }
        self.lines(out, b" ", part(&self.input.before, &(at..group.before.end)))
    }

    fn lines(
        &self,
        out: &mut dyn Write,
        sign: &[u8],
        tokens: &[imara_diff::Token],
    ) -> io::Result<()> {
        for token in tokens {
            let line = self.line(*token);
            out.write_all(sign)?;
            out.write_all(line)?;
            if line.last() != Some(&b'\n') {
                out.write_all(b"\n\\ No newline at end of file\n")?;
            }
        }
        Ok(())
    }
}

fn part<'t>(
    tokens: &'t [imara_diff::Token],
    range: &std::ops::Range<u32>,
) -> &'t [imara_diff::Token] {
    let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    tokens
        .get(index(range.start)..index(range.end))
        .unwrap_or_default()
}

/// `START,LENGTH`, from 1; of no lines the one before, and of one line without the length.
fn span(range: &std::ops::Range<u32>) -> String {
    let length = range.end.saturating_sub(range.start);
    match length {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start.saturating_add(1)),
        _ => format!("{},{length}", range.start.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: &str, after: &str, context: u32) -> String {
        let mut out = Vec::new();
        Lines::new(before.as_bytes(), after.as_bytes())
            .write(&mut out, context)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hunks_are_those_of_git() {
        // git diff --no-index -U1
        assert_eq!(
            text("a\nb\nc\nd\n", "a\nB\nc\nd\n", 1),
            "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
        );
        assert_eq!(text("", "x\n", 3), "@@ -0,0 +1 @@\n+x\n");
        assert_eq!(text("x\n", "", 3), "@@ -1 +0,0 @@\n-x\n");
        assert_eq!(
            text("a", "a\n", 3),
            "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"
        );
        assert_eq!(
            text("1\n2\n3\n4\n5\n", "1\nx\n3\ny\n5\n", 0),
            "@@ -2 +2 @@\n-2\n+x\n@@ -4 +4 @@\n-4\n+y\n"
        );
        assert_eq!(
            text("1\n2\n3\n4\n5\n", "1\nx\n3\ny\n5\n", 1),
            "@@ -1,5 +1,5 @@\n 1\n-2\n+x\n 3\n-4\n+y\n 5\n"
        );
    }
}
