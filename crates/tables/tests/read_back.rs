//! Tables that are read again: values, nulls, lists, order and row groups.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use hexz_resolve::report::{
    Change, ChangeKind, ChangedRange, FileOwner, OwnerEnd, OwnerRecord, Report, VolumeRecord,
    VolumeStatus,
};
use hexz_resolve::{Attributes, Class, Diagnostic, FileKey, FileKind, Role, Timestamp, View};
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
    let mut volume = VolumeRecord::default();
    name.clone_into(&mut volume.volume);
    volume.length = 1 << 30;
    volume.filesystem = Some("ext4");
    volume.status = VolumeStatus::Resolved;
    volume
}

fn change(volume: usize, path: &[u8], attributes: &[&'static str], places: &[u64]) -> Change {
    let kind = ChangeKind::Modified;
    let mut change = Change::new(volume, kind, path.to_vec(), FileKind::File);
    change.content_changed = true;
    change.attributes = attributes.to_vec();
    change.changed_bytes = 5;
    let range = |place: &u64| {
        let mut range = ChangedRange::new(View::Merged, *place, 4096);
        range.file_offset = (*place != 0).then_some(*place);
        range
    };
    change.ranges = places.iter().map(range).collect();
    change
}

#[test]
fn a_diff_is_read_as_it_was_written() {
    let mut file = Attributes::new(FileKey::new(7), FileKind::File);
    file.mtime = Some(Timestamp {
        seconds: 3,
        nanoseconds: 5999,
    });
    let dated = |mut change: Change| {
        change.merged = Some(file.clone());
        change
    };
    let mut report = Report::default();
    report.volumes = vec![volume("p1"), volume("p2")];
    report.volumes[1].local_times = true;
    report.changes = vec![
        dated(change(
            0,
            b"/a",
            &["mode", "mtime"],
            &[9 << 20, 0, (1 << 20) - 4095],
        )),
        change(0, b"/b\xFF", &[], &[4096]),
        dated(change(1, b"/c", &["xattr"], &[])),
    ];
    report.diagnostics = vec![Diagnostic::warning("some-code", "some text")];
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

    // A local time is in another column than a moment.
    let columns = changes.metadata().file_metadata().schema_descr().columns();
    let at = |name: &str| {
        let found = columns.iter().position(|column| column.name() == name);
        found.unwrap()
    };
    let (moment, local) = (at("merged_mtime"), at("merged_mtime_local"));
    let times: Vec<_> = rows
        .iter()
        .map(|row| {
            let time = |column: usize| row.get_timestamp_micros(column).ok();
            (time(moment), time(local))
        })
        .collect();
    assert_eq!(
        times,
        [
            (Some(3_000_005), None),
            (None, None),
            (None, Some(3_000_005))
        ]
    );

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
    let piece = |start| {
        let mut owner = FileOwner::new(FileKey::new(12), Role::Data);
        owner.generation = Some(1);
        owner.kind = Some(FileKind::File);
        owner.paths = Arc::clone(&paths);
        owner.file_offset = Some(start);
        let mut piece = OwnerRecord::new(start, 4096, Class::FileData);
        piece.volume = Some(0);
        piece.allocated = Some(true);
        piece.owners = vec![owner];
        piece
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
    tables.finish(&OwnerEnd::default()).unwrap();
    let rows = |name: &str| files.reader(name).metadata().file_metadata().num_rows();
    assert_eq!((rows("pieces"), rows("owners"), rows("names")), (3, 3, 2));
}
