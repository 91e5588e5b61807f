//! Goal: each Bundle is filed, kept or refused, and the sender, the ledger and the plan's people
//! read the same about it.

use crate::plan::{BASE, MERCY, NAMESPACE, Plan, Push, says, taking_back, who};
use exchange::desk::Command;
use exchange::{Code, Digest};
use fhir::Bundle;
use payer::limits::COVERAGES_BYTES_MAX;
use serde_json::{Value, json};
use store::{House, Purge};

#[tokio::test]
async fn the_first_answer_is_given_again_and_other_content_under_its_key_is_refused() {
    let plan = Plan::open();
    let first = plan.post("lab", Push::default().by_hand("17")).await;
    assert_eq!(first.status(), 200, "{:?}", first.body());
    let again = plan.post("lab", Push::default().by_hand("17")).await;
    assert_eq!(again.body(), first.body());

    let other = Push { status: "amended", ..Push::default() };
    let refused = plan.post("lab", other.by_hand("17")).await;
    let issue = says(&refused, Code::KeyConflict);
    assert_eq!(issue.expression.as_deref(), Some("Bundle.identifier"));
    assert_eq!(plan.post("lab", other.by_hand("18")).await.status(), 200, "under a key of its own");
    assert_eq!(plan.list().await.len(), 2, "a repeat and a conflict are no submissions");
}

#[tokio::test]
async fn once_its_answer_is_purged_a_key_is_told_so_and_files_nothing() {
    let plan = Plan::open();
    let first = plan.post("lab", Push::default().by_hand("17")).await;
    let rows = plan.list().await;
    let works = vec![rows[0].id.clone()];
    let purge = Purge { at: plan.road.clock.now(), works, lines: Vec::new() };
    plan.road.house.purge(purge).await.unwrap();
    let before = plan.road.house.version_count().await.unwrap();
    let again = plan.post("lab", Push::default().by_hand("17")).await;
    assert_eq!(again.status(), first.status(), "it was answered, and so");
    let told: Value = serde_json::from_slice(again.body()).unwrap();
    assert_eq!(told["resourceType"], "OperationOutcome");
    assert_eq!(told["issue"][0]["details"]["coding"][0]["code"], "content-purged");
    assert_eq!(plan.road.house.version_count().await.unwrap(), before);

    // Under a key of its own the same content comes again.
    assert_eq!(plan.post("lab", Push::default().by_hand("18")).await.status(), 200);
    let observation = plan.road.house.record("Observation", "o1", None).await.unwrap().unwrap();
    assert_eq!((observation.version, observation.content.is_some()), (2, true));
}

#[tokio::test]
async fn a_repeat_that_comes_too_soon_is_told_to_come_again() {
    let plan = Plan::open();
    let turn = plan.road.keys.turn(&"lab".into(), Some("urn:lab|17")).await.unwrap();
    let busy = plan.post("lab", Push::default().by_hand("17")).await;
    says(&busy, Code::KeyBusy);
    assert_eq!(
        plan.post("rival", Push::default().by_hand("17")).await.status(),
        200,
        "its own key"
    );
    drop(turn);
    let free = plan.post("lab", Push::default().by_hand("17")).await;
    says(&free, Code::RecordOwnedByAnother);
}

#[tokio::test]
async fn a_record_belongs_to_whoever_brought_it_first() {
    let plan = Plan::open();
    assert_eq!(plan.post("lab", Push::default().by_hand("1")).await.status(), 200);
    let refused = plan.post("rival", Push::default().by_hand("1")).await;
    let at_the_door = says(&refused, Code::RecordOwnedByAnother);
    assert_eq!(at_the_door.expression.as_deref(), Some("Bundle.entry[0].resource"));
    let (kept, line) = plan.told().await;
    assert_eq!((kept, line.as_str()), (at_the_door, "not filed: record-owned-by-another"));
}

/// The statuses, places and versions of an answer.
fn told(answer: &http::Response<bytes::Bytes>) -> Vec<(String, Option<String>, Option<String>)> {
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    let bundle = Bundle::parse(answer.body().clone()).unwrap();
    let responses = bundle.entries.into_iter().filter_map(|entry| entry.response);
    responses.map(|one| (one.status, one.location, one.etag)).collect()
}

#[tokio::test]
async fn nobody_occupies_the_ids_of_another_by_deleting_them_first() {
    let plan = Plan::open();
    let push = Push::default().assembled();
    let occupied = plan.post("mercy", taking_back(&push, MERCY, 7)).await;
    assert_eq!(occupied.status(), 200);
    let filed = told(&plan.post("clinic", push.bytes.clone()).await);
    assert!(filed.iter().all(|(status, ..)| status.starts_with("201")), "{filed:?}");
    // Nor later: what the owner took back can come again, whoever deleted it in between.
    assert_eq!(plan.post("clinic", taking_back(&push, NAMESPACE, 2)).await.status(), 200);
    assert_eq!(plan.post("mercy", taking_back(&push, MERCY, 8)).await.status(), 200);
    let again = Push { number: 3, ..Push::default() }.assembled();
    assert_eq!(plan.post("clinic", again.bytes).await.status(), 200);
    let record = format!("/fhir/Observation/{}", push.contents[1].id);
    assert_eq!(plan.get("clinic", &record).await.status(), 200);
}

#[tokio::test]
async fn a_strangers_tombstone_gives_way_to_the_house_whose_id_it_is() {
    let plan = Plan::open();
    let push = Push::default().assembled();
    let (patient, observation) = (&push.contents[0].id, &push.contents[1].id);
    let squats = Push::default().by_hand("1");
    let squats = squats.replace("\"p1\"", &format!("\"{patient}\""));
    let squats = squats.replace("/p1\"", &format!("/{patient}\""));
    let squats = squats.replace("\"o1\"", &format!("\"{observation}\""));
    let squats = squats.replace("/o1\"", &format!("/{observation}\""));
    assert_eq!(plan.post("lab", squats).await.status(), 200);
    says(&plan.post("clinic", push.bytes.clone()).await, Code::RecordOwnedByAnother);
    let gone = [("Observation", observation), ("Patient", patient)]
        .map(|(kind, id)| format!(r#"{{"request":{{"method":"DELETE","url":"{kind}/{id}"}}}}"#));
    let gone =
        format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, gone.join(","));
    assert_eq!(plan.post("lab", gone).await.status(), 200);
    let again = Push { number: 2, ..Push::default() }.assembled();
    assert_eq!(plan.post("clinic", again.bytes).await.status(), 200);
    let record = format!("/fhir/Observation/{observation}");
    assert_eq!(plan.get("clinic", &record).await.status(), 200);
    assert_eq!(plan.get("lab", &record).await.status(), 404, "it is no longer the stranger's");
}

#[tokio::test]
async fn deleting_what_is_anothers_is_answered_like_deleting_what_never_was() {
    let push = Push::default().assembled();
    let (empty, full) = (Plan::open(), Plan::open());
    assert_eq!(full.post("clinic", push.bytes.clone()).await.status(), 200);
    for number in [4, 5] {
        let body = taking_back(&push, MERCY, number);
        let absent = told(&empty.post("mercy", body.clone()).await);
        assert_eq!(told(&full.post("mercy", body).await), absent);
        assert_eq!(absent[0], ("204 No Content".into(), None, None));
    }
    for content in &push.contents {
        let path = format!("/fhir/{}/{}", content.kind, content.id);
        assert_eq!(full.get("clinic", &path).await.status(), 200, "it stands");
        for plan in [&empty, &full] {
            assert_eq!(plan.get("mercy", &path).await.status(), 404);
        }
    }
    let plan = Plan::open();
    assert_eq!(plan.post("lab", Push::default().by_hand("1")).await.status(), 200);
    let body = |id: &str| {
        let entry = format!(r#"{{"request":{{"method":"DELETE","url":"Observation/{id}"}}}}"#);
        format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entry}]}}"#)
    };
    let anothers = told(&plan.post("rival", body("o1")).await);
    assert_eq!(anothers, told(&plan.post("rival", body("o9")).await));
    assert_eq!(plan.get("lab", "/fhir/Observation/o1").await.status(), 200);
}

#[tokio::test]
async fn what_was_taken_back_before_it_came_is_set_aside_whatever_others_delete() {
    let push = Push { number: 3, ..Push::default() }.assembled();
    let own = ("clinic", taking_back(&push, NAMESPACE, 4));
    let others = ("mercy", taking_back(&push, MERCY, 1));
    for deletions in [[own.clone(), others.clone()], [others, own]] {
        let plan = Plan::open();
        for (sender, body) in deletions {
            assert_eq!(plan.post(sender, body).await.status(), 200);
        }
        let late = told(&plan.post("clinic", push.bytes.clone()).await);
        let record = format!("/fhir/Observation/{}", push.contents[1].id);
        assert_eq!(late[1], ("200 OK".into(), None, None), "set aside");
        assert_eq!(plan.get("clinic", &record).await.status(), 404);
        let later = Push { number: 5, ..Push::default() }.assembled();
        assert_eq!(plan.post("clinic", later.bytes).await.status(), 200);
        assert_eq!(plan.get("clinic", &record).await.status(), 200);
    }
}

#[tokio::test]
async fn a_member_who_is_not_found_waits_for_a_person_or_is_refused_as_agreed() {
    let table = [
        ("an id nobody has", "W999", "Example", Code::MemberUnknown),
        ("another person's id", "W100", "Someone", Code::MemberMismatch),
    ];
    let mut said = Vec::new();
    for (case, member, family, code) in table {
        let plan = Plan::open();
        let push = Push { member, family, ..Push::default() };
        let refused = plan.post("rival", push.by_hand("1")).await;
        let at_the_door = says(&refused, Code::MemberUnknown);
        said.push(refused.into_body());
        let (kept, line) = plan.told().await;
        assert_eq!(kept.code, code, "{case}: the plan's people read what did not fit");
        assert_eq!(at_the_door.expression, None, "{case}");
        assert_eq!(line, format!("not filed: {}", code.row().slug), "{case}");

        let plan = Plan::open();
        let held = plan.post("lab", push.by_hand("1")).await;
        let place = held.headers()["content-location"].to_str().unwrap().to_owned();
        assert_eq!(held.headers()["retry-after"], "5", "{case}");
        says(&held, Code::MemberHeld);
        let (kept, line) = plan.told().await;
        assert_eq!(kept.code, code, "{case}: the plan's people read what did not fit");
        assert_eq!(line, format!("waits for a person: {}", code.row().slug), "{case}");
        let lead = &plan.list().await[0].issues[0];
        assert_eq!(lead.issue.code, Code::MemberHeld, "{case}: the plan's person acts");
        assert_eq!(lead.who_acts, Code::MemberHeld.row().actor.to_string(), "{case}");
        assert_eq!(plan.get("lab", &place).await.status(), 202, "{case}");
        assert_eq!(plan.get("lab", "/fhir/Patient/p1").await.status(), 404, "{case}: not filed");

        let id = plan.list().await[0].id.clone();
        plan.desk.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
        let file = plan.get("lab", &format!("{place}/answer.ndjson")).await;
        said.push(file.body().slice(..file.body().len() - 1));
    }
    assert!(said.iter().all(|one| *one == said[0]), "no answer tells whether the id is given out");
}

#[tokio::test]
async fn a_patient_is_not_deleted_while_records_of_it_stand() {
    let plan = Plan::open();
    assert_eq!(plan.post("lab", Push::default().by_hand("1")).await.status(), 200);
    let deleting = |records: &[&str]| {
        let entry = |url: &&str| format!(r#"{{"request":{{"method":"DELETE","url":"{url}"}}}}"#);
        let entries: Vec<_> = records.iter().map(entry).collect();
        let entries = entries.join(",");
        format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#)
    };
    let alone = plan.post("lab", deleting(&["Observation/o9", "Patient/p1"])).await;
    let issue = says(&alone, Code::ReferenceUnresolved);
    assert_eq!(issue.expression.as_deref(), Some("Bundle.entry[1].request.url"));
    for record in ["Patient/p1", "Observation/o1"] {
        assert_eq!(plan.get("lab", &format!("/fhir/{record}")).await.status(), 200, "{record}");
    }
    let both = plan.post("lab", deleting(&["Observation/o1", "Patient/p1"])).await;
    assert_eq!(both.status(), 200, "{:?}", both.body());
    for record in ["Patient/p1", "Observation/o1"] {
        assert_eq!(plan.get("lab", &format!("/fhir/{record}")).await.status(), 410, "{record}");
    }

    // One after the other will do as well, and what others filed of a Patient of the same id is
    // nobody's business.
    assert_eq!(plan.post("lab", Push::default().by_hand("2")).await.status(), 200);
    assert_eq!(plan.post("lab", deleting(&["Observation/o1"])).await.status(), 200);
    assert_eq!(plan.post("lab", deleting(&["Patient/p1"])).await.status(), 200);
}

#[tokio::test]
async fn a_push_without_a_member_is_refused_whatever_was_agreed() {
    let plan = Plan::open();
    let nameless = Push { member: "", ..Push::default() };
    let at_the_door = says(&plan.post("lab", nameless.by_hand("1")).await, Code::MemberNotNamed);
    assert_eq!(plan.told().await, (at_the_door, "not filed: member-not-named".to_owned()));
}

#[tokio::test]
async fn an_older_push_is_set_aside_record_by_record() {
    let plan = Plan::open();
    let push = |number, status| Push { number, status, ..Push::default() }.assembled().bytes;
    assert_eq!(plan.post("clinic", push(2, "amended")).await.status(), 200);
    let late = plan.post("clinic", push(1, "final")).await;
    assert_eq!(late.status(), 200);
    let answer = Bundle::parse(late.into_body()).unwrap();
    let outcomes: Vec<_> = answer
        .entries
        .iter()
        .map(|entry| entry.response.as_ref().unwrap().outcome.is_some())
        .collect();
    assert_eq!(outcomes, [false, true, false], "the observation alone is older: {answer:?}");
    let text = String::from_utf8_lossy(
        answer.entries[1].response.as_ref().unwrap().outcome.as_ref().unwrap().bytes(),
    )
    .into_owned();
    assert!(text.contains(Code::OlderThanFiled.row().slug), "{text}");
    assert!(text.contains(Code::OlderThanFiled.row().next), "{text}");
}

#[tokio::test]
async fn references_lead_to_the_senders_own_records() {
    let plan = Plan::open();
    let lonely = Push::default().by_hand("1").replace(
        r#""code":{"text":"weight"}"#,
        r#""code":{"text":"weight"},"encounter":{"reference":"Encounter/e9"}"#,
    );
    let at_the_door = says(&plan.post("lab", lonely).await, Code::ReferenceUnresolved);
    let place = "Bundle.entry[1].resource.encounter.reference";
    assert_eq!(at_the_door.expression.as_deref(), Some(place));
    assert_eq!(plan.told().await.1, "not filed: reference-unresolved");
}

/// Proves: smart 95, 130, 266
#[tokio::test]
async fn a_credential_may_do_what_was_agreed_with_its_holder_and_no_more() {
    let plan = Plan::open();
    let body = Push::default().by_hand("1");
    says(&plan.post("nobody", body.clone()).await, Code::ScopeMissing);
    let narrow = plan.post_with("lab", "system/Patient.cruds", body).await;
    let issue = says(&narrow, Code::ScopeMissing);
    assert_eq!(issue.expression.as_deref(), Some("Bundle.entry[1].request"));
    assert!(plan.list().await.is_empty(), "a stranger leaves no submission");
}

#[tokio::test]
async fn ids_are_derived_where_a_namespace_was_registered() {
    let plan = Plan::open();
    says(&plan.post("clinic", Push::default().by_hand("1")).await, Code::IdentityMismatch);
    let text = String::from_utf8(Push::default().assembled().bytes.to_vec()).unwrap();
    let moved =
        text.replace(&format!("{NAMESPACE}/Patient/p1"), &format!("{NAMESPACE}/Patient/p2"));
    says(&plan.post("clinic", moved).await, Code::IdentityMismatch);
}

#[tokio::test]
async fn a_poll_is_answered_to_whoever_sent_it_and_nobody_else() {
    let plan = Plan::open();
    let unknown = Push { member: "W999", ..Push::default() };
    let held = plan.post("lab", unknown.by_hand("1")).await;
    let place = held.headers()["content-location"].to_str().unwrap().to_owned();
    let table = [
        ("another sender's", "rival", place.clone()),
        ("nobody's", "lab", format!("{BASE}/status/none")),
        ("a file before the answer", "lab", format!("{place}/answer.ndjson")),
        ("a file it has not", "lab", format!("{place}/other.ndjson")),
    ];
    for (case, client, place) in table {
        let answer = plan.get(client, &place).await;
        assert_eq!(answer.status(), 404, "{case}");
        says(&answer, Code::StatusUnknown);
    }

    let id = plan.list().await[0].id.clone();
    plan.desk.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
    let manifest = plan.get("lab", &place).await;
    assert_eq!(manifest.status(), 200);
    let manifest: Value = serde_json::from_slice(manifest.body()).unwrap();
    let file = plan.get("lab", manifest["error"][0]["url"].as_str().unwrap()).await;
    assert_eq!(file.status(), 200, "{manifest}");
    let text = String::from_utf8_lossy(file.body()).into_owned();
    assert!(text.contains(Code::MemberUnknown.row().slug), "{text}");
}

#[tokio::test]
async fn without_its_member_file_a_plan_files_nothing() {
    let plan = Plan::open();
    std::fs::remove_file(plan.folder.path().join("members.csv")).unwrap();
    let refused = plan.post("lab", Push::default().by_hand("1")).await;
    assert_eq!(says(&refused, Code::ConfigInvalid).expression.as_deref(), Some("members"));
    assert_eq!(plan.get("lab", "/fhir/Patient/p1").await.status(), 404);
}

#[tokio::test]
async fn a_record_whose_content_is_lost_is_said_to_be_so() {
    let plan = Plan::open();
    // Long, and without a pattern that would make it short again.
    let long: String = (0..4_000u32).map(|n| Digest::of(&n.to_be_bytes()).to_string()).collect();
    let note = format!(r#""code":{{"text":"weight"}},"note":[{{"text":"{long}"}}]"#);
    let large = Push::default().by_hand("1").replace(r#""code":{"text":"weight"}"#, &note);
    assert_eq!(plan.post("lab", large).await.status(), 200);
    assert_eq!(plan.get("lab", "/fhir/Observation/o1").await.status(), 200);
    let lost = plan.lose_large_contents();
    assert!(lost > 0, "large contents lie in files");
    says(&plan.get("lab", "/fhir/Observation/o1").await, Code::StoreUnavailable);
    assert_eq!(plan.get("lab", "/fhir/Patient/p1").await.status(), 200, "others are served");
}

#[tokio::test]
async fn coverages_on_file_are_looked_through_for_a_member_and_no_further_than_is_reasonable() {
    let coverage = |id: &str, member: &str, bytes: u64| {
        json!({
            "resource": {
                "resourceType": "Coverage", "id": id, "status": "active",
                "beneficiary": { "reference": "Patient/p1" }, "subscriberId": member,
                "payor": [{ "display": "x".repeat(usize::try_from(bytes).unwrap()) }],
            },
            "request": { "method": "PUT", "url": format!("Coverage/{id}") },
        })
    };
    let observation = json!({
        "resource": {
            "resourceType": "Observation", "id": "o2", "status": "final",
            "code": { "text": "height" }, "subject": { "reference": "Patient/p1" },
        },
        "request": { "method": "PUT", "url": "Observation/o2" },
    });
    let bundle = |entries: &[Value]| {
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries }).to_string()
    };
    let large = COVERAGES_BYTES_MAX;
    // What no card gives is kept for a person.
    let table = [
        ("few", vec![("a", "W9", 1), ("b", "W100", 1)], 200),
        ("a large one behind", vec![("a", "W100", 1), ("b", "W9", large)], 200),
        ("too large a one before", vec![("a", "W9", large), ("b", "W100", 1)], 202),
    ];
    for (case, coverages, status) in table {
        let plan = Plan::open();
        let patient: Value =
            serde_json::from_str(&Push { member: "", ..Push::default() }.by_hand("k")).unwrap();
        let mut brought = vec![patient["entry"][0].clone()];
        brought.extend(coverages.into_iter().map(|(id, member, size)| coverage(id, member, size)));
        // Brought together, they are all looked at.
        let filed = plan.post("guest", bundle(&brought)).await;
        assert_eq!(filed.status(), 200, "{case}: {:?}", filed.body());
        let later = plan.post("guest", bundle(std::slice::from_ref(&observation))).await;
        assert_eq!(later.status(), status, "{case}: {:?}", later.body());
    }
}
