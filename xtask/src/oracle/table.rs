//! The result as a page of the documentation.

use std::fmt::Write as _;

use super::Subject;
use super::case::Row;

/// The table of `rows`.
pub(crate) fn markdown(subject: &dyn Subject, rows: &[Row]) -> String {
    let name = subject.name();
    let mut page = format!(
        "# {name}: the report against the kernel\n\n\
         Made by `cargo xtask oracle {name}`. Each row is one pair of disks: seeded random changes \
         on a filesystem of the given mix, copied after a clean unmount or while it was mounted \
         (its newest metadata then is in the journal only). Changes are those that the kernel \
         shows between the two mounted trees; missing, spurious and wrong records of the report \
         are counted against them. Extents are pieces of data compared with FIEMAP, in both \
         directions. Sums are exact when the classes add up to all bytes of the overlay.\n\n\
         | mix | seed | state | blocks | transactions | changes | missing | spurious | wrong | \
         extents | misplaced | unresolved | sums |\n\
         |---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
    );
    if !subject.note().is_empty() {
        page = page.replacen("| mix |", &format!("{}\n\n| mix |", subject.note()), 1);
    }
    for row in rows {
        let state = if row.live { "live" } else { "clean" };
        let sums = if row.sums_exact { "exact" } else { "wrong" };
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "| {} | {} | {state} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {sums} |",
            row.mix,
            row.seed,
            row.blocks,
            row.transactions,
            row.changes,
            row.missing,
            row.spurious,
            row.wrong,
            row.extents,
            row.misplaced,
            row.unresolved,
        );
    }
    page.push_str("\nThe mixes:\n\n");
    for mix in subject.mixes() {
        let _ = writeln!(
            page,
            "- `{}`: `{}`, mounted `{}`{}",
            mix.name,
            mix.format.join(" "),
            mix.mount,
            if mix.start == 0 {
                ""
            } else {
                ", in a partition at sector 63"
            },
        );
    }
    page
}
