//! The superblock of a member.
//!
//! Linux, `include/uapi/linux/raid/md_p.h`; mdadm, `super0.c`, `super1.c`.

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Result};

const MAGIC: u32 = 0xA92B_4EFC;
/// Bytes that are read: all of a superblock of 0.90, and of 1.x with as many disks as there may be.
pub(crate) const LENGTH: usize = 4096;
const SECTOR: u64 = 512;
/// Where a superblock of 0.90 lies: so far from the end, rounded down to as much.
const RESERVED: u64 = 64 << 10;
/// `MD_DISK_ROLE_MAX`: greater ones are no data disks.
const ROLE_MAX: u16 = 0xFF00;

/// Where a superblock may lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) at: u64,
    /// `0.90` or `1.x`.
    pub(crate) version: &'static str,
}

/// The places of a device of `size` bytes.
pub(crate) fn places(size: u64) -> Vec<Place> {
    let place = |at: Option<u64>, version| at.map(|at| Place { at, version });
    let end = size.checked_sub(8 << 10).map(|at| at & !4095);
    let old = (size & !(RESERVED - 1)).checked_sub(RESERVED);
    [
        place(Some(4096), "1.2"),
        place(Some(0), "1.1"),
        place(end, "1.0"),
        place(old, "0.90"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a superblock says.
#[derive(Clone, Debug)]
pub(crate) struct Superblock {
    pub(crate) at: u64,
    pub(crate) version: &'static str,
    pub(crate) checksum_good: bool,
    /// UUID of the array.
    pub(crate) set: [u8; 16],
    /// Of the array; empty where it has none.
    pub(crate) name: String,
    pub(crate) level: i32,
    pub(crate) layout: u32,
    /// Bytes of a chunk; 0 for a level without.
    pub(crate) chunk: u64,
    /// Whether all disks fit each other: nothing was being written.
    pub(crate) clean: bool,
    /// Disks of the array, spare ones aside.
    pub(crate) disks: u32,
    /// Which of them this is; `None` for a spare, a faulty disk, a journal.
    pub(crate) role: Option<u64>,
    /// Counts the changes of the array: of two members the one with more is newer.
    pub(crate) events: u64,
    /// The bytes of the device that hold data.
    pub(crate) data: ByteRange,
    /// Bytes of them that are in use; 0 where all are.
    pub(crate) used: u64,
    /// Where the bitmap of writes starts.
    pub(crate) bitmap: Option<u64>,
    /// Whether its shape is being changed.
    pub(crate) reshaping: bool,
    /// Whether it is still being filled from the other disks.
    pub(crate) recovering: bool,
}

impl Superblock {
    /// The superblock at `place`, in `bytes`; `None` where there is none.
    pub(crate) fn parse(bytes: &[u8], place: Place) -> Option<Result<Self>> {
        let fields = Fields::new("md superblock", place.at, bytes);
        if fields.le32(0).ok()? != MAGIC {
            return None;
        }
        match (place.version, fields.le32(4).ok()?) {
            ("0.90", 0) => Some(Self::old(&fields)),
            ("0.90", _) | (_, 0) => None,
            (version, 1) => {
                // `super_offset`: another version's place may be the same one.
                let here = fields.le64(144).ok()?.checked_mul(SECTOR)? == place.at;
                here.then(|| Self::new(&fields, version))
            }
            _ => None,
        }
    }

    fn new(fields: &Fields<'_>, version: &'static str) -> Result<Self> {
        let sectors = |at: usize| {
            let bytes = fields.le64(at)?.checked_mul(SECTOR);
            bytes.ok_or_else(|| fields.corrupt(at).message("past 64 bits of bytes"))
        };
        let features = fields.le32(8)?;
        let number = usize::try_from(fields.le32(160)?).unwrap_or(usize::MAX);
        let role = fields.le16(256usize.saturating_add(number.saturating_mul(2)))?;
        let data = ByteRange::at(sectors(128)?, sectors(136)?);
        let offset = i64::from(i32::from_le_bytes(fields.array(96)?));
        let bitmap = offset
            .checked_mul(512)
            .and_then(|by| fields.offset().checked_add_signed(by));
        let name = fields.bytes(32, 32)?.split(|b| *b == 0).next();
        Ok(Self {
            at: fields.offset(),
            version,
            checksum_good: checksum(fields)? == fields.le32(216)?,
            set: fields.array(16)?,
            name: String::from_utf8_lossy(name.unwrap_or_default()).into_owned(),
            level: i32::from_le_bytes(fields.array(72)?),
            layout: fields.le32(76)?,
            chunk: u64::from(fields.le32(88)?).saturating_mul(SECTOR),
            // `resync_offset` is at the end where nothing is left to bring into step.
            clean: fields.le64(208)? == u64::MAX,
            disks: fields.le32(92)?,
            role: (role < ROLE_MAX).then_some(role.into()),
            data: data.ok_or_else(|| fields.corrupt(128).message("past 64 bits of bytes"))?,
            used: sectors(80)?,
            events: fields.le64(200)?,
            bitmap: bitmap.filter(|_| features & 1 != 0),
            reshaping: features & 4 != 0,
            recovering: features & 2 != 0,
        })
    }

    fn old(fields: &Fields<'_>) -> Result<Self> {
        let mut set = [0; 16];
        for (to, from) in set.chunks_exact_mut(4).zip([20, 52, 56, 60]) {
            to.copy_from_slice(fields.bytes(from, 4)?);
        }
        let minor = fields.le32(44)?;
        // `this_disk.raid_disk` and its state.
        let (role, state) = (fields.le32(3980)?, fields.le32(3984)?);
        let active = state & 0b110 == 0b110;
        Ok(Self {
            at: fields.offset(),
            version: "0.90",
            checksum_good: old_checksum(fields)? == fields.le32(152)?,
            set,
            name: minor.to_string(),
            level: i32::from_le_bytes(fields.array(28)?),
            layout: fields.le32(256)?,
            chunk: fields.le32(260)?.into(),
            clean: fields.le32(132)? & 1 != 0,
            disks: fields.le32(40)?,
            role: active.then_some(role.into()),
            data: ByteRange::new(0, fields.offset()),
            used: u64::from(fields.le32(32)?).saturating_mul(1024),
            // `events_hi` and `events_lo` are in the order of the machine: little-endian here.
            events: fields.le64(156)?,
            bitmap: None,
            reshaping: fields.le32(8)? == 91,
            recovering: false,
        })
    }

    /// Whether this disk alone holds all of the array, one byte after the other.
    pub(crate) fn holds_all(&self) -> bool {
        match self.level {
            1 => true,
            // Parity of one disk is a copy of it.
            4 | 5 => self.disks == 2,
            // As many near copies as disks, and no far ones.
            10 => self.layout & 0xFF == self.disks && self.layout >> 8 & 0xFF == 1,
            0 | -1 => self.disks == 1,
            _ => false,
        }
    }

    /// What people call its level.
    pub(crate) fn level_name(&self) -> String {
        match self.level {
            -1 => "linear".to_owned(),
            -4 => "multipath".to_owned(),
            level => format!("RAID{level}"),
        }
    }
}

/// The checksum of 1.x: the sum of its words, folded, the field as zero.
fn checksum(fields: &Fields<'_>) -> Result<u32> {
    let disks = usize::try_from(fields.le32(220)?).unwrap_or(usize::MAX);
    let length = disks.saturating_mul(2).saturating_add(256);
    let length = length.min(fields.len());
    let bytes = fields.bytes(0, length)?;
    let mut sum = 0u64;
    for (n, word) in bytes.chunks(4).enumerate() {
        let mut four = [0; 4];
        four.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
        if n != 54 {
            sum = sum.wrapping_add(u32::from_le_bytes(four).into());
        }
    }
    Ok(fold(sum))
}

/// The checksum of 0.90, likewise.
fn old_checksum(fields: &Fields<'_>) -> Result<u32> {
    let bytes = fields.bytes(0, LENGTH)?;
    let mut sum = 0u64;
    for (n, word) in bytes.chunks_exact(4).enumerate() {
        let word = word.try_into().map_or(0, u32::from_le_bytes);
        if n != 38 {
            sum = sum.wrapping_add(word.into());
        }
    }
    Ok(fold(sum))
}

fn fold(sum: u64) -> u32 {
    let low = u32::try_from(sum & 0xFFFF_FFFF).unwrap_or(0);
    let high = u32::try_from(sum >> 32).unwrap_or(0);
    low.wrapping_add(high)
}
