//! The page itself: its frame, what its script is given, and how that stands in it.

use std::borrow::Cow;
use std::io::{Result, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hexz_resolve::report::{Summary, VolumeRecord};
use hexz_resolve::{Class, Diagnostic};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::cells::Cells;
use crate::escape::escaped;
use crate::text::size;
use crate::{SCHEMA, TOOL};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const BODY: &str = include_str!("page.html");

/// What the script shows beside the rows.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    schema: u32,
    /// `diff` or `map`.
    kind: &'static str,
    disk: u64,
    /// Bytes of a cell of the picture.
    cell: u64,
    /// Name, bytes, differing bytes, bytes before.
    classes: Vec<(&'static str, u64, u64, u64)>,
    /// Name, filesystem, place, state, what is in it.
    volumes: Vec<[String; 5]>,
    findings: Vec<[&'a str; 3]>,
    /// Cell, class, bytes, differing bytes.
    cells: Vec<(u64, usize, u64, u64)>,
    /// The same before the change.
    before: Vec<(u64, usize, u64, u64)>,
    reasons: Vec<&'static str>,
}

impl<'a> Data<'a> {
    pub(super) fn new(
        kind: &'static str,
        disk: u64,
        (cells, before): (&Cells, &Cells),
        summary: &Summary,
        findings: &'a [Diagnostic],
    ) -> Self {
        let then = before.classes();
        let known = |class: &Class| summary.classes.contains_key(class) || then.contains_key(class);
        let order: Vec<Class> = Class::ALL.into_iter().filter(known).collect();
        let classes = order.iter().map(|class| {
            let now = summary.classes.get(class).copied().unwrap_or_default();
            let was = then.get(class).copied().unwrap_or_default();
            (class.as_str(), now.bytes, now.changed, was)
        });
        Self {
            schema: SCHEMA,
            kind,
            disk,
            cell: cells.size(),
            classes: classes.collect(),
            volumes: Vec::new(),
            findings: findings.iter().map(finding).collect(),
            cells: cells.filled(&order),
            before: before.filled(&order),
            reasons: Vec::new(),
        }
    }

    /// With these volumes, each with what is to be said of it.
    pub(super) fn volumes(
        mut self,
        volumes: &[VolumeRecord],
        what: impl Fn(usize) -> String,
    ) -> Self {
        let volumes = volumes.iter().enumerate();
        self.volumes = volumes.map(|(index, v)| volume(v, what(index))).collect();
        self
    }

    /// With the reasons that rows point to.
    pub(super) fn reasons(mut self, reasons: Vec<&'static str>) -> Self {
        self.reasons = reasons;
        self
    }
}

fn finding(d: &Diagnostic) -> [&str; 3] {
    [d.severity.as_str(), &*d.code, &*d.message]
}

fn volume(v: &VolumeRecord, what: String) -> [String; 5] {
    let label = v.label.as_deref().map(|l| format!(" \"{}\"", escaped(l)));
    let filesystem = v.filesystem.unwrap_or("–");
    let reason = v.reason.as_deref().map(|r| escaped(r.as_bytes()));
    let status = v.status.as_str();
    [
        escaped(v.volume.as_bytes()),
        format!("{filesystem}{}", label.unwrap_or_default()),
        format!("{} at byte {}", size(v.length), v.start),
        reason.map_or_else(|| status.to_owned(), |r| format!("{status}: {r}")),
        what,
    ]
}

/// A page that is being written: its frame first, then the rows, then the rest of the data.
pub(super) struct Page<'w> {
    out: &'w mut dyn Write,
    separator: &'static str,
    line: Vec<u8>,
}

/// A row of the table: letter, bytes, volume, path, where it was, details, reason.
pub(super) type Row<'r> = (
    char,
    Option<u64>,
    usize,
    String,
    Option<String>,
    Cow<'r, str>,
    Option<usize>,
);

impl<'w> Page<'w> {
    /// Begins the page `title`; `text` says what the answer is, and `complete` whether it is whole.
    pub(super) fn begin(
        out: &'w mut dyn Write,
        title: &str,
        text: &str,
        complete: bool,
    ) -> Result<Self> {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        let whole = match complete {
            true => "The answer is whole.",
            false => {
                "The answer is not whole: something was not looked at; see the volumes and the findings."
            }
        };
        let (title, text) = (markup(title), markup(text));
        let bad = if complete { "" } else { " class=\"bad\"" };
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; \
             form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"generator\" content=\"{TOOL}\">\n\
             <title>{title}</title>\n<style>{STYLE}</style></head>\n\
             <body><header><h1>{title}</h1><p{bad}>{text} {whole}</p></header>\n{BODY}\
             <script type=\"application/json\" id=\"data\">{{\"rows\":[",
            hash(SCRIPT),
            hash(STYLE),
        )?;
        Ok(Self {
            out,
            separator: "",
            line: Vec::new(),
        })
    }

    /// The next row.
    pub(super) fn row(&mut self, row: &Row<'_>) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, row)?;
        self.out.write_all(self.separator.as_bytes())?;
        self.separator = ",\n";
        write_safe(self.out, &self.line)
    }

    /// The rest.
    pub(super) fn end(self, data: &Data<'_>) -> Result<()> {
        let text = serde_json::to_string(data)?;
        // Its keys follow those that are written.
        write!(self.out, "],")?;
        write_safe(self.out, text.trim_start_matches('{').as_bytes())?;
        write!(
            self.out,
            "</script>\n<script>{SCRIPT}</script></body></html>\n"
        )
    }
}

/// JSON within a page: what could end the script, or begin a comment, is escaped.
fn write_safe(out: &mut dyn Write, json: &[u8]) -> Result<()> {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|b| *b == b'<') {
        out.write_all(rest.get(..at).unwrap_or_default())?;
        out.write_all(b"\\u003c")?;
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.write_all(rest)
}

/// Text within markup.
fn markup(text: &str) -> String {
    let mut out = String::new();
    for c in escaped(text.as_bytes()).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_script_or_becomes_markup() {
        let mut out = Vec::new();
        write_safe(
            &mut out,
            br#"["</script><img src=x onerror=alert(1)><!--"]"#,
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('<'), "{text}");
        let back: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, ["</script><img src=x onerror=alert(1)><!--"]);
        assert_eq!(markup("a<b>&\"\u{202e}"), "a&lt;b&gt;&amp;&quot;\\u{202e}");
    }

    #[test]
    fn the_script_makes_no_markup_and_fetches_nothing() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "fetch(",
            "http",
        ] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(!SCRIPT.contains("</script"));
        assert!(!STYLE.contains("url("));
    }
}
