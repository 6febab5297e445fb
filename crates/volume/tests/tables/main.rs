//! Partition tables built byte by byte from their specifications.

mod build;
mod detection;
mod gpt;
mod hostile;
mod layout;
mod lvm2;
mod mbr;
mod md;
