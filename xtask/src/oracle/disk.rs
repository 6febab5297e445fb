//! Images, loop devices, mounts and overlays.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Mix, btrfs, fat};

/// Unit of an overlay.
pub(crate) const BLOCK: usize = 4096;
const SECTOR: u64 = 512;

/// Runs a program and gives what it printed.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<Vec<u8>> {
    let out = Command::new(program)
        .args(args)
        .output()
        .with_context(|| program.to_owned())?;
    if !out.status.success() {
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        bail!("{program} {}: {error}", args.join(" "));
    }
    Ok(out.stdout)
}

/// A loop device over the volume of an image; detached when dropped.
pub(crate) struct Loop {
    device: String,
}

impl Loop {
    /// Over the volume of `mix` in `image`.
    pub(crate) fn attach(image: &Path, mix: &Mix) -> Result<Self> {
        let offset = (mix.start * SECTOR).to_string();
        let image = image.to_str().context("path of the image")?;
        let out = output("losetup", &["-f", "--show", "-o", &offset, image])?;
        let device = String::from_utf8(out)?.trim().to_owned();
        Ok(Self { device })
    }

    /// Its path.
    pub(crate) fn name(&self) -> &str {
        &self.device
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Nothing can be done about a device that stays.
        let _ = output("losetup", &["-d", &self.device]);
    }
}

/// A mounted volume; unmounted when dropped.
pub(crate) struct Mount {
    root: PathBuf,
    mounted: bool,
    /// None where an appliance has the image.
    device: Option<Loop>,
}

impl Mount {
    /// Mounts the volume of `mix` in `image` on the folder `root`, which is made.
    pub(crate) fn new(image: &Path, mix: &Mix, options: &str, root: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        let at = root.to_str().context("path of the mount")?;
        if fat::applies(mix) {
            fat::mount(image, mix, options, at)?;
            return Ok(Self {
                root: root.to_owned(),
                mounted: true,
                device: None,
            });
        }
        if btrfs::applies(mix) {
            btrfs::forget()?;
        }
        let device = Loop::attach(image, mix)?;
        output(
            "mount",
            &["-t", mix.filesystem, "-o", options, &device.device, at],
        )?;
        Ok(Self {
            root: root.to_owned(),
            mounted: true,
            device: Some(device),
        })
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Unmounts it.
    pub(crate) fn unmount(mut self) -> Result<()> {
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        if !self.mounted {
            return Ok(());
        }
        let at = self.root.to_str().context("path of the mount")?;
        let mut last = Ok(());
        if self.device.is_none() {
            self.mounted = false;
            return fat::unmount(at);
        }
        for _ in 0..20 {
            last = output("umount", &[at]).map(drop);
            if last.is_ok() {
                self.mounted = false;
                return Ok(());
            }
            sleep(Duration::from_millis(200));
        }
        last
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.release();
    }
}

/// Makes the disk of `mix`: its partition table, where it has one, and an empty filesystem.
pub(crate) fn create(image: &Path, mix: &Mix) -> Result<()> {
    let file = File::create(image)?;
    let length = mix.mebibytes << 20;
    file.set_len(length)?;
    if mix.start != 0 {
        let sectors = u32::try_from(length / SECTOR - mix.start)?;
        let mut mbr = [0u8; 512];
        mbr[446 + 4] = 0x83;
        mbr[446 + 8..][..4].copy_from_slice(&u32::try_from(mix.start)?.to_le_bytes());
        mbr[446 + 12..][..4].copy_from_slice(&sectors.to_le_bytes());
        mbr[510..].copy_from_slice(&[0x55, 0xAA]);
        file.write_all_at(&mbr, 0)?;
    }
    let device = Loop::attach(image, mix)?;
    let (program, args) = mix.format.split_first().context("a program that formats")?;
    let mut args = args.to_vec();
    args.push(&device.device);
    output(program, &args).map(drop)
}

/// Copies an image, holes kept.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_str(), to.to_str());
    let (from, to) = from.zip(to).context("path of an image")?;
    output("cp", &["--sparse=always", from, to]).map(drop)
}

/// Writes the overlay that turns `base` into `merged`: each block in which they differ, and one in
/// `spare` of the others. Gives the blocks that differ.
pub(crate) fn overlay(base: &Path, merged: &Path, overlay: &Path, spare: u64) -> Result<Vec<u64>> {
    let (before, after) = (File::open(base)?, File::open(merged)?);
    let length = after.metadata()?.len();
    let data = File::create(overlay)?;
    data.set_len(length)?;
    let mut index = Vec::new();
    let mut differing = Vec::new();
    let (mut x, mut y) = ([0; BLOCK], [0; BLOCK]);
    for block in 0..length / BLOCK as u64 {
        let at = block * BLOCK as u64;
        before.read_exact_at(&mut x, at)?;
        after.read_exact_at(&mut y, at)?;
        if x != y {
            differing.push(block);
        }
        if x != y || block % spare == 0 {
            data.write_all_at(&y, at)?;
            index.extend(block.to_le_bytes());
        }
    }
    fs::write(overlay.with_extension("meta"), index)?;
    Ok(differing)
}
