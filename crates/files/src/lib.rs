//! A disk changed in these blocks: which files is that?
//!
//! ```no_run
//! let report = hexz_files::Diff::new()
//!     .base("before.qcow2")
//!     .merged("after.img")
//!     .run()?;
//! for change in &report.changes {
//!     println!("{} {}", change.change.letter(), String::from_utf8_lossy(&change.path));
//! }
//! # Ok::<(), hexz_files::Error>(())
//! ```
//!
//! | question | answer |
//! |---|---|
//! | [`Diff`] | what happened to which files between two states of a disk |
//! | [`Owners`] | whose the bytes in given places are |
//! | [`Map`] | whose all bytes of a disk are |
//! | [`Layout`] | which partitions and filesystems a disk has |
//!
//! A disk is an [`Image`]: a path, or any [`ReadAt`]. [`Settings`] bound what a run may spend, name
//! its threads, show its progress and cancel it. Each answer comes as data in one piece
//! ([`run`](Diff::run)), or piece by piece in bounded memory ([`visit`](Diff::visit)).
//!
//! Images are not trusted: a damaged or hostile one costs a part of the answer, which then says so
//! ([`Summary::complete`](report::Summary::complete)), and no more than the [`Limits`]. No image is
//! written to, and no file that an image names is opened without the leave of the
//! [`OpenGate`].
//!
//! What a plugin for another filesystem needs is in [`plugin`].

mod changes;
mod diff;
mod image;
mod owners;
mod plugins;
mod settings;

pub use changes::Changes;
pub use diff::Diff;
pub use image::Image;
pub use owners::{Layout, Map, Owners};
pub use plugins::{plugins, registry};
pub use settings::{Cancel, Settings};

pub use hexz_resolve::engine::{Detection, Forced};
pub use hexz_resolve::{
    Attributes, ByteRange, Class, Diagnostic, Error, ErrorKind, FileKey, FileKind, JournalMode,
    Limits, Loss, OpenGate, Precision, Progress, RangeSet, RawName, ReadAt, ReadError, Registry,
    Result, Role, Severity, Timestamp, View,
};
pub use hexz_source::{DefaultGate, ListFormat};

/// The answers as data, and what takes them piece by piece.
pub mod report {
    pub use hexz_resolve::report::*;
}

/// What a plugin for a filesystem or a volume scheme is made of.
pub mod plugin {
    pub use hexz_resolve::{
        ByteMap, Claim, Descriptor, Diagnostics, DuplicateId, ExtentKey, ExtentSet, FileSet,
        Filesystem, FilesystemPlugin, FoundVolume, FsInfo, FsState, Group, KnownFormat, Lineage,
        Link, LinkCoverage, Magic, Member, OpenContext, Owner, Probe, RegistryBuilder, Replayed,
        Scan, Segment, Sink, Structure, UnitReader, Unusable, VolumeScheme, VolumeSet, Window,
        Xattr, check_bounds, read_vec,
    };
}

/// Reports as text, and records read back from their JSON.
#[cfg(feature = "report")]
pub mod write {
    pub use hexz_report::*;
}
