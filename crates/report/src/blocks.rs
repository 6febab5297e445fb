//! The three original modes, to the letter.

use std::io::{Result, Write};

use crate::text::original_size;

/// What the original modes print: an overlay by name, and its distinct changed blocks.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The overlay, as the user named it.
    pub overlay: &'a str,
    /// Number of distinct blocks.
    pub blocks: u64,
}

impl Original<'_> {
    fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(4096)
    }
}

/// `hexz diff OVERLAY`.
///
/// # Errors
/// Of `out`.
pub fn write_summary(out: &mut dyn Write, original: &Original<'_>) -> Result<()> {
    writeln!(out, "Overlay: {:?}", original.overlay)?;
    writeln!(out, "Modified Blocks: {}", original.blocks)?;
    writeln!(out, "Estimated Size: {}", original_size(original.bytes()))
}

/// `hexz diff OVERLAY --blocks`.
///
/// # Errors
/// Of `out`.
pub fn write_blocks(out: &mut dyn Write, original: &Original<'_>) -> Result<()> {
    writeln!(out, "--- Overlay Statistics ---")?;
    writeln!(out, "Modified Blocks: {}", original.blocks)?;
    writeln!(
        out,
        "Total Changed Data: {}",
        original_size(original.bytes())
    )
}

/// `hexz diff OVERLAY --files` without a base.
///
/// # Errors
/// Of `out`.
pub fn write_files(out: &mut dyn Write, blocks: impl Iterator<Item = u64>) -> Result<()> {
    writeln!(out, "--- Modified Files (Heuristic) ---")?;
    writeln!(out, "No base image: give --base IMAGE to resolve files.")?;
    writeln!(out, "Modified Block Indices:")?;
    for block in blocks {
        writeln!(out, "  Block {block}")?;
    }
    Ok(())
}
