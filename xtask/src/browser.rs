//! The page of `--html` in a real browser, without a screen: what it shows is read back from its
//! document, once its script has run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::run::{cargo, check};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Rows of the large page.
const MANY: usize = 100_000;

/// Runs `cargo xtask browser`; screenshots are left in the folder given.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let Some(browser) = chromium()? else {
        println!("SKIPPED: there is no Chromium, and none could be installed");
        return Ok(());
    };
    let temporary = tempfile::tempdir()?;
    let dir = match args.first() {
        Some(dir) => PathBuf::from(dir),
        None => temporary.path().to_owned(),
    };
    fs::create_dir_all(&dir)?;
    let page = dir.join("demo.html");
    let mut diff = cargo(root);
    diff.args(["run", "--quiet", "-p", "hexz-cli", "--", "diff"]);
    diff.args([
        "fixtures/demo/vm-state.overlay",
        "--base",
        "fixtures/demo/base.hxz",
    ]);
    diff.args(["--name-only", "--html"]);
    check(diff.arg(&page).stdout(Stdio::null()))?;

    let browser = Browser { program: browser };
    let text = fs::read_to_string(&page)?;
    demo(&browser, &page, &dir)?;
    large(&browser, &text, &dir)?;
    hostile(&browser, &text, &dir)?;
    println!("the page is right on the demo, on {MANY} rows and on hostile names");
    Ok(())
}

/// The program; installed where CI may do that.
fn chromium() -> Result<Option<PathBuf>> {
    let found = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .flat_map(|folder| NAMES.map(|name| folder.join(name)))
            .find(|program| program.is_file())
    };
    if found().is_none() && std::env::var_os("CI").is_some() {
        let install = ["install", "-y", "--no-install-recommends", "chromium"];
        let update = Command::new("apt-get").args(["update", "-q"]).status();
        let installed = Command::new("apt-get").args(install).status();
        if !matches!((update, installed), (Ok(_), Ok(status)) if status.success()) {
            println!("apt-get could not install chromium");
        }
    }
    Ok(found())
}

struct Browser {
    program: PathBuf,
}

impl Browser {
    fn command(&self, size: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ]);
        command.args([
            &format!("--window-size={size}"),
            "--virtual-time-budget=20000",
        ]);
        command
    }

    /// The document once the script of `page` has run; `asked` is what is searched and sorted for.
    fn document(&self, page: &Path, asked: &str) -> Result<String> {
        let address = format!("file://{}#{asked}", page.display());
        let output = self
            .command("1200,1400")
            .args(["--dump-dom", &address])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            text.contains("data-ready=\"yes\""),
            "the script of {} did not run to its end:\n{}",
            page.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    fn screenshot(&self, page: &Path, picture: &Path, size: &str, more: &[&str]) -> Result<()> {
        let mut command = self.command(size);
        command.args(more);
        command.arg(format!("--screenshot={}", picture.display()));
        let output = command.arg(format!("file://{}", page.display())).output()?;
        ensure!(
            fs::metadata(picture).is_ok_and(|m| m.len() > 10_000),
            "no picture of {}:\n{}",
            page.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// The paths of the rows that a document shows.
fn paths(document: &str) -> Vec<String> {
    let cells = document.split("<span class=\"path\"").skip(1);
    let text = cells.filter_map(|cell| {
        let (_, rest) = cell.split_once('>')?;
        Some(rest.split_once("</span>")?.0.to_owned())
    });
    text.collect()
}

/// The rows that are shown, by number.
fn shown(document: &str) -> Result<String> {
    let (_, rest) = document.split_once("id=\"count\"").context("a count")?;
    let text = rest
        .split_once('>')
        .and_then(|(_, rest)| rest.split_once('<'));
    Ok(text.context("a count")?.0.to_owned())
}

fn demo(browser: &Browser, page: &Path, dir: &Path) -> Result<()> {
    let all = browser.document(page, "")?;
    ensure!(shown(&all)? == "25 of 25", "{}", shown(&all)?);
    ensure!(
        paths(&all).first().is_some_and(|p| p == "/etc/hosts"),
        "{:?}",
        paths(&all)
    );
    let found = browser.document(page, "search=note-1")?;
    ensure!(shown(&found)? == "10 of 25", "{}", shown(&found)?);
    let sorted = paths(&browser.document(page, "sort=path&up=1")?);
    ensure!(sorted.len() == 25 && sorted.is_sorted(), "{sorted:?}");
    let notable = browser.document(page, "notable=1")?;
    ensure!(shown(&notable)? == "2 of 25", "{}", shown(&notable)?);
    let dark = ["--blink-settings=preferredColorScheme=0"];
    browser.screenshot(page, &dir.join("light.png"), "1300,1500", &[])?;
    browser.screenshot(page, &dir.join("dark.png"), "1300,1500", &dark)?;
    browser.screenshot(page, &dir.join("narrow.png"), "500,1400", &[])
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

fn large(browser: &Browser, page: &str, dir: &Path) -> Result<()> {
    let row = |n: usize| {
        json!([
            "A",
            n * 7 % 65_536,
            0,
            format!("/srv/d{}/f{n:06}", n % 300),
            null,
            "",
            null
        ])
    };
    let file = dir.join("large.html");
    fs::write(&file, with_rows(page, (0..MANY).map(row).collect())?)?;
    let all = browser.document(&file, "sort=path&up=1")?;
    ensure!(shown(&all)? == "100,000 of 100,000", "{}", shown(&all)?);
    // Only the rows in sight are in the document.
    let there = paths(&all);
    ensure!((10..200).contains(&there.len()), "{} rows", there.len());
    let found = browser.document(&file, "search=f09999")?;
    ensure!(shown(&found)? == "10 of 100,000", "{}", shown(&found)?);
    browser.screenshot(&file, &dir.join("large.png"), "1300,1500", &[])
}

fn hostile(browser: &Browser, page: &str, dir: &Path) -> Result<()> {
    let names = [
        "/<img src=x onerror=document.body.dataset.ready='owned'>",
        "/</script><script>document.title='owned'</script>",
        "/&lt;b&gt;\"'`",
        "/__proto__/constructor",
    ];
    let rows = names.map(|name| json!(["M", 1, 0, name, null, name, null]));
    let file = dir.join("hostile.html");
    fs::write(&file, with_rows(page, rows.to_vec())?)?;
    let document = browser.document(&file, "")?;
    if document.contains("<img") || document.contains("<title>owned") {
        bail!("a name became markup");
    }
    ensure!(
        paths(&document).len() == names.len(),
        "{:?}",
        paths(&document)
    );
    Ok(())
}
