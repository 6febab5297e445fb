//! Which volume of one view is which of the other: by what they hold, then by their place, then
//! by their names.

use super::volume::OpenVolume;

/// For each volume of merged the one of base that it is, as indexes; each is taken once.
pub(super) fn matches(base: &[OpenVolume], merged: &[OpenVolume]) -> Vec<Option<usize>> {
    let identities = |volumes: &[OpenVolume]| -> Vec<Option<Identity>> {
        volumes.iter().map(Identity::of).collect()
    };
    let (before, after) = (identities(base), identities(merged));
    let mut found = Matching {
        of: vec![None; merged.len()],
        taken: vec![false; base.len()],
    };
    let start = |v: &OpenVolume| v.map.device_offset(0);
    let same_place = |b: &OpenVolume, m: &OpenVolume| start(b) == start(m);
    let same_name = |b: &OpenVolume, m: &OpenVolume| b.name == m.name;
    let same_identity = |b: usize, m: usize| match (before.get(b), after.get(m)) {
        (Some(Some(b)), Some(Some(m))) => b == m,
        _ => false,
    };
    // Nothing says that they are two: one of them at least has no identity.
    let undecided = |b: usize, m: usize| match (before.get(b), after.get(m)) {
        (Some(Some(b)), Some(Some(m))) => b == m,
        _ => true,
    };
    type Rule<'a> = &'a dyn Fn(usize, usize, &OpenVolume, &OpenVolume) -> bool;
    let rules: [Rule<'_>; 7] = [
        // Copies of one filesystem are told apart by place and name.
        &|b, m, v, w| same_identity(b, m) && same_place(v, w) && same_name(v, w),
        &|b, m, v, w| same_identity(b, m) && same_place(v, w),
        &|b, m, v, w| same_identity(b, m) && same_name(v, w),
        &|b, m, _, _| same_identity(b, m),
        // What has another filesystem now, or none that is known.
        &|_, _, v, w| same_place(v, w) && same_name(v, w),
        &|_, _, v, w| same_place(v, w) && v.is_divided() == w.is_divided(),
        &|b, m, v, w| undecided(b, m) && same_name(v, w) && v.is_divided() == w.is_divided(),
    ];
    for rule in rules {
        for (m, w) in merged.iter().enumerate() {
            let is = |(b, v): &(usize, &OpenVolume)| rule(*b, m, v, w);
            found.take(m, base.iter().enumerate().filter(is).map(|(b, _)| b));
        }
    }
    found.of
}

struct Matching {
    of: Vec<Option<usize>>,
    taken: Vec<bool>,
}

impl Matching {
    /// Gives the volume `m` the first of `candidates` that is not taken, unless it has one.
    fn take(&mut self, m: usize, mut candidates: impl Iterator<Item = usize>) {
        let Some(slot) = self.of.get_mut(m).filter(|slot| slot.is_none()) else {
            return;
        };
        let free = candidates.find(|b| self.taken.get(*b) == Some(&false));
        if let Some(taken) = free.and_then(|b| self.taken.get_mut(b)) {
            *taken = true;
            *slot = free;
        }
    }
}

/// What tells the content of a volume from that of others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// Of a filesystem that is open: its kind, and what tells it from one made anew.
    Filesystem(&'static str, Vec<u8>),
    /// Of a format that is known by name: its name and UUID.
    Named(&'static str, String),
}

impl Identity {
    fn of(volume: &OpenVolume) -> Option<Self> {
        if let Some(fs) = volume.filesystem() {
            let identity = fs.info().identity.clone();
            // An ext3 may become an ext4 and stay what it is.
            let kind = match fs.info().filesystem {
                "ext2" | "ext3" => "ext4",
                kind => kind,
            };
            return (!identity.is_empty()).then_some(Self::Filesystem(kind, identity));
        }
        let sign = volume.named()?;
        Some(Self::Named(sign.filesystem, sign.uuid.clone()?))
    }
}
