//! The metadata files: which they are, and what their bytes are to the filesystem.

use std::collections::BTreeMap;

use hexz_resolve::{Claim, Owner, Role};

use crate::ondisk::{kind, number};

/// What the content of a metadata file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct System {
    /// Instead of [`Role::Data`] and the like.
    role: Role,
    /// Its name.
    detail: &'static str,
}

/// Metadata files by record number.
#[derive(Clone, Debug)]
pub(crate) struct Systems(BTreeMap<u64, System>);

impl Default for Systems {
    fn default() -> Self {
        let fixed = [
            (number::MFT, Role::Allocation, "$MFT"),
            (number::MFT_MIRR, Role::InodeTable, "$MFTMirr"),
            (number::LOG_FILE, Role::Journal, "$LogFile"),
            (number::VOLUME, Role::Superblock, "$Volume"),
            (number::ATTR_DEF, Role::Superblock, "$AttrDef"),
            (number::BITMAP, Role::Allocation, "$Bitmap"),
            (number::BOOT, Role::Boot, "$Boot"),
            (number::BAD_CLUS, Role::Data, "$BadClus"),
            (number::SECURE, Role::Xattr, "$Secure"),
            (number::UP_CASE, Role::Superblock, "$UpCase"),
        ];
        let files = fixed.map(|(number, role, detail)| (number, System { role, detail }));
        Self(files.into_iter().collect())
    }
}

impl Systems {
    /// Whether `number` is a metadata file whose content is not that of a file.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.0.contains_key(&number)
    }

    /// Adds a file that `$Extend` names, or one below it; gives back whether what is below it is
    /// metadata, too.
    pub(crate) fn add(
        &mut self,
        number: u64,
        name: &[u8],
        below: Option<System>,
    ) -> Option<System> {
        let system = below.or_else(|| {
            let (role, detail) = match name {
                b"$ObjId" => (Role::Xattr, "$ObjId"),
                b"$Quota" => (Role::Quota, "$Quota"),
                b"$Reparse" => (Role::Xattr, "$Reparse"),
                b"$UsnJrnl" => (Role::Journal, "$UsnJrnl"),
                b"$RmMetadata" => (Role::Journal, "$RmMetadata"),
                _ => return None,
            };
            Some(System { role, detail })
        })?;
        self.0.entry(number).or_insert(system);
        Some(system)
    }

    /// A claim by attribute, made one by file.
    pub(crate) fn apply(&self, mut claim: Claim) -> Claim {
        let Owner::File(file) = claim.owner else {
            return claim;
        };
        let Some(system) = self.0.get(&file.number) else {
            return claim;
        };
        match claim.role {
            Role::InodeRecord | Role::ExtentMap => return claim,
            // Directories below `$RmMetadata` are directories.
            Role::Directory if claim.stream.is_none() && system.role == Role::Journal => {
                return claim;
            }
            Role::Data | Role::Unwritten if system.role == Role::Data => {}
            _ => claim.role = system.role,
        }
        claim.detail = system.detail;
        claim
    }
}

/// What the bytes of an attribute are to its file, and the word for it.
pub(crate) fn role(attribute: u32) -> (Role, &'static str) {
    match attribute {
        kind::DATA => (Role::Data, ""),
        kind::INDEX_ALLOCATION => (Role::Directory, ""),
        kind::BITMAP => (Role::Directory, "$BITMAP"),
        kind::ATTRIBUTE_LIST => (Role::ExtentMap, "$ATTRIBUTE_LIST"),
        kind::REPARSE_POINT => (Role::Symlink, "$REPARSE_POINT"),
        kind::SECURITY_DESCRIPTOR => (Role::Xattr, "$SECURITY_DESCRIPTOR"),
        kind::EA | kind::EA_INFORMATION => (Role::Xattr, "$EA"),
        kind::LOGGED_UTILITY_STREAM => (Role::Xattr, "$LOGGED_UTILITY_STREAM"),
        _ => (Role::Xattr, ""),
    }
}
