//! What a plugin is given to open a device.

use std::sync::Arc;

use crate::{Diagnostic, Diagnostics, Error, Limits, ReadAt, Result, View, Window};

/// A device that a plugin opens, alone or as one of several that hold one volume.
#[derive(Clone)]
pub struct Member {
    /// Its bytes.
    pub device: Arc<dyn ReadAt>,
    /// Its two ends.
    pub window: Window,
    /// Where its bytes begin among the offsets of the volume: after those of the members before
    /// it.
    pub start: u64,
}

impl Member {
    /// The only member of a volume.
    #[must_use]
    pub fn alone(device: Arc<dyn ReadAt>) -> Self {
        let window = Window::read(&*device);
        Self {
            device,
            window,
            start: 0,
        }
    }

    /// The device, for a format that lies on one.
    ///
    /// # Errors
    /// `Unsupported` when there are several, or none.
    pub fn only(members: &[Self]) -> Result<&Arc<dyn ReadAt>> {
        match members {
            [member] => Ok(&member.device),
            _ => Err(Error::unsupported(
                "volume",
                format!("{} devices for a format that lies on one", members.len()),
            )),
        }
    }
}

/// Whether journals are replayed in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JournalMode {
    /// Read the disk as a mount would leave it.
    #[default]
    Replay,
    /// Read the disk as it lies.
    Ignore,
}

/// What a plugin needs to open a device.
#[derive(Debug)]
pub struct OpenContext<'a> {
    /// Bounds to keep.
    pub limits: &'a Limits,
    /// Whether journals are replayed.
    pub journal: JournalMode,
    /// The view being opened.
    pub view: View,
    /// Where findings go.
    pub diagnostics: &'a Diagnostics,
}

impl OpenContext<'_> {
    /// Adds a finding of this view.
    pub fn diagnose(&self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic.view(self.view));
    }
}
