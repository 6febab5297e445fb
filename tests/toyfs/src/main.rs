//! `hexz` with one more filesystem.

fn main() {}
