//! ext2, ext3 and ext4.

use super::{Mix, Subject};

/// The subject.
pub(crate) struct Ext4;

impl Subject for Ext4 {
    fn name(&self) -> &'static str {
        "ext4"
    }

    fn mixes(&self) -> &'static [Mix] {
        &MIXES
    }

    fn look(&self) -> &'static str {
        "ro"
    }

    fn ignores(&self, _path: &[u8]) -> bool {
        false
    }
}

const fn mix(
    name: &'static str,
    filesystem: &'static str,
    format: &'static [&'static str],
    mount: &'static str,
) -> Mix {
    Mix {
        name,
        filesystem,
        format,
        mount,
        start: 0,
        mebibytes: 64,
    }
}

/// Journals are small, so that they wrap.
const MIXES: [Mix; 15] = [
    mix(
        "ext2-1k",
        "ext2",
        &[
            "mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024", "-I", "128",
        ],
        "rw,user_xattr",
    ),
    mix(
        "ext2-4k",
        "ext2",
        &["mke2fs", "-q", "-F", "-t", "ext2", "-b", "4096"],
        "rw,user_xattr",
    ),
    mix(
        "ext3-1k",
        "ext3",
        &[
            "mke2fs", "-q", "-F", "-t", "ext3", "-b", "1024", "-I", "128", "-J", "size=1",
        ],
        "rw,data=ordered",
    ),
    mix(
        "ext3-4k-data",
        "ext3",
        &[
            "mke2fs", "-q", "-F", "-t", "ext3", "-b", "4096", "-J", "size=4",
        ],
        "rw,data=journal",
    ),
    mix(
        "ext4-1k",
        "ext4",
        &[
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-J", "size=2",
        ],
        "rw",
    ),
    mix(
        "ext4-2k-32bit",
        "ext4",
        &[
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", "2048", "-O", "^64bit", "-J", "size=2",
        ],
        "rw",
    ),
    mix(
        "ext4-4k",
        "ext4",
        &[
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4",
        ],
        "rw",
    ),
    mix(
        "ext4-4k-nocsum",
        "ext4",
        &[
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-O",
            "^metadata_csum,uninit_bg",
            "-J",
            "size=4",
        ],
        "rw,journal_checksum",
    ),
    mix(
        "ext4-1k-data",
        "ext4",
        &[
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-J", "size=4",
        ],
        "rw,data=journal",
    ),
    mix(
        "ext4-writeback-async",
        "ext4",
        &[
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-O",
            "^metadata_csum",
            "-J",
            "size=4",
        ],
        "rw,data=writeback,journal_async_commit",
    ),
    mix(
        "ext4-inline-eainode",
        "ext4",
        &[
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-I",
            "512",
            "-O",
            "inline_data,ea_inode",
            "-J",
            "size=4",
        ],
        "rw",
    ),
    mix(
        "ext4-bigalloc",
        "ext4",
        &[
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-C",
            "16384",
            "-O",
            "bigalloc,^resize_inode",
            "-J",
            "size=4",
        ],
        "rw",
    ),
    mix(
        "ext4-metabg-orphan",
        "ext4",
        &[
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "meta_bg,^resize_inode,sparse_super2,orphan_file",
            "-J",
            "size=2",
        ],
        "rw",
    ),
    mix(
        "ext4-nojournal-flat",
        "ext4",
        &[
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "^has_journal,^flex_bg,^dir_index",
        ],
        "rw",
    ),
    Mix {
        name: "ext4-sector-63",
        filesystem: "ext4",
        format: &[
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4",
        ],
        mount: "rw",
        start: 63,
        mebibytes: 64,
    },
];
