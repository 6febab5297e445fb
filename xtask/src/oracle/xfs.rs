//! XFS.

use super::{Mix, Subject};

/// The subject.
pub(crate) struct Xfs;

impl Subject for Xfs {
    fn name(&self) -> &'static str {
        "xfs"
    }

    fn mixes(&self) -> &'static [Mix] {
        &MIXES
    }

    /// The log is replayed onto the scratch copy, so it must be writable.
    fn look(&self) -> &'static str {
        "rw,noatime,nouuid"
    }

    fn ignores(&self, _path: &[u8]) -> bool {
        false
    }
}

const fn mix(name: &'static str, mebibytes: u64, format: &'static [&'static str]) -> Mix {
    Mix {
        name,
        filesystem: "xfs",
        format,
        mount: "rw,nouuid",
        start: 0,
        mebibytes,
    }
}

/// Small filesystems need `--unsupported`; their logs are small, and wrap.
const MIXES: [Mix; 10] = [
    mix(
        "xfs-4k-plain",
        96,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-m",
            "reflink=0,rmapbt=0,bigtime=0,finobt=0,inobtcount=0",
            "-i",
            "sparse=0",
        ],
    ),
    mix(
        "xfs-4k-reflink",
        96,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-m",
            "reflink=1,rmapbt=0",
        ],
    ),
    mix(
        "xfs-4k-rmap",
        96,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-m",
            "reflink=1,rmapbt=1",
            "-i",
            "nrext64=1",
        ],
    ),
    mix(
        "xfs-1k-rmap",
        64,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-b",
            "size=1024",
            "-m",
            "reflink=1,rmapbt=1",
        ],
    ),
    mix(
        "xfs-1k-dir4k",
        64,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-b",
            "size=1024",
            "-n",
            "size=4096",
            "-m",
            "reflink=1,rmapbt=0",
            "-i",
            "size=512",
        ],
    ),
    mix(
        "xfs-2k-dir64k",
        96,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-b",
            "size=2048",
            "-n",
            "size=65536",
            "-m",
            "reflink=1,rmapbt=1",
            "-i",
            "size=1024",
        ],
    ),
    mix(
        "xfs-sector-4k",
        96,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-s",
            "size=4096",
            "-i",
            "size=2048",
            "-m",
            "reflink=1,rmapbt=1",
        ],
    ),
    mix(
        "xfs-ag8-sunit",
        160,
        &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-d",
            "agcount=8,su=64k,sw=2",
            "-l",
            "su=64k",
            "-m",
            "reflink=1,rmapbt=1",
        ],
    ),
    // The bits of parent pointers and exchange-range, which older tools can't set.
    mix(
        "xfs-parent",
        96,
        &[
            "sh",
            "-c",
            "mkfs.xfs -q --unsupported -m reflink=1,rmapbt=1 -i nrext64=1 \"$0\" && \
             bits=$(xfs_db -r -c 'sb 0' -c 'print features_incompat' \"$0\" | sed 's/.*= //') && \
             xfs_db -x -c 'sb 0' -c \"write -d features_incompat $(printf '0x%x' $((bits | 0xC0)))\" \
             \"$0\"",
        ],
    ),
    Mix {
        name: "xfs-sector-63",
        filesystem: "xfs",
        format: &[
            "mkfs.xfs",
            "-q",
            "--unsupported",
            "-m",
            "reflink=1,rmapbt=0",
        ],
        mount: "rw,nouuid",
        start: 63,
        mebibytes: 96,
    },
];
