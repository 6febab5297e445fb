//! A toy filesystem, registered from outside crates/
