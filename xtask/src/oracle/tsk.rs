//! What The Sleuth Kit says of the files of a FAT or an exFAT.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Mix;
use super::disk::output;

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// The sectors of its clusters, in their order.
    pub(crate) sectors: Vec<u64>,
    /// When it was made, in seconds.
    pub(crate) made: i64,
}

/// All files of the volume of `mix` in `image`, by path.
pub(crate) fn describe(
    image: &Path,
    mix: &Mix,
    kind: &str,
) -> Result<BTreeMap<Vec<u8>, Described>> {
    let image = image.to_str().context("path of the image")?;
    let start = mix.start.to_string();
    let of = ["-o", &start, "-f", kind, "-z", "UTC"];
    let list = output(
        "fls",
        &[&of[..], &["-r", "-p", "-u", "-m", "/", image]].concat(),
    )?;
    let mut found = BTreeMap::new();
    for line in String::from_utf8(list)?.lines() {
        let words: Vec<&str> = line.split('|').collect();
        let [_, path, inode, mode, .., made] = words[..] else {
            continue;
        };
        let shown = mode.starts_with(['r', 'd']) && !path.starts_with("/$");
        if !shown || path.contains("(Volume Label Entry)") {
            continue;
        }
        let text = output("istat", &[&of[..], &[image, inode]].concat())?;
        found.insert(
            path.as_bytes().to_vec(),
            Described {
                sectors: sectors(&String::from_utf8_lossy(&text)),
                made: made.parse()?,
            },
        );
    }
    Ok(found)
}

/// The numbers behind `Sectors:`.
fn sectors(text: &str) -> Vec<u64> {
    let list = text.split("Sectors:").nth(1).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_listed_in_lines() {
        let text = "Created:\t2026-11-27 23:15:52 (UTC)\n\nSectors:\n1293 1294 \n1300\n";
        assert_eq!(sectors(text), [1293, 1294, 1300]);
        assert_eq!(sectors("Sectors:\n"), [0; 0]);
    }
}
