//! What a file has beside its content: mode, owner, times, extended attributes.

use std::os::fd::OwnedFd;

use hexz_resolve::{Attributes, FileKind, Timestamp};
use rustix::fs::{AtFlags, Gid, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};

use crate::acl;
use crate::copy::chain;
use crate::folder::{Folder, raw};
use crate::name::Name;

/// The mode that a new file gets: less what the process masks.
pub(crate) fn plain_mode(attributes: &Attributes) -> u32 {
    match (attributes.mode, attributes.kind) {
        // Setuid, setgid and the sticky bit only where owners are kept.
        (Some(mode), FileKind::File) => mode & 0o777,
        // Whoever takes a directory out must be able to look into it, and to delete it.
        (Some(mode), _) => mode & 0o777 | 0o700,
        (None, FileKind::File) => 0o666,
        (None, _) => 0o777,
    }
}

/// Sets the times of an open file; with `preserve` also owner, mode and extended attributes.
pub(crate) fn open_file(
    file: &OwnedFd,
    attributes: &Attributes,
    preserve: bool,
) -> Result<(), String> {
    if preserve {
        let (uid, gid) = owner(attributes);
        rustix::fs::fchown(file, uid, gid).map_err(|e| format!("its owner can't be set: {e}"))?;
        for (name, value) in acl::linux_xattrs(attributes) {
            rustix::fs::fsetxattr(file, name.as_slice(), &value, XattrFlags::empty()).map_err(
                |e| {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    format!("its extended attribute {name} can't be set: {e}")
                },
            )?;
        }
        // After the owner: a change of owner clears setuid, and an ACL changes the mode.
        if let Some(mode) = attributes.mode {
            rustix::fs::fchmod(file, raw(mode))
                .map_err(|e| format!("its mode can't be set: {e}"))?;
        }
    }
    if let Some(times) = times(attributes)? {
        rustix::fs::futimens(file, &times).map_err(|e| format!("its times can't be set: {e}"))?;
    }
    Ok(())
}

/// Sets the same of a file that is not opened: a link, a device.
pub(crate) fn named(
    folder: &Folder,
    name: &Name,
    attributes: &Attributes,
    preserve: bool,
) -> Result<(), String> {
    let (at, flags) = (folder.fd(), AtFlags::SYMLINK_NOFOLLOW);
    if preserve {
        let (uid, gid) = owner(attributes);
        rustix::fs::chownat(at, name.as_os(), uid, gid, flags)
            .map_err(|e| format!("its owner can't be set: {e}"))?;
        // Not for symlinks, which have none; the node was just made, so no link stands there.
        if let Some(mode) = attributes
            .mode
            .filter(|_| attributes.kind != FileKind::Symlink)
        {
            rustix::fs::chmodat(at, name.as_os(), raw(mode), AtFlags::empty())
                .map_err(|e| format!("its mode can't be set: {e}"))?;
        }
    }
    if let Some(times) = times(attributes)? {
        rustix::fs::utimensat(at, name.as_os(), &times, flags)
            .map_err(|e| format!("its times can't be set: {e}"))?;
    }
    Ok(())
}

/// Sets mode and the rest of a directory once all of its entries are written.
pub(crate) fn directory(
    folder: &Folder,
    attributes: &Attributes,
    preserve: bool,
    mask: u32,
) -> Result<(), String> {
    if !preserve {
        let mode = plain_mode(attributes) & !mask;
        rustix::fs::fchmod(folder.fd(), raw(mode))
            .map_err(|e| format!("its mode can't be set: {e}"))?;
    }
    open_file(folder.fd(), attributes, preserve)
}

fn owner(attributes: &Attributes) -> (Option<Uid>, Option<Gid>) {
    // The highest number stands for "leave it", and belongs to no one.
    let uid = attributes.uid.filter(|id| *id != u32::MAX);
    let gid = attributes.gid.filter(|id| *id != u32::MAX);
    (uid.map(Uid::from_raw), gid.map(Gid::from_raw))
}

/// The times to set; `None` when the filesystem has none.
fn times(attributes: &Attributes) -> Result<Option<Timestamps>, String> {
    if attributes.mtime.is_none() && attributes.atime.is_none() {
        return Ok(None);
    }
    Ok(Some(Timestamps {
        last_access: time(attributes.atime)?,
        last_modification: time(attributes.mtime)?,
    }))
}

fn time(time: Option<Timestamp>) -> Result<Timespec, String> {
    let Some(time) = time else {
        return Ok(Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        });
    };
    let time = normal(time).ok_or("its times can't be set: they are beyond 64 bits")?;
    Ok(Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    })
}

/// The same moment with less than a second of nanoseconds; an image may say more.
pub(crate) fn normal(time: Timestamp) -> Option<Timestamp> {
    const SECOND: u32 = 1_000_000_000;
    Some(Timestamp {
        seconds: time
            .seconds
            .checked_add(i64::from(time.nanoseconds / SECOND))?,
        nanoseconds: time.nanoseconds % SECOND,
    })
}

/// An error of the core in one line.
pub(crate) fn reason(error: &hexz_resolve::Error) -> String {
    chain(error)
}
