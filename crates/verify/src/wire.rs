//! What parent and child say to each other. The child asks, the parent answers.

use std::io::{self, Read, Write};

/// Longest read that is asked for at a time.
pub(crate) const MOST: u32 = 1 << 20;

/// What a child says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Bytes of the volume are needed.
    Read { offset: u64, length: u32 },
    /// The volume could not be opened.
    Unable(String),
    /// The volume is open, or the last range is done: what is next?
    Next,
    /// Bytes of the range that was asked for; fewer than asked for at the end of the file.
    Bytes(Vec<u8>),
    /// The range that was asked for can't be read.
    Failed(String),
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A length, then so many bytes.
pub(crate) fn bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = number(from)?;
    if length > u64::from(MOST) {
        return Err(io::Error::other("a message is too long"));
    }
    let mut out = Vec::new();
    from.take(length).read_to_end(&mut out)?;
    if out.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(out)
}

fn text(from: &mut impl Read) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(from)?).into_owned())
}

pub(crate) fn put_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)
}

impl Said {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Read { offset, length } => {
                out.write_all(b"R")?;
                out.write_all(&offset.to_le_bytes())?;
                out.write_all(&u64::from(*length).to_le_bytes())?;
            }
            Self::Unable(reason) => {
                out.write_all(b"U")?;
                put_bytes(out, reason.as_bytes())?;
            }
            Self::Next => out.write_all(b"N")?,
            Self::Bytes(bytes) => {
                out.write_all(b"B")?;
                put_bytes(out, bytes)?;
            }
            Self::Failed(reason) => {
                out.write_all(b"F")?;
                put_bytes(out, reason.as_bytes())?;
            }
        }
        out.flush()
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        Ok(match &kind {
            b"R" => Self::Read {
                offset: number(from)?,
                length: u32::try_from(number(from)?)
                    .ok()
                    .filter(|length| *length <= MOST)
                    .ok_or_else(|| io::Error::other("a read is too long"))?,
            },
            b"U" => Self::Unable(text(from)?),
            b"N" => Self::Next,
            b"B" => Self::Bytes(bytes(from)?),
            b"F" => Self::Failed(text(from)?),
            _ => return Err(io::Error::other("a message of no known kind")),
        })
    }
}

/// What a child is to read next: a part of a file, by path or by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) path: Vec<u8>,
    pub(crate) number: u64,
    pub(crate) stream: Vec<u8>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Task {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        put_bytes(out, &self.path)?;
        put_bytes(out, &self.stream)?;
        for number in [self.number, self.offset, self.length] {
            out.write_all(&number.to_le_bytes())?;
        }
        out.flush()
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        Ok(Self {
            path: bytes(from)?,
            stream: bytes(from)?,
            number: number(from)?,
            offset: number(from)?,
            length: number(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let all = [
            Said::Read {
                offset: u64::MAX,
                length: MOST,
            },
            Said::Unable("no".to_owned()),
            Said::Next,
            Said::Bytes(vec![1, 2, 3]),
            Said::Failed("why".to_owned()),
        ];
        let mut wire = Vec::new();
        all.iter().for_each(|said| said.write(&mut wire).unwrap());
        let mut from = wire.as_slice();
        for said in &all {
            assert_eq!(Said::read(&mut from).unwrap(), *said);
        }
        assert!(Said::read(&mut from).is_err());
        let long = [b"B".as_slice(), &u64::MAX.to_le_bytes()].concat();
        assert!(Said::read(&mut long.as_slice()).is_err());
    }
}
