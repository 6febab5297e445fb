//! A diff for machines, written as it is found.

use std::collections::BTreeSet;
use std::io::{Result, Write};

use hexz_resolve::report::{Change, DiffEnd, FileNames, Header, Report, VolumeRecord};

use crate::places::Places;
use crate::select::Selection;
use crate::{json, names};

/// The forms that are written record by record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON Lines.
    Json,
    /// A letter and a path a line; ends are NUL with `nul`, and names raw.
    NameStatus {
        /// Whether fields end with NUL.
        nul: bool,
    },
    /// A path a line, likewise.
    NameOnly {
        /// Whether paths end with NUL.
        nul: bool,
    },
}

/// Writes the records of a diff in one form.
#[derive(Clone, Debug)]
pub struct Changes {
    form: Form,
    selection: Selection,
    volumes: Vec<VolumeRecord>,
}

impl Changes {
    /// Writes what `selection` leaves of a diff.
    #[must_use]
    pub fn new(form: Form, selection: Selection) -> Self {
        Self {
            form,
            selection,
            volumes: Vec::new(),
        }
    }

    /// Says where the volumes are.
    pub fn set_places(&mut self, places: Places) {
        self.selection.places = places;
    }

    /// What is left of the changes.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What comes before the first change.
    ///
    /// # Errors
    /// Of `out`.
    pub fn begin(
        &mut self,
        out: &mut dyn Write,
        header: &Header,
        volumes: &[VolumeRecord],
    ) -> Result<()> {
        self.volumes = volumes.to_vec();
        match self.form {
            Form::Json => json::head(out, header, volumes),
            _ => Ok(()),
        }
    }

    /// The names of a file that has very many.
    ///
    /// # Errors
    /// Of `out`.
    pub fn names(&self, out: &mut dyn Write, names: &FileNames) -> Result<()> {
        match self.form {
            Form::Json => json::names(out, names, &self.volumes),
            _ => Ok(()),
        }
    }

    /// The next changes.
    ///
    /// # Errors
    /// Of `out`.
    pub fn changes(&self, out: &mut dyn Write, changes: &[Change]) -> Result<()> {
        for change in changes {
            match self.form {
                Form::Json if self.selection.in_paths(change) => {
                    let notable = self.selection.places.notable(change);
                    json::change(out, change, &self.volumes, notable)?;
                }
                Form::NameStatus { nul } if self.selection.shows(change) => {
                    names::name_status(out, change, &self.selection.places, nul)?;
                }
                Form::NameOnly { nul } if self.selection.shows(change) => {
                    names::name_only(out, change, &self.selection.places, nul)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What comes after the last change.
    ///
    /// # Errors
    /// Of `out`.
    pub fn end(&self, out: &mut dyn Write, end: &DiffEnd) -> Result<()> {
        match self.form {
            Form::Json => json::end(out, end, &self.volumes),
            _ => Ok(()),
        }
    }
}

/// A whole diff in one form.
///
/// # Errors
/// Of `out`.
pub fn write_changes(
    out: &mut dyn Write,
    report: &Report,
    form: Form,
    selection: &Selection,
) -> Result<()> {
    let mut changes = Changes::new(form, selection.clone());
    changes.begin(out, &report.header, &report.volumes)?;
    let mut named = BTreeSet::new();
    for change in &report.changes {
        if let Some(all) = change.names()
            && named.insert((all.volume, all.view, all.file))
        {
            changes.names(out, &all)?;
        }
        changes.changes(out, std::slice::from_ref(change))?;
    }
    let end = DiffEnd::of(report);
    changes.end(out, &end)
}
