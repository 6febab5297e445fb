//! A volume group, as its text describes it.

use std::collections::BTreeMap;

use hexz_resolve::Result;

use super::text::{Section, Value, wrong};

/// Bytes of the sectors in which LVM2 counts.
const SECTOR: u64 = 512;

/// A volume group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// What tells it from another one of its name.
    pub(crate) id: String,
    /// Counts the changes: the higher, the newer.
    pub(crate) seqno: u64,
    /// Bytes of an extent.
    pub(crate) extent: u64,
    /// By the name they have in the text.
    pub(crate) physical: BTreeMap<String, Physical>,
    pub(crate) logical: Vec<Logical>,
}

/// A physical volume.
#[derive(Clone, Debug)]
pub(crate) struct Physical {
    /// Without dashes.
    pub(crate) uuid: String,
    /// What the device was called once.
    pub(crate) device: Option<String>,
    /// Byte at which its extents start.
    pub(crate) start: u64,
    /// Number of extents.
    pub(crate) extents: u64,
    /// Whether it was not there when something was written: what it holds is old.
    pub(crate) missing: bool,
}

/// A logical volume.
#[derive(Clone, Debug)]
pub(crate) struct Logical {
    pub(crate) name: String,
    /// Whether it is for use, and no part of another one.
    pub(crate) visible: bool,
    /// In the order of the volume.
    pub(crate) segments: Vec<Segment>,
}

/// Some extents of a logical volume.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// First extent in the logical volume.
    pub(crate) start: u64,
    /// Number of extents.
    pub(crate) count: u64,
    /// `striped` (also what is not striped), `raid1`, `thin-pool`, …
    pub(crate) kind: String,
    /// Of striped ones: name of what it lies on, and the first extent there.
    pub(crate) stripes: Vec<(String, u64)>,
    /// Bytes of a chunk, of what has several stripes.
    pub(crate) stripe_size: Option<u64>,
    /// Of mirrors and RAID1: the logical volumes that each hold all of it, and the first extent
    /// there.
    pub(crate) images: Vec<(String, u64)>,
    /// Of RAID1: the logical volumes that say how far each image is, in the order of the images.
    pub(crate) states: Vec<String>,
    /// Of snapshots: what is kept of the origin, and the origin.
    pub(crate) snapshot: Option<Snapshot>,
}

/// A snapshot in the old manner: a hidden volume that ties two others together.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) origin: String,
    pub(crate) store: String,
    /// Whether the store is on its way back into the origin.
    pub(crate) merging: bool,
}

impl Group {
    /// The group in `text`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let all = Section::parse(text)?;
        let group = all.items.iter().find_map(|(name, value)| match value {
            Value::Section(section) => Some((name, section)),
            _ => None,
        });
        let (name, section) = group.ok_or_else(|| wrong("it describes no volume group"))?;
        let extent = section.number("extent_size")?.checked_mul(SECTOR);
        let extent = extent.filter(|e| *e != 0);
        let mut physical = BTreeMap::new();
        for (name, pv) in section.sections("physical_volumes") {
            physical.insert(name.to_owned(), Physical::parse(pv)?);
        }
        let logical: Result<_> = section
            .sections("logical_volumes")
            .map(|(name, lv)| Logical::parse(name, lv))
            .collect();
        Ok(Self {
            name: name.clone(),
            id: section.text("id").unwrap_or_default().to_owned(),
            seqno: section.number("seqno").unwrap_or(0),
            extent: extent.ok_or_else(|| wrong("its extents have no size"))?,
            physical,
            logical: logical?,
        })
    }
}

impl Physical {
    fn parse(section: &Section) -> Result<Self> {
        let uuid = section.text("id").unwrap_or_default();
        let start = section.number("pe_start")?.checked_mul(SECTOR);
        Ok(Self {
            uuid: uuid.chars().filter(|c| *c != '-').collect(),
            device: section.text("device").map(str::to_owned),
            start: start.ok_or_else(|| wrong("extents start past 64 bits of bytes"))?,
            extents: section.number("pe_count")?,
            missing: section.has_flag("flags", "MISSING"),
        })
    }
}

impl Logical {
    fn parse(name: &str, section: &Section) -> Result<Self> {
        let mut segments = Vec::new();
        for (key, value) in &section.items {
            if let Value::Section(segment) = value
                && key.starts_with("segment")
            {
                segments.push(Segment::parse(segment)?);
            }
        }
        segments.sort_by_key(|s| s.start);
        Ok(Self {
            name: name.to_owned(),
            visible: section.has_flag("status", "VISIBLE"),
            segments,
        })
    }
}

impl Segment {
    fn parse(section: &Section) -> Result<Self> {
        let kind = section.text("type").unwrap_or_default();
        // `striped+FLAG` says what older versions must not touch.
        let kind = kind.split('+').next().unwrap_or_default();
        let mut stripes = Vec::new();
        for pair in section.list("stripes").chunks(2) {
            let [Value::Text(on), Value::Number(extent)] = pair else {
                return Err(wrong("stripes are not pairs of a name and an extent"));
            };
            let extent = u64::try_from(*extent).map_err(|e| wrong("an extent").source(e))?;
            stripes.push((on.clone(), extent));
        }
        let (mut images, mut states) = (Vec::new(), Vec::new());
        match kind {
            // Pairs of a volume for metadata and one for data.
            "raid1" => {
                for pair in section.list("raids").chunks(2) {
                    let [Value::Text(state), Value::Text(on)] = pair else {
                        return Err(wrong("images are not pairs of two volumes"));
                    };
                    images.push((on.clone(), 0));
                    states.push(state.clone());
                }
            }
            "mirror" => {
                let pairs = section.list("mirrors").chunks(2);
                images.extend(pairs.filter_map(|pair| match pair {
                    [Value::Text(on), Value::Number(extent)] => {
                        Some((on.clone(), u64::try_from(*extent).ok()?))
                    }
                    _ => None,
                }));
            }
            _ => {}
        }
        let store = |key: &str| section.text(key).map(str::to_owned);
        let merging = store("merging_store");
        let snapshot = store("origin")
            .filter(|_| kind == "snapshot")
            .map(|origin| Snapshot {
                origin,
                merging: merging.is_some(),
                store: merging.or_else(|| store("cow_store")).unwrap_or_default(),
            });
        Ok(Self {
            start: section.number("start_extent")?,
            count: section.number("extent_count")?,
            kind: kind.to_owned(),
            stripes,
            stripe_size: section
                .number("stripe_size")
                .ok()
                .and_then(|sectors| sectors.checked_mul(SECTOR)),
            images,
            states,
            snapshot,
        })
    }
}
