//! `docs/report.schema.json` against what is written, by a validator of others, and against what
//! must not be.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeSet;

use hexz_acceptance::{Case, cases};
use hexz_report::read::{Record, records};
use hexz_testkit::workspace_dir;
use jsonschema::Validator;
use serde_json::{Value, json};

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

fn schema() -> Value {
    let text = std::fs::read_to_string(workspace_dir().join("docs/report.schema.json"));
    serde_json::from_str(&text.expect("the schema")).expect("JSON")
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).expect("a schema")
}

/// The schema as it is today: no key and no line is unknown.
fn strict() -> Validator {
    let mut schema = schema();
    let lines = schema["allOf"].as_array().expect("lines").iter();
    let types: Vec<Value> = lines
        .map(|line| line["if"]["properties"]["type"]["const"].clone())
        .collect();
    schema["properties"]["type"] = json!({ "enum": types });
    for definition in schema["$defs"]
        .as_object_mut()
        .expect("definitions")
        .values_mut()
    {
        let keys = definition.as_object_mut().expect("an object");
        keys.entry("additionalProperties").or_insert(json!(false));
    }
    validator(&schema)
}

/// Holds each line of `text`; notes the types.
fn hold(validator: &Validator, what: &str, text: &str, types: &mut BTreeSet<String>) {
    for (line, record) in text.lines().zip(records(text.as_bytes())) {
        let value: Value = serde_json::from_str(line).expect("JSON");
        if let Some(error) = validator.iter_errors(&value).next() {
            panic!("{what}: {error} at {}: {line}", error.instance_path());
        }
        let record = record.unwrap_or_else(|e| panic!("{what}: {e}: {line}"));
        assert!(!matches!(record, Record::Other), "{what}: {line}");
        types.insert(value["type"].as_str().expect("a type").to_owned());
    }
}

#[test]
fn what_is_written_is_as_the_schema_says() {
    let strict = strict();
    let mut types = BTreeSet::new();
    for name in cases() {
        let case = Case::new(HEXZ, &name);
        let mut run = |line: &str| {
            let text = case.hexz.text(line);
            hold(&strict, &format!("{name}: hexz {line}"), &text, &mut types);
        };
        run("diff --files --json --base base.img case.overlay");
        run("layout --explain --json base.img");
        run("owner base.img --block 0-200 --json");
        if case
            .dir()
            .join("base.img")
            .metadata()
            .expect("a disk")
            .len()
            < 20 << 20
        {
            run("map base.img --json");
        }
    }
    let case = Case::new(HEXZ, "hard-links");
    let listed = case.hexz.text("ls -R --json base.img");
    hold(&strict, "ls", &listed, &mut types);
    // Lists, of which one can't be read, and many overlays.
    let lists = case.dir().join("lists");
    std::fs::create_dir(&lists).expect("a folder");
    std::fs::write(lists.join("good"), "1\n2+9\n").expect("a list");
    std::fs::write(lists.join("bad"), "no list at all\n").expect("a list");
    let output = case.hexz.run("owner base.img --lists lists --json");
    let text = String::from_utf8(output.stdout).expect("text");
    hold(&strict, "lists", &text, &mut types);
    let overlays = case.dir().join("overlays");
    std::fs::create_dir(&overlays).expect("a folder");
    for name in ["case.overlay", "case.meta"] {
        std::fs::copy(case.dir().join(name), overlays.join(name)).expect("copied");
    }
    let many = case.hexz.text("diff --overlays overlays --base base.img");
    hold(&strict, "overlays", &many, &mut types);
    let expected = [
        "candidate",
        "change",
        "diagnostic",
        "entry",
        "header",
        "list-error",
        "list-piece",
        "owner",
        "region",
        "summary",
        "volume",
    ];
    let missing: Vec<_> = expected.iter().filter(|t| !types.contains(**t)).collect();
    assert!(missing.is_empty(), "nothing wrote {missing:?}");
}

/// A sound line of each kind that is looked at here.
fn sound(kind: &str) -> Value {
    match kind {
        "change" => json!({
            "type": "change", "volume": "p1", "change": "renamed", "path": "/b", "from": "/a",
            "links": ["/b"], "kind": "file", "replaced": false, "content_changed": false,
            "attributes": ["ctime"], "base": null,
            "merged": {"file": "12:7", "kind": "file", "size": 3, "mode": "0644",
                "mtime": "2026-01-02T03:04:05Z"},
            "content_bytes": 3, "changed_bytes": 0, "ranges": [],
        }),
        "region" => json!({
            "type": "region", "volume": null, "class": "superblock", "detail": null, "start": 0,
            "length": 4096, "changed": 4, "unnamed": 0,
            "fields": [{"record": "superblock", "start": 0, "name": "s_wtime", "old": 1, "new": 2}],
        }),
        "names" => json!({
            "type": "names", "volume": "p1", "view": "merged", "file": "12:7", "paths": ["/a"],
        }),
        "unresolved" => json!({
            "type": "unresolved", "volume": null, "start": 0, "length": 1, "reason": "why",
        }),
        "overlay-error" => json!({"type": "overlay-error", "overlay": "a", "error": "b"}),
        "diagnostic" => json!({
            "type": "diagnostic", "severity": "warning", "code": "past-end", "message": "m",
            "volume": null, "offset": 1, "view": null,
        }),
        _ => json!({
            "type": "summary", "blocks": 1, "bytes": 4096, "changed": 1, "identical": 0,
            "classes": {"swap": {"bytes": 4096, "changed": 1}}, "changes": {"added": 0},
            "coverage": {"bytes": 4096, "resolved": 4096}, "complete": true, "bytes_read": 9216,
            "requests": 5,
        }),
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let (open, strict) = (validator(&schema()), strict());
    for kind in [
        "change",
        "region",
        "names",
        "unresolved",
        "overlay-error",
        "diagnostic",
        "summary",
    ] {
        let line = sound(kind);
        assert!(strict.is_valid(&line), "{line}");
        let text = line.to_string();
        let read = records(text.as_bytes()).next().expect("a line");
        assert!(!matches!(read.expect("a record"), Record::Other), "{line}");
        // Each key is needed, but for those that may be left out.
        for key in line.as_object().expect("an object").keys() {
            let mut less = line.clone();
            less.as_object_mut().expect("an object").remove(key);
            assert!(!open.is_valid(&less), "without {key}: {less}");
        }
    }
    let wrong = [
        ("change", "/change", json!("touched")),
        ("change", "/path", json!("relative")),
        ("change", "/from", json!(null)),
        ("change", "/links", json!("/b")),
        ("change", "/kind", json!("door")),
        ("change", "/merged/size", json!(-1)),
        ("change", "/merged/mode", json!("rw-r--r--")),
        ("change", "/merged/mtime", json!("yesterday")),
        ("change", "/merged/file", json!("inode 12")),
        ("change", "/content_bytes", json!("3")),
        ("region", "/class", json!("superblocks")),
        ("region", "/fields/0/old", json!("0xFF")),
        ("region", "/changed", json!(1.5)),
        ("names", "/view", json!("both")),
        ("diagnostic", "/severity", json!("fatal")),
        ("diagnostic", "/code", json!("Past End")),
        ("summary", "/complete", json!("yes")),
        (
            "summary",
            "/classes",
            json!({"soup": {"bytes": 1, "changed": 1}}),
        ),
        ("summary", "/changes", json!({"touched": 1})),
    ];
    for (kind, place, value) in wrong {
        let mut line = sound(kind);
        *line.pointer_mut(place).expect("a key") = value;
        assert!(!open.is_valid(&line), "{place}: {line}");
    }
    assert!(
        !open.is_valid(&json!({"volume": "p1"})),
        "a line without a type"
    );
}

#[test]
fn what_may_come_is_allowed() {
    let open = validator(&schema());
    let mut later = sound("unresolved");
    later["mood"] = json!("dark");
    assert!(open.is_valid(&later), "another key");
    assert!(open.is_valid(&json!({"type": "omen"})), "another line");
    assert!(!strict().is_valid(&later), "which there is not yet");
}
