//! How large a change is.

use hexz_resolve::FileKind;
use hexz_resolve::View;
use hexz_resolve::report::{Change, ChangeKind};

/// The size beside a letter: bytes of the file's content that are new or differ, of a file that
/// went those that went with it. `None` where that is no matter of content.
#[must_use]
pub fn content_bytes(change: &Change) -> Option<u64> {
    let regular = |a: &hexz_resolve::Attributes| (a.kind == FileKind::File).then_some(a.size);
    if change.content_bytes.is_some() {
        return change.content_bytes.filter(|bytes| *bytes > 0);
    }
    match change.change {
        ChangeKind::Added => change.merged.as_ref().and_then(regular),
        ChangeKind::Deleted => change.base.as_ref().and_then(regular),
        ChangeKind::Modified | ChangeKind::Type if change.kind == FileKind::File => {
            Some(written_bytes(change)).filter(|sum| *sum > 0)
        }
        _ => None,
    }
}

/// Bytes of changed blocks that are the file's now and differ from what lay there.
#[must_use]
pub fn written_bytes(change: &Change) -> u64 {
    let now = change.ranges.iter().filter(|r| r.view == View::Merged);
    now.map(|r| r.length).sum()
}
