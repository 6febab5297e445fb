//! VHD images as the specification has them, for what no program at hand writes: differencing
//! disks, bitmaps with clear bits, footers of old programs.

use std::collections::BTreeMap;

const SECTOR: usize = 512;
/// Where the block allocation table lies.
const TABLE: usize = 1536;

/// A disk to write as a VHD. It is dynamic, or differencing when it has a parent.
#[derive(Clone, Debug)]
pub struct VhdImage {
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Who is said to have written it.
    pub creator: [u8; 4],
    /// Cylinders, heads, sectors per track.
    pub geometry: (u16, u8, u8),
    /// Its own id.
    pub id: [u8; 16],
    /// The id of its parent.
    pub parent: Option<[u8; 16]>,
    /// The name of its parent in the header.
    pub parent_name: String,
    /// Further names: a platform, and the bytes of the name.
    pub locators: Vec<([u8; 4], Vec<u8>)>,
    sectors: BTreeMap<u64, [u8; SECTOR]>,
}

impl VhdImage {
    /// A dynamic disk of `size` bytes in blocks of 4096, with nothing on it.
    #[must_use]
    pub fn new(size: u64, id: u8) -> Self {
        Self {
            size,
            block_size: 4096,
            creator: *b"win ",
            geometry: (0, 0, 0),
            id: [id; 16],
            parent: None,
            parent_name: String::new(),
            locators: Vec::new(),
            sectors: BTreeMap::new(),
        }
    }

    /// A differencing disk over this one, which lies beside it as `name`.
    #[must_use]
    pub fn child(&self, name: &str, id: u8) -> Self {
        Self {
            parent: Some(self.id),
            parent_name: name.to_owned(),
            ..Self::new(self.size, id)
        }
    }

    /// A name in UTF-16, little-endian, as the platforms `W2ru` and `W2ku` have it.
    #[must_use]
    pub fn utf16(name: &str) -> Vec<u8> {
        name.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// Writes `bytes` from sector `sector` on; the rest of the last sector is zeros.
    pub fn write(&mut self, sector: u64, bytes: &[u8]) {
        for (number, part) in (sector..).zip(bytes.chunks(SECTOR)) {
            let mut whole = [0; SECTOR];
            whole[..part.len()].copy_from_slice(part);
            self.sectors.insert(number, whole);
        }
    }

    /// The footer of the disk as one of `disk_type`.
    #[must_use]
    pub fn footer(&self, disk_type: u32) -> [u8; SECTOR] {
        let mut footer = [0; SECTOR];
        let data_offset = if disk_type == 2 { u64::MAX } else { 512 };
        let (cylinders, heads, sectors) = self.geometry;
        put(&mut footer, 0, b"conectix");
        put(&mut footer, 8, &2u32.to_be_bytes());
        put(&mut footer, 12, &0x0001_0000u32.to_be_bytes());
        put(&mut footer, 16, &data_offset.to_be_bytes());
        put(&mut footer, 28, &self.creator);
        put(&mut footer, 36, b"Wi2k");
        put(&mut footer, 40, &self.size.to_be_bytes());
        put(&mut footer, 48, &self.size.to_be_bytes());
        put(&mut footer, 56, &cylinders.to_be_bytes());
        put(&mut footer, 58, &[heads, sectors]);
        put(&mut footer, 60, &disk_type.to_be_bytes());
        put(&mut footer, 68, &self.id);
        Self::seal(&mut footer, 64);
        footer
    }

    /// Sets the checksum at byte `at` of a footer or header right.
    pub fn seal(structure: &mut [u8], at: usize) {
        put(structure, at, &[0; 4]);
        let sum: u32 = structure.iter().map(|byte| u32::from(*byte)).sum();
        put(structure, at, &(!sum).to_be_bytes());
    }

    /// The image as a file: a footer, the header, the table, names, blocks, the footer.
    ///
    /// # Panics
    /// When the disk has more blocks than a table can number.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let per_block = u64::from(self.block_size) / SECTOR as u64;
        let entries = self.size.div_ceil(u64::from(self.block_size));
        let entries = usize::try_from(entries).expect("a small disk");
        let footer = self.footer(if self.parent.is_some() { 4 } else { 3 });
        let mut header = self.header(entries);
        let mut table = vec![0xFF; (entries * 4).next_multiple_of(SECTOR)];
        let mut names = Vec::new();
        for (number, (platform, name)) in self.locators.iter().enumerate() {
            let (at, offset) = (576 + number * 24, TABLE + table.len() + names.len());
            put(&mut header, at, platform);
            put(&mut header, at + 4, &1u32.to_be_bytes());
            put(&mut header, at + 8, &be32(name.len()));
            put(&mut header, at + 16, &(offset as u64).to_be_bytes());
            names.extend_from_slice(name);
            names.resize(names.len().next_multiple_of(SECTOR), 0);
        }
        Self::seal(&mut header, 36);

        let mut blocks: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for sector in self.sectors.keys() {
            blocks.entry(sector / per_block).or_default().push(*sector);
        }
        let bitmap_bytes = (per_block as usize).div_ceil(8).next_multiple_of(SECTOR);
        let mut data = Vec::new();
        let start = TABLE + table.len() + names.len();
        // The last block comes first: nothing may rely on their order.
        for (block, sectors) in blocks.iter().rev() {
            let entry = be32((start + data.len()) / SECTOR);
            put(&mut table, *block as usize * 4, &entry);
            let at = data.len();
            // What no bit stands for is rubbish, and must not be read.
            data.resize(at + bitmap_bytes, 0);
            data.resize(at + bitmap_bytes + self.block_size as usize, 0xEE);
            for sector in sectors {
                let inside = (sector % per_block) as usize;
                data[at + inside / 8] |= 0x80 >> (inside % 8);
                let place = at + bitmap_bytes + inside * SECTOR;
                put(&mut data, place, &self.sectors[sector]);
            }
        }
        [&footer, header.as_slice(), &table, &names, &data, &footer].concat()
    }

    fn header(&self, entries: usize) -> [u8; 1024] {
        let mut header = [0; 1024];
        put(&mut header, 0, b"cxsparse");
        put(&mut header, 8, &u64::MAX.to_be_bytes());
        put(&mut header, 16, &(TABLE as u64).to_be_bytes());
        put(&mut header, 24, &0x0001_0000u32.to_be_bytes());
        put(&mut header, 28, &be32(entries));
        put(&mut header, 32, &self.block_size.to_be_bytes());
        put(&mut header, 40, &self.parent.unwrap_or_default());
        let name = self.parent_name.encode_utf16().flat_map(u16::to_be_bytes);
        put(&mut header, 64, &name.collect::<Vec<u8>>());
        header
    }
}

fn put(structure: &mut [u8], at: usize, bytes: &[u8]) {
    structure[at..at + bytes.len()].copy_from_slice(bytes);
}

fn be32(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a small disk").to_be_bytes()
}
