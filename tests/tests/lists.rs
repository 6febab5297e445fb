//! `hexz owner --lists` says of each list what `hexz owner --from` says of it alone.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::fs;

use hexz_acceptance::Case;
use serde_json::Value;

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// Volume, class and path to bytes.
type Sums = BTreeMap<(String, String, String), u64>;

/// The blocks that `list` names: some scattered, some in runs.
fn blocks(list: u64, of_disk: u64) -> Vec<(u64, u64)> {
    let start = |n: u64| (n * 7919 + list * 104_729) % of_disk;
    (0..60).map(|n| (start(n), 1 + (n * list) % 5)).collect()
}

/// What the command says of one list, piece by piece, summed here.
fn alone(case: &Case, list: &str) -> Sums {
    let report = case
        .hexz
        .report(&format!("owner --json base.img --from {list}"));
    let mut sums = Sums::new();
    for piece in report.owners {
        let path = piece.owners.iter().find_map(|owner| owner.paths.first());
        let path = path.cloned().unwrap_or("-".to_owned());
        let key = (piece.volume.unwrap_or("-".to_owned()), piece.class, path);
        *sums.entry(key).or_default() += piece.length;
    }
    sums
}

#[test]
fn many_lists_are_answered_as_each_alone() {
    for name in [
        "blocks-1k",
        "hard-links",
        "xfs-rmap",
        "ntfs-fragmented",
        "mbr-logical",
    ] {
        let case = Case::new(HEXZ, name);
        let disk = fs::metadata(case.dir().join("base.img"))
            .expect("a disk")
            .len()
            / 4096;
        fs::create_dir(case.dir().join("lists")).expect("a folder");
        for list in 1..=4 {
            let lines = blocks(list, disk)
                .into_iter()
                .map(|(at, count)| format!("{at}+{count}\n"));
            let file = case.dir().join(format!("lists/{list}"));
            fs::write(file, lines.collect::<String>()).expect("written");
        }
        // The index of an overlay is a list too.
        fs::copy(
            case.dir().join("case.meta"),
            case.dir().join("lists/5.meta"),
        )
        .expect("copied");

        let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
        for line in case.hexz.text("owner base.img --lists lists").lines() {
            let [list, volume, class, bytes, path] = line
                .split('\t')
                .collect::<Vec<_>>()
                .try_into()
                .expect("five values");
            let key = [volume, class, path].map(str::to_owned).into();
            let sum = sums
                .entry(list.to_owned())
                .or_default()
                .entry(key)
                .or_default();
            *sum += bytes.parse::<u64>().expect("a number");
        }
        let mut pieces: BTreeMap<String, u64> = BTreeMap::new();
        for line in case
            .hexz
            .text("owner base.img --lists lists --json")
            .lines()
        {
            let piece: Value = serde_json::from_str(line).expect("JSON");
            let list = piece["list"].as_str().expect("a name").to_owned();
            *pieces.entry(list).or_default() += piece["length"].as_u64().expect("a number");
        }
        assert_eq!(sums.len(), 5, "{name}");
        for list in 1..=4 {
            let list = format!("lists/{list}");
            assert_eq!(sums[&list], alone(&case, &list), "{name}: {list}");
        }
        for (list, sums) in &sums {
            assert_eq!(pieces[list], sums.values().sum::<u64>(), "{name}: {list}");
        }
    }
}

#[test]
fn one_list_that_can_not_be_read_costs_no_other() {
    let case = Case::new(HEXZ, "blocks-1k");
    fs::write(case.dir().join("good"), "1\n2\n").expect("written");
    fs::write(case.dir().join("bad"), "one\ntwo\n").expect("written");
    fs::write(case.dir().join("all"), "good\nbad\nmissing\n\ngood\n").expect("written");
    let output = case.hexz.run("owner base.img --lists all");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("bad") && errors.contains("missing"),
        "{errors}"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let lists = text
        .lines()
        .filter(|line| line.starts_with("good\t"))
        .count();
    assert!(lists >= 2 && lists == text.lines().count(), "{text}");
}

#[test]
fn a_map_that_is_not_whole_is_told_by_the_exit_status() {
    let case = Case::new(HEXZ, "unsupported");
    fs::write(case.dir().join("list"), "1\n").expect("written");
    fs::write(case.dir().join("all"), "list\n").expect("written");
    let disk = case.dir().join("case.img");
    fs::write(&disk, case.merged()).expect("written");
    let status = |more: &str| {
        let line = format!("owner case.img --lists all {more}");
        case.hexz.run(&line).status.code()
    };
    assert_eq!(status(""), Some(3));
    assert_eq!(status("--partial-ok"), Some(0));
}

#[test]
fn answers_come_in_the_order_of_the_lists_however_many_there_are() {
    let case = Case::new(HEXZ, "hard-links");
    let disk = fs::metadata(case.dir().join("base.img")).expect("a disk");
    // More than are looked up together; some are long, one can't be read.
    let mut names = String::new();
    for list in 0..150u64 {
        let times = if list % 50 == 7 { 40 } else { 1 };
        let lines = (0..times).flat_map(|_| blocks(list % 4, disk.len() / 4096));
        let lines = lines.map(|(at, count)| format!("{at}+{count}\n"));
        fs::write(case.dir().join(list.to_string()), lines.collect::<String>()).expect("written");
        names += &format!("{list}\n");
    }
    fs::write(case.dir().join("100"), "no list\n").expect("written");
    fs::write(case.dir().join("names"), &names).expect("written");
    for form in ["", " --json"] {
        let told = case
            .hexz
            .run(&format!("owner base.img --lists names{form}"));
        assert_eq!(told.status.code(), Some(2), "one list can't be read");
        let text = String::from_utf8(told.stdout).expect("text");
        let list = |line: &str| match form {
            "" => line.split('\t').next().expect("a list").to_owned(),
            _ => {
                let record: Value = serde_json::from_str(line).expect("JSON");
                record["list"].as_str().expect("a list").to_owned()
            }
        };
        let mut answers: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            let list = list(line);
            let answer = line.replacen(&list, "LIST", 1) + "\n";
            match answers.last_mut() {
                Some((last, all)) if *last == list => *all += &answer,
                _ => answers.push((list, answer)),
            }
        }
        // What can't be read is a record of JSON, and nothing in the lines of sums.
        let lists = (0..150).filter(|list| !(form.is_empty() && *list == 100));
        let order: Vec<String> = lists.map(|list| list.to_string()).collect();
        let told: Vec<&String> = answers.iter().map(|(list, _)| list).collect();
        assert!(told.iter().copied().eq(&order), "{told:?}");
        let answer = |list: usize| answers.iter().find(|(name, _)| *name == list.to_string());
        assert_eq!(
            answer(0).expect("an answer").1,
            answer(148).expect("an answer").1
        );
        assert_ne!(
            answer(0).expect("an answer").1,
            answer(149).expect("an answer").1
        );
    }
}
