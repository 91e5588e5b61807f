//! Kinds: which resource types are held here, and by what each of them is found.
//!
//! Comes in   nothing: a table.
//! Goes out   for each type its search parameters, and the elements that they ask about.
//! Never      names a parameter that R4 does not define for the type.
//!
//! Why one table: what is indexed (`keys`), what is understood (`search`) and what is promised
//! (`capability`) cannot differ, because they are readings of the same row. Parameters and their
//! elements are those of R4's search parameter registry (hl7.org/fhir/R4/searchparameter-registry).

/// Names of parameters, and the element paths they ask about, first found first taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By(pub &'static [&'static str], pub &'static [&'static str]);

/// A token parameter and the paths of the elements it asks about, all of them taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token(pub &'static str, pub &'static [&'static str]);

/// References that repeat, filed as tokens: the name of the token and the paths of the elements.
/// It is asked for by each of the parameters, as a record of the type beside it; where that is
/// empty, of any type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) parameters: &'static [(&'static str, &'static str)],
    pub(crate) token: &'static str,
    pub(crate) paths: &'static [&'static str],
}

/// One resource type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KindRow {
    /// The type.
    pub(crate) kind: &'static str,
    /// How the patient is asked for, and where it stands.
    pub(crate) patient: By,
    /// How the encounter is asked for, and where it stands.
    pub(crate) encounter: By,
    /// How the date is asked for, and where it stands.
    pub(crate) date: By,
    /// Whether R4 has a parameter `status` for the type.
    pub(crate) status: bool,
    /// Coded elements and identifiers.
    pub(crate) tokens: &'static [Token],
    /// References that repeat.
    pub(crate) links: &'static [Link],
}

/// What a parameter of a type finds records by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finds {
    /// The logical id.
    Id,
    /// When the current version was filed.
    LastUpdated,
    /// The patient the record is about.
    Patient,
    /// The encounter the record belongs to.
    Encounter,
    /// The date of the row.
    Date,
    /// The code of `status`.
    Status,
    /// A token of this name.
    Token(&'static str),
    /// A token of this name that holds a reference, and the type it refers to (empty: any).
    Link(&'static str, &'static str),
}

impl Finds {
    /// R4 `search-param-type`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Finds::Id | Finds::Status | Finds::Token(_) => "token",
            Finds::LastUpdated | Finds::Date => "date",
            Finds::Patient | Finds::Encounter | Finds::Link(..) => "reference",
        }
    }
}

impl KindRow {
    /// Every parameter of the type, in the order of print.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'static str, Finds)> {
        let named = |by: By, finds| by.0.iter().map(move |name| (*name, finds));
        [("_id", Finds::Id), ("_lastUpdated", Finds::LastUpdated)]
            .into_iter()
            .chain(named(self.patient, Finds::Patient))
            .chain(named(self.encounter, Finds::Encounter))
            .chain(named(self.date, Finds::Date))
            .chain(self.status.then_some(("status", Finds::Status)))
            .chain(self.tokens.iter().map(|token| (token.0, Finds::Token(token.0))))
            .chain(self.links.iter().flat_map(|link| {
                link.parameters.iter().map(|(name, kind)| (*name, Finds::Link(link.token, kind)))
            }))
    }

    /// What the parameter of this name finds by, if the type has it.
    pub(crate) fn parameter(&self, name: &str) -> Option<Finds> {
        self.parameters().find(|(known, _)| *known == name).map(|(_, finds)| finds)
    }
}

/// The row of a type.
pub(crate) fn row(kind: &str) -> Option<&'static KindRow> {
    KINDS.iter().find(|row| row.kind == kind)
}

/// The types that can be searched and are promised in the capability statement, in the order of
/// print.
pub fn known() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|row| row.kind)
}

/// Every row, in the order of print.
pub(crate) fn all() -> impl Iterator<Item = &'static KindRow> {
    KINDS.iter()
}

/// Whether R4 asks by this parameter for records of this type too, beside Patients and Encounters:
/// they may be filed, but are no keys, so that nothing would be found by them.
pub(crate) fn is_wider(name: &str, kind: &str) -> bool {
    match name {
        "subject" => kind != "Patient",
        "context" => kind == "EpisodeOfCare",
        _ => false,
    }
}

/// The types of R4 whose records are filed under a Patient whom they are about, those outside the
/// table too: not the Patient itself, nor a Provenance, which speaks of other records.
pub fn about_patients() -> impl Iterator<Item = &'static str> {
    let all = fhir::r4::Type::all().filter(|one| one.is_resource());
    let other = |one: fhir::r4::Type| one.elements().any(|it| OTHER.patient.1.contains(&it.name()));
    let about = all.filter(move |one| match row(one.name()) {
        Some(row) => row.kind != "Provenance" && !row.patient.1.is_empty(),
        None => other(*one),
    });
    about.map(|one| one.name())
}

/// The token of what a Provenance is about.
pub(crate) const TARGET: &str = "target";

/// For types outside the table: they are kept and read, and never searched.
pub(crate) const OTHER: KindRow = KindRow {
    kind: "",
    patient: By(&[], &["subject", "patient", "beneficiary"]),
    encounter: By(&[], &["encounter"]),
    date: NONE,
    status: false,
    tokens: &[IDENTIFIER],
    links: &[],
};

const NONE: By = By(&[], &[]);
const SUBJECT: By = By(&["patient", "subject"], &["subject"]);
const PATIENT: By = By(&["patient"], &["patient"]);
const ENCOUNTER: By = By(&["encounter"], &["encounter"]);
/// The element is there, but R4 has no parameter for it: filed as a key, not offered.
const ENCOUNTER_UNASKED: By = By(&[], &["encounter"]);
/// R4 calls it `context` where it may be an EpisodeOfCare too.
const CONTEXT: By = By(&["context"], &["context"]);
/// The element is there, but R4 has no such parameter, or a link asks for it.
const SUBJECT_UNASKED: By = By(&[], &["subject"]);
const PERIOD: By = By(&["date"], &["period"]);
const DATE: By = By(&["date"], &["date"]);
const STATUS: bool = true;
const NO_STATUS: bool = false;
const IDENTIFIER: Token = Token("identifier", &["identifier"]);
const CATEGORY: Token = Token("category", &["category"]);
const CODE: Token = Token("code", &["code"]);
const TYPE: Token = Token("type", &["type"]);
const CLINICAL_STATUS: Token = Token("clinical-status", &["clinicalStatus"]);
const INTENT: Token = Token("intent", &["intent"]);
const MEDICATION: Token = Token("code", &["medicationCodeableConcept"]);

const fn kind(
    kind: &'static str,
    patient: By,
    encounter: By,
    date: By,
    status: bool,
    tokens: &'static [Token],
) -> KindRow {
    KindRow { kind, patient, encounter, date, status, tokens, links: &[] }
}

impl KindRow {
    const fn linked(self, links: &'static [Link]) -> KindRow {
        KindRow { links, ..self }
    }
}

const BY_ENCOUNTER: &[(&str, &str)] = &[("encounter", "Encounter")];
const ITEM_ENCOUNTER: Link =
    Link { parameters: BY_ENCOUNTER, token: "encounter", paths: &["item.encounter"] };

#[rustfmt::skip] // a table: one type a row
const KINDS: &[KindRow] = &[
    kind("Account", SUBJECT_UNASKED, NONE, NONE, STATUS, &[IDENTIFIER, TYPE]).linked(&[Link {
        parameters: &[("patient", "Patient"), ("subject", "")],
        token: "subject",
        paths: &["subject"],
    }]),
    kind("AllergyIntolerance", PATIENT, ENCOUNTER_UNASKED, By(&["date"], &["recordedDate"]),
        NO_STATUS,
        &[IDENTIFIER, CATEGORY, CLINICAL_STATUS, Token("code", &["code", "reaction.substance"])]),
    kind("Binary", NONE, NONE, NONE, NO_STATUS, &[]),
    kind("BodyStructure", PATIENT, NONE, NONE, NO_STATUS, &[IDENTIFIER]),
    kind("CarePlan", SUBJECT, ENCOUNTER, PERIOD, STATUS, &[IDENTIFIER, CATEGORY, INTENT]),
    kind("CareTeam", SUBJECT, ENCOUNTER, PERIOD, STATUS, &[IDENTIFIER, CATEGORY]),
    kind("Claim", PATIENT, NONE, By(&["created"], &["created"]), STATUS, &[IDENTIFIER])
        .linked(&[ITEM_ENCOUNTER]),
    kind("ClinicalImpression", SUBJECT, ENCOUNTER, DATE, STATUS, &[IDENTIFIER]),
    kind("Communication", SUBJECT, ENCOUNTER, By(&["sent"], &["sent"]), STATUS,
        &[IDENTIFIER, CATEGORY]),
    kind("Composition", SUBJECT, ENCOUNTER, DATE, STATUS, &[IDENTIFIER, CATEGORY, TYPE]),
    kind("Condition", SUBJECT, ENCOUNTER, By(&["recorded-date"], &["recordedDate"]), NO_STATUS,
        &[IDENTIFIER, CATEGORY, CLINICAL_STATUS, CODE]),
    kind("Consent", PATIENT, NONE, By(&["date"], &["dateTime"]), STATUS, &[IDENTIFIER, CATEGORY]),
    kind("Coverage", By(&["patient", "beneficiary"], &["beneficiary"]), NONE, NONE, STATUS,
        &[IDENTIFIER, TYPE]),
    kind("DetectedIssue", PATIENT, NONE,
        By(&["identified"], &["identifiedDateTime", "identifiedPeriod"]), STATUS,
        &[IDENTIFIER, CODE]),
    kind("Device", PATIENT, NONE, NONE, STATUS, &[IDENTIFIER, TYPE]),
    kind("DeviceRequest", SUBJECT, ENCOUNTER, By(&["authored-on"], &["authoredOn"]), STATUS,
        &[IDENTIFIER, INTENT, Token("code", &["codeCodeableConcept"])]),
    kind("DeviceUseStatement", SUBJECT, NONE, NONE, NO_STATUS, &[IDENTIFIER]),
    kind("DiagnosticReport", SUBJECT, ENCOUNTER,
        By(&["date"], &["effectiveDateTime", "effectivePeriod"]), STATUS,
        &[IDENTIFIER, CATEGORY, CODE]),
    kind("DocumentReference", SUBJECT, NONE, DATE, STATUS,
        &[Token("identifier", &["masterIdentifier", "identifier"]), CATEGORY, TYPE])
        .linked(&[Link {
            parameters: BY_ENCOUNTER, token: "encounter", paths: &["context.encounter"],
        }]),
    kind("Encounter", SUBJECT, By(&[], &[]), PERIOD, STATUS,
        &[IDENTIFIER, Token("class", &["class"]), TYPE]),
    kind("Endpoint", NONE, NONE, NONE, STATUS, &[IDENTIFIER]),
    kind("EpisodeOfCare", PATIENT, NONE, PERIOD, STATUS, &[IDENTIFIER, TYPE]),
    kind("ExplanationOfBenefit", PATIENT, NONE, By(&["created"], &["created"]), STATUS,
        &[IDENTIFIER]).linked(&[ITEM_ENCOUNTER]),
    kind("FamilyMemberHistory", PATIENT, NONE, DATE, STATUS,
        &[IDENTIFIER, Token("code", &["condition.code"])]),
    kind("Flag", SUBJECT, ENCOUNTER, PERIOD, NO_STATUS, &[IDENTIFIER]),
    kind("Goal", SUBJECT, NONE, By(&["start-date"], &["startDate"]), NO_STATUS,
        &[IDENTIFIER, CATEGORY, Token("lifecycle-status", &["lifecycleStatus"])]),
    kind("Group", NONE, NONE, NONE, NO_STATUS, &[IDENTIFIER, CODE, TYPE]).linked(&[Link {
        parameters: &[("member", "")],
        token: "member",
        paths: &["member.entity"],
    }]),
    kind("HealthcareService", NONE, NONE, NONE, NO_STATUS, &[IDENTIFIER]),
    kind("ImagingStudy", SUBJECT, ENCOUNTER, By(&["started"], &["started"]), STATUS,
        &[IDENTIFIER]),
    kind("Immunization", PATIENT, ENCOUNTER_UNASKED, By(&["date"], &["occurrenceDateTime"]), STATUS,
        &[IDENTIFIER, Token("vaccine-code", &["vaccineCode"])]),
    kind("List", SUBJECT, ENCOUNTER, DATE, STATUS, &[IDENTIFIER, CODE]),
    kind("Location", NONE, NONE, NONE, STATUS, &[IDENTIFIER, TYPE]),
    kind("MeasureReport", SUBJECT, NONE, DATE, STATUS, &[IDENTIFIER]),
    kind("Media", SUBJECT, ENCOUNTER,
        By(&["created"], &["createdDateTime", "createdPeriod"]), STATUS,
        &[IDENTIFIER, TYPE]),
    kind("Medication", NONE, NONE, NONE, STATUS, &[IDENTIFIER, CODE]),
    kind("MedicationAdministration", SUBJECT, CONTEXT,
        By(&["effective-time"], &["effectiveDateTime", "effectivePeriod"]), STATUS,
        &[IDENTIFIER, MEDICATION]),
    kind("MedicationDispense", SUBJECT, CONTEXT, By(&["whenhandedover"], &["whenHandedOver"]),
        STATUS, &[IDENTIFIER, MEDICATION]),
    kind("MedicationRequest", SUBJECT, ENCOUNTER, By(&["authoredon"], &["authoredOn"]), STATUS,
        &[IDENTIFIER, CATEGORY, INTENT, MEDICATION]),
    kind("MedicationStatement", SUBJECT, CONTEXT,
        By(&["effective"], &["effectiveDateTime", "effectivePeriod"]), STATUS,
        &[IDENTIFIER, CATEGORY, MEDICATION]),
    kind("Observation", SUBJECT, ENCOUNTER,
        By(&["date"],
            &["effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming"]),
        STATUS, &[IDENTIFIER, CATEGORY, CODE]),
    kind("Organization", NONE, NONE, NONE, NO_STATUS, &[IDENTIFIER, TYPE]),
    kind("Patient", NONE, NONE, NONE, NO_STATUS, &[IDENTIFIER]),
    kind("Practitioner", NONE, NONE, NONE, NO_STATUS, &[IDENTIFIER]),
    kind("PractitionerRole", NONE, NONE, PERIOD, NO_STATUS, &[IDENTIFIER]).linked(&[Link {
        parameters: &[("practitioner", "Practitioner")],
        token: "practitioner",
        paths: &["practitioner"],
    }]),
    kind("Procedure", SUBJECT, ENCOUNTER,
        By(&["date"], &["performedDateTime", "performedPeriod"]), STATUS,
        &[IDENTIFIER, CATEGORY, CODE]),
    kind("Provenance", By(&[], &["target"]), NONE, By(&["recorded"], &["recorded"]), NO_STATUS, &[])
        .linked(&[Link {
            parameters: &[("patient", "Patient"), ("target", "")],
            token: TARGET,
            paths: &["target"],
        }]),
    kind("QuestionnaireResponse", SUBJECT, ENCOUNTER, By(&["authored"], &["authored"]), STATUS,
        &[IDENTIFIER]),
    kind("RelatedPerson", PATIENT, NONE, NONE, NO_STATUS, &[IDENTIFIER]),
    kind("RiskAssessment", SUBJECT, ENCOUNTER, By(&["date"], &["occurrenceDateTime"]), NO_STATUS,
        &[IDENTIFIER]),
    kind("ServiceRequest", SUBJECT, ENCOUNTER, By(&["authored"], &["authoredOn"]), STATUS,
        &[IDENTIFIER, CATEGORY, CODE, INTENT]),
    kind("Specimen", SUBJECT, NONE,
        By(&["collected"], &["collection.collectedDateTime", "collection.collectedPeriod"]),
        STATUS, &[IDENTIFIER, TYPE]),
    kind("SupplyDelivery", PATIENT, NONE, NONE, STATUS, &[IDENTIFIER]),
    kind("Task", By(&["patient", "subject"], &["for"]), ENCOUNTER,
        By(&["authored-on"], &["authoredOn"]), STATUS, &[IDENTIFIER, CODE, INTENT]),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::references::references;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::io::Write as _;

    #[test]
    fn every_type_and_every_parameter_of_a_type_stands_once() {
        let kinds: Vec<_> = known().collect();
        assert!(kinds.is_sorted(), "the table is in order");
        assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len());
        for row in KINDS {
            let names: Vec<_> = row.parameters().map(|(name, _)| name).collect();
            let different: BTreeSet<_> = names.iter().collect();
            assert_eq!(different.len(), names.len(), "{}", row.kind);
        }
    }

    #[test]
    fn a_parameter_that_r4_does_not_define_for_a_type_is_not_offered() {
        for (kind, name) in [
            ("Immunization", "encounter"),
            ("AllergyIntolerance", "encounter"),
            ("AllergyIntolerance", "subject"),
            ("Condition", "status"),
            ("Condition", "date"),
            ("Encounter", "encounter"),
            ("Coverage", "subject"),
            ("Patient", "patient"),
            ("MedicationAdministration", "encounter"),
        ] {
            assert!(row(kind).is_some_and(|row| row.parameter(name).is_none()), "{kind} {name}");
        }
    }

    /// R4's definitions, where they are: parameter by type and name. Without them, one line says
    /// what is skipped.
    fn definitions(skipped: &str) -> Option<std::collections::BTreeMap<(String, String), Value>> {
        let Some(folder) = std::env::var_os("HANDOVER_DATA").map(std::path::PathBuf::from) else {
            // Straight to the terminal: the test runner hides what passing tests print.
            let line = format!("skipped: HANDOVER_DATA is not set, so {skipped}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let file = folder.join("r4-core-definitions/search-parameters.json.gz");
        let read = std::io::BufReader::new(std::fs::File::open(file).unwrap());
        let all: Value = serde_json::from_reader(flate2::bufread::GzDecoder::new(read)).unwrap();
        let parameters = all["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
        let of_each = parameters.flat_map(|one| {
            let name = one["code"].as_str().unwrap().to_owned();
            let kinds = one["base"].as_array().unwrap().iter();
            kinds.map(move |kind| ((kind.as_str().unwrap().to_owned(), name.clone()), one.clone()))
        });
        Some(of_each.collect())
    }

    /// The elements of a type that a definition's expression names.
    fn elements(definition: &Value, kind: &str) -> BTreeSet<String> {
        let parts = definition["expression"].as_str().unwrap_or_default().split('|').map(str::trim);
        let mine = parts.filter_map(|part| {
            let part = part.trim_start_matches('(').strip_prefix(kind)?.strip_prefix('.')?;
            let part = part.split(" as ").next()?.split(".where(").next()?;
            Some(part.to_owned())
        });
        mine.collect()
    }

    fn paths(row: &KindRow, name: &str) -> &'static [&'static str] {
        let named = |by: By| by.0.contains(&name).then_some(by.1);
        let by = named(row.patient).or(named(row.encounter)).or(named(row.date));
        let token = row.tokens.iter().find(|token| token.0 == name).map(|token| token.1);
        let asked = |link: &&Link| link.parameters.iter().any(|parameter| parameter.0 == name);
        let link = row.links.iter().find(asked).map(|link| link.paths);
        by.or(token).or(link).unwrap_or(&["status"])
    }

    /// `effectivePeriod` is a form of `effective`.
    fn is_form(path: &str, element: &str) -> bool {
        let forms =
            ["", "Date", "DateTime", "Period", "Instant", "Timing", "CodeableConcept", "Reference"];
        path.strip_prefix(element).is_some_and(|rest| forms.contains(&rest))
    }

    #[test]
    fn every_parameter_is_one_of_r4_and_asks_about_the_elements_r4_says() {
        let Some(definitions) = definitions("no parameter was compared with those of R4") else {
            return;
        };
        let defined = |kind: &str, name: &str| definitions.get(&(kind.to_owned(), name.to_owned()));
        for row in KINDS {
            for (name, finds) in row.parameters().filter(|(name, _)| !name.starts_with('_')) {
                let place = format!("{}.{name}", row.kind);
                let definition = defined(row.kind, name).unwrap_or_else(|| panic!("{place}"));
                assert_eq!(definition["type"], finds.code(), "{place}");
                let elements = elements(definition, row.kind);
                for path in paths(row, name) {
                    let known = elements.iter().any(|element| is_form(path, element));
                    assert!(known, "{place}: {path} is not in {elements:?}");
                }
                for element in &elements {
                    let asked = paths(row, name).iter().any(|path| is_form(path, element));
                    assert!(asked, "{place} leaves out {element}");
                }
            }
        }
    }

    #[test]
    fn what_r4_has_of_the_usual_parameters_is_offered() {
        let Some(definitions) = definitions("nobody looked for usual parameters of R4 left out")
        else {
            return;
        };
        let usual =
            ["identifier", "patient", "subject", "encounter", "code", "category", "status", "date"];
        // The dates of a dosage repeat; the one of the order is `authoredon`.
        let left_out = [("MedicationRequest", "date")];
        for row in KINDS {
            for name in usual {
                let known = definitions.contains_key(&(row.kind.to_owned(), name.to_owned()));
                let expected = known && !left_out.contains(&(row.kind, name));
                assert_eq!(row.parameter(name).is_some(), expected, "{} {name}", row.kind);
            }
        }
    }

    #[test]
    fn references_are_those_of_r4_canonicals_aside() {
        let Some(definitions) = definitions("no reference was compared with those of R4") else {
            return;
        };
        let canonical = ["instantiates-canonical", "measure", "questionnaire"];
        for row in KINDS {
            let mut defined = BTreeSet::new();
            for ((kind, name), definition) in &definitions {
                let wanted = kind == row.kind && definition["type"] == "reference";
                if wanted && !canonical.contains(&name.as_str()) {
                    defined.extend(elements(definition, kind).into_iter().map(|it| (&**name, it)));
                }
            }
            let ours = references(row.kind).iter();
            let ours: BTreeSet<_> = ours.map(|(name, path)| (*name, without_form(path))).collect();
            let defined = defined.into_iter().map(|(name, path)| (name, without_form(&path)));
            assert_eq!(ours, defined.collect(), "{}", row.kind);
        }
    }

    fn without_form(path: &str) -> String {
        let path = path.split(':').next().unwrap_or_default();
        path.strip_suffix("Reference").unwrap_or(path).to_owned()
    }
}
