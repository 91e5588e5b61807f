//! Visits: what belongs to a withheld visit stays with it, whether it says so or not, and whatever
//! else is in the push.

use super::{House, chart, word_on};
use exchange::shape::Collected;

const UNIT: &str = r#"
[[permit]]
rule = "all"
types = ["Patient", "Encounter", "Observation", "Condition", "DiagnosticReport", "ServiceRequest", "Location", "Specimen", "Procedure"]
[[withhold]]
rule = "unit"
having = { where = "encounter", path = "location.location", references = ["Location/quiet"] }
reason = "visits to this unit stay"
"#;

const THEIRS: &str = r#"{"resourceType":"Encounter","id":"theirs","status":"finished","location":[{"location":{"reference":"Location/open"}},{"location":{"reference":"https://other.test/r4/Location/quiet"}}],"period":{"start":"2024-03-01T10:00:00Z","end":"2024-03-01T11:00:00Z"},"diagnosis":[{"condition":{"reference":"Condition/theirs"}}]}"#;
const OPEN: &str = r#"{"resourceType":"Encounter","id":"open","status":"finished","location":[{"location":{"reference":"Location/open"}}],"period":{"start":"2024-03-01T14:00:00Z","end":"2024-03-01T15:00:00Z"}}"#;

/// The same rule, by a table of restrictions.
fn houses() -> [(House, &'static str); 2] {
    let plain = UNIT.split("[[withhold]]").next().unwrap();
    let restricted = House::of(plain).restricting(&["Encounter/theirs"]);
    [(House::of(UNIT), "unit"), (restricted, "patient-restriction")]
}

/// A restricted visit that the EHR no longer gives out keeps its report as one that it does.
#[test]
fn a_restricted_visit_keeps_its_report_though_the_chart_lacks_the_visit() {
    let named = r#"{"resourceType":"Observation","id":"named","encounter":{"reference":"Encounter/theirs"}}"#;
    let unnamed =
        r#"{"resourceType":"Observation","id":"unnamed","effectiveDateTime":"2024-03-09"}"#;
    let late = report("late", "2024-03-09", &["named", "unnamed"]);
    let [_, (house, rule)] = houses();
    for known in [vec![THEIRS, OPEN], vec![OPEN]] {
        let disclosure = house.shape(&chart(&[&late, named, unnamed], &known));
        for one in ["DiagnosticReport/late", "Observation/named", "Observation/unnamed"] {
            assert_eq!(word_on(&disclosure, one), format!("-{one} {rule}"));
        }
    }
}

/// A report that names no visit, and lists these results.
fn report(id: &str, day: &str, results: &[&str]) -> String {
    let results = results.iter().map(|id| format!(r#"{{"reference":"Observation/{id}"}}"#));
    let results = results.collect::<Vec<_>>().join(",");
    format!(
        r#"{{"resourceType":"DiagnosticReport","id":"{id}","effectiveDateTime":"{day}","result":[{results}]}}"#
    )
}

#[test]
fn what_belongs_to_a_withheld_visit_stays_whether_it_says_so_or_not() {
    #[rustfmt::skip]
    let table = [
        ("the visit", THEIRS.to_owned(), true),
        ("another visit", OPEN.to_owned(), false),
        ("says so", obs(r#""encounter":{"reference":"Encounter/theirs"}"#), true),
        ("says so, absolutely", obs(r#""encounter":{"reference":"https://ehr.test/fhir/Encounter/theirs/_history/2"}"#), true),
        ("says another, on the same day", obs(r#""encounter":{"reference":"Encounter/open"},"effectiveDateTime":"2024-03-01""#), false),
        ("a diagnosis that the visit names", r#"{"resourceType":"Condition","id":"theirs"}"#.into(), true),
        ("on the day", obs(r#""effectiveDateTime":"2024-03-01""#), true),
        ("in the month", obs(r#""effectiveDateTime":"2024-03""#), true),
        ("in the hour", obs(r#""effectiveDateTime":"2024-03-01T10:30:00Z""#), true),
        ("in the hour, in another zone", obs(r#""effectiveDateTime":"2024-03-01T05:30:00-05:00""#), true),
        ("in the hour of another visit", obs(r#""effectiveDateTime":"2024-03-01T14:30:00Z""#), false),
        ("on the day, in no visit's hour", obs(r#""effectiveDateTime":"2024-03-01T12:30:00Z""#), true),
        ("the day before", obs(r#""effectiveDateTime":"2024-02-29""#), false),
        ("without a day", obs(r#""status":"final""#), false),
        ("to their order", obs(r#""basedOn":[{"reference":"ServiceRequest/theirs"}],"effectiveDateTime":"2024-03-09""#), true),
        ("to another order", obs(r#""basedOn":[{"reference":"ServiceRequest/open"}],"effectiveDateTime":"2024-03-09""#), false),
        ("in their report", r#"{"resourceType":"Observation","id":"member","effectiveDateTime":"2024-03-09"}"#.into(), true),
        ("part of what is in their report", r#"{"resourceType":"Specimen","id":"vial"}"#.into(), true),
        ("a report of later, whose named results are theirs", report("late", "2024-03-09", &["named", "unnamed"]), true),
        ("what that report lists beside them", r#"{"resourceType":"Observation","id":"unnamed","effectiveDateTime":"2024-03-09"}"#.into(), true),
        ("a report of later, with results of two visits", report("both", "2024-03-09", &["named", "others"]), false),
        ("on their day, to another order", obs(r#""basedOn":[{"reference":"ServiceRequest/open"}],"effectiveDateTime":"2024-03-01""#), false),
        ("on their day, with another's results", report("others", "2024-03-01", &["others"]), false),
        ("on their day, in another's report", r#"{"resourceType":"Observation","id":"beside","effectiveDateTime":"2024-03-01"}"#.into(), false),
        ("in their hour, to another order", obs(r#""basedOn":[{"reference":"ServiceRequest/open"}],"effectiveDateTime":"2024-03-01T10:30:00Z""#), true),
        ("in their hour, in another's report", r#"{"resourceType":"Observation","id":"beside","effectiveDateTime":"2024-03-01T10:30:00Z"}"#.into(), true),
        ("in their hour, to the order of a visit within it", obs(r#""basedOn":[{"reference":"ServiceRequest/within"}],"effectiveDateTime":"2024-03-01T10:30:00Z""#), false),
        ("on their day, to the order of a visit that is not there", obs(r#""basedOn":[{"reference":"ServiceRequest/ghost"}],"effectiveDateTime":"2024-03-01""#), true),
        ("on their day, to the order of a visit that was cancelled", obs(r#""basedOn":[{"reference":"ServiceRequest/off"}],"effectiveDateTime":"2024-03-01""#), true),
        ("on their day, in a report that was an error", r#"{"resourceType":"Observation","id":"wrong","effectiveDateTime":"2024-03-01"}"#.into(), true),
        ("on their day, to another patient's order", obs(r#""basedOn":[{"reference":"ServiceRequest/alien"}],"effectiveDateTime":"2024-03-01""#), true),
    ];
    let known = [
        THEIRS,
        OPEN,
        r#"{"resourceType":"ServiceRequest","id":"theirs","encounter":{"reference":"Encounter/theirs"}}"#,
        r#"{"resourceType":"ServiceRequest","id":"open","encounter":{"reference":"Encounter/open"}}"#,
        r#"{"resourceType":"DiagnosticReport","id":"theirs","basedOn":[{"reference":"ServiceRequest/theirs"}],"result":[{"reference":"Observation/panel"}]}"#,
        r#"{"resourceType":"Observation","id":"panel","hasMember":[{"reference":"Observation/member"}]}"#,
        r#"{"resourceType":"Observation","id":"member","specimen":{"reference":"Specimen/vial"}}"#,
        r#"{"resourceType":"Encounter","id":"within","status":"finished","period":{"start":"2024-03-01T10:15:00Z","end":"2024-03-01T10:45:00Z"}}"#,
        r#"{"resourceType":"Encounter","id":"off","status":"cancelled","period":{"start":"2024-03-01","end":"2024-03-01"}}"#,
        r#"{"resourceType":"ServiceRequest","id":"within","encounter":{"reference":"Encounter/within"}}"#,
        r#"{"resourceType":"ServiceRequest","id":"ghost","encounter":{"reference":"Encounter/ghost"}}"#,
        r#"{"resourceType":"ServiceRequest","id":"off","encounter":{"reference":"Encounter/off"}}"#,
        r#"{"resourceType":"ServiceRequest","id":"alien","subject":{"reference":"Patient/q"},"encounter":{"reference":"Encounter/open"}}"#,
        r#"{"resourceType":"DiagnosticReport","id":"wrong","status":"entered-in-error","encounter":{"reference":"Encounter/open"},"result":[{"reference":"Observation/wrong"}]}"#,
        r#"{"resourceType":"Observation","id":"named","encounter":{"reference":"Encounter/theirs"}}"#,
        r#"{"resourceType":"Observation","id":"others","encounter":{"reference":"Encounter/open"}}"#,
        &report("late", "2024-03-09", &["named", "unnamed"]),
        r#"{"resourceType":"DiagnosticReport","id":"open","encounter":{"reference":"Encounter/open"},"result":[{"reference":"Observation/beside"}]}"#,
    ];
    for (house, rule) in houses() {
        for (case, text, stays) in &table {
            let collected = chart(&[text], &known);
            let reference = collected.found[0].local_reference();
            let disclosure = house.shape(&collected);
            let wanted =
                if *stays { format!("-{reference} {rule}") } else { format!("{reference} all") };
            assert_eq!(word_on(&disclosure, &reference), wanted, "{case}, by {rule}");
        }
    }
}

fn obs(more: &str) -> String {
    format!(r#"{{"resourceType":"Observation","id":"x",{more}}}"#)
}

/// An encounter that nobody knows may be one of those.
#[test]
fn a_resource_of_an_unknown_visit_stays_where_a_rule_asks_visits() {
    let text = obs(r#""encounter":{"reference":"Encounter/gone"}"#);
    let house = House::of(UNIT);
    let word = word_on(&house.shape(&chart(&[&text], &[OPEN])), "Observation/x");
    assert_eq!(word, "-Observation/x unit");
    for unclear in [
        r#""encounter":{"identifier":{"value":"V-1"}}"#,
        r##""encounter":{"reference":"#e"},"contained":[{"resourceType":"Encounter","id":"e"}]"##,
    ] {
        let word = word_on(&house.shape(&chart(&[&obs(unclear)], &[OPEN])), "Observation/x");
        assert_eq!(word, "-Observation/x unit", "{unclear}");
    }
    let permit = "[[permit]]\nrule = \"ambulatory\"\ntypes = [\"Observation\"]\nonly = { where = \"encounter\", path = \"class\", codes = [\"AMB\"] }\n";
    let visit = |class: &str| {
        format!(
            r#"{{"resourceType":"Encounter","id":"gone","class":{{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"{class}"}}}}"#
        )
    };
    let word = |known: &[&str]| {
        word_on(&House::of(permit).shape(&chart(&[&text], known)), "Observation/x")
    };
    assert_eq!(word(&[]), "-Observation/x not-agreed", "and is permitted by no such rule");
    assert_eq!(word(&[&visit("IMP")]), "-Observation/x not-agreed");
    let by_any =
        permit.replace("[\"AMB\"]", "[\"http://terminology.hl7.org/CodeSystem/v3-ActCode|AMB\"]");
    let house = House::of(&by_any);
    let word = word_on(&house.shape(&chart(&[&text], &[&visit("AMB")])), "Observation/x");
    assert_eq!(word, "Observation/x ambulatory");
}

/// What a payer may see does not depend on what happens to be pushed.
#[test]
fn the_verdict_is_the_same_wherever_the_visit_was_read() {
    let lab = obs(r#""effectiveDateTime":"2024-03-01""#);
    for (house, rule) in houses() {
        let mut words = Vec::new();
        for (found, followed, known) in [
            (vec![lab.as_str()], vec![], vec![THEIRS, OPEN]),
            (vec![lab.as_str(), THEIRS], vec![OPEN], vec![]),
            (vec![OPEN, lab.as_str()], vec![], vec![OPEN, THEIRS, THEIRS]),
        ] {
            let collected = Collected {
                found: super::read(&found),
                followed: super::read(&followed),
                known: super::read(&known),
                ..Collected::default()
            };
            words.push(word_on(&house.shape(&collected), "Observation/x"));
        }
        assert_eq!(words, vec![format!("-Observation/x {rule}"); 3]);
    }
}

/// Every way in which a house may know a sensitive visit or note: one rule to a row.
#[test]
fn a_local_rule_knows_a_sensitive_visit_by_whatever_tells_it() {
    let visit = r#"{"resourceType":"Encounter","id":"v","identifier":[{"system":"urn:v","value":"7"}],"status":"finished","class":{"code":"AMB"},"type":[{"coding":[{"system":"urn:t","code":"psy"}]}],"serviceType":{"coding":[{"code":"165"}]},"participant":[{"individual":{"reference":"Practitioner/dr"}}],"location":[{"location":{"reference":"Location/l"}}],"serviceProvider":{"reference":"Organization/o","identifier":{"system":"urn:npi","value":"1"}},"episodeOfCare":[{"reference":"EpisodeOfCare/programme"}],"meta":{"security":[{"code":"R"}]}}"#;
    let lab = obs(r#""encounter":{"reference":"Encounter/v"}"#);
    #[rustfmt::skip]
    let table = [
        ("its place", "path = 'location.location', references = ['Location/l']"),
        ("its place, by the reference", "path = 'location.location.reference', references = ['Location/l']"),
        ("the organization", "path = 'serviceProvider', references = ['Organization/o']"),
        ("the organization's number", "path = 'serviceProvider', identifiers = ['urn:npi|1']"),
        ("the programme", "path = 'episodeOfCare', references = ['EpisodeOfCare/programme']"),
        ("the service", "path = 'serviceType', codes = ['165']"),
        ("its type", "path = 'type', codes = ['urn:t|psy']"),
        ("who was there", "path = 'participant.individual', references = ['Practitioner/dr']"),
        ("its number", "path = 'identifier', identifiers = ['urn:v|7']"),
        ("its label", "path = 'meta.security', codes = ['R']"),
    ];
    for (case, condition) in table {
        let rule = |condition: &str| {
            House::of(&format!(
                "[[permit]]\nrule = \"all\"\ntypes = [\"Observation\", \"DocumentReference\"]\n[[withhold]]\nrule = \"quiet\"\nhaving = {{ {condition} }}\n"
            ))
        };
        let house = rule(&format!("where = 'encounter', {condition}"));
        let word = word_on(&house.shape(&chart(&[&lab], &[visit])), "Observation/x");
        assert_eq!(word, "-Observation/x quiet", "{case}");
        let other = visit.replace(r#""id":"v""#, r#""id":"w""#);
        let none = r#"{"resourceType":"Encounter","id":"v","status":"finished"}"#;
        let word = word_on(&house.shape(&chart(&[&lab], &[none, &other])), "Observation/x");
        assert_eq!(word, "Observation/x all", "{case}: another visit's");
    }
    let note = r#"{"resourceType":"DocumentReference","id":"n","type":{"coding":[{"system":"http://loinc.org","code":"34787-2"}]},"author":[{"reference":"Practitioner/dr"}],"custodian":{"reference":"Organization/o"}}"#;
    for condition in [
        "path = 'author', references = ['Practitioner/dr']",
        "path = 'custodian', references = ['Organization/o']",
        "path = 'type', codes = ['http://loinc.org|34787-2']",
    ] {
        let house = House::of(&format!(
            "[[permit]]\nrule = \"all\"\ntypes = [\"DocumentReference\"]\n[[withhold]]\nrule = \"quiet\"\ntypes = [\"DocumentReference\"]\nhaving = {{ {condition} }}\n"
        ));
        let word = word_on(&house.shape(&chart(&[note], &[])), "DocumentReference/n");
        assert_eq!(word, "-DocumentReference/n quiet", "{condition}");
    }
}
