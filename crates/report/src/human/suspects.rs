//! Why a change is so large: the usual suspects, a sentence each.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use hexz_resolve::Class;
use hexz_resolve::report::{ChangeKind, Report};

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

/// A sentence for each that is over some share of the changed bytes.
pub(super) fn sentences(report: &Report, places: &Places) -> Vec<String> {
    let all = report.summary.bytes;
    let mut found: Vec<(u64, String)> = Vec::new();
    let mut say = |bytes: u64, sentence: &str| {
        if bytes >= LEAST && bytes.saturating_mul(100) >= all.saturating_mul(SHARE) {
            let percent = u128::from(bytes) * 100 / u128::from(all.max(1));
            found.push((bytes, format!("{} ({percent} %) {sentence}", size(bytes))));
        }
    };
    let class = |class| {
        let sums = report.summary.classes.get(&class);
        sums.map_or(0, |sums| sums.bytes - sums.identical)
    };
    say(
        class(Class::Free),
        "lie in space that is free now: files that came and went, or were deleted",
    );
    say(class(Class::Swap), "are swap, rewritten as the guest ran");
    say(class(Class::Journal), "are the journal of the filesystem");
    say(
        report.summary.identical,
        "were rewritten with what they held: no change to what the guest sees",
    );
    let rounded = report.summary.bytes - report.summary.changed.min(report.summary.bytes);
    let rounded = rounded.saturating_sub(report.summary.identical);
    let unit = u64::from(report.header.block_size);
    if unit > 4096 {
        let text = format!(
            "are rounding: the changes were recorded in units of {}, and {} differ",
            size(unit),
            size(report.summary.changed)
        );
        say(rounded, &text);
    }
    let sets: Vec<GlobSet> = FILES.iter().map(|suspect| set(suspect.globs)).collect();
    let mut sums = vec![0u64; FILES.len()];
    for change in &report.changes {
        let bytes = written_bytes(change);
        if bytes == 0 {
            continue;
        }
        let path = places.guest(change.volume, &change.path);
        let candidate = Candidate::from_bytes(&*path);
        let mut all = FILES.iter().zip(&sets).zip(&mut sums);
        let suspect = all.find(|((suspect, set), _)| {
            let applies = !suspect.in_place || change.change == ChangeKind::Modified;
            applies && set.is_match_candidate(&candidate)
        });
        if let Some((_, sum)) = suspect {
            *sum = sum.saturating_add(bytes);
        }
    }
    for (suspect, sum) in FILES.iter().zip(sums) {
        say(sum, suspect.sentence);
    }
    found.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    found.into_iter().map(|(_, sentence)| sentence).collect()
}
