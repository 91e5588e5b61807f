//! Goal: a payor leads to the partner of the row that says most, two rows that say as much are a
//! person's work, and a table with a fault is no table.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::scope::{End, Judged, Question, Scope, is_covered, left_alone, scope, unmapped};
use fhir::Resource;

const BASE: &str = "https://ehr.test/fhir";
const ORGANIZATION: &str = r#"{"resourceType":"Organization","id":"o1","name":"Blue  Cross of Nowhere","identifier":[{"system":"urn:naic","value":"111"}]}"#;
const ENCOUNTER: &str = r#"{"resourceType":"Encounter","id":"e1","status":"finished","period":{"start":"2024-05-10T08:00:00+02:00"}}"#;

fn partners() -> Vec<PartnerId> {
    vec!["blue".into(), "green".into()]
}

fn terms(partner: &str, more: &str) -> Terms {
    let text = format!("partner = '{partner}'\npurposes = ['HPAYMT']\n{more}\n");
    Terms::parse(&text, "a.toml", &|_| None).unwrap()
}

fn map(text: &str) -> PayorMap {
    PayorMap::parse(text, "house/payors.toml", &partners()).unwrap()
}

fn coverage(id: &str, more: &str) -> Resource {
    let text = format!(
        r#"{{"resourceType":"Coverage","id":"{id}","status":"active","beneficiary":{{"reference":"Patient/p1"}},{more}}}"#
    );
    Resource::parse(text).unwrap()
}

/// The usual coverage of these tests.
fn usual() -> Resource {
    coverage(
        "c1",
        r#""subscriberId":"XYZ-123 456","class":[{"type":{"coding":[{"code":"group"}]},"value":"G-77"}],"payor":[{"reference":"Organization/o1"}]"#,
    )
}

fn ask(payors: &PayorMap, agreements: &[&Terms], coverages: &[Resource]) -> Scope {
    let (encounter, organizations) =
        (Resource::parse(ENCOUNTER).unwrap(), [Resource::parse(ORGANIZATION).unwrap()]);
    scope(&Question {
        patient: "p1",
        encounter: &encounter,
        purpose: None,
        coverages,
        organizations: &organizations,
        agreements,
        payors,
        source_base: BASE,
    })
}

fn ends(scope: &Scope) -> Vec<String> {
    let end = |one: &Judged| match &one.end {
        End::Payer { partner } => partner.to_string(),
        End::Unmapped { .. } => "unmapped".to_owned(),
        End::LeftAlone { why } => format!("left alone: {why}"),
        End::NotCounted { why } => format!("not counted: {why:?}"),
        End::Unreadable => "unreadable".to_owned(),
    };
    scope.judged.iter().map(end).collect()
}

#[test]
fn a_row_fits_where_all_that_it_names_fits() {
    let (blue, green) = (terms("blue", ""), terms("green", ""));
    #[rustfmt::skip]
    let table = [
        ("an identifier with its system", "identifier = 'urn:naic|111'", true),
        ("an identifier of any system", "identifier = '111'", true),
        ("an identifier of another system", "identifier = 'urn:oid:1|111'", false),
        ("an identifier without a system", "identifier = '|111'", false),
        ("the payor's id in the EHR", "reference = 'Organization/o1'", true),
        ("another id", "reference = 'Organization/o2'", false),
        ("a name, but for case and spaces", "name = ' blue cross OF nowhere'", true),
        ("a part of the name", "name = 'Blue Cross'", false),
        ("a class with its type", "class = 'group|G-77'", true),
        ("a class of any type", "class = 'G-77'", true),
        ("a class of another type", "class = 'plan|G-77'", false),
        ("a member id's beginning", "member_id = 'XYZ*'", true),
        ("a member id's form", "member_id = '@@@######'", true),
        ("printed with a hyphen", "member_id = 'xyz-###-###'", true),
        ("a member id that is longer", "member_id = 'XYZ###'", false),
        ("letters where digits are", "member_id = '######*'", false),
        ("letters or digits", "member_id = '?????????'", true),
        ("all of several", "identifier = '111'\nclass = 'G-77'\nmember_id = 'X*'", true),
        ("all but one of several", "identifier = '111'\nclass = 'G-78'", false),
        ("on its first day", "identifier = '111'\nfrom = 2024-05-10", true),
        ("on its last day", "identifier = '111'\nuntil = '2024-05-10'", true),
        ("a day early", "identifier = '111'\nfrom = 2024-05-11", false),
        ("a day late", "identifier = '111'\nuntil = 2024-05-09", false),
    ];
    for (case, row, fits) in table {
        let payors = map(&format!("[[payor]]\n{row}\npartner = 'green'"));
        let scope = ask(&payors, &[&blue, &green], &[usual()]);
        assert_eq!(ends(&scope), [if fits { "green" } else { "unmapped" }], "{case}");
        let by = fits.then(|| "payors.toml, line 1".to_owned());
        assert_eq!(scope.judged[0].by, by, "{case}");
        assert_eq!(scope.issues.is_empty(), fits, "{case}");
    }
}

#[test]
fn the_row_that_says_most_counts() {
    let blue = terms("blue", "[[payer_identifiers]]\nsystem = 'urn:naic'\nvalue = '111'");
    let green = terms("green", "");
    #[rustfmt::skip]
    let table = [
        ("an agreement alone", "", "blue", "the agreement with blue"),
        ("a row that names no more than the agreement", "[[payor]]\nname = 'blue cross of nowhere'\npartner = 'blue'", "blue", "payors.toml, line 1"),
        ("a group of the plan is another's", "[[payor]]\nidentifier = '111'\nclass = 'G-77'\npartner = 'green'", "green", "payors.toml, line 1"),
        ("a group of the plan is nobody's", "# why\n\n[[payor]]\nidentifier = '111'\nclass = 'G-77'\nnone = 'settled on paper'", "left alone: settled on paper", "payors.toml, line 3"),
        ("for this year only", "[[payor]]\nidentifier = '111'\nfrom = 2024-01-01\nuntil = 2024-12-31\npartner = 'green'", "green", "payors.toml, line 1"),
        ("the class says more than the year", "[[payor]]\nidentifier = '111'\nfrom = 2024-01-01\npartner = 'green'\n[[payor]]\nidentifier = '111'\nclass = 'G-77'\npartner = 'blue'", "blue", "payors.toml, line 5"),
        ("two rows of one mind", "[[payor]]\nidentifier = '111'\nclass = 'G-77'\npartner = 'green'\n[[payor]]\nname = 'Blue Cross of Nowhere'\nclass = 'G-77'\npartner = 'green'", "green", "payors.toml, line 1"),
    ];
    for (case, rows, end, by) in table {
        let scope = ask(&map(rows), &[&blue, &green], &[usual()]);
        assert_eq!(ends(&scope), [end], "{case}");
        assert_eq!(scope.judged[0].by.as_deref(), Some(by), "{case}");
        assert!(scope.issues.is_empty(), "{case}: {:?}", scope.issues);
    }
}

/// Provokes `Code::PayerUnmapped`.
#[test]
fn between_two_that_say_as_much_nothing_chooses() {
    let blue = terms("blue", "[[payer_identifiers]]\nvalue = '111'");
    let green = terms("green", "");
    #[rustfmt::skip]
    let table = [
        ("a row and an agreement", "[[payor]]\nname = 'blue cross of nowhere'\npartner = 'green'", ["payors.toml, line 1", "the agreement with blue"]),
        ("two rows", "[[payor]]\nclass = 'G-77'\nidentifier = '111'\npartner = 'blue'\n\n[[payor]]\nclass = 'G-77'\nmember_id = 'XYZ*'\npartner = 'green'", ["payors.toml, line 1", "payors.toml, line 6"]),
        ("a partner and nobody", "[[payor]]\nclass = 'G-77'\nidentifier = '111'\npartner = 'blue'\n\n[[payor]]\nclass = 'G-77'\nmember_id = 'XYZ*'\nnone = 'paper'", ["payors.toml, line 1", "payors.toml, line 6"]),
    ];
    for (case, rows, places) in table {
        let scope = ask(&map(rows), &[&blue, &green], &[usual()]);
        assert!(scope.dossiers.is_empty(), "{case}");
        assert_eq!(scope.issues.len(), 1, "{case}");
        let issue = &scope.issues[0];
        assert_eq!(issue.code, Code::PayerUnmapped, "{case}");
        assert_eq!(issue.expression.as_deref(), Some("Coverage.payor[0]"), "{case}");
        for place in places {
            assert!(issue.detail.contains(place), "{case}: {}", issue.detail);
        }
        let told = issue.to_string();
        for value in ["111", "G-77", "XYZ", "Blue"] {
            assert!(!told.contains(value), "{case}: {told}");
        }
    }
}

#[test]
fn one_payor_has_one_key_whatever_else_a_coverage_says() {
    let by = |payor: &str| {
        let scope = ask(&PayorMap::default(), &[], &[coverage("c", payor)]);
        unmapped(&scope.judged)
    };
    let known = by(r#""payor":[{"reference":"Organization/o1"}]"#);
    let same = [
        r#""subscriberId":"M1","payor":[{"reference":"Organization/o1","display":"Blue"}]"#,
        r#""payor":[{"reference":"https://ehr.test/fhir/Organization/o1/_history/2"}]"#,
        r#""payor":[{"identifier":{"system":"urn:naic","value":" 111 "}}]"#,
        r##""contained":[{"resourceType":"Organization","id":"x","identifier":[{"system":"urn:naic","value":"111"}]}],"payor":[{"reference":"#x"}]"##,
        r#""payor":[{"reference":"Organization/o1"},{"reference":"Organization/o1"}]"#,
    ];
    for payor in same {
        assert_eq!(by(payor), known, "{payor}");
    }
    let others = [
        r#""payor":[{"identifier":{"value":"111"}}]"#,
        r#""payor":[{"reference":"Organization/o2"}]"#,
        r#""payor":[{"display":"Blue"}]"#,
        r#""payor":[]"#,
    ];
    for payor in others {
        assert_ne!(by(payor), known, "{payor}");
        assert_eq!(by(payor).len(), 1, "{payor}");
    }
    assert_eq!(by(r#""payor":[{"display":"Blue"}]"#), by(r#""payor":[{"display":" BLUE "}]"#));
}

#[test]
fn what_is_no_organization_for_sure_is_shown_without_words() {
    let doubtful = Payor {
        identifiers: [
            PayorIdentifier { system: Some("urn:naic".into()), value: "111".into() },
            PayorIdentifier {
                system: Some("http://hl7.org/fhir/sid/us-ssn".into()),
                value: "123".into(),
            },
        ]
        .into(),
        names: ["Ada Example".to_owned()].into(),
        ..Payor::default()
    };
    let shown = doubtful.shown();
    assert!(shown.names.is_empty() && shown.identifiers.len() == 1, "{shown:?}");
    let organization = Payor { organization: true, ..doubtful };
    assert_eq!(organization.shown().names.len(), 1);
    assert_eq!(organization.shown().identifiers.len(), 1, "no such number of anybody's");
}

#[test]
fn payers_are_ranked_by_the_order_of_coverages() {
    let blue = terms("blue", "[[payer_identifiers]]\nvalue = '111'");
    let first_only = terms("green", "secondary = false\n[[payer_identifiers]]\nvalue = '222'");
    let own = |id: &str, payer: &str, order: &str| {
        coverage(id, &format!(r#"{order}"payor":[{{"identifier":{{"value":"{payer}"}}}}]"#))
    };
    #[rustfmt::skip]
    let table = [
        ("no order", "", "", [1, 1], "blue green"),
        ("first and second", r#""order":1,"#, r#""order":2,"#, [1, 2], "blue left"),
        ("the other way round", r#""order":2,"#, r#""order":1,"#, [2, 1], "blue green"),
        ("gaps in the numbering", r#""order":3,"#, r#""order":7,"#, [1, 2], "blue left"),
        ("one says no order", r#""order":1,"#, "", [1, 2], "blue left"),
        ("an order that is none", r#""order":1,"#, r#""order":0,"#, [1, 2], "blue left"),
    ];
    for (case, one, other, ranks, words) in table {
        let coverages = [own("c1", "111", one), own("c2", "222", other)];
        let scope = ask(&PayorMap::default(), &[&blue, &first_only], &coverages);
        let found: Vec<_> = scope.judged.iter().map(|row| row.rank).collect();
        assert_eq!(found, ranks.map(Some), "{case}");
        let payers: Vec<_> = scope.dossiers.iter().map(|it| it.partner.as_str()).collect();
        assert_eq!(payers.join(" "), words.replace(" left", ""), "{case}");
        let ends = ends(&scope).join(" ");
        assert_eq!(
            ends.replace("left alone: ", "left "),
            match words {
                "blue left" => "blue left the agreement takes no coverage that is not the first",
                words => words,
            },
            "{case}"
        );
        assert!(scope.issues.is_empty(), "{case}");
    }
    let alone = [own("c2", "222", r#""order":2,"#)];
    let scope = ask(&PayorMap::default(), &[&blue, &first_only], &alone);
    assert_eq!(scope.judged[0].rank, Some(1), "what stands alone is the first, whatever its order");
    let old = coverage(
        "c1",
        r#""order":1,"period":{"end":"2020"},"payor":[{"identifier":{"value":"111"}}]"#,
    );
    let scope =
        ask(&PayorMap::default(), &[&blue, &first_only], &[old, own("c2", "222", r#""order":2,"#)]);
    assert_eq!(
        ends(&scope),
        ["not counted: NotThatDay", "green"],
        "only what holds that day ranks"
    );
}

#[test]
fn what_is_nobodys_business_is_counted_and_no_work() {
    let payors = map("[[payor]]\nidentifier = '111'\nnone = 'settled on paper'");
    let scope = ask(&payors, &[], &[usual()]);
    assert!(scope.dossiers.is_empty() && scope.issues.is_empty());
    assert_eq!(left_alone(&scope.judged), 1);
    assert_eq!(unmapped(&scope.judged), []);
    let scope = ask(&payors, &[], &[]);
    assert_eq!(scope.issues[0].code, Code::CoverageMissing, "nothing is left alone");
}

#[test]
fn of_several_days_any_one_counts() {
    let dated = coverage(
        "c1",
        r#""period":{"start":"2024-05-12","end":"2024-05-14"},"payor":[{"identifier":{"value":"111"}}]"#,
    );
    let blue = terms("blue", "[[payer_identifiers]]\nvalue = '111'");
    let encounter = Resource::parse(ENCOUNTER).unwrap();
    let days = |text: &str| {
        let (first, last) = text.split_once('/').unwrap();
        Days { first: first.parse().unwrap(), last: last.parse().unwrap() }
    };
    let table = [
        ("a day before it", days("2024-05-10/2024-05-10"), false),
        ("a stay that reaches into it", days("2024-05-10/2024-05-12"), true),
        ("a stay before it", days("2024-05-10/2024-05-11"), false),
        ("a result behind it", days("2024-05-15/2024-05-15"), false),
        ("years around it", days("2000-01-01/2100-01-01"), true),
    ];
    for (case, days, counts) in table {
        let question = Question {
            patient: "p1",
            encounter: &encounter,
            purpose: None,
            coverages: std::slice::from_ref(&dated),
            organizations: &[],
            agreements: &[&blue],
            payors: &PayorMap::default(),
            source_base: BASE,
        };
        assert_eq!(is_covered(&question, days), counts, "{case}");
    }
}

/// Provokes `Code::ConfigInvalid`.
#[test]
fn a_table_with_a_fault_is_no_table() {
    #[rustfmt::skip]
    let table = [
        ("a mistyped section", "[[payors]]\nname = 'SECRET'", 1, "did you mean `payor`?"),
        ("a mistyped key", "[[payor]]\nidentifer = 'SECRET'", 2, "did you mean `identifier`?"),
        ("a row that names nobody", "[[payor]]\npartner = 'blue'", 1, "would fit all"),
        ("a row that leads nowhere", "[[payor]]\nname = 'SECRET'", 1, "leads to a `partner`"),
        ("a row that leads to two ends", "[[payor]]\nname = 'SECRET'\npartner = 'blue'\nnone = 'x'", 4, "leads to a `partner`"),
        ("an unknown partner", "[[payor]]\nname = 'SECRET'\npartner = 'bleu'", 3, "did you mean `blue`?"),
        ("no value", "[[payor]]\nidentifier = 'SECRET|'\npartner = 'blue'", 2, "system|value"),
        ("a reference that is none", "[[payor]]\nreference = 'SECRET'\npartner = 'blue'", 2, "Type/id"),
        ("an empty name", "[[payor]]\nname = ' '\npartner = 'blue'", 2, "`name` is empty"),
        ("a star in the middle", "[[payor]]\nmember_id = 'SEC*RET'\npartner = 'blue'", 2, "at the end only"),
        ("a star alone", "[[payor]]\nmember_id = '*'\npartner = 'blue'", 2, "pattern"),
        ("a pattern without end", &format!("[[payor]]\nmember_id = '{}'\npartner = 'blue'", "#".repeat(41)), 2, "pattern"),
        ("no day", "[[payor]]\nname = 'x'\nfrom = 'SECRET'\npartner = 'blue'", 3, "YYYY-MM-DD"),
        ("ends before it begins", "[[payor]]\nname = 'x'\nfrom = 2024-02-01\nuntil = 2024-01-01\npartner = 'blue'", 4, "a day before"),
        ("a reason of two lines", "[[payor]]\nname = 'x'\nnone = \"SECRET\\nline\"", 3, "one line"),
        ("no TOML", "payor", 1, "not valid TOML"),
    ];
    for (case, text, line, words) in table {
        let issue = PayorMap::parse(text, "payors.toml", &partners()).unwrap_err();
        assert_eq!(issue.code, Code::ConfigInvalid, "{case}");
        assert_eq!(issue.expression.as_deref(), Some("payors.toml"), "{case}");
        assert!(issue.detail.starts_with(&format!("line {line}: ")), "{case}: {issue}");
        assert!(issue.detail.contains(words), "{case}: {}", issue.detail);
        assert!(!issue.to_string().contains("SECRET"), "{case}: {issue}");
    }
    assert_eq!(map("").rows().count(), 0, "an empty table maps nobody");
}

#[test]
fn a_row_reads_as_it_was_written() {
    let row = PayorRow {
        identifier: Some("urn:naic|111".into()),
        reference: Some("Organization/o1".into()),
        name: Some("Blue \"Cross\" of\\Nowhere".into()),
        class: Some("group|G'77".into()),
        member_id: Some("XYZ###*".into()),
        from: Some("2024-01-01".parse().unwrap()),
        until: Some("2024-12-31".parse().unwrap()),
        partner: Some("blue".into()),
        legal_payer: Some("Blue of Ohio".into()),
        delegate: Some("North Medical Group".into()),
        none: None,
    };
    let read = map(&row_text(&row));
    assert!(read.rows().map(|(_, row)| row).eq([&row]));
    assert!(read.holds(&row));
    let elsewhere = PayorRow { partner: Some("green".into()), ..row.clone() };
    assert_eq!(read.contradicts(&row), None);
    assert_eq!(read.contradicts(&elsewhere), Some(1));
    let later = PayorRow { from: "2025-01-01".parse().ok(), until: None, ..elsewhere.clone() };
    assert_eq!(read.contradicts(&later), None, "other days");
    let more = PayorRow { class: None, ..elsewhere };
    assert_eq!(read.contradicts(&more), None, "names another set of coverages");
}
