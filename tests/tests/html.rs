//! The page for a browser, as far as it can be read without one: `cargo xtask browser` opens it.

use hexz_acceptance::Case;
use serde_json::Value;

#[test]
fn the_page_holds_every_change_and_lets_nothing_in() {
    let case = Case::new(env!("CARGO_BIN_EXE_hexz-under-test"), "guest-mounts");
    let diff = "diff case.overlay --base base.img";
    let report = case.hexz.report(&format!("{diff} --json --html page.html"));
    let page = std::fs::read_to_string(case.dir().join("page.html")).expect("a page");
    let (_, rest) = page.split_once("id=\"data\">").expect("data");
    let (data, _) = rest.split_once("</script>").expect("its end");
    assert!(!data.contains('<'));
    let data: Value = serde_json::from_str(data).expect("JSON");
    let rows = data["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), report.changes.len());
    let paths: Vec<&str> = rows.iter().filter_map(|r| r[3].as_str()).collect();
    assert!(paths.contains(&"/boot/grub/grub.cfg"), "{paths:?}");
    let bytes = |value: &Value| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|c| c[1].as_u64())
            .sum::<u64>()
    };
    assert_eq!(bytes(&data["classes"]), report.summary.bytes);
    assert!(page.contains("default-src 'none'"));
    assert!(
        !page.contains("http:") && !page.contains("https:"),
        "the page names a place"
    );
}
