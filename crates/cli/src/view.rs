//! Options about what is shown of a diff, and how.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use hexz_report::{Globs, Places, Selection, View};

/// Levels of directories that `--stat` shows unless it is told otherwise.
const STAT_DEPTH: &str = "3";

#[derive(Debug, Args)]
#[command(next_help_heading = "What is shown")]
pub(crate) struct ViewArgs {
    /// Show everything, one line each: also changes of only atime or ctime
    #[arg(long)]
    pub(crate) all: bool,
    /// Show directories whose names changed
    #[arg(long)]
    pub(crate) dirs: bool,
    /// Show only changes that are notable: accounts, keys, services, boot files and their like
    #[arg(long)]
    pub(crate) notable: bool,
    /// Show bytes by directory, to DEPTH levels: written ones, and those of content that differ
    #[arg(
        long,
        value_name = "DEPTH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = STAT_DEPTH,
        conflicts_with_all = ["json", "names"]
    )]
    pub(crate) stat: Option<usize>,
    /// Show the N largest changes
    #[arg(long, value_name = "N", conflicts_with_all = ["json", "names", "stat"])]
    pub(crate) top: Option<usize>,
    /// Show which fields of on-disk records differ, such as those of superblocks, and their values
    #[arg(long, conflicts_with_all = ["json", "names"])]
    pub(crate) explain: bool,
    /// Also write one page for a browser, which needs no network: pictures, sums and a table
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Show only changes whose path or name matches; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) only: Vec<String>,
    /// Leave out changes whose path or name matches; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) exclude: Vec<String>,
    /// Show paths from the root of each volume, and not as the guest mounts them
    #[arg(long)]
    pub(crate) volume_paths: bool,
}

fn glob(text: &str) -> Result<String, String> {
    Globs::new([text]).map_err(|e| e.kind().to_string())?;
    Ok(text.to_owned())
}

/// Columns of the terminal, or as the environment says.
fn columns() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok();
    let said = said.and_then(|columns| columns.parse().ok());
    said.or_else(|| {
        let (width, _) = terminal_size::terminal_size()?;
        Some(usize::from(width.0))
    })
}

impl ViewArgs {
    /// Whether something of it was asked for, which is then about files.
    pub(crate) fn any(&self) -> bool {
        let flags = [
            self.all,
            self.dirs,
            self.notable,
            self.explain,
            self.volume_paths,
        ];
        flags.contains(&true)
            || self.stat.is_some()
            || self.top.is_some()
            || self.html.is_some()
            || !self.only.is_empty()
            || !self.exclude.is_empty()
    }

    /// What is shown of the changes at or below `paths`.
    pub(crate) fn selection(
        &self,
        paths: &[OsString],
        places: Places,
    ) -> anyhow::Result<Selection> {
        let globs = |patterns: &[String]| {
            let some = (!patterns.is_empty()).then_some(patterns);
            some.map(|p| Globs::new(p.iter().map(String::as_str)))
                .transpose()
        };
        let paths = paths.iter();
        Ok(Selection {
            directories: self.dirs,
            all: self.all,
            notable: self.notable,
            paths: paths.map(|p| p.as_encoded_bytes().to_vec()).collect(),
            only: globs(&self.only)?,
            exclude: globs(&self.exclude)?,
            places,
        })
    }

    /// How people see it.
    pub(crate) fn view(&self) -> View {
        View {
            width: columns(),
            stat: self.stat,
            top: self.top,
            explain: self.explain,
        }
    }
}
