//! Shall: the searches that US Core 6.1.0 says a server SHALL answer.
//!
//! Comes in   a type and the parameters of a search.
//! Goes out   yes, or what is wrong with it.
//! Never      a parameter or a combination that is SHOULD or MAY.
//!
//! Source: hl7.fhir.us.core 6.1.0, CapabilityStatement-us-core-server.json (`searchParam`,
//! `capabilitystatement-search-parameter-combination`, `searchRevInclude`) and the SearchParameters'
//! `comparator` and `multipleOr`. A test compares every row with the package.

/// Types whose searches without `status` an EHR of the minimum refuses (US Core 6.1.0, General
/// Guidance, "Search for Servers Requiring Status").
pub const STATUS_DEMANDED: [&str; 3] = ["DocumentReference", "MedicationRequest", "Observation"];

/// What a server SHALL do for a type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shall {
    /// The type; read of it is SHALL.
    pub(crate) kind: &'static str,
    /// The sets of parameters that are SHALL, one alone or several together.
    pub(crate) searches: &'static [&'static [&'static str]],
    /// Whether `_revinclude=Provenance:target` is SHALL.
    pub(crate) provenance: bool,
}

const fn row(
    kind: &'static str,
    provenance: bool,
    searches: &'static [&'static [&'static str]],
) -> Shall {
    Shall { kind, searches, provenance }
}

#[rustfmt::skip] // a table: one type a row
pub(crate) const SHALL: &[Shall] = &[
    row("AllergyIntolerance", true, &[&["patient"]]),
    row("CarePlan", true, &[&["patient", "category"]]),
    row("CareTeam", true, &[&["patient", "status"]]),
    row("Condition", true, &[&["patient"], &["patient", "category"]]),
    row("Coverage", true, &[&["patient"]]),
    row("Device", true, &[&["patient"]]),
    row("DiagnosticReport", true, &[&["patient"], &["patient", "category"],
        &["patient", "category", "date"], &["patient", "code"]]),
    row("DocumentReference", true, &[&["_id"], &["patient"], &["patient", "category"],
        &["patient", "category", "date"], &["patient", "type"]]),
    row("Encounter", true, &[&["_id"], &["patient"], &["date", "patient"]]),
    row("Goal", true, &[&["patient"]]),
    row("Immunization", true, &[&["patient"]]),
    row("Location", false, &[&["name"], &["address"]]),
    row("Medication", false, &[]),
    row("MedicationDispense", true, &[&["patient"]]),
    row("MedicationRequest", true, &[&["patient", "intent"], &["patient", "intent", "status"]]),
    row("Observation", true, &[&["patient", "category"], &["patient", "category", "date"],
        &["patient", "code"]]),
    row("Organization", false, &[&["name"], &["address"]]),
    row("Patient", true, &[&["_id"], &["identifier"], &["name"], &["birthdate", "name"],
        &["gender", "name"]]),
    row("Practitioner", false, &[&["name"], &["identifier"]]),
    row("PractitionerRole", false, &[&["specialty"], &["practitioner"]]),
    row("Procedure", true, &[&["patient"], &["patient", "date"]]),
    row("Provenance", false, &[]),
    row("RelatedPerson", true, &[&["_id"]]),
    row("ServiceRequest", true, &[&["_id"], &["patient"], &["patient", "category"],
        &["patient", "category", "authored"], &["patient", "code"]]),
    row("Specimen", false, &[&["_id"]]),
];

/// Parameters that take alternatives (`multipleOr` SHALL), whatever the type.
const ALTERNATIVES: [(&str, &str); 10] = [
    ("CarePlan", "status"),
    ("Device", "status"),
    ("DiagnosticReport", "status"),
    ("DocumentReference", "status"),
    ("MedicationDispense", "status"),
    ("MedicationRequest", "intent"),
    ("MedicationRequest", "status"),
    ("Observation", "status"),
    ("Procedure", "status"),
    ("ServiceRequest", "status"),
];

/// The dates among the parameters: a comparison is `gt`, `ge`, `lt` or `le`, or none.
const DATES: [&str; 2] = ["date", "authored"];

/// The row of a type.
pub(crate) fn shall(kind: &str) -> Option<&'static Shall> {
    SHALL.iter().find(|row| row.kind == kind)
}

/// What is wrong with a search, as its OperationOutcome says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// R4 `issue-type`.
    pub(crate) code: &'static str,
    /// One sentence; no value of the search.
    pub(crate) words: String,
}

fn refused<T>(code: &'static str, words: String) -> Result<T, Refused> {
    Err(Refused { code, words })
}

/// A search that is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What is asked, in its order, without what changes nothing.
    pub(crate) parameters: Vec<(String, String)>,
    /// Whether Provenance is to come along.
    pub(crate) provenance: bool,
}

impl Shall {
    /// Reads a search. `strict` refuses what is no SHALL; else it is passed over, and the largest set
    /// of parameters that is one counts. `status` says whether it is demanded.
    pub(crate) fn read(
        &self,
        parameters: Vec<(String, String)>,
        strict: bool,
        status: bool,
    ) -> Result<Asked, Refused> {
        let mut asked = Asked { parameters: Vec::new(), provenance: false };
        for (name, value) in parameters {
            match (name.as_str(), value.as_str()) {
                ("_count", _) => continue,
                ("_revinclude", "Provenance:target") if self.provenance => {
                    asked.provenance = true;
                    continue;
                }
                _ => {}
            }
            match self.fault(&asked, &name, &value, status) {
                None => asked.parameters.push((name, value)),
                Some(words) if strict => return refused("not-supported", words),
                Some(_) => {}
            }
        }
        self.check(asked, strict, status)
    }

    /// What is wrong with one parameter.
    fn fault(&self, so_far: &Asked, name: &str, value: &str, status: bool) -> Option<String> {
        let known =
            self.searches.iter().any(|set| set.contains(&name)) || (status && name == "status");
        let kind = self.kind;
        if !known {
            return Some(format!("{kind} is not searched by one of the parameters"));
        }
        if so_far.parameters.iter().any(|(other, _)| other == name) {
            return Some(format!("{name} may stand once in a search for {kind}"));
        }
        if value.contains(',') && !ALTERNATIVES.contains(&(kind, name)) {
            return Some(format!("{name} takes one value in a search for {kind}"));
        }
        let prefix = value.get(..2).filter(|two| two.bytes().all(|it| it.is_ascii_lowercase()));
        let compared = prefix.is_none_or(|prefix| matches!(prefix, "gt" | "ge" | "lt" | "le"));
        (DATES.contains(&name) && !compared)
            .then(|| format!("{name} is compared by gt, ge, lt, le"))
    }

    /// Whether the parameters together are a set that is SHALL.
    fn check(&self, asked: Asked, strict: bool, status: bool) -> Result<Asked, Refused> {
        let kind = self.kind;
        let has = |name: &str| asked.parameters.iter().any(|(known, _)| known == name);
        let demanded = status && !has("_id");
        if demanded && !has("status") {
            let words = format!("a search for {kind} needs the status parameter");
            return refused("required", words);
        }
        let given = asked.parameters.iter().filter(|(name, _)| !(demanded && name == "status"));
        let given = given.count();
        let whole = |set: &&&[&str]| {
            let own = set.iter().filter(|name| !(demanded && **name == "status"));
            own.clone().all(|name| has(name)) && (!strict || own.count() == given)
        };
        let best = self.searches.iter().filter(whole).max_by_key(|set| set.len());
        let Some(best) = best else {
            let words = format!("{kind} is not searched by this combination of parameters");
            return refused("not-supported", words);
        };
        let counts = |(name, _): &(String, String)| {
            best.contains(&name.as_str()) || (demanded && name == "status")
        };
        let parameters = asked.parameters.into_iter().filter(counts).collect();
        Ok(Asked { parameters, ..asked })
    }
}

#[cfg(test)]
mod tests;
