//! Value sets: enumerated codes, and whether an element has one of them.
//!
//! Comes in   lines `system|code` or `code`, from an agreement or a file beside it.
//! Goes out   yes or no for a Coding, a CodeableConcept or a code.
//! Never      descendants or filters: what counts is written out, so that it can be read.

use crate::limits::VALUE_SET_BYTES_MAX;
use fhir::{Kind, Node};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Codes, with or without the system they must come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeSet {
    of_any_system: HashSet<String>,
    of_system: HashMap<String, HashSet<String>>,
    /// Every code, whatever its system.
    codes: HashSet<String>,
}

/// What an absent system means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// A code without a system is none of a named system: for permits.
    No,
    /// A code without a system may be of any: for rules that withhold.
    Yes,
}

impl CodeSet {
    /// Reads a value set file: one code a line, `#` comments, blank lines. The error is the line
    /// (from 1) and what is wrong with it.
    pub fn read(text: &str) -> Result<CodeSet, (usize, String)> {
        if text.len() > VALUE_SET_BYTES_MAX {
            return Err((1, format!("a value set has at most {VALUE_SET_BYTES_MAX} bytes")));
        }
        let mut set = CodeSet::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start_matches('\u{feff}');
            // A comment starts the line or follows a space: systems hold `#` of their own.
            let end = if line.starts_with('#') { Some(0) } else { line.find(" #") };
            let entry = line[..end.unwrap_or(line.len())].trim();
            if !entry.is_empty() {
                set.insert(entry).map_err(|fault| (number + 1, fault.to_owned()))?;
            }
        }
        Ok(set)
    }

    /// Adds `system|code` or `code`.
    pub fn insert(&mut self, entry: &str) -> Result<(), &'static str> {
        let (system, code) = match entry.split_once('|') {
            Some((system, code)) => (Some(system.trim()), code.trim()),
            None => (None, entry.trim()),
        };
        let bad = |text: &str| text.is_empty() || text.contains(['|', '\t']);
        if bad(code) || system.is_some_and(bad) {
            return Err("a code is written `system|code` or `code`");
        }
        if system.is_none() && code.contains("://") {
            return Err("a system stands here without a code: write `system|code`");
        }
        self.codes.insert(code.to_owned());
        match system {
            Some(system) => {
                let codes = self.of_system.entry(canonical(system).into_owned()).or_default();
                codes.insert(code.to_owned());
            }
            None => drop(self.of_any_system.insert(code.to_owned())),
        }
        Ok(())
    }

    /// Whether no code would ever be found in it.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Whether it holds the code.
    pub fn contains(&self, system: Option<&str>, code: &str, doubt: Doubt) -> bool {
        let code = code.trim();
        if self.of_any_system.contains(code) {
            return true;
        }
        match system {
            None => doubt == Doubt::Yes && self.codes.contains(code),
            Some(system) => self
                .of_system
                .get(canonical(system).as_ref())
                .is_some_and(|codes| codes.contains(code)),
        }
    }

    /// Whether a `code` at whatever depth is one of the codes, of whichever system: where none is, no
    /// element below can have one.
    pub(crate) fn is_named_below(&self, resource: Node<'_, '_>) -> bool {
        let mut codes = resource.descendants().filter(|node| node.name() == "code");
        codes.any(|node| node.primitive().is_some_and(|code| self.codes.contains(code.trim())))
    }

    /// Whether an element has one of the codes: a Coding, a CodeableConcept, or a code.
    pub fn fits(&self, node: Node<'_, '_>, doubt: Doubt) -> bool {
        if node.kind() != Kind::Object {
            return node.primitive().is_some_and(|code| self.contains(None, &code, Doubt::Yes));
        }
        if let Some(codings) = node.get("coding") {
            return codings.each().any(|coding| self.fits_coding(coding, doubt));
        }
        self.fits_coding(node, doubt)
    }

    fn fits_coding(&self, coding: Node<'_, '_>, doubt: Doubt) -> bool {
        let text = |name| coding.get(name).and_then(|node| node.primitive());
        let system = text("system");
        text("code").is_some_and(|code| self.contains(system.as_deref(), &code, doubt))
    }
}

/// One spelling for systems that charts spell in several ways (R4 §4.3 terminologies, their OIDs):
/// no slash at the end, scheme and host in small letters, `http` where it says `https`, `urn:oid:`
/// before a bare OID.
pub fn canonical(system: &str) -> Cow<'_, str> {
    let system = plain(system.trim().trim_end_matches('/'));
    let known = match system.as_ref() {
        "urn:oid:2.16.840.1.113883.6.96" => "http://snomed.info/sct",
        "urn:oid:2.16.840.1.113883.6.1" => "http://loinc.org",
        "urn:oid:2.16.840.1.113883.6.88" => "http://www.nlm.nih.gov/research/umls/rxnorm",
        "urn:oid:2.16.840.1.113883.6.90" => "http://hl7.org/fhir/sid/icd-10-cm",
        "urn:oid:2.16.840.1.113883.4.1" => "http://hl7.org/fhir/sid/us-ssn",
        "urn:oid:2.16.840.1.113883.5.4"
        | "http://hl7.org/fhir/v3/ActCode"
        | "http://terminology.hl7.org/ValueSet/v3-ActCode" => {
            "http://terminology.hl7.org/CodeSystem/v3-ActCode"
        }
        "urn:oid:2.16.840.1.113883.5.25" | "http://hl7.org/fhir/v3/Confidentiality" => {
            "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
        }
        _ => return system,
    };
    Cow::Borrowed(known)
}

/// RFC 3986 §6.2.2.1: scheme and host have no case; RFC 8141 §3.1: nor has what leads a URN.
fn plain(system: &str) -> Cow<'_, str> {
    let oid =
        |text: &str| text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if oid(system) {
        return format!("urn:oid:{system}").into();
    }
    let end = match system.split_once("://") {
        Some((scheme, rest)) => scheme.len() + 3 + rest.find('/').unwrap_or(rest.len()),
        None if system.get(..4).is_some_and(|urn| urn.eq_ignore_ascii_case("urn:")) => {
            system[4..].find(':').map_or(system.len(), |at| at + 4)
        }
        None => return system.into(),
    };
    let (head, tail) = system.split_at(end);
    let head = head.to_ascii_lowercase();
    match head.strip_prefix("https://") {
        Some(host) => format!("http://{host}{tail}").into(),
        None if head == system[..end] => system.into(),
        None => format!("{head}{tail}").into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fhir::Doc;

    #[test]
    fn an_element_has_a_code_or_it_has_not() {
        let set = CodeSet::read("# start\nhttp://loinc.org|1-8 # a note\n\nbare\n").unwrap();
        let table = [
            ("a coding", r#"{"system":"http://loinc.org","code":"1-8"}"#, true, true),
            ("its OID", r#"{"system":"urn:oid:2.16.840.1.113883.6.1","code":"1-8"}"#, true, true),
            ("its bare OID", r#"{"system":"2.16.840.1.113883.6.1","code":"1-8"}"#, true, true),
            ("a slash behind", r#"{"system":"http://loinc.org/","code":"1-8"}"#, true, true),
            ("in capitals", r#"{"system":"HTTPS://LOINC.org","code":"1-8"}"#, true, true),
            (
                "the OID in capitals",
                r#"{"system":"URN:OID:2.16.840.1.113883.6.1","code":"1-8"}"#,
                true,
                true,
            ),
            ("another system", r#"{"system":"http://x","code":"1-8"}"#, false, false),
            ("no system", r#"{"code":"1-8"}"#, false, true),
            ("any system", r#"{"system":"http://x","code":"bare"}"#, true, true),
            ("a concept", r#"{"coding":[{"code":"x"},{"code":"bare"}]}"#, true, true),
            ("a concept of words", r#"{"text":"bare"}"#, false, false),
            ("a code", r#""bare""#, true, true),
            ("null", "null", false, false),
        ];
        for (case, text, permits, withholds) in table {
            let doc = Doc::parse(text.as_bytes()).unwrap();
            assert_eq!(set.fits(doc.root(), Doubt::No), permits, "{case}, to permit");
            assert_eq!(set.fits(doc.root(), Doubt::Yes), withholds, "{case}, to withhold");
        }
    }

    #[test]
    fn a_line_that_is_no_code_is_named() {
        let table = [("a\n|b", 2), ("a|", 1), ("http://loinc.org", 1), ("\n\na|b|c", 3)];
        for (text, line) in table {
            assert_eq!(CodeSet::read(text).unwrap_err().0, line, "{text:?}");
        }
        assert!(CodeSet::read("# only a comment").unwrap().is_empty());
    }
}
