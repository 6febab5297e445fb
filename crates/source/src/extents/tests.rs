use super::list::{MOST, UNORDERED};
use super::*;

use hexz_resolve::{ByteRange, ErrorKind};

fn ranges(text: &str, format: Option<ListFormat>, unit: u64) -> Vec<(u64, u64)> {
    let list = parse(text.as_bytes(), format, unit).unwrap();
    list.extents.iter().map(|r| (r.start(), r.len())).collect()
}

fn refused(text: &str, format: Option<ListFormat>) -> String {
    parse(text.as_bytes(), format, 4096)
        .unwrap_err()
        .to_string()
}

#[test]
fn qemu_img_map() {
    // As written by qemu-img 10.0 for an overlay with a data cluster, a zero cluster, and holes.
    let text = r#"[{ "start": 0, "length": 65536, "depth": 0, "present": true, "zero": false, "data": true, "compressed": false, "offset": 327680},
{ "start": 65536, "length": 983040, "depth": 1, "present": true, "zero": false, "data": true, "compressed": false, "offset": 65536},
{ "start": 1048576, "length": 65536, "depth": 0, "present": true, "zero": true, "data": false, "compressed": false},
{ "start": 1114112, "length": 1000, "depth": 0, "present": false, "zero": true, "data": false, "compressed": false}]
"#;
    assert_eq!(ranges(text, None, 4096), [(0, 65536), (1 << 20, 65536)]);
    let old = r#"[{"start":0,"length":512,"depth":0,"zero":false,"data":true,"offset":0},
        {"start":512,"length":512,"depth":1,"zero":true,"data":false}]"#;
    assert_eq!(ranges(old, None, 4096), [(0, 512)]);
    let bare = r#"[{"start":0,"length":512,"zero":false,"data":true}]"#;
    assert!(refused(bare, Some(ListFormat::QemuMap)).contains("without a depth"));
}

#[test]
fn nbdinfo_map() {
    let text = r#"[
{ "offset": 0, "length": 1048576, "type": 0, "description": "data" },
{ "offset": 1048576, "length": 1048576, "type": 3, "description": "hole,zero" },
{ "offset": 2097152, "length": 65536, "type": 2, "description": "zero" }
]"#;
    assert_eq!(ranges(text, None, 4096), [(0, 1 << 20), (2 << 20, 65536)]);
    let dirty = r#"[{"offset":0,"length":65536,"type":0,"description":"clean"},
        {"offset":65536,"length":65536,"type":1,"description":"dirty"}]"#;
    assert_eq!(ranges(dirty, None, 4096), [(65536, 65536)]);
    // The words of old ones.
    let depth = r#"[{"offset":0,"length":65536,"type":0,"description":"unallocated"},
        {"offset":65536,"length":65536,"type":1,"description":"local"},
        {"offset":131072,"length":65536,"type":2,"description":"backing depth 2"},
        {"offset":196608,"length":65536,"type":0,"description":"allocated"}]"#;
    assert_eq!(
        ranges(depth, None, 4096),
        [(65536, 65536), (196_608, 65536)]
    );
    let odd = r#"[{"offset":0,"length":65536,"type":9,"description":"strange"}]"#;
    assert!(refused(odd, None).contains("not known"));
}

#[test]
fn rbd_diff() {
    let text = r#"[{"offset":0,"length":4194304,"exists":"true"},{"offset":8388608,"length":4096,"exists":"false"}]"#;
    assert_eq!(ranges(text, None, 4096), [(0, 4 << 20), (8 << 20, 4096)]);
    assert_eq!(ranges(" [ ] \n", None, 4096), []);
}

#[test]
fn ddrescue_mapfile() {
    let text = "# Mapfile. Created by GNU ddrescue version 1.27\n# current_pos  current_status  current_pass\n0x00120000     ?               1\n#      pos        size  status\n0x00000000  0x00117000  +\n0x00117000  0x00000200  -\n0x00117200  0x00001000  /\n0x00118200  0x00001000  +\n0x00119200  0x00001000  ?\n";
    let expected = [(0x11_7000, 0x1200), (0x11_9200, 0x1000)];
    assert_eq!(ranges(text, None, 4096), expected);
    assert_eq!(ranges(text, Some(ListFormat::Ddrescue), 4096), expected);
    let odd = "0x0 + 1\n0x0 0x200 %\n";
    assert!(refused(odd, Some(ListFormat::Ddrescue)).contains("line 2"));
    // All of it was rescued, or nothing known yet.
    assert_eq!(ranges("0x0 + 1\n0x0 0x200 +\n", None, 4096), []);
    let empty = "# Mapfile. Created by GNU ddrescue version 1.27\n0x0 ? 1\n";
    assert_eq!(ranges(empty, None, 4096), []);
    // Only forced: as plain text, it is nonsense.
    assert!(refused(text, Some(ListFormat::Text)).contains("line 3"));
}

#[test]
fn plain_numbers() {
    let text = "# bad blocks\n5\n6\n\n 0x10 + 0x2  # two\n";
    assert_eq!(ranges(text, None, 1024), [(5120, 2048), (16384, 2048)]);
    assert_eq!(ranges("", None, 4096), []);
    // As a line of a ddrescue map file is.
    assert_eq!(ranges("5 + 3", None, 1), [(5, 3)]);
    assert_eq!(ranges("5 + 3\n9 + 1\n", None, 1), [(5, 3), (9, 1)]);
    for bad in ["x", "-1", "+5", "5+", "1 2", "1.5", "5+-1", "\u{0}"] {
        assert!(refused(bad, None).contains("line 1"), "{bad:?}");
    }
}

#[test]
fn broken_json_is_refused_with_its_place() {
    for bad in [
        "[",
        "[{",
        "{}",
        "[{}]",
        "[1]",
        r#"[{"start":0}]"#,
        r#"[{"start":0,"depth":0,"length":-1}]"#,
        r#"[{"start":0,"depth":0,"length":1e3}]"#,
        r#"[{"start":0,"depth":0,"length":5}"#,
        r#"[{"start":0,"depth":0,"length":5}] x"#,
        r#"[{"start":0,"depth":0,"length":5},,]"#,
        r#"[{"start":0 "depth":0}]"#,
    ] {
        assert!(refused(bad, None).contains("at byte"), "{bad}");
    }
    let deep = format!("[{{\"x\":{}", "[".repeat(100_000));
    assert!(refused(&deep, None).contains("nested too deep"));
    let nested = r#"[{"x":{"y":["]"]},"start":1,"depth":0,"length":5,"data":true}]"#;
    assert_eq!(ranges(nested, None, 4096), [(1, 5)]);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    for (text, format) in [
        ("5\n", ListFormat::Text),
        ("0x0 ? 1\n0x5 0x1 -\n", ListFormat::Ddrescue),
        (
            r#"[{"offset":5,"length":1,"exists":"true"}]"#,
            ListFormat::RbdDiff,
        ),
    ] {
        let marked = format!("\u{FEFF}{text}");
        assert_eq!(ranges(&marked, None, 1), [(5, 1)], "{text}");
        assert_eq!(ranges(&marked, Some(format), 1), [(5, 1)], "{text}");
        let twice = format!("\u{FEFF}{marked}");
        assert!(parse(twice.as_bytes(), None, 1).is_err(), "{text}");
    }
}

#[test]
fn what_is_said_again_takes_no_memory() {
    let mut list = List::new(Some(1));
    for n in 0..5_000_000_u64 {
        list.add(n * 7919 % 1000 * 2, 1).unwrap();
    }
    assert!(list.extents.len() <= UNORDERED, "{}", list.extents.len());
    let changes = list.into_changes(None, &Diagnostics::new());
    assert_eq!((changes.ranges.runs(), changes.ranges.len()), (1000, 1000));
    // Many that are apart stay apart, in whatever order.
    let mut list = List::new(Some(1));
    let many = 3 << 20;
    for n in (0..many).rev() {
        list.add(n * 2, 1).unwrap();
    }
    let changes = list.into_changes(None, &Diagnostics::new());
    assert_eq!(changes.ranges.len(), many);
    // Up to a bound.
    let mut list = List::new(Some(1));
    let apart = |count: u64| (0..count).map(|n| ByteRange::new(n * 2, n * 2 + 1));
    list.extents = apart(MOST as u64).collect();
    list.put_in_order().unwrap();
    list.extents = apart(MOST as u64 + 1).collect();
    list.most = list.extents.len();
    assert_eq!(list.add(5, 1).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn extents_past_the_end_are_said_and_cut() {
    let far = format!("{}", u64::MAX);
    let list = parse(format!("1\n9+5\n{far}\n").as_bytes(), None, 4096).unwrap();
    let found = Diagnostics::new();
    let changes = list.into_changes(Some(10 * 4096 + 1), &found);
    assert_eq!(changes.ranges.len(), 4096 + 4096 + 1);
    assert_eq!(changes.block_size, 4096);
    assert_eq!(changes.diagnostics[0].code, "extent-past-end");
    assert!(changes.diagnostics[0].message.starts_with("2 extents"));
}

#[test]
fn the_block_size_is_what_all_extents_keep_to() {
    let list = |text: &str| parse(text.as_bytes(), None, 1).unwrap();
    let rbd = |extents: &[(u64, u64)], disk_size| {
        let each =
            |(s, l): &(u64, u64)| format!("{{\"offset\":{s},\"length\":{l},\"exists\":\"true\"}}");
        let all: Vec<String> = extents.iter().map(each).collect();
        let list = list(&format!("[{}]", all.join(",")));
        list.into_changes(disk_size, &Diagnostics::new()).block_size
    };
    let extents = [(0, 65536), (1 << 20, 1536)];
    assert_eq!(rbd(&extents, None), 512);
    assert_eq!(rbd(&extents, Some(2 << 20)), 512);
    // The end of the disk keeps to nothing.
    assert_eq!(rbd(&extents, Some((1 << 20) + 1536)), 4096);
    assert_eq!(rbd(&extents, Some((1 << 20) + 777)), 4096);
    assert_eq!(rbd(&[(0, 512), (1 << 20, 4096)], None), 512);
    assert_eq!(rbd(&[(0, 777)], None), 1);
    assert_eq!(rbd(&[], None), 4096);
}

#[test]
fn damage_is_an_error_or_another_list_never_a_panic() {
    let texts = [
        r#"[{"start":0,"length":512,"depth":0,"zero":false,"data":true,"offset":0}]"#,
        "0x0 ? 1\n0x0 0x200 -\n0x200 0x200 +\n",
        "5\n6+7\n0xFF\n",
    ];
    let mut state = 0x5EEDu64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for text in texts {
        for _ in 0..3000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            bytes.truncate(bytes.len() - random(4));
            if let Ok(list) = parse(&bytes[..], None, 4096) {
                list.into_changes(Some(1 << 30), &Diagnostics::new());
            }
        }
    }
}

#[test]
fn a_list_of_unknown_keys_is_refused_with_its_keys_and_what_is_known() {
    for text in [
        r#"[{"first": 1, "count": 2}]"#,
        r#"{"first": 1, "count": 2}"#,
    ] {
        let error = refused(text, None);
        for part in [
            "the keys first, count",
            "BlockIndex",
            "byte_offset",
            "depth",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
    assert!(refused("{}", None).contains("no keys"));
}

#[test]
fn blocks_of_ebs_are_counted_in_the_size_that_their_page_says_last() {
    let pages = r#"{"Blocks":[{"BlockIndex":2}],"BlockSize":1024}{"Blocks":[{"BlockIndex":5}]}"#;
    assert_eq!(ranges(pages, None, 1), [(2048, 1024), (5 << 19, 1 << 19)]);
    let list = parse(r#"{"BlockIndex": 99999999999999}"#.as_bytes(), None, 1).unwrap();
    assert_eq!(list.too_far, 1);
}

#[test]
fn elements_of_thin_delta_that_can_not_be_are_refused() {
    let head = r#"<superblock data_block_size="128"><diff left="1" right="2">"#;
    assert_eq!(
        ranges(&format!("{head}<left_only begin='3' length='2'/>"), None, 1),
        [(3 << 16, 2 << 16)]
    );
    for (text, says) in [
        (format!("{head}<different begin=\"1\"/>"), "without length"),
        (format!("{head}<different begin=\"1\""), "cut short"),
        (
            "<diff left=\"1\"><different begin=\"1\" length=\"1\"/>".into(),
            "before the superblock",
        ),
        ("<diff left=\"1\"></diff>".into(), "no superblock"),
    ] {
        let error = refused(&text, Some(ListFormat::ThinDelta));
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn bits_of_a_bitmap_are_runs_of_units() {
    let list = parse(
        &[0x81, 0x01, 0x00, 0xF0][..],
        Some(ListFormat::Bitmap),
        4096,
    )
    .unwrap();
    let found: Vec<_> = list
        .extents
        .iter()
        .map(|r| (r.start() >> 12, r.len() >> 12))
        .collect();
    assert_eq!(found, [(0, 1), (7, 2), (28, 4)]);
}
