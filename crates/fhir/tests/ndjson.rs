//! Goal: every line of a file is answered once, with its number and place, however the file is cut.
//!
//! How: each table row is a whole file; it is fed in pieces of every size.

#![allow(clippy::unwrap_used)]

use fhir::Resource;
use fhir::ndjson::{Line, LineError, LineFault, Ndjson, write};

fn read(
    file: &[u8],
    piece: usize,
    bytes_max: usize,
    lines_max: u64,
) -> Vec<Result<Line, LineError>> {
    let mut ndjson = Ndjson::new(bytes_max, lines_max);
    let mut lines: Vec<_> = file.chunks(piece).flat_map(|piece| ndjson.push(piece)).collect();
    lines.extend(ndjson.finish());
    lines
}

/// `1:Patient/a` for a resource on line 1; `2@30:...` for a fault on line 2 at byte 30.
fn said(lines: &[Result<Line, LineError>]) -> Vec<String> {
    let said = |line: &Result<Line, LineError>| match line {
        Ok(line) => format!("{}@{}:{}", line.line, line.offset, line.resource.local_reference()),
        Err(LineError { line, offset, error }) => match error {
            LineFault::Unreadable(_) => format!("{line}@{offset}:unreadable"),
            LineFault::TooLong(_) => format!("{line}@{offset}:too long"),
            LineFault::TooManyLines(_) => format!("{line}@{offset}:too many"),
        },
    };
    lines.iter().map(said).collect()
}

#[test]
fn every_line_is_answered_with_its_number() {
    const A: &str = r#"{"resourceType":"A","id":"a"}"#; // 29 bytes
    const B: &str = r#"{"resourceType":"B","id":"b"}"#;
    let long = format!(r#"{{"resourceType":"B","id":"b"{}}}"#, " ".repeat(100));
    let table = [
        ("nothing", String::new(), vec![]),
        ("blank lines alone", "\n \r\n\t\n".into(), vec![]),
        ("line ends of Unix", format!("{A}\n{B}\n"), vec!["1@0:A/a", "2@30:B/b"]),
        ("line ends of Windows", format!("{A}\r\n{B}\r\n"), vec!["1@0:A/a", "2@31:B/b"]),
        ("no end after the last line", format!("{A}\n{B}"), vec!["1@0:A/a", "2@30:B/b"]),
        ("blank lines between", format!("\n{A}\n\n\n{B}\n\n"), vec!["2@1:A/a", "5@33:B/b"]),
        (
            "a last line sent by half",
            format!("{A}\n{}", &B[..20]),
            vec!["1@0:A/a", "2@50:unreadable"],
        ),
        (
            "a bad line between good ones",
            format!("{A}\n  [x]\n{B}\n"),
            vec!["1@0:A/a", "2@33:unreadable", "3@36:B/b"],
        ),
        (
            "a line over the limit",
            format!("{A}\n{long}\n{B}\n"),
            vec!["1@0:A/a", "2@70:too long", "3@160:B/b"],
        ),
        ("the last one over the limit", format!("{A}\n{long}"), vec!["1@0:A/a", "2@70:too long"]),
        ("a byte order mark", format!("\u{feff}{A}\n{B}\n"), vec!["1@0:unreadable", "2@33:B/b"]),
        (
            "a line more than allowed",
            format!("{A}\n{A}\n{A}\n{A}\n{A}"),
            vec!["1@0:A/a", "2@30:A/a", "3@60:A/a", "4@90:too many"],
        ),
    ];
    for (case, file, expected) in table {
        for piece in 1..=file.len() + 1 {
            let lines = read(file.as_bytes(), piece, 40, 3);
            assert_eq!(said(&lines), expected, "{case}, in pieces of {piece}");
        }
    }
}

#[test]
fn what_is_written_is_one_line_for_each_resource() {
    let pretty =
        "{\r\n  \"resourceType\" : \"A\",\n  \"id\":\"a\",\"t\":\"one\\ntwo\" ,\"n\" : 1.0\n}\n";
    let resources = [
        Resource::parse(pretty).unwrap(),
        Resource::parse(r#"{"resourceType":"B", "id":"b"}"#).unwrap(),
    ];
    let file = write(&resources);
    let text = std::str::from_utf8(&file).unwrap();
    let expected = concat!(
        r#"{  "resourceType" : "A",  "id":"a","t":"one\ntwo" ,"n" : 1.0}"#,
        "\n",
        r#"{"resourceType":"B", "id":"b"}"#,
        "\n"
    );
    assert_eq!(text, expected);
    assert_eq!(said(&read(&file, 7, 1000, 9)), ["1@0:A/a", "2@62:B/b"]);
}
