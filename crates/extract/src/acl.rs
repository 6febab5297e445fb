//! Extended attributes in the form in which Linux shows them.
//!
//! ext4 and XFS keep POSIX ACLs in forms of their own; `getxattr` shows
//! `struct posix_acl_xattr_header` (version 2) with entries of 8 bytes.
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/attributes.html>,
//! `fs/xfs/libxfs/xfs_format.h` (`struct xfs_acl`), `include/uapi/linux/posix_acl_xattr.h`

use std::borrow::Cow;

use hexz_resolve::Attributes;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
/// Entries that say whom they are about (`ACL_USER`, `ACL_GROUP`).
const NAMED: [u16; 2] = [2, 8];
const NO_ID: u32 = u32::MAX;

/// The extended attributes of a file that Linux can set, by their names there. What other systems
/// keep beside a file (streams and extended attributes of NTFS) is not among them.
pub(crate) fn linux_xattrs(attributes: &Attributes) -> Vec<(Vec<u8>, Cow<'_, [u8]>)> {
    let mut out = Vec::new();
    for xattr in &attributes.xattrs {
        let (name, value) = (xattr.name.as_bytes(), &*xattr.value);
        let shown = match name {
            ACCESS | DEFAULT => ext4_acl(value).map(|acl| (name, Cow::Owned(acl))),
            b"trusted.SGI_ACL_FILE" => xfs_acl(value).map(|acl| (ACCESS, Cow::Owned(acl))),
            b"trusted.SGI_ACL_DEFAULT" => xfs_acl(value).map(|acl| (DEFAULT, Cow::Owned(acl))),
            _ => None,
        };
        let kept = [&b"user."[..], b"trusted.", b"security.", b"system."];
        match shown {
            Some((name, value)) => out.push((name.to_vec(), value)),
            None if kept.iter().any(|start| name.starts_with(start)) => {
                out.push((name.to_vec(), Cow::Borrowed(value)));
            }
            None => {}
        }
    }
    out.sort();
    out
}

fn header(out: &mut Vec<u8>) {
    out.extend_from_slice(&2_u32.to_le_bytes());
}

fn entry(out: &mut Vec<u8>, tag: u16, perm: u16, id: u32) {
    let id = if NAMED.contains(&tag) { id } else { NO_ID };
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&perm.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
}

/// `ext4_acl_header` (version 1), then entries of 4 bytes, or 8 where someone is named.
fn ext4_acl(value: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != 1 {
        return None;
    }
    let mut out = Vec::new();
    header(&mut out);
    while !rest.is_empty() {
        let (short, after) = rest.split_first_chunk::<4>()?;
        let [t0, t1, p0, p1] = *short;
        let (tag, perm) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]));
        rest = after;
        let mut id = NO_ID;
        if NAMED.contains(&tag) {
            let (bytes, after) = rest.split_first_chunk::<4>()?;
            id = u32::from_le_bytes(*bytes);
            rest = after;
        }
        entry(&mut out, tag, perm, id);
    }
    Some(out)
}

/// `struct xfs_acl`: a count, then tag (32 bits), id, permissions (16 bits) and padding, all
/// big-endian.
fn xfs_acl(value: &[u8]) -> Option<Vec<u8>> {
    let (count, entries) = value.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    let mut out = Vec::new();
    header(&mut out);
    let (entries, rest) = entries.as_chunks::<12>();
    if entries.len() < count || !rest.is_empty() {
        return None;
    }
    for bytes in entries.iter().take(count) {
        let (tag, after) = bytes.split_first_chunk::<4>()?;
        let (id, after) = after.split_first_chunk::<4>()?;
        let perm = after.first_chunk::<2>()?;
        let tag = u16::try_from(u32::from_be_bytes(*tag)).ok()?;
        let (perm, id) = (u16::from_be_bytes(*perm), u32::from_be_bytes(*id));
        entry(&mut out, tag, perm, id);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `getxattr` shows for `u::rw-,u:1000:r--,g::r--,m::r--,o::---`.
    fn shown() -> Vec<u8> {
        let entries: [(u16, u16, u32); 5] = [
            (1, 6, NO_ID),
            (2, 4, 1000),
            (4, 4, NO_ID),
            (16, 4, NO_ID),
            (32, 0, NO_ID),
        ];
        let mut out = 2_u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            out.extend(tag.to_le_bytes());
            out.extend(perm.to_le_bytes());
            out.extend(id.to_le_bytes());
        }
        out
    }

    #[test]
    fn ext4_leaves_out_ids_that_mean_nothing() {
        let mut kept = 1_u32.to_le_bytes().to_vec();
        for (tag, perm, id) in [(1_u16, 6_u16, None), (2, 4, Some(1000_u32)), (4, 4, None)] {
            kept.extend(tag.to_le_bytes());
            kept.extend(perm.to_le_bytes());
            kept.extend(id.into_iter().flat_map(u32::to_le_bytes));
        }
        kept.extend([16, 0, 4, 0, 32, 0, 0, 0]);
        assert_eq!(ext4_acl(&kept), Some(shown()));
        assert_eq!(ext4_acl(&kept[..10]), None);
        assert_eq!(ext4_acl(&shown()), None);
    }

    #[test]
    fn xfs_counts_its_entries() {
        let mut kept = 5_u32.to_be_bytes().to_vec();
        let entries = [
            (1_u32, 0_u32, 6_u16),
            (2, 1000, 4),
            (4, 0, 4),
            (16, 0, 4),
            (32, 0, 0),
        ];
        for (tag, id, perm) in entries {
            kept.extend(tag.to_be_bytes());
            kept.extend(id.to_be_bytes());
            kept.extend(perm.to_be_bytes());
            kept.extend([0, 0]);
        }
        assert_eq!(xfs_acl(&kept), Some(shown()));
        assert_eq!(xfs_acl(&kept[..20]), None);
    }
}
