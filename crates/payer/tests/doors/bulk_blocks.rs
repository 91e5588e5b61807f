//! Goal: pushes that come in one file share no fate: what is wrong with a line of one is told of that one.
//!
//! How: two pushes in blocks and a file of deletions; each row is a line that cannot be acted on.

use crate::bulk::{about, block, codes, request, stands, taken, told, work};
use crate::files::Files;
use crate::plan::{NAMESPACE, Plan, Push};
use exchange::Purpose;
use exchange::assemble::push_system;
use payer::doors::Doors;
use payer::limits::BULK_BATCH_LINES;
use serde_json::json;
use std::sync::Arc;
use store::House;
use wire::Caller;
use wire::rest::Rest;

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

/// A token of UDAP's, and blocks of which one says that it is for something else.
#[tokio::test]
async fn a_block_for_another_purpose_than_its_tokens_is_refused_whole() {
    let ids: Vec<String> = (0..BULK_BATCH_LINES + 5).map(|number| format!("o{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (first, first_push) = block(&Push::default());
    let amended = Push { number: 2, status: "amended", ..Push::default() };
    let (second, second_push) = block(&amended);
    let (long, long_push) = block(&Push { observations: &ids, ..amended });
    let silent = |block: &[String]| block[..block.len() - 1].to_vec();
    let (payment, treatment) = (Purpose::Payment, Purpose::Treatment);
    // Of the first push, Patient and Observation are filed as they are silent.
    let table = [
        ("its own", &second, &second_push, vec![payment], 2, None),
        ("none is said", &silent(&second), &second_push, vec![treatment], 2, None),
        ("another", &second, &second_push, vec![treatment], 0, Some(3)),
        ("its own, in two batches", &long, &long_push, vec![payment], 2, None),
        ("none is said, in two batches", &silent(&long), &long_push, vec![treatment], 2, None),
        ("another, in two batches", &long, &long_push, vec![treatment], 0, Some(long.len() - 1)),
    ];
    for (case, lines, push, purposes, newer, refused) in table {
        let files = Files::serve().await;
        let plan = Plan::open_with(Some(&files.agreed()));
        let doors = Doors::new(Arc::clone(&plan.road), "https://plan.example/fhir/token");
        let caller = Caller {
            client_id: "udap-1".into(),
            partner: "clinic".into(),
            scopes: vec!["system/bulk-submit".into()],
            purposes: Some(purposes.into_iter().collect()),
        };
        files.file("/1.ndjson", &[&silent(&first)[..], lines, &first[..1]].concat());
        let more = json!({ "outputOrganizedBy": "Patient", "output": [{ "url": "/1.ndjson" }] });
        let manifest = files.manifest_with("/manifest.json", &[], more);
        let body = request(&files, Some(&manifest), Some("completed")).to_string();
        let answer = doors.bulk_submit(&caller, body.into()).await.unwrap_or_else(Into::into);
        assert_eq!(answer.status, 200, "{case}");
        work(&plan).await;
        let mut newest = std::collections::BTreeMap::new();
        for one in plan.road.house.dump(None, 10_000).await.unwrap() {
            newest.insert((one.kind, one.id), one.number);
        }
        let of_second = newest.iter().filter(|(_, number)| **number == Some(2)).count();
        let all = if newer == 0 { 0 } else { lines.len() - 1 };
        assert_eq!(of_second, all, "{case}: nothing of it, or all");
        assert_eq!(newest.len(), all.max(2), "{case}: the other block is filed");
        let lines = told(&plan, "clinic").await;
        let codes = codes(&lines);
        let of = |push: &str| codes.iter().filter(|(_, about)| about == push).collect::<Vec<_>>();
        assert!(of(&first_push).iter().all(|(code, _)| code == "counted"), "{case}");
        let faults: Vec<_> = codes.iter().filter(|(code, _)| code != "counted").collect();
        match refused {
            None => assert_eq!(faults, Vec::<&(String, String)>::new(), "{case}"),
            Some(count) => {
                assert_eq!(faults.len(), 2, "{case}: {faults:?}");
                assert!(faults.iter().all(|(code, _)| code == "scope-missing"), "{case}");
                let of_push = of(push);
                assert!(of_push.iter().any(|(code, _)| code == "scope-missing"), "{case}");
                let numbers = lines.iter().find(|line| {
                    about(line) == [push.as_str()] && line["issue"][0]["severity"] == "information"
                });
                let text = numbers.unwrap()["issue"][0]["details"]["text"].as_str().unwrap();
                let expected = format!("{count} resources read: 0 filed");
                assert!(text.starts_with(&expected), "{case}: {text}");
                assert!(text.ends_with(&format!("{count} refused")), "{case}: {text}");
            }
        }
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
