//! Block: the header that opens the block of one Patient in an organised file (Bulk Data 3.0.0, output file
//! organization).
//!
//! Comes in   a resource of a file; or whose block is to be opened.
//! Goes out   whose block it opens, and which push it is, where the sender is a house; or the line.
//! Never      takes a Parameters resource without a parameter `header` for one.
//!
//! Why the push stands there: a file carries many pushes, and each has a number that decides what is
//! older. Readers that do not know the two parameters pass over them.

use crate::limits::KEY_CHARS_MAX;
use fhir::{Doc, Parameters, ParametersWriter, Resource};
use jiff::Timestamp;

/// The header of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Whose block it is: `Patient/id`, as written.
    pub reference: String,
    /// The push whose resources follow: system and value of its key, as in `Bundle.identifier`.
    pub push: Option<(String, String)>,
    /// When the sender read its chart, as in `Bundle.timestamp`.
    pub as_of: Option<Timestamp>,
}

impl Header {
    /// The header that a resource is; `None` where it is something else.
    pub fn of(resource: &Resource) -> Option<Header> {
        if resource.kind() != "Parameters" {
            return None;
        }
        let parameters = Parameters::parse(resource.bytes().clone()).ok()?;
        let text = |name: &str, member: &str| -> Option<String> {
            let raw = &parameters.get(name)?.value.as_ref()?.raw;
            Some(Doc::parse(raw).ok()?.root().get(member)?.text()?.into_owned())
        };
        let reference = text("header", "reference")?;
        let push = text("push", "system").zip(text("push", "value"));
        // What is no key is no push: it would be said again of each line of the block.
        let push = push.filter(|(system, value)| system.len().max(value.len()) <= KEY_CHARS_MAX);
        let as_of = parameters.text("timestamp").and_then(|text| text.parse().ok());
        Some(Header { reference, push, as_of })
    }

    /// Logical id of its Patient; `None` where it is nobody's block, whatever it is.
    pub fn patient(&self) -> Option<&str> {
        let mut steps = self.reference.rsplit('/');
        let (id, kind) = (steps.next()?, steps.next()?);
        (kind == "Patient" && fhir::is_id(id)).then_some(id)
    }

    /// The resource, without a line end.
    pub fn line(&self) -> Vec<u8> {
        let reference = serde_json::json!({ "reference": self.reference }).to_string();
        let mut line =
            ParametersWriter::new().raw("header", "valueReference", reference.as_bytes());
        if let Some((system, value)) = &self.push {
            let key = serde_json::json!({ "system": system, "value": value }).to_string();
            line = line.raw("push", "valueIdentifier", key.as_bytes());
        }
        if let Some(as_of) = self.as_of {
            line = line.text("timestamp", "valueInstant", &as_of.to_string());
        }
        line.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_header_is_read_as_it_is_written_and_nothing_else_is_one() {
        let push = Some(("https://clinic.example/fhir/push".to_owned(), "3-ab".to_owned()));
        let as_of = Some("2026-01-02T03:04:05Z".parse().unwrap());
        let whole = Header { reference: "Patient/p-1".to_owned(), push, as_of };
        let plain = Header { push: None, as_of: None, ..whole.clone() };
        for header in [whole, plain.clone()] {
            let resource = Resource::parse(header.line()).unwrap();
            assert_eq!(Header::of(&resource), Some(header));
        }
        let bases = [
            ("Patient/p-1", Some("p-1")),
            ("https://x.example/fhir/Patient/p-1", Some("p-1")),
            ("Group/p-1", None),
            ("p-1", None),
            ("Patient/", None),
            ("Patient/p 1", None),
        ];
        for (reference, patient) in bases {
            let header = Header { reference: reference.to_owned(), ..plain.clone() };
            assert_eq!(header.patient(), patient, "{reference}");
        }
        let long = Header { push: Some((String::new(), "1".repeat(257))), ..plain.clone() };
        assert_eq!(Header::of(&Resource::parse(long.line()).unwrap()), Some(plain.clone()));
        let others = [
            r#"{"resourceType":"Patient","id":"p-1"}"#,
            r#"{"resourceType":"Parameters"}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"header","valueString":"Patient/1"}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"other","valueReference":{"reference":"Patient/1"}}]}"#,
        ];
        for other in others {
            assert_eq!(
                Header::of(&Resource::parse(other.as_bytes().to_vec()).unwrap()),
                None,
                "{other}"
            );
        }
    }
}
