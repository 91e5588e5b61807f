//! Numbers: by which identifiers plans know practitioners, organizations and laboratories.
//!
//! Comes in   resources and references that travel.
//! Goes out   whether the number is there, and whether its check digit is right.
//! Never      the number itself: who mends it looks it up in the chart.

use super::seen::{Found, Leads, Seen, Travelling, is_of};
use fhir::Node;

/// National Provider Identifier (45 CFR 162.406): its URI and its OID.
const NPI: [&str; 2] = ["http://hl7.org/fhir/sid/us-npi", "urn:oid:2.16.840.1.113883.4.6"];

/// Taxpayer identification number, as US Core and the HRex guide name it: its OID and URI.
const TIN: [&str; 2] = ["urn:oid:2.16.840.1.113883.4.4", "http://hl7.org/fhir/sid/us-tin"];

/// Number under the Clinical Laboratory Improvement Amendments (42 CFR 493), as in US Core
/// Organization.
const CLIA: [&str; 1] = ["urn:oid:2.16.840.1.113883.4.7"];

/// Which number is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Npi,
    Tin,
    Clia,
}

/// What was found of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held<'r> {
    Good,
    /// Its check digit is wrong.
    Wrong,
    /// Not there, or kept here by this rule.
    Missing(Option<&'r str>),
}

impl Number {
    fn systems(self) -> &'static [&'static str] {
        match self {
            Number::Npi => &NPI,
            Number::Tin => &TIN,
            Number::Clia => &CLIA,
        }
    }

    /// Codes of HL7 v2 table 0203, by which an identifier without a system is known.
    fn types(self) -> &'static [&'static str] {
        match self {
            Number::Npi => &["NPI"],
            Number::Tin => &["TAX", "EN"],
            Number::Clia => &["CLIA"],
        }
    }

    /// The number among the identifiers of a resource, contained resource or Reference.
    pub(super) fn of<'r>(self, seen: &Seen<'r>, holder: Node<'_, 'r>) -> Held<'r> {
        let found = seen.below(holder, "identifier");
        let mut held = Held::Missing(lost(seen, &found));
        for identifier in &found.here {
            let Some(value) = seen.text(*identifier, "value") else { continue };
            let fits = match seen.text(*identifier, "system") {
                Some(system) => is_of(&system, self.systems()),
                None => self.is_typed(*identifier),
            };
            match fits {
                true if self != Number::Npi || is_npi(&value) => return Held::Good,
                true => held = Held::Wrong,
                false => {}
            }
        }
        held
    }

    fn is_typed(self, identifier: Node<'_, '_>) -> bool {
        let codings = identifier.get("type").and_then(|kind| kind.get("coding"));
        let mut codes = codings.into_iter().flat_map(|codings| codings.each());
        codes.any(|coding| {
            let code = coding.get("code").and_then(|code| code.text());
            code.is_some_and(|code| self.types().contains(&code.trim()))
        })
    }

    /// The number of whoever a Reference names: by its own identifier, by the resource it leads to,
    /// or by the practitioner or organization of a role.
    pub(super) fn behind<'r>(
        self,
        push: &Travelling<'r>,
        seen: &Seen<'r>,
        reference: Node<'_, 'r>,
    ) -> Held<'r> {
        let own = self.of(seen, reference);
        if own == Held::Good {
            return own;
        }
        let found = match push.follow(seen, reference) {
            Leads::To(target) => self.of_target(push, target, target.root()),
            Leads::Inside(node) => self.of_target(push, seen, node),
            Leads::NoText | Leads::Nowhere => own,
        };
        if own == Held::Wrong && found != Held::Good { own } else { found }
    }

    fn of_target<'r>(
        self,
        push: &Travelling<'r>,
        seen: &Seen<'r>,
        target: Node<'_, 'r>,
    ) -> Held<'r> {
        let own = self.of(seen, target);
        let is_role = target.get("resourceType").and_then(|kind| kind.text()).as_deref()
            == Some("PractitionerRole");
        if own == Held::Good || !is_role {
            return own;
        }
        let member = if self == Number::Npi { "practitioner" } else { "organization" };
        let Some(reference) = seen.child(target, member) else { return own };
        match push.follow(seen, reference) {
            Leads::To(other) => self.of(other, other.root()),
            Leads::Inside(node) => self.of(seen, node),
            Leads::NoText | Leads::Nowhere => self.of(seen, reference),
        }
    }
}

/// The rule that keeps an identifier here, where none that travels is told instead.
fn lost<'r>(seen: &Seen<'r>, found: &Found<'_, 'r>) -> Option<&'r str> {
    seen.said(found).err().flatten().or(found.cut_by)
}

/// Whether these ten digits are an NPI: the last is the Luhn check digit over the prefix 80840 and
/// the nine before it (45 CFR 162.406; ISO/IEC 7812-1 annex B).
fn is_npi(text: &str) -> bool {
    if text.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let digits = b"80840".iter().copied().chain(text.bytes()).rev().enumerate();
    let sum: u32 = digits
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') * if place.is_multiple_of(2) { 1 } else { 2 };
            digit / 10 + digit % 10
        })
        .sum();
    text.starts_with(['1', '2']) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    //! Goal: only ten digits with the right check digit are an NPI.

    use super::is_npi;

    #[test]
    fn check_digits_are_those_of_the_published_example() {
        // 123456789 with check digit 3 is the example of the CMS paper on the check digit.
        assert!(is_npi("1234567893"));
        for wrong in ["1234567890", "123456789", "12345678933", "3234567893", "123456789x", ""] {
            assert!(!is_npi(wrong), "{wrong:?} must not pass");
        }
    }
}
