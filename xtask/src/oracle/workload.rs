//! Random changes to a mounted tree, the same for the same seed.

mod logged;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use hexz_testkit::Rng;

/// Sizes that sit at borders: of an inode's own room, of a sector, of blocks, of extents.
const SIZES: [u64; 10] = [0, 1, 60, 150, 511, 1024, 4096, 5000, 40_000, 700_000];

/// A tree that is being changed.
pub(crate) struct Workload {
    root: PathBuf,
    random: Rng,
    directories: Vec<PathBuf>,
    /// What is no directory.
    files: Vec<PathBuf>,
    /// Files that are open, some of which have no name any more.
    open: Vec<File>,
    serial: u64,
    live: bool,
    clones: bool,
    /// Subvolumes, where there are such.
    subvolumes: Option<Vec<PathBuf>>,
    /// Only files and directories, without owners, modes and further names.
    plain: bool,
    largest: u64,
}

impl Workload {
    /// Of the tree at `root`. A live one leaves files open that it unlinked.
    pub(crate) fn new(root: &Path, seed: u64, live: bool) -> Self {
        Self {
            root: root.to_owned(),
            random: Rng::new(seed),
            directories: vec![root.to_owned()],
            files: Vec::new(),
            open: Vec::new(),
            serial: 0,
            live,
            clones: false,
            subvolumes: None,
            plain: false,
            largest: u64::MAX,
        }
    }

    /// Does only what a filesystem of files and directories can, with files of at most `largest`
    /// bytes.
    pub(crate) fn plain(mut self, largest: u64) -> Self {
        self.plain = true;
        self.largest = largest;
        self
    }

    /// Also copies files so that they share their blocks.
    pub(crate) fn with_clones(mut self, clones: bool) -> Self {
        self.clones = clones;
        self
    }

    /// Also makes subvolumes and snapshots, and what else btrfs can do.
    pub(crate) fn with_subvolumes(mut self, subvolumes: bool) -> Self {
        self.subvolumes = subvolumes.then(Vec::new);
        self
    }

    /// Gives the files that are open, which keeps the tree from being unmounted.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }

    /// Fills the tree.
    pub(crate) fn fill(&mut self, steps: u64) -> Result<()> {
        // Enough names for a hash tree, in one directory.
        let wide = self.root.join("wide");
        fs::create_dir(&wide)?;
        for n in 0..400 {
            let path = wide.join(format!("a-rather-long-name-of-a-file-{n:04}"));
            fs::write(&path, format!("{n}\n"))?;
            self.files.push(path);
        }
        self.directories.push(wide);
        for _ in 0..steps {
            match self.random.below(10) {
                0 | 1 => self.make_directory()?,
                2..=4 if self.plain => self.make_file()?,
                2 => self.make_symlink()?,
                3 => self.make_special()?,
                4 => self.set_xattr()?,
                _ => self.make_file()?,
            }
        }
        Ok(())
    }

    /// Makes `steps` changes.
    pub(crate) fn change(&mut self, steps: u64) -> Result<()> {
        for _ in 0..steps {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        if self.clones && self.random.chance(1, 10) {
            return self.clone_file();
        }
        if self.subvolumes.is_some() && self.random.chance(1, 5) {
            return self.subvolume_step();
        }
        self.plain_step()
    }

    fn plain_step(&mut self) -> Result<()> {
        match self.random.below(26) {
            5 | 6 if self.plain => self.make_file(),
            12 if self.plain => self.append(),
            19 if self.plain => self.change_case(),
            20..=22 if self.plain => self.change_time(),
            0..=3 => self.make_file(),
            4 => self.make_directory(),
            5 => self.make_symlink(),
            6 => self.make_special(),
            7 | 8 => self.append(),
            9 | 10 => self.overwrite(),
            11 => self.truncate(),
            12 => self.punch(),
            13..=15 => self.unlink(),
            16 | 17 => self.rename(),
            18 => self.rename_directory(),
            19 => self.hard_link(),
            20 => self.change_mode(),
            21 => self.change_owner(),
            22 => self.set_xattr(),
            23 => self.save_like_an_editor(),
            24 => self.change_type(),
            _ => self.reuse(),
        }
    }

    fn name(&mut self) -> String {
        self.serial += 1;
        if self.plain && self.random.chance(1, 5) {
            // A name that needs no long one.
            return format!("F{}.TXT", self.serial);
        }
        let pad = match self.random.below(6) {
            // The Sleuth Kit, which is asked about plain ones, knows no very long paths.
            0 if self.plain => "-".repeat(self.random.index(60)),
            0 => "-".repeat(self.random.index(200)),
            1 => "é".to_owned(),
            _ => String::new(),
        };
        format!("f{}{pad}", self.serial)
    }

    fn directory(&mut self) -> PathBuf {
        let at = self.random.index(self.directories.len());
        self.directories[at].clone()
    }

    fn new_path(&mut self) -> PathBuf {
        let name = self.name();
        self.directory().join(name)
    }

    /// A regular file.
    fn file(&mut self) -> Option<PathBuf> {
        for _ in 0..8 {
            let at = self.random.index(self.files.len());
            let path = self.files.get(at)?;
            if is_file(path) {
                return Some(path.clone());
            }
        }
        None
    }

    /// Anything but a directory, taken from the list.
    fn take(&mut self) -> Option<PathBuf> {
        if self.files.is_empty() {
            return None;
        }
        let at = self.random.index(self.files.len());
        Some(self.files.swap_remove(at))
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let seed = self.random.next_u64();
        // Now and then what the journal must escape.
        let magic = [0xC0, 0x3B, 0x39, 0x98];
        let mut random = Rng::new(seed);
        let mut bytes: Vec<u8> = (0..length.div_ceil(8))
            .flat_map(|_| random.next_u64().to_le_bytes())
            .collect();
        bytes.truncate(length as usize);
        // What can be compressed.
        if self.subvolumes.is_some() && seed % 8 < 5 {
            bytes.iter_mut().for_each(|byte| *byte = b'a' + (*byte & 3));
        }
        if seed.is_multiple_of(4) {
            for block in bytes.chunks_exact_mut(1024) {
                block[..4].copy_from_slice(&magic);
            }
        }
        bytes
    }

    fn size(&mut self) -> u64 {
        let base = SIZES[self.random.index(SIZES.len())];
        (base + self.random.below(base / 4 + 2)).min(self.largest)
    }

    fn make_file(&mut self) -> Result<()> {
        let path = self.new_path();
        let size = self.size();
        let content = self.bytes(size);
        let mut file = File::create(&path)?;
        if !self.plain && self.random.chance(1, 8) {
            file.seek(SeekFrom::Start(self.random.below(3_000_000)))?;
        }
        file.write_all(&content)?;
        if self.live && self.random.chance(1, 8) {
            file.sync_all()?;
        }
        self.files.push(path);
        Ok(())
    }

    fn make_directory(&mut self) -> Result<()> {
        let path = self.new_path();
        fs::create_dir(&path)?;
        self.directories.push(path);
        Ok(())
    }

    fn make_symlink(&mut self) -> Result<()> {
        let path = self.new_path();
        let long = self.random.chance(1, 2);
        symlink("t".repeat(if long { 90 } else { 9 }), &path)?;
        self.files.push(path);
        Ok(())
    }

    fn make_special(&mut self) -> Result<()> {
        let path = self.new_path();
        let number = self.random.below(200).to_string();
        let kind = ["p", "c", "b", "s"][self.random.index(4)];
        let made = match kind {
            // A socket's name must be short, so it is made where it has a short one.
            "s" => {
                let short = self.root.join("s");
                UnixListener::bind(&short)?;
                // In another subvolume it is not to be had.
                let moved = rename(&short, &path)?;
                if !moved {
                    fs::remove_file(&short)?;
                }
                moved
            }
            "p" => run("mknod", &[path.as_ref(), "p".as_ref()])?,
            _ => run(
                "mknod",
                &[path.as_ref(), kind.as_ref(), "7".as_ref(), number.as_ref()],
            )?,
        };
        if made {
            self.files.push(path);
        }
        Ok(())
    }

    fn append(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let size = self.size();
        let content = self.bytes(size);
        let mut file = OpenOptions::new().append(true).open(path)?;
        file.write_all(&content)?;
        Ok(())
    }

    fn overwrite(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let mut file = OpenOptions::new().write(true).open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(self.random.below(size + 1)))?;
        let content = self.bytes(size.min(9000));
        file.write_all(&content)?;
        Ok(())
    }

    fn truncate(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let file = OpenOptions::new().write(true).open(path)?;
        let size = file.metadata()?.len();
        file.set_len(self.random.below(size * 2 + 2).min(self.largest))?;
        Ok(())
    }

    /// Punches a hole, or allocates without writing.
    fn punch(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let size = path.metadata()?.len();
        let at = self.random.below(size + 1).to_string();
        let length = (1 + self.random.below(60_000)).to_string();
        let how = if self.random.chance(2, 3) { "-p" } else { "-x" };
        // Not every filesystem can.
        run(
            "fallocate",
            &[how, "-o", &at, "-l", &length]
                .map(AsRef::as_ref)
                .into_iter()
                .chain([path.as_os_str()])
                .collect::<Vec<_>>(),
        )?;
        Ok(())
    }

    /// Another name that differs in its case only.
    fn change_case(&mut self) -> Result<()> {
        let Some(path) = self.take() else {
            return Ok(());
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let other = match name.starts_with('f') {
            true => name.replacen('f', "F", 1),
            false => name.replacen('F', "f", 1),
        };
        let to = path.with_file_name(other);
        fs::rename(&path, &to)?;
        self.files.push(to);
        Ok(())
    }

    fn change_time(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let then = Duration::from_secs(1_500_000_000 + self.random.below(1 << 26));
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_modified(SystemTime::UNIX_EPOCH + then)?;
        Ok(())
    }

    /// A copy that shares its blocks, where that can be.
    fn clone_file(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let to = self.new_path();
        let args = ["--reflink=auto".as_ref(), path.as_os_str(), to.as_os_str()];
        if run("cp", &args)? {
            self.files.push(to);
        }
        Ok(())
    }

    fn unlink(&mut self) -> Result<()> {
        let Some(path) = self.take() else {
            return Ok(());
        };
        if self.live && self.random.chance(1, 3) && path.symlink_metadata()?.is_file() {
            self.open.push(File::open(&path)?);
        }
        fs::remove_file(path)?;
        Ok(())
    }

    fn rename(&mut self) -> Result<()> {
        let Some(path) = self.take() else {
            return Ok(());
        };
        let name = self.name();
        let to = match path.parent() {
            Some(parent) if self.random.chance(1, 2) => parent.join(name),
            _ => self.directory().join(name),
        };
        let moved = rename(&path, &to)?;
        self.files.push(if moved { to } else { path });
        Ok(())
    }

    fn rename_directory(&mut self) -> Result<()> {
        let at = self.random.index(self.directories.len());
        let path = self.directories[at].clone();
        let into = self.directory();
        if path == self.root || into.starts_with(&path) {
            return Ok(());
        }
        let to = into.join(self.name());
        if !rename(&path, &to)? {
            return Ok(());
        }
        let subvolumes = self.subvolumes.iter_mut().flatten();
        for old in self
            .files
            .iter_mut()
            .chain(&mut self.directories)
            .chain(subvolumes)
        {
            if let Ok(rest) = old.strip_prefix(&path) {
                // Joining an empty rest would add a slash.
                *old = if rest.as_os_str().is_empty() {
                    to.clone()
                } else {
                    to.join(rest)
                };
            }
        }
        Ok(())
    }

    fn hard_link(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let to = self.new_path();
        match fs::hard_link(path, &to) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
            other => {
                other?;
                self.files.push(to);
            }
        }
        Ok(())
    }

    fn change_mode(&mut self) -> Result<()> {
        let path = match self.file() {
            Some(path) if self.random.chance(2, 3) => path,
            _ => self.directory(),
        };
        let mode = 0o700 | self.random.below(0o100) as u32;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(())
    }

    fn change_owner(&mut self) -> Result<()> {
        let path = self.file().unwrap_or_else(|| self.root.clone());
        let (user, group) = (self.random.below(70_000), self.random.below(70_000));
        chown(path, Some(user as u32), Some(group as u32))?;
        Ok(())
    }

    fn set_xattr(&mut self) -> Result<()> {
        let path = match self.file() {
            Some(path) if self.random.chance(3, 4) => path,
            _ => self.directory(),
        };
        let name = format!("user.n{}", self.random.below(4));
        let value = "v".repeat([3, 40, 300, 700][self.random.index(4)] + self.random.index(9));
        let args = ["-n", &name, "-v", &value].map(AsRef::as_ref);
        // There may be no room.
        run(
            "setfattr",
            &args
                .into_iter()
                .chain([path.as_os_str()])
                .collect::<Vec<_>>(),
        )?;
        Ok(())
    }

    fn save_like_an_editor(&mut self) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let content = if self.random.chance(1, 4) {
            fs::read(&path)?
        } else {
            let size = self.size();
            self.bytes(size)
        };
        let beside = path.with_file_name(format!("s{}", self.serial));
        fs::write(&beside, content)?;
        fs::rename(beside, path)?;
        Ok(())
    }

    fn change_type(&mut self) -> Result<()> {
        let Some(path) = self.take() else {
            return Ok(());
        };
        let was_file = path.symlink_metadata()?.is_file();
        fs::remove_file(&path)?;
        if was_file && (self.plain || self.random.chance(1, 2)) {
            fs::create_dir(&path)?;
            self.directories.push(path);
        } else if was_file {
            symlink("elsewhere", &path)?;
            self.files.push(path);
        } else {
            fs::write(&path, "now a file\n")?;
            self.files.push(path);
        }
        Ok(())
    }

    /// Unlinks and makes, so that an inode number is used again at once.
    fn reuse(&mut self) -> Result<()> {
        self.unlink()?;
        self.make_file()
    }

    /// What only btrfs can do.
    fn subvolume_step(&mut self) -> Result<()> {
        match self.random.below(12) {
            0 | 1 => self.make_subvolume(),
            2 | 3 => self.make_snapshot(),
            4 => self.delete_subvolume(),
            5 => self.make_without_copies(),
            6 => {
                let how = ["zlib", "lzo", "zstd", "none"][self.random.index(4)];
                self.of_file(&["btrfs", "property", "set"], &["compression", how])
            }
            7 | 8 => {
                let how = ["-czlib", "-clzo", "-czstd", "-f"][self.random.index(4)];
                self.of_file(&["btrfs", "filesystem", "defragment", how], &[])
            }
            9 | 10 => self.share_a_part(),
            _ => self.balance(),
        }
    }

    /// Runs a program on a file; it may fail.
    fn of_file(&mut self, before: &[&str], after: &[&str]) -> Result<()> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let (program, before) = before.split_first().context("a program")?;
        let before = before.iter().map(OsStr::new);
        let after = after.iter().map(OsStr::new);
        let args: Vec<&OsStr> = before.chain([path.as_os_str()]).chain(after).collect();
        run(program, &args)?;
        Ok(())
    }

    fn make_subvolume(&mut self) -> Result<()> {
        let path = self.new_path();
        let args = ["subvolume".as_ref(), "create".as_ref(), path.as_os_str()];
        if run("btrfs", &args)? {
            self.directories.push(path.clone());
            self.subvolumes.get_or_insert_default().push(path);
        }
        Ok(())
    }

    fn make_snapshot(&mut self) -> Result<()> {
        let mut sources = self.subvolumes.clone().unwrap_or_default();
        sources.push(self.root.clone());
        let source = sources[self.random.index(sources.len())].clone();
        let to = self.new_path();
        let frozen = self.random.chance(1, 3);
        let mut args: Vec<&OsStr> = vec!["subvolume".as_ref(), "snapshot".as_ref()];
        args.extend(frozen.then_some(OsStr::new("-r")));
        args.extend([source.as_os_str(), to.as_os_str()]);
        if !run("btrfs", &args)? {
            return Ok(());
        }
        // Some of what it has changes there too.
        let copy = |path: &PathBuf| Some(to.join(path.strip_prefix(&source).ok()?));
        let there = |path: &PathBuf| path.symlink_metadata().is_ok();
        if !frozen {
            let files: Vec<PathBuf> = self.files.iter().filter_map(copy).filter(there).collect();
            for _ in 0..files.len().min(6) {
                let path = files[self.random.index(files.len())].clone();
                if !self.files.contains(&path) {
                    self.files.push(path);
                }
            }
            self.directories.push(to.clone());
        }
        self.subvolumes.get_or_insert_default().push(to);
        Ok(())
    }

    fn delete_subvolume(&mut self) -> Result<()> {
        let all = self.subvolumes.clone().unwrap_or_default();
        if all.is_empty() {
            return Ok(());
        }
        let path = all[self.random.index(all.len())].clone();
        // One that has others below it can't be deleted.
        let args = ["subvolume".as_ref(), "delete".as_ref(), path.as_os_str()];
        if run("btrfs", &args)? {
            let left = |other: &PathBuf| !other.starts_with(&path);
            self.files.retain(left);
            self.directories.retain(left);
            self.subvolumes.get_or_insert_default().retain(left);
        }
        Ok(())
    }

    /// A file that is written in place, and has no checksums.
    fn make_without_copies(&mut self) -> Result<()> {
        let path = self.new_path();
        File::create(&path)?;
        run("chattr", &["+C".as_ref(), path.as_os_str()])?;
        let size = self.size();
        let content = self.bytes(size);
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.write_all(&content)?;
        self.files.push(path);
        Ok(())
    }

    /// Has a file share a part of another one.
    fn share_a_part(&mut self) -> Result<()> {
        let (Some(from), Some(to)) = (self.file(), self.file()) else {
            return Ok(());
        };
        let blocks = from.metadata()?.len() / 4096;
        let (at, length) = (self.random.below(blocks + 1), 1 + self.random.below(8));
        let into = self.random.below(to.metadata()?.len() / 4096 + 2);
        let from = from.to_str().context("path of a file")?;
        let [at, into, length] = [at, into, length].map(|blocks| blocks * 4096);
        let command = format!("reflink {from} {at} {into} {length}");
        let args = ["-c".as_ref(), command.as_ref(), to.as_os_str()];
        run("xfs_io", &args)?;
        Ok(())
    }

    fn balance(&mut self) -> Result<()> {
        let what = ["-dusage=90", "-musage=90", "-dusage=100"][self.random.index(3)];
        let args = ["balance", "start", what].map(OsStr::new);
        let args: Vec<&OsStr> = args.into_iter().chain([self.root.as_os_str()]).collect();
        // There may be no room.
        run("btrfs", &args)?;
        Ok(())
    }

    /// Has the newest changes committed to the journal, and no more than that.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let path = self.root.join("committed");
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(b"x\n")?;
        file.sync_all()?;
        Ok(())
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_file())
}

/// Renames, unless that is from one subvolume to another.
fn rename(from: &Path, to: &Path) -> Result<bool> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => Ok(false),
        other => {
            other?;
            Ok(true)
        }
    }
}

/// Runs a program that may fail for a reason of the filesystem.
fn run(program: &str, args: &[&OsStr]) -> Result<bool> {
    let output = Command::new(program).args(args).output();
    Ok(output.with_context(|| program.to_owned())?.status.success())
}
