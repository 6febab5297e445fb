//! Why a change is so large: the usual suspects, a sentence each.

use std::sync::Arc;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use hexz_resolve::Class;
use hexz_resolve::report::{Change, ChangeKind, Header, Summary};

use crate::measure::written_bytes;
use crate::places::Places;
use crate::text::size;

/// A sentence is written from this share of the changed bytes on, in percent.
const SHARE: u64 = 10;
/// No sentence is written about less.
const LEAST: u64 = 64 << 10;

/// Files that are often why.
struct Suspect {
    sentence: &'static str,
    globs: &'static [&'static str],
    /// Only those that were there before.
    in_place: bool,
}

const FILES: &[Suspect] = &[
    Suspect {
        sentence: "are a swap file or hibernation image, rewritten as the guest ran",
        globs: &[
            "/pagefile.sys",
            "/swapfile.sys",
            "/hiberfil.sys",
            "/swapfile",
            "/swap.img",
            "/var/swap*",
        ],
        in_place: false,
    },
    Suspect {
        sentence: "are caches of the package manager: `apt clean` or its like would leave them out",
        globs: &[
            "/var/cache/apt/**",
            "/var/lib/apt/lists/**",
            "/var/cache/{dnf,yum,zypp}/**",
            "/var/cache/pacman/pkg/**",
            "/var/cache/apk/**",
            "/{root,home/*}/.cache/**",
            "/Windows/SoftwareDistribution/**",
        ],
        in_place: false,
    },
    Suspect {
        sentence: "are the journal of journald, whose files are made in whole pieces and filled later",
        globs: &["/var/log/journal/**", "/run/log/journal/**"],
        in_place: false,
    },
    Suspect {
        sentence: "are layers and volumes of containers",
        globs: &[
            "/var/lib/{docker,containerd,containers,kubelet,snapd}/**",
            "/home/*/.local/share/{docker,containers}/**",
        ],
        in_place: false,
    },
    Suspect {
        sentence: "are databases that were rewritten in place",
        globs: &[
            "/var/lib/{mysql,postgresql,mongodb,redis,influxdb,elasticsearch}/**",
            "/**/*.{sqlite,sqlite3,db,ibd,mdb,edb}",
        ],
        in_place: true,
    },
    Suspect {
        sentence: "are logs",
        globs: &["/var/log/**", "/Windows/System32/winevt/Logs/**"],
        in_place: false,
    },
];

fn set(globs: &[&str]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let mut glob = GlobBuilder::new(glob);
        if let Ok(glob) = glob.literal_separator(true).case_insensitive(true).build() {
            set.add(glob);
        }
    }
    set.build().unwrap_or_default()
}

/// What the usual suspects sum up to.
#[derive(Clone, Debug)]
pub(super) struct Suspects {
    sets: Arc<[GlobSet]>,
    sums: Vec<u64>,
}

impl Suspects {
    pub(super) fn new() -> Self {
        Self {
            sets: FILES.iter().map(|suspect| set(suspect.globs)).collect(),
            sums: vec![0; FILES.len()],
        }
    }

    /// The same suspects, of whom nothing is known yet.
    pub(super) fn anew(&self) -> Self {
        Self {
            sets: Arc::clone(&self.sets),
            sums: vec![0; FILES.len()],
        }
    }

    pub(super) fn add(&mut self, change: &Change, places: &Places) {
        let bytes = written_bytes(change);
        if bytes == 0 {
            return;
        }
        let path = places.guest(change.volume, &change.path);
        let candidate = Candidate::from_bytes(&*path);
        let mut all = FILES.iter().zip(&*self.sets).zip(&mut self.sums);
        let suspect = all.find(|((suspect, set), _)| {
            let applies = !suspect.in_place || change.change == ChangeKind::Modified;
            applies && set.is_match_candidate(&candidate)
        });
        if let Some((_, sum)) = suspect {
            *sum = sum.saturating_add(bytes);
        }
    }

    pub(super) fn append(&mut self, other: &Self) {
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// A sentence for each that is over some share of the changed bytes.
    pub(super) fn sentences(&self, header: &Header, summary: &Summary) -> Vec<String> {
        let all = summary.bytes;
        let mut found: Vec<(u64, String)> = Vec::new();
        let mut say = |bytes: u64, sentence: &str| {
            if bytes >= LEAST && bytes.saturating_mul(100) >= all.saturating_mul(SHARE) {
                let percent = u128::from(bytes) * 100 / u128::from(all.max(1));
                found.push((bytes, format!("{} ({percent} %) {sentence}", size(bytes))));
            }
        };
        let class = |class| {
            let sums = summary.classes.get(&class);
            sums.map_or(0, |sums| sums.bytes - sums.identical)
        };
        say(
            class(Class::Free),
            "lie in space that is free now: files that came and went, or were deleted",
        );
        say(class(Class::Swap), "are swap, rewritten as the guest ran");
        say(class(Class::Journal), "are the journal of the filesystem");
        say(
            summary.identical,
            "were rewritten with what they held: no change to what the guest sees",
        );
        let rounded = summary.bytes - summary.changed.min(summary.bytes);
        let rounded = rounded.saturating_sub(summary.identical);
        let unit = u64::from(header.block_size);
        if unit > 4096 {
            let text = format!(
                "are rounding: the changes were recorded in units of {}, and {} differ",
                size(unit),
                size(summary.changed)
            );
            say(rounded, &text);
        }
        for (suspect, sum) in FILES.iter().zip(&self.sums) {
            say(*sum, suspect.sentence);
        }
        found.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        found.into_iter().map(|(_, sentence)| sentence).collect()
    }
}
