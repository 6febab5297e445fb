//! Trees of hostile names, links and kinds, taken out into a folder and into an archive.
#![no_main]

#[path = "../../crates/extract/tests/fake/exercise.rs"]
mod exercise;
#[path = "../../crates/extract/tests/fake/mod.rs"]
mod fake;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| exercise::exercise(data));
