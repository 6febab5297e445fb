//! Changes that a person wants to hear of first.

mod rules;

use std::sync::LazyLock;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use hexz_resolve::report::{Change, ChangeKind};
use hexz_resolve::{Attributes, FileKind};

use rules::{RULES, When};

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const EXECUTE: u32 = 0o111;

/// The patterns of all rules, and the rule of each.
struct Compiled {
    set: GlobSet,
    rule_of: Vec<usize>,
}

static UNIX: LazyLock<Compiled> = LazyLock::new(|| compile(false));
static WINDOWS: LazyLock<Compiled> = LazyLock::new(|| compile(true));

fn compile(windows: bool) -> Compiled {
    let mut set = GlobSetBuilder::new();
    let mut rule_of = Vec::new();
    for (index, rule) in RULES.iter().enumerate() {
        if rule.windows != windows {
            continue;
        }
        for glob in rule.globs {
            let glob = GlobBuilder::new(glob)
                .literal_separator(true)
                .case_insensitive(windows)
                .build();
            // A pattern of ours that is none would be met by the test below.
            if let Ok(glob) = glob {
                set.add(glob);
                rule_of.push(index);
            }
        }
    }
    Compiled {
        set: set.build().unwrap_or_default(),
        rule_of,
    }
}

/// Why a change is notable, if it is. `path` is where the guest sees it, `filesystem` what it lies
/// on.
#[must_use]
pub(crate) fn notable(
    change: &Change,
    path: &[u8],
    filesystem: Option<&str>,
) -> Option<&'static str> {
    if only_times(change) {
        return None;
    }
    by_attributes(change).or_else(|| {
        let windows = matches!(filesystem, Some("ntfs" | "exfat" | "vfat" | "fat"));
        let own = if windows { &WINDOWS } else { &UNIX };
        // An EFI system partition is a FAT, and is read by either rules.
        let fat = windows && filesystem != Some("ntfs");
        by_path(change, path, own).or_else(|| fat.then(|| by_path(change, path, &UNIX)).flatten())
    })
}

/// The order in which reasons are shown: what matters wherever it lies, then that of the rules.
pub(crate) fn rank(reason: &str) -> usize {
    let rule = RULES.iter().position(|rule| rule.reason == reason);
    rule.map_or(0, |rule| rule + 1)
}

fn by_path(change: &Change, path: &[u8], rules: &Compiled) -> Option<&'static str> {
    let mut paths = vec![path];
    paths.extend(change.from.as_deref());
    let found = paths.into_iter().flat_map(|path| {
        let candidate = Candidate::from_bytes(path);
        rules.set.matches_candidate(&candidate)
    });
    let rule = found.filter_map(|glob| rules.rule_of.get(glob)).min()?;
    let rule = RULES.get(*rule)?;
    let holds = match rule.when {
        When::Always => !is_bare_directory(change),
        When::Executable => is_new_program(change),
    };
    holds.then_some(rule.reason)
}

/// A directory whose names differ, or its times: its children speak for themselves.
fn is_bare_directory(change: &Change) -> bool {
    change.kind == FileKind::Directory
        && !change
            .attributes
            .iter()
            .any(|a| matches!(*a, "mode" | "uid" | "gid" | "xattr"))
}

fn is_new_program(change: &Change) -> bool {
    let came = matches!(
        change.change,
        ChangeKind::Added | ChangeKind::Renamed | ChangeKind::Type
    );
    let now = change.merged.as_ref();
    let executable = now.and_then(|a| a.mode).is_some_and(|m| m & EXECUTE != 0);
    let changed = came || change.content_changed || change.attributes.contains(&"mode");
    change.kind == FileKind::File && executable && changed
}

/// Whether nothing but times and counts differs.
fn only_times(change: &Change) -> bool {
    let quiet = |a: &&str| matches!(*a, "atime" | "ctime" | "mtime" | "btime" | "nlink");
    change.change == ChangeKind::Metadata && !change.replaced && change.attributes.iter().all(quiet)
}

/// What matters wherever it lies.
fn by_attributes(change: &Change) -> Option<&'static str> {
    let (then, now) = (change.base.as_ref(), change.merged.as_ref());
    let now = now?;
    let differs = change.content_changed || then.is_none();
    let bits = |a: &Attributes| a.mode.unwrap_or_default();
    let gained = |bit: u32| {
        bits(now) & bit != 0 && (differs || then.is_none_or(|then| bits(then) & bit == 0))
    };
    if change.kind == FileKind::File && gained(SETUID) {
        return Some("runs as its owner (setuid)");
    }
    let group_execute = bits(now) & 0o10 != 0;
    if change.kind == FileKind::File && group_execute && gained(SETGID) {
        return Some("runs as its group (setgid)");
    }
    let capability = |a: &Attributes| {
        let mut all = a.xattrs.iter();
        all.find(|x| x.name.as_bytes() == b"security.capability")
            .cloned()
    };
    if capability(now).is_some() && (differs || then.and_then(capability) != capability(now)) {
        return Some("runs with capabilities");
    }
    let device = matches!(now.kind, FileKind::BlockDevice | FileKind::CharDevice);
    // An overlay filesystem marks what it deleted with a device 0:0.
    if device && then.is_none_or(|then| then.kind != now.kind) && now.rdev != Some(0) {
        return Some("a device");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        for rule in RULES {
            for glob in rule.globs {
                assert!(globset::Glob::new(glob).is_ok(), "{glob}");
            }
        }
        let count = |windows| -> usize {
            let rules = RULES.iter().filter(|r| r.windows == windows);
            rules.map(|r| r.globs.len()).sum()
        };
        assert_eq!(UNIX.set.len(), count(false));
        assert_eq!(WINDOWS.set.len(), count(true));
    }

    #[test]
    fn reasons_have_one_place_each() {
        for (n, rule) in RULES.iter().enumerate() {
            let earlier = RULES[..n].iter();
            let same = earlier.filter(|r| r.reason == rule.reason && r.windows == rule.windows);
            assert_eq!(same.count(), 0, "{}", rule.reason);
        }
    }
}
