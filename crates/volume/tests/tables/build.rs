//! Tables, and what the schemes say of them.

use std::sync::Arc;

use hexz_resolve::{
    Diagnostics, JournalMode, Limits, Member, OpenContext, Probe, ReadAt, Registry, Result, View,
    VolumeScheme, VolumeSet, Window,
};
use hexz_testkit::SparseDisk;

pub(crate) const MIB: u64 = 1 << 20;
/// Linux filesystem data, as the bytes on disk.
pub(crate) const LINUX: [u8; 16] = [
    0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4,
];
pub(crate) const LINUX_TEXT: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

pub(crate) fn scheme(id: &str) -> Arc<dyn VolumeScheme> {
    let mut builder = Registry::builder();
    hexz_volume::register(&mut builder).unwrap();
    let registry = builder.build();
    let found = registry.schemes().iter().find(|s| s.descriptor().id == id);
    Arc::clone(found.unwrap())
}

/// The confidence of a scheme, as the engine asks for it.
pub(crate) fn confidence(id: &str, disk: &dyn ReadAt) -> Option<u8> {
    let scheme = scheme(id);
    let window = Window::read(disk);
    let magics = scheme.descriptor().magics;
    if !magics.iter().any(|magic| window.has(magic)) {
        return None;
    }
    match scheme.probe(&window) {
        Probe::Match { confidence, .. } => Some(confidence),
        _ => None,
    }
}

/// What a scheme finds, and the codes of its findings.
pub(crate) struct Opened {
    pub(crate) set: VolumeSet,
    pub(crate) codes: Vec<String>,
}

impl Opened {
    /// Name, start, length of the usable volumes.
    pub(crate) fn usable(&self) -> Vec<(&str, u64, u64)> {
        let usable = self.set.volumes.iter().filter(|v| v.unusable.is_none());
        usable
            .map(|v| {
                (
                    v.name.as_str(),
                    v.map.device_offset(0).unwrap(),
                    v.map.len(),
                )
            })
            .collect()
    }

    /// Detail, start, end of the structures, by start.
    pub(crate) fn structures(&self) -> Vec<(&str, u64, u64)> {
        let mut all: Vec<_> = self
            .set
            .structures
            .iter()
            .map(|s| (s.detail, s.range.start(), s.range.end()))
            .collect();
        all.sort_by_key(|s| s.1);
        all
    }
}

pub(crate) fn try_open(id: &str, disk: Arc<dyn ReadAt>) -> (Result<VolumeSet>, Vec<String>) {
    let limits = Limits::default();
    let diagnostics = Diagnostics::new();
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: View::Base,
        diagnostics: &diagnostics,
    };
    // `open` reads the device, and may meet what detection did not.
    let window = Window::read(&vec![0; 512]);
    let device = disk;
    let member = Member {
        device,
        window,
        start: 0,
    };
    let set = scheme(id).open(&[member], &cx);
    let codes = diagnostics.take();
    let codes = codes.into_iter().map(|d| d.code.into_owned()).collect();
    (set, codes)
}

pub(crate) fn open(id: &str, disk: &SparseDisk) -> Opened {
    let (set, codes) = try_open(id, Arc::new(disk.clone()));
    Opened {
        set: set.unwrap(),
        codes,
    }
}

/// The checksum of zlib and GPT, bit by bit as the specification has it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

/// A GPT to be written.
#[derive(Clone)]
pub(crate) struct Gpt {
    pub(crate) sector: u64,
    pub(crate) entry_size: u32,
    pub(crate) entries: u32,
    pub(crate) header_size: u32,
    /// Slot, first sector, last sector, name.
    pub(crate) parts: Vec<(u32, u64, u64, &'static str)>,
}

impl Default for Gpt {
    fn default() -> Self {
        Self {
            sector: 512,
            entry_size: 128,
            entries: 128,
            header_size: 92,
            parts: vec![(1, 2048, 4095, "one"), (3, 4096, 8191, "drei ÄÖ")],
        }
    }
}

impl Gpt {
    pub(crate) fn array(&self) -> Vec<u8> {
        let size = self.entry_size as usize;
        let mut array = vec![0; size * self.entries as usize];
        for (slot, first, last, name) in &self.parts {
            let entry = &mut array[(*slot as usize - 1) * size..][..size];
            entry[..16].copy_from_slice(&LINUX);
            entry[16..32].copy_from_slice(&[*slot as u8; 16]);
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            for (n, unit) in name.encode_utf16().enumerate() {
                entry[56 + 2 * n..58 + 2 * n].copy_from_slice(&unit.to_le_bytes());
            }
        }
        array
    }

    fn array_sectors(&self) -> u64 {
        (self.array().len() as u64).div_ceil(self.sector)
    }

    /// The header for sector `my`, with the other one in `other` and the entries in `entries`.
    pub(crate) fn header(&self, my: u64, other: u64, entries: u64, last: u64) -> Vec<u8> {
        let mut h = vec![0; self.sector as usize];
        h[..8].copy_from_slice(b"EFI PART");
        h[8..12].copy_from_slice(&[0, 0, 1, 0]);
        h[12..16].copy_from_slice(&self.header_size.to_le_bytes());
        h[24..32].copy_from_slice(&my.to_le_bytes());
        h[32..40].copy_from_slice(&other.to_le_bytes());
        let usable = 2 + self.array_sectors();
        h[40..48].copy_from_slice(&usable.to_le_bytes());
        h[48..56].copy_from_slice(&(last - usable).to_le_bytes());
        h[56..72].copy_from_slice(&[7; 16]);
        h[72..80].copy_from_slice(&entries.to_le_bytes());
        h[80..84].copy_from_slice(&self.entries.to_le_bytes());
        h[84..88].copy_from_slice(&self.entry_size.to_le_bytes());
        h[88..92].copy_from_slice(&crc32(&self.array()).to_le_bytes());
        if self.header_size > 92 {
            h[92] = 0xEE;
        }
        let sum = crc32(&h[..self.header_size as usize]);
        h[16..20].copy_from_slice(&sum.to_le_bytes());
        h
    }

    /// Writes both copies and the protective MBR; the backup is in the last sector of the first
    /// `size` bytes.
    pub(crate) fn write(&self, disk: &mut SparseDisk, size: u64) {
        let last = size / self.sector - 1;
        let backup_entries = last - self.array_sectors();
        let count = u32::try_from(last).unwrap_or(u32::MAX);
        disk.write(0, &mbr(&[(0xEE, 1, count)]));
        disk.write(self.sector, &self.header(1, last, 2, last));
        disk.write(2 * self.sector, &self.array());
        disk.write(
            last * self.sector,
            &self.header(last, 1, backup_entries, last),
        );
        disk.write(backup_entries * self.sector, &self.array());
    }

    pub(crate) fn disk(&self, size: u64) -> SparseDisk {
        let mut disk = SparseDisk::new(size);
        self.write(&mut disk, size);
        disk
    }
}

/// A table of up to four entries: type, first sector, sectors.
pub(crate) fn mbr(entries: &[(u8, u32, u32)]) -> [u8; 512] {
    let mut sector = [0; 512];
    for (n, (kind, start, count)) in entries.iter().enumerate() {
        let entry = &mut sector[446 + 16 * n..][..16];
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&count.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    sector
}
