//! An open volume: what is asked of it, and what was read once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hexz_resolve::{ByteRange, Error, ReadAt, Result, Scan};

use crate::Heap;
use crate::chain::{ChainEnd, Steps};
use crate::faults::Faults;
use crate::format::Format;
use crate::known::Known;
use crate::table::{Table, TablePlace};
use crate::tree::Tree;

/// Where the root directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// In bytes of its own, before all clusters.
    Fixed(ByteRange),
    /// In a chain that starts with this cluster.
    Chain(u32),
}

impl Root {
    pub(crate) fn extents(self, heap: &Heap, table: &Table, steps: &mut Steps) -> Vec<ByteRange> {
        match self {
            Self::Fixed(bytes) => vec![bytes],
            Self::Chain(first) => {
                let chain = table.chain(first, steps);
                chain
                    .runs
                    .into_iter()
                    .map(|run| heap.bytes_of(run))
                    .collect()
            }
        }
    }
}

/// A volume of clusters, in one view.
pub struct Volume<F> {
    /// What is different between formats.
    pub format: F,
    /// The volume.
    pub reader: Arc<dyn ReadAt>,
    /// Its clusters.
    pub heap: Heap,
    /// The table that chains them.
    pub table: TablePlace,
    /// Its root directory.
    pub root: Root,
    known: Mutex<Option<Arc<Known>>>,
}

impl<F: Format> Volume<F> {
    /// A volume of which nothing was read yet.
    #[must_use]
    pub fn new(
        format: F,
        reader: Arc<dyn ReadAt>,
        heap: Heap,
        table: TablePlace,
        root: Root,
    ) -> Self {
        Self {
            format,
            reader,
            heap,
            table,
            root,
            known: Mutex::new(None),
        }
    }

    /// The table and the directories, which the first question reads. What is wrong with them is
    /// reported with every answer.
    ///
    /// # Errors
    /// What ends the scan.
    pub fn known(&self, cx: &Scan<'_>) -> Result<Arc<Known>> {
        let mut kept = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &*kept {
            Some(known) => Arc::clone(known),
            None => {
                let known = Arc::new(self.read(cx)?);
                *kept = Some(Arc::clone(&known));
                known
            }
        };
        drop(kept);
        known.faults.report(cx);
        Ok(known)
    }

    fn read(&self, cx: &Scan<'_>) -> Result<Known> {
        let mut faults = Faults::default();
        let table = Table::read(&self.reader, self.table, &self.heap, cx, &mut faults)?;
        let root = self
            .root
            .extents(&self.heap, &table, &mut Steps::of(&table));
        if let Root::Chain(first) = self.root {
            let end = table.chain(first, &mut Steps::of(&table)).end;
            if end != ChainEnd::Marked {
                let text = format!("the chain of the root directory ends with {end:?}");
                faults.push(&Error::corrupt("root directory").message(text));
            }
        }
        let of = (&self.heap, &table);
        let tree = Tree::read(&self.format, &self.reader, root, of, cx, &mut faults)?;
        Ok(Known {
            table,
            tree,
            faults,
        })
    }
}

impl<F> fmt::Debug for Volume<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("heap", &self.heap)
            .field("table", &self.table)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}
