//! Damage to something that is sound.

use hexz_resolve::ByteRange;

use crate::Input;

/// Bytes to be written at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Where.
    pub at: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// What `input` does to the `places`: up to 32 writes of up to 16 bytes.
#[must_use]
pub fn apply(input: &mut Input<'_>, places: &[ByteRange]) -> Vec<Damaged> {
    let mut damages = Vec::new();
    while !input.is_empty() && damages.len() < 32 {
        let place = places[input.number(2) as usize % places.len()];
        let offset = input.number(2) % place.len();
        let length = 1 + input.number(1) as usize % 16;
        damages.push(Damaged {
            at: place.start() + offset,
            bytes: input.bytes(length).to_vec(),
        });
    }
    damages
}
