//! The plugins that are built in.

use hexz_resolve::{DuplicateId, Registry, RegistryBuilder};

/// A function with which a crate adds its plugins.
type Register = fn(&mut RegistryBuilder) -> Result<(), DuplicateId>;

/// Those of the features that are on.
const BUILT_IN: &[Register] = &[
    #[cfg(feature = "volumes")]
    hexz_volume::register,
    #[cfg(feature = "known")]
    hexz_known::register,
    #[cfg(feature = "btrfs")]
    hexz_fs_btrfs::register,
    #[cfg(feature = "exfat")]
    hexz_fs_exfat::register,
    #[cfg(feature = "ext4")]
    hexz_fs_ext4::register,
    #[cfg(feature = "fat")]
    hexz_fs_fat::register,
    #[cfg(feature = "files")]
    hexz_fs_files::register,
    #[cfg(feature = "ntfs")]
    hexz_fs_ntfs::register,
    #[cfg(feature = "swap")]
    hexz_fs_swap::register,
    #[cfg(feature = "xfs")]
    hexz_fs_xfs::register,
];

/// The plugins that are built in, to which more can be added.
///
/// # Errors
/// Never, as long as these have different ids.
pub fn plugins() -> Result<RegistryBuilder, DuplicateId> {
    let mut registry = Registry::builder();
    for register in BUILT_IN {
        register(&mut registry)?;
    }
    Ok(registry)
}

/// The plugins that are built in.
#[must_use]
pub fn registry() -> Registry {
    // Two of our own plugins with one id would be a bug that the first test meets.
    plugins().map(RegistryBuilder::build).unwrap_or_default()
}
