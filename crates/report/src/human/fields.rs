//! The fields of on-disk records that differ, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};

use hexz_resolve::report::{FieldChange, Region};

use crate::text::{count, field_value, number};

/// So many records of one kind are told one by one, with values; of more, how often each field
/// differs.
const ONE_BY_ONE: usize = 4;
/// Names of fields in a sentence.
const NAMES: usize = 12;

/// The records of one kind in which fields differ.
#[derive(Default)]
struct Kind<'r> {
    /// Their fields, by place on the disk.
    records: BTreeMap<u64, Vec<&'r FieldChange>>,
}

fn kinds<'r>(regions: impl Iterator<Item = &'r Region>) -> BTreeMap<&'static str, Kind<'r>> {
    let mut kinds: BTreeMap<&str, Kind<'_>> = BTreeMap::new();
    for field in regions.flat_map(|r| r.fields.iter().flatten()) {
        let kind = kinds.entry(field.record).or_default();
        kind.records.entry(field.start).or_default().push(field);
    }
    kinds
}

/// The name of a field, without its place in an array.
fn plain(name: &str) -> &str {
    match name.ends_with(']') {
        true => name.rsplit_once('[').map_or(name, |(name, _)| name),
        false => name,
    }
}

/// A line for each record, or for each kind of them, in `regions`.
pub(super) fn explain<'r>(
    out: &mut dyn Write,
    regions: impl Iterator<Item = &'r Region> + Clone,
) -> Result<()> {
    for (record, kind) in kinds(regions.clone()) {
        if kind.records.len() > ONE_BY_ONE {
            let mut often: BTreeMap<&str, u64> = BTreeMap::new();
            for name in kind.records.values().flatten().map(|f| plain(&f.name)) {
                *often.entry(name).or_default() += 1;
            }
            let mut often: Vec<_> = often.into_iter().collect();
            often.sort_by_key(|(name, times)| (std::cmp::Reverse(*times), *name));
            let words = often
                .iter()
                .map(|(name, n)| format!("{name} in {}", number(*n)));
            let words: Vec<String> = words.collect();
            let records = count(kind.records.len() as u64, record);
            writeln!(out, "      {records}: {}", words.join(", "))?;
            continue;
        }
        for (start, fields) in kind.records {
            let words: Vec<String> = fields.iter().map(|field| described(field)).collect();
            writeln!(out, "      {record} at byte {start}: {}", words.join(", "))?;
        }
    }
    let unnamed: u64 = regions.clone().map(|r| r.unnamed).sum();
    let more = regions.clone().any(|r| r.more_fields);
    if unnamed > 0 {
        let bytes = count(unnamed, "byte");
        let text = match more {
            true => "in more fields, or in none",
            false => "in no named field",
        };
        writeln!(out, "      {bytes} {text}")?;
    }
    Ok(())
}

/// `s_mnt_count 1 -> 2`
fn described(field: &FieldChange) -> String {
    match &field.values {
        Some([old, new]) => format!(
            "{} {} -> {}",
            field.name,
            field_value(old),
            field_value(new)
        ),
        None => field.name.to_string(),
    }
}

/// The names of the fields that differ, by kind of record: `superblock s_wtime, s_mnt_count`.
pub(super) fn names<'r>(regions: impl Iterator<Item = &'r Region>) -> Option<String> {
    let mut left = NAMES;
    let mut more = 0;
    let mut words = Vec::new();
    for (record, kind) in kinds(regions) {
        let fields = kind.records.values().flatten();
        let mut fields: Vec<_> = fields.map(|f| plain(&f.name)).collect();
        // In the order of the record, each once.
        let mut seen = BTreeSet::new();
        fields.retain(|name| seen.insert(*name));
        more += fields.len().saturating_sub(left);
        fields.truncate(left);
        left -= fields.len();
        if !fields.is_empty() {
            words.push(format!("{record} {}", fields.join(", ")));
        }
    }
    let more = (more > 0).then(|| format!("and {} more", count(more as u64, "field")));
    words.extend(more);
    (!words.is_empty()).then(|| words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_called_by_its_name() {
        assert_eq!(plain("agi_unlinked[5]"), "agi_unlinked");
        assert_eq!(plain("super_roots[0].fs_root"), "super_roots[0].fs_root");
        assert_eq!(plain("s_wtime"), "s_wtime");
    }
}
