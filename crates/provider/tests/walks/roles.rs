//! A practitioner's roles come along, where the EHR has a search for them and the agreement asks for
//! them; they are asked for once in a chart, and stop no push.

use crate::hospital::{EHR, ENCOUNTER, Fault, Hospital, Told, not_sent, searchset, status};
use exchange::Code;
use exchange::desk::{Command, Reply};

const ROLE: &str = r#"{"resourceType":"PractitionerRole","id":"r","practitioner":{"reference":"Practitioner/d"},"organization":{"reference":"Organization/o"},"code":[{"text":"a specialist"}]}"#;

fn visit() -> Told {
    let seen = r#""participant":[{"individual":{"reference":"Practitioner/d"}}],"status""#;
    status(200, ENCOUNTER.replace("\"status\"", seen))
}

/// Its own role, and one of somebody else: some EHRs pass over what they are asked by.
fn roles() -> Told {
    let other = ROLE.replace("\"r\"", "\"x\"").replace("Practitioner/d", "Practitioner/x");
    status(200, searchset(&[ROLE, &other]))
}

fn practice() -> Told {
    status(200, r#"{"resourceType":"Organization","id":"o","name":"a practice"}"#)
}

fn offers() -> Told {
    let parameters = r#"[{"name":"practitioner","type":"reference"}]"#;
    let rest = format!(r#"[{{"mode":"server","searchParam":{parameters}}}]"#);
    status(200, format!(r#"{{"resourceType":"CapabilityStatement","rest":{rest}}}"#))
}

/// A statement that names other types: a search that is not among them is not offered.
fn offers_none() -> Told {
    let kinds = ["Coverage", "Observation", "Patient", "Encounter", "Practitioner"];
    let kinds = kinds.map(|kind| {
        format!(r#"{{"type":"{kind}","searchParam":[{{"name":"patient","type":"reference"}}]}}"#)
    });
    let rest = format!(r#"[{{"mode":"server","resource":[{}]}}]"#, kinds.join(","));
    status(200, format!(r#"{{"resourceType":"CapabilityStatement","rest":{rest}}}"#))
}

fn hospital(statement: Fault, answer: Fault) -> Hospital {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Encounter/e1"), visit);
    hospital.network.spoil(&format!("GET {EHR}/metadata"), statement);
    hospital.network.spoil(&format!("GET {EHR}/PractitionerRole?"), answer);
    hospital.network.spoil(&format!("GET {EHR}/Organization/o"), practice);
    hospital
}

/// What explain says travels beside the patient, the encounter, the coverage and a weight.
async fn beside(hospital: &Hospital) -> Vec<String> {
    let (payers, _) = hospital.explain().await.unwrap();
    let travels = payers[0].decisions.iter().filter(|row| row.included);
    let known = ["Patient/", "Encounter/", "Coverage/", "Observation/"];
    let travels = travels.map(|row| row.reference.clone());
    travels.filter(|it| !known.iter().any(|kind| it.starts_with(kind))).collect()
}

fn searches(hospital: &Hospital) -> Vec<String> {
    let asked = hospital.network.asked().into_iter();
    asked.filter(|line| line.contains("/PractitionerRole")).collect()
}

async fn said(hospital: &Hospital) -> String {
    let Ok(Reply::Checked { lines }) = hospital.command(Command::Check {}).await else {
        panic!("check answers")
    };
    let line = lines.into_iter().find(|line| line.what.contains("roles")).unwrap();
    line.found
}

#[tokio::test]
async fn a_role_that_nothing_refers_to_comes_with_its_practitioner() {
    let hospital = hospital(offers, roles);
    let whole = ["Organization/o", "Practitioner/d", "PractitionerRole/r"];
    assert_eq!(beside(&hospital).await, whole);
    let line = format!("GET {EHR}/PractitionerRole?practitioner=Practitioner%2Fd");
    assert_eq!(searches(&hospital), [line], "one search for one practitioner");
    let rows = hospital.push().await;
    assert_eq!((rows[0].state.as_str(), rows[0].resources), ("settled", 8));
    assert_eq!(said(&hospital).await, "searched for by practitioner");
}

#[tokio::test]
async fn an_ehr_without_that_search_stops_nothing_and_check_says_so() {
    let silent: Fault = || status(404, "");
    let table: [(&str, Fault, Fault, &str, usize); 5] = [
        ("it offers none", offers_none, roles, "does not offer", 0),
        ("it says nothing, and has none", silent, || status(404, ""), "nothing readable", 1),
        ("it refuses it", offers, || status(400, ""), "refuses", 1),
        ("it has no such search", offers, || status(501, ""), "refuses", 1),
        ("it lets nobody", offers, || status(403, ""), "lets this house make no", 1),
    ];
    for (case, statement, answer, words, asked) in table {
        let hospital = hospital(statement, answer);
        assert_eq!(beside(&hospital).await, ["Practitioner/d"], "{case}");
        assert_eq!(searches(&hospital).len(), asked, "{case}");
        let rows = hospital.push().await;
        assert_eq!(rows[0].state, "settled", "{case}");
        assert!(said(&hospital).await.contains(words), "{case}");
    }
}

#[tokio::test]
async fn an_ehr_that_breaks_off_there_is_waited_for_as_everywhere() {
    let hospital = hospital(offers, not_sent);
    hospital.push().await;
    hospital.waits("away", "due", Code::SourceUnreachable).await;
}

#[tokio::test]
async fn roles_that_the_agreement_does_not_ask_for_are_not_read() {
    let hospital =
        hospital(offers, roles).with_terms(|text| text.replace("\"PractitionerRole\", ", ""));
    assert_eq!(beside(&hospital).await, ["Practitioner/d"]);
    assert_eq!(searches(&hospital), [] as [String; 0]);
}
