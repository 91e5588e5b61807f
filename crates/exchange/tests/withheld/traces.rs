//! Traces: around a withheld visit, a withheld diagnosis and another payer, no word of them is left
//! anywhere in what is sent.

use super::{House, chart, read, sent, told};
use exchange::shape::Collected;

/// What stays: a restricted visit with all that is its own, a diagnosis that is restricted by itself,
/// a labelled result and medication, another payer. Each word of theirs is SECRET.
const WITHHELD: &[&str] = &[
    r#"{"resourceType":"Encounter","id":"secret","status":"finished","period":{"start":"2024-03-01T10:00:00Z","end":"2024-03-01T11:00:00Z"},"reasonCode":[{"text":"SECRET"}],"location":[{"location":{"reference":"Location/unit","display":"SECRET"}}],"diagnosis":[{"condition":{"reference":"Condition/theirs","display":"SECRET"}}],"account":[{"reference":"Account/theirs"}]}"#,
    r#"{"resourceType":"Condition","id":"theirs","onsetDateTime":"2024-03-01","code":{"text":"SECRET"}}"#,
    r#"{"resourceType":"Condition","id":"wish","code":{"text":"SECRET"},"encounter":{"reference":"Encounter/open"}}"#,
    r#"{"resourceType":"Account","id":"theirs","name":"SECRET","subject":[{"reference":"Patient/p"}]}"#,
    r#"{"resourceType":"Procedure","id":"theirs","encounter":{"reference":"Encounter/secret"},"code":{"text":"SECRET"}}"#,
    r#"{"resourceType":"Observation","id":"theirs","effectiveDateTime":"2024-03-01T10:10:00Z","code":{"text":"SECRET"}}"#,
    r#"{"resourceType":"Observation","id":"label","meta":{"security":[{"code":"HIV"}]},"code":{"text":"SECRET"},"encounter":{"reference":"Encounter/open"},"effectiveDateTime":"2024-05-01"}"#,
    r#"{"resourceType":"Medication","id":"label","meta":{"security":[{"code":"R"}]},"code":{"text":"SECRET"}}"#,
    r#"{"resourceType":"Media","id":"label","meta":{"security":[{"code":"HIV"}]},"createdDateTime":"2024-05-01","note":[{"text":"SECRET"}]}"#,
    r#"{"resourceType":"Practitioner","id":"label","meta":{"security":[{"code":"R"}]},"name":[{"text":"SECRET"}]}"#,
    r#"{"resourceType":"Coverage","id":"other","subscriberId":"SECRET","beneficiary":{"reference":"Patient/p"},"payor":[{"display":"SECRET"}]}"#,
    r#"{"resourceType":"Claim","id":"c","type":{"text":"SECRET"}}"#,
    r#"{"resourceType":"ExplanationOfBenefit","id":"c","disposition":"SECRET"}"#,
    r#"{"resourceType":"DocumentReference","id":"theirs","description":"SECRET","content":[{"attachment":{"title":"SECRET","url":"Binary/theirs"}}],"context":{"encounter":[{"reference":"Encounter/secret"}]}}"#,
    r#"{"resourceType":"Binary","id":"theirs","data":"U0VDUkVU"}"#,
];

/// What travels, or would but for what it tells. `KEPT` stands where nothing is told.
#[rustfmt::skip]
const PLACES: &[(&str, &str)] = &[
    ("a diagnosis, with its role", r#"{"resourceType":"Encounter","id":"open","status":"finished","class":{"code":"KEPT"},"period":{"start":"2024-05-01","end":"2024-05-01"},"diagnosis":[{"condition":{"reference":"Condition/wish","display":"SECRET"},"use":{"text":"SECRET"}}]}"#),
    ("the reason in words beside the reason", r#"{"resourceType":"Encounter","id":"e1","class":{"code":"KEPT"},"reasonReference":[{"reference":"Condition/wish","display":"SECRET"}],"reasonCode":[{"text":"SECRET","coding":[{"display":"SECRET"}]}]}"#),
    ("a visit within the visit", r#"{"resourceType":"Encounter","id":"e2","period":{"start":"2024-03-01","end":"2024-03-01"},"partOf":{"reference":"Encounter/secret","display":"SECRET"},"type":[{"text":"SECRET"}]}"#),
    ("who took part", r#"{"resourceType":"Encounter","id":"e3","class":{"code":"KEPT"},"participant":[{"type":[{"text":"SECRET"}],"individual":{"reference":"Practitioner/label","display":"SECRET"}}]}"#),
    ("an account of theirs", r#"{"resourceType":"Encounter","id":"e4","class":{"code":"KEPT"},"account":[{"reference":"Account/theirs","display":"SECRET"}]}"#),
    ("the narrative", r#"{"resourceType":"Encounter","id":"e5","class":{"code":"KEPT"},"text":{"status":"generated","div":"<div>SECRET</div>"},"diagnosis":[{"condition":{"reference":"Condition/theirs"}}]}"#),
    ("an extension", r#"{"resourceType":"Encounter","id":"e6","class":{"code":"KEPT"},"extension":[{"url":"u","valueReference":{"reference":"Condition/wish","display":"SECRET"}}]}"#),
    ("the reason of a procedure", r#"{"resourceType":"Procedure","id":"p1","code":{"text":"KEPT"},"reasonReference":[{"reference":"Condition/wish"}],"reasonCode":[{"text":"SECRET"}],"note":[{"text":"SECRET"}],"complication":[{"text":"SECRET"}],"followUp":[{"text":"SECRET"}]}"#),
    ("part of their procedure", r#"{"resourceType":"Procedure","id":"p2","performedDateTime":"2024-03-01","partOf":[{"reference":"Procedure/theirs","display":"SECRET"}],"code":{"text":"SECRET"}}"#),
    ("a conclusion", r#"{"resourceType":"DiagnosticReport","id":"r1","code":{"text":"KEPT"},"result":[{"reference":"Observation/label","display":"SECRET"},{"reference":"Observation/fine"}],"conclusion":"SECRET","conclusionCode":[{"text":"SECRET"}],"presentedForm":[{"title":"SECRET","data":"U0VDUkVU"}]}"#),
    ("a report of nothing else", r#"{"resourceType":"DiagnosticReport","id":"r2","code":{"text":"SECRET"},"result":[{"reference":"Observation/label"},{"reference":"Observation/theirs"}]}"#),
    ("an image's comment", r#"{"resourceType":"DiagnosticReport","id":"r3","code":{"text":"KEPT"},"media":[{"comment":"SECRET","link":{"reference":"Media/label","display":"SECRET"}}]}"#),
    ("a panel's note", r#"{"resourceType":"Observation","id":"o1","code":{"text":"KEPT"},"hasMember":[{"reference":"Observation/label"},{"reference":"Observation/fine"}],"note":[{"text":"SECRET"}]}"#),
    ("a panel of nothing else", r#"{"resourceType":"Observation","id":"o2","code":{"text":"SECRET"},"hasMember":[{"reference":"Observation/theirs"}]}"#),
    ("a result of theirs without a visit", r#"{"resourceType":"Observation","id":"o3","effectiveDateTime":"2024-03-01T10:30:00Z","code":{"text":"SECRET"}}"#),
    ("drawn from theirs", r#"{"resourceType":"Observation","id":"o4","code":{"text":"KEPT"},"encounter":{"reference":"Encounter/open"},"derivedFrom":[{"reference":"Observation/theirs","display":"SECRET"}],"note":[{"text":"SECRET"}]}"#),
    ("evidence of a condition", r#"{"resourceType":"Condition","id":"c1","code":{"text":"KEPT"},"evidence":[{"code":[{"text":"SECRET"}],"detail":[{"reference":"Observation/label","display":"SECRET"}]}],"note":[{"text":"SECRET"}]}"#),
    ("the stage of a condition", r#"{"resourceType":"Condition","id":"c2","code":{"text":"KEPT"},"stage":[{"summary":{"text":"SECRET"},"assessment":[{"reference":"Observation/label"}]}]}"#),
    ("an order for a medication that stays", r#"{"resourceType":"MedicationRequest","id":"m1","medicationReference":{"reference":"Medication/label","display":"SECRET"},"dosageInstruction":[{"text":"SECRET"}]}"#),
    ("the reason of an order", r#"{"resourceType":"MedicationRequest","id":"m2","medicationCodeableConcept":{"text":"KEPT"},"reasonReference":[{"reference":"Condition/wish"}],"reasonCode":[{"text":"SECRET"}],"note":[{"text":"SECRET"}]}"#),
    ("who pays for it", r#"{"resourceType":"MedicationRequest","id":"m3","medicationCodeableConcept":{"text":"KEPT"},"insurance":[{"reference":"Coverage/other","display":"SECRET"},{"reference":"Claim/c","display":"SECRET"}]}"#),
    ("what was handed out", r#"{"resourceType":"MedicationDispense","id":"m4","medicationReference":{"reference":"Medication/label"},"note":[{"text":"SECRET"}]}"#),
    ("supporting information", r#"{"resourceType":"ServiceRequest","id":"s1","code":{"text":"KEPT"},"supportingInfo":[{"reference":"Condition/wish","display":"SECRET"}],"patientInstruction":"SECRET","note":[{"text":"SECRET"}]}"#),
    ("insurance of an order", r#"{"resourceType":"ServiceRequest","id":"s2","code":{"text":"KEPT"},"insurance":[{"reference":"Coverage/other","display":"SECRET"},{"identifier":{"value":"SECRET"},"type":"Coverage"}]}"#),
    ("the reason of an immunization", r#"{"resourceType":"Immunization","id":"i1","vaccineCode":{"text":"KEPT"},"reasonReference":[{"reference":"Condition/wish"}],"reasonCode":[{"text":"SECRET"}],"reaction":[{"date":"2024-05-02","detail":{"reference":"Observation/label","display":"SECRET"}}]}"#),
    ("a team for it", r#"{"resourceType":"CareTeam","id":"t1","status":"KEPT","name":"SECRET","category":[{"text":"SECRET"}],"reasonReference":[{"reference":"Condition/wish"}],"reasonCode":[{"text":"SECRET"}]}"#),
    ("who is in a team", r#"{"resourceType":"CareTeam","id":"t2","name":"KEPT","participant":[{"role":[{"text":"SECRET"}],"member":{"reference":"Practitioner/label","display":"SECRET"},"onBehalfOf":{"reference":"Organization/fine","display":"SECRET"}}]}"#),
    ("a team of the visit", r#"{"resourceType":"CareTeam","id":"t3","name":"SECRET","encounter":{"reference":"Encounter/secret"}}"#),
    ("a note about it", r#"{"resourceType":"DocumentReference","id":"d1","description":"SECRET","context":{"related":[{"reference":"Condition/wish","display":"SECRET"}]}}"#),
    ("a later version of their note", r#"{"resourceType":"DocumentReference","id":"d2","description":"SECRET","relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/theirs","display":"SECRET"}}]}"#),
    ("their Binary under another name", r#"{"resourceType":"DocumentReference","id":"d3","status":"KEPT","date":"2024-09-01T00:00:00Z","context":{"period":{"start":"2024-09-01","end":"2024-09-01"}},"description":"SECRET","content":[{"attachment":{"title":"SECRET","url":"Binary/theirs"}}]}"#),
    ("a note of the day, in words", r#"{"resourceType":"DocumentReference","id":"d4","description":"SECRET","content":[{"attachment":{"contentType":"text/plain","data":"U0VDUkVU","title":"SECRET"}}],"context":{"period":{"start":"2024-03-01","end":"2024-03-01"}}}"#),
    ("an account's other coverage", r#"{"resourceType":"Account","id":"a1","name":"KEPT","subject":[{"reference":"Patient/p"}],"coverage":[{"coverage":{"reference":"Coverage/own"},"priority":1},{"coverage":{"reference":"Coverage/other","display":"SECRET"},"priority":2},{"coverage":{"display":"SECRET"}}],"guarantor":[{"party":{"reference":"Patient/p","display":"SECRET"}}]}"#),
    ("a contained coverage", r##"{"resourceType":"ServiceRequest","id":"s3","code":{"text":"KEPT"},"contained":[{"resourceType":"Coverage","id":"c","payor":[{"display":"SECRET"}]}],"insurance":[{"reference":"#c","display":"SECRET"}]}"##),
    ("a contained visit", r##"{"resourceType":"Observation","id":"o5","effectiveDateTime":"2024-03-01","code":{"text":"SECRET"},"contained":[{"resourceType":"Encounter","id":"c","reasonCode":[{"text":"SECRET"}]}],"encounter":{"reference":"#c"}}"##),
    ("a contained record that tells", r##"{"resourceType":"Observation","id":"o6","code":{"text":"KEPT"},"encounter":{"reference":"Encounter/open"},"contained":[{"resourceType":"ServiceRequest","id":"c","code":{"text":"KEPT"},"reasonReference":[{"reference":"Condition/wish","display":"SECRET"}],"note":[{"text":"SECRET"}]}],"basedOn":[{"reference":"#c"}]}"##),
    ("a doctor of the patient", r#"{"resourceType":"Patient","id":"p","gender":"KEPT","generalPractitioner":[{"reference":"Practitioner/label","display":"SECRET"}]}"#),
    ("a record that nobody read", r#"{"resourceType":"Procedure","id":"p3","code":{"text":"KEPT"},"reasonReference":[{"reference":"Condition/unread","display":"SECRET"}],"reasonCode":[{"text":"SECRET"}]}"#),
    ("an allergy of the visit", r#"{"resourceType":"AllergyIntolerance","id":"al","encounter":{"reference":"Encounter/secret"},"code":{"text":"SECRET"}}"#),
    ("a fine record", r#"{"resourceType":"Observation","id":"fine","code":{"text":"KEPT"},"encounter":{"reference":"Encounter/open"}}"#),
    ("a fine place", r#"{"resourceType":"Organization","id":"fine","name":"KEPT"}"#),
];

fn house() -> House {
    House::shipped().restricting(&["Encounter/secret", "Condition/wish", "Condition/unread"])
}

#[test]
fn no_word_of_what_stays_is_left_in_what_is_sent() {
    let places: Vec<&str> = PLACES.iter().map(|(_, text)| *text).collect();
    let together = house().shape(&chart(&[&places[..], WITHHELD].concat(), &[]));
    let leaks: Vec<_> =
        sent(&together).lines().filter(|it| it.contains("SECRET")).map(String::from).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(!sent(&together).contains("U0VDUkVU"));
    for (case, text) in PLACES {
        // Alone, with what it refers to followed, and the rest only known.
        let collected = Collected {
            found: read(&[text]),
            followed: read(&[WITHHELD, &[PLACES[PLACES.len() - 2].1, places[0]]].concat()),
            known: read(&places),
            ..Collected::default()
        };
        let alone = house().shape(&collected);
        let sent = sent(&alone);
        let own = sent.lines().next().unwrap_or_default();
        assert!(!sent.contains("SECRET"), "{case}: {sent}");
        assert_eq!(text.contains("KEPT"), own.contains("KEPT"), "{case}: {sent}");
        // And the same word on it as in company.
        let reference = collected.found[0].local_reference();
        assert_eq!(
            super::word_on(&alone, &reference),
            super::word_on(&together, &reference),
            "{case}"
        );
    }
}

/// The table is no use if nothing of it would be sent without the rules.
#[test]
fn without_rules_the_planted_words_would_be_sent() {
    let permit = "[[permit]]\nrule = \"all\"\ntypes = [\"Encounter\", \"Condition\", \"Procedure\", \"Observation\", \"DiagnosticReport\", \"DocumentReference\", \"CareTeam\"]\n";
    let house = House::of(&format!("opaque = \"permit\"\n{permit}"));
    for (case, text) in PLACES.iter().filter(|(_, text)| text.contains("SECRET")) {
        let disclosure = house.shape(&chart(&[text], &[]));
        let Some(row) = told(&disclosure).into_iter().find(|row| row.ends_with(" all")) else {
            continue;
        };
        let references = text.matches("\"reference\"").count();
        let words = text.matches("SECRET").count();
        let told = references > 0 && words == 1 || sent(&disclosure).contains("SECRET");
        assert!(told || text.contains("#c"), "{case}: {row}");
    }
}

#[test]
fn an_account_travels_with_this_payers_coverage_and_its_numbers() {
    let own = r#"{"resourceType":"Coverage","id":"own","payor":[{"display":"Blue"}]}"#;
    let account = r#"{"resourceType":"Account","id":"a","identifier":[{"value":"VISIT-1"}],"status":"active","coverage":[{"coverage":{"reference":"Coverage/own"},"priority":1}],"owner":{"reference":"Organization/h"}}"#;
    let encounter =
        r#"{"resourceType":"Encounter","id":"e","account":[{"reference":"Account/a"}]}"#;
    let hospital = r#"{"resourceType":"Organization","id":"h","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"NPI-1"},{"system":"urn:oid:2.16.840.1.113883.4.4","type":{"coding":[{"code":"TAX"}]},"value":"TIN-1"}]}"#;
    let disclosure = House::shipped().shape(&chart(&[encounter, own, account, hospital], &[]));
    let sent = sent(&disclosure);
    for kept in ["VISIT-1", "Coverage/own", "\"priority\":1", "Account/a", "NPI-1", "TIN-1"] {
        assert!(sent.contains(kept), "{kept}: {sent}");
    }
}

/// National numbers are cut by their type, and a member id is never guessed at.
#[test]
fn numbers_that_a_state_or_some_plan_gives_stay_and_numbers_of_care_travel() {
    let patient = |code: &str| {
        format!(
            r#"{{"resourceType":"Patient","id":"p","identifier":[{{"type":{{"coding":[{{"code":"{code}"}}]}},"value":"NUMBER"}}]}}"#
        )
    };
    let practitioner = |code: &str| {
        format!(
            r#"{{"resourceType":"Practitioner","id":"x","identifier":[{{"type":{{"coding":[{{"code":"{code}"}}]}},"value":"NUMBER"}}]}}"#
        )
    };
    #[rustfmt::skip]
    let table = [
        (patient("SS"), false), (patient("DL"), false), (patient("PPN"), false), (patient("NI"), false),
        (patient("NNCAN"), false), (patient("PRC"), false), (patient("CZ"), false),
        (patient("MI"), false), (patient("BA"), false), (patient("BC"), false), (patient("TAX"), false),
        (patient("MR"), true), (patient("MB"), false), (patient("VN"), true), (patient("AN"), true), (patient("PI"), true),
        (practitioner("SS"), false), (practitioner("TAX"), false), (practitioner("NPI"), true), (practitioner("MD"), true),
        (r#"{"resourceType":"Coverage","id":"own","subscriberId":"NUMBER"}"#.to_owned(), true),
    ];
    for (text, travels) in table {
        let disclosure = House::shipped().shape(&chart(&[&text], &[]));
        assert_eq!(sent(&disclosure).contains("NUMBER"), travels, "{text}");
    }
}
