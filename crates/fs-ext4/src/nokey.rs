//! Names in encrypted directories, as the kernel shows them to whoever has no key: base64url of the
//! hash of the name and of its ciphertext (`struct fscrypt_nokey_name` in `fs/crypto/fname.c` of
//! Linux 6.18; "No-key names" in its documentation of fscrypt).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hexz_ondisk::Fields;
use hexz_resolve::{ReadAt, Result};
use sha2::{Digest as _, Sha256};

use crate::directory::{Directory, Entry};
use crate::dirhash::DirHash;
use crate::fs::Ext4;
use crate::ondisk::{RawInode, compat, i_flags};

/// Bytes of ciphertext that are shown; of more there is a digest of the rest.
const SHOWN: usize = 149;
/// `EXT2_FLAGS_UNSIGNED_HASH` in `s_flags`.
const UNSIGNED_HASH: u32 = 2;
/// `hash_version` in the first block of a hash tree, behind `.` and `..`.
const HASH_VERSION: u64 = 28;

/// Where the hashes of the names in one directory come from.
#[derive(Clone, Copy, Debug)]
enum Hashes {
    /// The kernel reads such a directory block by block, and shows no hash.
    None,
    /// They stand behind the names.
    Stored,
    Computed(DirHash),
}

/// How the names of one encrypted directory are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoKeyNames(Hashes);

impl NoKeyNames {
    /// Those of `directory`, where it is encrypted.
    pub(crate) fn of(fs: &Ext4, directory: &Directory, reader: &dyn ReadAt) -> Option<Self> {
        let has = |flag: u32| directory.flags & flag != 0;
        if !has(i_flags::ENCRYPT) {
            return None;
        }
        let sb = &fs.geometry.sb;
        let one_block = directory.size.checked_div(fs.geometry.block()) == Some(1);
        let hashed = has(i_flags::INDEX) || one_block || directory.inline;
        if !sb.compat(compat::DIR_INDEX) || !hashed {
            return Some(Self(Hashes::None));
        }
        if has(i_flags::CASEFOLD) {
            return Some(Self(Hashes::Stored));
        }
        let version = match has(i_flags::INDEX) {
            true => fs.hash_version(directory, reader),
            false => None,
        };
        let version = version.unwrap_or(sb.s_def_hash_version);
        let unsigned = sb.s_flags & UNSIGNED_HASH != 0;
        let hash = DirHash::new(version, unsigned, &sb.s_hash_seed);
        Some(Self(hash.map_or(Hashes::None, Hashes::Computed)))
    }

    /// An entry by the name that is shown.
    pub(crate) fn show(self, entry: Entry<'_>) -> Entry<'_> {
        let hash = match self.0 {
            Hashes::None => (0, 0),
            Hashes::Stored => entry.hash.unwrap_or_default(),
            Hashes::Computed(hash) => hash.of(&entry.name),
        };
        Entry {
            name: shown(hash, &entry.name).into(),
            ..entry
        }
    }
}

impl Ext4 {
    /// `hash_version` in the root of a hash tree.
    fn hash_version(&self, directory: &Directory, reader: &dyn ReadAt) -> Option<u8> {
        let first = directory
            .pieces
            .first()
            .filter(|piece| piece.logical == 0)?;
        let block = self.geometry.blocks(first.physical, 1)?;
        let mut version = [0];
        let at = block.start().checked_add(HASH_VERSION)?;
        reader.read_exact_at(at, &mut version).ok()?;
        Some(version[0])
    }
}

/// The target of an encrypted symlink, as it is shown; `content` is a length of two bytes and the
/// ciphertext (`struct fscrypt_symlink_data`).
pub(crate) fn target(inode: &RawInode<'_>, content: &[u8]) -> Result<Option<Vec<u8>>> {
    if inode.i_flags()? & i_flags::ENCRYPT == 0 {
        return Ok(None);
    }
    let fields = Fields::new("encrypted symlink", 0, content);
    let length = usize::from(fields.le16(0)?);
    Ok(Some(shown((0, 0), fields.bytes(2, length)?)))
}

fn shown((hash, minor): (u32, u32), ciphertext: &[u8]) -> Vec<u8> {
    let mut bytes = [hash.to_le_bytes(), minor.to_le_bytes()].concat();
    let (head, rest) = ciphertext
        .split_at_checked(SHOWN)
        .unwrap_or((ciphertext, &[]));
    bytes.extend_from_slice(head);
    if !rest.is_empty() {
        bytes.extend_from_slice(&Sha256::digest(rest));
    }
    URL_SAFE_NO_PAD.encode(bytes).into_bytes()
}
