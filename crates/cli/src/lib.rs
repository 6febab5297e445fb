//! The hexz command
