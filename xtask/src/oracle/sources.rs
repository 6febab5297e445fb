//! Images and change sources, held against qemu-img.
//!
//! For each kind of image and each seed: random writes, zeros and discards by qemu-io. Then what
//! `qemu-img convert` makes of the image must be the same disk to hexz; the changed ranges must be
//! those that `qemu-img map` gives the top layer; and the bytes that differ must be those that
//! differ between the disks that qemu-img converted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use hexz_testkit::Rng;
use serde_json::Value;

use super::vhdx_children;
use crate::run::{check, output};

const BLOCK: u64 = 4096;
const SIZE: u64 = 9 << 20;

/// A kind of image.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Its format and options of `qemu-img create`.
    pub(super) format: &'static str,
    pub(super) options: &'static str,
    /// What it stands on: a format, with its options.
    pub(super) backing: Option<(&'static str, &'static str)>,
    /// Whether it is written by `qemu-img convert`, compressed or not, from the layer below.
    pub(super) converted: Option<bool>,
}

const fn overlay(name: &'static str, options: &'static str, under: &'static str) -> Kind {
    Kind {
        name,
        format: "qcow2",
        options,
        backing: Some(("qcow2", under)),
        converted: None,
    }
}

const fn converted(name: &'static str, format: &'static str, options: &'static str) -> Kind {
    Kind {
        name,
        format,
        options,
        backing: None,
        converted: Some(false),
    }
}

const KINDS: &[Kind] = &[
    overlay("qcow2-v2", "compat=0.10", "compat=0.10"),
    overlay("qcow2-512", "cluster_size=512", "cluster_size=4k"),
    overlay("qcow2-4k", "cluster_size=4k", "cluster_size=64k"),
    overlay("qcow2-64k", "cluster_size=64k", "cluster_size=512"),
    overlay("qcow2-2m", "cluster_size=2M", "cluster_size=64k"),
    overlay(
        "qcow2-subclusters",
        "extended_l2=on",
        "extended_l2=on,cluster_size=16k",
    ),
    overlay(
        "qcow2-lazy-refcounts",
        "lazy_refcounts=on",
        "refcount_bits=64",
    ),
    Kind {
        name: "qcow2-over-raw",
        format: "qcow2",
        options: "cluster_size=64k",
        backing: Some(("raw", "size=0")),
        converted: None,
    },
    overlay(
        "qcow2-data-file",
        "data_file=top.data",
        "data_file=middle.data,data_file_raw=on",
    ),
    Kind {
        name: "qcow2-deflate",
        format: "qcow2",
        options: "compression_type=zlib,cluster_size=16k",
        backing: None,
        converted: Some(true),
    },
    Kind {
        name: "qcow2-zstd",
        format: "qcow2",
        options: "compression_type=zstd",
        backing: None,
        converted: Some(true),
    },
    converted("vhd-dynamic", "vpc", "subformat=dynamic"),
    converted("vhd-fixed", "vpc", "subformat=fixed"),
    converted("vhd-exact", "vpc", "subformat=dynamic,force_size=on"),
    converted("vmdk-sparse", "vmdk", "subformat=monolithicSparse"),
    converted("vmdk-stream", "vmdk", "subformat=streamOptimized"),
    converted("vmdk-flat", "vmdk", "subformat=monolithicFlat"),
    converted("vhdx-dynamic", "vhdx", "subformat=dynamic"),
    converted("vhdx-fixed", "vhdx", "subformat=fixed"),
    converted("vdi-dynamic", "vdi", ""),
    converted("vdi-fixed", "vdi", "static=on"),
    converted("parallels", "parallels", "cluster_size=64k"),
    converted("qed", "qed", "cluster_size=64k"),
    Kind {
        name: "qed-chain",
        format: "qed",
        options: "cluster_size=64k",
        backing: Some(("qed", "cluster_size=64k")),
        converted: None,
    },
    Kind {
        name: "vmdk-chain",
        format: "vmdk",
        options: "",
        backing: Some(("vmdk", "")),
        converted: None,
    },
];

/// What one case compared.
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) seed: u64,
    /// Blocks that the image itself holds.
    pub(super) blocks: usize,
    /// Bytes that differ from what is below.
    pub(super) changed: u64,
}

/// Runs `cargo xtask oracle sources`.
pub(super) fn run(root: &Path, hexz: &Path, dir: &Path, seeds: std::ops::Range<u64>) -> Result<()> {
    let mut rows = Vec::new();
    for kind in KINDS {
        for seed in seeds.clone() {
            rows.push(in_folder(dir, kind.name, seed, |dir| {
                let case = Case {
                    kind,
                    hexz,
                    dir,
                    random: Rng::new(seed),
                };
                case.hold(seed)
            })?);
        }
    }
    for seed in seeds {
        let hold = |dir: &Path| vhdx_children::hold(hexz, dir, seed);
        rows.push(in_folder(dir, "vhdx-children", seed, hold)?);
    }
    fs::write(root.join("docs/oracle-sources.md"), page(&rows))?;
    println!("{} images agree", rows.len());
    Ok(())
}

/// Runs one case in a folder of its own.
fn in_folder(
    dir: &Path,
    name: &str,
    seed: u64,
    hold: impl FnOnce(&Path) -> Result<Row>,
) -> Result<Row> {
    let dir = dir.join(format!("{name}-{seed}"));
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let row = hold(&dir).with_context(|| format!("{name} seed {seed}"))?;
    println!("{} {}: {} blocks", row.kind, row.seed, row.blocks);
    fs::remove_dir_all(&dir)?;
    Ok(row)
}

fn page(rows: &[Row]) -> String {
    let mut page = "# Sources: images against qemu-img\n\n\
         Made by `cargo xtask oracle sources`. Each row is one image with seeded random writes, \
         zeros and discards. hexz finds no difference between it and what `qemu-img convert` makes \
         of it; what it says the image itself holds is what `qemu-img map` says; the bytes that it \
         counts as changed are those that differ between the converted disks. An image with \
         internal snapshots is compared with each of them, too. `vhdx-children` are chains built as \
         their specification has them, and held against dissect.hypervisor and the writes.\n\n\
         | image | seed | blocks | changed bytes |\n|---|--:|--:|--:|\n"
        .to_owned();
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            row.kind, row.seed, row.blocks, row.changed
        );
    }
    page
}

pub(super) struct Case<'a> {
    pub(super) kind: &'a Kind,
    pub(super) hexz: &'a Path,
    pub(super) dir: &'a Path,
    pub(super) random: Rng,
}

impl Case<'_> {
    fn hold(mut self, seed: u64) -> Result<Row> {
        let top = format!("top.{}", self.kind.format);
        let below = self.make(&top)?;
        let truth = self.convert(&["-f", self.kind.format, &top])?;
        self.same_disk(&truth, &top)?;
        let mut row = Row {
            kind: self.kind.name,
            seed,
            blocks: 0,
            changed: 0,
        };
        if self.kind.format != "qcow2" && self.kind.backing.is_none() {
            row.changed = differing(&zeros(truth.len()), &truth);
            return Ok(row);
        }
        let map = self.allocated(&top)?;
        row.blocks = map.len();
        row.changed = differing(&below, &truth);
        self.reported(&[&top], &map, row.changed)?;
        if self.kind.format == "qcow2" {
            self.snapshots(&top)?;
        }
        Ok(row)
    }

    /// Makes the image, and gives the disk below it.
    fn make(&mut self, top: &str) -> Result<Vec<u8>> {
        if self.kind.converted.is_some() {
            self.create("source.qcow2", "qcow2", "cluster_size=64k", None)?;
            self.scribble("source.qcow2", "qcow2")?;
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-f", "qcow2", "-O", self.kind.format]);
            if self.kind.converted == Some(true) {
                command.arg("-c");
            }
            if !self.kind.options.is_empty() {
                command.args(["-o", self.kind.options]);
            }
            command.args(["source.qcow2", top]);
            check(command.current_dir(self.dir))?;
            return Ok(zeros(usize::try_from(SIZE)?));
        }
        let (format, options) = self.kind.backing.context("a backing image")?;
        let middle = format!("middle.{format}");
        self.create("bottom.raw", "raw", "", None)?;
        self.scribble("bottom.raw", "raw")?;
        if format == "raw" {
            fs::rename(self.dir.join("bottom.raw"), self.dir.join(&middle))?;
        } else {
            // An external data file that is raw allows nothing below it.
            // A VMDK allows only one of its own kind.
            let alone = options.contains("data_file_raw") || format == "vmdk";
            let bottom = (!alone).then_some(("bottom.raw", "raw"));
            self.create(&middle, format, options, bottom)?;
            self.scribble(&middle, format)?;
        }
        self.create(
            top,
            self.kind.format,
            self.kind.options,
            Some((&middle, format)),
        )?;
        self.scribble(top, self.kind.format)?;
        self.convert(&["-f", format, &middle])
    }

    fn create(
        &self,
        name: &str,
        format: &str,
        options: &str,
        backing: Option<(&str, &str)>,
    ) -> Result<()> {
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-f", format]);
        if !options.is_empty() {
            command.args(["-o", options]);
        }
        if let Some((file, format)) = backing {
            command.args(["-b", file, "-F", format]);
        }
        check(
            command
                .arg(name)
                .arg(SIZE.to_string())
                .current_dir(self.dir),
        )
    }

    /// Random writes, zeros and discards.
    fn scribble(&mut self, name: &str, format: &str) -> Result<()> {
        let mut command = Command::new("qemu-io");
        command.args(["-f", format]);
        for _ in 0..24 {
            let most = match self.random.below(4) {
                0 => 600,
                1 => 300_000,
                _ => 20_000,
            };
            let length = 1 + self.random.below(most);
            let at = self.random.below(SIZE - length);
            // Zeros and discards in whole clusters now and then.
            let align = |n: u64| n / 65_536 * 65_536;
            let (low, whole) = (align(at), align(length) + 65_536);
            let whole = whole.min(SIZE - low);
            let pattern = 1 + self.random.below(250);
            command.arg("-c").arg(match self.random.below(8) {
                0 => format!("write -z {low} {whole}"),
                1 => format!("write -z {at} {length}"),
                2 => format!("write -z -u {low} {whole}"),
                3 => format!("discard {low} {whole}"),
                _ => format!("write -P {pattern} {at} {length}"),
            });
        }
        output(command.arg(name).current_dir(self.dir)).map(|_| ())
    }

    /// What qemu-img makes of an image.
    fn convert(&self, what: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new("qemu-img");
        command
            .arg("convert")
            .args(what)
            .args(["-O", "raw", "out.raw"]);
        check(command.current_dir(self.dir))?;
        Ok(fs::read(self.dir.join("out.raw"))?)
    }

    /// The blocks that the top layer holds itself, by `qemu-img map`.
    fn allocated(&self, top: &str) -> Result<BTreeSet<u64>> {
        let mut command = Command::new("qemu-img");
        command.args(["map", "--output=json", top]);
        let text = output(command.current_dir(self.dir))?;
        let map: Value = serde_json::from_str(&text)?;
        let mut blocks = BTreeSet::new();
        for extent in map.as_array().context("a list")? {
            let number = |key: &str| extent[key].as_u64().context("a number");
            // Where the chain ends without an answer qemu-img says that nothing is present.
            if number("depth")? == 0 && extent["present"] == true {
                let (start, length) = (number("start")?, number("length")?);
                blocks.extend(start / BLOCK..(start + length).div_ceil(BLOCK));
            }
        }
        Ok(blocks)
    }

    pub(super) fn diff(&self, args: &[&str]) -> Result<Vec<Value>> {
        let mut command = Command::new(self.hexz);
        // Random bytes are no filesystem: all of them stay unresolved.
        command
            .args(["diff", "--files", "--json", "--partial-ok"])
            .args(args);
        let text = output(command.current_dir(self.dir))?;
        let records = text.lines().map(serde_json::from_str);
        Ok(records.collect::<Result<_, _>>()?)
    }

    /// No difference between an image and the raw disk that it should be.
    pub(super) fn same_disk(&self, truth: &[u8], image: &str) -> Result<()> {
        fs::write(self.dir.join("truth.raw"), truth)?;
        let records = self.diff(&["truth.raw", image])?;
        let header = records.first().context("a header")?;
        ensure!(header["disk_size"] == truth.len(), "{image}: {header}");
        ensure!(
            header["blocks"] == 0,
            "{image} is another disk: {records:?}"
        );
        ensure!(
            records.iter().all(|r| r["type"] != "diagnostic"),
            "{records:?}"
        );
        Ok(())
    }

    /// The report has just `blocks`, of which `changed` bytes differ.
    fn reported(&self, args: &[&str], blocks: &BTreeSet<u64>, changed: u64) -> Result<()> {
        let records = self.diff(args)?;
        let mut found = BTreeSet::new();
        // Without an image below there is one view, of which owners are told and no changes.
        let single = self.kind.backing.is_none();
        let kind = if single { "owner" } else { "unresolved" };
        for piece in records.iter().filter(|r| r["type"] == kind) {
            let number = |key: &str| piece[key].as_u64().context("a number");
            let (start, length) = (number("start")?, number("length")?);
            found.extend(start / BLOCK..(start + length).div_ceil(BLOCK));
        }
        if found != *blocks {
            let differ: Vec<_> = found.symmetric_difference(blocks).take(9).collect();
            bail!("{args:?}: blocks differ: {differ:?}");
        }
        let summary = records.last().context("a summary")?;
        ensure!(
            single || summary["changed"] == changed,
            "not {changed} bytes: {summary}"
        );
        Ok(())
    }

    /// Takes snapshots between further changes, and compares the active state with each.
    fn snapshots(&mut self, top: &str) -> Result<()> {
        if self.kind.options.contains("data_file") || self.kind.converted.is_some() {
            return Ok(());
        }
        for name in ["one", "two"] {
            let mut command = Command::new("qemu-img");
            command.args(["snapshot", "-c", name, top]);
            check(command.current_dir(self.dir))?;
            self.scribble(top, "qcow2")?;
        }
        let now = self.convert(&["-f", "qcow2", top])?;
        self.same_disk(&now, top)?;
        for name in ["one", "two"] {
            let snapshot = format!("snapshot.name={name}");
            let before = self.convert(&["-l", &snapshot, "-f", "qcow2", top])?;
            let records = self.diff(&["--snapshot", name, top])?;
            let summary = records.last().context("a summary")?;
            let changed = differing(&before, &now);
            ensure!(
                summary["changed"] == changed,
                "{name}: not {changed} bytes: {summary}"
            );
        }
        Ok(())
    }
}

fn zeros(length: usize) -> Vec<u8> {
    vec![0; length]
}

pub(super) fn differing(before: &[u8], after: &[u8]) -> u64 {
    before.iter().zip(after).filter(|(x, y)| x != y).count() as u64
}
