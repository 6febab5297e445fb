//! The records, with their keys in the order of the schema.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hexz_resolve::report::{
    CandidateRecord, Change, ChangeKind, ChangedRange, FieldChange, FieldValue, FileNames,
    FileOwner, Header, MANY_NAMES, OwnerRecord, Region, Summary, Unresolved, VolumeRecord,
};
use hexz_resolve::{Attributes, Diagnostic, FileKey, FileKind, RawName};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use crate::listed::ListedFile;
use crate::text::field_value;
use crate::time::rfc3339;
use crate::{SCHEMA, TOOL};

#[derive(Serialize)]
pub(super) struct HeaderLine<'a> {
    r#type: &'static str,
    schema: u32,
    tool: &'static str,
    overlay: Option<&'a str>,
    base: Option<&'a str>,
    disk_size: u64,
    block_size: u32,
    blocks: u64,
    precision: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disks: Vec<DiskLine<'a>>,
}

#[derive(Serialize)]
struct DiskLine<'a> {
    disk: u32,
    size: u64,
    base: Option<&'a str>,
    overlay: Option<&'a str>,
}

pub(super) fn header(header: &Header) -> HeaderLine<'_> {
    HeaderLine {
        r#type: "header",
        schema: SCHEMA,
        tool: TOOL,
        overlay: header.overlay.as_deref(),
        base: header.base.as_deref(),
        disk_size: header.disk_size,
        block_size: header.block_size,
        blocks: header.blocks,
        precision: header.precision.map(hexz_resolve::Precision::as_str),
        disks: header
            .disks
            .iter()
            .map(|disk| DiskLine {
                disk: disk.disk,
                size: disk.size,
                base: disk.base.as_deref(),
                overlay: disk.overlay.as_deref(),
            })
            .collect(),
    }
}

#[derive(Serialize)]
pub(super) struct VolumeLine<'a> {
    r#type: &'static str,
    volume: &'a str,
    start: u64,
    length: u64,
    scheme: Option<&'static str>,
    partition_type: Option<&'a str>,
    name: Option<&'a str>,
    filesystem: Option<&'static str>,
    label: Option<String>,
    uuid: Option<&'a str>,
    fs_block_size: Option<u32>,
    state: Option<&'static str>,
    transactions_replayed: u64,
    status: &'static str,
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sector_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_volume: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_disk: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<u32>,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    disks: &'a [u32],
}

#[derive(Serialize)]
pub(super) struct CandidateLine<'a> {
    r#type: &'static str,
    volume: &'a str,
    format: &'static str,
    name: &'static str,
    confidence: u8,
    offset: Option<u64>,
    chosen: bool,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<u32>,
}

pub(super) fn candidate(candidate: &CandidateRecord) -> CandidateLine<'_> {
    CandidateLine {
        r#type: "candidate",
        volume: &candidate.volume,
        format: candidate.format,
        name: candidate.name,
        confidence: candidate.confidence,
        offset: candidate.offset,
        chosen: candidate.chosen,
        reason: &candidate.reason,
        disk: candidate.disk,
    }
}

pub(super) fn volume(volume: &VolumeRecord) -> VolumeLine<'_> {
    VolumeLine {
        r#type: "volume",
        volume: &volume.volume,
        start: volume.start,
        length: volume.length,
        scheme: volume.scheme,
        partition_type: volume.partition_type.as_deref(),
        name: volume.name.as_deref(),
        filesystem: volume.filesystem,
        label: volume.label.as_deref().map(lossy),
        uuid: volume.uuid.as_deref(),
        fs_block_size: volume.fs_block_size,
        state: volume.state.map(hexz_resolve::FsState::as_str),
        transactions_replayed: volume.transactions_replayed,
        status: volume.status.as_str(),
        reason: volume.reason.as_deref(),
        sector_size: volume.sector_size,
        base_volume: volume.base_volume.as_deref(),
        base_start: volume.base_start,
        base_disk: volume.base_disk,
        disk: volume.disk,
        disks: &volume.disks,
    }
}

#[derive(Serialize)]
pub(super) struct ChangeLine<'a> {
    r#type: &'static str,
    volume: Option<&'a str>,
    change: &'static str,
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_raw: Option<String>,
    from: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_raw: Option<String>,
    /// None where they are given once for all records of the file.
    links: Option<Texts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links_raw: Option<Vec<String>>,
    kind: &'static str,
    replaced: bool,
    content_changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    notable: Option<&'static str>,
    attributes: &'a [&'static str],
    base: Option<Known<'a>>,
    merged: Option<Known<'a>>,
    content_bytes: Option<u64>,
    changed_bytes: u64,
    ranges: Ranges<'a>,
}

/// Byte strings as the texts they are, or nearly are.
struct Texts<'a>(&'a [Vec<u8>]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|text| String::from_utf8_lossy(text)))
    }
}

struct Ranges<'a>(&'a [ChangedRange]);

impl Serialize for Ranges<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(range))
    }
}

#[derive(Serialize)]
struct RangeLine<'a> {
    view: &'static str,
    stream: Option<Cow<'a, str>>,
    file_offset: Option<u64>,
    length: u64,
    disk_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<u32>,
}

pub(super) fn change<'a>(
    change: &'a Change,
    volumes: &'a [VolumeRecord],
    notable: Option<&'static str>,
) -> ChangeLine<'a> {
    let local = volumes.get(change.volume).is_some_and(|v| v.local_times);
    let attributes = |file| Known { file, local };
    ChangeLine {
        r#type: "change",
        volume: name(Some(change.volume), volumes),
        change: change.change.as_str(),
        path: String::from_utf8_lossy(&change.path),
        path_raw: raw(&change.path),
        from: change.from.as_deref().map(String::from_utf8_lossy),
        from_raw: change.from.as_deref().and_then(raw),
        links: inline(&change.links).map(Texts),
        links_raw: inline(&change.links).and_then(all_raw),
        kind: change.kind.as_str(),
        replaced: change.replaced,
        content_changed: change.content_changed,
        notable,
        attributes: &change.attributes,
        base: change.base.as_ref().map(attributes),
        merged: change.merged.as_ref().map(attributes),
        content_bytes: change.content_bytes,
        changed_bytes: change.changed_bytes,
        ranges: Ranges(&change.ranges),
    }
}

/// The names of a file, unless they are so many that they are given once.
fn inline(names: &[Vec<u8>]) -> Option<&[Vec<u8>]> {
    (names.len() <= MANY_NAMES).then_some(names)
}

#[derive(Serialize)]
pub(super) struct NamesLine<'a> {
    r#type: &'static str,
    volume: Option<&'a str>,
    view: Option<&'static str>,
    file: String,
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths_raw: Option<Vec<String>>,
}

pub(super) fn names<'a>(names: &'a FileNames, volumes: &'a [VolumeRecord]) -> NamesLine<'a> {
    NamesLine {
        r#type: "names",
        volume: name(Some(names.volume), volumes),
        view: names.view.map(hexz_resolve::View::as_str),
        file: names.file.shown(names.generation).to_string(),
        paths: names.paths.iter().map(|p| lossy(p)).collect(),
        paths_raw: all_raw(&names.paths),
    }
}

fn range(range: &ChangedRange) -> RangeLine<'_> {
    RangeLine {
        view: range.view.as_str(),
        stream: range
            .stream
            .as_ref()
            .map(|s| String::from_utf8_lossy(s.as_bytes())),
        file_offset: range.file_offset,
        length: range.length,
        disk_offset: range.disk_offset,
        disk: range.disk,
    }
}

/// What is known of a file; a key is left out where the filesystem has no such thing.
struct Known<'a> {
    file: &'a Attributes,
    /// Whether times are local times of unknown zone.
    local: bool,
}

impl Serialize for Known<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let a = self.file;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("file", &format_args!("{}", a.shown()))?;
        map.serialize_entry("kind", a.kind.as_str())?;
        map.serialize_entry("size", &a.size)?;
        if let Some(mode) = a.mode {
            map.serialize_entry("mode", &format_args!("{mode:04o}"))?;
        }
        put(&mut map, "uid", a.uid)?;
        put(&mut map, "gid", a.gid)?;
        for (key, time) in [
            ("mtime", a.mtime),
            ("ctime", a.ctime),
            ("atime", a.atime),
            ("btime", a.btime),
        ] {
            put(&mut map, key, time.map(|t| rfc3339(t, self.local)))?;
        }
        put(&mut map, "nlink", a.nlink)?;
        if let Some(rdev) = a.rdev {
            let (major, minor) = (rdev >> 32, rdev & 0xFFFF_FFFF);
            map.serialize_entry("rdev", &format_args!("{major}:{minor}"))?;
        }
        if let Some(flags) = a.flags {
            map.serialize_entry("flags", &format_args!("{flags:#x}"))?;
        }
        if a.encrypted {
            map.serialize_entry("encrypted", &true)?;
        }
        let target = a.target.as_ref().map(RawName::as_bytes);
        put(&mut map, "target", target.map(String::from_utf8_lossy))?;
        put(&mut map, "target_raw", target.and_then(raw))?;
        if !a.xattrs.is_empty() {
            let names = a.xattrs.iter().map(|x| lossy(x.name.as_bytes()));
            map.serialize_entry("xattrs", &names.collect::<Vec<String>>())?;
        }
        let source = a.snapshot_of.as_ref().map(RawName::as_bytes);
        put(&mut map, "snapshot_of", source.map(String::from_utf8_lossy))?;
        put(&mut map, "snapshot_of_raw", source.and_then(raw))?;
        for (name, value) in &a.special {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn put<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    value: Option<impl Serialize>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, &value),
        None => Ok(()),
    }
}

#[derive(Serialize)]
pub(super) struct EntryLine<'a> {
    r#type: &'static str,
    volume: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_raw: Option<String>,
    attributes: Option<Known<'a>>,
}

pub(super) fn entry(file: &ListedFile) -> EntryLine<'_> {
    let known = file.attributes.as_ref();
    EntryLine {
        r#type: "entry",
        volume: &file.volume,
        path: lossy(&file.path),
        path_raw: raw(&file.path),
        attributes: known.map(|known| Known {
            file: known,
            local: file.local_times,
        }),
    }
}

#[derive(Serialize)]
pub(super) struct RegionLine<'a> {
    r#type: &'static str,
    volume: Option<&'a str>,
    class: &'static str,
    detail: Option<&'static str>,
    start: u64,
    length: u64,
    changed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<FieldLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unnamed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more_fields: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<u32>,
}

#[derive(Serialize)]
struct FieldLine<'a> {
    record: &'static str,
    start: u64,
    name: &'a str,
    old: Value,
    new: Value,
}

fn field(field: &FieldChange) -> FieldLine<'_> {
    let [old, new] = match &field.values {
        Some(values) => values.each_ref().map(value),
        None => [Value::Null, Value::Null],
    };
    FieldLine {
        record: field.record,
        start: field.start,
        name: &field.name,
        old,
        new,
    }
}

/// A number as a number, bytes in hex.
fn value(value: &FieldValue) -> Value {
    match value {
        FieldValue::Number(number) => (*number).into(),
        other => field_value(other).into(),
    }
}

pub(super) fn region<'a>(region: &'a Region, volumes: &'a [VolumeRecord]) -> RegionLine<'a> {
    RegionLine {
        r#type: "region",
        volume: name(region.volume, volumes),
        class: region.class.as_str(),
        detail: detail(region.detail),
        start: region.start,
        length: region.length,
        changed: region.changed,
        fields: region
            .fields
            .as_ref()
            .map(|all| all.iter().map(field).collect()),
        unnamed: region.fields.as_ref().map(|_| region.unnamed),
        more_fields: region.more_fields.then_some(true),
        disk: region.disk,
    }
}

#[derive(Serialize)]
pub(super) struct UnresolvedLine<'a> {
    r#type: &'static str,
    volume: Option<&'a str>,
    start: u64,
    length: u64,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<u32>,
}

pub(super) fn unresolved<'a>(
    piece: &'a Unresolved,
    volumes: &'a [VolumeRecord],
) -> UnresolvedLine<'a> {
    UnresolvedLine {
        r#type: "unresolved",
        volume: name(piece.volume, volumes),
        start: piece.start,
        length: piece.length,
        reason: &piece.reason,
        disk: piece.disk,
    }
}

#[derive(Serialize)]
pub(super) struct DiagnosticLine<'a> {
    r#type: &'static str,
    severity: &'static str,
    code: &'a str,
    message: &'a str,
    volume: Option<&'a str>,
    offset: Option<u64>,
    view: Option<&'static str>,
}

pub(super) fn diagnostic(diagnostic: &Diagnostic) -> DiagnosticLine<'_> {
    DiagnosticLine {
        r#type: "diagnostic",
        severity: diagnostic.severity.as_str(),
        code: &diagnostic.code,
        message: &diagnostic.message,
        volume: diagnostic.volume.as_deref(),
        offset: diagnostic.offset,
        view: diagnostic.view.map(hexz_resolve::View::as_str),
    }
}

#[derive(Serialize)]
pub(super) struct SummaryLine {
    r#type: &'static str,
    blocks: u64,
    bytes: u64,
    changed: u64,
    identical: u64,
    classes: Map<String, Value>,
    changes: Map<String, Value>,
    coverage: Value,
    complete: bool,
    bytes_read: u64,
    requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<u64>,
}

pub(super) fn summary(summary: &Summary) -> SummaryLine {
    let classes = summary.classes.iter().map(|(class, sums)| {
        (
            class.as_str().to_owned(),
            json!({"bytes": sums.bytes, "changed": sums.changed}),
        )
    });
    let changes = ChangeKind::ALL.iter().map(|kind| {
        let count = summary.changes.get(kind).copied().unwrap_or(0);
        (kind.as_str().to_owned(), count.into())
    });
    let coverage = summary.coverage();
    SummaryLine {
        r#type: "summary",
        blocks: summary.blocks,
        bytes: summary.bytes,
        changed: summary.changed,
        identical: summary.identical,
        classes: classes.collect(),
        changes: changes.collect(),
        coverage: json!({"bytes": coverage.bytes, "resolved": coverage.resolved}),
        complete: summary.complete,
        bytes_read: summary.bytes_read,
        requests: summary.requests,
        elapsed_ms: summary.elapsed.map(milliseconds),
    }
}

/// Whole milliseconds; more than a number has room for is the most it has.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Writes an owner record. A map of a disk has millions of them, and naming its keys to a
/// serializer costs more than all else: here they stand as they are written.
pub(super) fn owner(
    out: &mut Vec<u8>,
    record: &OwnerRecord,
    volumes: &[VolumeRecord],
) -> io::Result<()> {
    let mut line = Line(out);
    line.put(
        r#"{"type":"owner","volume":"#,
        &name(record.volume, volumes),
    )?;
    line.put(r#","start":"#, &record.start)?;
    line.put(r#","length":"#, &record.length)?;
    line.put(r#","class":"#, record.class.as_str())?;
    line.put(r#","detail":"#, &detail(record.detail))?;
    line.put(r#","allocated":"#, &record.allocated)?;
    line.text(r#","owners":["#);
    for (n, owner) in record.owners.iter().enumerate() {
        line.text(if n == 0 { "" } else { "," });
        file(&mut line, owner)?;
    }
    line.text("]");
    if let Some(reason) = &record.reason {
        line.put(r#","reason":"#, reason)?;
    }
    if let Some(disk) = &record.disk {
        line.put(r#","disk":"#, disk)?;
    }
    line.text("}\n");
    Ok(())
}

fn file(line: &mut Line<'_>, owner: &FileOwner) -> io::Result<()> {
    let text = |bytes| String::from_utf8_lossy(bytes);
    let FileKey { subvolume, number } = owner.file;
    line.text(r#"{"file":""#);
    if subvolume != 0 {
        line.put("", &subvolume)?;
        line.text("/");
    }
    line.put("", &number)?;
    if let Some(generation) = owner.generation {
        line.put(":", &generation)?;
    }
    line.text("\"");
    line.put(r#","kind":"#, &owner.kind.map(FileKind::as_str))?;
    line.text(r#","paths":"#);
    match inline(&owner.paths) {
        None => line.text("null"),
        Some(paths) => {
            line.text("[");
            for (n, path) in paths.iter().enumerate() {
                line.put(if n == 0 { "" } else { "," }, &text(path))?;
            }
            line.text("]");
            if let Some(raw) = all_raw(paths) {
                line.put(r#","paths_raw":"#, &raw)?;
            }
        }
    }
    let stream = owner.stream.as_ref().map(|s| text(s.as_bytes()));
    line.put(r#","stream":"#, &stream)?;
    line.put(r#","role":"#, owner.role.as_str())?;
    line.put(r#","file_offset":"#, &owner.file_offset)?;
    line.text("}");
    Ok(())
}

/// A line of JSON that is being written.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    /// Text that is JSON already.
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// `before` as it stands, then `value` as JSON.
    fn put(&mut self, before: &str, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        self.text(before);
        Ok(serde_json::to_writer(&mut *self.0, value)?)
    }
}

fn name(index: Option<usize>, volumes: &[VolumeRecord]) -> Option<&str> {
    volumes.get(index?).map(|v| v.volume.as_str())
}

fn detail(detail: &'static str) -> Option<&'static str> {
    (!detail.is_empty()).then_some(detail)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bytes in base64, where they are not Unicode.
fn raw(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes)
        .is_err()
        .then(|| STANDARD.encode(bytes))
}

/// All of them in base64, where any is not Unicode.
pub(crate) fn all_raw<P: AsRef<[u8]>>(paths: &[P]) -> Option<Vec<String>> {
    let any = paths
        .iter()
        .any(|p| std::str::from_utf8(p.as_ref()).is_err());
    any.then(|| paths.iter().map(|p| STANDARD.encode(p)).collect())
}
