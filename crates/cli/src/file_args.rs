//! Arguments of the commands that take files out of an image.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::engine_args::EngineArgs;
use crate::status::with_status;
use crate::values::size;

const LS_EXAMPLES: &str = "\
Examples:
  hexz ls disk.img                  the root of each filesystem
  hexz ls -l disk.img /etc          like ls -ln; times are in UTC
  hexz ls -R disk.img p2:/home      everything below, on partition 2
  hexz ls --json vm.qcow2 /etc/passwd";

/// `hexz ls`.
#[derive(Debug, Args)]
#[command(after_help = with_status(LS_EXAMPLES))]
pub(crate) struct LsArgs {
    /// The disk: a raw image, a block device, or an image of a kind that `hexz --version` lists
    pub(crate) image: PathBuf,
    /// A path in it, or VOLUME:/PATH; may be repeated
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,
    /// Show mode, links, owner, size and time
    #[arg(short)]
    pub(crate) long: bool,
    /// Everything below
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// A directory itself, and not what is in it
    #[arg(short, long)]
    pub(crate) directory: bool,
    /// End names with NUL, and do not escape them
    #[arg(short = '0', long = "null", conflicts_with_all = ["json", "long"])]
    pub(crate) nul: bool,
    /// Write JSON Lines (schema 1)
    #[arg(long, conflicts_with = "long")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

const CAT_EXAMPLES: &str = "\
Examples:
  hexz cat disk.img /etc/passwd
  hexz cat windows.img p3:/notes.txt:author     a named stream of NTFS";

/// `hexz cat`.
#[derive(Debug, Args)]
#[command(after_help = with_status(CAT_EXAMPLES))]
pub(crate) struct CatArgs {
    /// The disk: a raw image, a block device, or an image of a kind that `hexz --version` lists
    pub(crate) image: PathBuf,
    /// A path in it, VOLUME:/PATH, or PATH:STREAM; may be repeated
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

const EXTRACT_EXAMPLES: &str = "\
Examples:
  hexz extract disk.img /etc --to out                  out/etc/…
  hexz extract disk.img p2:/ --to out                  a whole filesystem
  hexz ls -R -0 disk.img /var/log | hexz extract disk.img -0 --files-from - --to out

What is left out is named, and the answer is not whole then.";

/// `hexz extract`.
#[derive(Debug, Args)]
#[command(after_help = with_status(EXTRACT_EXAMPLES))]
pub(crate) struct ExtractArgs {
    /// The disk: a raw image, a block device, or an image of a kind that `hexz --version` lists
    pub(crate) image: PathBuf,
    /// A path in it, VOLUME:/PATH, or PATH:STREAM; a directory is taken with all below it
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    pub(crate) paths: Vec<OsString>,
    /// The folder to write to; it is made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Read more paths from a file, one a line (- for standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// The paths of --files-from end with NUL
    #[arg(short = '0', long = "null", requires = "files_from")]
    pub(crate) nul: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// What `hexz diff` writes of the files that changed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files that changed")]
pub(crate) struct TakeArgs {
    /// Write the files that were added, modified or renamed, as they are after the change,
    /// below DIR/VOLUME, with a report in DIR/changes.jsonl
    #[arg(long, value_name = "DIR")]
    pub(crate) extract: Option<PathBuf>,
    /// With --extract: as they were before the change
    #[arg(long, requires = "extract")]
    pub(crate) before: bool,
    /// With --extract: both, below DIR/before and DIR/after, for diff -r
    #[arg(long, requires = "extract", conflicts_with = "before")]
    pub(crate) both: bool,
    /// Write a tar archive of what changed, with whiteouts for what was deleted (- for standard
    /// output; compressed for .gz and .zst)
    #[arg(long, value_name = "FILE")]
    pub(crate) tar: Option<PathBuf>,
    /// The same as a layer of an OCI image: without sparse files, which not all tools read
    #[arg(long, value_name = "FILE", conflicts_with = "tar")]
    pub(crate) oci_layer: Option<PathBuf>,
    /// The guest keeps its changes in the upper folder of an overlayfs at this path: say what it
    /// saw there, and write layers and folders of that
    #[arg(long, value_name = "PATH", conflicts_with = "verify")]
    pub(crate) overlay_upper: Option<OsString>,
    /// Write a patch in the form of git diff
    #[arg(short = 'p', long, conflicts_with_all = ["json", "name_status", "name_only", "blocks"])]
    pub(crate) patch: bool,
    /// Equal lines around what differs in a patch
    #[arg(
        short = 'U',
        long,
        value_name = "N",
        requires = "patch",
        default_value_t = 3
    )]
    pub(crate) unified: u32,
    /// Files of more bytes are not compared line by line
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "patch", default_value = "16M")]
    pub(crate) patch_limit: u64,
    /// Read each reported range of a file again through other parsers (ext4-view, ntfs), and
    /// compare it with the bytes at the place on the disk that was named
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// The child process of --verify.
#[derive(Debug, Args)]
pub(crate) struct VerifyChildArgs {
    /// Which parser
    pub(crate) parser: String,
    /// Bytes of the volume
    pub(crate) length: u64,
}

/// The name of its command.
pub(crate) const VERIFY_CHILD: &str = "verify-child";

impl TakeArgs {
    /// Whether files must be known.
    pub(crate) fn any(&self) -> bool {
        self.writes() || self.verify || self.overlay_upper.is_some()
    }

    /// Whether anything but the report is written.
    pub(crate) fn writes(&self) -> bool {
        self.extract.is_some() || self.archive().is_some() || self.patch
    }

    /// The archive that is to be written.
    pub(crate) fn archive(&self) -> Option<&PathBuf> {
        self.tar.as_ref().or(self.oci_layer.as_ref())
    }

    /// Whether something other than the report goes to standard output.
    pub(crate) fn takes_stdout(&self) -> bool {
        self.patch || self.archive().is_some_and(|file| file.as_os_str() == "-")
    }
}

/// How files are written.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Keep owners, setuid, extended attributes, devices, fifos and sockets (mostly needs root)
    #[arg(long)]
    pub(crate) preserve: bool,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
    /// Write no more bytes than this, holes aside: 500M, 20G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_size: Option<u64>,
    /// Write no more files than this
    #[arg(long, value_name = "N")]
    pub(crate) max_files: Option<u64>,
}
