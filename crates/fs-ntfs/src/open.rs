//! Opening a volume: boot sector, `$MFT`, and the metadata files that are asked once.

use std::sync::Arc;

use hexz_ondisk::{Fields, read, wtf8_from_utf16le};
use hexz_resolve::{
    ByteRange, Diagnostic, Error, FsInfo, FsState, OpenContext, ReadAt, Replayed, Result,
};

use crate::bytes::Content;
use crate::file::{Body, File, Tolerate};
use crate::fs::Ntfs;
use crate::mft::Mft;
use crate::ondisk::{Geometry, Reference, corrupt, kind, number, size};
use crate::probe::is_bitlocker;
use crate::record::{Record, Slot};
use crate::state::needs_recovery;
use crate::system::{System, Systems};

/// Most files below `$Extend` that are looked for.
const MAX_SYSTEM: usize = 4096;

pub(crate) fn open(volume: Arc<dyn ReadAt>, cx: &OpenContext<'_>) -> Result<Ntfs> {
    let (geometry, boot_copy) = boot(&*volume, cx)?;
    let tolerate = |error: Error| {
        if error.ends_scan() {
            return Err(error);
        }
        cx.diagnose(Diagnostic::from(&error));
        Ok(())
    };
    let (mut mft, created) = mft(&*volume, geometry, cx, &tolerate)?;
    mft.bitmap = system_file(&mft, &*volume, number::MFT, &tolerate)?
        .and_then(|file| file.content(kind::BITMAP, b"", &geometry));
    let mft = Arc::new(mft);
    let reader: &dyn ReadAt = &*volume;
    let end = geometry.end();
    let info_size = boot_copy.map_or(end, |copy| copy.end());
    if info_size > volume.len() {
        let missing = info_size.saturating_sub(volume.len());
        let text = format!("the volume ends {missing} bytes before the filesystem does");
        cx.diagnose(Diagnostic::error("volume-too-short", text).at(volume.len()));
    }
    let about = system_file(&mft, reader, number::VOLUME, &tolerate)?;
    let label = about
        .as_ref()
        .and_then(|file| file.value(kind::VOLUME_NAME));
    let label = label.map(wtf8_from_utf16le).unwrap_or_default();
    let recover = needs_recovery(&mft, reader, about.as_ref(), cx, &tolerate)?;
    let bitmap = bitmap(&mft, reader, cx, &tolerate)?;
    let serial = geometry.volume_serial_number;
    let mut identity = serial.to_le_bytes().to_vec();
    identity.extend(created);
    Ok(Ntfs {
        info: FsInfo {
            filesystem: "ntfs",
            label,
            uuid: Some(format!("{serial:016X}")),
            identity,
            block_size: u32::try_from(geometry.cluster).unwrap_or(u32::MAX),
            size: info_size,
            state: if recover {
                FsState::NeedsRecovery
            } else {
                FsState::Clean
            },
            transactions_replayed: 0,
            local_times: false,
        },
        systems: systems(&mft, reader, &tolerate)?,
        mft,
        replayed: Replayed::default(),
        bitmap,
        boot_copy,
        kept: hexz_ondisk::Kept::default(),
        reader: volume,
    })
}

/// The boot sector, or its copy at the end; and where that copy lies.
fn boot(volume: &dyn ReadAt, cx: &OpenContext<'_>) -> Result<(Geometry, Option<ByteRange>)> {
    let bytes = read(volume, "boot sector", 0, Geometry::LENGTH)?;
    let part = |at: u64, length: usize| {
        let at = size(at);
        bytes.get(at..at.checked_add(length)?)
    };
    if is_bitlocker(part) {
        return Err(Error::unsupported(
            "volume",
            "it is encrypted with BitLocker",
        ));
    }
    let copy_at = |at: u64| -> Option<Geometry> {
        let bytes = read(volume, "boot sector", at, Geometry::LENGTH).ok()?;
        Geometry::parse(&Fields::new("boot sector", at, &bytes)).ok()
    };
    let first = Geometry::parse(&Fields::new("boot sector", 0, &bytes));
    let geometry = match first {
        Ok(geometry) => geometry,
        Err(error) => {
            let last = [512u64, 4096, 1024, 2048].into_iter().find_map(|sector| {
                let at = volume.len().checked_sub(sector)?;
                let found = copy_at(at)?;
                (found.sector == sector && found.end() == at).then_some((at, found))
            });
            let Some((at, found)) = last else {
                return Err(error);
            };
            let text = format!("{}: the copy at byte {at} is used", error.chain());
            cx.diagnose(Diagnostic::warning("backup-boot-sector", text).at(0));
            found
        }
    };
    // Behind the last sector that is counted; or, where the partition is longer, at its end.
    let end = geometry.end();
    let ends = [Some(end), volume.len().checked_sub(geometry.sector)];
    let copy = ends
        .into_iter()
        .flatten()
        .filter(|at| *at >= end)
        .find(|at| copy_at(*at) == Some(geometry));
    let copy = copy.and_then(|at| ByteRange::at(at, geometry.sector));
    if copy.is_none() {
        let text = "no copy of the boot sector was found behind the filesystem";
        cx.diagnose(Diagnostic::info("no-boot-copy", text).at(end));
    }
    Ok((geometry, copy))
}

/// Finds all of the MFT, and gives the creation time of its file.
fn mft(
    volume: &dyn ReadAt,
    geometry: Geometry,
    cx: &OpenContext<'_>,
    tolerate: Tolerate<'_>,
) -> Result<(Mft, Vec<u8>)> {
    let mut buf = Vec::new();
    let mut first = Err(Error::corrupt("MFT"));
    for (lcn, is_copy) in [(geometry.mft_lcn, false), (geometry.mftmirr_lcn, true)] {
        match record_zero(volume, &geometry, lcn, &mut buf) {
            Ok(()) => {
                if let (true, Err(error)) = (is_copy, &first) {
                    let text = format!("{}: the record in $MFTMirr is used", error.chain());
                    cx.diagnose(Diagnostic::warning("mft-mirror", text));
                }
                first = Ok(());
                break;
            }
            Err(error) if first.is_err() && is_copy => {
                cx.diagnose(Diagnostic::from(&error));
            }
            Err(error) => first = Err(error),
        }
    }
    first?;
    let record = Record {
        bytes: &buf,
        number: number::MFT,
    };
    let start = geometry.bytes(geometry.mft_lcn, 1).start();
    let place = ByteRange::new(start, start.saturating_add(geometry.record));
    let mut mft = Mft {
        geometry,
        pieces: vec![(0, place)],
        records: 1,
        bitmap: None,
    };
    let mut file = File {
        id: record.file(),
        is_directory: false,
        attributes: Vec::new(),
    };
    mft.gather(&record, &mut file.attributes, tolerate)?;
    let created = file.value(kind::STANDARD_INFORMATION);
    let created = created
        .and_then(|v| v.get(..8))
        .unwrap_or_default()
        .to_vec();
    let wrong = || corrupt("MFT", place.start(), "no data in its first record");
    let data = |file: &File| file.content(kind::DATA, b"", &geometry).ok_or_else(wrong);
    let mut content = data(&file)?;
    let records = |content: &Content| {
        let written = content.size.min(content.initialized);
        let places = content.pieces.last();
        let placed = places.map_or(0, |p| p.offset.saturating_add(p.range.len()));
        written
            .min(placed)
            .checked_div(geometry.record)
            .unwrap_or(0)
    };
    // A fragmented MFT tells where its next part is in a record of the parts before.
    let list = match mft.attribute_list(volume, &file) {
        Ok(list) => list,
        Err(error) => {
            tolerate(error.layer("ntfs"))?;
            Vec::new()
        }
    };
    mft.pieces = places(&content);
    mft.records = records(&content);
    let mut seen = vec![number::MFT];
    for entry in list.iter().filter(|entry| entry.kind == kind::DATA) {
        if seen.contains(&entry.record.number) {
            continue;
        }
        seen.push(entry.record.number);
        if let Err(error) = extend(&mft, volume, entry.record, &mut file, tolerate) {
            tolerate(error.layer("ntfs"))?;
        }
        content = data(&file)?;
        content.pieces.sort_by_key(|piece| piece.offset);
        mft.pieces = places(&content);
        mft.records = records(&content);
    }
    let written = content.size.min(content.initialized);
    if mft.records < written.checked_div(geometry.record).unwrap_or(0) {
        let text = format!(
            "only {} of {} file records have a place",
            mft.records,
            written.checked_div(geometry.record).unwrap_or(0)
        );
        tolerate(corrupt("MFT", place.start(), &text).layer("ntfs"))?;
    }
    if mft.records == 0 {
        return Err(wrong());
    }
    Ok((mft, created))
}

/// Reads the first record of the MFT, or its copy.
fn record_zero(
    volume: &dyn ReadAt,
    geometry: &Geometry,
    lcn: u64,
    buf: &mut Vec<u8>,
) -> Result<()> {
    let at = geometry.bytes(lcn, 1).start();
    *buf = read(volume, "MFT", at, size(geometry.record))?;
    match Slot::open(buf) {
        Slot::Used => Ok(()),
        Slot::Unused => Err(corrupt("MFT", at, "no record in use")),
        Slot::Bad(what) => Err(corrupt("MFT", at, what)),
    }
}

/// Adds the data that an extension record of `$MFT` tells of.
fn extend(
    mft: &Mft,
    volume: &dyn ReadAt,
    reference: Reference,
    file: &mut File,
    tolerate: Tolerate<'_>,
) -> Result<()> {
    let mut buf = Vec::new();
    let record = mft.read(volume, reference.number, &mut buf)?;
    let mine = |record: &Record<'_>| record.base().is_some() && record.file() == file.id;
    let Some(record) = record.filter(mine) else {
        let text = format!("record {}, which is none of its own", reference.number);
        return Err(corrupt("MFT", mft.place(number::MFT), &text));
    };
    let mut found = Vec::new();
    mft.gather(&record, &mut found, tolerate)?;
    found.retain(|a| a.kind == kind::DATA && matches!(a.body, Body::Extent(_)));
    file.attributes.append(&mut found);
    Ok(())
}

/// Pieces that overlap in the MFT can't be: the first one stands.
fn places(content: &Content) -> Vec<(u64, ByteRange)> {
    let mut out: Vec<(u64, ByteRange)> = Vec::new();
    for piece in &content.pieces {
        let end = out
            .last()
            .map_or(0, |(at, range)| at.saturating_add(range.len()));
        if piece.offset >= end {
            out.push((piece.offset, piece.range));
        }
    }
    out
}

/// A metadata file that we can do without.
fn system_file(
    mft: &Mft,
    reader: &dyn ReadAt,
    number: u64,
    tolerate: Tolerate<'_>,
) -> Result<Option<File>> {
    match mft.file(reader, number, tolerate) {
        Ok(file) => Ok(file),
        Err(error) => {
            tolerate(error.layer("ntfs"))?;
            Ok(None)
        }
    }
}

fn bitmap(
    mft: &Mft,
    reader: &dyn ReadAt,
    cx: &OpenContext<'_>,
    tolerate: Tolerate<'_>,
) -> Result<Option<Content>> {
    let file = system_file(mft, reader, number::BITMAP, tolerate)?;
    let content = file.and_then(|file| file.content(kind::DATA, b"", &mft.geometry));
    let needed = mft.geometry.clusters.div_ceil(8);
    if content.as_ref().is_none_or(|content| content.size < needed) {
        let text = "$Bitmap does not tell of all clusters: free space is not known as such";
        let place = mft.place(number::BITMAP);
        cx.diagnose(Diagnostic::warning("no-bitmap", text).at(place));
    }
    Ok(content)
}

/// Looks up the metadata files below `$Extend`, whose numbers are not fixed.
fn systems(mft: &Mft, reader: &dyn ReadAt, tolerate: Tolerate<'_>) -> Result<Systems> {
    let mut systems = Systems::default();
    let mut next: Vec<(u64, Option<System>)> = vec![(number::EXTEND, None)];
    let mut seen = 0usize;
    while let Some((directory, below)) = next.pop() {
        let Some(file) = system_file(mft, reader, directory, tolerate)? else {
            continue;
        };
        let mut found = Vec::new();
        let done = mft.names_in(&file, reader, tolerate, &mut |child, name| {
            found.push((child.number, name.name));
        });
        if let Err(error) = done {
            tolerate(error.layer("ntfs"))?;
        }
        for (child, name) in found {
            seen = seen.saturating_add(1);
            let known = child < number::EXTEND || systems.contains(child);
            if seen > MAX_SYSTEM || known {
                continue;
            }
            if let Some(system) = systems.add(child, &name, below) {
                next.push((child, Some(system)));
            }
        }
    }
    Ok(systems)
}
