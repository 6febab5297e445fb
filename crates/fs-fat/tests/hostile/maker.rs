//! Makes small FAT volumes. Written from the specification alone: uses nothing of the plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_fs_fat::FatPlugin;
use hexz_resolve::{
    ByteRange, Claim, Diagnostic, Diagnostics, FileKey, FileSet, Filesystem, FilesystemPlugin,
    JournalMode, Limits, Link, Member, OpenContext, Owner, RangeSet, ReadAt, Role, Scan, Silent,
    View,
};

/// A FAT16 of 5000 clusters with a sector each, and a root of 512 entries.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) image: Vec<u8>,
    slots: usize,
}

pub(crate) const TABLE: usize = 512;
const TABLE_SECTORS: usize = 20;
pub(crate) const ROOT: usize = TABLE + 2 * TABLE_SECTORS * 512;
pub(crate) const HEAP: usize = ROOT + 512 * 32;
const CLUSTERS: usize = 5000;

impl Maker {
    pub(crate) fn new() -> Self {
        let mut maker = Self {
            image: vec![0; HEAP + CLUSTERS * 512],
            slots: 0,
        };
        let sectors = u16::try_from(maker.image.len() / 512).unwrap();
        maker.put(0, &[0xEB, 0x3C, 0x90]);
        maker.put(11, &512u16.to_le_bytes());
        maker.put(13, &[1]);
        maker.put(14, &1u16.to_le_bytes());
        maker.put(16, &[2]);
        maker.put(17, &512u16.to_le_bytes());
        maker.put(19, &sectors.to_le_bytes());
        maker.put(21, &[0xF8]);
        maker.put(22, &(TABLE_SECTORS as u16).to_le_bytes());
        maker.put(38, &[0x29, 0x78, 0x56, 0x34, 0x12]);
        maker.put(43, b"IN BOOT    ");
        maker.put(510, &[0x55, 0xAA]);
        maker.chain(&[(0, 0xFFF8), (1, 0xFFFF)]);
        maker
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes entries of the table.
    pub(crate) fn chain(&mut self, entries: &[(usize, u16)]) {
        for (cluster, next) in entries {
            self.put(TABLE + cluster * 2, &next.to_le_bytes());
        }
    }

    /// The next entry of the root directory; gives its place.
    pub(crate) fn entry(&mut self, name: &[u8; 11], attr: u8, first: u16, size: u32) -> u64 {
        let at = ROOT + self.slots * 32;
        self.slots += 1;
        self.write(at, name, attr, first, size)
    }

    pub(crate) fn write(
        &mut self,
        at: usize,
        name: &[u8; 11],
        attr: u8,
        first: u16,
        size: u32,
    ) -> u64 {
        self.put(at, name);
        self.put(at + 11, &[attr]);
        // 2020-09-13.
        self.put(at + 24, &0x512Du16.to_le_bytes());
        self.put(at + 26, &first.to_le_bytes());
        self.put(at + 28, &size.to_le_bytes());
        at as u64
    }

    /// A part of a long name in the next slot.
    pub(crate) fn part(&mut self, order: u8, checksum: u8, text: &str) {
        let at = ROOT + self.slots * 32;
        self.slots += 1;
        let mut units: Vec<u16> = text.encode_utf16().collect();
        if units.len() < 13 {
            units.push(0);
        }
        units.resize(13, 0xFFFF);
        let bytes: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        self.put(at, &[order]);
        self.put(at + 1, &bytes[..10]);
        self.put(at + 11, &[0x0F, 0, checksum]);
        self.put(at + 14, &bytes[10..22]);
        self.put(at + 28, &bytes[22..]);
    }
}

/// The checksum of a short name, as the specification computes it.
pub(crate) fn checksum(name: &[u8; 11]) -> u8 {
    name.iter().fold(0u8, |sum, byte| {
        let carry: u8 = if sum & 1 == 1 { 0x80 } else { 0 };
        carry.wrapping_add(sum >> 1).wrapping_add(*byte)
    })
}

/// What the plugin answers about all of an image.
pub(crate) struct Answers {
    pub(crate) fs: Box<dyn Filesystem>,
    pub(crate) claims: Vec<Claim>,
    /// Place of the file's entry, by path.
    pub(crate) paths: BTreeMap<String, u64>,
    pub(crate) findings: Vec<Diagnostic>,
}

impl Answers {
    pub(crate) fn of(image: Vec<u8>) -> Self {
        let image: Arc<dyn ReadAt> = Arc::new(image);
        let (limits, diagnostics) = (Limits::default(), Diagnostics::new());
        let cx = OpenContext {
            limits: &limits,
            journal: JournalMode::Replay,
            view: View::Merged,
            diagnostics: &diagnostics,
        };
        let fs = FatPlugin.open(&[Member::alone(Arc::clone(&image))], &cx);
        let fs = fs.expect("it opens");
        let scan = Scan::new(&limits, View::Merged, &diagnostics, &Silent);
        let mut claims = Vec::new();
        let all: RangeSet = ByteRange::new(0, image.len()).into();
        fs.claims(&all, &scan, &mut claims).expect("claims");
        let mut paths = BTreeMap::new();
        let mut next = vec![(fs.root(), String::new())];
        while let Some((directory, above)) = next.pop() {
            let mut links: Vec<Link> = Vec::new();
            let one: FileSet = [directory].into_iter().collect();
            fs.entries(&one, &scan, &mut links).expect("entries");
            for link in links {
                let name = String::from_utf8_lossy(link.name.as_bytes()).into_owned();
                let path = format!("{above}/{name}");
                if paths.len() < 1000 {
                    next.push((link.child, path.clone()));
                }
                paths.insert(path, link.child.number);
            }
        }
        Self {
            fs,
            claims,
            paths,
            findings: diagnostics.take(),
        }
    }

    /// Files that own cluster `number`, with the offset of it in each.
    pub(crate) fn owners(&self, number: usize) -> Vec<(u64, Option<u64>)> {
        let at = (HEAP + (number - 2) * 512) as u64;
        let here = self.claims.iter().filter(|c| c.range.contains(at));
        let mut owners: Vec<_> = here
            .filter_map(|c| match c.owner {
                Owner::File(FileKey { number, .. }) if c.role != Role::InodeRecord => {
                    Some((number, c.file_offset.map(|o| o + (at - c.range.start()))))
                }
                _ => None,
            })
            .collect();
        owners.sort_unstable();
        owners
    }

    /// The roles of what covers cluster `number`.
    pub(crate) fn roles(&self, number: usize) -> Vec<Role> {
        let at = (HEAP + (number - 2) * 512) as u64;
        let here = self.claims.iter().filter(|c| c.range.contains(at));
        here.map(|c| c.role).collect()
    }

    pub(crate) fn found(&self, code: &str) -> bool {
        self.findings.iter().any(|f| f.code == code)
    }
}
