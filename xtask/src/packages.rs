//! Packages: each crate as it would be published, one for Debian, and whether what is installed runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::documents;
use crate::run::{cargo, check, output};

/// Shells whose completions are in the Debian package, with the file that each looks for.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/hexz"),
    ("zsh", "usr/share/zsh/vendor-completions/_hexz"),
    ("fish", "usr/share/fish/vendor_completions.d/hexz.fish"),
];

/// Checks that each crate that may be published can be packed: that nothing is missing in its
/// manifest, and that what it depends on has a version.
pub(crate) fn crates(root: &Path) -> Result<()> {
    let metadata = output(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let mut package = cargo(root);
    package.args(["package", "--quiet", "--no-verify", "--allow-dirty"]);
    let mut count = 0;
    for found in metadata["packages"].as_array().context("packages")? {
        // An empty list of registries is `publish = false`.
        if found["publish"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let name = found["name"].as_str().context("a name")?;
        for key in ["description", "license", "readme"] {
            ensure!(found[key].is_string(), "{name}: its manifest has no {key}");
        }
        package.args(["-p", name]);
        count += 1;
    }
    check(&mut package)?;
    println!("{count} crates can be packed");
    Ok(())
}

/// Says whether the compiler is the oldest one that the manifest allows; where it is newer, checks
/// with that one if it is installed.
pub(crate) fn minimum_rust(root: &Path) -> Result<()> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let minimum = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .context("Cargo.toml has no rust-version")?;
    let version = output(Command::new("rustc").arg("--version").current_dir(root))?;
    if version.contains(&format!(" {minimum}.")) {
        println!(
            "this compiler is the oldest that is promised: {}",
            version.trim()
        );
        return Ok(());
    }
    let toolchain = format!("+{minimum}");
    let there = Command::new("cargo")
        .args([&toolchain, "--version"])
        .output();
    if !there.is_ok_and(|out| out.status.success()) {
        println!(
            "SKIPPED: Rust {minimum} is not installed beside {}",
            version.trim()
        );
        return Ok(());
    }
    check(
        Command::new("cargo")
            .args([&toolchain, "check", "--workspace", "--all-features"])
            .current_dir(root)
            .env_remove("CARGO"),
    )
}

/// Checks bans, licences and sources of dependencies, where cargo-deny is installed. The licences
/// are held by `tidy` as well.
pub(crate) fn deny(root: &Path) -> Result<()> {
    let there = cargo(root).args(["deny", "--version"]).output();
    if !there.is_ok_and(|out| out.status.success()) {
        println!("SKIPPED: cargo-deny is not installed; `tidy` held licences and sources");
        return Ok(());
    }
    let what = ["deny", "--offline", "check", "bans", "licenses", "sources"];
    check(cargo(root).args(what))
}

/// Builds a binary that needs no library of the system.
fn static_binary(root: &Path) -> Result<PathBuf> {
    let host = output(Command::new("rustc").arg("-vV"))?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc names no host")?;
    let build = [
        "build",
        "--release",
        "--quiet",
        "-p",
        "hexz-cli",
        "--target",
        host,
    ];
    // With a target of its own the flags are not those of build scripts.
    check(
        cargo(root)
            .args(build)
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(host).join("release/hexz"))
}

/// Writes the Debian package into the folder given, or `target/debian`. Gives its path.
pub(crate) fn deb(root: &Path, args: &[String]) -> Result<PathBuf> {
    let dir = args
        .first()
        .map_or_else(|| root.join("target/debian"), PathBuf::from);
    let binary = static_binary(root)?;
    let stage = tempfile::tempdir()?;
    let put = |place: &str, bytes: &[u8]| -> Result<()> {
        let path = stage.path().join(place);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, bytes)?)
    };
    put("usr/bin/hexz", &fs::read(&binary)?)?;
    check(Command::new("strip").arg(stage.path().join("usr/bin/hexz")))?;
    for (shell, place) in COMPLETIONS {
        let text = output(Command::new(&binary).args(["completions", shell]))?;
        put(place, text.as_bytes())?;
    }
    let pages = tempfile::tempdir()?;
    documents::man(root, &[pages.path().display().to_string()])?;
    for page in fs::read_dir(pages.path())? {
        let page = page?;
        let name = page.file_name().to_string_lossy().into_owned();
        put(
            &format!("usr/share/man/man1/{name}"),
            &fs::read(page.path())?,
        )?;
    }
    let licence = |name: &str| fs::read_to_string(root.join(name));
    let copyright = format!(
        "{}\n{}",
        licence("LICENSE-MIT")?,
        licence("LICENSE-APACHE")?
    );
    put("usr/share/doc/hexz-files/copyright", copyright.as_bytes())?;
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let control = format!(
        "Package: hexz-files\nVersion: {}\nArchitecture: {}\nMaintainer: The hexz contributors\n\
         Conflicts: hexz\nSection: utils\nPriority: optional\n\
         Description: which files a change of disk blocks touched\n \
         Compares two states of a disk image and names the files that changed, without a mount.\n",
        env!("CARGO_PKG_VERSION"),
        architecture.trim()
    );
    put("DEBIAN/control", control.as_bytes())?;
    fs::create_dir_all(&dir)?;
    let name = format!(
        "hexz-files_{}_{}.deb",
        env!("CARGO_PKG_VERSION"),
        architecture.trim()
    );
    let package = dir.join(name);
    let mut executable = Command::new("chmod");
    check(executable.args(["-R", "u=rwX,go=rX"]).arg(stage.path()))?;
    check(
        Command::new("chmod")
            .arg("0755")
            .arg(stage.path().join("usr/bin/hexz")),
    )?;
    let mut build = Command::new("dpkg-deb");
    build
        .args(["--root-owner-group", "--build"])
        .arg(stage.path());
    check(build.arg(&package))?;
    Ok(package)
}

/// Installs by cargo and as a Debian package, and runs each where nothing else is: needs root,
/// debootstrap and a mirror.
pub(crate) fn install_check(root: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let bare = scratch.path().join("bare");
    let codename =
        output(Command::new("sh").args(["-c", ". /etc/os-release; echo $VERSION_CODENAME"]))?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", codename.trim()]);
    let log = output(debootstrap.arg(&bare)).context("debootstrap")?;
    println!(
        "a bare {}: {} lines of debootstrap",
        codename.trim(),
        log.lines().count()
    );
    let demo = bare.join("demo");
    fs::create_dir_all(&demo)?;
    for file in ["base.hxz", "vm-state.overlay", "vm-state.meta"] {
        fs::copy(root.join("fixtures/demo").join(file), demo.join(file))?;
    }

    let installed = scratch.path().join("installed");
    let install = [
        "install",
        "--quiet",
        "--locked",
        "--path",
        "crates/cli",
        "--bin",
        "hexz",
    ];
    check(cargo(root).args(install).arg("--root").arg(&installed))?;
    fs::copy(installed.join("bin/hexz"), bare.join("usr/local/bin/hexz"))?;
    try_in(&bare, "/usr/local/bin/hexz", "cargo install")?;
    fs::remove_file(bare.join("usr/local/bin/hexz"))?;

    let package = deb(root, &[scratch.path().display().to_string()])?;
    fs::copy(&package, bare.join("package.deb"))?;
    check(
        Command::new("chroot")
            .arg(&bare)
            .args(["dpkg", "-i", "/package.deb"]),
    )?;
    try_in(&bare, "/usr/bin/hexz", "the Debian package")?;
    let files = output(
        Command::new("chroot")
            .arg(&bare)
            .args(["dpkg", "-L", "hexz-files"]),
    )?;
    let places = COMPLETIONS.map(|(_, place)| place);
    for place in places.iter().chain(&["usr/share/man/man1/hexz-diff.1"]) {
        ensure!(files.contains(place), "the package lacks {place}:\n{files}");
    }
    check(
        Command::new("chroot")
            .arg(&bare)
            .args(["dpkg", "-r", "hexz-files"]),
    )?;
    ensure!(
        !bare.join("usr/bin/hexz").exists(),
        "hexz stays when its package goes"
    );

    let empty = scratch.path().join("empty");
    fs::create_dir_all(&empty)?;
    fs::copy(static_binary(root)?, empty.join("hexz"))?;
    fs::rename(&demo, empty.join("demo"))?;
    try_in(&empty, "/hexz", "the static binary in an empty folder")
}

/// Runs the program at `path` in the folder `bare` as its root, on the demo.
fn try_in(bare: &Path, path: &str, what: &str) -> Result<()> {
    let run = |args: &[&str]| output(Command::new("chroot").arg(bare).arg(path).args(args));
    let version = run(&["--version"])?;
    let line = version.lines().next().unwrap_or_default();
    let diff = [
        "diff",
        "--files",
        "/demo/vm-state.overlay",
        "--base",
        "/demo/base.hxz",
    ];
    let told = run(&diff)?;
    if !told.contains("/etc/hosts") || !version.contains(env!("CARGO_PKG_VERSION")) {
        bail!("{what}: {version}\n{told}");
    }
    println!("{what}: {line} names the files of the demo");
    Ok(())
}
