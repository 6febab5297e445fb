//! Where paths are: in which volume, and where the guest sees that.

use std::borrow::Cow;

use hexz_resolve::report::{Change, PathBytes, VolumeRecord};

use crate::notable::notable;

/// Where the guest mounts a volume, or a directory of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The directory of the volume, such as a subvolume; empty for its root.
    pub below: PathBytes,
    /// Where the guest sees it.
    pub at: PathBytes,
}

/// The volumes of a report, as whoever names paths knows them.
#[derive(Clone, Debug, Default)]
pub struct Places {
    volumes: Vec<Place>,
    /// Whether more than one volume with files has changed blocks.
    several: bool,
    volume_paths: bool,
}

#[derive(Clone, Debug)]
struct Place {
    name: String,
    filesystem: Option<&'static str>,
    mounts: Vec<Mount>,
}

impl Places {
    /// Those of a report. `mounts` says by the name of a volume where the guest mounts it, as far
    /// as that is known; with `volume_paths` people see paths from the root of each volume all the
    /// same.
    #[must_use]
    pub fn new(
        volumes: &[VolumeRecord],
        mounts: Vec<(String, Vec<Mount>)>,
        volume_paths: bool,
    ) -> Self {
        // Known before the first change is.
        let changed = |v: &&VolumeRecord| v.filesystem.is_some() && v.changed_blocks > 0;
        let place = |v: &VolumeRecord| Place {
            name: v.volume.clone(),
            filesystem: v.filesystem,
            mounts: mounts
                .iter()
                .filter(|(name, _)| *name == v.volume)
                .flat_map(|(_, mounts)| mounts.clone())
                .collect(),
        };
        Self {
            several: volumes.iter().filter(changed).count() > 1,
            volumes: volumes.iter().map(place).collect(),
            volume_paths,
        }
    }

    /// Where the guest mounts the root of a volume, where that is known.
    #[must_use]
    pub fn mount_of(&self, volume: usize) -> Option<&[u8]> {
        let mut mounts = self.volumes.get(volume)?.mounts.iter();
        mounts.find(|m| m.below.is_empty()).map(|m| &*m.at)
    }

    /// `path` of `volume` as the guest sees it; as it is where that is not known.
    #[must_use]
    pub fn guest<'p>(&self, volume: usize, path: &'p [u8]) -> Cow<'p, [u8]> {
        let mounts = self.volumes.get(volume).map(|v| &v.mounts[..]);
        let inner = |m: &Mount| -> Option<(usize, PathBytes)> {
            let rest = path.strip_prefix(&m.below[..])?;
            if !(rest.is_empty() || rest.starts_with(b"/")) {
                return None;
            }
            let seen = match (&m.at[..], rest) {
                (at, b"" | b"/") => at.to_vec(),
                (b"/", rest) => rest.to_vec(),
                (at, rest) => [at, rest].concat(),
            };
            Some((m.below.len(), seen))
        };
        let found = mounts.into_iter().flatten().filter_map(inner);
        match found.max_by_key(|(depth, _)| *depth) {
            Some((_, seen)) if seen != path => Cow::Owned(seen),
            _ => Cow::Borrowed(path),
        }
    }

    /// `path` of `volume` as people see it.
    #[must_use]
    pub fn shown<'p>(&self, volume: usize, path: &'p [u8]) -> Cow<'p, [u8]> {
        match self.volume_paths {
            true => Cow::Borrowed(path),
            false => self.guest(volume, path),
        }
    }

    /// `path` of `volume` in the machine forms: `p2:/path`, where several volumes have changes.
    #[must_use]
    pub fn machine<'p>(&self, volume: usize, path: &'p [u8]) -> Cow<'p, [u8]> {
        match self.volumes.get(volume) {
            Some(place) if self.several => Cow::Owned([place.name.as_bytes(), b":", path].concat()),
            _ => Cow::Borrowed(path),
        }
    }

    /// Why `change` is notable, if it is.
    #[must_use]
    pub fn notable(&self, change: &Change) -> Option<&'static str> {
        let filesystem = self.volumes.get(change.volume).and_then(|v| v.filesystem);
        let path = self.guest(change.volume, &change.path);
        notable(change, &path, filesystem)
    }

    /// Whether a path of a change satisfies `holds`, in any of the ways to write it.
    pub(crate) fn any(&self, change: &Change, holds: &dyn Fn(&[u8]) -> bool) -> bool {
        let place = self.volumes.get(change.volume);
        let test = |path: &[u8]| {
            let guest = self.guest(change.volume, path);
            holds(path)
                || (*guest != *path && holds(&guest))
                || place.is_some_and(|p| holds(&[p.name.as_bytes(), b":", path].concat()))
        };
        test(&change.path)
            || change.from.as_deref().is_some_and(test)
            || change.links.iter().any(|link| test(link))
    }
}

/// Where the guest mounts each of `volumes`, by the text of its fstab. Its root is the directory
/// `below` of volume `root`. A line names a device by UUID, label or name of the partition, or by
/// its node.
#[must_use]
pub fn mounts(
    fstab: &[u8],
    (root, below): (usize, PathBytes),
    volumes: &[VolumeRecord],
) -> Vec<Vec<Mount>> {
    let mut found: Vec<Vec<Mount>> = vec![Vec::new(); volumes.len()];
    if let Some(mounts) = found.get_mut(root) {
        let at = b"/".to_vec();
        mounts.push(Mount { below, at });
    }
    for line in fstab.split(|b| *b == b'\n') {
        let mut fields = line
            .split(u8::is_ascii_whitespace)
            .filter(|f| !f.is_empty());
        let (Some(device), Some(place)) = (fields.next(), fields.next()) else {
            continue;
        };
        if device.starts_with(b"#") || !place.starts_with(b"/") {
            continue;
        }
        let options = fields.nth(1).unwrap_or_default();
        let mount = Mount {
            below: subvolume(options),
            at: unescaped(place),
        };
        let named = volumes.iter().position(|v| is_named(v, device));
        if let Some(mounts) = named.and_then(|v| found.get_mut(v))
            && mounts.iter().all(|known| known.below != mount.below)
        {
            mounts.push(mount);
        }
    }
    found
}

/// The directory that the options of a mount name: `/@home` of `subvol=@home`.
fn subvolume(options: &[u8]) -> PathBytes {
    let mut options = options.split(|b| *b == b',');
    let named = options.find_map(|o| o.strip_prefix(b"subvol="));
    let named = named.unwrap_or_default();
    let named = named.strip_prefix(b"/").unwrap_or(named);
    match named.is_empty() {
        true => PathBytes::new(),
        false => [b"/", named].concat(),
    }
}

/// Whether an fstab means `volume` by `device`.
fn is_named(volume: &VolumeRecord, device: &[u8]) -> bool {
    let text = String::from_utf8_lossy(device);
    let (kind, value) = match text.split_once('=') {
        Some((kind, value)) => (kind, value.trim_matches('"')),
        None => match text.strip_prefix("/dev/disk/by-") {
            Some(rest) => rest.split_once('/').unwrap_or(("", rest)),
            None => ("node", &*text),
        },
    };
    match kind.to_ascii_lowercase().as_str() {
        "uuid" => {
            let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
            let uuid = volume.uuid.as_deref().map(plain);
            uuid.is_some_and(|uuid| !uuid.is_empty() && uuid == plain(value))
        }
        "label" => volume.label.as_deref() == Some(value.as_bytes()) && !value.is_empty(),
        "partlabel" => volume.name.as_deref() == Some(value) && !value.is_empty(),
        "node" => is_node(&volume.volume, value),
        _ => false,
    }
}

/// Whether a device node is that of the volume `name`: of one disk, the number of the partition
/// decides; of a logical volume its group and name, in either of the two forms.
fn is_node(name: &str, node: &str) -> bool {
    let Some(node) = node.strip_prefix("/dev/") else {
        return false;
    };
    if let Some((group, volume)) = name.split_once('/') {
        let mapper = |s: &str| s.replace('-', "--");
        let mapped = format!("mapper/{}-{}", mapper(group), mapper(volume));
        return node == mapped || node == name;
    }
    let Some(number) = name.strip_prefix('p') else {
        return name == "disk" && matches!(node, "sda" | "vda" | "hda" | "xvda" | "nvme0n1");
    };
    ["sda", "vda", "hda", "xvda", "nvme0n1p", "mmcblk0p"]
        .iter()
        .any(|disk| node.strip_prefix(disk) == Some(number))
}

/// A mount point with its `\040` read.
fn unescaped(place: &[u8]) -> PathBytes {
    let mut out = Vec::with_capacity(place.len());
    let mut rest = place;
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\');
        let value = octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok());
        match value {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    while out.len() > 1 && out.last() == Some(&b'/') {
        out.pop();
    }
    out
}
