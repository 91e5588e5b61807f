//! Permits and withhold rules: every key narrows as its page says.

use super::{House, chart, told, word_on};
use exchange::Purpose;

const LAB: &str = r#"{"resourceType":"Observation","id":"x","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"1-8"}]},"performer":[{"reference":"Organization/lab","identifier":{"system":"urn:npi","value":"77"}}],"effectiveDateTime":"2024-06-01T10:00:00Z"}"#;

/// One rule to a row, and what becomes of [`LAB`].
#[test]
fn a_permit_holds_where_all_it_says_holds() {
    #[rustfmt::skip]
    let table = [
        ("the type", "", "x"),
        ("the category", "category = ['laboratory']", "x"),
        ("one of two categories", "category = ['vital-signs', 'laboratory']", "x"),
        ("another category", "category = ['vital-signs']", "not-agreed"),
        ("a category of another system", "category = ['urn:x|laboratory']", "not-agreed"),
        ("one condition", "only = { path = 'code', codes = ['1-8'] }", "x"),
        ("two conditions", "all = [{ path = 'code', codes = ['1-8'] }, { path = 'category', codes = ['laboratory'] }]", "x"),
        ("two of which one does not hold", "all = [{ path = 'code', codes = ['1-8'] }, { path = 'category', codes = ['exam'] }]", "not-agreed"),
        ("`only` beside `all`", "only = { path = 'code', codes = ['2-8'] }\nall = [{ path = 'code', codes = ['1-8'] }]", "not-agreed"),
        ("category beside `only`", "category = ['exam']\nonly = { path = 'code', codes = ['1-8'] }", "not-agreed"),
        ("what it refers to", "only = { path = 'performer', references = ['Organization/lab'] }", "x"),
        ("the reference itself", "only = { path = 'performer.reference', references = ['Organization/lab'] }", "x"),
        ("another target", "only = { path = 'performer', references = ['Organization/other'] }", "not-agreed"),
        ("an identifier in a reference", "only = { path = 'performer', identifiers = ['urn:npi|77'] }", "x"),
        ("an identifier", "only = { path = 'performer.identifier', identifiers = ['77'] }", "x"),
        ("another identifier", "only = { path = 'performer', identifiers = ['urn:npi|78'] }", "not-agreed"),
        ("within the days", "within_days = 730", "x"),
        ("within them to the day", "within_days = 593", "x"),
        ("a day too long ago", "within_days = 592", "outside-window"),
        ("since", "since = '2024-06-01'", "x"),
        ("since a day later", "since = '2024-06-02'", "outside-window"),
        ("the later of both begins", "since = '2020-01-01'\nwithin_days = 30", "outside-window"),
        ("for this purpose", "purposes = ['HPAYMT']", "x"),
        ("for another purpose", "purposes = ['TREAT']", "not-agreed"),
        ("for this kind", "kinds = ['encounter', 'results']", "x"),
        ("for another kind", "kinds = ['history']", "not-in-this-kind"),
    ];
    for (case, more, wanted) in table {
        let house =
            House::of(&format!("[[permit]]\nrule = \"x\"\ntypes = [\"Observation\"]\n{more}\n"));
        let word = word_on(&house.shape(&chart(&[LAB], &[])), "Observation/x");
        let sign = if wanted == "x" { "" } else { "-" };
        assert_eq!(word, format!("{sign}Observation/x {wanted}"), "{case}");
    }
}

#[test]
fn what_has_no_day_is_in_no_window() {
    let undated = LAB.replace("effectiveDateTime", "note_");
    let house = |more: &str| {
        House::of(&format!(
            "[[permit]]\nrule = \"new\"\ntypes = [\"Observation\"]\nwithin_days = 9999\n{more}"
        ))
    };
    let word = |house: House| word_on(&house.shape(&chart(&[&undated], &[])), "Observation/x");
    assert_eq!(word(house("")), "-Observation/x undated-in-window");
    let also = "[[permit]]\nrule = \"all\"\ntypes = [\"Observation\"]\ncategory = ['laboratory']\n";
    assert_eq!(word(house(also)), "Observation/x all", "the next permit may name it");
}

/// The part of a month or a year counts by its last day.
#[test]
fn a_partial_date_is_within_a_window_where_its_last_day_is() {
    let on = |date: &str| LAB.replace("2024-06-01T10:00:00Z", date);
    let house = House::of(
        "[[permit]]\nrule = \"new\"\ntypes = [\"Observation\"]\nsince = \"2024-06-15\"\n",
    );
    for (date, word) in [("2024-06", "new"), ("2024", "new"), ("2024-05", "outside-window")] {
        let told = told(&house.shape(&chart(&[&on(date)], &[])));
        assert!(told[0].ends_with(word), "{date}: {told:?}");
    }
}

/// One rule to a row, and whether it keeps [`LAB`].
#[test]
fn a_withhold_rule_keeps_what_all_it_says_fits() {
    #[rustfmt::skip]
    let table = [
        ("the type", "types = ['Observation']", true),
        ("another type", "types = ['Condition']", false),
        ("the category", "category = ['laboratory']\ntypes = ['Observation']", true),
        ("two conditions", "all = [{ path = 'code', codes = ['1-8'] }, { path = 'category', codes = ['laboratory'] }]", true),
        ("two of which one does not hold", "all = [{ path = 'code', codes = ['1-8'] }, { path = 'category', codes = ['exam'] }]", false),
        ("what it refers to", "having = { path = 'performer', references = ['Organization/lab'] }", true),
        ("an identifier", "having = { path = 'performer', identifiers = ['urn:npi|77'] }", true),
        ("within the days", "types = ['Observation']\nwithin_days = 730", true),
        ("older than the days", "types = ['Observation']\nwithin_days = 30", false),
        ("but for this purpose", "types = ['Observation']\nexcept_purposes = ['HPAYMT']", false),
        ("but for another purpose", "types = ['Observation']\nexcept_purposes = ['TREAT']", true),
    ];
    for (case, more, stays) in table {
        let house = House::of(&format!(
            "[[permit]]\nrule = \"all\"\ntypes = [\"Observation\"]\n[[withhold]]\nrule = \"x\"\n{more}\n"
        ));
        let word = word_on(&house.shape(&chart(&[LAB], &[])), "Observation/x");
        let wanted = if stays { "-Observation/x x" } else { "Observation/x all" };
        assert_eq!(word, wanted, "{case}");
    }
    let undated = LAB.replace("effectiveDateTime", "note_");
    let house = House::of(
        "[[permit]]\nrule = \"all\"\ntypes = [\"Observation\"]\n[[withhold]]\nrule = \"x\"\ntypes = ['Observation']\nwithin_days = 30\n",
    );
    let told = told(&house.shape(&chart(&[&undated], &[])));
    assert_eq!(told, ["-Observation/x x"], "what has no day may be of these");
}

#[test]
fn what_is_sent_in_another_kind_goes_along_where_it_is_referred_to() {
    let rules = "[[permit]]\nrule = \"reports\"\ntypes = [\"DiagnosticReport\"]\n\
                 [[permit]]\nrule = \"results\"\ntypes = [\"Observation\"]\nkinds = [\"results\"]\n";
    let report =
        r#"{"resourceType":"DiagnosticReport","id":"r","result":[{"reference":"Observation/x"}]}"#;
    let mut house = House::of(rules);
    let along = house.shape(&chart(&[LAB, report], &[]));
    assert_eq!(word_on(&along, "Observation/x"), "Observation/x results");
    let alone = told(&house.shape(&chart(&[LAB], &[])));
    assert_eq!(alone, ["-Observation/x not-in-this-kind"]);
    house.kind = "results";
    let own = house.shape(&chart(&[LAB], &[]));
    assert_eq!(word_on(&own, "Observation/x"), "Observation/x results");
}

#[test]
fn of_two_rules_that_keep_a_resource_the_sensitive_one_is_named() {
    let rules = "[[permit]]\nrule = \"all\"\ntypes = [\"Observation\"]\n\
                 [[withhold]]\nrule = \"dull\"\ntypes = [\"Observation\"]\nsensitive = false\n\
                 [[withhold]]\nrule = \"keen\"\nhaving = { path = \"code\", codes = [\"1-8\"] }\n";
    let mut house = House::of(rules);
    house.purpose = Purpose::Treatment;
    assert_eq!(told(&house.shape(&chart(&[LAB], &[]))), ["-Observation/x keen"]);
}
