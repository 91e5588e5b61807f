//! Goal: pushes that come in one file share no fate: what is wrong with a line of one is told of that one.
//!
//! How: two pushes in blocks and a file of deletions; each row is a line that cannot be acted on.

use crate::bulk::{block, codes, request, stands, taken, told, work};
use crate::files::Files;
use crate::plan::{NAMESPACE, Plan, Push};
use exchange::assemble::push_system;
use serde_json::json;

#[tokio::test]
async fn a_line_that_names_nothing_is_told_of_the_push_in_whose_block_it_stands() {
    let files = Files::serve().await;
    let (first, first_push) = block(&Push::default());
    let (second, second_push) = block(&Push { number: 2, ..Push::default() });
    let long = json!({ "resourceType": "Observation", "note": "x".repeat(17_000_000) });
    let table = [
        ("unreadable", "{no".to_owned(), "entry-invalid"),
        ("without an id", r#"{"resourceType":"Observation"}"#.to_owned(), "entry-invalid"),
        ("too long", long.to_string(), "file-invalid"),
    ];
    for (case, line, code) in table {
        let plan = Plan::open_with(Some(&files.agreed()));
        files.file("/1.ndjson", &[&first[..], &[line], &second[..]].concat());
        let more = json!({ "outputOrganizedBy": "Patient", "output": [{ "url": "/1.ndjson" }] });
        let manifest = files.manifest_with("/manifest.json", &[], more);
        taken(&plan, "clinic", &request(&files, Some(&manifest), Some("completed"))).await;
        work(&plan).await;
        let lines = told(&plan, "clinic").await;
        let mut expected = [
            ("counted", ""),
            ("counted", &first_push),
            ("counted", &second_push),
            (code, &first_push),
        ];
        expected.sort_unstable();
        let expected = expected.map(|(code, about)| (code.to_owned(), about.to_owned()));
        assert_eq!(codes(&lines), expected, "{case}");
        let texts = lines.iter().filter_map(|line| line["issue"][0]["details"]["text"].as_str());
        let refusing: Vec<&str> = texts.filter(|text| text.ends_with("1 refused")).collect();
        assert_eq!(refusing.len(), 2, "{case}: it counts in its push and in all: {refusing:?}");
        plan.verify().await.unwrap();
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_of_no_push_and_nothing_behind_it_is_filed() {
    let files = Files::serve().await;
    let (first, first_push) = block(&Push::default());
    let (second, second_push) = block(&Push { number: 2, status: "amended", ..Push::default() });
    let (third, third_push) = block(&Push { number: 3, status: "amended", ..Push::default() });
    let of_group = second[0].replace("Patient/", "Group/");
    let table = [
        ("whose it is stands nowhere", r#"{"resourceType":"Parameters"}"#.to_owned(), false),
        ("broken", second[0].replace('}', ""), false),
        ("of a Group, with its push", of_group, true),
    ];
    for (case, header, named) in table {
        let plan = Plan::open_with(Some(&files.agreed()));
        files.file("/1.ndjson", &[&first[..], &[header], &second[1..], &third[..1]].concat());
        let more = json!({ "outputOrganizedBy": "Patient", "output": [{ "url": "/1.ndjson" }] });
        let manifest = files.manifest_with("/manifest.json", &[], more);
        taken(&plan, "clinic", &request(&files, Some(&manifest), Some("completed"))).await;
        work(&plan).await;
        let lines = told(&plan, "clinic").await;
        let told = codes(&lines);
        let of = |push: &str| {
            let about = told.iter().filter(|(_, about)| about == push);
            about.map(|(code, _)| code.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(
            (of(&first_push), of(&third_push)),
            (vec!["counted"], vec!["counted"]),
            "{case}"
        );
        let own = if named { vec!["entry-invalid"] } else { vec![] };
        assert_eq!(of(&second_push), own, "{case}: {told:?}");
        let refused =
            told.iter().filter(|(code, about)| code == "entry-invalid" && about.contains('/'));
        assert_eq!(refused.count(), second.len() - 1, "{case}: each of its records: {told:?}");
        let stands = stands(&plan).await;
        assert_eq!(stands.len(), first.len() - 1, "{case}: {stands:?}");
        assert!(stands.iter().all(|one| one.ends_with("/1")), "{case}: {stands:?}");
        plan.verify().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_of_deletions_that_cannot_be_acted_on_is_told_of_the_push_it_names() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let push = format!("3-{}", "a".repeat(32));
    let bundle = |named: bool, entry: serde_json::Value| {
        let identifier = json!({ "system": push_system(NAMESPACE), "value": push });
        let mut bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entry });
        if named {
            bundle["identifier"] = identifier;
        }
        bundle.to_string()
    };
    let put = json!([{
        "resource": { "resourceType": "Observation", "id": "o1" },
        "request": { "method": "PUT", "url": "Observation/o1" },
    }]);
    let twice = json!([{ "request": { "method": "DELETE" } }]);
    let lines = [bundle(true, put.clone()), bundle(true, twice), bundle(false, put), "{no".into()];
    files.file("/d.ndjson", &lines);
    let more = json!({ "deleted": [{ "type": "Bundle", "url": "/d.ndjson" }] });
    let manifest = files.manifest_with("/manifest.json", &[], more);
    taken(&plan, "clinic", &request(&files, Some(&manifest), Some("completed"))).await;
    work(&plan).await;
    let told = codes(&told(&plan, "clinic").await);
    let refused: Vec<&str> =
        told.iter().filter(|one| one.0 != "counted").map(|one| one.1.as_str()).collect();
    assert_eq!(refused.iter().filter(|about| **about == push).count(), 2, "{told:?}");
    assert_eq!(refused.iter().filter(|about| about.is_empty()).count(), 2, "{told:?}");
    plan.verify().await.unwrap();
}
