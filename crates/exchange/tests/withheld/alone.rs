//! Alone: what is in the chart for something withheld alone stays with it, in every push.

use super::{House, chart, read, sent, word_on};
use exchange::shape::Collected;

const RULES: &str = r#"
[[permit]]
rule = "all"
types = ["Patient", "Encounter", "Observation", "Condition", "DiagnosticReport", "ServiceRequest", "MedicationRequest", "MedicationDispense", "Specimen", "Procedure", "Media"]
[[withhold]]
rule = "genetic"
having = { path = "category", codes = ["GE"] }
[[withhold]]
rule = "dull"
having = { path = "category", codes = ["DULL"] }
sensitive = false
"#;

/// Each way in which a result can be sensitive, and one in which it merely stays.
const WAYS: [(&str, &str, bool); 4] = [
    ("labelled", r#","meta":{"security":[{"code":"HIV"}]}"#, true),
    ("by a rule", r#","category":[{"coding":[{"code":"GE"}]}]"#, true),
    ("restricted", "", true),
    ("merely not sent", r#","category":[{"coding":[{"code":"DULL"}]}]"#, false),
];

const VISIT: &str = r#""encounter":{"reference":"Encounter/open"}"#;

fn house(way: &str) -> House {
    let none: [&str; 0] = [];
    let restricted = ["Observation/x"];
    House::of(RULES).restricting(if way == "restricted" { &restricted } else { &none })
}

fn record(kind: &str, id: &str, more: &str) -> String {
    format!(r#"{{"resourceType":"{kind}","id":"{id}",{VISIT}{more}}}"#)
}

fn to(element: &str, target: &str) -> String {
    format!(r#","{element}":[{{"reference":"{target}"}}]"#)
}

#[test]
fn the_order_specimen_and_report_of_a_withheld_result_stay_unless_something_else_speaks_for_them() {
    let both = to("basedOn", "ServiceRequest/s") + r#","specimen":{"reference":"Specimen/v"}"#;
    let other = |more: &str| record("Observation", "y", more);
    let vials = r#","specimen":[{"reference":"Specimen/v"}]"#;
    let report = |results: String| {
        let order = to("basedOn", "ServiceRequest/s");
        record("DiagnosticReport", "r", &format!("{order}{vials}{results}"))
    };
    let list = |ids: &[&str]| {
        let all = ids.iter().map(|id| format!(r#"{{"reference":"Observation/{id}"}}"#));
        format!(r#","result":[{}]"#, all.collect::<Vec<_>>().join(","))
    };
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<String>, bool)> = vec![
        ("alone", vec![], true),
        ("with its report", vec![report(list(&["x"]))], true),
        ("another result of the order", vec![other(&both)], false),
        ("another result in the report", vec![report(list(&["x", "y"])), other("")], false),
        ("another result in the report, of another order",
            vec![report(list(&["x", "y"])), other(&both.replace("/s", "/t").replace("/v", "/w"))], true),
        ("another result in the report that nobody knows", vec![report(list(&["x", "gone"]))], false),
        ("a specimen, which speaks for nothing",
            vec![record("Specimen", "w", r#","request":[{"reference":"ServiceRequest/s"}]"#)], true),
    ];
    for (way, mark, sensitive) in WAYS {
        let result = record("Observation", "x", &format!("{both}{mark}"));
        for (case, others, alone) in &table {
            let mut known: Vec<&str> = others.iter().map(String::as_str).collect();
            known.push(&result);
            for asked in [
                record("ServiceRequest", "s", r#","code":{"text":"SECRET"}"#),
                record("Specimen", "v", r#","type":{"text":"SECRET"}"#),
            ] {
                let collected = chart(&[&asked], &known);
                let reference = collected.found[0].local_reference();
                let disclosure = house(way).shape(&collected);
                let stays = *alone && sensitive;
                let word = if stays { "-" } else { "" }.to_owned() + &reference;
                let rule = if stays { "about-withheld" } else { "all" };
                let wanted = format!("{word} {rule}");
                assert_eq!(word_on(&disclosure, &reference), wanted, "{way}, {case}");
                assert_eq!(sent(&disclosure).contains("SECRET"), !stays, "{way}, {case}");
            }
        }
    }
}

/// From record to record: the order's own order, what is based on a labelled order, and what a
/// labelled report or panel lists.
#[test]
fn what_is_about_a_labelled_record_stays_along_every_chain() {
    let label = r#","meta":{"security":[{"code":"R"}]}"#;
    let labelled = |kind: &str, more: &str| record(kind, "x", &format!("{label}{more}"));
    let based = |on: &str| to("basedOn", on);
    #[rustfmt::skip]
    let table = [
        ("the order's own order", record("ServiceRequest", "top", ""),
            vec![labelled("Observation", &based("ServiceRequest/s")), record("ServiceRequest", "s", &based("ServiceRequest/top"))], true),
        ("a result of a labelled order", record("Observation", "y", &based("ServiceRequest/x")),
            vec![labelled("ServiceRequest", "")], true),
        ("what was handed out on a labelled order", record("MedicationDispense", "y", &to("authorizingPrescription", "MedicationRequest/x")),
            vec![labelled("MedicationRequest", "")], true),
        ("a step of a labelled procedure", record("Procedure", "y", &to("partOf", "Procedure/x")),
            vec![labelled("Procedure", "")], true),
        ("the report of a labelled procedure", record("DiagnosticReport", "y", ""),
            vec![labelled("Procedure", &to("report", "DiagnosticReport/y"))], true),
        ("a result of a labelled report", record("Observation", "y", ""),
            vec![labelled("DiagnosticReport", &to("result", "Observation/y"))], true),
        ("a member of a labelled panel", record("Observation", "y", ""),
            vec![labelled("Observation", &to("hasMember", "Observation/y"))], true),
        ("a result of a labelled report and of another", record("Observation", "y", ""),
            vec![labelled("DiagnosticReport", &to("result", "Observation/y")), record("DiagnosticReport", "z", &to("result", "Observation/y"))], false),
        ("the reason of a labelled order", record("Condition", "y", ""),
            vec![labelled("MedicationRequest", &to("reasonReference", "Condition/y"))], false),
    ];
    for (case, asked, known, stays) in table {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let house = House::of(RULES);
        for collected in [
            chart(&[&asked], &known),
            Collected {
                found: read(&[&[asked.as_str()], &known[..]].concat()),
                ..Collected::default()
            },
        ] {
            let reference = collected.found[0].local_reference();
            let word = word_on(&house.shape(&collected), &reference);
            assert_eq!(word.ends_with("about-withheld"), stays, "{case}: {word}");
        }
    }
}

/// What was done at another visit upon a restricted visit's order is that other visit's; the order of
/// what was done at a restricted visit alone is not.
#[test]
fn a_restricted_visit_keeps_the_orders_of_its_results_and_not_the_results_of_its_orders() {
    let house = || House::of(RULES).restricting(&["Encounter/secret"]);
    let theirs = |kind: &str, id: &str, more: &str| {
        record(kind, id, more).replace("Encounter/open", "Encounter/secret")
    };
    let based = to("basedOn", "ServiceRequest/s");
    let order = record("ServiceRequest", "s", "");
    let word = |asked: &str, known: &str| {
        let collected = chart(&[asked], &[known]);
        word_on(&house().shape(&collected), &collected.found[0].local_reference())
    };
    let result = theirs("Observation", "x", &based);
    assert_eq!(word(&order, &result), "-ServiceRequest/s about-withheld");
    let result = record("Observation", "x", &based);
    assert_eq!(word(&result, &theirs("ServiceRequest", "s", "")), "Observation/x all");
}

/// What a visit says itself, by a label or by a code that a rule calls sensitive, keeps what would be
/// attributed to that visit, as a restriction does, and not all that the day brought.
#[test]
fn a_sensitive_visit_keeps_what_belongs_to_it_by_order_and_date_too() {
    let visit = |id: &str, hours: [&str; 2], more: &str| {
        let [from, to] = hours;
        format!(
            r#"{{"resourceType":"Encounter","id":"{id}","status":"finished","period":{{"start":"2024-03-01T{from}:00Z","end":"2024-03-01T{to}:00Z"}}{more}}}"#
        )
    };
    let diagnosis = r#""diagnosis":[{"condition":{"reference":"Condition/theirs"}}]"#;
    let label = format!(r#","meta":{{"security":[{{"code":"PSY"}}]}},{diagnosis}"#);
    let code = format!(r#","type":[{{"coding":[{{"code":"DETOX"}}]}}],{diagnosis}"#);
    let sensitive = [label, code].map(|more| visit("v", ["10:00", "11:00"], &more));
    let other = visit("open", ["14:00", "15:00"], "");
    let within = visit("within", ["10:10", "10:20"], r#","partOf":{"reference":"Encounter/v"}"#);
    let known = |visit: &str| {
        [
            visit.to_owned(),
            other.clone(),
            within.clone(),
            r#"{"resourceType":"ServiceRequest","id":"theirs","encounter":{"reference":"Encounter/v"}}"#.to_owned(),
            r#"{"resourceType":"DiagnosticReport","id":"theirs","encounter":{"reference":"Encounter/v"},"result":[{"reference":"Observation/listed"}]}"#.to_owned(),
        ]
    };
    let free = |more: &str| format!(r#"{{"resourceType":"Observation","id":"x",{more}}}"#);
    #[rustfmt::skip]
    let table = [
        ("named", free(r#""encounter":{"reference":"Encounter/v"}"#), true),
        ("of the visit within", free(r#""encounter":{"reference":"Encounter/within"}"#), true),
        ("a diagnosis of it", r#"{"resourceType":"Condition","id":"theirs"}"#.to_owned(), true),
        ("to its order", free(r#""basedOn":[{"reference":"ServiceRequest/theirs"}],"effectiveDateTime":"2024-03-09""#), true),
        ("in its report", r#"{"resourceType":"Observation","id":"listed","effectiveDateTime":"2024-03-09"}"#.into(), true),
        ("in its hour", free(r#""effectiveDateTime":"2024-03-01T10:30:00Z""#), true),
        ("on its day", free(r#""effectiveDateTime":"2024-03-01""#), true),
        ("in the hour of another visit", free(r#""effectiveDateTime":"2024-03-01T14:30:00Z""#), false),
        ("of another visit", free(r#""encounter":{"reference":"Encounter/open"},"effectiveDateTime":"2024-03-01""#), false),
        ("of another day", free(r#""effectiveDateTime":"2024-03-02T12:00:00Z""#), false),
        ("an allergy written down that day", r#"{"resourceType":"AllergyIntolerance","id":"a","recordedDate":"2024-03-01"}"#.into(), true),
        ("a team of that day", r#"{"resourceType":"CareTeam","id":"a","period":{"start":"2024-03-01","end":"2024-03-01"}}"#.into(), false),
    ];
    let rules = RULES.replace("\"Patient\"", "\"Patient\", \"AllergyIntolerance\", \"CareTeam\"");
    let programme =
        "[[withhold]]\nrule = \"programme\"\nhaving = { path = \"type\", codes = [\"DETOX\"] }\n";
    let house = House::of(&format!("{rules}{programme}"));
    let dull = House::of(&format!("{rules}{programme}sensitive = false\n"));
    for visit in &sensitive {
        let known = known(visit);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for (case, text, stays) in &table {
            for found in [vec![text.as_str()], vec![text, visit]] {
                let collected = chart(&found, &known);
                let reference = collected.found[0].local_reference();
                let word = word_on(&house.shape(&collected), &reference);
                let wanted = if *stays { "about-withheld" } else { "all" };
                assert!(word.ends_with(wanted), "{case}: {word}");
            }
        }
    }
    let [_, coded] = &sensitive;
    for (case, text, _) in &table {
        let collected = chart(&[text, coded], &[&other, &within]);
        let disclosure = dull.shape(&collected);
        assert_eq!(word_on(&disclosure, "Encounter/v"), "-Encounter/v programme");
        let word = word_on(&disclosure, &collected.found[0].local_reference());
        assert!(word.ends_with("all"), "{case}: it takes nothing along: {word}");
    }
}

/// What it took along was so on that day: a problem that began then does not keep every later note.
#[test]
fn notes_stay_for_the_days_of_a_labelled_visit_and_not_for_ever() {
    let rules = RULES.replace("\"Patient\"", "\"Patient\", \"DocumentReference\"");
    let known = [
        r#"{"resourceType":"Encounter","id":"v","status":"finished","meta":{"security":[{"code":"PSY"}]},"period":{"start":"2024-03-01","end":"2024-03-01"}}"#,
        r#"{"resourceType":"Condition","id":"c","encounter":{"reference":"Encounter/v"},"onsetDateTime":"2024-03-01"}"#,
    ];
    for (day, stays) in [("2024-03-01", true), ("2024-06-01", false)] {
        let note = format!(
            r#"{{"resourceType":"DocumentReference","id":"d","date":"{day}","content":[{{"attachment":{{"data":"U0VDUkVU"}}}}]}}"#
        );
        let word =
            word_on(&House::of(&rules).shape(&chart(&[&note], &known)), "DocumentReference/d");
        assert_eq!(word.starts_with('-'), stays, "{day}: {word}");
    }
}
