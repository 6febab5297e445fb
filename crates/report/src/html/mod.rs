//! One page that shows a report as pictures and as a table, without a network.
//!
//! The data stands in the page as JSON, which its script puts in place as text: no name from an
//! image becomes markup. A policy in the page allows its own script and nothing else.

mod cells;

use std::io::{Result, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hexz_resolve::report::{Change, Report, VolumeRecord};
use hexz_resolve::{Diagnostic, FileKind};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use cells::Cells;

use crate::escape::escaped;
use crate::human::describe_change;
use crate::measure::content_bytes;
use crate::select::Selection;
use crate::text::{count, size};
use crate::{SCHEMA, TOOL};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the script shows.
#[derive(Serialize)]
struct Data<'a> {
    schema: u32,
    disk: u64,
    /// Bytes of a cell of the picture.
    cell: u64,
    /// Name, bytes, differing bytes.
    classes: Vec<(&'static str, u64, u64)>,
    /// Name, filesystem, place, state, what changed.
    volumes: Vec<[String; 5]>,
    findings: Vec<[&'a str; 3]>,
    /// Cell, class, bytes, differing bytes.
    cells: Vec<(u64, usize, u64, u64)>,
    reasons: Vec<&'static str>,
}

/// Writes the page of a diff.
///
/// # Errors
/// Of `out`.
pub fn write_html(out: &mut dyn Write, report: &Report, selection: &Selection) -> Result<()> {
    let names = [
        report.header.base.as_deref(),
        report.header.overlay.as_deref(),
    ];
    let names: Vec<&str> = names.into_iter().flatten().collect();
    let title = format!("What changed: {}", names.join(", "));
    let mut cells = Cells::new(report.header.disk_size);
    for change in &report.changes {
        for range in &change.ranges {
            if range.view == hexz_resolve::View::Merged {
                let class = hexz_resolve::Class::FileData;
                cells.add(range.disk_offset, range.length, class, range.length);
            }
        }
    }
    for region in &report.regions {
        cells.add(region.start, region.length, region.class, region.changed);
    }
    for piece in &report.unresolved {
        let class = hexz_resolve::Class::Unresolved;
        cells.add(piece.start, piece.length, class, piece.length);
    }
    let mut reasons: Vec<&'static str> = Vec::new();
    let summary = &report.summary;
    let text = format!(
        "{}, {} in blocks that were written, {} differ. {}",
        count(report.changes.len() as u64, "change"),
        size(summary.bytes),
        size(summary.changed),
        match summary.complete {
            true => "The answer is whole.",
            false => "The answer is not whole: something was not looked at; see the findings.",
        }
    );
    let volume = |v: &VolumeRecord| volume(v, format!("{} blocks", v.changed_blocks));
    let classes = |cells: &Cells| cells.classes(&summary.classes);
    head(out, &title, &text, summary.complete)?;
    let places = &selection.places;
    let mut separator = "";
    write!(out, "{{\"rows\":[")?;
    let mut line = Vec::new();
    for change in report.changes.iter().filter(|c| selection.in_paths(c)) {
        let notable = places.notable(change).map(|reason| {
            let known = reasons.iter().position(|r| *r == reason);
            known.unwrap_or_else(|| {
                reasons.push(reason);
                reasons.len() - 1
            })
        });
        line.clear();
        row(&mut line, change, selection, notable)?;
        out.write_all(separator.as_bytes())?;
        write_safe(out, &line)?;
        separator = ",\n";
    }
    let data = Data {
        schema: SCHEMA,
        disk: report.header.disk_size,
        cell: cells.size(),
        classes: classes(&cells),
        volumes: report.volumes.iter().map(volume).collect(),
        findings: findings(&report.diagnostics),
        cells: cells.filled(&summary.classes),
        reasons,
    };
    tail(out, &data)
}

/// A row of the table: letter, bytes, volume, path, where it was, details, reason.
fn row(
    out: &mut Vec<u8>,
    change: &Change,
    selection: &Selection,
    notable: Option<usize>,
) -> Result<()> {
    let places = &selection.places;
    let mut path = escaped(&places.shown(change.volume, &change.path));
    if change.kind == FileKind::Directory && path != "/" {
        path.push('/');
    }
    let path = path.trim_end_matches('/').to_owned();
    let path = if path.is_empty() {
        "/".to_owned()
    } else {
        path
    };
    let from = change.from.as_deref();
    let from = from.map(|from| escaped(&places.shown(change.volume, from)));
    let kind = match change.kind {
        FileKind::File => String::new(),
        kind => kind.as_str().to_owned(),
    };
    let details = [kind, describe_change(change)];
    let details: Vec<String> = details.into_iter().filter(|d| !d.is_empty()).collect();
    let line = (
        change.change.letter(),
        content_bytes(change),
        change.volume,
        path,
        from,
        details.join(", "),
        notable,
    );
    Ok(serde_json::to_writer(out, &line)?)
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

fn findings(diagnostics: &[Diagnostic]) -> Vec<[&str; 3]> {
    let finding = |d| {
        let d: &Diagnostic = d;
        [d.severity.as_str(), &*d.code, &*d.message]
    };
    diagnostics.iter().map(finding).collect()
}

fn head(out: &mut dyn Write, title: &str, text: &str, complete: bool) -> Result<()> {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
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
         <body><header><h1>{title}</h1><p{bad}>{text}</p></header>\n{BODY}\n\
         <script type=\"application/json\" id=\"data\">",
        hash(SCRIPT),
        hash(STYLE),
    )
}

fn tail(out: &mut dyn Write, data: &Data<'_>) -> Result<()> {
    let text = serde_json::to_string(data)?;
    // Its keys follow those that are written.
    write!(out, "],")?;
    write_safe(out, text.trim_start_matches('{').as_bytes())?;
    write!(out, "</script>\n<script>{SCRIPT}</script></body></html>\n")
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

const BODY: &str = r#"<main>
<div class="two">
<section class="panel" aria-labelledby="h-disk"><h2 id="h-disk">The disk</h2>
<canvas id="disk" tabindex="0" role="img" aria-label="The disk as a square along a Hilbert curve, coloured by the class of what changed; the table of sums says the same in numbers"></canvas>
<p id="spot" class="dim" aria-live="polite">Each cell is a piece of the disk; point at one, or use the arrow keys.</p>
<div class="tools"><button id="mode" type="button">show where bytes differ</button></div>
<ul class="legend" id="legend"></ul></section>
<section class="panel" aria-labelledby="h-map"><h2 id="h-map">Directories by size</h2>
<nav id="way" aria-label="Directories above"></nav><div class="map" id="map"></div></section>
</div>
<section class="panel" aria-labelledby="h-rows"><h2 id="h-rows">Files</h2>
<div class="tools"><input type="search" id="search" placeholder="search paths and reasons" aria-label="Search paths and reasons">
<label><input type="checkbox" id="notable"> notable only</label><span id="kinds" class="tools"></span>
<span id="count" class="dim" role="status"></span></div>
<div class="head" role="row"><span role="columnheader"><button type="button" data-key="letter">what</button></span><span role="columnheader"><button type="button" data-key="size">size</button></span><span role="columnheader" class="wide"><button type="button" data-key="volume">volume</button></span><span role="columnheader"><button type="button" data-key="path">path</button></span><span role="columnheader" class="wide">details</span></div>
<div class="rows" id="rows" role="grid" tabindex="0" aria-label="Files"><div class="space" id="space"></div></div></section>
<section class="panel" aria-labelledby="h-sums"><h2 id="h-sums">Sums</h2><table><thead><tr><th>class</th><th>bytes</th><th>differ</th></tr></thead><tbody id="sums"></tbody></table></section>
<section class="panel" aria-labelledby="h-volumes"><h2 id="h-volumes">Volumes</h2><table><thead><tr><th>name</th><th>filesystem</th><th>place</th><th>status</th><th>changed</th></tr></thead><tbody id="volumes"></tbody></table></section>
<section class="panel" aria-labelledby="h-findings"><h2 id="h-findings">Findings</h2><p id="no-findings" class="dim">None.</p><table><tbody id="findings"></tbody></table></section>
<noscript><p>The table and the pictures need JavaScript; the data stands in this page as JSON.</p></noscript>
</main>"#;

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
