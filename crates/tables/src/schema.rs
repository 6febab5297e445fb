//! The columns of each table, in the language of Parquet's message types.
//!
//! Names and meanings are those of the report schema. What is there twice is there for joins:
//! a path as text (what is not Unicode replaced) and as its bytes, a place as an offset and as
//! the numbers of the first and the last MiB that it lies in. Times are in microseconds, which is
//! the finest that all engines read (Spark 4.3 refuses nanoseconds); the report has the rest. Where a
//! volume has local times of unknown zone, they stand in a column of their own.

/// A table: its name, its columns, and the columns by which the rows of a row group are sorted.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The name of the table, and of the folder it is in.
    pub name: &'static str,
    /// Its columns.
    pub message: &'static str,
    /// The number of the column with the place on the disk, where there is one: the rows of a
    /// row group are sorted by it.
    pub place: Option<usize>,
}

/// Bytes that have one number in the columns `bin` and `last_bin`.
pub const BIN: u64 = 1 << 20;

/// Changed paths.
pub const CHANGES: Schema = Schema {
    name: "changes",
    message: "message changes {
        required binary volume (STRING);
        required binary change (STRING);
        required binary path (STRING);
        required binary path_raw;
        optional binary from (STRING);
        optional binary from_raw;
        required int64 links;
        required binary kind (STRING);
        required boolean replaced;
        required boolean content_changed;
        required group attributes (LIST) {
            repeated group list { required binary element (STRING); }
        }
        optional binary base_file (STRING);
        optional int64 base_size;
        optional int32 base_mode;
        optional int64 base_uid;
        optional int64 base_gid;
        optional int64 base_mtime (TIMESTAMP(MICROS,true));
        optional int64 base_mtime_local (TIMESTAMP(MICROS,false));
        optional binary merged_file (STRING);
        optional int64 merged_size;
        optional int32 merged_mode;
        optional int64 merged_uid;
        optional int64 merged_gid;
        optional int64 merged_mtime (TIMESTAMP(MICROS,true));
        optional int64 merged_mtime_local (TIMESTAMP(MICROS,false));
        required int64 changed_bytes;
    }",
    place: None,
};

/// Data of changed files in changed blocks.
pub const RANGES: Schema = Schema {
    name: "ranges",
    message: "message ranges {
        required binary volume (STRING);
        required binary path (STRING);
        required binary path_raw;
        required binary view (STRING);
        optional binary stream (STRING);
        optional int64 file_offset;
        required int64 length;
        required int64 disk_offset;
        required int64 bin;
        required int64 last_bin;
    }",
    place: Some(7),
};

/// The accounting: by volume, and of the whole (no volume).
pub const CLASSES: Schema = Schema {
    name: "classes",
    message: "message classes {
        optional binary volume (STRING);
        required binary class (STRING);
        required int64 bytes;
        required int64 changed;
    }",
    place: None,
};

/// Findings.
pub const DIAGNOSTICS: Schema = Schema {
    name: "diagnostics",
    message: "message diagnostics {
        required binary severity (STRING);
        required binary code (STRING);
        required binary message (STRING);
        optional binary volume (STRING);
        optional int64 offset;
        optional binary view (STRING);
    }",
    place: None,
};

/// Findings of a map: a table of its own, since a map has another partition key than a diff.
pub const MAP_DIAGNOSTICS: Schema = Schema {
    name: "map_diagnostics",
    ..DIAGNOSTICS
};

/// Pieces of the disk with one answer.
pub const PIECES: Schema = Schema {
    name: "pieces",
    message: "message pieces {
        optional binary volume (STRING);
        required int64 start;
        required int64 length;
        required binary class (STRING);
        optional binary detail (STRING);
        optional boolean allocated;
        required int64 owners;
        required int64 bin;
        required int64 last_bin;
    }",
    place: Some(1),
};

/// The files that own a piece: one row for each piece and owner.
pub const OWNERS: Schema = Schema {
    name: "owners",
    message: "message owners {
        optional binary volume (STRING);
        required int64 start;
        required int64 length;
        required binary file (STRING);
        optional binary kind (STRING);
        optional binary path (STRING);
        optional binary path_raw;
        required int64 names;
        optional binary stream (STRING);
        required binary role (STRING);
        optional int64 file_offset;
        required int64 bin;
        required int64 last_bin;
    }",
    place: Some(1),
};

/// All names of the files that have more than one, once each.
pub const NAMES: Schema = Schema {
    name: "names",
    message: "message names {
        optional binary volume (STRING);
        required binary file (STRING);
        required binary path (STRING);
        required binary path_raw;
    }",
    place: None,
};
