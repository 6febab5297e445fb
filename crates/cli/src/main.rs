//! The `hexz` binary.

fn main() {}
