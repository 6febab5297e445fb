//! GPT, MBR and LVM2.
#![no_main]

use std::sync::{Arc, LazyLock};

use hexz_fuzz::{Input, lvm2_sum};
use hexz_resolve::{
    ByteRange, Diagnostics, JournalMode, Limits, Member, OpenContext, ReadAt, Registry, View,
    VolumeSet, Window,
};
use hexz_testkit::SparseDisk;
use libfuzzer_sys::fuzz_target;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut builder = Registry::builder();
    hexz_volume::register(&mut builder).expect("ids differ");
    builder.build()
});

/// Bytes of the metadata area of an LVM2 disk, which starts at byte 4096.
const AREA: u64 = 60 << 10;

/// What the input is.
#[derive(Clone, Copy)]
enum Form {
    /// The start of a disk, and its last sectors.
    Raw,
    /// The sectors from the first header on, and the backup.
    Gpt,
    /// Sectors with tables, each where a number before it says.
    Records,
    /// A label, and the text of a volume group.
    Lvm2,
}

fn disk(input: &mut Input<'_>) -> SparseDisk {
    let form = *input.pick(&[Form::Raw, Form::Gpt, Form::Records, Form::Lvm2]);
    let sector = *input.pick(&[512, 4096]);
    let sectors = 8 + input.number(2);
    let mut disk = SparseDisk::new(sectors * sector);
    let size = disk.len();
    let mut put = |at: u64, bytes: &[u8]| {
        let room = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
        disk.write(at.min(size), &bytes[..bytes.len().min(room)]);
    };
    match form {
        Form::Raw => {
            let length = input.number(1) as usize * 16;
            let tail = input.bytes(length);
            put(size.saturating_sub(tail.len() as u64), tail);
            put(0, input.rest());
        }
        Form::Gpt => {
            put(510, &[0x55, 0xAA]);
            put(446 + 4, &[0xEE]);
            put(446 + 12, &[0xFF; 4]);
            let (primary, backup) = (input.bytes(84), input.bytes(84));
            let entries = input.rest();
            put(sector, &header(primary, sector, entries));
            put(size - sector, &header(backup, sector, entries));
            put(2 * sector, entries);
            put(size.saturating_sub(sector + entries.len() as u64), entries);
        }
        Form::Records => {
            while !input.is_empty() {
                let at = input.number(2) % sectors * sector;
                for slot in 0..4 {
                    let entry = input.bytes(10);
                    if let [status, kind, rest @ ..] = entry {
                        put(at + 446 + 16 * slot, &[*status & 0x80]);
                        put(at + 450 + 16 * slot, &[*kind]);
                        put(at + 454 + 16 * slot, rest);
                    }
                }
                put(at + 510, &[0x55, 0xAA]);
            }
        }
        Form::Lvm2 => {
            let mut label = [0; 512];
            label[..32].copy_from_slice(b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001");
            label[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyzabcdef");
            label[104..112].copy_from_slice(&4096u64.to_le_bytes());
            label[112..120].copy_from_slice(&AREA.to_le_bytes());
            let sum = lvm2_sum(&label[20..]);
            label[16..20].copy_from_slice(&sum);
            put(512, &label);
            let offset = 512 + input.number(2) % (AREA - 512);
            let text = input.rest();
            let text = &text[..text.len().min(AREA as usize - 512)];
            let mut area = [0; 512];
            area[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
            area[20] = 1;
            area[24..32].copy_from_slice(&4096u64.to_le_bytes());
            area[32..40].copy_from_slice(&AREA.to_le_bytes());
            area[40..48].copy_from_slice(&offset.to_le_bytes());
            area[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
            area[56..60].copy_from_slice(&lvm2_sum(text));
            let sum = lvm2_sum(&area[4..]);
            area[..4].copy_from_slice(&sum);
            put(4096, &area);
            let (first, rest) = text.split_at(text.len().min((AREA - offset) as usize));
            put(4096 + offset, first);
            put(4096 + 512, rest);
        }
    }
    disk
}

/// A GPT header from its fields, with the signature and good checksums.
fn header(fields: &[u8], sector: u64, entries: &[u8]) -> Vec<u8> {
    let mut header = vec![0; sector as usize];
    header[8..8 + fields.len()].copy_from_slice(fields);
    header[..8].copy_from_slice(b"EFI PART");
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let array = u64::from(number(80)) * u64::from(number(84));
    let array = &entries[..entries.len().min(array as usize)];
    let size = number(12) as usize;
    header[88..92].copy_from_slice(&crc32fast::hash(array).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32fast::hash(&header[..size.clamp(92, header.len())]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header
}

fn check(set: &VolumeSet, size: u64) {
    let disk = ByteRange::new(0, size);
    for volume in set.volumes.iter().filter(|v| v.unusable.is_none()) {
        let ranges = volume.map.device_ranges();
        assert!(!ranges.is_empty(), "{volume:?}");
        assert!(
            ranges.iter().all(|r| r.intersection(&disk) == Some(r)),
            "{volume:?}"
        );
    }
    for structure in &set.structures {
        assert_eq!(structure.range.intersection(&disk), Some(structure.range));
    }
}

fuzz_target!(|data: &[u8]| {
    let disk: Arc<dyn ReadAt> = Arc::new(disk(&mut Input::new(data)));
    let window = Window::read(&disk);
    let limits = Limits::default();
    for scheme in REGISTRY.schemes() {
        let _any = scheme.probe(&window);
        let diagnostics = Diagnostics::new();
        let cx = OpenContext {
            limits: &limits,
            journal: JournalMode::Replay,
            view: View::Base,
            diagnostics: &diagnostics,
        };
        let member = Member {
            device: Arc::clone(&disk),
            window: window.clone(),
            start: 0,
        };
        if let Ok(set) = scheme.open(&[member], &cx) {
            check(&set, disk.len());
        }
    }
});
