use super::*;

/// What is told of a crate with these files.
fn told(files: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    look("", files.iter().copied(), &mut wrong);
    wrong
}

/// That `a.rs` and `b.rs` need each other by these two lines, and nothing else is told.
fn circle(files: &[(&str, &str)], lines: [&str; 2]) {
    let [first, second] = lines;
    let text = format!(": a.rs, b.rs need each other:\n  {first}\n  {second}");
    assert_eq!(told(files), [text]);
}

fn none(files: &[(&str, &str)]) {
    assert_eq!(told(files), [""; 0]);
}

const ROOT: (&str, &str) = ("lib.rs", "mod a;\nmod b;");
const B: (&str, &str) = ("b.rs", "use crate::a::f;\npub fn g() { f() }");

#[test]
fn imports_in_both_directions() {
    for a in [
        "use crate::b::g; pub fn f() { g() }",
        "use super::b::{self, g}; pub fn f() { g() }",
        "use crate::{b::{g as other}}; pub fn f() { other() }",
        "use crate::b::*; pub fn f() { g() }",
    ] {
        circle(
            &[ROOT, ("a.rs", a), B],
            ["a.rs:1: g of b.rs", "b.rs:1: f of a.rs"],
        );
    }
}

#[test]
fn paths_in_the_code() {
    for a in [
        "pub fn f() { crate::b::g() }",
        "use super::b; pub fn f() { b::g() }",
        "use super::b as other; pub fn f() { other::g() }",
        "pub fn f() { assert!(0 < 1, \"{}\", crate::b::g()) }",
        "pub fn f() { vec![self::super::b::g()]; }",
        "macro_rules! call { () => { $crate::b::g() } } pub fn f() { call!() }",
        "pub fn f() { use super::b::g; g() }",
        "mod inner { pub fn h() { super::super::b::g() } } pub fn f() { inner::h() }",
    ] {
        circle(
            &[ROOT, ("a.rs", a), B],
            ["a.rs:1: g of b.rs", "b.rs:1: f of a.rs"],
        );
    }
}

#[test]
fn types_and_patterns_are_named_too() {
    let b = ("b.rs", "use crate::a::f; pub enum E { One } pub trait T {}");
    for a in [
        "pub fn f(e: Option<super::b::E>) {}",
        "pub fn f() -> bool { matches!(0, super::b::E::One) }",
        "pub fn f() { let super::b::E::One = 0; }",
        "pub struct S { e: super::b::E } pub fn f() {}",
    ] {
        circle(
            &[ROOT, ("a.rs", a), b],
            ["a.rs:1: E of b.rs", "b.rs:1: f of a.rs"],
        );
    }
    let a = "struct S; impl crate::b::T for S {} pub fn f() {}";
    circle(
        &[ROOT, ("a.rs", a), b],
        ["a.rs:1: T of b.rs", "b.rs:1: f of a.rs"],
    );
}

#[test]
fn names_that_are_handed_on_are_of_the_file_that_defines_them() {
    for root in [
        "mod a;\nmod b;\npub use a::f;\npub use b::g;",
        "mod a;\nmod b;\npub use a::*;\npub(crate) use b::g as g;",
        "mod a;\nmod b;\npub use self::{a::f, b::g};",
    ] {
        let files = [
            ("lib.rs", root),
            ("a.rs", "use super::g; pub fn f() { g() }"),
            ("b.rs", "use crate::f; pub fn g() { f() }"),
        ];
        circle(&files, ["a.rs:1: g of b.rs", "b.rs:1: f of a.rs"]);
    }
}

#[test]
fn one_direction_is_no_circle() {
    none(&[ROOT, ("a.rs", "pub fn f() {}"), B]);
}

#[test]
fn handing_on_is_no_need() {
    let a = ("a.rs", "mod c;\npub use c::f;\npub fn g() {}");
    let c = ("a/c.rs", "use super::g; pub fn f() { g() }");
    none(&[("lib.rs", "mod a;"), a, c]);
}

#[test]
fn what_is_handed_on_may_be_needed_too() {
    for a in [
        "mod c;\npub use c::f;\npub fn g() { f() }",
        "mod c;\npub use c::f;\npub fn g() { c::f() }",
        "mod c;\npub use c::f;\npub fn g() { assert!(f()) }",
    ] {
        let c = ("a/c.rs", "use super::g; pub fn f() { g() }");
        let text = ": a.rs, a/c.rs need each other:\n  a.rs:3: f of a/c.rs\n  a/c.rs:1: g of a.rs";
        assert_eq!(told(&[("lib.rs", "mod a;"), ("a.rs", a), c]), [text]);
    }
}

#[test]
fn fields_and_methods_name_nothing() {
    let a = "mod c;\npub use c::f;\npub fn g(s: S) { assert!(s.f()); s.f() }";
    let c = ("a/c.rs", "use super::g; pub fn f() { g() }");
    none(&[("lib.rs", "mod a;"), ("a.rs", a), c]);
}

#[test]
fn the_same_name_of_another_module_is_another_one() {
    let a = "use std::fmt::b; pub fn f() { b::g(); std::b::g() }";
    none(&[ROOT, ("a.rs", a), B]);
    let a = "use rayon::prelude::*; use tar::tar; pub fn f() { tar::b::g(); g() }";
    none(&[ROOT, ("a.rs", a), B]);
}

#[test]
fn tests_may_need_all() {
    for a in [
        "pub fn f() {}\n#[cfg(test)]\nmod tests { use crate::b::g; fn t() { super::super::b::g() } }",
        "pub fn f() {}\n#[cfg(test)]\nuse crate::b::g;",
        "pub fn f() {}\nstruct S; impl S { #[cfg(test)] fn t() { crate::b::g() } }",
    ] {
        none(&[ROOT, ("a.rs", a), B]);
    }
    let a = ("a.rs", "pub fn f() {}\n#[cfg(test)]\nmod tests;");
    let tests = (
        "a/tests.rs",
        "mod c; use crate::b::g; use super::f; fn t() { c::u() }",
    );
    let parts = ("a/tests/c.rs", "use super::t; pub fn u() { t() }");
    none(&[ROOT, a, B, tests, parts]);
}

#[test]
fn code_for_other_builds_is_code() {
    let a = "#[cfg(feature = \"x\")] use crate::b::g; pub fn f() {}";
    circle(
        &[ROOT, ("a.rs", a), B],
        ["a.rs:1: g of b.rs", "b.rs:1: f of a.rs"],
    );
}

#[test]
fn a_longer_way_round() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use crate::c::C; pub struct B(C);"),
        ("c/mod.rs", "use crate::a::A; pub struct C(A);"),
        ("d.rs", "use crate::a::A; pub struct D(A);"),
    ];
    let text = ": a.rs, b.rs, c/mod.rs need each other:\n  a.rs:1: B of b.rs\n  \
                b.rs:1: C of c/mod.rs\n  c/mod.rs:1: A of a.rs";
    assert_eq!(told(&files), [text]);
}

#[test]
fn a_program_beside_its_library() {
    let files = [
        ("lib.rs", "mod a; pub fn run() { a::f() }"),
        ("main.rs", "fn main() { ours::run() }"),
        ("a.rs", "pub fn f() {}"),
    ];
    none(&files);
    let files = [
        ("main.rs", "mod a;\nfn main() { a::f() }\npub fn g() {}"),
        ("a.rs", "pub fn f() { crate::g() }"),
    ];
    let text = ": a.rs, main.rs need each other:\n  a.rs:1: g of main.rs\n  main.rs:2: f of a.rs";
    assert_eq!(told(&files), [text]);
}

#[test]
fn what_can_not_be_followed_is_told() {
    let files = [ROOT, ("a.rs", "\nuse crate::b::missing;"), ("b.rs", "")];
    assert_eq!(told(&files), ["a.rs:2: leads nowhere: crate::b::missing"]);
    let ring = "use self::f as g; pub use self::g as f;";
    assert_eq!(told(&[ROOT, ("a.rs", ring), ("b.rs", "")]).len(), 1);
    let files = [("lib.rs", "fn f( {}")];
    assert!(told(&files)[0].starts_with("lib.rs: can't be read: "));
}
