//! Owners for people: a line a piece.

use std::io::{Result, Write};

use hexz_resolve::report::{FileOwner, MANY_NAMES, OwnerEnd, OwnerRecord, VolumeRecord};

use crate::escape::escaped;
use crate::human::accounting;

/// Owner records as they come.
#[derive(Clone, Debug, Default)]
pub struct HumanOwners {
    volumes: Vec<String>,
}

impl HumanOwners {
    /// Of a disk with these volumes.
    #[must_use]
    pub fn new(volumes: &[VolumeRecord]) -> Self {
        let names = volumes.iter().map(|v| escaped(v.volume.as_bytes()));
        Self {
            volumes: names.collect(),
        }
    }

    /// The next pieces.
    ///
    /// # Errors
    /// Of `out`.
    pub fn owners(&self, out: &mut dyn Write, records: &[OwnerRecord]) -> Result<()> {
        records
            .iter()
            .try_for_each(|record| self.owner(out, record))
    }

    /// Where a piece is, what it is, and a line for each file that owns it.
    fn owner(&self, out: &mut dyn Write, record: &OwnerRecord) -> Result<()> {
        let volume = record.volume.and_then(|v| self.volumes.get(v));
        let volume = volume.map_or("-", String::as_str);
        let length = record.length;
        let start = match record.disk {
            Some(disk) => format!("{disk}:{}", record.start),
            None => record.start.to_string(),
        };
        write!(
            out,
            "{start:>14} {length:>12}  {volume:<6} {}",
            record.class.as_str()
        )?;
        if !record.detail.is_empty() {
            write!(out, " {}", record.detail)?;
        }
        match &record.owners[..] {
            [] => {
                let reason = record.reason.as_deref().unwrap_or_default();
                let gap = if reason.is_empty() { "" } else { "  " };
                writeln!(out, "{gap}{}", escaped(reason.as_bytes()))
            }
            [one] => writeln!(out, "  {}", text(one)),
            many => {
                writeln!(out, "  {} owners", many.len())?;
                many.iter()
                    .try_for_each(|o| writeln!(out, "{:>36}{}", "", text(o)))
            }
        }
    }

    /// What comes after the last.
    ///
    /// # Errors
    /// Of `out`.
    pub fn end(&self, out: &mut dyn Write, end: &OwnerEnd) -> Result<()> {
        writeln!(out, "{}", accounting(&end.summary.classes))
    }
}

/// `/etc/hosts +4096 (data of 12:7)`; of a file with several names all of them, unless they are very many.
fn text(owner: &FileOwner) -> String {
    // A file with very many names may own very many pieces.
    let many = owner.paths.len() > MANY_NAMES;
    let shown = if many { 1 } else { owner.paths.len() };
    let names = owner.paths.iter().take(shown).map(|p| escaped(p));
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        names.push("(no name)".to_owned());
    }
    if many {
        names.push(format!("{} more names", owner.paths.len() - shown));
    }
    let mut text = names.join(" = ");
    if let Some(stream) = &owner.stream {
        text.push_str(&format!(":{}", escaped(stream.as_bytes())));
    }
    if let Some(offset) = owner.file_offset {
        text.push_str(&format!(" +{offset}"));
    }
    format!("{text}  ({} of {})", owner.role.as_str(), owner.shown())
}
