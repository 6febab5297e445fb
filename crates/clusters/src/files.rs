//! What files are called, and what is known of them.

use hexz_resolve::{
    Attributes, Error, FileKey, FileKind, FileSet, Lineage, Link, LinkCoverage, RawName, Result,
    Scan, Sink,
};

use crate::format::{Format, Set};
use crate::sets::Sets;
use crate::tree::{Directory, Item};
use crate::{ROOT, Volume};

impl<F: Format> Volume<F> {
    /// The attributes of those of `files` that exist.
    ///
    /// # Errors
    /// What ends the scan.
    pub fn attributes(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        let known = self.known(cx)?;
        let mut sets = Sets::new(&self.reader, &known.tree);
        for file in files.iter() {
            cx.check()?;
            if file == FileKey::new(ROOT) {
                let mut root = Attributes::new(file, FileKind::Directory);
                root.lineage = Lineage::new(b"root");
                out.put(root)?;
                continue;
            }
            let Some(item) = known.tree.item(file) else {
                continue;
            };
            let read = sets.read(item);
            match read.and_then(|bytes| self.described(item, file, &bytes)) {
                Ok(attributes) => out.put(attributes)?,
                Err(error) => cx.tolerate(error)?,
            }
        }
        Ok(())
    }

    fn described(&self, item: &Item, file: FileKey, bytes: &[u8]) -> Result<Attributes> {
        let entry = &item.entry;
        let kind = match entry.is_directory {
            true => FileKind::Directory,
            false => FileKind::File,
        };
        let set = set(item, file.number, bytes);
        let mut attributes = Attributes::new(file, kind);
        attributes.size = entry.size;
        // What has no cluster yet is known by its path only.
        if entry.first != 0 {
            let made = self.format.made(&set)?;
            attributes.lineage = Lineage::new(&[&entry.first.to_le_bytes()[..], &made].concat());
        }
        self.format.describe(&set, &mut attributes)?;
        Ok(attributes)
    }

    /// Every link whose child is in `wanted`.
    ///
    /// # Errors
    /// What ends the scan.
    pub fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        let known = self.known(cx)?;
        let mut sets = Sets::new(&self.reader, &known.tree);
        for child in wanted.iter() {
            cx.check()?;
            let found = known.tree.item(child);
            let parent = found.and_then(|item| known.tree.at(item.directory));
            if let Some((item, parent)) = found.zip(parent) {
                self.link(&mut sets, item, (parent.key, child), cx, out)?;
            }
        }
        Ok(LinkCoverage::Wanted)
    }

    /// All links in each of `directories`.
    ///
    /// # Errors
    /// What ends the scan.
    pub fn entries(
        &self,
        directories: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let known = self.known(cx)?;
        let mut sets = Sets::new(&self.reader, &known.tree);
        let found = directories
            .iter()
            .filter_map(|key| known.tree.directory(key));
        for directory in found {
            cx.check()?;
            let Directory { key, .. } = *directory;
            for item in known.tree.items_of(directory) {
                if let Some(child) = known.tree.key_of(item) {
                    self.link(&mut sets, item, (key, child), cx, out)?;
                }
            }
        }
        Ok(())
    }

    fn link(
        &self,
        sets: &mut Sets<'_>,
        item: &Item,
        (parent, child): (FileKey, FileKey),
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let read = sets.read(item);
        let name = read.and_then(|bytes| {
            let name = self.format.name(&set(item, child.number, &bytes))?;
            let usable = name.filter(|name| is_name(name));
            let none = || {
                Error::corrupt("directory entry")
                    .at(child.number)
                    .message("no name")
            };
            usable.ok_or_else(none)
        });
        match name {
            Ok(name) => out.put(Link {
                parent,
                name: RawName::from(&name),
                child,
            }),
            Err(error) => cx.tolerate(error),
        }
    }
}

fn set<'a>(item: &Item, place: u64, bytes: &'a [u8]) -> Set<'a> {
    Set {
        bytes,
        before: usize::from(item.entry.before),
        place,
    }
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}
