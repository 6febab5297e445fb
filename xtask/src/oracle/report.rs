//! The report of `hexz diff --files --json`, brought to the form of the kernel's trees.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::tree::{ATTRIBUTES, Record};

/// A piece of a file's data that the report names.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    /// All paths of the file.
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) merged: bool,
    pub(crate) file_offset: u64,
    pub(crate) disk_offset: u64,
    pub(crate) length: u64,
}

/// What the report says.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) records: Vec<Record>,
    pub(crate) ranges: Vec<Range>,
    pub(crate) transactions: u64,
    pub(crate) blocks: u64,
    /// Sum of `bytes` over the classes.
    pub(crate) bytes: u64,
    pub(crate) unresolved: u64,
    pub(crate) complete: bool,
    /// Findings other than notes.
    pub(crate) findings: Vec<String>,
}

/// Runs `hexz` on a base and an overlay.
pub(crate) fn run(hexz: &Path, base: &Path, overlay: &Path) -> Result<Report> {
    let out = Command::new(hexz)
        .args(["diff", "--files", "--json", "--base"])
        .arg(base)
        .arg(overlay)
        .output()
        .with_context(|| hexz.display().to_string())?;
    if !out.status.success() {
        bail!("hexz: {}", String::from_utf8_lossy(&out.stderr));
    }
    let text = String::from_utf8(out.stdout)?;
    std::fs::write(overlay.with_extension("jsonl"), &text)?;
    parse(&text)
}

fn parse(text: &str) -> Result<Report> {
    let mut report = Report::default();
    let mut changes = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line)?;
        match value["type"].as_str() {
            Some("change") => changes.push(value),
            Some("volume") => {
                report.transactions += value["transactions_replayed"].as_u64().unwrap_or(0);
                if value["status"] != "resolved" {
                    report.findings.push(format!("volume: {}", value["reason"]));
                }
            }
            Some("diagnostic") if value["severity"] != "info" => {
                report
                    .findings
                    .push(format!("{}: {}", value["code"], value["message"]));
            }
            Some("summary") => summary(&value, &mut report),
            _ => {}
        }
    }
    let mut named = BTreeSet::new();
    for change in &changes {
        named.insert(bytes(change, "path").context("a change without a path")?);
    }
    for change in &changes {
        add(change, &named, &mut report)?;
    }
    report.records.sort();
    Ok(report)
}

fn summary(value: &Value, report: &mut Report) {
    report.blocks = value["blocks"].as_u64().unwrap_or(0);
    report.complete = value["complete"] == true;
    for (class, sums) in value["classes"].as_object().into_iter().flatten() {
        let bytes = sums["bytes"].as_u64().unwrap_or(0);
        report.bytes += bytes;
        if class == "unresolved" {
            report.unresolved = bytes;
        }
    }
}

fn add(change: &Value, named: &BTreeSet<Vec<u8>>, report: &mut Report) -> Result<()> {
    let text = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
    let path = bytes(change, "path").context("path")?;
    let links = links(change);
    let what = text("change");
    let both = !matches!(what.as_str(), "added" | "deleted");
    let record = Record {
        path,
        from: bytes(change, "from"),
        kind: text("kind"),
        content_changed: !both || change["content_changed"] == true,
        attributes: change["attributes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|name| both && ATTRIBUTES.contains(name))
            .map(str::to_owned)
            .collect(),
        replaced: both && change["replaced"] == true,
        change: what,
    };
    for range in change["ranges"].as_array().into_iter().flatten() {
        let (Some(file_offset), true) = (range["file_offset"].as_u64(), range["stream"].is_null())
        else {
            continue;
        };
        report.ranges.push(Range {
            paths: links.clone(),
            merged: range["view"] == "merged",
            file_offset,
            disk_offset: range["disk_offset"].as_u64().context("disk_offset")?,
            length: range["length"].as_u64().context("length")?,
        });
    }
    // Changes of access and change time alone are not looked at.
    if record.change == "metadata" && record.attributes.is_empty() && !record.replaced {
        return Ok(());
    }
    // One record stands for all links that have none of their own.
    if matches!(record.change.as_str(), "modified" | "metadata") {
        for link in links.iter().filter(|link| !named.contains(*link)) {
            report.records.push(Record {
                path: link.clone(),
                ..record.clone()
            });
        }
    }
    report.records.push(record);
    Ok(())
}

fn links(change: &Value) -> Vec<Vec<u8>> {
    if let Some(raw) = change["links_raw"].as_array() {
        return raw
            .iter()
            .filter_map(|link| base64(link.as_str()?))
            .collect();
    }
    let links = change["links"].as_array().into_iter().flatten();
    links
        .filter_map(|link| Some(link.as_str()?.as_bytes().to_vec()))
        .collect()
}

/// A path: the raw bytes where the name is not Unicode.
fn bytes(change: &Value, key: &str) -> Option<Vec<u8>> {
    if let Some(raw) = change[format!("{key}_raw")].as_str() {
        return base64(raw);
    }
    change[key].as_str().map(|path| path.as_bytes().to_vec())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut have) = (0u32, 0);
    for byte in text.bytes().filter(|b| *b != b'=') {
        let digit = ALPHABET.iter().position(|a| *a == byte)? as u32;
        bits = bits << 6 | digit;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_stands_for_all_links_that_have_none() {
        let text = r#"
{"type":"volume","status":"resolved","transactions_replayed":2}
{"type":"change","change":"modified","path":"/a","links":["/a","/b","/new"],"kind":"file","replaced":false,"content_changed":true,"attributes":["mtime","ctime","nlink"],"ranges":[]}
{"type":"change","change":"metadata","path":"/c","links":["/c"],"kind":"file","replaced":false,"content_changed":false,"attributes":["atime"],"ranges":[]}
{"type":"change","change":"added","path":"/new","links":["/a","/b","/new"],"kind":"file","replaced":false,"content_changed":true,"attributes":[],"ranges":[]}
{"type":"summary","blocks":1,"bytes":4096,"classes":{"free":{"bytes":4000,"changed":0},"unresolved":{"bytes":96,"changed":1}},"complete":true}"#;
        let report = parse(text.trim()).unwrap();
        let paths: Vec<_> = report
            .records
            .iter()
            .map(|r| (r.path.as_slice(), r.change.as_str(), r.attributes.len()))
            .collect();
        let expected: [(&[u8], &str, usize); 3] = [
            (b"/a", "modified", 2),
            (b"/b", "modified", 2),
            (b"/new", "added", 0),
        ];
        assert_eq!(paths, expected);
        assert_eq!((report.bytes, report.unresolved), (4096, 96));
    }

    #[test]
    fn raw_names_are_decoded() {
        assert_eq!(base64("L2H/").unwrap(), b"/a\xFF");
        assert_eq!(base64("L2E=").unwrap(), b"/a");
        assert_eq!(base64("L/==").unwrap(), b"/");
    }
}
