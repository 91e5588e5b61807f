//! Goal: what is not usable is told before it is sent and after, in the same words, and holds a push
//! only where the agreement says so.

use crate::desk::release;
use crate::hospital::{EHR, ENCOUNTER, Hospital, Told, status};
use exchange::acknowledgement::Acknowledgement;
use exchange::{Code, FindingCode};

const HOLD: &str = "\n[usability]\nhold = [\"visit-number-missing\"]\n";

/// The visit with what the agreement asks for.
fn numbered() -> Told {
    let number = r#""identifier":[{"value":"V1"}],"status":"finished""#;
    status(200, ENCOUNTER.replace(r#""status":"finished""#, number))
}

#[tokio::test]
async fn what_is_told_before_is_told_after() {
    let hospital = Hospital::open();
    let (before, _) = hospital.explain().await.unwrap();
    let words: Vec<_> = before[0].findings.iter().map(|finding| finding.word).collect();
    for word in [FindingCode::VisitNumberMissing, FindingCode::ResultCodeMissing] {
        assert!(words.contains(&word), "{words:?}");
    }
    assert!(before[0].waits.is_empty(), "findings alone hold nothing");
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "settled", "{rows:?}");
    let shown = hospital.show(&rows[0].id).await;
    assert_eq!(shown.findings, before[0].findings, "show");
    let told: Acknowledgement = serde_json::from_value(shown.acknowledgement.unwrap()).unwrap();
    assert_eq!(told.findings, before[0].findings, "the acknowledgement");
    let line =
        "not usable: visit-number-missing, once: the encounter has no visit or account number";
    assert!(told.lines().iter().any(|told| told == line), "{:?}", told.lines());
}

/// Provokes `Code::NotUsable`.
#[tokio::test]
async fn what_the_agreement_holds_waits_before_it_is_sent() {
    let hospital = Hospital::open().with_agreed(HOLD);
    let (before, _) = hospital.explain().await.unwrap();
    hospital.push().await;
    let issue = hospital.waits("held", "held", Code::NotUsable).await;
    assert_eq!(before[0].waits[0].issue, issue, "explain has said so");
    assert!(hospital.network.sent_nothing());
    let held = hospital.work().await.remove(0);
    assert!(held.label.is_some(), "it has its number");
    hospital.command(release(&held.id)).await.unwrap();
    let rows = hospital.work().await;
    assert_eq!(rows[0].state, "settled", "a person sends it as it is: {rows:?}");
    assert!(!hospital.network.sent_nothing());
}

#[tokio::test]
async fn a_mended_chart_takes_the_place_of_what_waits() {
    let hospital = Hospital::open().with_agreed(HOLD);
    hospital.push().await;
    hospital.waits("held", "held", Code::NotUsable).await;
    hospital.network.spoil(&format!("GET {EHR}/Encounter/e1"), numbered);
    let (explained, _) = hospital.explain().await.unwrap();
    assert!(explained[0].waits.is_empty(), "{:?}", explained[0].waits);
    let rows = hospital.push().await;
    let mut states: Vec<_> = rows.iter().map(|row| row.state.as_str()).collect();
    states.sort_unstable();
    assert_eq!(states, ["settled", "superseded"], "{rows:?}");
}

#[tokio::test]
async fn what_stays_here_as_a_whole_is_not_called_unusable() {
    let hospital = Hospital::open().with_agreed(HOLD);
    hospital.restrict("[[restriction]]\nsubject = \"Encounter/e1\"\nreason = \"self-pay\"\n");
    let (before, _) = hospital.explain().await.unwrap();
    assert!(before[0].findings.is_empty() && before[0].waits.is_empty(), "{before:?}");
    let rows = hospital.push().await;
    assert_eq!(rows[0].state, "withheld");
    assert!(hospital.show(&rows[0].id).await.findings.is_empty());
}
