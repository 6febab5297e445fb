//! Whether a block device is in use by a mounted filesystem, and changes while it is read.
#![allow(clippy::disallowed_methods)] // looks at what the kernel says of devices

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use hexz_resolve::{Diagnostic, Diagnostics};

/// Says so where the file at `path` is a block device that is mounted, or has a partition that is.
pub(crate) fn check(path: &Path, found: &Diagnostics) {
    let device = std::fs::metadata(path)
        .ok()
        .filter(|data| data.file_type().is_block_device());
    let Some(device) = device.map(|data| data.rdev()) else {
        return;
    };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut numbers = vec![format!("{major}:{minor}")];
    let folder = format!("/sys/dev/block/{major}:{minor}");
    let parts = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let parts = parts.filter_map(|part| std::fs::read_to_string(part.path().join("dev")).ok());
    numbers.extend(parts.map(|number| number.trim().to_owned()));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(place) = mounted_at(&mounts, &numbers) {
        let text = format!(
            "{} is in use (mounted at {place}) and changes while it is read: what is said of it may \
             be wrong; read a snapshot of it, or mount it read-only",
            path.display()
        );
        found.push(Diagnostic::warning("device-mounted", text));
    }
}

/// Where one of the devices `numbers` is mounted so that it can be written to. `mounts` is what
/// the kernel says, see proc_pid_mountinfo(5).
fn mounted_at<'a>(mounts: &'a str, numbers: &[String]) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (number, place) = (fields.nth(2)?, fields.nth(1)?);
        let writable = fields.next()?.split(',').any(|option| option == "rw");
        let known = numbers.iter().any(|of| of == number);
        (writable && known).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_for_writing_is_found() {
        let mounts = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
                      37 35 98:1 / /ro ro,noatime - ext4 /dev/sdb1 rw\n";
        let of = |number: &str| mounted_at(mounts, &[number.to_owned()]);
        assert_eq!(of("98:0"), Some("/mnt2"));
        assert_eq!(of("98:1"), None);
        assert_eq!(of("8:0"), None);
    }
}
