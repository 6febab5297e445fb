//! Paths as people write them: `/etc/passwd`, `p2:/etc/passwd`, `p3:/notes.txt:stream`.

use hexz_resolve::engine::OpenDisk;
use hexz_resolve::{Error, RawName, Result};

use crate::lookup::{Lookup, Resolved};
use crate::problem::Problems;
use crate::tree::Tree;

/// A path that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The volume, where it is named.
    pub volume: Option<String>,
    /// The path there.
    pub path: Vec<u8>,
}

impl Place {
    /// Reads `VOLUME:/PATH`, where `VOLUME` is one of `volumes`, or `PATH`.
    #[must_use]
    pub fn parse(text: &[u8], volumes: &[&str]) -> Self {
        let named = volumes.iter().find_map(|name| {
            let rest = text.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
            (rest.is_empty() || rest.first() == Some(&b'/')).then_some((*name, rest))
        });
        match named {
            Some((name, path)) => Self {
                volume: Some(name.to_owned()),
                path: path.to_vec(),
            },
            None => Self {
                volume: None,
                path: text.to_vec(),
            },
        }
    }
}

/// A file that was found.
#[derive(Clone, Debug)]
pub struct Found<'d> {
    /// The tree it is in.
    pub tree: Tree<'d>,
    /// What it is.
    pub file: Resolved,
    /// The stream that was asked for.
    pub stream: Option<RawName>,
}

/// Finds files by paths as people write them.
#[derive(Debug)]
pub struct Finder<'d> {
    disk: &'d OpenDisk<'d>,
    lookups: Vec<Lookup<'d>>,
}

impl<'d> Finder<'d> {
    /// On `disk`.
    #[must_use]
    pub fn new(disk: &'d OpenDisk<'d>) -> Self {
        let trees = disk.volumes().filter_map(Tree::new);
        Self {
            disk,
            lookups: trees.map(Lookup::new).collect(),
        }
    }

    /// Finds what `text` names. Where no volume is named, it must be on one volume only.
    ///
    /// # Errors
    /// When nothing has this path, when several volumes do, or when there are no files at all.
    pub fn find(&mut self, text: &[u8], follow: bool, problems: &Problems) -> Result<Found<'d>> {
        let names: Vec<&str> = self.disk.volumes().map(|v| v.name()).collect();
        let place = Place::parse(text, &names);
        let wanted = |name: &str| place.volume.as_deref().is_none_or(|wanted| wanted == name);
        let mut found: Vec<Found<'d>> = Vec::new();
        let mut looked: Vec<&str> = Vec::new();
        for lookup in &mut self.lookups {
            let name = lookup.tree().volume().name();
            if wanted(name) {
                looked.push(name);
                found.extend(find_in(lookup, &place.path, follow, problems)?);
            }
        }
        let shown = String::from_utf8_lossy(text);
        if looked.is_empty() {
            let reason = no_files(self.disk, place.volume.as_deref());
            return Err(Error::unsupported("volume", reason));
        }
        if found.len() > 1 {
            let path = String::from_utf8_lossy(&place.path);
            let names: Vec<String> = found
                .iter()
                .map(|f| format!("{}:{path}", f.tree.volume().name()))
                .collect();
            let text = format!("{shown} is on several volumes: say {}", names.join(" or "));
            return Err(Error::unsupported("path", text));
        }
        found.pop().ok_or_else(|| {
            let text = format!("there is no {shown} on {}", looked.join(", "));
            Error::unsupported("path", text)
        })
    }
}

/// Why there are no files to look at.
fn no_files(disk: &OpenDisk<'_>, only: Option<&str>) -> String {
    let mut reasons = disk
        .volumes()
        .filter(|v| only.is_none_or(|name| v.name() == name))
        .map(|v| {
            let reason = v.record().reason;
            format!("{}: {}", v.name(), reason.unwrap_or_default())
        })
        .collect::<Vec<_>>();
    reasons.truncate(8);
    match reasons.is_empty() {
        true => "there is no filesystem on the disk".to_owned(),
        false => format!("no filesystem can be read: {}", reasons.join("; ")),
    }
}

/// What has this path in one tree: as it is, else as `PATH:STREAM`.
fn find_in<'d>(
    lookup: &mut Lookup<'d>,
    path: &[u8],
    follow: bool,
    problems: &Problems,
) -> Result<Option<Found<'d>>> {
    let tree = lookup.tree();
    if let Some(file) = lookup.resolve(path, follow, problems)? {
        return Ok(Some(Found {
            tree,
            file,
            stream: None,
        }));
    }
    let Some(colon) = path.iter().rposition(|b| *b == b':') else {
        return Ok(None);
    };
    let (Some(before), Some([_, stream @ ..])) = (path.get(..colon), path.get(colon..)) else {
        return Ok(None);
    };
    if stream.is_empty() || stream.contains(&b'/') {
        return Ok(None);
    }
    let Some(file) = lookup.resolve(before, follow, problems)? else {
        return Ok(None);
    };
    let stream = RawName::from(stream);
    let has = tree.content(file.attributes.key, Some(&stream)).is_ok();
    Ok(has.then_some(Found {
        tree,
        file,
        stream: Some(stream),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_named_only_when_there_is_one() {
        let volumes = ["p1", "vg/lv"];
        let parse = |text: &str| {
            let place = Place::parse(text.as_bytes(), &volumes);
            (place.volume, String::from_utf8(place.path).unwrap())
        };
        assert_eq!(parse("p1:/etc"), (Some("p1".to_owned()), "/etc".to_owned()));
        assert_eq!(parse("vg/lv:/"), (Some("vg/lv".to_owned()), "/".to_owned()));
        assert_eq!(parse("p1:"), (Some("p1".to_owned()), String::new()));
        assert_eq!(parse("p2:/etc"), (None, "p2:/etc".to_owned()));
        assert_eq!(parse("/a:b"), (None, "/a:b".to_owned()));
        assert_eq!(parse("p1:b"), (None, "p1:b".to_owned()));
    }
}
