//! `$versions`: which FHIR versions a door speaks (R4 CapabilityStatement operation `versions`).
//!
//! Comes in   a partner's answer, as Parameters or as plain JSON; or our own versions.
//! Goes out   the list and the default.
//! Never      assumes a version that was not named.

use crate::json::{Doc, ParseError};
use crate::parameters::{Parameters, ParametersWriter};
use crate::read::{optional, text};
use bytes::Bytes;

/// The versions of a door, each `major.minor` (`4.0`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// What it speaks.
    pub versions: Vec<String>,
    /// What it speaks when nobody asks.
    pub default: Option<String>,
}

impl Versions {
    /// Reads `Parameters` with `version` and `default`, or `{"versions":[…],"default":…}`.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Versions, ParseError> {
        let bytes = bytes.into();
        let doc = Doc::parse(&bytes)?;
        if doc.root().get("resourceType").is_none()
            && let Some(list) = doc.root().get("versions")
        {
            let versions = list.each().map(text).collect::<Result<_, _>>()?;
            return Ok(Versions { versions, default: optional(doc.root(), "default")? });
        }
        let parameters = Parameters::parse(bytes)?;
        let found = parameters.all("version").filter_map(|version| version.text());
        Ok(Versions {
            versions: found.map(str::to_owned).collect(),
            default: parameters.text("default").map(str::to_owned),
        })
    }

    /// Whether a version is spoken; `4.0.1` counts as `4.0`.
    pub fn speaks(&self, version: &str) -> bool {
        let short = |version: &str| version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        self.versions.iter().any(|spoken| short(spoken) == short(version))
    }

    /// The answer as a Parameters resource.
    pub fn to_parameters(&self) -> Vec<u8> {
        let mut writer = ParametersWriter::new();
        for version in &self.versions {
            writer = writer.text("version", "valueCode", version);
        }
        if let Some(default) = &self.default {
            writer = writer.text("default", "valueCode", default);
        }
        writer.finish()
    }

    /// The answer as `application/json`.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::json!({ "versions": self.versions, "default": self.default })
            .to_string()
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_forms_of_the_answer_say_the_same() {
        let versions =
            Versions { versions: vec!["4.0".into(), "4.3".into()], default: Some("4.0".into()) };
        assert_eq!(Versions::parse(versions.to_parameters()).unwrap(), versions);
        assert_eq!(Versions::parse(versions.to_json()).unwrap(), versions);
        for (case, version, spoken) in [
            ("as listed", "4.0", true),
            ("with its patch number", "4.0.1", true),
            ("another", "5.0", false),
            ("the major alone", "4", false),
        ] {
            assert_eq!(versions.speaks(version), spoken, "{case}");
        }
    }

    #[test]
    fn a_version_that_is_no_text_is_refused_at_its_place() {
        let error = Versions::parse(&br#"{"versions":["4.0",5]}"#[..]).unwrap_err();
        assert_eq!((error.offset, error.expression.as_str()), (19, "$this.versions[1]"));
    }
}
