//! Hashes of names in directories (`fs/ext4/hash.c` of Linux; "Hash Tree Directories" in its
//! documentation of ext4).

/// `EXT4_HTREE_EOF_32BIT`, shifted as hashes are: no name has it.
const EOF: u32 = 0xFFFF_FFFE;
/// The start where the superblock has no seed: that of MD4.
const NO_SEED: [u32; 4] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476];

/// `hash_version` of a hash tree, and how it takes the bytes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirHash {
    kind: Kind,
    unsigned: bool,
    seed: [u32; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Legacy,
    HalfMd4,
    Tea,
}

impl DirHash {
    /// The hash of `version`, as `s_def_hash_version` and the root of a hash tree give it;
    /// `unsigned` is the flag of that name in `s_flags`, and `seed` is `s_hash_seed`. `None` for a
    /// version that needs more than these.
    pub(crate) fn new(version: u8, unsigned: bool, seed: &[u8; 16]) -> Option<Self> {
        let (kind, unsigned) = match version {
            0 => (Kind::Legacy, unsigned),
            1 => (Kind::HalfMd4, unsigned),
            2 => (Kind::Tea, unsigned),
            3 => (Kind::Legacy, true),
            4 => (Kind::HalfMd4, true),
            5 => (Kind::Tea, true),
            _ => return None,
        };
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(seed.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let seed = if words == [0; 4] { NO_SEED } else { words };
        Some(Self {
            kind,
            unsigned,
            seed,
        })
    }

    /// The hash of `name`, and its minor hash.
    pub(crate) fn of(&self, name: &[u8]) -> (u32, u32) {
        let (hash, minor) = match self.kind {
            Kind::Legacy => (self.legacy(name), 0),
            Kind::HalfMd4 => {
                let [_, hash, minor, _] = self.in_parts::<8>(name, half_md4);
                (hash, minor)
            }
            Kind::Tea => {
                let [hash, minor, ..] = self.in_parts::<4>(name, tea);
                (hash, minor)
            }
        };
        let hash = hash & !1;
        let hash = if hash == EOF {
            EOF.wrapping_sub(2)
        } else {
            hash
        };
        (hash, minor)
    }

    /// A byte of a name as a number.
    fn byte(&self, byte: u8) -> u32 {
        if self.unsigned {
            byte.into()
        } else {
            i32::from(byte.cast_signed()).cast_unsigned()
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut before, mut last) = (0x37AB_E8F9_u32, 0x12A3_FE2D_u32);
        for byte in name {
            let product = self.byte(*byte).wrapping_mul(7_152_373);
            let mut hash = before.wrapping_add(last ^ product);
            if hash & 0x8000_0000 != 0 {
                hash = hash.wrapping_sub(0x7FFF_FFFF);
            }
            (before, last) = (last, hash);
        }
        last << 1
    }

    /// Takes `N` words of the name after the other into the four of the seed.
    fn in_parts<const N: usize>(
        &self,
        name: &[u8],
        transform: fn([u32; 4], [u32; N]) -> [u32; 4],
    ) -> [u32; 4] {
        let (mut state, mut left) = (self.seed, name);
        while !left.is_empty() {
            state = transform(state, self.words(left));
            left = left.get(N.saturating_mul(4)..).unwrap_or_default();
        }
        state
    }

    /// The first words of what is left of a name: four bytes each, and what is missing is filled
    /// up with the length.
    fn words<const N: usize>(&self, left: &[u8]) -> [u32; N] {
        let length = u32::try_from(left.len()).unwrap_or(u32::MAX);
        let pad = length | length << 8;
        let pad = pad | pad << 16;
        let mut words = [pad; N];
        for (word, bytes) in words.iter_mut().zip(left.chunks(4)) {
            for byte in bytes {
                *word = self.byte(*byte).wrapping_add(*word << 8);
            }
        }
        words
    }
}

/// Sixteen rounds of the Tiny Encryption Algorithm, with four words as the key.
fn tea(state: [u32; 4], [a, b, c, d]: [u32; 4]) -> [u32; 4] {
    let [first, second, rest @ ..] = state;
    let (mut x, mut y, mut sum) = (first, second, 0u32);
    let mix = |v: u32, sum: u32, high: u32, low: u32| {
        (v << 4).wrapping_add(high) ^ v.wrapping_add(sum) ^ (v >> 5).wrapping_add(low)
    };
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9E37_79B9);
        x = x.wrapping_add(mix(y, sum, a, b));
        y = y.wrapping_add(mix(x, sum, c, d));
    }
    let [third, fourth] = rest;
    [first.wrapping_add(x), second.wrapping_add(y), third, fourth]
}

/// MD4 with half of its rounds.
fn half_md4(state: [u32; 4], words: [u32; 8]) -> [u32; 4] {
    type Mix = fn(u32, u32, u32) -> u32;
    let rounds: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (
            |x, y, z| z ^ (x & (y ^ z)),
            0,
            [0, 1, 2, 3, 4, 5, 6, 7],
            [3, 7, 11, 19],
        ),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5A82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            |x, y, z| x ^ y ^ z,
            0x6ED9_EBA1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let [mut a, mut b, mut c, mut d] = state;
    for (mix, constant, order, shifts) in rounds {
        for (at, shift) in order.iter().zip(shifts.iter().cycle()) {
            let word = words.get(*at).copied().unwrap_or_default();
            let sum = a.wrapping_add(mix(b, c, d)).wrapping_add(word);
            let turned = sum.wrapping_add(constant).rotate_left(*shift);
            (a, b, c, d) = (d, turned, b, c);
        }
    }
    let mut out = [a, b, c, d];
    for (word, before) in out.iter_mut().zip(state) {
        *word = word.wrapping_add(before);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 16] = [
        0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD,
        0xEF,
    ];

    /// What `debugfs -R "dx_hash -h VERSION -s SEED NAME"` of e2fsprogs 1.47.0 prints.
    #[test]
    fn hashes_are_those_that_e2fsprogs_computes() {
        let long: &[u8] = b"a-rather-long-file-name-to-fill-blocks-7";
        let high: &[u8] = b"\xC3\xA4\xFF";
        for (version, name, hash, minor) in [
            (0, &b"a"[..], 0xE74B_53E2, 0),
            (0, long, 0xC0A5_E054, 0),
            (0, high, 0x49D3_A264, 0),
            (1, b"a", 0x35DC_0CC4, 0x3F1D_ACEF),
            (1, b"lost+found", 0x663B_DC72, 0x562E_F5D8),
            (1, long, 0x47A6_7970, 0xD5BF_2B19),
            (1, high, 0x8372_6EAC, 0x6E67_D59A),
            (2, b"lost+found", 0x2DBF_9E80, 0xBFEB_EE4F),
            (2, long, 0xB272_584A, 0x387F_6138),
            (2, high, 0x32F6_8EFA, 0x95C6_E482),
            (3, high, 0x3A18_7666, 0),
            (4, high, 0x99F1_C394, 0x7079_3005),
            (5, high, 0xD249_2B86, 0xFB21_1A4D),
        ] {
            let hashed = DirHash::new(version, false, &SEED).unwrap().of(name);
            assert_eq!(hashed, (hash, minor), "version {version}, {name:?}");
        }
    }

    #[test]
    fn no_seed_is_that_of_md4() {
        let hash = DirHash::new(1, false, &[0; 16]).unwrap();
        let name = b"a-rather-long-file-name-to-fill-blocks-7";
        assert_eq!(hash.of(name), (0xD12E_C4A2, 0xF82E_61B8));
    }

    #[test]
    fn a_version_that_needs_a_key_is_none() {
        assert_eq!(DirHash::new(6, false, &SEED), None);
    }
}
