//! The disks of an array, and the rule by which its bytes lie on them.
//!
//! Linux, `drivers/md/raid0.c` (`create_strip_zones`, `map_sector`), `raid10.c`, `raid5.c`
//! (`raid5_compute_sector`), `md-linear.c`.

use std::collections::BTreeMap;

use hexz_resolve::{
    ByteMap, ByteRange, Error, Parity, Result, Rule, Segment, StripeLayout, Stripes, Turn,
};

use super::superblock::Superblock;

/// Disks of an array; the superblock has no room for more roles.
pub(crate) const MOST_DISKS: u32 = 1920;

/// The data of the disks that are here, by their numbers: in bytes of the members, end to end.
pub(crate) struct Array<'a> {
    pub(crate) superblock: &'a Superblock,
    pub(crate) data: BTreeMap<u32, ByteRange>,
}

impl Array<'_> {
    /// Where the bytes of the array lie.
    pub(crate) fn map(&self) -> Result<ByteMap> {
        let segments = match self.superblock.level {
            -1 => self.linear()?,
            0 => self.zones()?,
            1 => vec![self.mirror()?],
            4 | 5 | 6 | 10 => vec![self.striped()?],
            _ => {
                let text = format!("{} is not read", self.superblock.level_name());
                return Err(Error::unsupported("md array", text));
            }
        };
        let wrong = || self.wrong("its sizes make no volume");
        ByteMap::from_segments(segments).ok_or_else(wrong)
    }

    /// How many disks are not here.
    pub(crate) fn lacking(&self) -> usize {
        let disks = usize::try_from(self.superblock.disks).unwrap_or(usize::MAX);
        disks.saturating_sub(self.data.len())
    }

    fn wrong(&self, text: &str) -> Error {
        Error::corrupt("md array")
            .message(text.to_owned())
            .at(self.superblock.at)
    }

    /// Why what is here is not enough.
    fn too_few(&self) -> Error {
        let (here, disks) = (self.data.len(), self.superblock.disks);
        let level = self.superblock.level_name();
        let text = format!(
            "only {here} of the {disks} disks of a {level} are here, and that is not enough: give \
             the others with --disk"
        );
        Error::unsupported("md array", text)
    }

    fn all(&self) -> Result<Vec<ByteRange>> {
        match self.lacking() {
            0 => Ok(self.data.values().copied().collect()),
            _ => Err(self.too_few()),
        }
    }

    /// As much of a disk as is in use: of what has chunks, whole ones.
    fn used(&self, data: u64) -> u64 {
        let used = match self.superblock.used {
            0 => data,
            used => used.min(data),
        };
        let rest = used.checked_rem(self.superblock.chunk).unwrap_or(0);
        used.saturating_sub(rest)
    }

    fn linear(&self) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        let mut at = 0u64;
        for data in self.all()? {
            let rest = data.len().checked_rem(self.superblock.chunk).unwrap_or(0);
            let length = data.len().saturating_sub(rest);
            segments.push(Segment::at(at, data.start(), length));
            at = at.saturating_add(length);
        }
        Ok(segments)
    }

    fn mirror(&self) -> Result<Segment> {
        let shortest = self.data.values().map(ByteRange::len).min().unwrap_or(0);
        let length = match self.superblock.used {
            0 => shortest,
            used => used.min(shortest),
        };
        if self.data.is_empty() {
            return Err(self.too_few());
        }
        let copies = (0..self.superblock.disks).map(|n| Some(self.data.get(&n)?.start()));
        Ok(Segment {
            volume: 0,
            length,
            rule: Rule::Copies(copies.collect()),
        })
    }

    /// RAID0: where disks are of several sizes, what the larger ones have more is striped by
    /// itself.
    fn zones(&self) -> Result<Vec<Segment>> {
        let chunk = self.superblock.chunk;
        let disks = self.all()?;
        let lengths: Vec<u64> = disks
            .iter()
            .map(|data| {
                let rest = data.len().checked_rem(chunk).unwrap_or(0);
                data.len().saturating_sub(rest)
            })
            .collect();
        let mut segments = Vec::new();
        let (mut from, mut at) = (0u64, 0u64);
        loop {
            let longer = || disks.iter().zip(&lengths).filter(|(_, l)| **l > from);
            let Some(to) = longer().map(|(_, length)| *length).min() else {
                return Ok(segments);
            };
            let mut columns: Vec<Option<u64>> = longer()
                .map(|(data, _)| data.start().checked_add(from))
                .collect();
            if from > 0 {
                // Whether chunks are counted from the start of the array, or of the zone.
                match self.superblock.layout {
                    1 => {
                        let count = u64::try_from(columns.len()).unwrap_or(u64::MAX);
                        let chunks = at.checked_div(chunk).unwrap_or(0);
                        let by = chunks.checked_rem(count).unwrap_or(0);
                        columns.rotate_left(usize::try_from(by).unwrap_or(0));
                    }
                    2 => {}
                    other => {
                        let text = format!(
                            "its disks are of several sizes, and layout {other} does not say how \
                             they are striped"
                        );
                        return Err(Error::unsupported("md array", text));
                    }
                }
            }
            let column = to.saturating_sub(from);
            let stripes = Stripes::new(columns, chunk, column, StripeLayout::Striped);
            let stripes = stripes.ok_or_else(|| self.wrong("its chunks make no stripes"))?;
            let length = stripes.len();
            segments.push(Segment {
                volume: at,
                length,
                rule: Rule::Stripes(stripes),
            });
            at = at
                .checked_add(length)
                .ok_or_else(|| self.wrong("it is past 64 bits"))?;
            from = to;
        }
    }

    fn striped(&self) -> Result<Segment> {
        let layout = self.layout()?;
        let shortest = self.data.values().map(ByteRange::len).min().unwrap_or(0);
        let columns = (0..self.superblock.disks).map(|n| Some(self.data.get(&n)?.start()));
        let columns = columns.collect();
        let column = self.used(shortest);
        let stripes = Stripes::new(columns, self.superblock.chunk, column, layout);
        let stripes = stripes.ok_or_else(|| self.wrong("its chunks make no stripes"))?;
        if !stripes.is_enough() {
            return Err(self.too_few());
        }
        Ok(Segment {
            volume: 0,
            length: stripes.len(),
            rule: Rule::Stripes(stripes),
        })
    }

    fn layout(&self) -> Result<StripeLayout> {
        let layout = self.superblock.layout;
        let unknown = || {
            let level = self.superblock.level_name();
            Error::unsupported("md array", format!("layout {layout:#x} of a {level}"))
        };
        let parity = |count, turn, symmetric, apart| {
            StripeLayout::Parity(Parity {
                count,
                turn,
                symmetric,
                apart,
            })
        };
        let turn = |kind: u32| match kind {
            0 => Some((Turn::Left, false)),
            1 => Some((Turn::Right, false)),
            2 => Some((Turn::Left, true)),
            3 => Some((Turn::Right, true)),
            4 => Some((Turn::First, false)),
            5 => Some((Turn::Last, false)),
            _ => None,
        };
        Ok(match self.superblock.level {
            10 if layout >> 17 == 0 => StripeLayout::Copies {
                near: layout & 0xFF,
                far: layout >> 8 & 0xFF,
                offset: layout & 1 << 16 != 0,
            },
            4 => parity(1, Turn::Last, false, false),
            5 => {
                let (turn, symmetric) = turn(layout).ok_or_else(unknown)?;
                parity(1, turn, symmetric, false)
            }
            6 => {
                let apart = (16..=20).contains(&layout);
                let kind = if apart {
                    layout.saturating_sub(16)
                } else {
                    layout
                };
                let (turn, symmetric) = turn(kind).ok_or_else(unknown)?;
                parity(2, turn, symmetric, apart)
            }
            _ => return Err(unknown()),
        })
    }
}
