//! Records read back from JSON Lines, schema 1.
//!
//! Keys that this version does not know are ignored, and a line of another type is
//! [`Record::Other`]: a report of a later version can be read. What each key means stands in
//! `docs/report-schema.md`.
//!
//! ```
//! use hexz_report::read::{Record, records};
//!
//! let line = r#"{"type":"region","volume":"p1","class":"swap","detail":null,"start":0,"length":4096,"changed":7}"#;
//! for record in records(line.as_bytes()) {
//!     if let Record::Region(region) = record? {
//!         assert_eq!((region.class.as_str(), region.changed), ("swap", 7));
//!     }
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// One line of a report.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
#[allow(missing_docs)] // They are called as the types are.
pub enum Record {
    Header(Header),
    Volume(Volume),
    Names(Names),
    Change(Box<Change>),
    Region(Region),
    Unresolved(Unresolved),
    Owner(Owner),
    Candidate(Candidate),
    ListPiece(ListPiece),
    ListError(ListError),
    OverlayError(OverlayError),
    Entry(Entry),
    Diagnostic(Diagnostic),
    Summary(Summary),
    /// Of a type that this version does not know.
    #[serde(other)]
    Other,
}

/// Reads the lines of a report. A line that is no record is an error of kind
/// [`InvalidData`](io::ErrorKind::InvalidData); the lines behind it can be read all the same.
pub fn records(lines: impl BufRead) -> impl Iterator<Item = io::Result<Record>> {
    let record = |line: io::Result<String>| Ok(serde_json::from_str(&line?)?);
    lines.lines().map(record)
}

macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($(#[$key:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[non_exhaustive]
        #[allow(missing_docs)] // The keys of the schema.
        pub struct $name { $($(#[$key])* pub $field: $type,)* }
    };
}

record! {
    /// What was compared.
    Header {
        schema: u32,
        tool: String,
        overlay: Option<String>,
        base: Option<String>,
        disk_size: u64,
        block_size: u64,
        blocks: u64,
        precision: Option<String>,
    }
}

record! {
    /// A volume.
    Volume {
        volume: String,
        start: u64,
        length: u64,
        scheme: Option<String>,
        partition_type: Option<String>,
        name: Option<String>,
        filesystem: Option<String>,
        label: Option<String>,
        uuid: Option<String>,
        fs_block_size: Option<u32>,
        state: Option<String>,
        transactions_replayed: u64,
        status: String,
        reason: Option<String>,
        sector_size: Option<u64>,
        base_volume: Option<String>,
        base_start: Option<u64>,
    }
}

record! {
    /// All names of a file that has very many.
    Names {
        volume: String,
        view: Option<String>,
        file: String,
        paths: Vec<String>,
        paths_raw: Option<Vec<String>>,
    }
}

record! {
    /// A changed path.
    Change {
        overlay: Option<String>,
        volume: String,
        change: String,
        path: String,
        path_raw: Option<String>,
        from: Option<String>,
        from_raw: Option<String>,
        links: Option<Vec<String>>,
        links_raw: Option<Vec<String>>,
        kind: String,
        replaced: bool,
        content_changed: bool,
        notable: Option<String>,
        attributes: Vec<String>,
        base: Option<File>,
        merged: Option<File>,
        content_bytes: Option<u64>,
        changed_bytes: u64,
        ranges: Vec<Range>,
    }
}

impl Change {
    /// The bytes of the path, which need not be Unicode.
    ///
    /// # Errors
    /// When `path_raw` is no base64.
    pub fn path_bytes(&self) -> io::Result<Vec<u8>> {
        match &self.path_raw {
            Some(raw) => STANDARD.decode(raw).map_err(io::Error::other),
            None => Ok(self.path.clone().into_bytes()),
        }
    }
}

record! {
    /// What is known of a file in one view.
    File {
        file: String,
        kind: String,
        size: u64,
        mode: Option<String>,
        uid: Option<u32>,
        gid: Option<u32>,
        mtime: Option<String>,
        ctime: Option<String>,
        atime: Option<String>,
        btime: Option<String>,
        nlink: Option<u64>,
        rdev: Option<String>,
        flags: Option<String>,
        #[serde(default)]
        encrypted: bool,
        target: Option<String>,
        target_raw: Option<String>,
        #[serde(default)]
        xattrs: Vec<String>,
        snapshot_of: Option<String>,
        snapshot_of_raw: Option<String>,
        /// The filesystem's own.
        #[serde(flatten)]
        special: Map<String, Value>,
    }
}

record! {
    /// A piece of a file that differs.
    Range {
        view: String,
        stream: Option<String>,
        file_offset: Option<u64>,
        length: u64,
        disk_offset: u64,
    }
}

record! {
    /// Changed bytes that are no file's content.
    Region {
        volume: Option<String>,
        class: String,
        detail: Option<String>,
        start: u64,
        length: u64,
        changed: u64,
        fields: Option<Vec<FieldChange>>,
        unnamed: Option<u64>,
        #[serde(default)]
        more_fields: bool,
    }
}

record! {
    /// A field of an on-disk record that differs.
    FieldChange {
        record: String,
        start: u64,
        name: String,
        old: Value,
        new: Value,
    }
}

record! {
    /// Changed bytes that no one claims.
    Unresolved {
        volume: Option<String>,
        start: u64,
        length: u64,
        reason: String,
    }
}

record! {
    /// Who owns a piece of the disk.
    Owner {
        volume: Option<String>,
        start: u64,
        length: u64,
        class: String,
        detail: Option<String>,
        allocated: Option<bool>,
        owners: Vec<FileOwner>,
        reason: Option<String>,
    }
}

record! {
    /// A file that owns a piece of the disk.
    FileOwner {
        file: String,
        kind: Option<String>,
        paths: Option<Vec<String>>,
        paths_raw: Option<Vec<String>>,
        stream: Option<String>,
        role: String,
        file_offset: Option<u64>,
    }
}

record! {
    /// A format that shows itself at a place.
    Candidate {
        volume: String,
        format: String,
        name: String,
        confidence: u8,
        offset: Option<u64>,
        chosen: bool,
        reason: String,
    }
}

record! {
    /// A piece of one of many lists.
    ListPiece {
        list: String,
        volume: Option<String>,
        start: u64,
        length: u64,
        class: String,
        paths: Vec<String>,
        paths_raw: Option<Vec<String>>,
        file_offset: Option<u64>,
    }
}

record! {
    /// A list that can't be read.
    ListError {
        list: String,
        error: String,
    }
}

record! {
    /// An overlay of which there is no report.
    OverlayError {
        overlay: String,
        error: String,
    }
}

record! {
    /// A file that is listed.
    Entry {
        volume: String,
        path: String,
        path_raw: Option<String>,
        attributes: Option<File>,
    }
}

record! {
    /// A finding.
    Diagnostic {
        severity: String,
        code: String,
        message: String,
        volume: Option<String>,
        offset: Option<u64>,
        view: Option<String>,
    }
}

record! {
    /// The sums.
    Summary {
        blocks: u64,
        bytes: u64,
        changed: u64,
        identical: Option<u64>,
        classes: BTreeMap<String, ClassBytes>,
        changes: BTreeMap<String, u64>,
        coverage: Coverage,
        complete: bool,
        bytes_read: Option<u64>,
        requests: Option<u64>,
        elapsed_ms: Option<u64>,
    }
}

record! {
    /// The figures of a class.
    #[derive(Copy, PartialEq, Eq)]
    ClassBytes {
        bytes: u64,
        changed: u64,
    }
}

record! {
    /// How much has an answer.
    #[derive(Copy, PartialEq, Eq)]
    Coverage {
        bytes: u64,
        resolved: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_a_later_version_is_read() {
        let lines = "{\"type\":\"omen\",\"sign\":1}\n\
            {\"type\":\"unresolved\",\"volume\":null,\"start\":1,\"length\":2,\"reason\":\"x\",\"mood\":\"dark\"}\n\
            not JSON\n\
            {\"type\":\"list-error\",\"list\":\"a\",\"error\":\"b\"}\n";
        let all: Vec<_> = records(lines.as_bytes()).collect();
        assert!(matches!(all[0], Ok(Record::Other)));
        assert!(matches!(&all[1], Ok(Record::Unresolved(u)) if u.length == 2));
        let error = all[2].as_ref().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(matches!(&all[3], Ok(Record::ListError(e)) if e.error == "b"));
    }

    #[test]
    fn a_path_keeps_its_bytes() {
        let line = r#"{"type":"change","volume":"p1","change":"added","path":"/b�","path_raw":"L2L/","from":null,"links":null,"kind":"file","replaced":false,"content_changed":true,"attributes":[],"base":null,"merged":{"file":"12:7","kind":"file","size":3,"mode":"0644","reparse":"0x1"},"content_bytes":3,"changed_bytes":0,"ranges":[]}"#;
        let Some(Ok(Record::Change(change))) = records(line.as_bytes()).next() else {
            panic!("a change");
        };
        assert_eq!(change.path_bytes().unwrap(), b"/b\xFF");
        let merged = change.merged.unwrap();
        assert_eq!(merged.special["reparse"], "0x1");
    }
}
