//! The fields in which two readings of one record differ.

use crate::report::{FieldChange, FieldValue};
use crate::{ByteRange, Field, FieldForm, FieldTable, RangeSet};

/// Bytes of a field that is shown with its values.
const SHOWN: usize = 64;

/// Fields that were found to differ.
#[derive(Default)]
pub(super) struct Named {
    /// Each with how many of its bytes differ.
    pub(super) fields: Vec<(FieldChange, u64)>,
    /// Whether there are more than were asked for.
    pub(super) more: bool,
}

impl Named {
    /// Those of `lists`, one after the other, of which there is room for `room`.
    pub(super) fn all(lists: Vec<Self>, room: usize) -> Self {
        let mut all = Self::default();
        for list in lists {
            all.more |= list.more;
            all.fields.extend(list.fields);
        }
        all.keep(room);
        all
    }

    /// Keeps the first `room`.
    pub(super) fn keep(&mut self, room: usize) {
        self.more |= self.fields.len() > room;
        self.fields.truncate(room);
    }

    /// Differing bytes that are in one of them.
    pub(super) fn covered(&self) -> u64 {
        self.fields.iter().map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn into_fields(self) -> Vec<FieldChange> {
        self.fields.into_iter().map(|(field, _)| field).collect()
    }
}

/// Adds to `out` what differs in a record that lies at `start`, as far as it is `within` what is
/// looked at, until it has `room` fields.
pub(super) fn compare(
    table: &FieldTable,
    (start, within): (u64, &RangeSet),
    [old, new]: [&[u8]; 2],
    room: usize,
    out: &mut Named,
) {
    if old == new || !is_one(table, old) || !is_one(table, new) {
        return;
    }
    let end = extent(table, old).min(extent(table, new));
    for field in table.fields {
        for n in 0..field.count {
            let at = field.offset + n * field.width;
            let bytes = at..at + field.width;
            let (Some(a), Some(b)) = (old.get(bytes.clone()), new.get(bytes.clone())) else {
                break;
            };
            if a == b || bytes.end > end {
                continue;
            }
            let from = start + at as u64;
            let here = ByteRange::new(from, from + field.width as u64);
            let mut inside = within.overlapping(here).peekable();
            if inside.peek().is_none() {
                continue;
            }
            if out.fields.len() == room {
                out.more = true;
                return;
            }
            let differing = |range: ByteRange| {
                let part = (range.start() - from) as usize..(range.end() - from) as usize;
                let (a, b) = (a.get(part.clone()), b.get(part));
                let pairs = a.unwrap_or_default().iter().zip(b.unwrap_or_default());
                pairs.filter(|(a, b)| a != b).count() as u64
            };
            let change = FieldChange {
                record: table.record,
                start,
                name: match field.count {
                    1 => field.name.into(),
                    _ => format!("{}[{n}]", field.name).into(),
                },
                values: (field.width <= SHOWN).then(|| [value(field, a), value(field, b)]),
            };
            out.fields.push((change, inside.map(differing).sum()));
        }
    }
}

/// Whether the bytes are those of such a record.
fn is_one(table: &FieldTable, bytes: &[u8]) -> bool {
    table.signs.iter().all(|(at, sign)| {
        let end = at.saturating_add(sign.len());
        bytes.get(*at..end) == Some(*sign)
    })
}

/// Where the fields of a record end.
fn extent(table: &FieldTable, bytes: &[u8]) -> usize {
    let Some((at, more)) = table.extent else {
        return usize::MAX;
    };
    let said = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    said.map_or(0, |b| usize::from(u16::from_le_bytes(b)) + more)
}

fn value(field: &Field, bytes: &[u8]) -> FieldValue {
    let number = |bytes: &mut dyn Iterator<Item = &u8>| {
        let digit = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        FieldValue::Number(bytes.fold(0, digit))
    };
    match field.form {
        FieldForm::Le if bytes.len() <= 8 => number(&mut bytes.iter().rev()),
        FieldForm::Be if bytes.len() <= 8 => number(&mut bytes.iter()),
        _ => FieldValue::Bytes(bytes.to_vec()),
    }
}
