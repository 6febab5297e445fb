//! Names that may be given to the system.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// One name of an entry below the target folder: never a path, never `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// A name of an image, when it can be the name of a file.
    ///
    /// # Errors
    /// With the reason why it can't.
    pub fn new(bytes: &[u8]) -> Result<Self, &'static str> {
        match bytes {
            b"" => Err("its name is empty"),
            b"." | b".." => Err("its name stands for a directory"),
            _ if bytes.contains(&b'/') => Err("its name holds a slash"),
            _ if bytes.contains(&0) => Err("its name holds a NUL byte"),
            _ => Ok(Self(bytes.to_vec())),
        }
    }

    /// The names of a path, without empty ones.
    ///
    /// # Errors
    /// As [`Name::new`], for the first name that can't be one.
    pub fn path(path: &[u8]) -> Result<Vec<Self>, &'static str> {
        path.split(|b| *b == b'/')
            .filter(|name| !name.is_empty())
            .map(Self::new)
            .collect()
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_os(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_a_name_is_refused() {
        let bad = [
            &b""[..],
            b".",
            b"..",
            b"/",
            b"a/b",
            b"/etc",
            b"../x",
            b"a\0b",
        ];
        for name in bad {
            assert!(Name::new(name).is_err(), "{}", name.escape_ascii());
        }
        for name in [
            &b"a"[..],
            b"...",
            b".x",
            b"\xff\xfe",
            b"a\nb",
            b"C:\\x",
            b"CON",
        ] {
            assert!(Name::new(name).is_ok(), "{}", name.escape_ascii());
        }
        assert_eq!(Name::path(b"/a//b/").unwrap().len(), 2);
        assert!(Name::path(b"/a/../b").is_err());
    }
}
