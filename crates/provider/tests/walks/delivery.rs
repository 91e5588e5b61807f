//! Goal: each answer to a push leads to one next step, which list, show and the ledger agree on.

use crate::desk::release;
use crate::hospital::{
    COVERAGE, EHR, Fault, Hospital, PLAN, SENT, Told, WEIGHT, not_sent, searchset, status,
    untrusted,
};
use bytes::Bytes;
use exchange::{Code, Issue};
use http::Response;
use serde_json::{Value, json};

fn refuses() -> Told {
    status(422, Issue::outcome([&Issue::new(Code::MemberUnknown, "no such member")]))
}

fn took() -> Told {
    let answer = Response::builder().status(202).header("content-location", "/fhir/status/1");
    Ok(answer.body(Bytes::new()).unwrap())
}

fn asks_elsewhere() -> Told {
    let answer = Response::builder().status(202).header("content-location", "https://x.example/1");
    Ok(answer.body(Bytes::new()).unwrap())
}

#[tokio::test]
async fn each_answer_leads_to_its_next_step() {
    let table: &[(&str, Fault, &str, Code)] = &[
        ("too large", || status(413, ""), "held", Code::PayloadTooLarge),
        ("malformed", || status(400, ""), "held", Code::PayerRefused),
        ("no such door", || status(404, ""), "held", Code::CapabilityMissing),
        ("another version", || status(415, ""), "held", Code::VersionMismatch),
        ("a web page", || status(200, "<html>"), "held", Code::AnswerUnreadable),
        ("taken, no place to ask", || status(202, ""), "held", Code::AnswerUnreadable),
        ("taken, a place elsewhere", asks_elsewhere, "held", Code::AnswerUnreadable),
        ("a new token is refused too", || status(401, ""), "held", Code::SignInRefused),
        ("another's certificate", untrusted, "held", Code::PayerUntrusted),
        ("down", || status(503, ""), "due", Code::PayerUnreachable),
        ("no connection", not_sent, "due", Code::PayerUnreachable),
    ];
    for (case, told, state, code) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(SENT, *told);
        hospital.push().await;
        hospital.waits(case, state, *code).await;
        hospital.network.mend();
        hospital.clock.advance(2);
        if *state == "held" {
            let id = hospital.work().await[0].id.clone();
            hospital.command(release(&id)).await.unwrap();
        }
        let rows = hospital.work().await;
        assert_eq!(rows[0].state, "settled", "{case}: it goes on when mended: {:?}", rows[0]);
    }
}

#[tokio::test]
async fn a_refusal_for_good_ends_the_push_in_the_payers_code() {
    let hospital = Hospital::open();
    hospital.network.spoil(SENT, refuses);
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "refused");
    assert_eq!(rows[0].issues[0].issue.code, Code::MemberUnknown);
    let shown = hospital.show(&rows[0].id).await;
    assert!(shown.timeline.iter().any(|row| row.what == "refused by the payer: member-unknown"));
    let told = shown.acknowledgement.unwrap().to_string();
    assert!(told.contains("member-unknown"), "{told}");
    let issue = hospital.command(release(&rows[0].id)).await.unwrap_err();
    assert_eq!(issue.code, Code::NotWaiting);
}

#[tokio::test]
async fn what_is_not_settled_in_time_is_a_persons_work() {
    let table: [(&str, String, Fault); 3] = [
        ("the door stays shut", format!("GET {PLAN}/$versions"), not_sent),
        ("no answer to the push", SENT.to_owned(), not_sent),
        ("taken, and never settled", SENT.to_owned(), took),
    ];
    for (case, place, told) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(&place, told);
        hospital.network.spoil(&format!("GET {PLAN}/status/1"), || status(202, ""));
        assert_eq!(hospital.push().await[0].state, "due", "{case}");
        hospital.clock.advance(80);
        hospital.waits(case, "held", Code::DeadlinePassed).await;
        let id = hospital.work().await[0].id.clone();
        hospital.command(release(&id)).await.unwrap();
        let row = hospital.work().await.remove(0);
        assert_eq!(row.state, "due", "{case}: a release grants as much time again: {row:?}");
    }
}

/// Days may pass between a trigger and an open door, and what was this plan's member may be another's
/// by then.
#[tokio::test]
async fn a_coverage_that_ended_while_the_door_was_shut_keeps_the_chart_at_home() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {PLAN}/$versions"), not_sent);
    assert_eq!(hospital.push().await[0].state, "due");
    hospital.network.mend();
    let ended = || {
        let ended = COVERAGE.replace(r#""status":"active""#, r#""status":"cancelled""#);
        status(200, searchset(&[&ended]))
    };
    hospital.network.spoil(&format!("GET {EHR}/Coverage"), ended);
    hospital.clock.advance(2);
    hospital.waits("the coverage was cancelled", "held", Code::CoverageMissing).await;
    assert!(
        hospital.network.sent_nothing(),
        "nothing goes to a plan that is none of the patient's"
    );
    let read = hospital.network.asked();
    assert!(!read.iter().any(|line| line.contains("/Observation")), "no chart is opened for it");
}

/// A house restored from an old backup counts anew; what the payer then says it filed, it did not.
#[tokio::test]
async fn a_payer_that_sets_the_newest_push_aside_is_not_taken_to_have_filed_it() {
    let hospital = Hospital::open();
    let set_aside = || {
        let older = Issue::new(Code::OlderThanFiled, "a later push has filed it");
        let older: Value = serde_json::from_slice(&Issue::outcome([&older])).unwrap();
        let entry = json!({ "response": { "status": "200 OK", "outcome": older } });
        let plain = json!({ "response": { "status": "201 Created" } });
        let entries = [vec![entry], vec![plain; 4]].concat();
        let answer = json!({ "resourceType": "Bundle", "type": "transaction-response",
            "entry": entries });
        status(200, answer.to_string())
    };
    hospital.network.spoil(SENT, set_aside);
    hospital.push().await;
    let issue = hospital.waits("set aside", "held", Code::PayerRefused).await;
    assert!(issue.detail.contains("restored from an old backup"), "{issue}");
}

#[tokio::test]
async fn a_server_that_passes_over_parameters_does_not_widen_the_push() {
    let hospital = Hospital::open();
    let everything = || {
        let other = WEIGHT.replace("Encounter/e1", "Encounter/e2").replace("o1", "o2");
        status(200, searchset(&[WEIGHT, &other]))
    };
    hospital.network.spoil(&format!("GET {EHR}/Observation"), everything);
    let rows = hospital.push().await;
    let decisions = hospital.show(&rows[0].id).await.decisions;
    let told: Vec<_> = decisions.iter().map(|row| row.reference.as_str()).collect();
    assert!(told.contains(&"Observation/o1") && !told.contains(&"Observation/o2"), "{told:?}");
}

/// What a patient forbids after it was filed goes from the plan with the next push, not only from it.
#[tokio::test]
async fn a_restriction_that_comes_later_takes_back_what_was_filed_before() {
    let hospital = Hospital::open();
    assert_eq!(hospital.push().await[0].state, "settled");
    hospital.restrict("[[restriction]]\nsubject = \"Observation/o1\"\nreason = \"self-pay\"\n");
    hospital.clock.advance(1);
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "settled", "{rows:?}");
    let told = hospital.show(&rows[0].id).await.acknowledgement.unwrap();
    let resources = told["resources"].as_array().unwrap().clone();
    let of = |kind: &str| {
        let rows = resources.iter().filter(|row| row["record"].as_str().unwrap().starts_with(kind));
        rows.map(|row| row["source"].is_string()).collect::<Vec<_>>()
    };
    assert_eq!(of("Observation/"), [false], "one deletion: it has no source any more");
    assert_eq!(of("Encounter/"), [true], "what may travel travels");
}

/// The payer has filed it; that its bytes can no longer be read here must not say otherwise.
#[tokio::test]
async fn a_settled_push_whose_payload_is_gone_stays_settled_and_is_acknowledged() {
    let hospital = Hospital::open();
    let id = hospital.push().await[0].id.clone();
    hospital.forget_payload(&id).await;
    let rows = hospital.work().await;
    assert_eq!(rows[0].state, "settled", "{:?}", rows[0]);
    let told = hospital.show(&id).await.acknowledgement.unwrap();
    assert_eq!((told["state"].as_str(), told["level"].as_str()), (Some("settled"), Some("filed")));
}

/// A push that is held is not delivered by pushing again in silence: it goes again where the payer said
/// no and promised as much, and else the answer is what the held one waits for.
#[tokio::test]
async fn the_same_pushed_again_while_the_first_waits_is_no_quiet_success() {
    let table: [(&str, Fault, &str, &str, Option<Code>); 4] = [
        (
            "refused, and refused again",
            || status(400, ""),
            "held",
            "superseded",
            Some(Code::PayerRefused),
        ),
        ("no such door", || status(404, ""), "unchanged", "held", Some(Code::CapabilityMissing)),
        ("too large", || status(413, ""), "unchanged", "held", Some(Code::PayloadTooLarge)),
        ("taken, and on its way", took, "unchanged", "due", None),
    ];
    for (case, told, again, first, code) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(SENT, told);
        hospital.network.spoil(&format!("GET {PLAN}/status/1"), || status(202, ""));
        let id = hospital.push().await[0].id.clone();
        let mut rows = hospital.push().await;
        let at = rows.iter().position(|row| row.id == id).unwrap();
        assert_eq!(rows.remove(at).state, first, "{case}");
        let row = hospital.show(&rows[0].id).await.row;
        assert_eq!(row.state, again, "{case}");
        assert_eq!(row.waits_for_person(), code.is_some(), "{case}: {row:?}");
        assert_eq!(row.issues.first().map(|told| told.issue.code), code, "{case}");
        let stands_on = row.stands_on.map(|it| (it.id, it.state));
        let expected = (again == "unchanged").then(|| (id.clone(), first.to_owned()));
        assert_eq!(stands_on, expected, "{case}");
    }
}

#[tokio::test]
async fn what_the_payer_refused_goes_again_once_it_takes_it() {
    let hospital = Hospital::open();
    hospital.network.spoil(SENT, || status(400, ""));
    let id = hospital.push().await[0].id.clone();
    hospital.network.mend();
    let states = |rows: Vec<exchange::desk::Row>| -> Vec<(bool, String)> {
        rows.into_iter().map(|row| (row.id == id, row.state)).collect()
    };
    let mut rows = states(hospital.push().await);
    rows.sort();
    assert_eq!(rows, [(false, "settled".to_owned()), (true, "superseded".to_owned())]);
    let third = states(hospital.push().await);
    assert!(third.contains(&(false, "unchanged".to_owned())), "filed once: {third:?}");
}
