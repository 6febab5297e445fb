//! NTFS, through `ntfs-3g` and its tools: the kernel's driver tells neither places nor streams.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::disk::{Loop, output};
use super::extents::Checked;
use super::tree::{Extent, Tree};
use super::{Mix, Subject};

/// The subject.
pub(crate) struct Ntfs;

const FILESYSTEM: &str = "ntfs-3g";
/// Type of `$DATA`.
const DATA: u32 = 0x80;

impl Subject for Ntfs {
    fn name(&self) -> &'static str {
        "ntfs"
    }

    fn mixes(&self) -> &'static [Mix] {
        &MIXES
    }

    fn look(&self) -> &'static str {
        "ro,streams_interface=xattr"
    }

    fn ignores(&self, _path: &[u8]) -> bool {
        false
    }

    /// `ntfs-3g` writes no log, so what a disk in use has is not all there is.
    fn can_be_live(&self) -> bool {
        false
    }

    fn note(&self) -> &'static str {
        "Here `ntfs-3g` stands for the kernel, and `ntfscluster` for FIEMAP: it tells the clusters \
         of all attributes of every file record, which are held against the data ranges of the \
         report and against `hexz map` of the whole disk. Named streams are shown as extended \
         attributes, symlinks and special files are those of `ntfs-3g` (Interix files)."
    }
}

const fn mix(name: &'static str, mebibytes: u64, format: &'static [&'static str]) -> Mix {
    Mix {
        name,
        filesystem: FILESYSTEM,
        format,
        mount: "streams_interface=xattr",
        start: 0,
        mebibytes,
    }
}

const MIXES: [Mix; 6] = [
    mix("ntfs-4k", 96, &["mkntfs", "-q", "-F", "-f", "-c", "4096"]),
    mix("ntfs-512", 64, &["mkntfs", "-q", "-F", "-f", "-c", "512"]),
    mix("ntfs-2k", 64, &["mkntfs", "-q", "-F", "-f", "-c", "2048"]),
    mix(
        "ntfs-64k",
        192,
        &["mkntfs", "-q", "-F", "-f", "-c", "65536"],
    ),
    mix(
        "ntfs-sector-4k",
        96,
        &["mkntfs", "-q", "-F", "-f", "-s", "4096", "-c", "4096"],
    ),
    Mix {
        name: "ntfs-sector-63",
        filesystem: FILESYSTEM,
        format: &["mkntfs", "-q", "-F", "-f", "-p", "63", "-c", "4096"],
        mount: "streams_interface=xattr",
        start: 63,
        mebibytes: 96,
    },
];

/// Whether this is an NTFS.
pub(crate) fn applies(mix: &Mix) -> bool {
    mix.filesystem == FILESYSTEM
}

/// Clusters of an attribute that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    kind: u32,
    vcn: u64,
    lcn: u64,
    length: u64,
}

/// What `ntfscluster` says of a file record; nothing for one that is not in use.
fn runs(device: &str, record: u64) -> Vec<Run> {
    let args = ["-f", "-I", &record.to_string(), device];
    let out = output("ntfscluster", &args).unwrap_or_default();
    parse(&String::from_utf8_lossy(&out))
}

/// `    0x80 - non-resident`, a heading, then lines of VCN, LCN and length.
fn parse(text: &str) -> Vec<Run> {
    let mut kind = 0;
    let mut runs = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [number, "-", "non-resident" | "resident"] => {
                let digits = number.trim_start_matches("0x");
                kind = u32::from_str_radix(digits, 16).unwrap_or(0);
            }
            [vcn, lcn, length] => {
                // A hole, and what another record maps, have negative places.
                if let (Ok(vcn), Ok(lcn), Ok(length)) = (vcn.parse(), lcn.parse(), length.parse()) {
                    runs.push(Run {
                        kind,
                        vcn,
                        lcn,
                        length,
                    });
                }
            }
            _ => {}
        }
    }
    runs
}

/// Bytes of a cluster, from the boot sector.
fn cluster(image: &Path, mix: &Mix) -> Result<u64> {
    let mut boot = [0; 16];
    File::open(image)?.read_exact_at(&mut boot, mix.start * 512)?;
    let sector = u64::from(u16::from_le_bytes([boot[11], boot[12]]));
    Ok(match boot[13] {
        n if n <= 128 => u64::from(n) * sector,
        n => sector << (256 - u32::from(n)),
    })
}

/// Fills in where the regular files of `tree` have their data. Left out are files with content in
/// their record, and those with named streams, which `ntfscluster` does not tell apart.
pub(crate) fn locate(image: &Path, mix: &Mix, tree: &mut Tree) -> Result<()> {
    let cluster = cluster(image, mix)?;
    let device = Loop::attach(image, mix)?;
    let mut known: BTreeMap<u64, Option<Vec<Extent>>> = BTreeMap::new();
    for node in tree.values_mut().filter(|n| n.kind == "file") {
        let found = known.entry(node.id.0).or_insert_with(|| {
            let runs = runs(device.name(), node.id.0);
            let data: Vec<&Run> = runs.iter().filter(|r| r.kind == DATA).collect();
            let rising = data.windows(2).all(|w| w[0].vcn < w[1].vcn);
            rising.then(|| {
                let extent = |r: &&Run| Extent {
                    logical: r.vcn * cluster,
                    physical: r.lcn * cluster,
                    length: r.length * cluster,
                    flags: 0,
                };
                data.iter().map(extent).collect()
            })
        });
        let places = found.clone().filter(|places| !places.is_empty());
        node.extents = places.filter(|_| !node.has_streams());
    }
    Ok(())
}

/// Holds the owners of all clusters of `image` against `ntfscluster`, in both directions.
pub(crate) fn check(hexz: &Path, mix: &Mix, image: &Path) -> Result<Checked> {
    let cluster = cluster(image, mix)?;
    let start = mix.start * 512;
    let out = Command::new(hexz)
        .args(["map", "--json"])
        .arg(image)
        .output()
        .context("hexz map")?;
    let mut ours: Vec<Value> = Vec::new();
    for line in String::from_utf8(out.stdout)?.lines() {
        let value: Value = serde_json::from_str(line)?;
        if value["type"] == "owner" && value["start"].as_u64() >= Some(start) {
            ours.push(value);
        }
    }
    // By cluster and record: what each says of it, as offsets in the attribute.
    let mut claimed: BTreeMap<(u64, u64), Option<u64>> = BTreeMap::new();
    let mut last = 0;
    for piece in &ours {
        let number = |key: &str| piece[key].as_u64().unwrap_or(0);
        let from = number("start") - start;
        let to = from + number("length");
        for owner in piece["owners"].as_array().into_iter().flatten() {
            let record = owner["file"].as_str().unwrap_or_default();
            let record: u64 = record.split(':').next().unwrap_or_default().parse()?;
            last = last.max(record);
            if owner["role"] == "inode-record" {
                continue;
            }
            let offset = owner["file_offset"].as_u64();
            for lcn in from / cluster..to.div_ceil(cluster) {
                let at = offset.map(|o| (o + lcn * cluster).saturating_sub(from) / cluster);
                let within_record = lcn * cluster < from && to < (lcn + 1) * cluster;
                if !within_record && lcn * cluster >= from {
                    claimed.insert((lcn, record), at);
                }
            }
        }
    }
    let device = Loop::attach(image, mix)?;
    let mut checked = Checked::default();
    let mut told: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for record in 0..=last + 16 {
        for run in runs(device.name(), record) {
            // The MFT's own clusters are claimed record by record.
            if record == 0 && run.kind == DATA {
                continue;
            }
            checked.extents += 1;
            for n in 0..run.length {
                let (lcn, vcn) = (run.lcn + n, run.vcn + n);
                told.insert((lcn, record), vcn);
                match claimed.get(&(lcn, record)) {
                    Some(offset) if offset.is_none_or(|o| o == vcn) => {}
                    found => checked.complaints.push(format!(
                        "ntfscluster: cluster {lcn} is {vcn} of record {record} type {:#x}: {found:?}",
                        run.kind
                    )),
                }
            }
        }
    }
    if told.is_empty() {
        bail!("ntfscluster tells of no cluster");
    }
    let mft = |lcn: u64| {
        let at = start + lcn * cluster;
        ours.iter().any(|p| {
            let from = p["start"].as_u64().unwrap_or(0);
            let inside = (from..from + p["length"].as_u64().unwrap_or(0)).contains(&at);
            let records = p["owners"].as_array().into_iter().flatten();
            inside && records.into_iter().any(|o| o["role"] == "inode-record")
        })
    };
    for (lcn, record) in claimed.keys() {
        // Content within a record has no cluster of its own.
        if !told.contains_key(&(*lcn, *record)) && !mft(*lcn) {
            let text = format!("ntfscluster: cluster {lcn} is not of record {record}");
            checked.complaints.push(text);
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_and_holes_are_not() {
        let text = "Dump: /a\n    0x30 - resident\n    0x80 - non-resident\n             VCN     \
                    LCN     Length\n               0       -1        4\n               4      \
                    537        1\n";
        let run = Run {
            kind: DATA,
            vcn: 4,
            lcn: 537,
            length: 1,
        };
        assert_eq!(parse(text), [run]);
    }
}
