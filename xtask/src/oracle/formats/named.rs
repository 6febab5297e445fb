//! What a whole device is called, by `blkid` and by us.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run::output;

/// What a whole device is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// A filesystem, or `gpt` or `dos` for a table.
    pub(super) kind: String,
    pub(super) label: String,
    pub(super) uuid: String,
}

impl Named {
    pub(super) fn by_blkid(device: &Path) -> Result<Self> {
        let text = output(
            Command::new("blkid")
                .args(["-p", "-o", "export"])
                .arg(device),
        )?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().replace('\\', "")
        };
        let kind = match value("TYPE=") {
            kind if kind.is_empty() => value("PTTYPE="),
            // Which of them is its version.
            kind if kind == "vfat" => value("VERSION=").to_lowercase(),
            kind => kind,
        };
        Ok(Self {
            kind,
            label: value("LABEL="),
            uuid: value("UUID="),
        })
    }

    pub(super) fn by_hexz(binary: &Path, device: &Path) -> Result<Self> {
        let text = output(
            Command::new(binary)
                .args(["layout", "--json", "--partial-ok"])
                .arg(device),
        )?;
        let records: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        let records = records?;
        let mut volumes = records.iter().filter(|r| r["type"] == "volume");
        let first = volumes.next().context("a volume")?;
        let text = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
        if first["volume"] == "disk" {
            return Ok(Self {
                kind: text("filesystem"),
                label: text("label"),
                uuid: text("uuid"),
            });
        }
        let kind = match first["scheme"].as_str() {
            Some("mbr") => "dos",
            Some(scheme) => scheme,
            None => "",
        };
        Ok(Self {
            kind: kind.to_owned(),
            ..Self::default()
        })
    }
}
