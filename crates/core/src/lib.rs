//! From changed disk ranges to files.
//!
//! This crate has the vocabulary ([`ByteRange`], [`RangeSet`], [`ReadAt`], [`ChangeSet`],
//! [`Claim`], [`Link`]), the three kinds of plugin ([`ChangeSource`], [`VolumeScheme`],
//! [`FilesystemPlugin`]), the [`Registry`] of them, and the [`engine`] that pipes a change set
//! through them into a [`Report`](report::Report). It knows no format, opens no file and prints
//! nothing.

mod buffer;
mod change;
mod claim;
mod content;
mod diagnostic;
mod disks;
pub mod engine;
mod error;
mod fields;
mod file;
mod known;
mod limits;
mod memo;
mod metered;
mod open;
mod plugin;
mod probe;
mod progress;
mod range;
mod range_set;
mod read;
mod registry;
pub mod report;
mod scan;
mod scratch;
mod seek;
mod threads;
mod volume;

pub use buffer::with_buffer;
pub use change::{ChangeSet, ChangeSource, Loaded, OpenGate, Precision};
pub use claim::{Bounded, Claim, Class, ExtentKey, ExtentSet, Owner, Role, Sink};
pub use diagnostic::{Diagnostic, Diagnostics, Loss, Severity};
pub use disks::{Disk, Disks, Joined};
pub use error::{Error, ErrorKind, Result, View};
pub use fields::{Field, FieldForm, FieldTable, Records};
pub use file::{
    Attributes, FileKey, FileKind, FileSet, Lineage, Link, RawName, ShownFile, Timestamp, Xattr,
};
pub use known::{KnownFormat, Sign, Standing};
pub use limits::Limits;
pub use open::{JournalMode, Member, OpenContext};
pub use plugin::{Filesystem, FilesystemPlugin, FsInfo, FsState, LinkCoverage, Replayed};
pub use probe::{Descriptor, Group, Magic, Probe, Window};
pub use progress::{Progress, Silent};
pub use range::ByteRange;
pub use range_set::{RangeCursor, RangeSet};
pub use read::{ReadAt, ReadError, check_bounds, read_around, read_vec};
pub use registry::{DuplicateId, Registry, RegistryBuilder, UnknownId};
pub use scan::{Scan, Shared, UnitReader};
pub use scratch::{Scratch, ScratchFile};
pub use threads::Threads;
pub use volume::{
    ByteMap, FoundVolume, MappedReader, Parity, Piece, Places, Rule, Segment, StripeLayout,
    Stripes, Structure, Turn, Unusable, VolumeScheme, VolumeSet,
};
