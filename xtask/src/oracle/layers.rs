//! Layers and patches, held against the kernel's trees.
//!
//! The base tree, as it is mounted, becomes the first layer of an image, and what
//! `hexz diff --oci-layer` writes becomes the second. umoci unpacks both; what comes out must be
//! the merged tree as it is mounted. `git apply` of the patch to a copy of the base tree must give
//! the merged tree's text files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::case::Case;
use super::disk::{self, Mount, output};
use super::{Mix, Subject, ext4, ntfs, xfs};

const WALK: &str = include_str!("layers.py");
/// One mix of each filesystem.
const MIXES: [&str; 3] = ["ext4-4k", "xfs-4k-rmap", "ntfs-4k"];

/// Runs `seeds` of each filesystem, clean and live.
pub(crate) fn run(hexz: &Path, dir: &Path, seeds: std::ops::Range<u64>, steps: u64) -> Result<()> {
    let subjects: [&dyn Subject; 3] = [&ext4::Ext4, &xfs::Xfs, &ntfs::Ntfs];
    let (mut cases, mut bad) = (0, 0);
    for subject in subjects {
        let mut mixes = subject.mixes().iter();
        let mix = mixes.find(|mix| MIXES.contains(&mix.name));
        let mix = mix.or(subject.mixes().first()).context("a mix")?;
        for seed in seeds.clone() {
            for live in [false, true] {
                if live && !subject.can_be_live() {
                    continue;
                }
                let case = Case {
                    subject,
                    mix,
                    seed,
                    live,
                    steps,
                    dir: dir.join(format!("layer-{}-{seed}-{live}", mix.name)),
                };
                let wrong = check(hexz, &case)
                    .with_context(|| format!("{} seed {seed} live {live}", mix.name))?;
                let kind = if live { "live" } else { "clean" };
                println!("{:14} seed {seed} {kind}: {} differ", mix.name, wrong.len());
                for line in wrong.iter().take(20) {
                    println!("    {line}");
                }
                cases += 1;
                bad += usize::from(!wrong.is_empty());
                if wrong.is_empty() {
                    fs::remove_dir_all(&case.dir)?;
                }
            }
        }
    }
    if bad != 0 {
        bail!("{bad} of {cases} cases differ from the kernel");
    }
    println!("{cases} layers and patches agree with the kernel");
    Ok(())
}

/// What differs.
fn check(hexz: &Path, case: &Case<'_>) -> Result<Vec<String>> {
    if case.dir.exists() {
        fs::remove_dir_all(&case.dir)?;
    }
    fs::create_dir_all(&case.dir)?;
    let (base, merged) = (case.dir.join("base.img"), case.dir.join("merged.img"));
    case.make(&base, &merged)?;
    let overlay = case.dir.join("vm.overlay");
    disk::overlay(&base, &merged, &overlay, 97)?;
    let files = Files {
        dir: &case.dir,
        subject: case.subject,
        mix: case.mix,
    };
    let before = files.mounted(&base, "before")?;
    let after = files.mounted(&merged, "after")?;
    let layer = case.dir.join("layer.tar.gz");
    let diff = |more: &[&str]| -> Result<Vec<u8>> {
        let out = Command::new(hexz)
            .args(["diff", "--base"])
            .args([&base, &overlay])
            .args(more)
            .output()?;
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        anyhow::ensure!(out.status.success(), "hexz diff {more:?}: {errors}");
        Ok(out.stdout)
    };
    diff(&["--oci-layer", text(&layer)?])?;
    let unpacked = files.unpack(&before, &layer)?;
    let mut wrong = files.compare(&after, &unpacked)?;
    let patch = diff(&["--patch"])?;
    wrong.extend(files.apply(&before, &after, &patch)?);
    Ok(wrong)
}

struct Files<'a> {
    dir: &'a Path,
    subject: &'a dyn Subject,
    mix: &'a Mix,
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of text")
}

impl Files<'_> {
    /// A copy of the tree in `image`, as it is mounted.
    fn mounted(&self, image: &Path, name: &str) -> Result<PathBuf> {
        let scratch = self.dir.join("scratch.img");
        disk::copy(image, &scratch)?;
        let root = self.dir.join("look");
        let mount = Mount::new(&scratch, self.mix, self.subject.look(), &root)?;
        let to = self.dir.join(name);
        output("cp", &["-a", text(&root)?, text(&to)?])?;
        mount.unmount()?;
        fs::remove_file(scratch)?;
        Ok(to)
    }

    /// Unpacks the tree at `before` and `layer`, one over the other.
    fn unpack(&self, before: &Path, layer: &Path) -> Result<PathBuf> {
        let first = self.dir.join("first.tar");
        let (first, before) = (text(&first)?.to_owned(), text(before)?);
        let options = [
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sort=name",
        ];
        let mut args = vec!["-C", before, "-cf", &first];
        args.extend(options);
        args.push(".");
        output("tar", &args)?;
        let layout = self.dir.join("layout");
        let image = format!("{}:t", text(&layout)?);
        output("umoci", &["init", "--layout", text(&layout)?])?;
        output("umoci", &["new", "--image", &image])?;
        for tar in [&first, text(layer)?] {
            // umoci compresses by itself.
            let plain = match tar.strip_suffix(".gz") {
                Some(plain) => {
                    output("gunzip", &["-k", tar])?;
                    plain
                }
                None => tar,
            };
            output("umoci", &["raw", "add-layer", "--image", &image, plain])?;
        }
        let bundle = self.dir.join("bundle");
        output("umoci", &["unpack", "--image", &image, text(&bundle)?])?;
        Ok(bundle.join("rootfs"))
    }

    fn lines(&self, root: &Path) -> Result<BTreeSet<String>> {
        let root = text(root)?;
        let mut args = vec!["-c", WALK, root];
        if ntfs::applies(self.mix) {
            args.push("plain");
        }
        let out = String::from_utf8(output("python3", &args)?)?;
        Ok(out.lines().map(str::to_owned).collect())
    }

    fn compare(&self, expected: &Path, found: &Path) -> Result<Vec<String>> {
        let (expected, found) = (self.lines(expected)?, self.lines(found)?);
        let only = |sign: char, these: &BTreeSet<String>, those: &BTreeSet<String>| {
            these
                .difference(those)
                .map(|line| format!("{sign} {line}"))
                .collect::<Vec<_>>()
        };
        let mut wrong = only('-', &expected, &found);
        wrong.extend(only('+', &found, &expected));
        wrong.sort_by(|a, b| a[2..].cmp(&b[2..]));
        Ok(wrong)
    }

    /// Applies the text part of `patch` to the tree at `before`; the files it is about must be
    /// those of the tree at `after`.
    fn apply(&self, before: &Path, after: &Path, patch: &[u8]) -> Result<Vec<String>> {
        let mut kept = Vec::new();
        let (mut sections, mut section) = (Vec::new(), Vec::new());
        for line in patch.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b"diff --git ") && !section.is_empty() {
                sections.push(std::mem::take(&mut section));
            }
            section.extend_from_slice(line);
        }
        sections.push(section);
        let is_text = |section: &&Vec<u8>| !contains(section, b"\nBinary files ");
        for section in &sections {
            if is_text(&section) {
                kept.extend_from_slice(section);
                continue;
            }
            // git refuses those without their bytes; what they make room for must not fail.
            let gone = section.split(|b| *b == b'\n').find_map(|line| {
                let deleted = line.strip_prefix(b"Binary files ");
                let deleted = deleted.and_then(|l| l.strip_suffix(b" and /dev/null differ"));
                let deleted = deleted.map(unquoted);
                let renamed = line.strip_prefix(b"rename from ").map(unquoted);
                deleted
                    .and_then(|path| path.strip_prefix(b"a/").map(<[u8]>::to_vec))
                    .or(renamed)
            });
            if let Some(path) = gone {
                fs::remove_file(before.join(std::str::from_utf8(&path)?))?;
            }
        }
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let file = self.dir.join("text.patch");
        fs::write(&file, &kept)?;
        let out = Command::new("git")
            .env("GIT_CEILING_DIRECTORIES", self.dir)
            .current_dir(before)
            .args(["apply", "--whitespace=nowarn", "--numstat", "--apply", "-z"])
            .arg(&file)
            .output()?;
        if !out.status.success() {
            let error = String::from_utf8_lossy(&out.stderr).into_owned();
            return Ok(vec![format!("git apply: {error}")]);
        }
        let mut wrong = Vec::new();
        let mut count = 0;
        for record in out.stdout.split(|b| *b == 0).filter(|r| !r.is_empty()) {
            let path = record.rsplit(|b| *b == b'\t').next().unwrap_or_default();
            let path = Path::new(std::str::from_utf8(path)?);
            let read = |root: &Path| match fs::read_link(root.join(path)) {
                Ok(link) => Some(link.into_os_string().into_encoded_bytes()),
                Err(_) => fs::read(root.join(path)).ok(),
            };
            count += 1;
            if read(before) != read(after) {
                wrong.push(format!("the patch does not give {}", path.display()));
            }
        }
        if count == 0 {
            wrong.push("git found nothing in the patch".to_owned());
        }
        Ok(wrong)
    }
}

/// A path as git writes it.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let inner = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\""));
    let Some(inner) = inner else {
        return text.to_vec();
    };
    let mut out = Vec::new();
    let mut rest = inner;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        let octal = octal.and_then(|d| u8::from_str_radix(d, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = &after[3..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
