//! The report's JSON, schema 1, as a strict reader sees it: no field is unknown, none is missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// One line.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Header(Header),
    Volume(Volume),
    Names(Names),
    Change(Change),
    Region(Region),
    Unresolved(Unresolved),
    Owner(Owner),
    Diagnostic(Diagnostic),
    Summary(Summary),
}

/// All lines, by type.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Report {
    pub header: Header,
    pub volumes: Vec<Volume>,
    pub names: Vec<Names>,
    pub changes: Vec<Change>,
    pub regions: Vec<Region>,
    pub unresolved: Vec<Unresolved>,
    pub owners: Vec<Owner>,
    pub diagnostics: Vec<Diagnostic>,
    pub summary: Summary,
}

/// The first line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Header {
    pub schema: u32,
    pub tool: String,
    pub overlay: Option<String>,
    pub base: Option<String>,
    pub disk_size: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub precision: Option<String>,
    #[serde(default)]
    pub disks: Vec<Disk>,
}

/// One of several disks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Disk {
    pub disk: u32,
    pub size: u64,
    pub base: Option<String>,
    pub overlay: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Volume {
    pub volume: String,
    pub start: u64,
    pub length: u64,
    pub scheme: Option<String>,
    pub partition_type: Option<String>,
    pub name: Option<String>,
    pub filesystem: Option<String>,
    pub label: Option<String>,
    #[serde(default)]
    pub label_raw: Option<String>,
    pub uuid: Option<String>,
    pub fs_block_size: Option<u32>,
    pub state: Option<String>,
    pub transactions_replayed: u64,
    pub status: String,
    pub reason: Option<String>,
    #[serde(default)]
    pub sector_size: Option<u64>,
    #[serde(default)]
    pub base_volume: Option<String>,
    #[serde(default)]
    pub base_start: Option<u64>,
    #[serde(default)]
    pub base_disk: Option<u32>,
    #[serde(default)]
    pub disk: Option<u32>,
    #[serde(default)]
    pub disks: Vec<u32>,
}

/// All names of a file that has very many.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Names {
    pub volume: String,
    pub view: Option<String>,
    pub file: String,
    pub paths: Vec<String>,
    #[serde(default)]
    pub paths_raw: Option<Vec<String>>,
}

/// A list, or null for one that a `names` record has.
fn or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A changed path.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Change {
    pub volume: String,
    pub change: String,
    pub path: String,
    #[serde(default)]
    pub path_raw: Option<String>,
    pub from: Option<String>,
    #[serde(default)]
    pub from_raw: Option<String>,
    #[serde(deserialize_with = "or_none")]
    pub links: Vec<String>,
    #[serde(default)]
    pub links_raw: Option<Vec<String>>,
    pub kind: String,
    pub replaced: bool,
    pub content_changed: bool,
    #[serde(default)]
    pub notable: Option<String>,
    pub attributes: Vec<String>,
    pub base: Option<serde_json::Map<String, serde_json::Value>>,
    pub merged: Option<serde_json::Map<String, serde_json::Value>>,
    pub content_bytes: Option<u64>,
    pub changed_bytes: u64,
    pub ranges: Vec<Range>,
}

/// A piece of a file that differs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Range {
    pub view: String,
    pub stream: Option<String>,
    pub file_offset: Option<u64>,
    pub length: u64,
    pub disk_offset: u64,
    #[serde(default)]
    pub disk: Option<u32>,
}

/// Changed bytes that are no file's content.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Region {
    pub volume: Option<String>,
    pub class: String,
    pub detail: Option<String>,
    pub start: u64,
    pub length: u64,
    pub changed: u64,
    #[serde(default)]
    pub fields: Option<Vec<Field>>,
    #[serde(default)]
    pub unnamed: Option<u64>,
    #[serde(default)]
    pub more_fields: Option<bool>,
    #[serde(default)]
    pub disk: Option<u32>,
}

/// A field of an on-disk record that differs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Field {
    pub record: String,
    pub start: u64,
    pub name: String,
    pub old: serde_json::Value,
    pub new: serde_json::Value,
}

/// Changed bytes that no one claims.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Unresolved {
    pub volume: Option<String>,
    pub start: u64,
    pub length: u64,
    pub reason: String,
    #[serde(default)]
    pub disk: Option<u32>,
}

/// Who owns a piece of the disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Owner {
    pub volume: Option<String>,
    pub start: u64,
    pub length: u64,
    pub class: String,
    pub detail: Option<String>,
    pub allocated: Option<bool>,
    pub owners: Vec<FileOwner>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub disk: Option<u32>,
}

/// A file that owns it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FileOwner {
    pub file: String,
    pub kind: Option<String>,
    #[serde(deserialize_with = "or_none")]
    pub paths: Vec<String>,
    #[serde(default)]
    pub paths_raw: Option<Vec<String>>,
    pub stream: Option<String>,
    pub role: String,
    pub file_offset: Option<u64>,
}

/// A finding.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Diagnostic {
    pub severity: String,
    pub code: String,
    pub message: String,
    pub volume: Option<String>,
    #[serde(default)]
    pub view: Option<String>,
    pub offset: Option<u64>,
}

/// The last line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Summary {
    pub blocks: u64,
    pub bytes: u64,
    pub changed: u64,
    #[serde(default)]
    pub identical: Option<u64>,
    pub classes: BTreeMap<String, Bytes>,
    #[serde(default)]
    pub changes: BTreeMap<String, u64>,
    pub coverage: Coverage,
    pub complete: bool,
    pub bytes_read: u64,
    pub requests: u64,
    #[serde(default)]
    pub elapsed_ms: Option<u64>,
}

impl Summary {
    /// It, without what the answer cost, which is another time each run.
    #[must_use]
    pub fn without_cost(&self) -> Self {
        Self {
            bytes_read: 0,
            requests: 0,
            elapsed_ms: None,
            ..self.clone()
        }
    }
}

/// How much has an answer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Coverage {
    pub bytes: u64,
    pub resolved: u64,
}

/// The two figures of a class.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Bytes {
    pub bytes: u64,
    pub changed: u64,
    #[serde(default)]
    pub identical: Option<u64>,
}

impl Report {
    /// Reads JSON Lines, which must come in the order of the schema.
    ///
    /// # Panics
    /// When a line is not as the schema says.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (mut header, mut summary) = (None, None);
        let (mut volumes, mut changes, mut regions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut unresolved, mut owners, mut diagnostics) = (Vec::new(), Vec::new(), Vec::new());
        let mut names: Vec<Names> = Vec::new();
        let mut rank = 0;
        for line in text.lines() {
            let parsed = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            let now = match parsed {
                Line::Header(it) => replace(&mut header, it, 0),
                Line::Volume(it) => push(&mut volumes, it, 1),
                // They come before what is about them.
                Line::Names(it) => {
                    names.push(it);
                    rank
                }
                Line::Change(it) => push(&mut changes, it, 2),
                Line::Region(it) => push(&mut regions, it, 3),
                Line::Owner(it) => push(&mut owners, it, 3),
                Line::Unresolved(it) => push(&mut unresolved, it, 4),
                Line::Diagnostic(it) => push(&mut diagnostics, it, 5),
                Line::Summary(it) => replace(&mut summary, it, 6),
            };
            assert!(now >= rank, "out of order: {line}");
            rank = now;
        }
        Self {
            header: header.expect("a header"),
            volumes,
            names,
            changes,
            regions,
            unresolved,
            owners,
            diagnostics,
            summary: summary.expect("a summary"),
        }
    }

    /// Holds what is true of every report: each changed byte in one class, each record in order,
    /// the counts those of the records.
    ///
    /// # Panics
    /// When it is not.
    pub fn check_sums(&self) {
        let sum = |figure: fn(&Bytes) -> u64| self.summary.classes.values().map(figure).sum();
        let (bytes, changed): (u64, u64) = (sum(|b| b.bytes), sum(|b| b.changed));
        assert_eq!(bytes, self.summary.bytes, "bytes of all classes");
        assert_eq!(
            changed, self.summary.changed,
            "changed bytes of all classes"
        );
        assert_eq!(self.header.schema, 1);
        assert_eq!(self.header.blocks, self.summary.blocks);
        let full = self.summary.blocks * self.header.block_size;
        let short = full - self.summary.bytes.min(full);
        assert!(
            bytes <= full && short < self.header.block_size,
            "{bytes} bytes of {full}"
        );
        for (kind, count) in &self.summary.changes {
            let found = self.changes.iter().filter(|c| c.change == *kind).count();
            assert_eq!(found as u64, *count, "{kind}");
        }
        let order: Vec<usize> = self.changes.iter().map(|c| self.rank(&c.volume)).collect();
        assert!(order.is_sorted(), "volumes");
        let sorted =
            |pair: &[Change]| pair[0].volume != pair[1].volume || pair[0].path < pair[1].path;
        assert!(
            self.changes.windows(2).all(sorted),
            "paths are sorted and told once"
        );
        let unresolved: u64 = self.unresolved.iter().map(|u| u.length).sum();
        let class = self.summary.classes.get("unresolved");
        assert_eq!(unresolved, class.map_or(0, |b| b.bytes), "unresolved");
        let coverage = self.summary.coverage;
        assert_eq!(coverage.bytes, bytes, "coverage");
        assert_eq!(coverage.bytes - coverage.resolved, unresolved, "coverage");
        let regions: u64 = self.regions.iter().map(|r| r.length).sum();
        assert!(regions + unresolved <= bytes, "regions");
    }

    fn rank(&self, volume: &str) -> usize {
        let found = self.volumes.iter().position(|v| v.volume == volume);
        found.expect("a change is in a volume")
    }

    /// The volume with this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn volume(&self, name: &str) -> &Volume {
        let found = self.volumes.iter().find(|v| v.volume == name);
        found.unwrap_or_else(|| panic!("no volume {name}"))
    }

    /// The codes of all findings.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        self.diagnostics.iter().map(|d| d.code.as_str()).collect()
    }
}

fn push<T>(list: &mut Vec<T>, item: T, rank: u32) -> u32 {
    list.push(item);
    rank
}

fn replace<T>(slot: &mut Option<T>, item: T, rank: u32) -> u32 {
    assert!(slot.is_none(), "one header, one summary");
    *slot = Some(item);
    rank
}
