//! Goal: whatever a file server does with one file, the house ends in a state that says so: the others are
//! filed, nothing is filed twice, who submits reads who acts and what next, and a second manifest mends it.
//!
//! How: one row for each thing that it does, at a real house; the file in the middle is the hostile one.

use crate::bulk::{codes, observation, patient, request, stands, taken, told, work};
use crate::files::{Files, Stands};
use crate::plan::Plan;
use bytes::Bytes;
use exchange::Code;
use flate2::Compression;
use flate2::write::GzEncoder;
use payer::bulk::FileServer;
use serde_json::{Value, json};
use std::io::Write;
use store::{House, WorkKind, WorkQuery};

/// What a file server does.
struct Row {
    case: &'static str,
    /// Puts it there; the manifest's URL.
    does: fn(&Files) -> String,
    /// What is filed beside the Patient and `o1`, or all that is.
    filed: Filed,
    /// The codes that are told, with whom they are about; that which counts aside.
    told: &'static [(&'static str, &'static str)],
    /// The state in which the manifest ends.
    ends: &'static str,
}

enum Filed {
    Beside(&'static [&'static str]),
    Nothing,
}

use Filed::{Beside, Nothing};

/// The server of another house, in the network of the plan's own.
const OWN: &str = "http://127.0.0.2:1";

fn lines() -> Vec<String> {
    vec![observation("o2", "p1"), observation("o3", "p1")]
}

fn text(lines: &[String]) -> Bytes {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into()
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap().into()
}

/// A manifest of the Patient, the hostile file with these members beside, and `o1`.
fn manifest(files: &Files, hostile: Value) -> String {
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o.ndjson", &[observation("o1", "p1")]);
    let mut middle = json!({ "type": "Observation", "url": "/h.ndjson" });
    for (name, value) in hostile.as_object().unwrap() {
        middle[name] = value.clone();
    }
    let output = json!([
        { "type": "Patient", "url": "/p.ndjson", "count": 1 },
        middle,
        { "type": "Observation", "url": "/o.ndjson", "count": 1 },
    ]);
    files.manifest_with("/manifest.json", &[], json!({ "output": output }))
}

fn whole(files: &Files, lines: &[String], hostile: Value) -> String {
    files.file("/h.ndjson", lines);
    manifest(files, hostile)
}

fn once(files: &Files, stands: impl IntoIterator<Item = Stands>) -> String {
    files.script("/h.ndjson", stands);
    manifest(files, json!({}))
}

/// Behind the first line and some of the next.
fn cut(lines: &[String]) -> Stands {
    Stands::Cut(text(lines), lines[0].len() + 20)
}

fn other(number: usize) -> Vec<String> {
    vec![observation(&format!("x{number}"), "p1").replace("weight", "height"), lines()[1].clone()]
}

fn linked(files: &Files, path: &str, next: &str) -> String {
    let more = json!({ "link": [{ "relation": "next", "url": next }] });
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.manifest_with(path, &[("Patient", "/p.ndjson")], more)
}

/// A manifest whose files need a token, of which the server gives the first, then the second.
fn behind(files: &Files, needs: &'static str) -> String {
    let token = |token: &str| {
        let told = json!({ "access_token": token, "token_type": "bearer", "expires_in": 3_600 });
        Stands::Whole("application/json", told.to_string().into())
    };
    files.script("/token", [token("t1"), token("t2")]);
    let place = json!({ "token_endpoint": format!("{}/token", files.url) });
    let place = Stands::Whole("application/json", place.to_string().into());
    files.put("/fhir/.well-known/smart-configuration", place);
    let url = manifest(files, json!({}));
    files.put("/p.ndjson", Stands::Behind("t1", text(&[patient("p1", "W100", "Example")])));
    files.put("/h.ndjson", Stands::Behind(needs, text(&lines())));
    files.put("/o.ndjson", Stands::Behind("t2", text(&[observation("o1", "p1")])));
    let mut page: Value = json!({ "requiresAccessToken": true });
    page["output"] = json!([
        { "type": "Patient", "url": "/p.ndjson" },
        { "type": "Observation", "url": "/h.ndjson" },
        { "type": "Observation", "url": "/o.ndjson" },
    ]);
    files.manifest_with("/manifest.json", &[], page);
    url
}

const ENDED: &str = "receipt-ended";
const FAILED: &str = "receipt-failed";
const BOTH: &[&str] = &["Observation/o2/1", "Observation/o3/1"];

fn rows() -> Vec<Row> {
    let row = |case, does, filed, told| Row { case, does, filed: Beside(filed), told, ends: ENDED };
    let none = |case, does, told| Row { case, does, filed: Nothing, told, ends: FAILED };
    vec![
        row(
            "the connection is cut once",
            |files| {
                once(
                    files,
                    [cut(&lines()), Stands::Whole("application/fhir+ndjson", text(&lines()))],
                )
            },
            BOTH,
            &[],
        ),
        row(
            "the connection is always cut at one place",
            |files| once(files, [cut(&lines())]),
            &BOTH[..1],
            &[("file-unreachable", "")],
        ),
        row(
            "the file is another one at the second attempt",
            |files| {
                once(
                    files,
                    [cut(&lines()), Stands::Whole("application/fhir+ndjson", text(&other(4)))],
                )
            },
            &["Observation/o2/1", "Observation/o3/1", "Observation/x4/1"],
            &[],
        ),
        row(
            "the file is another one at every attempt",
            |files| // Each attempt asks again where it broke off, and finds another edition.
 once(files, (0..9).map(|number| cut(&other(number)))),
            &["Observation/x0/1", "Observation/x2/1", "Observation/x4/1", "Observation/x6/1"],
            &[("file-changed", "")],
        ),
        row(
            "a gzip stream that is not whole",
            |files| {
                let packed = gzip(&text(&lines()));
                once(files, [Stands::Gzip(packed.slice(..packed.len() - 6))])
            },
            BOTH,
            &[("file-unreachable", "")],
        ),
        row(
            "what is said to be gzip and is not",
            |files| once(files, [Stands::Gzip(text(&lines()))]),
            &[],
            &[("file-invalid", "")],
        ),
        row(
            "fewer lines than the manifest says",
            |files| whole(files, &lines(), json!({ "count": 3 })),
            BOTH,
            &[("file-invalid", "")],
        ),
        row(
            "more lines than the manifest says",
            |files| whole(files, &lines(), json!({ "count": 1 })),
            BOTH,
            &[("file-invalid", "")],
        ),
        row(
            "another size than the manifest says",
            |files| whole(files, &lines(), json!({ "fileSize": 9 })),
            BOTH,
            &[("file-invalid", "")],
        ),
        row(
            "another size, and as many lines",
            |files| whole(files, &lines(), json!({ "count": 2, "fileSize": 9 })),
            BOTH,
            &[],
        ),
        row(
            "larger by its manifest than anything is read",
            |files| whole(files, &lines(), json!({ "fileSize": 100_u64 << 30 })),
            &[],
            &[("file-invalid", "")],
        ),
        row(
            "a header that claims 10 GB",
            |files| once(files, [Stands::Claims(text(&lines()), 10 << 30)]),
            BOTH,
            &[("file-unreachable", "")],
        ),
        row(
            "a header that claims more than anything that is read",
            |files| once(files, [Stands::Claims(text(&lines()), 100 << 30)]),
            &[],
            &[("file-invalid", "")],
        ),
        row(
            "a line of 50 MB",
            |files| {
                let long = "x".repeat(50 * 1024 * 1024);
                whole(files, &[lines()[0].clone(), long, lines()[1].clone()], json!({ "count": 3 }))
            },
            BOTH,
            &[("file-invalid", "")],
        ),
        row(
            "a bomb",
            |files| {
                let bomb = [&text(&lines())[..], &vec![b' '; 64 * 1024 * 1024]].concat();
                once(files, [Stands::Gzip(gzip(&bomb))])
            },
            BOTH,
            &[("file-invalid", "")],
        ),
        row(
            "lines that are no resources",
            |files| {
                let mut all = lines();
                all.extend(["[1]", "{\"a\":1}", "{no", "null", "\"x\""].map(str::to_owned));
                whole(files, &all, json!({ "count": 7 }))
            },
            BOTH,
            &[("entry-invalid", ""); 5],
        ),
        row(
            "a type that the manifest does not list",
            |files| {
                let condition = observation("c1", "p1").replace("\"Observation\"", "\"Condition\"");
                whole(files, &[&lines()[..], &[condition]].concat(), json!({}))
            },
            BOTH,
            &[("entry-invalid", "Condition/c1")],
        ),
        row(
            "a type that the agreement does not",
            |files| {
                let claim = observation("k1", "p1").replace("\"Observation\"", "\"Claim\"");
                whole(files, &[claim], json!({ "type": "Claim" }))
            },
            &[],
            &[("kind-not-agreed", "Claim/k1")],
        ),
        row("a token that expires between two files", |files| behind(files, "t2"), BOTH, &[]),
        row(
            "a token that is never enough",
            |files| behind(files, "t0"),
            &[],
            &[("file-refused", "")],
        ),
        row(
            "a file in the plan's own network",
            |files| manifest(files, json!({ "url": format!("{OWN}/h.ndjson") })),
            &[],
            &[("file-not-agreed", "")],
        ),
        none(
            "a manifest in the plan's own network",
            |files| {
                manifest(files, json!({}));
                format!("{OWN}/manifest.json")
            },
            &[("file-not-agreed", "")],
        ),
        none(
            "a manifest that goes on in itself",
            |files| linked(files, "/1.json", "/1.json"),
            &[("manifest-invalid", "")],
        ),
        none(
            "manifests that go on in each other",
            |files| {
                linked(files, "/2.json", "/1.json");
                linked(files, "/1.json", "/2.json")
            },
            &[("manifest-invalid", "")],
        ),
        none(
            "a manifest that goes on in the plan's own network",
            |files| linked(files, "/1.json", &format!("{OWN}/2.json")),
            &[("file-not-agreed", "")],
        ),
    ]
}

/// Works until all attempts were made.
async fn patiently(plan: &Plan) {
    for _ in 0..wire::limits::FETCH_ATTEMPTS_MAX + 2 {
        work(plan).await;
        plan.clock.advance(301);
    }
}

/// The state word of a manifest's row.
pub(crate) async fn state(plan: &Plan, number: usize) -> String {
    let kind = Some(WorkKind::BulkReceived);
    let query = WorkQuery { kind, limit: 9, ..WorkQuery::default() };
    let rows = plan.road.house.works(query).await.unwrap();
    let of = rows.into_iter().find(|row| row.work.id.ends_with(&format!(".{number}")));
    of.unwrap().work.state
}

/// What every line that tells of a failure says.
fn say_who_acts(case: &str, lines: &[Value]) {
    for issue in lines.iter().flat_map(|line| line["issue"].as_array().unwrap()) {
        let Some(code) = issue["details"]["coding"][0]["code"].as_str() else { continue };
        let row = Code::ALL.iter().map(|code| code.row()).find(|row| row.slug == code).unwrap();
        let words = format!("Who acts: {}. Next: {}.", row.actor, row.next);
        assert!(issue["diagnostics"].as_str().unwrap().starts_with(&words), "{case}: {issue}");
        assert!(!issue.to_string().contains("127.0.0"), "{case}: no URL in words");
    }
}

#[tokio::test]
async fn a_hostile_file_costs_itself_and_can_be_mended() {
    for row in rows() {
        let files = Files::serve().await;
        alone(&row, &files, &files.agreed_beside(&[OWN])).await;
        mended(&row, &files, &files.agreed_beside(&[OWN])).await;
    }
}

/// A submission of nothing else: its state, its records, its outcomes.
async fn alone(row: &Row, files: &Files, server: &FileServer) {
    let case = row.case;
    let plan = Plan::open_with(Some(server));
    let url = (row.does)(files);
    taken(&plan, "rival", &request(files, Some(&url), Some("completed"))).await;
    patiently(&plan).await;
    assert_eq!(state(&plan, 1).await, row.ends, "{case}");
    let mut expected: Vec<&str> = match row.filed {
        Beside(some) => ["Patient/p1/1", "Observation/o1/1"].iter().chain(some).copied().collect(),
        Nothing => Vec::new(),
    };
    expected.sort_unstable();
    assert_eq!(stands(&plan).await, expected, "{case}");
    let lines = told(&plan, "rival").await;
    say_who_acts(case, &lines);
    let mut told = codes(&lines);
    told.retain(|(code, _)| code != "counted");
    let expected = row.told.iter().map(|(code, about)| ((*code).to_owned(), (*about).to_owned()));
    assert_eq!(told, expected.collect::<Vec<_>>(), "{case}");
    plan.verify().await.unwrap();
}

/// The same submission, mended by a second manifest in place of the first.
async fn mended(row: &Row, files: &Files, server: &FileServer) {
    let case = row.case;
    let plan = Plan::open_with(Some(server));
    let url = (row.does)(files);
    taken(&plan, "rival", &request(files, Some(&url), None)).await;
    patiently(&plan).await;
    for (path, lines) in [
        ("/p2.ndjson", vec![patient("p1", "W100", "Example")]),
        ("/o2.ndjson", vec![observation("o1", "p1")]),
        ("/h2.ndjson", lines()),
    ] {
        files.file(path, &lines);
    }
    let output =
        [("Patient", "/p2.ndjson"), ("Observation", "/h2.ndjson"), ("Observation", "/o2.ndjson")];
    let second = files.manifest("/mended.json", &output);
    let mut request = request(files, Some(&second), Some("completed"));
    let replaced = json!({ "name": "replacesManifestUrl", "valueUrl": url });
    request["parameter"].as_array_mut().unwrap().push(replaced);
    taken(&plan, "rival", &request).await;
    patiently(&plan).await;
    let names = stands(&plan).await;
    let names: Vec<_> = names.iter().map(|name| name.rsplit_once('/').unwrap().0).collect();
    assert_eq!(
        names,
        ["Observation/o1", "Observation/o2", "Observation/o3", "Patient/p1"],
        "{case}"
    );
    assert_eq!(state(&plan, 1).await, "receipt-discarded", "{case}");
    assert_eq!(state(&plan, 2).await, ENDED, "{case}");
    let told = codes(&told(&plan, "rival").await);
    assert_eq!(told, [("counted".to_owned(), String::new())], "{case}");
    plan.verify().await.unwrap();
}
