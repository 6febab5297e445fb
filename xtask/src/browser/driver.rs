//! A browser without a screen, driven by ChromeDriver over WebDriver
//! (<https://www.w3.org/TR/webdriver2/>): what a person does, and what they then see.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// How long the page has for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What an element is called in answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no character, as WebDriver writes them.
pub(super) const RIGHT: &str = "\u{e014}";

/// The browser and its driver.
pub(super) struct Programs {
    browser: PathBuf,
    driver: PathBuf,
}

impl Programs {
    /// Those of this machine; installed where CI may do that.
    pub(super) fn find() -> Option<Self> {
        let all = || {
            let browser = BROWSERS.iter().find_map(|name| on_path(name))?;
            let driver = on_path("chromedriver")?;
            Some(Self { browser, driver })
        };
        if all().is_none() && std::env::var_os("CI").is_some() {
            let install = ["install", "-y", "--no-install-recommends"];
            let update = Command::new("apt-get").args(["update", "-q"]).status();
            let installed = Command::new("apt-get")
                .args(install)
                .args(["chromium", "chromium-driver"])
                .status();
            if !matches!((update, installed), (Ok(_), Ok(status)) if status.success()) {
                println!("apt-get could not install chromium and chromium-driver");
            }
        }
        all()
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// A browser with one window.
pub(super) struct Browser {
    driver: Child,
    /// Where the session is.
    session: String,
}

impl Browser {
    pub(super) fn start(programs: &Programs) -> Result<Self> {
        let mut driver = Command::new(&programs.driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver")?;
        let said = BufReader::new(driver.stdout.take().context("its output")?);
        // It says the port that it took.
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let mut browser = Self {
            driver,
            session: String::new(),
        };
        let server = format!(
            "http://127.0.0.1:{}",
            port.context("the driver did not start")?
        );
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": programs.browser, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let begun = answer(&minreq::post(format!("{server}/session")), &wanted)?;
        let id = begun["sessionId"].as_str().context("a session")?;
        browser.session = format!("{server}/session/{id}");
        Ok(browser)
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        let request = minreq::post(format!("{}/{what}", self.session));
        answer(&request, body).with_context(|| format!("{what} {body}"))
    }

    /// Opens a page, and waits until its script has run to its end.
    pub(super) fn open(&self, page: &Path) -> Result<()> {
        let address = format!("file://{}", page.display());
        self.post("url", &json!({"url": address}))?;
        self.until("return document.body.dataset.ready", "yes")
    }

    /// What a script gives.
    pub(super) fn run(&self, script: &str) -> Result<Value> {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script gives `wanted`.
    pub(super) fn until(&self, script: &str, wanted: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let given = self.run(script)?;
            if given == wanted {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{script}: {given}, and not {wanted}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn element(&self, selector: &str) -> Result<String> {
        let asked = json!({"using": "css selector", "value": selector});
        let found = self.post("element", &asked)?;
        let id = found[ELEMENT].as_str().context("an element")?;
        Ok(format!("element/{id}"))
    }

    /// Clicks on what `selector` finds.
    pub(super) fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(&format!("{element}/click"), &json!({}))?;
        Ok(())
    }

    /// Types into what `selector` finds.
    pub(super) fn keys(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(&format!("{element}/value"), &json!({"text": text}))?;
        Ok(())
    }

    /// A picture of the page from its top, with a window of `size`.
    pub(super) fn picture(&self, file: &Path, size: (u32, u32), dark: bool) -> Result<()> {
        let theme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.chromium("Emulation.setEmulatedMedia", &json!({"features": features}))?;
        let (width, height) = size;
        self.chromium(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        )?;
        self.run("window.scrollTo(0, 0)")?;
        let taken = answer(
            &minreq::get(format!("{}/screenshot", self.session)),
            &Value::Null,
        )?;
        self.chromium("Emulation.clearDeviceMetricsOverride", &json!({}))?;
        let picture = STANDARD.decode(taken.as_str().context("a picture")?)?;
        ensure!(picture.len() > 10_000, "a picture of nothing");
        fs::write(file, picture)?;
        Ok(())
    }

    /// Says something in the browser's own protocol.
    fn chromium(&self, command: &str, parameters: &Value) -> Result<Value> {
        let body = json!({"cmd": command, "params": parameters});
        self.post("goog/cdp/execute", &body)
    }

    /// Fails where the page met an error, or broke its own policy.
    pub(super) fn complaints(&self) -> Result<()> {
        let log = self.post("se/log", &json!({"type": "browser"}))?;
        let log = log.as_array().context("a log")?;
        let errors: Vec<&Value> = log.iter().filter(|l| l["level"] == "SEVERE").collect();
        ensure!(errors.is_empty(), "the page complains: {errors:?}");
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The window goes with its session.
        let _ = minreq::delete(&self.session).with_timeout(10).send();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The value in the answer to a request.
fn answer(request: &minreq::Request, body: &Value) -> Result<Value> {
    let mut request = request.clone().with_timeout(120);
    if !body.is_null() {
        request = request
            .with_header("Content-Type", "application/json")
            .with_body(body.to_string());
    }
    let response = request.send()?;
    let mut answer: Value = serde_json::from_slice(response.as_bytes())?;
    let value = answer["value"].take();
    if response.status_code != 200 {
        let text = value["message"].as_str().unwrap_or_default();
        bail!("{}: {text}", value["error"].as_str().unwrap_or_default());
    }
    Ok(value)
}
