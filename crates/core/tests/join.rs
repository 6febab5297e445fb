//! The engine's changes against a plain comparison of whole trees, on random trees.

mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hexz_resolve::engine::{Options, diff, owners};
use hexz_resolve::report::{Change, ChangeKind, Report};
use hexz_resolve::{
    ByteRange, ChangeSet, FileKind, JournalMode, Limits, Loaded, Precision, RangeSet, ReadAt,
    Registry, Silent,
};
use hexz_testkit::CountedScratch;
use model::places::{self, PlacesPlugin};
use model::{BLOCKS, DISK, INODES, ModelPlugin, Node, ROOT, Tree};
use proptest::prelude::*;

/// A step of a random life; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Create(u8, u8, u8, u8),
    Write(u8, u8),
    MoveBlock(u8),
    Chmod(u8, u8),
    Touch(u8),
    Unlink(u8),
    Rename(u8, u8, u8),
    Exchange(u8, u8),
    Link(u8, u8, u8),
    ReplaceByCopy(u8),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let n = any::<u8>;
    prop_oneof![
        3 => (n(), n(), n(), n()).prop_map(|(a, b, c, d)| Create(a, b, c, d)),
        2 => (n(), n()).prop_map(|(a, b)| Write(a, b)),
        1 => n().prop_map(MoveBlock),
        1 => (n(), n()).prop_map(|(a, b)| Chmod(a, b)),
        1 => n().prop_map(Touch),
        2 => n().prop_map(Unlink),
        3 => (n(), n(), n()).prop_map(|(a, b, c)| Rename(a, b, c)),
        1 => (n(), n()).prop_map(|(a, b)| Exchange(a, b)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Link(a, b, c)),
        1 => n().prop_map(ReplaceByCopy),
    ]
}

/// What makes a file the same file in both trees.
#[derive(Clone, Copy, PartialEq)]
enum Identity {
    /// The number and generation of its inode.
    Inode,
    /// Its block and when it was made; there are no hard links.
    Place,
}

struct Life {
    identity: Identity,
    tree: Tree,
    generation: u64,
    clock: i64,
}

/// A name in a directory.
type Place = (u64, Vec<u8>);

impl Seen {
    /// Whether another file, or one of another kind, stands where this one stood.
    fn is_replaced_by(&self, other: &Self) -> bool {
        let other_file = self.id.zip(other.id).is_some_and(|(then, now)| then != now);
        other_file || self.node.kind != other.node.kind
    }
}

impl Life {
    fn new(identity: Identity) -> Self {
        let root = node(FileKind::Directory, 1, 0, ROOT, Vec::new());
        Self {
            identity,
            tree: Tree {
                nodes: [(ROOT, root)].into(),
            },
            generation: 1,
            clock: 1,
        }
    }

    fn places(&self) -> Vec<Place> {
        let nodes = self.tree.nodes.iter();
        nodes
            .flat_map(|(n, node)| node.names.keys().map(move |k| (*n, k.clone())))
            .collect()
    }

    fn place(&self, pick: u8) -> Option<(Place, u64)> {
        let places = self.places();
        let place = places.get(usize::from(pick) % places.len().max(1))?.clone();
        let child = self.tree.nodes[&place.0].names[&place.1];
        Some((place, child))
    }

    fn directory(&self, pick: u8) -> u64 {
        let all: Vec<u64> = self
            .tree
            .nodes
            .iter()
            .filter(|(_, n)| n.kind == FileKind::Directory)
            .map(|(k, _)| *k)
            .collect();
        all[usize::from(pick) % all.len()]
    }

    fn is_below(&self, directory: u64, top: u64) -> bool {
        directory == top
            || self.tree.nodes[&top].names.values().any(|c| {
                self.tree.nodes[c].kind == FileKind::Directory && self.is_below(directory, *c)
            })
    }

    fn free_block(&self) -> Option<u64> {
        let used: BTreeSet<u64> = self.tree.nodes.values().map(|n| n.block).collect();
        (0..BLOCKS).find(|b| !used.contains(b))
    }

    fn names(&mut self, directory: u64) -> Option<&mut BTreeMap<Vec<u8>, u64>> {
        self.clock += 1;
        let node = self.tree.nodes.get_mut(&directory)?;
        node.mtime = self.clock;
        Some(&mut node.names)
    }

    fn make(&mut self, kind: FileKind, data: Vec<u8>) -> Option<u64> {
        let number = (ROOT + 1..INODES).find(|n| !self.tree.nodes.contains_key(n))?;
        let block = self.free_block()?;
        self.generation += 1;
        self.clock += 1;
        let node = node(kind, self.generation, self.clock, block, data);
        self.tree.nodes.insert(number, node);
        Some(number)
    }

    /// Removes the name, and what is no longer named with it.
    fn unlink(&mut self, (parent, name): &Place) {
        let Some(child) = self.names(*parent).and_then(|names| names.remove(name)) else {
            return;
        };
        if self.tree.links_to(child) == 0
            && let Some(node) = self.tree.nodes.get(&child).cloned()
        {
            for below in node.names.keys() {
                self.unlink(&(child, below.clone()));
            }
            self.tree.nodes.remove(&child);
        }
    }

    fn step(&mut self, step: &Step) -> Option<()> {
        let named = |n: u8| vec![b'a' + n % 6];
        match *step {
            Step::Create(at, name, kind, byte) => {
                let parent = self.directory(at);
                let kinds = [
                    FileKind::File,
                    FileKind::File,
                    FileKind::Directory,
                    FileKind::Directory,
                    FileKind::Symlink,
                    FileKind::Fifo,
                ];
                let kind = kinds[usize::from(kind) % kinds.len()];
                if self.tree.nodes[&parent].names.contains_key(&named(name)) {
                    return None;
                }
                let data = match kind {
                    FileKind::File => vec![byte; usize::from(byte)],
                    FileKind::Symlink => vec![byte, 1],
                    _ => Vec::new(),
                };
                let child = self.make(kind, data)?;
                self.names(parent)?.insert(named(name), child);
            }
            Step::Write(at, byte) => {
                let (_, child) = self.place(at)?;
                self.clock += 1;
                let now = self.clock;
                let node = self.tree.nodes.get_mut(&child)?;
                if node.kind == FileKind::File {
                    node.data.push(byte);
                    node.data.truncate(500);
                    node.mtime = now;
                }
            }
            Step::MoveBlock(at) => {
                let (_, child) = self.place(at)?;
                let block = self.free_block()?;
                self.tree.nodes.get_mut(&child)?.block = block;
            }
            Step::Chmod(at, mode) => {
                let (_, child) = self.place(at)?;
                self.tree.nodes.get_mut(&child)?.mode = mode.into();
            }
            Step::Touch(at) => {
                let (_, child) = self.place(at)?;
                self.clock += 1;
                self.tree.nodes.get_mut(&child)?.mtime = self.clock;
            }
            Step::Unlink(at) => {
                let (place, _) = self.place(at)?;
                self.unlink(&place);
            }
            Step::Rename(at, to, name) => {
                let (place, child) = self.place(at)?;
                let parent = self.directory(to);
                let target = (parent, named(name));
                if place == target || self.is_directory(child) && self.is_below(parent, child) {
                    return None;
                }
                if let Some(there) = self.tree.nodes[&parent].names.get(&target.1).copied() {
                    // What is replaced must not hold what moves.
                    if there == child || self.is_directory(there) {
                        return None;
                    }
                    self.unlink(&target);
                }
                self.names(place.0)?.remove(&place.1);
                self.names(parent)?.insert(target.1, child);
            }
            Step::Exchange(one, two) => {
                let ((p, a), (q, b)) = (self.place(one)?, self.place(two)?);
                let inside =
                    |me: &Self, at: u64, top: u64| me.is_directory(top) && me.is_below(at, top);
                if p == q || inside(self, q.0, a) || inside(self, p.0, b) {
                    return None;
                }
                self.names(p.0)?.insert(p.1, b);
                self.names(q.0)?.insert(q.1, a);
            }
            Step::Link(at, to, name) => {
                let (_, child) = self.place(at)?;
                let parent = self.directory(to);
                if self.identity == Identity::Place
                    || self.is_directory(child)
                    || self.tree.nodes[&parent].names.contains_key(&named(name))
                {
                    return None;
                }
                self.names(parent)?.insert(named(name), child);
            }
            Step::ReplaceByCopy(at) => {
                let (place, child) = self.place(at)?;
                let node = self.tree.nodes[&child].clone();
                if node.kind != FileKind::File {
                    return None;
                }
                let copy = self.make(FileKind::File, node.data)?;
                self.unlink(&place);
                self.names(place.0)?.insert(place.1, copy);
            }
        }
        Some(())
    }

    fn is_directory(&self, number: u64) -> bool {
        self.tree.nodes[&number].kind == FileKind::Directory
    }
}

fn node(kind: FileKind, generation: u64, mtime: i64, block: u64, data: Vec<u8>) -> Node {
    Node {
        generation,
        kind,
        mode: 0o644,
        mtime,
        block,
        data,
        names: BTreeMap::new(),
    }
}

/// A path as the plain comparison sees it.
#[derive(Clone)]
struct Seen {
    number: u64,
    /// What makes it the same file as another; `None` where only its path does.
    id: Option<(u64, u64)>,
    nlink: u64,
    node: Node,
}

fn walk(tree: &Tree, identity: Identity) -> BTreeMap<Vec<u8>, Seen> {
    let mut out = BTreeMap::new();
    let mut stack = vec![(b"/".to_vec(), ROOT)];
    while let Some((path, number)) = stack.pop() {
        let node = tree.nodes[&number].clone();
        for (name, child) in &node.names {
            let above = if path == b"/" { &[][..] } else { &path };
            stack.push(([above, b"/", name].concat(), *child));
        }
        let id = match identity {
            Identity::Place => places::lineage(&node),
            Identity::Inode => {
                // The kernel tells no generation of a symlink or a fifo.
                let told = matches!(node.kind, FileKind::File | FileKind::Directory);
                Some((number, if told { node.generation } else { 0 }))
            }
        };
        out.insert(
            path,
            Seen {
                number,
                id,
                nlink: tree.links_to(number),
                node,
            },
        );
    }
    out
}

/// `(path, change, from, content changed, attributes, replaced)`
type Truth = (
    Vec<u8>,
    ChangeKind,
    Option<Vec<u8>>,
    bool,
    Vec<&'static str>,
    bool,
);

/// Compares two trees path by path, knowing nothing of blocks.
fn plain_comparison(base: &Tree, merged: &Tree, identity: Identity) -> Vec<Truth> {
    let (b, a) = (walk(base, identity), walk(merged, identity));
    let mut out = Vec::new();
    let mut renamed_from = BTreeSet::new();
    let mut renames: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let attrs = |x: &Seen, y: &Seen| {
        let mut names = Vec::new();
        if x.node.mode != y.node.mode {
            names.push("mode");
        }
        if x.node.mtime != y.node.mtime {
            names.push("mtime");
        }
        let directories = x.node.kind == FileKind::Directory && y.node.kind == x.node.kind;
        if !directories && x.nlink != y.nlink {
            names.push("nlink");
        }
        names
    };
    let content = |x: &Seen, y: &Seen| {
        x.node.data != y.node.data || !x.node.names.keys().eq(y.node.names.keys())
    };
    let split = |p: &[u8]| {
        let at = p.iter().rposition(|c| *c == b'/').unwrap();
        (p[..at].to_vec(), p[at..].to_vec())
    };
    for (path, y) in &a {
        if let Some(x) = b.get(path) {
            let (differs, names, replaced) = (content(x, y), attrs(x, y), x.is_replaced_by(y));
            if x.node.kind != y.node.kind {
                out.push((path.clone(), ChangeKind::Type, None, true, names, true));
            } else if differs || replaced || !names.is_empty() {
                let kind = if differs {
                    ChangeKind::Modified
                } else {
                    ChangeKind::Metadata
                };
                if told.insert((x.number, y.number)) {
                    out.push((path.clone(), kind, None, differs, names, replaced));
                }
            }
            continue;
        }
        let gone = |q: &Vec<u8>| !a.contains_key(q) && !renamed_from.contains(q);
        let left = b
            .iter()
            .find(|(q, x)| x.id == y.id && x.id.is_some() && x.node.kind == y.node.kind && gone(q));
        // What has no identity is known by its name in its directory, wherever that went.
        let left = left.or_else(|| {
            let (directory, name) = split(path);
            let (stood, _) = renames.iter().find(|(_, to)| **to == directory)?;
            let (q, x) = b.get_key_value(&[stood.as_slice(), &name].concat())?;
            let unknown = x.id.is_none() || y.id.is_none();
            (unknown && !x.is_replaced_by(y) && gone(q)).then_some((q, x))
        });
        let Some((from, x)) = left else {
            out.push((
                path.clone(),
                ChangeKind::Added,
                None,
                true,
                Vec::new(),
                false,
            ));
            continue;
        };
        renamed_from.insert(from.clone());
        if y.node.kind == FileKind::Directory {
            renames.insert(from.clone(), path.clone());
        }
        let (differs, names) = (content(x, y), attrs(x, y));
        let ((fd, fname), (td, tname)) = (split(from), split(path));
        if fname == tname && fd != td && renames.get(&fd) == Some(&td) {
            let kind = if differs {
                ChangeKind::Modified
            } else {
                ChangeKind::Metadata
            };
            if (differs || !names.is_empty()) && told.insert((x.number, y.number)) {
                out.push((path.clone(), kind, None, differs, names, false));
            }
        } else {
            out.push((
                path.clone(),
                ChangeKind::Renamed,
                Some(from.clone()),
                differs,
                names,
                false,
            ));
        }
    }
    for path in b
        .keys()
        .filter(|p| !a.contains_key(*p) && !renamed_from.contains(*p))
    {
        out.push((
            path.clone(),
            ChangeKind::Deleted,
            None,
            true,
            Vec::new(),
            false,
        ));
    }
    out.sort();
    out
}

fn found(change: &Change) -> Truth {
    (
        change.path.clone(),
        change.change,
        change.from.clone(),
        change.content_changed,
        change.attributes.clone(),
        change.replaced,
    )
}

fn registry(identity: Identity) -> Registry {
    let mut builder = Registry::builder();
    match identity {
        Identity::Inode => builder.filesystem(ModelPlugin).unwrap(),
        Identity::Place => builder.filesystem(PlacesPlugin).unwrap(),
    };
    builder.build()
}

fn options(registry: &Registry, threads: usize) -> Options<'_> {
    Options {
        registry,
        limits: Limits::default(),
        journal: JournalMode::Replay,
        threads,
        volume: None,
        detection: Default::default(),
        disks: hexz_resolve::Disks::default(),
        memo: None,
        progress: &Silent,
        scratch: None,
        cancel: None,
    }
}

fn run(before: &[u8], after: &[u8], identity: Identity, threads: usize) -> Report {
    let registry = registry(identity);
    run_with(before, after, &options(&registry, threads))
}

fn run_with(before: &[u8], after: &[u8], options: &Options<'_>) -> Report {
    let block = 4096;
    let ranges: RangeSet = (0..before.len() as u64 / block)
        .map(|n| ByteRange::at(n * block, block).unwrap())
        .filter(|r| {
            let range = r.start() as usize..r.end() as usize;
            // Every seventh block is listed though nothing in it changed.
            before[range.clone()] != after[range] || r.start() / block % 7 == 0
        })
        .collect();
    let loaded = Loaded {
        changes: ChangeSet {
            ranges,
            block_size: 4096,
            candidates: false,
            precision: Precision::Over,
            diagnostics: vec![],
        },
        base: Some(Arc::new(before.to_vec())),
        merged: Some(Arc::new(after.to_vec())),
        overlay_name: None,
        base_name: None,
    };
    diff(&loaded, options).unwrap()
}

fn live(steps: &[Step], mut life: Life) -> Life {
    for step in steps {
        life.step(step);
    }
    life
}

/// Compares what the engine says of a life with the plain comparison of the trees.
fn hold(identity: Identity, youth: &[Step], change: &[Step]) -> Result<(), TestCaseError> {
    let life = live(youth, Life::new(identity));
    let base = life.tree.clone();
    let merged = live(change, life).tree;
    let write = |tree: &Tree, before: &[u8]| match identity {
        Identity::Inode => tree.write(before),
        Identity::Place => places::write(tree, before),
    };
    let size = match identity {
        Identity::Inode => DISK,
        Identity::Place => places::DISK,
    };
    let before = write(&base, &vec![0; size as usize]);
    let after = write(&merged, &before);
    let report = run(&before, &after, identity, 1);
    let registry = registry(identity);
    let mut short = options(&registry, 1);
    short.limits.memory = 0;
    short.scratch = Some(Arc::new(CountedScratch::default()));
    let spilled = run_with(&before, &after, &short);
    prop_assert_eq!(format!("{:?}", spilled), format!("{report:?}"));
    let mut changes: Vec<Truth> = report.changes.iter().map(found).collect();
    changes.sort();
    prop_assert_eq!(changes, plain_comparison(&base, &merged, identity));

    let sum = |f: fn(&hexz_resolve::report::ClassBytes) -> u64| -> u64 {
        report.summary.classes.values().map(f).sum()
    };
    prop_assert_eq!(sum(|c| c.bytes), report.header.blocks * 4096);
    let differing = before.iter().zip(&after).filter(|(x, y)| x != y).count();
    prop_assert_eq!(sum(|c| c.changed), differing as u64);
    prop_assert!(report.unresolved.is_empty());
    prop_assert!(report.diagnostics.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn changes_agree_with_a_plain_comparison_of_trees(
        youth in proptest::collection::vec(step(), 0..60),
        change in proptest::collection::vec(step(), 0..14),
    ) {
        hold(Identity::Inode, &youth, &change)?;
    }

    #[test]
    fn so_they_do_where_a_rename_gives_a_file_another_key(
        youth in proptest::collection::vec(step(), 0..60),
        change in proptest::collection::vec(step(), 0..14),
    ) {
        hold(Identity::Place, &youth, &change)?;
    }
}

#[test]
fn threads_do_not_change_the_report() {
    let steps: Vec<Step> = (0..50u8).map(|n| Step::Create(n, n / 2, n, n)).collect();
    let life = live(&steps, Life::new(Identity::Inode));
    let before = life.tree.write(&vec![0; DISK as usize]);
    let changes = [Step::Write(3, 9), Step::Rename(1, 5, 3), Step::Unlink(7)];
    let after = live(&changes, life).tree.write(&before);
    let one = format!("{:?}", run(&before, &after, Identity::Inode, 1));
    assert_eq!(
        one,
        format!("{:?}", run(&before, &after, Identity::Inode, 4))
    );
}

#[test]
fn long_lists_go_to_scratch_files() {
    let steps: Vec<Step> = (0..50u8).map(|n| Step::Create(n, n / 2, n, n)).collect();
    let empty = Life::new(Identity::Inode);
    let before = empty.tree.write(&vec![0; DISK as usize]);
    let after = live(&steps, empty).tree.write(&before);
    let registry = registry(Identity::Inode);
    let mut options = options(&registry, 2);
    let scratch = Arc::new(CountedScratch::default());
    options.scratch = Some(scratch.clone());
    let roomy = run_with(&before, &after, &options);
    assert_eq!(scratch.files(), 0);
    options.limits.memory = 0;
    let short = run_with(&before, &after, &options);
    assert!(scratch.files() > 4);
    assert_eq!(format!("{short:?}"), format!("{roomy:?}"));
}

#[test]
fn every_byte_has_one_owner_record() {
    let steps: Vec<Step> = (0..50u8).map(|n| Step::Create(n, n / 2, n, n)).collect();
    let tree = live(&steps, Life::new(Identity::Inode)).tree;
    let disk: Arc<dyn ReadAt> = Arc::new(tree.write(&vec![0; DISK as usize]));
    let registry = registry(Identity::Inode);
    let mut options = options(&registry, 1);
    let all = ByteRange::new(0, DISK).into();
    let report = owners(&disk, &all, &options).unwrap();
    options.limits.claims_at_once = 30;
    let piecemeal = owners(&disk, &all, &options).unwrap();
    assert_eq!(
        report.owners, piecemeal.owners,
        "several scans give another answer than one"
    );
    let read = piecemeal.summary.bytes_read;
    assert!(read >= report.summary.bytes_read, "{read}");
    let mut summary = report.summary;
    (summary.bytes_read, summary.requests) = (read, piecemeal.summary.requests);
    assert_eq!(summary, piecemeal.summary);
    let mut at = 0;
    for owner in &report.owners {
        assert_eq!(owner.start, at, "a gap or an overlap");
        at += owner.length;
    }
    assert_eq!(at, DISK);
    let named: BTreeSet<_> = report
        .owners
        .iter()
        .flat_map(|o| &o.owners)
        .flat_map(|o| o.paths.iter())
        .cloned()
        .collect();
    assert_eq!(named, walk(&tree, Identity::Inode).into_keys().collect());
}
