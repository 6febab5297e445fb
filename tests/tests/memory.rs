//! What a short memory does to a report: nothing, as long as there is room for temporary files.

use hexz_acceptance::schema::Report;
use hexz_acceptance::{Case, cases, without_cost};

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// With room for nothing, each list that is longer than a few items goes to a temporary file.
#[test]
fn what_goes_to_a_temporary_file_comes_back_as_it_was() {
    for name in cases() {
        let case = Case::new(HEXZ, &name);
        for form in ["--json", "--name-status", "--files", "--files --all"] {
            let line = format!("diff --base base.img case.overlay {form}");
            let plain = case.hexz.run(&line);
            let told = what_is_told(form, &plain.stdout);
            for threads in ["1", "4"] {
                let short = format!("{line} --memory 0 --threads {threads}");
                let short = case.hexz.run(&short);
                assert_eq!(short.status.code(), plain.status.code(), "{name} {form}");
                assert!(what_is_told(form, &short.stdout) == told, "{name} {form}");
            }
        }
    }
}

/// What stands in a report besides what it cost: the time is another one in each run.
fn what_is_told(form: &str, output: &[u8]) -> String {
    let text = String::from_utf8(output.to_vec()).expect("text");
    match form {
        "--json" => without_cost(&text),
        _ => {
            let lines = text.lines().filter(|line| !line.starts_with("read "));
            lines.map(|line| format!("{line}\n")).collect()
        }
    }
}

#[test]
fn without_room_for_temporary_files_the_answer_ends_early_and_says_so() {
    let case = Case::new(HEXZ, "htree");
    let line = "diff --base base.img case.overlay --json --memory 0";
    let output = std::process::Command::new(HEXZ)
        .current_dir(case.dir())
        .args(line.split_whitespace())
        .env("TMPDIR", case.dir().join("nowhere"))
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).expect("text");
    let report = Report::parse(&text);
    let found = report.diagnostics.iter().find(|d| d.code == "limit-memory");
    assert!(found.is_some_and(|d| d.severity == "error"), "{text}");
    assert!(!report.summary.complete);
    // What became of the blocks is known all the same.
    report.check_sums();
}
