//! An archive on its way out: hashed, compressed, and hashed again.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    #[default]
    None,
    /// gzip, without name and time.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// What the name of a file says: `.gz`, `.tgz`, `.zst`.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Self {
        let lower = name.to_ascii_lowercase();
        let ends = |end: &str| lower.ends_with(end.as_bytes());
        if ends(".gz") || ends(".tgz") {
            Self::Gzip
        } else if ends(".zst") || ends(".zstd") || ends(".tzst") {
            Self::Zstd
        } else {
            Self::None
        }
    }

    /// The media type of a layer that is packed this way, in the OCI image specification.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// `sha256:…` of the bytes that were written.
    pub digest: String,
    /// `sha256:…` of the archive before it was compressed: what an image configuration lists.
    pub diff_id: String,
    /// Bytes that were written.
    pub size: u64,
}

/// Takes an archive and writes it.
pub struct Packer<W: Write> {
    diff_id: Sha256,
    out: Encoder<W>,
}

enum Encoder<W: Write> {
    Plain(Hashed<W>),
    Gzip(GzEncoder<Hashed<W>>),
    Zstd(zstd::Encoder<'static, Hashed<W>>),
}

struct Hashed<W: Write> {
    out: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = self.out.write(bytes)?;
        self.hash.update(bytes.get(..wrote).unwrap_or_default());
        let more = u64::try_from(wrote).map_err(io::Error::other)?;
        let size = self.size.checked_add(more);
        self.size = size.ok_or_else(|| io::Error::other("too long"))?;
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Packer<W> {
    /// Writes to `out`.
    ///
    /// # Errors
    /// When the compressor can't be made.
    pub fn new(out: W, packing: Packing) -> io::Result<Self> {
        let out = Hashed {
            out,
            hash: Sha256::new(),
            size: 0,
        };
        Ok(Self {
            diff_id: Sha256::new(),
            out: match packing {
                Packing::None => Encoder::Plain(out),
                Packing::Gzip => Encoder::Gzip(GzEncoder::new(out, flate2::Compression::default())),
                Packing::Zstd => Encoder::Zstd(zstd::Encoder::new(out, 3)?),
            },
        })
    }

    /// Writes what is left, and gives the digests.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(self) -> io::Result<Packed> {
        let mut hashed = match self.out {
            Encoder::Plain(out) => out,
            Encoder::Gzip(out) => out.finish()?,
            Encoder::Zstd(out) => out.finish()?,
        };
        hashed.flush()?;
        Ok(Packed {
            digest: text(hashed.hash),
            diff_id: text(self.diff_id),
            size: hashed.size,
        })
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = match &mut self.out {
            Encoder::Plain(out) => out.write(bytes)?,
            Encoder::Gzip(out) => out.write(bytes)?,
            Encoder::Zstd(out) => out.write(bytes)?,
        };
        self.diff_id.update(bytes.get(..wrote).unwrap_or_default());
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Encoder::Plain(out) => out.flush(),
            Encoder::Gzip(out) => out.flush(),
            Encoder::Zstd(out) => out.flush(),
        }
    }
}

impl<W: Write> std::fmt::Debug for Packer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

fn text(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}
