//! `hexz ls`: files of a filesystem, by name, like `ls`, or as JSON Lines.

use std::io::{Result, Write};

use hexz_resolve::{Attributes, FileKind, Timestamp};

use crate::escape::escaped;
use crate::json::write_entry_json;
use crate::listed::ListedFile;
use crate::time::rfc3339;

/// How files are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// A name a line.
    #[default]
    Names,
    /// Raw names that end with NUL.
    Nul,
    /// A line as `ls -ln` writes it; times are in UTC.
    Long,
    /// A JSON object a line.
    Json,
}

impl Listing {
    /// Writes `files`, which are listed together.
    ///
    /// # Errors
    /// Of `out`.
    pub fn write(self, out: &mut dyn Write, files: &[ListedFile]) -> Result<()> {
        match self {
            Self::Names => files
                .iter()
                .try_for_each(|file| writeln!(out, "{}", escaped(&file.shown))),
            Self::Nul => files.iter().try_for_each(|file| {
                out.write_all(&file.shown)?;
                out.write_all(b"\0")
            }),
            Self::Long => long(out, files),
            Self::Json => files
                .iter()
                .try_for_each(|file| write_entry_json(out, file)),
        }
    }
}

fn long(out: &mut dyn Write, files: &[ListedFile]) -> Result<()> {
    let rows: Vec<[String; 7]> = files.iter().map(columns).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.len());
        }
    }
    for [mode, links, uid, gid, size, time, name] in &rows {
        let [m, l, u, g, s, t] = widths;
        writeln!(
            out,
            "{mode:m$} {links:>l$} {uid:>u$} {gid:>g$} {size:>s$} {time:>t$} {name}"
        )?;
    }
    Ok(())
}

/// What is not known is shown as `?`, what the filesystem does not have as `-`.
fn columns(file: &ListedFile) -> [String; 7] {
    let name = escaped(&file.shown);
    let Some(a) = &file.attributes else {
        let unknown = || "?".to_owned();
        let mode = "??????????".to_owned();
        return [
            mode,
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            name,
        ];
    };
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let size = match (a.kind, a.rdev) {
        (FileKind::BlockDevice | FileKind::CharDevice, Some(device)) => {
            format!("{}, {}", device >> 32, device & 0xFFFF_FFFF)
        }
        _ => a.size.to_string(),
    };
    let name = match &a.target {
        Some(target) => format!("{name} -> {}", escaped(target.as_bytes())),
        None => name,
    };
    [
        mode(a),
        number(a.nlink),
        number(a.uid.map(u64::from)),
        number(a.gid.map(u64::from)),
        size,
        a.mtime.map_or_else(|| "-".to_owned(), minute),
        name,
    ]
}

/// `2026-01-02 03:04`.
fn minute(time: Timestamp) -> String {
    let text = rfc3339(time, true);
    let end = text.rfind(':').unwrap_or(text.len());
    text[..end].replace('T', " ")
}

/// The letter of a kind of file, as `ls -l` has it.
pub(crate) fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => '-',
        FileKind::Directory | FileKind::Subvolume => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::BlockDevice => 'b',
        FileKind::CharDevice => 'c',
    }
}

/// `drwxr-xr-x`.
fn mode(a: &Attributes) -> String {
    let kind = letter(a.kind);
    let Some(mode) = a.mode else {
        return format!("{kind}---------");
    };
    let mut out = String::from(kind);
    for (shift, special, set, unset) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::FileKey;

    #[test]
    fn modes_are_those_of_ls() {
        let shown = |kind, bits: u32| {
            let mut a = Attributes::new(FileKey::new(1), kind);
            a.mode = Some(bits);
            mode(&a)
        };
        assert_eq!(shown(FileKind::File, 0o4755), "-rwsr-xr-x");
        assert_eq!(shown(FileKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(shown(FileKind::File, 0o6644), "-rwSr-Sr--");
        assert_eq!(shown(FileKind::CharDevice, 0o1000), "c--------T");
    }
}
