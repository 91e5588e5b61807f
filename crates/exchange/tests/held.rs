//! Goal: whatever a partner's manifest holds, no more of it is held than what it is read for.
//!
//! How: manifests of the size that is fetched at most, each nearly all of it one thing; then the most
//! memory that this process has had while it read them, as the kernel counts it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use exchange::bulk::{Manifest, StatusManifest};
use std::fs;

/// As much as is fetched of a manifest, in MB.
const WHOLE: usize = 32;

/// A part of it that is read sooner.
const PART: usize = 8;

/// How much of its size may be held besides: its largest text or number, once as it came and once more
/// while it grows. A tree of values takes some forty times the manifest.
const HELD: usize = 3;

const MB: usize = 1024 * 1024;

/// The most that this process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

/// A manifest of so many MB, with as much of one piece as goes.
fn filled(size: usize, before: &str, piece: &str, behind: &str) -> Vec<u8> {
    let filling = piece.repeat((size * MB - before.len() - behind.len()) / piece.len());
    [before, &filling, behind].concat().into_bytes()
}

#[test]
fn a_manifest_takes_no_more_memory_than_what_is_read_of_it() {
    let root = r#""transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":false"#;
    let with = |member: &str, close: &str| {
        (format!("{{{root},{member}"), format!("{close},\"link\":null}}"))
    };
    let file = r#"{"type":"Patient","url":"u","countSeverity":"#;
    let another = format!(",{file}0}}");
    // The size, before and behind, the piece; whether it can be read.
    let table = [
        ("unknown numbers", WHOLE, with(r#""x":[0"#, "]"), ",0", true),
        ("unknown lists", WHOLE, with(r#""x":[[]"#, "]"), ",[]", true),
        ("unknown objects", PART, with(r#""x":[{}"#, "]"), r#",{"a":1}"#, true),
        ("unknown members", PART, with(r#""x":{}"#, ""), r#","y":0"#, true),
        ("one unknown text", PART, with(r#""x":""#, r#"""#), "x", true),
        ("lists in lists", PART, with(r#""x":"#, ""), "[", false),
        ("one text", PART, with(r#""transactionTime":""#, r#"""#), r"\u0041", false),
        ("within a file", PART, with(&format!(r#""output":[{file}[0"#), "]}]"), ",0", true),
        ("counts", PART, with(&format!(r#""output":[{file}{{"a":1"#), "}}]"), r#","b":2"#, true),
        ("numbers for files", PART, with(r#""output":[0"#, "]"), ",0", false),
        ("too many files", PART, with(&format!(r#""output":[{file}0}}"#), "]"), &another, false),
        ("a number for a list", PART, with(r#""output":1"#, ""), "1", false),
    ];
    for (case, size, (before, behind), piece, whole) in table {
        let body = filled(size, &before, piece, &behind);
        // The peak begins anew (`proc(5)`).
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        let read = Manifest::read(&body);
        assert_eq!(read.is_ok(), whole, "{case}: {:?}", read.err());
        let status = StatusManifest::read(&body);
        assert_eq!(status.is_ok(), whole, "{case}: {:?}", status.err());
        let held = peak() - before;
        assert!(held <= HELD * size * MB, "{case}: {} MB", held / MB);
    }
}
