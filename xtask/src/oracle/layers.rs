//! Layers and patches, held against the kernel's trees.
//!
//! The base tree, as it is mounted, becomes the first layer of an image, and what
//! `hexz diff --oci-layer` writes becomes the second. umoci unpacks both; what comes out must be
//! the merged tree as it is mounted. `git apply` of the patch to a copy of the base tree must give
//! the merged tree's text files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use hexz_testkit::git_apply;

use super::case::Case;
use super::disk::{self, Mount, output};
use super::{Mix, Subject, btrfs, ext4, fat, ntfs, xfs};

const LOOK: &str = include_str!("layers.py");

/// What is run.
pub(crate) struct Layers<'a> {
    pub(crate) hexz: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) seeds: std::ops::Range<u64>,
    pub(crate) steps: u64,
    /// Of these filesystems only; of all when there are none.
    pub(crate) only: &'a [String],
}

/// One line of the page: a case, and what differs.
struct Line {
    name: String,
    kind: &'static str,
    found: Found,
}

/// What came of one case.
#[derive(Default)]
struct Found {
    entries: usize,
    paths: usize,
    patched: usize,
    wrong: Vec<String>,
}

/// The two disks of a case, and copies of their trees as they are mounted.
struct Made {
    base: PathBuf,
    merged: PathBuf,
    before: PathBuf,
    after: PathBuf,
}

impl Made {
    fn below(dir: &Path) -> Self {
        Self {
            base: dir.join("base.img"),
            merged: dir.join("merged.img"),
            before: dir.join("before"),
            after: dir.join("after"),
        }
    }
}

impl Layers<'_> {
    /// Runs the seeds of each filesystem, clean and live, and writes the page.
    pub(crate) fn run(&self, page: &Path) -> Result<()> {
        let subjects: [&dyn Subject; 6] = [
            &ext4::Ext4,
            &xfs::Xfs,
            &btrfs::Btrfs,
            &ntfs::Ntfs,
            &fat::Fat,
            &fat::Exfat,
        ];
        let mut lines = Vec::new();
        for subject in subjects {
            if !self.only.is_empty() && !self.only.iter().any(|name| name == subject.name()) {
                continue;
            }
            let cases = self.cases(subject);
            let plain = cases.first().is_some_and(|case| fat::applies(case.mix));
            let made = match plain {
                // Starting an appliance takes long: it is given all disks at once.
                true => together(&cases, self.dir)?,
                false => Vec::new(),
            };
            for (n, case) in cases.iter().enumerate() {
                let of = || format!("{} seed {} live {}", case.mix.name, case.seed, case.live);
                let found = match made.get(n) {
                    Some(made) => check(self.hexz, case, made),
                    None => alone(case).and_then(|made| check(self.hexz, case, &made)),
                };
                let line = Line {
                    name: format!("{} | {}", case.mix.name, case.seed),
                    kind: if case.live { "live" } else { "clean" },
                    found: found.with_context(of)?,
                };
                println!(
                    "{:24} {:5}: {} differ",
                    line.name,
                    line.kind,
                    line.found.wrong.len()
                );
                for text in line.found.wrong.iter().take(20) {
                    println!("    {text}");
                }
                if line.found.wrong.is_empty() {
                    fs::remove_dir_all(&case.dir)?;
                }
                lines.push(line);
            }
        }
        if self.only.is_empty() {
            fs::write(page, markdown(&lines)?)?;
        }
        let bad = lines.iter().filter(|line| !line.found.wrong.is_empty());
        let bad = bad.count();
        if bad != 0 {
            bail!("{bad} of {} cases differ from the kernel", lines.len());
        }
        println!("{} layers and patches agree with the kernel", lines.len());
        Ok(())
    }

    /// A mix of features for each seed, in turn.
    fn cases<'s>(&self, subject: &'s dyn Subject) -> Vec<Case<'s>> {
        let seeds = self
            .seeds
            .clone()
            .flat_map(|seed| [(seed, false), (seed, true)]);
        let seeds = seeds.filter(|(_, live)| !live || subject.can_be_live());
        let mixes = subject.mixes().iter().cycle();
        let mixes = mixes.skip(usize::try_from(self.seeds.start).unwrap_or(0));
        let mixes: Vec<&Mix> = mixes.take(self.seeds.clone().count()).collect();
        let case = |(seed, live): (u64, bool)| {
            let nth = usize::try_from(seed - self.seeds.start).ok()?;
            let mix = mixes.get(nth)?;
            Some(Case {
                subject,
                mix,
                seed,
                live,
                steps: self.steps,
                dir: self.dir.join(format!("layer-{}-{seed}-{live}", mix.name)),
            })
        };
        seeds.filter_map(case).collect()
    }
}

fn fresh(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    Ok(fs::create_dir_all(dir)?)
}

/// Makes the disks of a case, and has the kernel mount copies of them.
fn alone(case: &Case<'_>) -> Result<Made> {
    fresh(&case.dir)?;
    let made = Made::below(&case.dir);
    case.make(&made.base, &made.merged)?;
    for (image, tree) in [(&made.base, &made.before), (&made.merged, &made.after)] {
        let scratch = case.dir.join("scratch.img");
        disk::copy(image, &scratch)?;
        let root = case.dir.join("look");
        let mount = Mount::new(&scratch, case.mix, case.subject.look(), &root)?;
        copy_tree(mount.root(), tree)?;
        if btrfs::applies(case.mix) {
            look(&["stubs", text(&root)?, text(tree)?])?;
        }
        mount.unmount()?;
        fs::remove_file(scratch)?;
    }
    Ok(made)
}

/// Makes the disks of all `cases` in one appliance, and looks at them in another one: the first
/// remembers times that are no longer those on the disk.
fn together(cases: &[Case<'_>], dir: &Path) -> Result<Vec<Made>> {
    let all: Vec<Made> = cases.iter().map(|case| Made::below(&case.dir)).collect();
    let mut disks = Vec::new();
    for (case, made) in cases.iter().zip(&all) {
        fresh(&case.dir)?;
        disk::create(&made.merged, case.mix)?;
        disks.push((made.merged.clone(), case.mix));
    }
    in_appliance(dir, &disks, |roots| {
        for ((case, made), root) in cases.iter().zip(&all).zip(roots) {
            let mut workload = case.plain_workload(root);
            case.fill_plain(&mut workload)?;
            disk::copy(&made.merged, &made.base)?;
            workload.change(case.steps)?;
        }
        Ok(())
    })?;
    let bases = cases.iter().zip(&all);
    disks.extend(bases.map(|(case, made)| (made.base.clone(), case.mix)));
    in_appliance(dir, &disks, |roots| {
        let (merged, base) = roots.split_at(all.len());
        for (made, (after, before)) in all.iter().zip(merged.iter().zip(base)) {
            copy_tree(before, &made.before)?;
            copy_tree(after, &made.after)?;
        }
        Ok(())
    })?;
    Ok(all)
}

/// Does `work` on the folders of the volumes of `disks`.
fn in_appliance(
    dir: &Path,
    disks: &[(PathBuf, &Mix)],
    work: impl FnOnce(&[PathBuf]) -> Result<()>,
) -> Result<()> {
    let at = dir.join("appliance");
    fs::create_dir_all(&at)?;
    let roots = fat::mount_all(disks, &at)?;
    let done = work(&roots);
    fat::unmount(text(&at)?)?;
    done
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    output("cp", &["-a", text(from)?, text(to)?]).map(drop)
}

/// What differs.
fn check(hexz: &Path, case: &Case<'_>, made: &Made) -> Result<Found> {
    let overlay = case.dir.join("vm.overlay");
    disk::overlay(&made.base, &made.merged, &overlay, 97)?;
    let files = Files {
        dir: &case.dir,
        mix: case.mix,
    };
    let layer = case.dir.join("layer.tar.gz");
    let folder = case.dir.join("folder");
    let diff = |more: &[&str]| -> Result<Vec<u8>> {
        let out = Command::new(hexz)
            .args(["diff", "--base"])
            .args([&made.base, &overlay])
            .args(more)
            .output()?;
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        anyhow::ensure!(out.status.success(), "hexz diff {more:?}: {errors}");
        Ok(out.stdout)
    };
    let (before, after) = (&made.before, &made.after);
    diff(&["--oci-layer", text(&layer)?])?;
    output("gunzip", &["-k", text(&layer)?])?;
    let layer = layer.with_extension("");
    let mut found = Found::default();
    found.wrong.extend(look(&["archive", text(&layer)?])?);
    let listed = output("tar", &["-tf", text(&layer)?])?;
    found.entries = listed.split(|b| *b == b'\n').count() - 1;
    let unpacked = files.unpack(before, &layer)?;
    found.paths = files.compare(after, &unpacked, &mut found.wrong)?;
    let patch = diff(&["--patch"])?;
    diff(&["--extract", text(&folder)?, "--both", "--preserve"])?;
    let trees = [text(before)?, text(after)?, text(&folder)?];
    found
        .wrong
        .extend(look(&["both", trees[0], trees[1], trees[2]])?);
    found.patched = files.apply(before, after, &patch, &mut found.wrong)?;
    Ok(found)
}

/// What the script says of trees and archives: a line for each thing.
fn look(args: &[&str]) -> Result<Vec<String>> {
    let mut all = vec!["-c", LOOK];
    all.extend(args);
    let out = String::from_utf8(output("python3", &all)?)?;
    Ok(out.lines().map(str::to_owned).collect())
}

const PAGE: &str = "\
# Layers, patches and folders, held against the kernel

`cargo xtask oracle layers` writes this page. For each case a filesystem is filled and changed at
random. The base tree, as it is mounted, is the first layer of an image, and what `hexz diff
--oci-layer` writes is the second; umoci unpacks both. What comes out must be the merged tree as it
is mounted: names, types, contents, modes, owners, times of modification, links, devices and
extended attributes. NTFS (through ntfs-3g), FAT and exFAT (through the kernel of the appliance of
libguestfs) have names, types, contents and times. Python's tarfile and GNU tar must both read the
layer whole. `git apply` of the text part of `hexz diff --patch` to the base tree must give the
files of the merged tree. `diff -r` of what `--extract --both` writes must tell what `diff -r` of the
two mounted trees tells, and so must the report beside it.

Live cases are copies of disks in use. Sockets are in no archive.

| mix | seed | disks | entries of the layer | paths compared | files patched | differ |
|---|---:|---|---:|---:|---:|---:|
";

fn markdown(lines: &[Line]) -> Result<String> {
    let mut out = PAGE.to_owned();
    for Line { name, kind, found } in lines {
        let Found {
            entries,
            paths,
            patched,
            wrong,
        } = found;
        writeln!(
            out,
            "| {name} | {kind} | {entries} | {paths} | {patched} | {} |",
            wrong.len()
        )?;
    }
    Ok(out)
}

struct Files<'a> {
    dir: &'a Path,
    mix: &'a Mix,
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of text")
}

impl Files<'_> {
    /// Unpacks the tree at `before` and `layer`, one over the other.
    fn unpack(&self, before: &Path, layer: &Path) -> Result<PathBuf> {
        let first = self.dir.join("first.tar");
        let (first, before) = (text(&first)?.to_owned(), text(before)?);
        let options = [
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sort=name",
        ];
        let mut args = vec!["-C", before, "-cf", &first];
        args.extend(options);
        args.push(".");
        output("tar", &args)?;
        let layout = self.dir.join("layout");
        let image = format!("{}:t", text(&layout)?);
        output("umoci", &["init", "--layout", text(&layout)?])?;
        output("umoci", &["new", "--image", &image])?;
        for tar in [&first, text(layer)?] {
            output("umoci", &["raw", "add-layer", "--image", &image, tar])?;
        }
        let bundle = self.dir.join("bundle");
        output("umoci", &["unpack", "--image", &image, text(&bundle)?])?;
        Ok(bundle.join("rootfs"))
    }

    fn lines(&self, root: &Path) -> Result<BTreeSet<String>> {
        let mut args = vec!["tree", text(root)?];
        if ntfs::applies(self.mix) || fat::applies(self.mix) {
            args.push("plain");
        }
        Ok(look(&args)?.into_iter().collect())
    }

    /// Gives the number of paths.
    fn compare(&self, expected: &Path, found: &Path, wrong: &mut Vec<String>) -> Result<usize> {
        let (expected, found) = (self.lines(expected)?, self.lines(found)?);
        let only = |sign: char, these: &BTreeSet<String>, those: &BTreeSet<String>| {
            these
                .difference(those)
                .map(|line| format!("{sign} {line}"))
                .collect::<Vec<_>>()
        };
        let mut differ = only('-', &expected, &found);
        differ.extend(only('+', &found, &expected));
        differ.sort_by(|a, b| a[2..].cmp(&b[2..]));
        wrong.extend(differ);
        Ok(expected.len())
    }

    /// Applies the text part of `patch` to the tree at `before`; the files it is about must be
    /// those of the tree at `after`. Gives their number.
    fn apply(
        &self,
        before: &Path,
        after: &Path,
        patch: &[u8],
        wrong: &mut Vec<String>,
    ) -> Result<usize> {
        // git knows no devices and pipes: what stands in their place is new.
        let special = [
            "-not", "-type", "f", "-not", "-type", "d", "-not", "-type", "l",
        ];
        let find = [&[text(before)?][..], &special, &["-delete"]].concat();
        output("find", &find)?;
        let paths = match git_apply(patch, before) {
            Ok(paths) => paths,
            Err(error) => {
                wrong.push(error.to_string());
                return Ok(0);
            }
        };
        for path in &paths {
            let read = |root: &Path| match fs::read_link(root.join(path)) {
                Ok(link) => Some(link.into_os_string().into_encoded_bytes()),
                Err(_) => fs::read(root.join(path)).ok(),
            };
            if read(before) != read(after) {
                wrong.push(format!("the patch does not give {}", path.display()));
            }
        }
        Ok(paths.len())
    }
}
