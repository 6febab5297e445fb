//! VHDX images as [MS-VHDX] has them, for what no program at hand writes: differencing disks.
//!
//! [MS-VHDX]: https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx

use std::collections::BTreeMap;

const MIB: usize = 1 << 20;
const SECTOR: usize = 512;
/// Payload blocks of 1 MiB that a sector bitmap has the bits of.
const CHUNK_RATIO: usize = 4096;
const METADATA: usize = 2 * MIB;
const BAT: usize = 3 * MIB;
const BITMAP: usize = 4 * MIB;
const PAYLOAD: usize = 5 * MIB;

const REGION_BAT: u128 = 0x2DC2_7766_F623_4200_9D64_115E_9BFD_4A08;
const REGION_METADATA: u128 = 0x8B7C_A206_4790_4B9A_B8FE_575F_050F_886E;
const FILE_PARAMETERS: u128 = 0xCAA1_6737_FA36_4D43_B3B6_33F0_AA44_E76B;
const VIRTUAL_DISK_SIZE: u128 = 0x2FA5_4224_CD1B_4876_B211_5DBE_D83B_F4B8;
const LOGICAL_SECTOR_SIZE: u128 = 0x8141_BF1D_A96F_4709_BA47_F233_A8FA_AB5F;
const PHYSICAL_SECTOR_SIZE: u128 = 0xCDA3_48C7_445D_4471_9CC9_E988_5251_C556;
const VIRTUAL_DISK_ID: u128 = 0xBECA_12AB_B2E6_4523_93EF_C309_E000_C746;
const PARENT_LOCATOR: u128 = 0xA8D3_5F2D_B30B_454D_ABF7_D3D8_4834_AB0C;
const VHDX_LOCATOR: u128 = 0xB04A_EFB7_D19E_4A81_B789_25B8_E944_5913;

/// A disk to write as a VHDX, in blocks of 1 MiB. It is dynamic, or differencing when it has a
/// parent: then each of its blocks is there in part.
#[derive(Clone, Debug)]
pub struct VhdxImage {
    /// Bytes of the disk: whole MiB, and at most 4 GiB.
    pub size: u64,
    /// `DataWriteGuid`, by which a child knows it.
    pub id: u128,
    /// The parent's id, and its name from here.
    pub parent: Option<(u128, String)>,
    sectors: BTreeMap<u64, [u8; SECTOR]>,
}

impl VhdxImage {
    /// A dynamic disk of `size` bytes with nothing on it.
    #[must_use]
    pub fn new(size: u64, id: u8) -> Self {
        Self {
            size,
            id: u128::from_be_bytes([id; 16]),
            parent: None,
            sectors: BTreeMap::new(),
        }
    }

    /// A differencing disk over this one, which lies beside it as `name`.
    #[must_use]
    pub fn child(&self, name: &str, id: u8) -> Self {
        Self {
            parent: Some((self.id, name.to_owned())),
            ..Self::new(self.size, id)
        }
    }

    /// Writes whole sectors at byte `at`.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        let (sectors, rest) = bytes.as_chunks::<SECTOR>();
        assert!(rest.is_empty() && at.is_multiple_of(SECTOR as u64));
        for (number, sector) in (at / SECTOR as u64..).zip(sectors) {
            self.sectors.insert(number, *sector);
        }
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut image = vec![0; PAYLOAD];
        image[..8].copy_from_slice(b"vhdxfile");
        for (at, sequence) in [(64 << 10, 1u64), (128 << 10, 2)] {
            put(&mut image, at, b"head");
            put(&mut image, at + 8, &sequence.to_le_bytes());
            put(&mut image, at + 16, &guid(self.id ^ 1));
            put(&mut image, at + 32, &guid(self.id));
            put(&mut image, at + 66, &1u16.to_le_bytes());
            put(&mut image, at + 68, &(MIB as u32).to_le_bytes());
            put(&mut image, at + 72, &(MIB as u64).to_le_bytes());
            seal(&mut image[at..at + 4096]);
        }
        for at in [192 << 10, 256 << 10] {
            put(&mut image, at, b"regi");
            put(&mut image, at + 8, &2u32.to_le_bytes());
            for (n, (id, place)) in [(REGION_BAT, BAT), (REGION_METADATA, METADATA)]
                .into_iter()
                .enumerate()
            {
                let entry = at + 16 + n * 32;
                put(&mut image, entry, &guid(id));
                put(&mut image, entry + 16, &(place as u64).to_le_bytes());
                put(&mut image, entry + 24, &(MIB as u32).to_le_bytes());
                put(&mut image, entry + 28, &1u32.to_le_bytes());
            }
            seal(&mut image[at..at + (64 << 10)]);
        }
        self.put_metadata(&mut image);
        self.put_blocks(&mut image);
        image
    }

    fn put_metadata(&self, image: &mut [u8]) {
        let has_parent = u32::from(self.parent.is_some()) << 1;
        let parameters = [(MIB as u32).to_le_bytes(), has_parent.to_le_bytes()].concat();
        let sector = (SECTOR as u32).to_le_bytes().to_vec();
        let mut items = vec![
            (FILE_PARAMETERS, parameters),
            (VIRTUAL_DISK_SIZE, self.size.to_le_bytes().to_vec()),
            (LOGICAL_SECTOR_SIZE, sector.clone()),
            (PHYSICAL_SECTOR_SIZE, sector),
            (VIRTUAL_DISK_ID, guid(self.id ^ 2).to_vec()),
        ];
        items.extend(
            self.parent
                .iter()
                .map(|(id, name)| (PARENT_LOCATOR, locator(*id, name))),
        );
        put(image, METADATA, b"metadata");
        put(image, METADATA + 10, &(items.len() as u16).to_le_bytes());
        let mut at = 64 << 10;
        for (n, (id, item)) in items.iter().enumerate() {
            let entry = METADATA + 32 + n * 32;
            put(image, entry, &guid(*id));
            put(image, entry + 16, &(at as u32).to_le_bytes());
            put(image, entry + 20, &(item.len() as u32).to_le_bytes());
            put(image, entry + 24, &4u32.to_le_bytes());
            put(image, METADATA + at, item);
            at += item.len().next_multiple_of(8);
        }
    }

    fn put_blocks(&self, image: &mut Vec<u8>) {
        let per_block = (MIB / SECTOR) as u64;
        let state: u64 = if self.parent.is_some() { 7 } else { 6 };
        if self.parent.is_some() {
            let entry = (BITMAP as u64) | 6;
            put(image, BAT + CHUNK_RATIO * 8, &entry.to_le_bytes());
        }
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, bytes) in &self.sectors {
            let block = number / per_block;
            let place = *places.entry(block).or_insert_with(|| {
                let place = image.len();
                image.resize(place + MIB, 0);
                let entry = place as u64 | state;
                put(image, BAT + block as usize * 8, &entry.to_le_bytes());
                place
            });
            put(image, place + (number % per_block) as usize * SECTOR, bytes);
            if self.parent.is_some() {
                image[BITMAP + *number as usize / 8] |= 1 << (number % 8);
            }
        }
    }
}

/// The keys that Windows writes and that are needed.
fn locator(id: u128, name: &str) -> Vec<u8> {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let text = format!("{id:032x}");
    let linkage = format!(
        "{{{}-{}-{}-{}-{}}}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    );
    let pairs = [
        ("parent_linkage", linkage.as_str()),
        ("relative_path", name),
    ];
    let mut out = guid(VHDX_LOCATOR).to_vec();
    out.extend([0, 0]);
    out.extend((pairs.len() as u16).to_le_bytes());
    let mut data = Vec::new();
    let start = out.len() + pairs.len() * 12;
    for (key, value) in pairs {
        let (key, value) = (utf16(key), utf16(value));
        out.extend(((start + data.len()) as u32).to_le_bytes());
        out.extend(((start + data.len() + key.len()) as u32).to_le_bytes());
        out.extend((key.len() as u16).to_le_bytes());
        out.extend((value.len() as u16).to_le_bytes());
        data.extend([key, value].concat());
    }
    out.extend(data);
    out
}

/// A GUID as it lies: its first three parts little-endian.
fn guid(id: u128) -> [u8; 16] {
    let mut bytes = id.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Puts the checksum (CRC-32C) of a structure in its place.
fn seal(structure: &mut [u8]) {
    structure[4..8].fill(0);
    let crc = structure.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 }
        })
    });
    structure[4..8].copy_from_slice(&(!crc).to_le_bytes());
}
