//! File tables built field by field, and held to what the engine relies on.

use std::sync::Arc;

use hexz_fs_files::FilesPlugin;
use hexz_ondisk::file_table::{FRONT, Header, Record};
use hexz_resolve::{ByteRange, FileKind, FilesystemPlugin, ReadAt, Timestamp};
use hexz_testkit::SparseDisk;
use hexz_testkit::conformance::{self, Options};

/// A directory with two files and a link, and one file that is not there.
fn sample() -> SparseDisk {
    let names = b"dfilelinkgonetop";
    let records = FRONT;
    let names_at = FRONT + 4096;
    let header = Header {
        count: 6,
        records,
        names: ByteRange::new(names_at, names_at + names.len() as u64),
        size: 2 * FRONT + (1 << 20),
    };
    let mut disk = SparseDisk::new(header.size);
    disk.write(0, &header.to_bytes());
    disk.write(names_at, names);
    let data = FRONT + 8192;
    let of = |kind, parent, (at, length): (u64, u64), content: (u64, u64)| Record {
        kind,
        parent,
        name: match length {
            0 => ByteRange::default(),
            _ => ByteRange::new(names_at + at, names_at + at + length),
        },
        mode: Some(0o644),
        mtime: Some(Timestamp {
            seconds: 1_577_836_800,
            nanoseconds: 0,
        }),
        content: match content.1 {
            0 => ByteRange::default(),
            _ => ByteRange::new(data + content.0, data + content.0 + content.1),
        },
    };
    let all = [
        of(Some(FileKind::Directory), 0, (0, 0), (0, 0)),
        of(Some(FileKind::Directory), 0, (0, 1), (0, 0)),
        of(Some(FileKind::File), 1, (1, 4), (0, 5000)),
        of(Some(FileKind::Symlink), 1, (5, 4), (8192, 9)),
        of(None, 1, (9, 4), (0, 0)),
        of(Some(FileKind::File), 0, (13, 3), (12_288, 70)),
    ];
    for (number, record) in all.iter().enumerate() {
        disk.write(records + number as u64 * 64, &record.to_bytes());
    }
    disk.write(data, &[7; 5000]);
    disk.write(data + 8192, b"file/else");
    disk.write(data + 12_288, &[9; 70]);
    disk
}

#[test]
fn conforms() {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(FilesPlugin);
    let image: Arc<dyn ReadAt> = Arc::new(sample());
    conformance::check(&plugin, &image, &Options::default());
}
