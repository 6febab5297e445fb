//! What a format has to open an image with, and what it gives back.

use std::path::{Path, PathBuf};

use hexz_resolve::Result;

use crate::chain::Chain;
use crate::format::Format;
use crate::layer::{ImageId, Layer};

/// An image without what it stands on.
pub(crate) struct Opened {
    pub(crate) layer: Box<dyn Layer>,
    pub(crate) parent: Option<Parent>,
}

impl Opened {
    /// One that stands on nothing.
    pub(crate) fn alone(layer: impl Layer + 'static) -> Self {
        Self {
            layer: Box::new(layer),
            parent: None,
        }
    }
}

/// What an image says of the one that it stands on.
pub(crate) struct Parent {
    /// The names it may have, or why one can't be had, in the order in which they are tried.
    pub(crate) names: Vec<Result<PathBuf>>,
    pub(crate) format: ParentFormat,
    /// What it is known by, where the child says it: any of these.
    pub(crate) ids: Vec<ImageId>,
}

/// The format that a child says its parent is of.
pub(crate) enum ParentFormat {
    Known(Format),
    /// Not said: its first bytes decide.
    Unsaid,
    /// One that is not read.
    Other(String),
}

impl ParentFormat {
    /// Whether ids of an image of `format` are of the kind that the child has.
    pub(crate) fn admits(&self, format: Format) -> bool {
        matches!(self, Self::Known(known) if *known == format)
    }
}

/// What a format has to open an image with.
pub(crate) struct Opening<'a> {
    /// Where the image lies.
    pub(crate) path: &'a Path,
    pub(crate) snapshot: Option<&'a str>,
    /// Bytes that its caches may take.
    pub(crate) cache_bytes: usize,
    pub(crate) chain: &'a Chain<'a>,
}
