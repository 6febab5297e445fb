//! What every filesystem plugin must hold to, whatever its format.
//!
//! | check | says |
//! |---|---|
//! | `threads` | one thread and several give the same results in the same order |
//! | `subset` | what is said of some bytes or files does not depend on what else was asked for |
//! | `foreign` | bytes past the end and files that do not exist give nothing, and no error |
//! | `shared` | sharing units between two views changes nothing, for equal and for differing views |
//! | `agreement` | links, entries and attributes tell of the same files; claims and extents of the same data |
//! | `content` | the content of a file is what lies in its extents, as long as the file says |
//! | `fault` | where a read fails, the result is partial and says so, and what remains is right |
//! | `truncated` | the same for an image that ends early |
//! | `memory` | a diff whose lists find no room in memory is the same |
//! | `damage` | whatever the metadata say: no panic, no hang, no memory without bound |
//!
//! Results of the whole, sound image are what all else is held against. They are the plugin's
//! own: whether they are *right* is for the oracles of the format's own tests.

mod agreement;
mod contents;
mod damage;
mod faults;
mod memory;
mod options;
mod owners;
mod passes;
mod samples;
mod setup;
mod sound;
mod views;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hexz_resolve::{FilesystemPlugin, ReadAt};

pub use options::Options;

use options::Failures;
use passes::Passes;
use setup::Setup;

/// Runs every check of `plugin` on a sound `image`.
///
/// # Panics
/// With all that does not hold.
pub fn check(plugin: &Arc<dyn FilesystemPlugin>, image: &Arc<dyn ReadAt>, options: &Options) {
    let failures = failures(plugin, image, options);
    assert!(
        failures.is_empty(),
        "{} does not conform (seed {}):\n  {}",
        plugin.descriptor().id,
        options.seed,
        failures.join("\n  ")
    );
}

/// As [`check`], but gives back what does not hold, one line each.
#[must_use]
pub fn failures(
    plugin: &Arc<dyn FilesystemPlugin>,
    image: &Arc<dyn ReadAt>,
    options: &Options,
) -> Vec<String> {
    let setup = Setup::new(plugin, options);
    let sound = match catch_unwind(AssertUnwindSafe(|| Passes::whole(&setup, image, None))) {
        Ok(Ok(sound)) => sound,
        Ok(Err(error)) => return vec![format!("sound: open: {}", error.chain())],
        Err(panic) => return vec![format!("sound: panicked: {}", damage::payload(&*panic))],
    };
    let mut failures = sound.check_sound(image.len());
    let mut run = |name: &str, check: &dyn Fn(&mut Failures)| {
        let mut found = Vec::new();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&mut found))) {
            found.push(format!("panicked: {}", damage::payload(&*panic)));
        }
        failures.extend(found.into_iter().take(5).map(|f| format!("{name}: {f}")));
    };
    run("threads", &|out| sound::threads(&setup, image, &sound, out));
    run("subset", &|out| sound::subsets(&setup, image, &sound, out));
    run("foreign", &|out| sound::foreign(&setup, image, out));
    run("shared", &|out| views::check(&setup, image, &sound, out));
    run("agreement", &|out| agreement::check(options, &sound, out));
    run("content", &|out| {
        contents::check(&setup, image, &sound, out);
    });
    run("fault", &|out| faults::faults(&setup, image, &sound, out));
    run("truncated", &|out| {
        faults::truncations(&setup, image, &sound, out);
    });
    run("memory", &|out| memory::check(&setup, image, &sound, out));
    run("damage", &|out| damage::check(&setup, image, &sound, out));
    failures
}
