//! Tables that are read again: values, nulls, lists, order and row groups.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use hexz_resolve::report::{
    Change, ChangeKind, ChangedRange, FileOwner, Header, OwnerEnd, OwnerRecord, Report, Summary,
    VolumeRecord, VolumeStatus,
};
use hexz_resolve::{Class, Diagnostic, FileKey, FileKind, Role, View};
use hexz_tables::{DiffTables, MapTables};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;

/// A file in memory that outlives its writer.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The tables that were opened, by name.
#[derive(Default)]
struct Files(BTreeMap<&'static str, Memory>);

impl Files {
    fn reader(&self, name: &str) -> SerializedFileReader<bytes::Bytes> {
        let bytes = self.0[name].0.lock().unwrap().clone();
        SerializedFileReader::new(bytes.into()).unwrap()
    }
}

fn volume(name: &str) -> VolumeRecord {
    VolumeRecord {
        volume: name.to_owned(),
        start: 0,
        length: 1 << 30,
        scheme: None,
        partition_type: None,
        name: None,
        sector_size: None,
        filesystem: Some("ext4"),
        label: None,
        uuid: None,
        fs_block_size: None,
        state: None,
        transactions_replayed: 0,
        local_times: false,
        status: VolumeStatus::Resolved,
        reason: None,
        base_volume: None,
        base_start: None,
        changed_blocks: 0,
        classes: BTreeMap::new(),
    }
}

fn change(volume: usize, path: &[u8], attributes: &[&'static str], places: &[u64]) -> Change {
    Change {
        volume,
        change: ChangeKind::Modified,
        path: path.to_vec(),
        from: None,
        links: [path.to_vec()].into(),
        kind: FileKind::File,
        replaced: false,
        content_changed: true,
        attributes: attributes.to_vec(),
        base: None,
        merged: None,
        content_bytes: None,
        changed_bytes: 5,
        ranges: places
            .iter()
            .map(|place| ChangedRange {
                view: View::Merged,
                stream: None,
                file_offset: (*place != 0).then_some(*place),
                length: 4096,
                disk_offset: *place,
            })
            .collect(),
    }
}

#[test]
fn a_diff_is_read_as_it_was_written() {
    let report = Report {
        header: Header::default(),
        volumes: vec![volume("p1"), volume("p2")],
        changes: vec![
            change(
                0,
                b"/a",
                &["mode", "mtime"],
                &[9 << 20, 0, (1 << 20) - 4095],
            ),
            change(0, b"/b\xFF", &[], &[4096]),
            change(1, b"/c", &["xattr"], &[]),
        ],
        regions: Vec::new(),
        unresolved: Vec::new(),
        diagnostics: vec![Diagnostic::warning("some-code", "some text")],
        summary: Summary::default(),
    };
    let mut files = Files::default();
    let tables = DiffTables::create(|schema| {
        let file = Memory::default();
        files.0.insert(schema.name, file.clone());
        Ok(file)
    });
    tables.unwrap().write(&report).unwrap();

    let changes = files.reader("changes");
    // A volume has row groups of its own.
    assert_eq!(changes.metadata().num_row_groups(), 2);
    let rows: Vec<_> = changes
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let attributes = row.get_list(10).unwrap().elements().len();
            (
                row.get_string(0).unwrap().clone(),
                row.get_string(2).unwrap().clone(),
                attributes,
            )
        })
        .collect();
    let expected = [("p1", "/a", 2), ("p1", "/b\u{FFFD}", 0), ("p2", "/c", 1)];
    assert_eq!(
        shown,
        expected.map(|(v, p, n)| (v.to_owned(), p.to_owned(), n))
    );
    assert_eq!(rows[1].get_bytes(3).unwrap().data(), b"/b\xFF");

    // By place within a row group, each null with its row.
    let ranges = files.reader("ranges");
    let rows = ranges.get_row_iter(None).unwrap().map(Result::unwrap);
    let places: Vec<_> = rows
        .map(|row| {
            let offset = row.get_long(5).ok();
            (
                row.get_long(7).unwrap(),
                offset,
                row.get_long(8).unwrap(),
                row.get_long(9).unwrap(),
            )
        })
        .collect();
    let edge = (1 << 20) - 4095;
    let expected = [
        (0, None, 0, 0),
        (4096, Some(4096), 0, 0),
        (edge, Some(edge), 0, 1),
        (9 << 20, Some(9 << 20), 9, 9),
    ];
    assert_eq!(places, expected);
    assert_eq!(
        files
            .reader("diagnostics")
            .metadata()
            .file_metadata()
            .num_rows(),
        1
    );
}

#[test]
fn names_of_a_file_are_written_once() {
    let paths: Arc<[Vec<u8>]> = [b"/one".to_vec(), b"/two".to_vec()].into();
    let piece = |start| OwnerRecord {
        volume: Some(0),
        start,
        length: 4096,
        class: Class::FileData,
        detail: "",
        allocated: Some(true),
        owners: vec![FileOwner {
            file: FileKey::new(12),
            generation: Some(1),
            kind: Some(FileKind::File),
            paths: Arc::clone(&paths),
            stream: None,
            role: Role::Data,
            file_offset: Some(start),
        }],
        reason: None,
    };
    let mut files = Files::default();
    let mut tables = MapTables::create(&[volume("p1")], |schema| {
        let file = Memory::default();
        files.0.insert(schema.name, file.clone());
        Ok(file)
    })
    .unwrap();
    tables.pieces(&[piece(0), piece(8192)]).unwrap();
    tables.pieces(&[piece(1 << 21)]).unwrap();
    let end = OwnerEnd {
        diagnostics: Vec::new(),
        summary: Summary::default(),
    };
    tables.finish(&end).unwrap();
    let rows = |name: &str| files.reader(name).metadata().file_metadata().num_rows();
    assert_eq!((rows("pieces"), rows("owners"), rows("names")), (3, 3, 2));
}
