//! Finds out what is on a disk.

use std::cell::RefCell;
use std::sync::Arc;

use super::detector::Detector;
use super::layout::{Layout, no_such_volume};
use super::run::Run;
use super::volume::Origin;
use crate::{ByteMap, FoundVolume, ReadAt, Result, View};

impl Layout {
    /// Finds out what is on `disk`.
    pub(super) fn detect(run: &Run<'_>, disk: &Arc<dyn ReadAt>, view: View) -> Result<Self> {
        let mut layout = Self {
            volumes: Vec::new(),
            structures: Vec::new(),
            candidates: Vec::new(),
        };
        let detector = Detector {
            run,
            disk,
            view,
            waiting: RefCell::default(),
        };
        let disks = run.options.disks.ranges(view, disk.len());
        for (n, range) in disks.into_iter().enumerate() {
            let whole = FoundVolume {
                name: match n {
                    0 => "disk".to_owned(),
                    n => format!("disk{}", n + 1),
                },
                map: ByteMap::contiguous(range),
                partition_type: None,
                label: None,
                unusable: None,
            };
            detector.volume(&mut layout, whole, Origin::default(), 0)?;
        }
        detector.open_sets(&mut layout)?;
        detector.check_forced(&layout)?;
        layout.settle_ownership();
        Ok(layout)
    }
}

impl Detector<'_> {
    /// Fails where a format is forced on a volume that is not there.
    fn check_forced(&self, layout: &Layout) -> Result<()> {
        let forced = self.run.options.detection.formats.keys();
        for name in forced {
            let known: Vec<_> = layout.volumes.iter().map(|v| v.name.clone()).collect();
            if name != "disk" && !known.contains(name) && self.view == View::Merged {
                return Err(no_such_volume(name, &known));
            }
        }
        Ok(())
    }
}
