//! A file that is listed.

use hexz_resolve::Attributes;

/// A file that is listed.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// The volume it is on.
    pub volume: String,
    /// Its path there.
    pub path: Vec<u8>,
    /// What is shown of its path: its name in the directory that was asked for.
    pub shown: Vec<u8>,
    /// Whether its times are of an unknown zone.
    pub local_times: bool,
    /// What is known of it; `None` when its entry names no file that is in use.
    pub attributes: Option<Attributes>,
}
