//! What is pushed is judged by the patient's whole chart, as far as the agreement names it.

use crate::hospital::{COVERAGE, EHR, Hospital, Told, searchset, status};
use exchange::Code;

const NOTE: &str = r#"{"resourceType":"DocumentReference","id":"d1","status":"current","subject":{"reference":"Patient/p1"},"content":[{"attachment":{"contentType":"text/plain","data":"U0VDUkVU"}}],"context":{"encounter":[{"reference":"Encounter/e1"}],"period":{"start":"2026-11-20T09:00:00Z","end":"2026-11-20T10:00:00Z"}}}"#;
const OTHER_VISIT: &str = r#"{"resourceType":"Encounter","id":"other","status":"finished","subject":{"reference":"Patient/p1"},"period":{"start":"2026-11-20T15:00:00Z","end":"2026-11-20T16:00:00Z"}}"#;
const LABELLED: &str = r#"{"resourceType":"Condition","id":"quiet","meta":{"security":[{"code":"R"}]},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/other"},"recordedDate":"2026-11-20"}"#;

fn notes() -> Told {
    status(200, searchset(&[NOTE]))
}

fn visits() -> Told {
    status(200, searchset(&[OTHER_VISIT]))
}

fn conditions() -> Told {
    status(200, searchset(&[LABELLED]))
}

/// The rule on the note, as `explain` says it.
async fn rule(hospital: &Hospital) -> String {
    let (payers, _) = hospital.explain().await.unwrap();
    let mut decisions = payers[0].decisions.iter();
    let note = decisions.find(|row| row.reference == "DocumentReference/d1").unwrap();
    note.rule.clone()
}

#[tokio::test]
async fn a_note_stays_for_what_lies_in_its_days_elsewhere_in_the_chart() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/DocumentReference"), notes);
    hospital.network.spoil(&format!("GET {EHR}/Encounter?"), visits);
    assert_eq!(rule(&hospital).await, "notes", "nothing is sensitive");
    hospital.restrict("[[restriction]]\nsubject = \"Encounter/other\"\nreason = \"self-pay\"\n");
    assert_eq!(rule(&hospital).await, "opaque-in-sensitive-period", "another visit is restricted");
    hospital.restrict("");
    hospital.network.spoil(&format!("GET {EHR}/Condition"), conditions);
    assert_eq!(rule(&hospital).await, "opaque-in-sensitive-period", "a record is labelled");
    let rows = hospital.push().await;
    assert_eq!((rows[0].state.as_str(), rows[0].withheld.len()), ("settled", 1));
}

const ORDER: &str = r#"{"resourceType":"ServiceRequest","id":"s1","status":"completed","subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"},"code":{"text":"what was looked for"}}"#;
const REPORT: &str = r#"{"resourceType":"DiagnosticReport","id":"r1","status":"final","subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/other"},"result":[{"reference":"Observation/panel"}]}"#;
const PANEL: &str = r#"{"resourceType":"Observation","id":"panel","status":"final","subject":{"reference":"Patient/p1"},"hasMember":[{"reference":"Observation/x"}]}"#;
const RESULT: &str = r#"{"resourceType":"Observation","id":"x","status":"final","meta":{"security":[{"code":"HIV"}]},"subject":{"reference":"Patient/p1"},"basedOn":[{"reference":"ServiceRequest/s1"}]}"#;

/// The result has no category, so that no search of a certified EHR finds it.
#[tokio::test]
async fn an_order_stays_for_a_labelled_result_that_only_a_panel_of_another_report_lists() {
    let hospital = Hospital::open();
    let says = |begins: &str, told| hospital.network.spoil(&format!("GET {EHR}/{begins}"), told);
    says("ServiceRequest?", || status(200, searchset(&[ORDER])));
    says("DiagnosticReport?", || status(200, searchset(&[REPORT])));
    says("Observation/panel ", || status(200, PANEL));
    says("Observation/x ", || status(200, RESULT));
    let (payers, _) = hospital.explain().await.unwrap();
    let rule = |reference: &str| {
        let row = payers[0].decisions.iter().find(|row| row.reference == reference);
        row.map(|row| row.rule.as_str())
    };
    assert_eq!(rule("ServiceRequest/s1"), Some("about-withheld"));
    assert_eq!(rule("Observation/x"), None, "it is not asked for");
}

#[tokio::test]
async fn no_type_is_read_that_the_agreement_does_not_name() {
    let hospital = Hospital::open();
    hospital.push().await;
    let asked = hospital.network.asked();
    assert_eq!(asked.iter().find(|line| line.contains("/Goal?")), None);
}

/// 60 MB, which one search may have.
fn large(kind: &str) -> Told {
    let wide = " ".repeat(60_000_000);
    let one = format!(
        r#"{{"resourceType":"{kind}","id":"l",{wide}"subject":{{"reference":"Patient/p1"}}}}"#
    );
    status(200, searchset(&[&one]))
}

fn both_plans() -> Told {
    let other = COVERAGE.replace("99001", "99002").replace(r#""c1""#, r#""c2""#);
    status(200, searchset(&[COVERAGE, &other]))
}

/// Without notes and orders.
fn narrow(text: String) -> String {
    let text = text.replace(r#""DocumentReference", "ServiceRequest", "CareTeam","#, "");
    let text = text.replace(r#""DocumentReference", "Binary""#, r#""RelatedPerson""#);
    text.replace(r#""ServiceRequest","#, "")
}

#[tokio::test]
async fn a_payer_whose_agreement_fills_the_chart_holds_up_no_other() {
    for (number, fits) in [("99001", "sunrise"), ("99002", "sunset")] {
        let write = |text: String| if text.contains(number) { narrow(text) } else { text };
        let hospital = Hospital::open_with_both().with_terms(write);
        let says =
            |begins: &str, told| hospital.network.spoil(&format!("GET {EHR}/{begins}"), told);
        says("Coverage?", both_plans);
        says("DocumentReference?", || large("DocumentReference"));
        says("ServiceRequest?", || large("ServiceRequest"));
        let rows = hospital.push().await;
        let state = |row: &exchange::desk::Row| {
            (row.partner.as_ref().unwrap().to_string(), row.state.clone())
        };
        let mut states: Vec<_> = rows.iter().map(state).collect();
        states.sort();
        let ends = |name: &str| if name == fits { "settled" } else { "held" };
        let wanted = ["sunrise", "sunset"].map(|name| (name.to_owned(), ends(name).to_owned()));
        assert_eq!(states, wanted, "{rows:?}");
        let told = rows.iter().flat_map(|row| &row.issues).next().unwrap();
        assert_eq!(told.issue.code, Code::SourceUnreadable);
    }
}
