//! Arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine_args::EngineArgs;
use crate::file_args::{CatArgs, ExtractArgs, LsArgs, TakeArgs, VERIFY_CHILD, VerifyChildArgs};
use crate::status::{TABLE, with_status};
use crate::values::{Span, range_of};
use crate::view::ViewArgs;

/// What changed on a disk, and which files that is.
#[derive(Debug, Parser)]
#[command(name = "hexz", version, about, max_term_width = 100, after_help = TABLE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows what changed on a disk, and which files that is
    Diff(Box<DiffArgs>),
    /// Lists partitions and filesystems
    Layout(LayoutArgs),
    /// Says who owns given blocks
    Owner(OwnerArgs),
    /// Says who owns each piece of a disk
    Map(MapArgs),
    /// Lists the files on an image
    Ls(LsArgs),
    /// Writes the bytes of files on an image
    Cat(CatArgs),
    /// Takes files out of an image
    Extract(ExtractArgs),
    /// Says what a finding means, and what to do about it
    Explain(ExplainArgs),
    /// Writes completions for a shell
    Completions(CompletionsArgs),
    /// Reads files through other parsers, for --verify
    #[command(name = VERIFY_CHILD, hide = true)]
    VerifyChild(VerifyChildArgs),
}

const DIFF_EXAMPLES: &str = "\
Examples:
  hexz diff vm.overlay                               how many blocks changed
  hexz diff vm.overlay --files --base disk.hxz       which files that is
  hexz diff --files vm.qcow2                         the same, with its backing file as base
  hexz diff --files before.img after.img             two images
  hexz diff --files --base disk.img --changes list   who owns the blocks in a list
  hexz diff vm.overlay --base disk.hxz --json | jq 'select(.type==\"change\").path'
  hexz diff vm.overlay --base disk.hxz --name-only -z -- /etc | xargs -0 -n1 echo";

/// What changes are read from, and what writes it.
const DIFF_SOURCES: &str = "\
What is read:
  what changed               written by                         given as
  overlay and .meta index    hexz                               OVERLAY --base IMAGE
  write layer, a folder      hexz mount -o (0.8)                LAYER --base ARCHIVE
  two archives               hexz pack, of disks or folders     BEFORE AFTER
  archive over its parent    hexz pack --base, hexz commit      ARCHIVE
  image over its parent      qemu (qcow2, QED, VMDK)            IMAGE
                             Hyper-V (VHD, VHDX)                IMAGE
                             VMware (VMDK snapshots, clones)    IMAGE
                             VirtualBox (VDI, differencing)     IMAGE --base PARENT
  internal snapshot          qemu-img snapshot (qcow2)          IMAGE --snapshot NAME
  persistent dirty bitmap    qemu-img bitmap, backups (qcow2)   IMAGE --bitmap NAME
  snapshot on the same disk  LVM (dm-snapshot)                  DISK --volume VG/SNAPSHOT
  its store, a COW device    dm-snapshot                        STORE --base ORIGIN
  undo file                  e2fsprogs (-z)                     --changes FILE --merged DISK
  two disks                  any of these; raw, e2image -Q      BEFORE AFTER
  sets of disks              mdadm, LVM, mkfs.btrfs             BEFORE AFTER --disk BEFORE:AFTER
  list of extents            see --changes-format               --changes FILE --base IMAGE

An image that a guest is using can be read as it lies: nothing is locked, and nothing written. What
the guest still has in memory is not in it; journals are replayed in memory, as a mount would after
a crash. The header of a qcow2 image is read again at the end: if a table moved meanwhile, the
report says so and is not whole. For one moment of a busy guest, take a snapshot and read that.";

#[derive(Debug, Args)]
#[command(after_help = with_status(&format!("{DIFF_EXAMPLES}\n\n{DIFF_SOURCES}")))]
pub(crate) struct DiffArgs {
    /// The overlay (its index is beside it, with the extension .meta), an image that stands on
    /// another one, or the disk before
    #[arg(required_unless_present_any = ["changes", "overlays"])]
    pub(crate) overlay: Option<PathBuf>,
    /// The disk after, to compare two images
    #[arg(conflicts_with_all = ["base", "changes", "snapshot"])]
    pub(crate) other: Option<PathBuf>,
    /// Show block statistics
    #[arg(long)]
    pub(crate) blocks: bool,
    /// Name the files that changed; without a base, list the changed blocks
    #[arg(long)]
    pub(crate) files: bool,
    /// The disk before; where it is not known otherwise, HEXZ_BASE names it
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<PathBuf>,
    /// The base that the environment names. (As an argument's own default it would forbid to
    /// compare two images, and replace the backing file that an image names.)
    #[arg(skip)]
    pub(crate) default_base: Option<PathBuf>,
    /// Read the changed ranges from a list (- for standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "overlay")]
    pub(crate) changes: Option<PathBuf>,
    /// Who wrote the list
    #[arg(
        long,
        value_name = "FORMAT",
        requires = "changes",
        conflicts_with = "overlay"
    )]
    pub(crate) changes_format: Option<ListFormat>,
    /// Bytes of a unit of a text list or a bitmap
    #[arg(
        long,
        value_name = "BYTES",
        requires = "changes",
        conflicts_with = "overlay",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) unit: u64,
    /// The disk after, for a list
    #[arg(
        long,
        value_name = "IMAGE",
        requires = "changes",
        conflicts_with = "overlay"
    )]
    pub(crate) merged: Option<PathBuf>,
    /// Compare each overlay in this folder with the base: a report in JSON for each, the overlay's
    /// name first in each record
    #[arg(long, value_name = "DIR", conflicts_with_all = ["overlay", "other", "changes"])]
    pub(crate) overlays: Option<PathBuf>,
    /// Write the report of each overlay to a file in this folder
    #[arg(long, value_name = "DIR", requires = "overlays")]
    pub(crate) to: Option<PathBuf>,
    /// Compare with this internal snapshot of a qcow2 image
    #[arg(long, value_name = "NAME", conflicts_with = "changes")]
    pub(crate) snapshot: Option<String>,
    /// Take this persistent dirty bitmap of a qcow2 image for the list of what changed
    #[arg(long, value_name = "NAME", conflicts_with_all = ["changes", "snapshot", "other"])]
    pub(crate) bitmap: Option<String>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// End names with NUL, and do not escape them; for --name-status and --name-only
    #[arg(short = 'z', requires = "names", conflicts_with = "json")]
    pub(crate) nul: bool,
    /// Exit with 1 when there are changes
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Also write Parquet tables below this folder, in a partition for this overlay
    #[cfg(feature = "parquet")]
    #[arg(long, value_name = "DIR")]
    pub(crate) parquet: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(flatten)]
    pub(crate) take: TakeArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Show only changes at or below these paths, as a volume has them (/config), as the guest
    /// has them (/boot/config), or with a volume (p2:/config)
    #[arg(last = true, value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,
}

impl DiffArgs {
    /// Notes the base that the environment names.
    pub(crate) fn or_base(mut self, named: Option<OsString>) -> Self {
        let named = named.filter(|name| !name.is_empty());
        self.default_base = named.map(PathBuf::from);
        self
    }

    /// The base of what knows none by itself.
    pub(crate) fn any_base(&self) -> Option<&PathBuf> {
        self.base.as_ref().or(self.default_base.as_ref())
    }
}

#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct FormatArgs {
    /// Write JSON Lines (schema 1)
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a letter and a path a line: A D R M m T
    #[arg(long, group = "names")]
    pub(crate) name_status: bool,
    /// Write a path a line
    #[arg(long, group = "names")]
    pub(crate) name_only: bool,
}

impl FormatArgs {
    pub(crate) fn any(self) -> bool {
        self.json || self.name_status || self.name_only
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// qemu-img map --output=json
    #[value(name = "qemu-img-map", alias = "qemu")]
    QemuMap,
    /// nbdinfo --map, with --json or without
    #[value(name = "nbdinfo", alias = "nbd")]
    NbdInfo,
    /// rbd diff, with --format json or without
    #[value(name = "rbd-diff", alias = "rbd")]
    RbdDiff,
    /// A ddrescue map file
    Ddrescue,
    /// AWS EBS direct APIs: ListChangedBlocks, ListSnapshotBlocks
    Ebs,
    /// Kubernetes CSI changed block metadata
    Csi,
    /// VMware QueryChangedDiskAreas
    Vmware,
    /// thin_delta, of two thin volumes of a pool
    ThinDelta,
    /// qemu-img compare: the first difference only
    #[value(name = "qemu-img-compare")]
    QemuCompare,
    /// Lines of [START,END), in bytes
    Intervals,
    /// A file of bits, one a --unit, the lowest of a byte first
    Bitmap,
    /// An undo file of mke2fs, tune2fs, resize2fs, e2fsck or debugfs (-z): with --merged DISK, it
    /// gives the disk before
    #[value(name = "e2undo")]
    Undo,
    /// Lines of BLOCK or START+LENGTH
    Text,
}

impl From<ListFormat> for hexz_source::ListFormat {
    fn from(format: ListFormat) -> Self {
        match format {
            ListFormat::QemuMap => Self::QemuMap,
            ListFormat::NbdInfo => Self::NbdInfo,
            ListFormat::RbdDiff => Self::RbdDiff,
            ListFormat::Ddrescue => Self::Ddrescue,
            ListFormat::Ebs => Self::Ebs,
            ListFormat::Csi => Self::Csi,
            ListFormat::Vmware => Self::Vmware,
            ListFormat::ThinDelta => Self::ThinDelta,
            ListFormat::QemuCompare => Self::QemuCompare,
            ListFormat::Intervals => Self::Intervals,
            ListFormat::Bitmap => Self::Bitmap,
            ListFormat::Undo => Self::Undo,
            ListFormat::Text => Self::Text,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = with_status("Example:\n  hexz layout disk.hxz"))]
pub(crate) struct LayoutArgs {
    /// The disk: a raw image, a block device, or an image of a kind that `hexz --version` lists
    pub(crate) image: PathBuf,
    /// Write JSON Lines (schema 1)
    #[arg(long)]
    pub(crate) json: bool,
    /// Say for each place which formats show themselves there, and why one won
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

const OWNER_EXAMPLES: &str = "\
Examples:
  hexz owner disk.img --block 4711          a block of 4096 bytes
  hexz owner /dev/sda --lba 1953514 --lba 1953520-1953527
  hexz owner disk.img --from badblocks.txt --json
  hexz owner base.img --lists changed/      bytes by list and file";

#[derive(Debug, Args)]
#[command(after_help = with_status(OWNER_EXAMPLES))]
pub(crate) struct OwnerArgs {
    /// The disk: a raw image, a block device, or an image of a kind that `hexz --version` lists
    pub(crate) image: PathBuf,
    /// A block of 4096 bytes, or a range A-B of them; may be repeated. With --disk, DISK:N is one
    /// of that disk
    #[arg(long, value_name = "N", value_parser = range_of::<4096>)]
    pub(crate) block: Vec<Span>,
    /// A byte, or a range A-B
    #[arg(long, value_name = "B", value_parser = range_of::<1>)]
    pub(crate) offset: Vec<Span>,
    /// A sector of 512 bytes, or a range A-B
    #[arg(long, value_name = "S", value_parser = range_of::<512>)]
    pub(crate) lba: Vec<Span>,
    /// A file with a block, a range A-B, or START+LENGTH (in blocks) a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Vec<PathBuf>,
    /// Many lists of changed blocks: a folder of them, or a file that names one a line; any form
    /// that diff --changes reads, and .meta files. Sums bytes by list, volume, class and path;
    /// with --json it writes each piece
    #[arg(long, value_name = "DIR|FILE", conflicts_with_all = ["block", "offset", "lba", "from"])]
    pub(crate) lists: Option<PathBuf>,
    /// Bytes of a unit of the text lists
    #[arg(long, value_name = "BYTES", requires = "lists", default_value_t = 4096,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) unit: u64,
    /// Write JSON Lines (schema 1)
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

const MAP_EXAMPLES: &str = "\
Examples:
  hexz map disk.img --html page.html                        what is where, in a browser
  hexz map disk.img --json | jq 'select(.class==\"unresolved\")'";

#[derive(Debug, Args)]
#[command(after_help = with_status(MAP_EXAMPLES))]
pub(crate) struct MapArgs {
    /// The disk: a raw image, a block device, or an image of a kind that `hexz --version` lists
    pub(crate) image: PathBuf,
    /// Write JSON Lines (schema 1)
    #[arg(long)]
    pub(crate) json: bool,
    /// Write one page for a browser instead, which needs no network: the disk as a picture, what
    /// each directory holds, and a table of all files
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(crate) html: Option<PathBuf>,
    /// Write Parquet tables below this folder instead, in a partition for this image
    #[cfg(feature = "parquet")]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "html"])]
    pub(crate) parquet: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code of a finding, as JSON has it; without one all are listed
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hexz completions bash > /etc/bash_completion.d/hexz")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_have_the_names_that_they_have_elsewhere() {
        let ours = ListFormat::value_variants();
        let names = ours.iter().map(|format| {
            let name = format.to_possible_value().unwrap();
            assert_eq!(
                name.get_name(),
                hexz_source::ListFormat::from(*format).as_str()
            );
            name.get_name().to_owned()
        });
        let all = hexz_source::ListFormat::ALL.map(|format| format.as_str().to_owned());
        assert_eq!(names.collect::<Vec<_>>(), all);
    }
}
