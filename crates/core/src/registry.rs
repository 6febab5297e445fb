//! The plugins a program has, registered by explicit calls.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::{FilesystemPlugin, KnownFormat, VolumeScheme};

/// A plugin with an id that is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a plugin with the id {0:?} is already registered")]
pub struct DuplicateId(pub &'static str);

/// An id that no plugin has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no plugin has the id {id:?}; there are: {}", known.join(", "))]
pub struct UnknownId {
    /// The id asked for.
    pub id: String,
    /// The ids there are.
    pub known: Vec<&'static str>,
}

/// The plugins, immutable once built.
#[derive(Clone, Default)]
pub struct Registry {
    schemes: Vec<Arc<dyn VolumeScheme>>,
    filesystems: Vec<Arc<dyn FilesystemPlugin>>,
    known: Vec<KnownFormat>,
}

impl Registry {
    /// Starts an empty registry.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// The volume schemes, by id.
    #[must_use]
    pub fn schemes(&self) -> &[Arc<dyn VolumeScheme>] {
        &self.schemes
    }

    /// The filesystems, by id.
    #[must_use]
    pub fn filesystems(&self) -> &[Arc<dyn FilesystemPlugin>] {
        &self.filesystems
    }

    /// The formats that are known by name, by id.
    #[must_use]
    pub fn known(&self) -> &[KnownFormat] {
        &self.known
    }

    /// The filesystem with this id.
    ///
    /// # Errors
    /// [`UnknownId`], which lists what there is.
    pub fn filesystem(&self, id: &str) -> Result<&Arc<dyn FilesystemPlugin>, UnknownId> {
        self.filesystems
            .iter()
            .find(|p| p.descriptor().id == id)
            .ok_or_else(|| UnknownId {
                id: id.to_owned(),
                known: self.filesystems.iter().map(|p| p.descriptor().id).collect(),
            })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("schemes", &ids(&self.schemes, |p| p.descriptor().id))
            .field(
                "filesystems",
                &ids(&self.filesystems, |p| p.descriptor().id),
            )
            .finish()
    }
}

fn ids<T>(plugins: &[T], id: fn(&T) -> &'static str) -> Vec<&'static str> {
    plugins.iter().map(id).collect()
}

/// Collects plugins. The order of registration never matters.
#[derive(Debug, Default)]
pub struct RegistryBuilder {
    registry: Registry,
    ids: BTreeSet<&'static str>,
}

impl RegistryBuilder {
    /// Adds a volume scheme.
    ///
    /// # Errors
    /// [`DuplicateId`].
    pub fn scheme(&mut self, plugin: impl VolumeScheme) -> Result<&mut Self, DuplicateId> {
        self.take(plugin.descriptor().id)?;
        self.registry.schemes.push(Arc::new(plugin));
        Ok(self)
    }

    /// Adds a filesystem.
    ///
    /// # Errors
    /// [`DuplicateId`].
    pub fn filesystem(&mut self, plugin: impl FilesystemPlugin) -> Result<&mut Self, DuplicateId> {
        self.take(plugin.descriptor().id)?;
        self.registry.filesystems.push(Arc::new(plugin));
        Ok(self)
    }

    /// Adds a format that is known by name. Its id may be that of a plugin, and not that of
    /// another such format.
    ///
    /// # Errors
    /// [`DuplicateId`].
    pub fn known(&mut self, format: KnownFormat) -> Result<&mut Self, DuplicateId> {
        if self
            .registry
            .known
            .iter()
            .any(|known| known.id == format.id)
        {
            return Err(DuplicateId(format.id));
        }
        self.registry.known.push(format);
        Ok(self)
    }

    fn take(&mut self, id: &'static str) -> Result<(), DuplicateId> {
        if self.ids.insert(id) {
            Ok(())
        } else {
            Err(DuplicateId(id))
        }
    }

    /// The registry.
    #[must_use]
    pub fn build(self) -> Registry {
        let mut registry = self.registry;
        registry.schemes.sort_by_key(|p| p.descriptor().id);
        registry.filesystems.sort_by_key(|p| p.descriptor().id);
        registry.known.sort_by_key(|format| format.id);
        registry
    }
}
