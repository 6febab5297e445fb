//! One error type: what kind, where on the image, and what was expected there.

use std::error::Error as StdError;
use std::fmt;

/// The view of the disk that something was read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The disk before the change.
    Base,
    /// The disk after it.
    Merged,
}

impl View {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Merged => "merged",
        }
    }
}

/// Why something could not go on. The kinds are never mixed: a read error is not corruption, and
/// corruption is not absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The image could not be read.
    Io,
    /// The image says something impossible.
    Corrupt,
    /// The image is sound as far as can be told, and uses what is not implemented.
    Unsupported,
    /// A bound of [`Limits`](crate::Limits) was reached.
    Limit,
    /// The caller asked to stop.
    Cancelled,
}

impl ErrorKind {
    /// A short word for messages and codes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::Cancelled => "cancelled",
        }
    }
}

type Source = Box<dyn StdError + Send + Sync>;

/// An error with its place. Displays as
/// `corrupt inode at byte 4096: expected …, found …`; its source is not repeated.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    structure: &'static str,
    layer: Option<&'static str>,
    view: Option<View>,
    offset: Option<u64>,
    expected: Option<String>,
    found: Option<String>,
    message: Option<String>,
    source: Option<Source>,
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` in or about `structure`, such as `"inode"` or `"GPT header"`.
    #[must_use]
    pub fn new(kind: ErrorKind, structure: &'static str) -> Self {
        Self(Box::new(Inner {
            kind,
            structure,
            layer: None,
            view: None,
            offset: None,
            expected: None,
            found: None,
            message: None,
            source: None,
        }))
    }

    /// [`ErrorKind::Corrupt`] in `structure`.
    #[must_use]
    pub fn corrupt(structure: &'static str) -> Self {
        Self::new(ErrorKind::Corrupt, structure)
    }

    /// [`ErrorKind::Unsupported`], naming the feature in `message`.
    #[must_use]
    pub fn unsupported(structure: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, structure).message(message)
    }

    /// [`ErrorKind::Limit`], naming the limit in `message`.
    #[must_use]
    pub fn limit(structure: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, structure).message(message)
    }

    /// [`ErrorKind::Io`] while reading `structure`.
    #[must_use]
    pub fn io(structure: &'static str, source: impl Into<Source>) -> Self {
        Self::new(ErrorKind::Io, structure).source(source)
    }

    /// Sets the byte offset, from the start of what the layer reads.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Sets the layer, such as `"ext4"`; the innermost one stays.
    #[must_use]
    pub fn layer(mut self, layer: &'static str) -> Self {
        self.0.layer.get_or_insert(layer);
        self
    }

    /// Sets the view; the first one set stays.
    #[must_use]
    pub fn view(mut self, view: View) -> Self {
        self.0.view.get_or_insert(view);
        self
    }

    /// Says what should have been there.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.0.expected = Some(expected.to_string());
        self
    }

    /// Says what was there.
    #[must_use]
    pub fn found(mut self, found: impl fmt::Display) -> Self {
        self.0.found = Some(found.to_string());
        self
    }

    /// Says in words what is wrong.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.0.message = Some(message.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The structure it is about.
    #[must_use]
    pub fn structure(&self) -> &'static str {
        self.0.structure
    }

    /// The byte offset, where one is known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The view, where one is known.
    #[must_use]
    pub fn in_view(&self) -> Option<View> {
        self.0.view
    }

    /// The layer, where one is known.
    #[must_use]
    pub fn in_layer(&self) -> Option<&'static str> {
        self.0.layer
    }

    /// Whether the whole scan must end, not only the unit that met it.
    #[must_use]
    pub fn ends_scan(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Limit | ErrorKind::Cancelled)
    }

    /// This error and its causes, joined by `: `, for a one-line message.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = StdError::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(layer) = inner.layer {
            write!(f, "{layer}: ")?;
        }
        match inner.kind {
            ErrorKind::Io => write!(f, "cannot read {}", inner.structure)?,
            ErrorKind::Corrupt => write!(f, "corrupt {}", inner.structure)?,
            ErrorKind::Unsupported => write!(f, "unsupported {}", inner.structure)?,
            ErrorKind::Limit => write!(f, "limit reached in {}", inner.structure)?,
            ErrorKind::Cancelled => write!(f, "cancelled in {}", inner.structure)?,
        }
        if let Some(offset) = inner.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(view) = inner.view {
            write!(f, " of the {} view", view.as_str())?;
        }
        if let Some(message) = &inner.message {
            write!(f, ": {message}")?;
        }
        match (&inner.expected, &inner.found) {
            (Some(expected), Some(found)) => write!(f, ": expected {expected}, found {found}"),
            (Some(expected), None) => write!(f, ": expected {expected}"),
            (None, Some(found)) => write!(f, ": found {found}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({})", self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|s| &**s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_why() {
        let error = Error::corrupt("extent node")
            .at(4096)
            .layer("ext4")
            .layer("outer")
            .view(View::Merged)
            .expected("depth 1")
            .found("depth 7")
            .source("the cause");
        assert_eq!(
            error.to_string(),
            "ext4: corrupt extent node at byte 4096 of the merged view: expected depth 1, found depth 7"
        );
        assert!(error.chain().ends_with("found depth 7: the cause"));
    }
}
