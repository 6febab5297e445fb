//! One comparison: a mix, a seed, cleanly unmounted or live.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::btrfs;
use super::disk::{self, Mount, output};
use super::extents::Disks;
use super::fat;
use super::fsmap;
use super::ntfs;
use super::report::{self, Report};
use super::tree::{self, Record, Tree};
use super::workload::Workload;
use super::{Mix, Subject};

/// What is compared.
pub(crate) struct Case<'a> {
    pub(crate) subject: &'a dyn Subject,
    pub(crate) mix: &'a Mix,
    pub(crate) seed: u64,
    /// The images are copied while the filesystem is mounted.
    pub(crate) live: bool,
    pub(crate) steps: u64,
    pub(crate) dir: PathBuf,
}

/// What came of it.
pub(crate) struct Row {
    pub(crate) mix: &'static str,
    pub(crate) seed: u64,
    pub(crate) live: bool,
    pub(crate) blocks: u64,
    pub(crate) transactions: u64,
    /// Changed paths, by the kernel.
    pub(crate) changes: usize,
    pub(crate) missing: usize,
    pub(crate) spurious: usize,
    pub(crate) wrong: usize,
    pub(crate) extents: u64,
    pub(crate) misplaced: usize,
    pub(crate) unresolved: u64,
    pub(crate) sums_exact: bool,
    pub(crate) complaints: Vec<String>,
}

impl Row {
    /// Whether the report agrees with the kernel.
    pub(crate) fn is_good(&self) -> bool {
        self.missing + self.spurious + self.wrong + self.misplaced == 0
            && self.unresolved == 0
            && self.sums_exact
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:22} seed {} {:5}: {} blocks, {} transactions, {} changes, {} missing, {} spurious, \
             {} wrong, {} extents, {} misplaced, {} unresolved, sums {}",
            self.mix,
            self.seed,
            if self.live { "live" } else { "clean" },
            self.blocks,
            self.transactions,
            self.changes,
            self.missing,
            self.spurious,
            self.wrong,
            self.extents,
            self.misplaced,
            self.unresolved,
            if self.sums_exact { "exact" } else { "wrong" },
        )
    }
}

impl Case<'_> {
    /// Makes the disks, asks both sides, and compares.
    pub(crate) fn run(&self, hexz: &Path) -> Result<Row> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)?;
        }
        fs::create_dir_all(&self.dir)?;
        let (base, merged) = (self.dir.join("base.img"), self.dir.join("merged.img"));
        let mounted = match fat::applies(self.mix) {
            true => Some(self.make_in_one_mount(&base, &merged)?),
            false => {
                self.make(&base, &merged)?;
                None
            }
        };
        let overlay = self.dir.join("vm.overlay");
        let differing = disk::overlay(&base, &merged, &overlay, 97)?;
        let found = report::run(hexz, &base, &overlay)?;
        let trees = match mounted {
            Some(trees) => trees,
            None => [self.tree(&base)?, self.tree(&merged)?],
        };
        let [before, after] = &trees;
        let mut expected = tree::compare(before, after);
        if btrfs::applies(self.mix) {
            expected = btrfs::without_snapshots(expected, [before, after]);
        }
        let expected: Vec<Record> = expected
            .into_iter()
            .filter(|record| !self.subject.ignores(&record.path))
            .collect();
        let mut row = self.records(&expected, &found);
        let disks = Disks {
            base: &base,
            merged: &merged,
            start: self.mix.start * 512,
            differing: &differing,
            trees: [before, after],
        };
        let mut checked = disks.check(&expected, &found.ranges)?;
        if !self.live && fsmap::applies(self.mix) {
            let all = fsmap::check(hexz, self.subject, self.mix, &merged, &self.dir)?;
            checked.extents += all.extents;
            checked.complaints.extend(all.complaints);
        }
        if ntfs::applies(self.mix) {
            let all = ntfs::check(hexz, self.mix, &merged)?;
            checked.extents += all.extents;
            checked.complaints.extend(all.complaints);
        }
        row.extents = checked.extents;
        row.misplaced = checked.complaints.len();
        row.complaints.extend(checked.complaints);
        row.complaints.extend(found.findings);
        Ok(row)
    }

    pub(super) fn make(&self, base: &Path, merged: &Path) -> Result<()> {
        let image = self.dir.join("disk.img");
        let root = self.dir.join("mnt");
        disk::create(&image, self.mix)?;
        let subvolumes = btrfs::applies(self.mix);
        let options = match subvolumes && self.live {
            true => format!("{},{}", self.mix.mount, btrfs::SELDOM),
            false => self.mix.mount.to_owned(),
        };
        let mount = || Mount::new(&image, self.mix, &options, &root);
        let mut mounted = mount()?;
        let clones = subvolumes || self.mix.filesystem == "xfs";
        let mut workload = Workload::new(mounted.root(), self.seed, self.live)
            .with_clones(clones)
            .with_subvolumes(subvolumes);
        workload.fill(self.steps)?;
        if self.live {
            if subvolumes {
                sync(&root)?;
                workload.change_and_log(self.steps / 4)?;
            }
            self.copy_live(&mut workload, &image, base)?;
        } else {
            mounted.unmount()?;
            disk::copy(&image, base)?;
            mounted = mount()?;
        }
        workload.change(self.steps / 2)?;
        if self.live {
            // So that data has its place, too, and not metadata alone.
            sync(&root)?;
        }
        workload.change(self.steps.div_ceil(2))?;
        if self.live {
            if subvolumes {
                // Subvolumes that come and go have all committed: what comes now is in logs.
                workload.change_and_log(self.steps / 2)?;
            }
            self.copy_live(&mut workload, &image, merged)?;
        }
        workload.close();
        mounted.unmount()?;
        if !self.live {
            disk::copy(&image, merged)?;
        }
        fs::remove_file(image)?;
        Ok(())
    }

    /// The same in one mount, since starting an appliance takes long: the base is copied after its
    /// kernel has written all, and the trees are those that it shows before it goes on.
    fn make_in_one_mount(&self, base: &Path, merged: &Path) -> Result<[Tree; 2]> {
        let image = self.dir.join("disk.img");
        disk::create(&image, self.mix)?;
        let mounted = Mount::new(&image, self.mix, self.mix.mount, &self.dir.join("mnt"))?;
        let mut workload = self.plain_workload(mounted.root());
        self.fill_plain(&mut workload)?;
        let before = tree::walk(mounted.root())?;
        disk::copy(&image, base)?;
        workload.change(self.steps)?;
        sleep(fat::SEEN);
        let after = tree::walk(mounted.root())?;
        mounted.unmount()?;
        fs::rename(&image, merged)?;
        let mut trees = [before, after];
        for (image, tree) in [base, merged].into_iter().zip(&mut trees) {
            fat::locate(image, self.mix, tree)?;
        }
        fat::pair(&mut trees);
        Ok(trees)
    }

    /// Changes of the tree at `root`, of a filesystem of files and directories.
    pub(super) fn plain_workload(&self, root: &Path) -> Workload {
        Workload::new(root, self.seed, false).plain(fat::largest_file(self.mix))
    }

    /// Fills the tree, and has it written.
    pub(super) fn fill_plain(&self, workload: &mut Workload) -> Result<()> {
        workload.fill(self.steps)?;
        // Times of FAT have two seconds: what changes now has another one.
        sleep(Duration::from_secs(2));
        workload.commit()
    }

    /// Copies an image that is in use, at a moment when it rests.
    fn copy_live(&self, workload: &mut Workload, image: &Path, to: &Path) -> Result<()> {
        workload.commit()?;
        if !self.has_journal() {
            sync(&self.dir.join("mnt"))?;
        }
        let again = self.dir.join("again.img");
        for _ in 0..20 {
            sleep(Duration::from_millis(200));
            disk::copy(image, to)?;
            disk::copy(image, &again)?;
            let equal = fs::read(to)? == fs::read(&again)?;
            fs::remove_file(&again)?;
            if equal {
                return Ok(());
            }
        }
        bail!("{} does not come to rest", image.display())
    }

    /// Without a journal a copy of a disk in use is a copy of a damaged filesystem, unless all
    /// was written before.
    fn has_journal(&self) -> bool {
        self.mix.filesystem != "ext2" && !self.mix.format.iter().any(|o| o.contains("^has_journal"))
    }

    /// The tree of the volume in `image`, of which a copy is mounted and recovered.
    fn tree(&self, image: &Path) -> Result<Tree> {
        let copy = self.dir.join("scratch.img");
        disk::copy(image, &copy)?;
        let root = self.dir.join("look");
        let mount = Mount::new(&copy, self.mix, self.subject.look(), &root)?;
        let mut tree = tree::walk(mount.root())?;
        mount.unmount()?;
        if ntfs::applies(self.mix) {
            ntfs::locate(&copy, self.mix, &mut tree)?;
        }
        if btrfs::applies(self.mix) {
            btrfs::locate(&copy, self.mix, &mut tree)?;
        }
        fs::remove_file(copy)?;
        Ok(tree)
    }

    fn records(&self, expected: &[Record], found: &Report) -> Row {
        let mut row = Row {
            mix: self.mix.name,
            seed: self.seed,
            live: self.live,
            blocks: found.blocks,
            transactions: found.transactions,
            changes: expected.len(),
            missing: 0,
            spurious: 0,
            wrong: 0,
            extents: 0,
            misplaced: 0,
            unresolved: found.unresolved,
            sums_exact: found.bytes == found.blocks * disk::BLOCK as u64 && found.complete,
            complaints: Vec::new(),
        };
        for record in expected {
            match found.records.iter().find(|f| f.path == record.path) {
                None => {
                    row.missing += 1;
                    row.complaints.push(format!("missing {}", show(record)));
                }
                Some(other) if other != record => {
                    row.wrong += 1;
                    row.complaints
                        .push(format!("wrong {}: {}", show(other), show(record)));
                }
                Some(_) => {}
            }
        }
        let spurious = found
            .records
            .iter()
            .filter(|f| !self.subject.ignores(&f.path))
            .filter(|f| !expected.iter().any(|record| record.path == f.path));
        for record in spurious {
            row.spurious += 1;
            row.complaints.push(format!("spurious {}", show(record)));
        }
        row
    }
}

/// Has the filesystem mounted at `root` written, and no other one.
fn sync(root: &Path) -> Result<()> {
    let root = root.to_str().context("path of the mount")?;
    output("sync", &["-f", root]).map(drop)
}

fn show(record: &Record) -> String {
    let attributes: Vec<&str> = record.attributes.iter().map(String::as_str).collect();
    format!(
        "{} {} {}{} [{}]{}{}",
        record.change,
        record.kind,
        record
            .from
            .as_ref()
            .map(|from| format!("{} -> ", from.escape_ascii()))
            .unwrap_or_default(),
        record.path.escape_ascii(),
        attributes.join(" "),
        if record.content_changed {
            " content"
        } else {
            ""
        },
        if record.replaced { " replaced" } else { "" },
    )
}
