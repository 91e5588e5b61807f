//! Goal: what is wrong with a chart, or with the EHR it lies in, stops the push before its payer is
//! asked for anything but its versions.

use crate::hospital::{
    COVERAGE, EHR, ENCOUNTER, Fault, Hospital, Told, WEIGHT, not_sent, searchset, status, untrusted,
};
use exchange::{Code, Purpose};
use provider::limits::{SEARCH_BYTES_MAX, SOURCE_REQUESTS_MAX};

fn in_progress() -> Told {
    status(200, ENCOUNTER.replace("finished", "in-progress"))
}

fn anothers() -> Told {
    status(200, searchset(&[&COVERAGE.replace("99001", "99002")]))
}

fn none() -> Told {
    status(200, searchset(&[]))
}

fn fewer() -> Told {
    status(200, searchset(&[]).replace(r#""total":0"#, r#""total":3"#))
}

/// No store of every house keeps it, so it must stop here, and not at the payer's.
fn nought() -> Told {
    status(200, searchset(&[r#"{"resourceType":"Coverage","id":"c1","dependent":"a\u0000b"}"#]))
}

/// An entry that says where its record is, and does not hold it.
fn unfilled() -> Told {
    let entry = format!(r#","entry":[{{"fullUrl":"{EHR}/Coverage/c2"}},"#);
    status(200, searchset(&[COVERAGE]).replace(r#","entry":["#, &entry))
}

fn two_contents() -> Told {
    status(200, searchset(&[COVERAGE, &COVERAGE.replace("W100", "W200")]))
}

/// The first of two pages; the second holds the same record again.
fn repeated() -> Told {
    let next = format!(r#""link":[{{"relation":"next","url":"{EHR}/page/2"}}],"total":2"#);
    status(200, searchset(&[COVERAGE]).replace(r#""total":1"#, &next))
}

/// All of it could be read; nobody can say how much more would come.
fn vast() -> Told {
    status(200, searchset(&[COVERAGE]) + &" ".repeat(SEARCH_BYTES_MAX))
}

fn circle() -> Told {
    let next = format!(r#""link":[{{"relation":"next","url":"{EHR}/Coverage?page=2"}}],"total""#);
    status(200, searchset(&[]).replace(r#""total""#, &next))
}

fn relative() -> Told {
    let next = r#""link":[{"relation":"next","url":"Coverage?page=2"}],"total""#;
    let first = searchset(&[]).replace(r#""total":0"#, r#""total":1"#);
    status(200, first.replace(r#""total""#, next))
}

fn second() -> Told {
    status(200, searchset(&[COVERAGE]))
}

fn elsewhere() -> Told {
    let next = r#""link":[{"relation":"next","url":"https://other.example/"}],"total""#;
    status(200, searchset(&[]).replace(r#""total""#, next))
}

#[tokio::test]
async fn a_trigger_that_concerns_nobody_yet_says_why() {
    let encounter = format!("GET {EHR}/Encounter/e1");
    let coverage = format!("GET {EHR}/Coverage");
    let (encounter, coverage) = (encounter.as_str(), coverage.as_str());
    let token = format!("POST {EHR}/token");
    let all = format!("GET {EHR}/");
    let table: &[(&str, &str, Fault, &str, Code)] = &[
        ("no such encounter", encounter, || status(404, ""), "held", Code::EncounterUnknown),
        ("a visit that goes on", encounter, in_progress, "held", Code::EncounterUnfinished),
        ("no coverage", coverage, none, "held", Code::CoverageMissing),
        ("another plan's coverage", coverage, anothers, "held", Code::PayerUnmapped),
        ("the EHR is away", encounter, not_sent, "due", Code::SourceUnreachable),
        ("the EHR is overloaded", coverage, || status(429, ""), "due", Code::SourceUnreachable),
        ("the EHR stumbles", coverage, || status(500, ""), "due", Code::SourceUnreachable),
        ("its sign-in is away", &token, not_sent, "due", Code::SourceUnreachable),
        ("its sign-in refuses", &token, || status(401, "{}"), "held", Code::SourceRefused),
        ("its certificate is another's", &all, untrusted, "held", Code::SourceRefused),
        ("not allowed", coverage, || status(403, ""), "held", Code::SourceRefused),
        ("no JSON", coverage, || status(200, "<html>"), "held", Code::SourceUnreadable),
        ("a nought in a text", coverage, nought, "held", Code::SourceUnreadable),
        ("more than is kept", coverage, vast, "held", Code::SourceUnreadable),
        ("no searchset", coverage, || status(200, ENCOUNTER), "held", Code::SourceUnreadable),
        ("an odd status", coverage, || status(302, ""), "held", Code::SourceUnreadable),
        ("fewer than its total", coverage, fewer, "held", Code::SourceUnreadable),
        ("an entry without its record", coverage, unfilled, "held", Code::SourceUnreadable),
        ("a record with two contents", coverage, two_contents, "held", Code::SourceUnreadable),
        ("pages without end", coverage, circle, "held", Code::SourceUnreadable),
        ("a next page elsewhere", coverage, elsewhere, "held", Code::SourceUnreadable),
        ("another resource", encounter, || status(200, COVERAGE), "held", Code::SourceUnreadable),
    ];
    for (case, place, told, state, code) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(place, *told);
        hospital.push().await;
        let issue = hospital.waits(case, state, *code).await;
        let explained = match hospital.explain().await {
            Ok((payers, issues)) => {
                assert!(payers.is_empty(), "{case}");
                issues.first().map(|words| words.issue.clone())
            }
            Err(issue) => Some(issue),
        };
        assert_eq!(explained, Some(issue), "{case}: explain says the same");
        let asked = hospital.network.asked();
        assert!(!asked.iter().any(|line| line.contains("plan.example")), "{case}: {asked:?}");
    }
}

/// A Bundle's link may be relative: to the base that was asked.
#[tokio::test]
async fn a_relative_link_to_the_next_page_is_followed_below_the_base() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Coverage?page=2 "), second);
    hospital.network.spoil(&format!("GET {EHR}/Coverage"), relative);
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "settled", "{:?}", rows[0].issues);
}

#[tokio::test]
async fn an_answer_that_says_no_is_told_with_its_place_and_without_values() {
    let one = format!("GET {EHR}/Encounter/e1");
    let many = format!("GET {EHR}/Coverage");
    let table: [(&str, &str, Fault, &str); 4] = [
        ("a redirect", &many, || status(302, ""), "Coverage"),
        ("one record is not allowed", &one, || status(403, ""), "Encounter/e1"),
        ("one record is away", &one, || status(500, ""), "Encounter/e1"),
        ("another record", &one, || status(200, COVERAGE), "Encounter/e1"),
    ];
    for (case, url, told, place) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(url, told);
        let rows = hospital.push().await;
        let issue = &rows[0].issues[0].issue;
        assert_eq!(issue.expression.as_deref(), Some(place), "{case}: {issue:?}");
    }
}

#[tokio::test]
async fn a_page_that_repeats_another_does_not_make_up_for_what_is_missing() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Coverage"), repeated);
    hospital.network.spoil(&format!("GET {EHR}/page/2 "), || {
        let again = searchset(&[COVERAGE]);
        status(200, again.replace(r#""total":1"#, r#""total":2"#))
    });
    hospital.push().await;
    let issue = hospital.waits("repeated", "held", Code::SourceUnreadable).await;
    assert_eq!(issue.expression.as_deref(), Some("Bundle.total"));
    assert!(hospital.network.sent_nothing());
}

fn in_part(record: &str) -> String {
    let tag = r#""meta":{"tag":[{"code":"SUBSETTED"}]},"id""#;
    record.replacen(r#""id""#, tag, 1).replace(r#""code":{"text":"weight"},"#, "")
}

#[tokio::test]
async fn a_record_that_a_search_gives_in_part_is_read_whole_or_stops_the_push() {
    let search = format!("GET {EHR}/Observation?");
    let read = format!("GET {EHR}/Observation/o1 ");
    let table: [(&str, Fault, Option<&str>); 3] = [
        ("read whole", || status(200, WEIGHT), None),
        ("in part again", || status(200, in_part(WEIGHT)), Some("Observation.meta.tag")),
        ("found, and not there", || status(404, ""), Some("Observation.meta.tag")),
    ];
    for (case, told, place) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(&search, || status(200, searchset(&[&in_part(WEIGHT)])));
        hospital.network.spoil(&read, told);
        hospital.push().await;
        match place {
            None => {
                assert_eq!(hospital.work().await[0].state, "settled", "{case}");
                let pushed = hospital.network.pushed().concat();
                assert!(pushed.contains("weight"), "{case}: the whole record goes");
                assert!(!pushed.contains("SUBSETTED"), "{case}");
            }
            Some(place) => {
                let issue = hospital.waits(case, "held", Code::SourceUnreadable).await;
                assert_eq!(issue.expression.as_deref(), Some(place), "{case}");
                assert!(hospital.network.sent_nothing(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_report_or_a_patient_that_the_ehr_does_not_hold_waits_for_a_person() {
    for subject in ["DiagnosticReport/none", "Patient/none"] {
        let hospital = Hospital::open();
        hospital.network.spoil(&format!("GET {EHR}/{subject} "), || status(404, ""));
        hospital.push_for(subject, None).await;
        let issue = hospital.waits(subject, "held", Code::SubjectUnknown).await;
        assert!(issue.detail.contains(&subject.replace("/none", "")), "{}", issue.detail);
        assert!(hospital.network.sent_nothing(), "{subject}");
    }
}

#[tokio::test]
async fn a_patient_is_named_with_the_type_in_every_search() {
    let hospital = Hospital::open();
    hospital.push().await;
    hospital.push_for("Patient/p1", None).await;
    let asked = hospital.network.asked();
    let by_patient: Vec<&String> = asked.iter().filter(|it| it.contains("patient=")).collect();
    assert!(by_patient.len() > 8, "{by_patient:?}");
    let bare = by_patient.iter().find(|it| !it.contains("patient=Patient%2Fp1"));
    assert_eq!(bare, None, "some servers find nothing by a bare id");
}

#[tokio::test]
async fn a_purpose_that_was_not_agreed_stops_the_push() {
    let hospital = Hospital::open();
    hospital.push_for("e1", Some(Purpose::Treatment)).await;
    let issue = hospital.waits("treatment", "held", Code::PurposeNotAgreed).await;
    assert!(issue.detail.contains("TREAT"), "{}", issue.detail);
}

#[tokio::test]
async fn a_chart_that_breaks_off_behind_the_door_stops_the_push_of_that_payer() {
    let table: [(&str, Fault, &str, Code); 4] = [
        ("away", not_sent, "due", Code::SourceUnreachable),
        ("not allowed", || status(403, ""), "held", Code::SourceRefused),
        ("cut short", || status(200, "{"), "held", Code::SourceUnreadable),
        ("with a nought in a text", nought, "held", Code::SourceUnreadable),
    ];
    for (case, told, state, code) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(&format!("GET {EHR}/Observation"), told);
        hospital.push().await;
        hospital.waits(case, state, code).await;
        hospital.network.mend();
        hospital.clock.advance(1);
        if state == "held" {
            let id = hospital.work().await[0].id.clone();
            let release = crate::desk::release(&id);
            hospital.command(release).await.unwrap();
        }
        assert_eq!(hospital.work().await[0].state, "settled", "{case}: it goes on when mended");
    }
}

#[tokio::test]
async fn without_its_restrictions_a_house_sends_nothing() {
    let hospital = Hospital::open();
    std::fs::remove_file(hospital.folder.path().join("restrictions.toml")).unwrap();
    hospital.push().await;
    let missing = hospital.waits("no table", "held", Code::RestrictionsUnreadable).await;
    assert_eq!(hospital.explain().await.unwrap_err(), missing);
    hospital.restrict("[[restriction]]\nsubject = 7\n");
    let id = hospital.work().await[0].id.clone();
    hospital.command(crate::desk::release(&id)).await.unwrap();
    hospital.waits("a damaged table", "held", Code::RestrictionsUnreadable).await;
    assert!(hospital.network.sent_nothing());
}

#[tokio::test]
async fn what_may_not_travel_at_all_ends_as_withheld() {
    let hospital = Hospital::open();
    hospital.restrict("[[restriction]]\nsubject = \"Patient/p1\"\nreason = \"self-pay\"\n");
    hospital.push().await;
    let rows = hospital.work().await;
    assert_eq!((rows[0].state.as_str(), rows[0].resources), ("withheld", 0));
    let told = &rows[0].issues[0].issue;
    assert_eq!(told.code, Code::AllWithheld);
    let shown = hospital.show(&rows[0].id).await;
    let line = format!("nothing may travel: {}", told.detail);
    assert!(shown.timeline.iter().any(|row| row.what == line), "{:?}", shown.timeline);
    assert!(hospital.network.sent_nothing());
}

/// 30 MB, which one answer may have.
fn large(id: &str) -> Told {
    let wide = format!(r#""id":"{id}",{}"#, " ".repeat(30_000_000));
    status(200, WEIGHT.replace(r#""id":"o1","#, &wide))
}

#[tokio::test]
async fn what_a_search_gives_in_part_is_read_within_the_room_of_the_search() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Observation?"), || {
        let one = |n| in_part(&WEIGHT.replace("\"o1\"", &format!("\"b{n}\"")));
        let all: Vec<String> = (1..=8).map(one).collect();
        status(200, searchset(&all.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    let wholes: [Fault; 8] = [
        || large("b1"),
        || large("b2"),
        || large("b3"),
        || large("b4"),
        || large("b5"),
        || large("b6"),
        || large("b7"),
        || large("b8"),
    ];
    for (n, whole) in (1..).zip(wholes) {
        hospital.network.spoil(&format!("GET {EHR}/Observation/b{n} "), whole);
    }
    let source = hospital.road.charts.source();
    let found = source.search("Observation", &[("patient", "p1")]).await;
    assert_eq!(found.unwrap_err().code, Code::SourceUnreadable);
    let asked = hospital.network.asked();
    let reads = asked.iter().filter(|line| line.contains("/Observation/b")).count();
    assert!(reads <= SOURCE_REQUESTS_MAX, "no more than had begun: {reads}");
}
