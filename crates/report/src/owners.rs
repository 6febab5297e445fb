//! Owners for people: a line a piece.

use std::io::{Result, Write};

use hexz_resolve::report::{FileOwner, Header, OwnerEnd, OwnerRecord, VolumeRecord};

use crate::escape::escaped;
use crate::human::accounting;

/// Owner records as they come.
pub struct HumanOwners<'a> {
    out: &'a mut dyn Write,
    volumes: Vec<String>,
}

impl<'a> HumanOwners<'a> {
    /// Writes to `out`.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            volumes: Vec::new(),
        }
    }

    /// What comes before the first piece.
    ///
    /// # Errors
    /// Of the writer.
    pub fn begin(&mut self, _: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        self.volumes = volumes
            .iter()
            .map(|v| escaped(v.volume.as_bytes()))
            .collect();
        Ok(())
    }

    /// The next piece: where it is, what it is, and a line for each file that owns it.
    ///
    /// # Errors
    /// Of the writer.
    pub fn owner(&mut self, record: &OwnerRecord) -> Result<()> {
        let volume = record.volume.and_then(|v| self.volumes.get(v));
        let volume = volume.map_or("-", String::as_str);
        let (start, length) = (record.start, record.length);
        write!(
            self.out,
            "{start:>14} {length:>12}  {volume:<6} {}",
            record.class.as_str()
        )?;
        if !record.detail.is_empty() {
            write!(self.out, " {}", record.detail)?;
        }
        match &record.owners[..] {
            [] => {
                let reason = record.reason.as_deref().unwrap_or_default();
                let gap = if reason.is_empty() { "" } else { "  " };
                writeln!(self.out, "{gap}{}", escaped(reason.as_bytes()))
            }
            [one] => writeln!(self.out, "  {}", text(one)),
            many => {
                writeln!(self.out, "  {} owners", many.len())?;
                many.iter()
                    .try_for_each(|o| writeln!(self.out, "{:>36}{}", "", text(o)))
            }
        }
    }

    /// What comes after the last.
    ///
    /// # Errors
    /// Of the writer.
    pub fn end(&mut self, end: &OwnerEnd) -> Result<()> {
        writeln!(self.out, "{}", accounting(&end.summary.classes))
    }
}

impl std::fmt::Debug for HumanOwners<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HumanOwners").finish_non_exhaustive()
    }
}

/// `/etc/hosts +4096 (data of 12:7)`; of a file with several names all of them.
fn text(owner: &FileOwner) -> String {
    let mut names: Vec<String> = owner.paths.iter().map(|p| escaped(p)).collect();
    if names.is_empty() {
        names.push("(no name)".to_owned());
    }
    let mut text = names.join(" = ");
    if let Some(stream) = &owner.stream {
        text.push_str(&format!(":{}", escaped(stream.as_bytes())));
    }
    if let Some(offset) = owner.file_offset {
        text.push_str(&format!(" +{offset}"));
    }
    format!("{text}  ({} of {})", owner.role.as_str(), owner.file)
}
