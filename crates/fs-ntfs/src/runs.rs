//! Mapping pairs: the run lists of non-resident attributes.
//!
//! <https://flatcap.github.io/linux-ntfs/ntfs/concepts/data_runs.html>

use crate::ondisk::{Geometry, size};

/// Clusters that follow each other in an attribute and on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    /// First cluster in the attribute.
    pub(crate) vcn: u64,
    /// First cluster on the volume; `None` for a hole. Cluster 0 is a place.
    pub(crate) lcn: Option<u64>,
    /// Number of clusters, never 0.
    pub(crate) length: u64,
}

impl Run {
    pub(crate) fn end_vcn(&self) -> u64 {
        self.vcn.saturating_add(self.length)
    }
}

/// The runs of mapping pairs. Ends after the first one that can't be.
pub(crate) struct Runs<'a> {
    rest: &'a [u8],
    vcn: u64,
    lcn: i64,
    clusters: u64,
    vcn_limit: u64,
}

impl<'a> Runs<'a> {
    pub(crate) fn new(mapping_pairs: &'a [u8], lowest_vcn: u64, geometry: &Geometry) -> Self {
        Self {
            rest: mapping_pairs,
            vcn: lowest_vcn,
            lcn: 0,
            clusters: geometry.clusters,
            vcn_limit: geometry.vcn_limit(),
        }
    }

    fn step(&mut self) -> Result<Option<Run>, &'static str> {
        let Some((header, rest)) = self.rest.split_first() else {
            return Err("mapping pairs without an end");
        };
        if *header == 0 {
            return Ok(None);
        }
        let (low, high) = (size(header & 0xF), size(header >> 4));
        let pair = rest.split_at_checked(low);
        let (length, rest) = pair.ok_or("mapping pairs without an end")?;
        let pair = rest.split_at_checked(high);
        let (delta, rest) = pair.ok_or("mapping pairs without an end")?;
        let length = signed(length).and_then(|n| u64::try_from(n).ok());
        let length = length.filter(|n| *n > 0).ok_or("a run without length")?;
        let lcn = if high == 0 {
            None
        } else {
            let delta = signed(delta).ok_or("a run of more than 64 bits")?;
            let lcn = self.lcn.checked_add(delta).ok_or("a run past the volume")?;
            self.lcn = lcn;
            // Before NTFS 3.0 a hole was at cluster -1.
            (lcn != -1).then_some(lcn)
        };
        let lcn = match lcn {
            None => None,
            Some(lcn) => Some(
                u64::try_from(lcn)
                    .ok()
                    .filter(|l| l.checked_add(length).is_some_and(|e| e <= self.clusters))
                    .ok_or("a run past the volume")?,
            ),
        };
        let run = Run {
            vcn: self.vcn,
            lcn,
            length,
        };
        self.vcn = self
            .vcn
            .checked_add(length)
            .filter(|vcn| *vcn <= self.vcn_limit)
            .ok_or("a run past the largest file")?;
        self.rest = rest;
        Ok(Some(run))
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if !matches!(step, Some(Ok(_))) {
            self.rest = &[0];
        }
        step
    }
}

/// A little-endian number of up to eight bytes, with its sign.
fn signed(bytes: &[u8]) -> Option<i64> {
    let fill = match bytes.last() {
        None => return Some(0),
        Some(last) if last & 0x80 != 0 => 0xFF,
        Some(_) => 0,
    };
    let mut wide = [fill; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry() -> Geometry {
        Geometry {
            sector: 512,
            sectors: 1 << 20,
            cluster: 4096,
            clusters: 1 << 17,
            record: 1024,
            mft_lcn: 4,
            mftmirr_lcn: 2,
            volume_serial_number: 0,
        }
    }

    type Plain = (u64, Option<u64>, u64);

    fn decode(bytes: &[u8]) -> Result<Vec<Plain>, &'static str> {
        Runs::new(bytes, 0, &geometry())
            .map(|run| run.map(|r| (r.vcn, r.lcn, r.length)))
            .collect()
    }

    #[test]
    fn the_examples_of_the_documentation() {
        // Normal, sparse and scrambled files of "Concept - Data Runs".
        let normal = [0x21, 0x18, 0x34, 0x56, 0x00];
        assert_eq!(decode(&normal), Ok(vec![(0, Some(0x5634), 0x18)]));
        let sparse = [0x11, 0x30, 0x20, 0x01, 0x60, 0x11, 0x10, 0x30, 0x00];
        assert_eq!(
            decode(&sparse),
            Ok(vec![
                (0, Some(0x20), 0x30),
                (0x30, None, 0x60),
                (0x90, Some(0x50), 0x10)
            ])
        );
        let scrambled = [
            0x11, 0x30, 0x60, 0x21, 0x10, 0x00, 0x01, 0x11, 0x20, 0xE0, 0x00,
        ];
        assert_eq!(
            decode(&scrambled),
            Ok(vec![
                (0, Some(0x60), 0x30),
                (0x30, Some(0x160), 0x10),
                (0x40, Some(0x140), 0x20)
            ])
        );
    }

    #[test]
    fn cluster_zero_is_a_place_and_minus_one_is_not() {
        assert_eq!(decode(&[0x11, 2, 0, 0]), Ok(vec![(0, Some(0), 2)]));
        assert_eq!(decode(&[0x11, 2, 0xFF, 0]), Ok(vec![(0, None, 2)]));
    }

    #[test]
    fn what_can_not_be_is_an_error_and_the_end() {
        for bytes in [
            &[0x11, 0, 5, 0][..],
            &[0x11, 0xFF, 5, 0],
            &[0x11, 2, 0xFE, 0],
            &[0x41, 2, 0xFF, 0xFF, 0xFF, 0x7F, 0],
            &[0x11, 2],
            &[0x08, 1, 1, 1, 1, 1, 1, 1, 0x7F, 0],
            &[0x0F],
            &[],
        ] {
            let mut runs = Runs::new(bytes, 0, &geometry());
            assert!(matches!(runs.next(), Some(Err(_))), "{bytes:?}");
            assert!(runs.next().is_none());
        }
    }
}
