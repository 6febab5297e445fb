//! The pages of `--html` in a real browser: what a person clicks and types, and what they then see.

mod driver;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::driver::{Browser, Programs, RIGHT};
use crate::run::{cargo, check};

/// Rows of the large pages.
const MANY: usize = 100_000;
/// Milliseconds that a search or a new order among them may take: a page that answers in less
/// does not stall.
const STALL: f64 = 1000.0;

/// Runs `cargo xtask browser`; pages and pictures are left in the folder given.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let Some(programs) = Programs::find() else {
        println!("SKIPPED: there is no Chromium with its driver, and none could be installed");
        return Ok(());
    };
    let temporary = tempfile::tempdir()?;
    let dir = match args.first() {
        Some(dir) => PathBuf::from(dir),
        None => temporary.path().to_owned(),
    };
    fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    let page = |name: &str, line: &[&str]| {
        let page = dir.join(name);
        let mut hexz = cargo(root);
        hexz.args(["run", "--quiet", "-p", "hexz-cli", "--"])
            .args(line)
            .arg("--html")
            .arg(&page);
        check(hexz.stdout(Stdio::null()))?;
        anyhow::Ok(page)
    };
    let base = "fixtures/demo/base.hxz";
    let overlay = "fixtures/demo/vm-state.overlay";
    let diff = page(
        "demo.html",
        &["diff", overlay, "--base", base, "--name-only"],
    )?;
    let map = page("map.html", &["map", base])?;

    let browser = Browser::start(&programs)?;
    demo(&browser, &diff, &dir).context("the page of a diff")?;
    disk(&browser, &map, &dir).context("the page of a map")?;
    for (page, name) in [(&diff, "large.html"), (&map, "large-map.html")] {
        let page = fs::read_to_string(page)?;
        large(&browser, &page, &dir.join(name)).context(name)?;
        hostile(&browser, &page, &dir.join("hostile.html")).context(name)?;
    }
    println!("the pages are right on the demo, on {MANY} rows and on hostile names");
    Ok(())
}

const COUNT: &str = "return document.getElementById('count').textContent";

/// The paths of the rows in the document.
fn paths(browser: &Browser) -> Result<Vec<String>> {
    let rows = "return [...document.querySelectorAll('.row .path')].map((e) => e.textContent)";
    Ok(serde_json::from_value(browser.run(rows)?)?)
}

fn click_key(browser: &Browser, key: &str) -> Result<()> {
    browser.click(&format!(".head button[data-key={key}]"))
}

fn demo(browser: &Browser, page: &Path, dir: &Path) -> Result<()> {
    browser.open(page)?;
    browser.until(COUNT, "25 of 25")?;
    let first = paths(browser)?;
    ensure!(
        first.first().is_some_and(|p| p == "/etc/hosts"),
        "{first:?}"
    );
    for (name, size, dark) in [
        ("light.png", (1300, 1700), false),
        ("dark.png", (1300, 1700), true),
        ("narrow.png", (390, 1700), false),
        // That of the README.
        ("page.png", (1100, 900), false),
    ] {
        browser.picture(&dir.join(name), size, dark)?;
    }
    before_and_after(browser)?;
    browser.keys("#search", "note-1")?;
    browser.until(COUNT, "10 of 25")?;
    browser.open(page)?;
    click_key(browser, "path")?;
    let sorted = paths(browser)?;
    ensure!(sorted.len() == 25 && sorted.is_sorted(), "{sorted:?}");
    click_key(browser, "path")?;
    let turned = paths(browser)?;
    ensure!(turned.iter().rev().eq(&sorted), "{turned:?}");
    browser.click("#notable")?;
    browser.until(COUNT, "2 of 25")?;
    browser.click("#notable")?;
    browser.click("#kinds input[value=m]")?;
    browser.until(COUNT, "14 of 25")?;
    browser.click("#kinds input[value=m]")?;
    // Through the directories by keyboard, in words.
    browser.keys("#map button", RIGHT)?;
    let focused = browser.run("return document.activeElement.title")?;
    let focused = focused.as_str().unwrap_or_default();
    ensure!(focused.starts_with("/usr/lib/app, "), "{focused}");
    let stops = "return [...document.querySelectorAll('#map button')]
                 .filter((b) => b.tabIndex === 0).length.toString()";
    browser.until(stops, "1")?;
    // Into a directory, and out again.
    browser.run("document.querySelector('#map button[title^=\"/usr\"]').click()")?;
    browser.until(COUNT, "5 of 25 (below /usr)")?;
    browser.click("#way button")?;
    browser.until(COUNT, "25 of 25")?;
    browser.complaints()
}

/// The colours of a library of 420 KiB that came to where nothing was: free before, data after.
fn before_and_after(browser: &Browser) -> Result<()> {
    let colour = |picture: &str, at: &str| -> Result<Value> {
        browser.run(&format!(
            "const [x, y] = {at}; const pen = document.getElementById('{picture}').getContext('2d');
             return [...pen.getImageData(x, y, 1, 1).data].slice(0, 3)"
        ))
    };
    let (data, free) = (json!([0x00, 0x72, 0xb2]), json!([0xb9, 0xc0, 0xc8]));
    let middle = "[strip.width / 2, ROW]";
    for (row, wanted) in [("16", &free), ("48", &data)] {
        let seen = colour("strip", &middle.replace("ROW", row))?;
        ensure!(seen == *wanted, "row {row} of the strip: {seen}");
    }
    let cell = "place(filled[Math.floor(filled.length / 2)]).map((n) => n * 8 + 4)";
    for (mode, wanted) in [("after", &data), ("before", &free)] {
        browser.click(&format!("#modes [data-mode={mode}]"))?;
        let seen = colour("disk", cell)?;
        ensure!(seen == *wanted, "{mode}: {seen}");
    }
    browser.click("#modes [data-mode=after]")?;
    // By keyboard, in words.
    browser.keys("#disk", RIGHT)?;
    let told = browser.run("return document.getElementById('spot').textContent")?;
    let told = told.as_str().unwrap_or_default();
    ensure!(
        told.contains("superblock 1.0 KiB") && told.contains("; before: "),
        "{told}"
    );
    Ok(())
}

fn disk(browser: &Browser, page: &Path, dir: &Path) -> Result<()> {
    browser.open(page)?;
    let largest = paths(browser)?;
    ensure!(
        largest.starts_with(&["<journal>".into(), "/srv/data/table.db".into()]),
        "{largest:?}"
    );
    let shown = "return [...document.querySelectorAll('#strips, #modes, #only-notable')]
                 .filter((e) => !e.hidden).length.toString()";
    browser.until(shown, "0")?;
    let missing = "return [...at.values()].filter((cell) => !after.has(cell)).length.toString()";
    browser.until(missing, "0").context("cells of no class")?;
    browser.click("#kinds input[value=f]")?;
    let others = paths(browser)?;
    ensure!(others.iter().any(|p| p == "/etc"), "{others:?}");
    ensure!(!others.iter().any(|p| p == "/etc/hosts"), "{others:?}");
    browser.open(page)?;
    browser.picture(&dir.join("map.png"), (1300, 1700), false)?;
    browser.complaints()
}

/// The page with other rows in place of its own.
fn with_rows(page: &str, rows: Vec<Value>) -> Result<String> {
    let mark = "id=\"data\">";
    let start = page.find(mark).context("data")? + mark.len();
    let end = start + page[start..].find("</script>").context("its end")?;
    let mut data: Value = serde_json::from_str(&page[start..end])?;
    data["rows"] = rows.into();
    let text = data.to_string().replace('<', "\\u003c");
    Ok(format!("{}{text}{}", &page[..start], &page[end..]))
}

fn large(browser: &Browser, page: &str, file: &Path) -> Result<()> {
    let letter = if page.contains("\"kind\":\"map\"") {
        "f"
    } else {
        "A"
    };
    let row = |n: usize| {
        let path = format!("/srv/d{}/f{n:06}", n % 300);
        json!([letter, n * 7 % 65_536, 0, path, null, "", null])
    };
    fs::write(file, with_rows(page, (0..MANY).map(row).collect())?)?;
    browser.open(file)?;
    browser.until(COUNT, "100,000 of 100,000")?;
    click_key(browser, "path")?;
    // Only the rows in sight are in the document.
    let there = paths(browser)?;
    ensure!((10..200).contains(&there.len()), "{} rows", there.len());
    browser.run("document.getElementById('rows').scrollTop = 1e9")?;
    let last = "return [...document.querySelectorAll('.row .path')].at(-1).textContent";
    browser.until(last, "/srv/d99/f099999")?;
    browser.keys("#search", "f09999")?;
    browser.until(COUNT, "10 of 100,000")?;
    browser.run("document.getElementById('search').value = ''")?;
    let time = |act: &str| -> Result<f64> {
        let script =
            format!("const begun = performance.now(); {act}; return performance.now() - begun");
        browser.run(&script)?.as_f64().context("a time")
    };
    let load = "return performance.timing.domComplete - performance.timing.responseEnd";
    let load = browser.run(load)?;
    let (search, order) = (
        time("select()")?,
        time("document.querySelector('.head button[data-key=size]').click()")?,
    );
    let map = time("lay()")?;
    println!(
        "{MANY} rows: {load} ms to the first sight, {search:.0} ms a search, {order:.0} ms a new \
         order, {map:.0} ms the directories"
    );
    ensure!(search.max(order).max(map) < STALL, "the page stalls");
    browser.complaints()
}

fn hostile(browser: &Browser, page: &str, file: &Path) -> Result<()> {
    let names = [
        "/<img src=x onerror=document.body.dataset.ready='owned'>",
        "/</script><script>document.title='owned'</script>",
        "/&lt;b&gt;\"'`",
        "/__proto__/constructor",
    ];
    let rows = names.map(|name| json!(["M", 1, 0, name, null, name, null]));
    fs::write(file, with_rows(page, rows.to_vec())?)?;
    browser.open(file)?;
    let mut seen = paths(browser)?;
    seen.sort();
    let mut wanted = names.to_vec();
    wanted.sort_unstable();
    ensure!(seen == wanted, "{seen:?}");
    let elements = "return document.querySelectorAll('img, iframe, b').length + ' '
                    + document.scripts.length + ' ' + document.title.includes('owned')";
    browser
        .until(elements, "0 2 false")
        .context("a name became markup")?;
    browser.complaints()
}
