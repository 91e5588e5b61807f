//! Goal: every coverage leads to a payer, to work for a person, or to nothing, and it is known why.

#![allow(clippy::unwrap_used)]

use super::*;

const BASE: &str = "https://ehr.test/fhir";

fn terms(partner: &str, identifier: &str) -> Terms {
    let text = format!(
        "partner = '{partner}'\npurposes = ['HPAYMT']\n[[payer_identifiers]]\n{identifier}\n"
    );
    Terms::parse(&text, "a.toml", &|_| None).unwrap()
}

fn resource(text: &str) -> Resource {
    Resource::parse(text.to_owned()).unwrap()
}

fn encounter(period: &str) -> Resource {
    resource(&format!(r#"{{"resourceType":"Encounter","id":"e1","status":"finished"{period}}}"#))
}

fn coverage(id: &str, more: &str) -> Resource {
    let text = format!(
        r#"{{"resourceType":"Coverage","id":"{id}","beneficiary":{{"reference":"Patient/p1"}},{more}}}"#
    );
    resource(&text)
}

const DAY: &str = r#","period":{"start":"2024-05-10T08:00:00+02:00"}"#;
const BLUE: &str = r#""payor":[{"reference":"Organization/blue"}]"#;

fn ask(coverages: &[Resource], encounter: &Resource, purpose: Purpose) -> Scope {
    let organizations = [
        resource(
            r#"{"resourceType":"Organization","id":"blue","identifier":[{"value":"zz"},{"system":"urn:naic","value":"111"}]}"#,
        ),
        resource(
            r#"{"resourceType":"Organization","id":"grey","identifier":[{"system":"urn:naic","value":"999"}]}"#,
        ),
        resource(r#"{"resourceType":"Organization","id":"bare"}"#),
    ];
    let (blue, green) =
        (terms("blue", "system = 'urn:naic'\nvalue = '111'"), terms("green", "value = '222'"));
    let (twin, other) = (terms("twin-a", "value = '333'"), terms("twin-b", "value = '333'"));
    scope(&Question {
        patient: "p1",
        encounter,
        purpose: Some(purpose),
        coverages,
        organizations: &organizations,
        agreements: &[&blue, &green, &twin, &other],
        payors: &PayorMap::default(),
        source_base: BASE,
    })
}

fn told(scope: &Scope) -> (Vec<String>, Vec<Code>) {
    let row = |payer: &ScopedPayer| format!("{}: {}", payer.partner, payer.coverages.join(" "));
    (scope.dossiers.iter().map(row).collect(), scope.issues.iter().map(|i| i.code).collect())
}

/// Provokes `Code::CoverageMissing`, `Code::PayerUnmapped` and `Code::SourceUnreadable`.
#[test]
fn a_coverage_counts_or_says_why_not() {
    let active = |more: &str| format!(r#""status":"active",{more}"#);
    let missing = Code::CoverageMissing;
    let unmapped = Code::PayerUnmapped;
    let payor = |payor: &str| active(&format!(r#""payor":[{payor}]"#));
    let period = |period: &str| active(&format!(r#"{BLUE},"period":{period}"#));
    #[rustfmt::skip]
    let table: Vec<(&str, String, Option<&str>, Option<Code>)> = vec![
        ("by its Organization", active(BLUE), Some("blue"), None),
        ("by an absolute reference", payor(r#"{"reference":"https://ehr.test/fhir/Organization/blue"}"#), Some("blue"), None),
        ("by the reference's identifier", payor(r#"{"identifier":{"system":"urn:x","value":"222"}}"#), Some("green"), None),
        ("by a contained Organization", active(r##""contained":[{"resourceType":"Organization","id":"o","identifier":[{"value":"222"}]}],"payor":[{"reference":"#o"}]"##), Some("green"), None),
        ("cancelled", format!(r#""status":"cancelled",{BLUE}"#), None, Some(missing)),
        ("entered in error", format!(r#""status":"entered-in-error",{BLUE}"#), None, Some(missing)),
        ("without a status", BLUE.to_owned(), None, Some(Code::SourceUnreadable)),
        ("a status that is none", format!(r#""status":"lapsed",{BLUE}"#), None, Some(Code::SourceUnreadable)),
        ("a draft", format!(r#""status":"draft",{BLUE}"#), None, Some(missing)),
        ("nobody pays, by the payment typology", active(&format!(r#"{BLUE},"type":{{"coding":[{{"system":"https://nahdo.org/sopt","code":"81"}}]}}"#)), None, Some(missing)),
        ("a plan, by the payment typology", active(&format!(r#"{BLUE},"type":{{"coding":[{{"system":"https://nahdo.org/sopt","code":"3712"}}]}}"#)), Some("blue"), None),
        ("no payor", active(r#""subscriberId":"W1""#), None, Some(unmapped)),
        ("an empty list of payors", active(r#""payor":[]"#), None, Some(unmapped)),
        ("the patient pays", payor(r#"{"reference":"Patient/p1"}"#), None, Some(missing)),
        ("a relative pays", payor(r#"{"reference":"RelatedPerson/r1"}"#), None, Some(missing)),
        ("self-pay by its type", active(&format!(r#"{BLUE},"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/coverage-selfpay","code":"pay"}}]}}"#)), None, Some(missing)),
        ("a payer of no agreement", payor(r#"{"reference":"Organization/grey"}"#), None, Some(unmapped)),
        ("a payer without identifiers", payor(r#"{"reference":"Organization/bare"}"#), None, Some(unmapped)),
        ("a payer the source does not hold", payor(r#"{"reference":"Organization/gone"}"#), None, Some(unmapped)),
        ("a payer by words", payor(r#"{"display":"Blue"}"#), None, Some(unmapped)),
        ("the right number in another system", payor(r#"{"identifier":{"system":"urn:y","value":"111"}}"#), None, Some(unmapped)),
        ("a payer of two agreements", payor(r#"{"identifier":{"value":"333"}}"#), None, Some(unmapped)),
        ("the same day", period(r#"{"start":"2024-05-10","end":"2024-05-10"}"#), Some("blue"), None),
        ("the same month", period(r#"{"start":"2024-05","end":"2024-05"}"#), Some("blue"), None),
        ("the same year", period(r#"{"start":"2024","end":"2024"}"#), Some("blue"), None),
        ("to the end of the month before", period(r#"{"end":"2024-04"}"#), None, Some(missing)),
        ("from the next day", period(r#"{"start":"2024-05-11"}"#), None, Some(missing)),
        ("ended at a time of that day", period(r#"{"end":"2024-05-10T00:00:00Z"}"#), Some("blue"), None),
        ("dates that are none", period(r#"{"start":"10.5.2024"}"#), None, Some(Code::SourceUnreadable)),
        ("a thirteenth month", period(r#"{"start":"2024-13"}"#), None, Some(Code::SourceUnreadable)),
    ];
    for (case, more, partner, code) in table {
        let scope = ask(&[coverage("c1", &more)], &encounter(DAY), Purpose::Payment);
        let rows = partner.map(|partner| format!("{partner}: Coverage/c1"));
        assert_eq!(
            told(&scope),
            (rows.into_iter().collect(), code.into_iter().collect()),
            "{case}"
        );
        for issue in &scope.issues {
            let text = issue.to_string();
            assert!(!text.contains("999") && !text.contains("Coverage/c1"), "{case}: {text}");
        }
    }
}

#[test]
fn what_was_found_instead_of_a_coverage_is_said() {
    let coverage = |id: &str, status: &str, whose: &str| {
        resource(&format!(
            r#"{{"resourceType":"Coverage","id":"{id}","status":"{status}","beneficiary":{{"reference":"Patient/{whose}"}},{BLUE}}}"#
        ))
    };
    let (void, theirs) = (coverage("a", "entered-in-error", "p1"), coverage("b", "active", "p2"));
    let table: [(&[Resource], &str); 4] = [
        (&[], "no coverage counts on the day of service: the EHR answers none for the patient"),
        (
            std::slice::from_ref(&void),
            "no coverage counts on the day of service: of 1, its status is not active",
        ),
        (
            std::slice::from_ref(&theirs),
            "no coverage counts on the day of service: of 1, it is another patient's",
        ),
        (
            &[void.clone(), theirs.clone()],
            "no coverage counts on the day of service: of 1, it is another patient's; of 1, its status is not active",
        ),
    ];
    for (coverages, words) in table {
        let scope = ask(coverages, &encounter(DAY), Purpose::Payment);
        assert_eq!(scope.issues[0].detail, words);
    }
}

#[test]
fn another_patients_coverage_is_not_read_for_this_one() {
    let text = format!(
        r#"{{"resourceType":"Coverage","id":"c","status":"active","beneficiary":{{"reference":"Patient/p2"}},{BLUE}}}"#
    );
    let scope = ask(&[resource(&text)], &encounter(DAY), Purpose::Payment);
    assert_eq!(told(&scope), (vec![], vec![Code::CoverageMissing]));
    let nobody = r#"{"resourceType":"Coverage","id":"c","status":"active"}"#;
    let scope = ask(&[resource(nobody)], &encounter(DAY), Purpose::Payment);
    assert_eq!(told(&scope), (vec![], vec![Code::SourceUnreadable]));
}

#[test]
fn two_coverages_with_one_payer_are_one_dossier_in_any_order() {
    let green = r#""status":"active","payor":[{"identifier":{"value":"222"}},{"identifier":{"value":"444"}}]"#;
    let mut coverages = vec![
        coverage("c2", &format!(r#""status":"active","subscriberId":"M-2",{BLUE}"#)),
        coverage(
            "c1",
            &format!(
                r#""status":"active","identifier":[{{"type":{{"coding":[{{"code":"MB"}}]}},"value":"M-1"}}],{BLUE}"#
            ),
        ),
        coverage("c3", green),
    ];
    let scope = ask(&coverages, &encounter(DAY), Purpose::Payment);
    let rows = vec!["blue: Coverage/c1 Coverage/c2".to_owned(), "green: Coverage/c3".to_owned()];
    assert_eq!(told(&scope), (rows, vec![Code::PayerUnmapped]), "one payor of c3 is unknown");
    assert!(!format!("{scope:?}").contains("M-1"), "member ids are not taken along");
    coverages.reverse();
    assert_eq!(ask(&coverages, &encounter(DAY), Purpose::Payment), scope);
}

/// A reference to a coverage is kept or cut by whose it is; so a payer's own are its own on every day.
#[test]
fn a_payers_own_coverages_are_the_same_on_every_day_of_service() {
    let green = r#""payor":[{"identifier":{"value":"222"}}]"#;
    let period = |period: &str| format!(r#""status":"active","period":{period}"#);
    let coverages = [
        coverage("ended", &format!(r#"{},{BLUE}"#, period(r#"{"start":"2010","end":"2012"}"#))),
        coverage("now", &format!(r#"{},{BLUE}"#, period(r#"{"start":"2024-01-01"}"#))),
        coverage("later", &format!(r#"{},{BLUE}"#, period(r#"{"start":"2030-01-01"}"#))),
        coverage("void", &format!(r#""status":"entered-in-error",{BLUE}"#)),
        coverage("theirs", &format!(r#"{},{green}"#, period(r#"{"start":"2011","end":"2012"}"#))),
    ];
    let blue = "blue: Coverage/ended Coverage/later Coverage/now".to_owned();
    let then = encounter(r#","period":{"start":"2011-05-10"}"#);
    let rows = vec![blue.clone(), "green: Coverage/theirs".to_owned()];
    assert_eq!(told(&ask(&coverages, &then, Purpose::Payment)), (rows, vec![]));
    let scope = ask(&coverages, &encounter(DAY), Purpose::Payment);
    assert_eq!(told(&scope), (vec![blue], vec![]));
    let between = encounter(r#","period":{"start":"2015-05-10"}"#);
    let scope = ask(&coverages, &between, Purpose::Payment);
    assert_eq!(told(&scope), (vec![], vec![Code::CoverageMissing]), "none holds on that day");
}

/// Provokes `Code::PurposeNotAgreed` and `Code::EncounterUnfinished`.
#[test]
fn what_the_agreement_does_not_allow_is_said() {
    let coverages = [coverage("c1", &format!(r#""status":"active",{BLUE}"#))];
    let scope = ask(&coverages, &encounter(DAY), Purpose::Quality);
    assert_eq!(told(&scope), (vec![], vec![Code::PurposeNotAgreed]));
    let open = resource(r#"{"resourceType":"Encounter","id":"e","status":"in-progress"}"#);
    let scope = ask(&coverages, &open, Purpose::Payment);
    assert_eq!(told(&scope), (vec![], vec![Code::EncounterUnfinished]));
}

#[test]
fn an_encounter_without_a_date_is_covered_only_without_a_period() {
    let open = coverage("c1", &format!(r#""status":"active",{BLUE}"#));
    let dated = coverage("c1", &format!(r#""status":"active",{BLUE},"period":{{"end":"2030"}}"#));
    assert_eq!(told(&ask(&[open], &encounter(""), Purpose::Payment)).1, vec![]);
    let scope = ask(&[dated], &encounter(""), Purpose::Payment);
    assert_eq!(told(&scope).1, vec![Code::CoverageMissing]);
}
