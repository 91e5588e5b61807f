//! Verdicts: what is known of a chart beside a push is judged once, and not for every push.
//!
//! Comes in   records that are not decided on, and the audience.
//! Goes out   the sensitive verdict on each, and what it says of its place in the chart.
//! Never      gives one audience the verdict of another: what an audience is made of is compared
//!            whole.
//!
//! Why: a discharge is forty pushes, and each asks the whole chart what of it is sensitive. Records
//! are known again by where their bytes lie, which are kept, and so are never another record's.

use super::belongings::Facts;
use super::visits::{Answers, Named, Visited};
use super::{Audience, Withheld, sensitivity};
use crate::agreement::Terms;
use crate::purpose::Purpose;
use crate::restriction::Restrictions;
use fhir::Resource;
use jiff::civil::Date;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Verdicts for one audience. Shapes the same disclosure as none would, in less time.
#[derive(Debug)]
pub struct Verdicts {
    terms: Terms,
    purpose: Purpose,
    kind: String,
    on: Date,
    restrictions: Restrictions,
    patient: String,
    own_coverages: Vec<String>,
    source_base: String,
    seen: Mutex<HashMap<(usize, usize), Seen>>,
    said: Arc<Said>,
}

/// What records say of their place in the chart, whoever asks.
type Said = Mutex<HashMap<(usize, usize), (Resource, Arc<Facts>)>>;

/// What was found out about one record.
#[derive(Debug, Clone)]
struct Seen {
    /// Keeps the bytes where they are.
    _resource: Resource,
    named: Arc<Named>,
    sensitive: (Answers, Option<Withheld>),
}

impl Verdicts {
    /// None yet.
    pub fn new(audience: &Audience<'_>) -> Verdicts {
        Verdicts::with(audience, Arc::default())
    }

    /// None yet, for another audience of the same chart: what its records say is the same for all.
    pub fn for_another(&self, audience: &Audience<'_>) -> Verdicts {
        Verdicts::with(audience, Arc::clone(&self.said))
    }

    fn with(audience: &Audience<'_>, said: Arc<Said>) -> Verdicts {
        // Nothing is left out: whatever a verdict comes to depend on is compared already.
        let Audience {
            terms,
            purpose,
            kind,
            on,
            restrictions,
            patient,
            own_coverages,
            source_base,
        } = *audience;
        Verdicts {
            terms: terms.clone(),
            purpose,
            kind: kind.to_owned(),
            on,
            restrictions: restrictions.clone(),
            patient: patient.to_owned(),
            own_coverages: own_coverages.to_vec(),
            source_base: source_base.to_owned(),
            seen: Mutex::default(),
            said,
        }
    }

    /// Whether they hold for this audience.
    pub fn fit(&self, audience: &Audience<'_>) -> bool {
        self.purpose == audience.purpose
            && self.kind == audience.kind
            && self.on == audience.on
            && self.patient == audience.patient
            && self.own_coverages == audience.own_coverages
            && self.source_base == audience.source_base
            && self.restrictions == *audience.restrictions
            && self.terms == *audience.terms
    }

    /// The sensitive verdict on a record. `audience` is one that they fit.
    pub(super) fn sensitive(
        &self,
        resource: &Resource,
        audience: &Audience<'_>,
        visited: &Visited,
    ) -> Option<Withheld> {
        let known = self.seen().get(&place(resource)).cloned();
        let (named, sensitive) = match known {
            Some(seen) => (seen.named, Some(seen.sensitive)),
            None => (Arc::new(visited.named(resource)), None),
        };
        let answers = visited.answers(&named);
        match sensitive {
            Some((known, why)) if known == answers => why,
            _ => {
                let why = sensitivity(resource, audience, answers.visits());
                let sensitive = (answers, why.clone());
                let seen = Seen { _resource: resource.clone(), named, sensitive };
                self.seen().insert(place(resource), seen);
                why
            }
        }
    }

    /// What a record says of its place in the chart.
    pub(super) fn facts(&self, resource: &Resource) -> Arc<Facts> {
        let said = || self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let known = said().get(&place(resource)).map(|(_, facts)| Arc::clone(facts));
        known.unwrap_or_else(|| {
            let facts = Arc::new(Facts::of(resource));
            let mut all = said();
            let (_, facts) = all.entry(place(resource)).or_insert((resource.clone(), facts));
            Arc::clone(facts)
        })
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<(usize, usize), Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the bytes lie, and how many there are.
fn place(resource: &Resource) -> (usize, usize) {
    (resource.bytes().as_ptr().addr(), resource.bytes().len())
}

#[cfg(test)]
mod tests {
    //! Goal: verdicts serve the audience that they were made for, and no other.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::agreement::{Agreement, PayerIdentifier, default_value_set};

    #[test]
    fn verdicts_fit_the_audience_they_were_made_for_and_no_other() {
        let terms = |payer: &str| {
            let identifier = PayerIdentifier { system: None, value: "99001".to_owned() };
            let text = Agreement::default_text(&payer.into(), &[Purpose::Payment], &[identifier]);
            Terms::parse(&text, "agreement.toml", &default_value_set).unwrap()
        };
        let (one, another) = (terms("sunrise"), terms("sunset"));
        let none = Restrictions::default();
        let table = "[[restriction]]\nsubject = \"Encounter/e1\"\nreason = \"self-pay\"\n";
        let some = Restrictions::parse(table, "restrictions.toml", &["sunrise".into()]).unwrap();
        let coverage = vec!["Coverage/c1".to_owned()];
        let audience = Audience {
            terms: &one,
            purpose: Purpose::Payment,
            kind: "encounter",
            on: jiff::civil::date(2026, 11, 22),
            restrictions: &none,
            patient: "p1",
            own_coverages: &coverage,
            source_base: "https://ehr.example/fhir",
        };
        let verdicts = Verdicts::new(&audience);
        let others = [
            ("other terms", Audience { terms: &another, ..audience }),
            ("another purpose", Audience { purpose: Purpose::Treatment, ..audience }),
            ("another kind", Audience { kind: "history", ..audience }),
            ("another day", Audience { on: jiff::civil::date(2026, 11, 23), ..audience }),
            ("a restriction", Audience { restrictions: &some, ..audience }),
            ("another patient", Audience { patient: "p2", ..audience }),
            ("other coverages", Audience { own_coverages: &[], ..audience }),
            ("another source", Audience { source_base: "https://other.example", ..audience }),
        ];
        assert!(verdicts.fit(&Audience { ..audience }));
        for (case, other) in others {
            assert!(!verdicts.fit(&other), "{case}");
        }
    }
}
