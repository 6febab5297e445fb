//! The passes tell of the same filesystem.

use std::collections::{BTreeMap, BTreeSet};

use hexz_resolve::{Attributes, ByteRange, Claim, FileKey, FileKind, Link, Owner, RangeSet, Role};

use super::options::{Failures, Options};
use super::owners::{pieces, unsound};
use super::passes::Passes;

pub(super) fn check(options: &Options, sound: &Passes, out: &mut Failures) {
    let attributes: BTreeMap<FileKey, &Attributes> =
        sound.attributes.iter().map(|a| (a.key, a)).collect();
    if attributes.len() != sound.attributes.len() {
        out.push("attributes of one file come twice".to_owned());
    }
    names(options, sound, &attributes, out);
    owners(sound, &attributes, out);
    contents(sound, &attributes, out);
    tree(sound, out);
}

/// Links, entries and attributes.
fn names(
    options: &Options,
    sound: &Passes,
    attributes: &BTreeMap<FileKey, &Attributes>,
    out: &mut Failures,
) {
    let links: BTreeSet<&Link> = sound.links.iter().collect();
    let entries: BTreeSet<&Link> = sound.entries.iter().collect();
    let only = |a: &BTreeSet<&Link>, b: &BTreeSet<&Link>| {
        a.difference(b).next().map(|link| format!("{link:?}"))
    };
    out.extend(only(&links, &entries).map(|l| format!("in links and not in entries: {l}")));
    out.extend(only(&entries, &links).map(|l| format!("in entries and not in links: {l}")));
    let mut counts: BTreeMap<FileKey, u64> = BTreeMap::new();
    for link in &links {
        *counts.entry(link.child).or_default() += 1;
        match attributes.get(&link.parent) {
            Some(parent) if parent.kind.has_entries() => {}
            other => out.push(format!("the parent of {link:?} is no directory: {other:?}")),
        }
        if !attributes.contains_key(&link.child) {
            out.push(format!("no attributes for the child of {link:?}"));
        }
        let name = link.name.as_bytes();
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
            out.push(format!("not a name: {link:?}"));
        }
    }
    for file in attributes
        .values()
        .filter(|a| a.kind != FileKind::Directory)
    {
        if let (Some(count), Some(nlink), true) =
            (counts.get(&file.key), file.nlink, options.link_counts)
            && *count != nlink
        {
            out.push(format!(
                "{} has {count} links and a link count of {nlink}",
                file.shown()
            ));
        }
    }
    if !attributes.contains_key(&sound.root) {
        out.push("the root has no attributes".to_owned());
    }
}

/// Owners of bytes are files that exist, of the same generation.
fn owners(sound: &Passes, attributes: &BTreeMap<FileKey, &Attributes>, out: &mut Failures) {
    let owners: BTreeSet<(FileKey, Option<u64>)> = sound
        .claims
        .iter()
        .filter(|c| c.role != Role::InodeRecord)
        .filter_map(|c| Some((owner(c)?, c.generation)))
        .collect();
    for (owner, generation) in owners {
        let said = owner.shown(generation);
        match attributes.get(&owner) {
            Some(file) if generation.is_none() || file.generation == generation => {}
            Some(file) => {
                let text = format!("{said} in claims is {} in attributes", file.shown());
                out.push(text);
            }
            None => out.push(format!("{said} owns bytes and has no attributes")),
        }
    }
    let mut lineages = BTreeSet::new();
    for file in attributes.values().filter(|a| !a.lineage.is_none()) {
        if !lineages.insert((file.kind, &file.lineage)) {
            out.push(format!("{} has the lineage of another file", file.shown()));
        }
    }
}

fn owner(claim: &Claim) -> Option<FileKey> {
    match claim.owner {
        Owner::File(file) => Some(file),
        Owner::Extent(_) | Owner::Structure | Owner::Free => None,
    }
}

/// Claims and extents tell of the same data of the same files.
fn contents(sound: &Passes, attributes: &BTreeMap<FileKey, &Attributes>, out: &mut Failures) {
    let everything = RangeSet::from(ByteRange::new(0, u64::MAX));
    let plain = |claim: &&Claim| {
        let file = owner(claim).and_then(|f| attributes.get(&f));
        let plain = file.is_some_and(|a| a.reserved.is_none() && a.kind == FileKind::File);
        // What is a file's and stands at no place in it (the rest of a cluster) is no content.
        let content = matches!(claim.role, Role::Data | Role::Unwritten);
        plain && content && claim.file_offset.is_some()
    };
    // The detail word is for reports of regions.
    let bare = |claim: &Claim| claim.clone().detail("");
    let of = |claims: &[Claim]| -> Vec<Claim> { claims.iter().filter(plain).map(bare).collect() };
    let claimed = pieces(&of(&sound.claims), &everything);
    let extents = pieces(&of(&sound.extents), &everything);
    let missing = unsound(&extents, &claimed);
    out.extend(missing.map(|f| format!("a claim that is in no extent: {f}")));
    // The other way round content within a record may be claimed as that record only.
    let mut owned: BTreeMap<Owner, Vec<ByteRange>> = BTreeMap::new();
    for claim in &sound.claims {
        owned.entry(claim.owner).or_default().push(claim.range);
    }
    let owned: BTreeMap<Owner, RangeSet> = owned
        .into_iter()
        .map(|(owner, ranges)| (owner, ranges.into_iter().collect()))
        .collect();
    for claim in sound.extents.iter().filter(plain) {
        let mine = owned
            .get(&claim.owner)
            .map(|set| set.clipped(claim.range).len());
        if mine != Some(claim.range.len()) {
            out.push(format!("an extent that its file does not claim: {claim:?}"));
        }
    }
    rising(&sound.extents, out);
}

/// Extents of one file and stream come in rising file offset and do not overlap in the file.
fn rising(extents: &[Claim], out: &mut Failures) {
    let mut last = BTreeMap::new();
    for claim in extents {
        if let Some(offset) = claim.file_offset {
            let end = last.entry((claim.owner, claim.stream.clone())).or_insert(0);
            if offset < *end {
                out.push(format!("extents overlap or fall back at {claim:?}"));
            }
            *end = offset.saturating_add(claim.range.len());
        }
    }
}

/// Every link leads to the root.
fn tree(sound: &Passes, out: &mut Failures) {
    let directories = sound.directories();
    let parents: BTreeMap<FileKey, FileKey> = sound
        .links
        .iter()
        .filter(|l| directories.contains(l.child))
        .map(|l| (l.child, l.parent))
        .collect();
    for link in &sound.links {
        let mut at = link.parent;
        let mut steps = 0;
        while at != sound.root {
            let Some(up) = parents.get(&at).filter(|_| steps <= parents.len()) else {
                out.push(format!("{link:?} does not lead to the root"));
                break;
            };
            at = *up;
            steps += 1;
        }
    }
}
