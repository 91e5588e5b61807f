//! Request: the Parameters of `$bulk-submit` and `$bulk-submit-status` (Bulk Data 4.0.0-ballot, Bulk Submit).
//!
//! Comes in   the body of a request; or what is to be asked.
//! Goes out   what is asked, with the dialect it was asked in; or the body.
//! Never      shows what stands in a header for files: those are secrets.

use super::{DRAFT_STATUS, Dialect, EVENT_STATUS, NDJSON_SPELLINGS, SubmissionStatus, Submitter};
use crate::limits::{
    BULK_HEADERS_MAX, BULK_METADATA_URLS_MAX, BULK_PARAMETER_CHARS_MAX, BULK_URL_CHARS_MAX,
};
use crate::{Code, Issue, Issues, Phi};
use bytes::Bytes;
use fhir::{Parameter, Parameters, ParametersWriter};
use serde::{Deserialize, Serialize};

/// A `$bulk-submit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitRequest {
    /// Who submits.
    pub submitter: Submitter,
    /// The submission, unique for its submitter.
    pub submission_id: String,
    /// What is said of the submission; `None`: nothing, which means that more is to come.
    pub status: Option<SubmissionStatus>,
    /// The manifest to be fetched; `None` where the submission is only closed or a manifest only
    /// taken back.
    pub manifest: Option<ManifestRef>,
    /// An earlier manifest whose data are to be discarded.
    pub replaces: Option<String>,
    /// In which dialect it was asked, as far as it shows.
    pub dialect: Dialect,
    /// Names of parameters that nobody here understands.
    pub unknown: Vec<String>,
}

/// A manifest, and how it and its files are fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRef {
    /// Where it is; its name within the submission.
    pub url: String,
    /// Against which relative references are read.
    pub base_url: String,
    /// Headers to be sent with each request for the manifest or a file: name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Phi<String>)>,
    /// Where it says how a token is got; where there is none, the manifest itself needs no token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oauth_metadata: Vec<String>,
}

/// A `$bulk-submit-status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRequest {
    /// Who submitted.
    pub submitter: Submitter,
    /// What.
    pub submission_id: String,
}

/// Parameters that say how data are to be processed, pre-coordinated between partners: none is
/// agreed on here.
const COORDINATED: [&str; 2] = ["metadata", "import"];

impl SubmitRequest {
    /// Reads a body. All faults are told at once.
    ///
    /// # Errors
    /// `BodyMalformed`, `ParameterInvalid`, `ParameterUnsupported` (encrypted files, another format or
    /// FHIR version), each naming its parameter and no value.
    pub fn read(body: Bytes) -> Result<SubmitRequest, Issues> {
        let parameters = parsed(body)?;
        let mut reading = Reading { parameters: &parameters, faults: Vec::new(), draft: false };
        let submitter = reading.submitter();
        let submission_id = reading.submission_id();
        let status = reading.status();
        let manifest = reading.manifest();
        let replaces = reading.url(&["replacesManifestUrl"]);
        reading.format("outputFormat");
        reading.encryption();
        if reading.faults.is_empty() && status.is_none() && manifest.is_none() && replaces.is_none()
        {
            let detail = "submissionStatus or manifestUrl is needed";
            reading.faults.push(invalid("manifestUrl", detail));
        }
        let known = [
            "submitter",
            "submissionId",
            "submissionStatus",
            "manifestUrl",
            "fhirBaseUrl",
            "FHIRBaseUrl",
            "replacesManifestUrl",
            "outputFormat",
            "fileRequestHeader",
            "fileRequestHeaders",
            "oauthMetadataUrl",
            "fileEncryptionKey",
        ];
        let named = parameters.iter().map(|parameter| parameter.name.as_str());
        let unknown = named.filter(|name| !known.contains(name) && !COORDINATED.contains(name));
        let unknown = unknown.map(shown).collect();
        let dialect = if reading.draft { Dialect::Argonaut } else { Dialect::Ballot };
        match (Issues::of(reading.faults), submitter, submission_id) {
            (None, Some(submitter), Some(submission_id)) => Ok(SubmitRequest {
                submitter,
                submission_id,
                status,
                manifest,
                replaces,
                dialect,
                unknown,
            }),
            (faults, ..) => {
                Err(faults.unwrap_or_else(|| invalid("submitter", "is missing").into()))
            }
        }
    }

    /// The body, in this request's dialect. What is unknown is not written.
    pub fn body(&self) -> Vec<u8> {
        let url = match self.dialect {
            Dialect::Ballot => "valueUrl",
            Dialect::Argonaut => "valueString",
        };
        let mut body = opening(&self.submitter, &self.submission_id);
        if let Some(status) = self.status {
            let system = match self.dialect {
                Dialect::Ballot => EVENT_STATUS,
                Dialect::Argonaut => DRAFT_STATUS,
            };
            let coding = serde_json::json!({ "system": system, "code": status.code(self.dialect) });
            body = body.raw("submissionStatus", "valueCoding", coding.to_string().as_bytes());
        }
        if let Some(manifest) = &self.manifest {
            body = body.text("manifestUrl", url, &manifest.url);
            body = body.text("fhirBaseUrl", url, &manifest.base_url);
            body = body.text("outputFormat", "valueString", super::NDJSON);
            for (name, value) in &manifest.headers {
                let header = ParametersWriter::new().text("headerName", "valueString", name);
                let header = header.text("headerValue", "valueString", &value.0);
                body = body.parts("fileRequestHeader", header);
            }
            for place in &manifest.oauth_metadata {
                body = body.text("oauthMetadataUrl", url, place);
            }
        }
        if let Some(replaced) = &self.replaces {
            body = body.text("replacesManifestUrl", url, replaced);
        }
        body.finish()
    }
}

impl StatusRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// As `SubmitRequest::read`.
    pub fn read(body: Bytes) -> Result<StatusRequest, Issues> {
        let parameters = parsed(body)?;
        let mut reading = Reading { parameters: &parameters, faults: Vec::new(), draft: false };
        let submitter = reading.submitter();
        let submission_id = reading.submission_id();
        reading.format("_outputFormat");
        match (Issues::of(reading.faults), submitter, submission_id) {
            (None, Some(submitter), Some(submission_id)) => {
                Ok(StatusRequest { submitter, submission_id })
            }
            (faults, ..) => {
                Err(faults.unwrap_or_else(|| invalid("submitter", "is missing").into()))
            }
        }
    }

    /// The body: the same in all dialects.
    pub fn body(&self) -> Vec<u8> {
        opening(&self.submitter, &self.submission_id).finish()
    }
}

fn opening(submitter: &Submitter, submission_id: &str) -> ParametersWriter {
    let mut identifier = serde_json::Map::new();
    identifier.extend(submitter.system.clone().map(|system| ("system".to_owned(), system.into())));
    identifier.insert("value".to_owned(), submitter.value.clone().into());
    let identifier = serde_json::Value::Object(identifier).to_string();
    ParametersWriter::new().raw("submitter", "valueIdentifier", identifier.as_bytes()).text(
        "submissionId",
        "valueString",
        submission_id,
    )
}

fn parsed(body: Bytes) -> Result<Parameters, Issues> {
    Parameters::parse(body).map_err(|error| {
        let issue = Issue::new(Code::BodyMalformed, error.reason.to_string());
        Issue { offset: Some(error.offset as u64), ..issue }.at(error.expression).into()
    })
}

/// The members of an object that are texts.
fn texts(parameter: &Parameter) -> Option<serde_json::Map<String, serde_json::Value>> {
    match serde_json::from_slice(&parameter.value.as_ref()?.raw) {
        Ok(serde_json::Value::Object(members)) => Some(members),
        _ => None,
    }
}

struct Reading<'p> {
    parameters: &'p Parameters,
    faults: Vec<Issue>,
    /// Whether something was said as only the draft says it.
    draft: bool,
}

impl Reading<'_> {
    /// The one parameter of these names; more than one is a fault.
    fn one(&mut self, names: &[&str]) -> Option<Parameter> {
        let mut found =
            self.parameters.iter().filter(|one| names.contains(&one.name.as_str())).cloned();
        let first = found.next();
        if found.next().is_some() {
            self.faults.push(invalid(names[0], "it is given once"));
        }
        first
    }

    fn submitter(&mut self) -> Option<Submitter> {
        let name = "submitter";
        let Some(given) = self.one(&[name]) else {
            self.faults.push(invalid(name, "it is missing"));
            return None;
        };
        let members = texts(&given).unwrap_or_default();
        let text = |name: &str| members.get(name)?.as_str().map(str::to_owned);
        match (text("system"), text("value")) {
            (system, Some(value)) if fits(&value) && system.as_deref().is_none_or(fits) => {
                Some(Submitter { system: system.filter(|one| !one.is_empty()), value })
            }
            _ => {
                let detail = "it is an Identifier with a value, as valueIdentifier";
                self.faults.push(invalid(name, detail));
                None
            }
        }
    }

    fn submission_id(&mut self) -> Option<String> {
        let name = "submissionId";
        let given = self.one(&[name]);
        let text = given.as_ref().and_then(Parameter::text).filter(|text| fits(text));
        if text.is_none() {
            let detail = format!("a text of 1 to {BULK_PARAMETER_CHARS_MAX} characters is needed");
            self.faults.push(invalid(name, detail));
        }
        text.map(str::to_owned)
    }

    fn status(&mut self) -> Option<SubmissionStatus> {
        let name = "submissionStatus";
        let given = self.one(&[name])?;
        let members = texts(&given).unwrap_or_default();
        let text = |name: &str| members.get(name).and_then(|value| value.as_str());
        // A code alone is unmistakable.
        let code = text("code").or(given.text()).unwrap_or_default();
        let system = text("system");
        let status = SubmissionStatus::of(code);
        let drafted = matches!(code, "complete" | "aborted");
        match (status, system) {
            (Some(status), None | Some(EVENT_STATUS | DRAFT_STATUS)) => {
                self.draft |= drafted || system == Some(DRAFT_STATUS);
                Some(status)
            }
            _ => {
                let detail = format!(
                    "it is a Coding of the system {EVENT_STATUS}: in-progress, completed or stopped"
                );
                self.faults.push(invalid(name, detail));
                None
            }
        }
    }

    /// An absolute web address, whatever the value calls itself.
    fn url(&mut self, names: &[&str]) -> Option<String> {
        let given = self.one(names)?;
        self.draft |= given.value.as_ref().is_some_and(|value| value.element == "valueString");
        let url = self.address(names[0], given.text().unwrap_or_default());
        url.map(str::to_owned)
    }

    fn address<'t>(&mut self, name: &str, text: &'t str) -> Option<&'t str> {
        let plain = text.chars().count() <= BULK_URL_CHARS_MAX && !text.contains(char::is_control);
        let known = crate::place::origin(text).filter(|_| plain);
        if known.is_none() {
            let detail = "it is an absolute http or https address without a name or password in it";
            self.faults.push(invalid(name, detail));
        }
        known.map(|_| text)
    }

    fn manifest(&mut self) -> Option<ManifestRef> {
        let asked = self.parameters.get("manifestUrl").is_some();
        let url = self.url(&["manifestUrl"]);
        let before = self.draft;
        let base_url = self.url(&["fhirBaseUrl", "FHIRBaseUrl"]);
        // Without a manifest a base URL means nothing, and says nothing of the dialect.
        self.draft = if asked { self.draft } else { before };
        if asked
            && self.parameters.get("fhirBaseUrl").or(self.parameters.get("FHIRBaseUrl")).is_none()
        {
            self.faults.push(invalid("fhirBaseUrl", "it goes with manifestUrl, and is missing"));
        }
        let headers = self.headers();
        let oauth_metadata = self.oauth_metadata();
        let (url, base_url) = (url?, base_url?);
        Some(ManifestRef { url, base_url, headers, oauth_metadata })
    }

    fn headers(&mut self) -> Vec<(String, Phi<String>)> {
        let name = "fileRequestHeader";
        let both = |one: &&Parameter| one.name == name || one.name == "fileRequestHeaders";
        let given: Vec<_> = self.parameters.iter().filter(both).cloned().collect();
        if given.len() > BULK_HEADERS_MAX {
            self.faults.push(invalid(name, format!("at most {BULK_HEADERS_MAX} headers are sent")));
            return Vec::new();
        }
        let mut headers = Vec::new();
        for one in &given {
            let text = |part: &str| one.part(part).and_then(Parameter::text);
            match (text("headerName"), text("headerValue")) {
                (Some(header), Some(value)) if is_token(header) && is_header_value(value) => {
                    headers.push((header.to_owned(), Phi(value.to_owned())));
                }
                _ => {
                    let detail = "it has a headerName and a headerValue that HTTP can carry";
                    self.faults.push(invalid(name, detail));
                }
            }
        }
        headers
    }

    fn oauth_metadata(&mut self) -> Vec<String> {
        let name = "oauthMetadataUrl";
        let given: Vec<_> = self.parameters.all(name).cloned().collect();
        if given.len() > BULK_METADATA_URLS_MAX {
            let detail = format!("at most {BULK_METADATA_URLS_MAX} are looked at");
            self.faults.push(invalid(name, detail));
            return Vec::new();
        }
        let given = given.iter().map(|one| one.text().unwrap_or_default());
        given.filter_map(|text| self.address(name, text).map(str::to_owned)).collect()
    }

    fn format(&mut self, name: &str) {
        let Some(given) = self.one(&[name]) else { return };
        let text = given.text().unwrap_or_default();
        let mut pieces = text.split(';').map(str::trim);
        let media = pieces.next().unwrap_or_default();
        if !NDJSON_SPELLINGS.contains(&media) {
            self.faults.push(unsupported(name, "files are application/fhir+ndjson here"));
        }
        let version = pieces.filter_map(|piece| piece.split_once('=')).find_map(|(key, value)| {
            (key.trim() == "fhirVersion").then(|| value.trim().trim_matches('"'))
        });
        if version.is_some_and(|version| version != "4.0" && version != "4.0.1") {
            self.faults.push(unsupported(name, "resources are FHIR R4 (fhirVersion=4.0) here"));
        }
    }

    fn encryption(&mut self) {
        if self.parameters.get("fileEncryptionKey").is_some() {
            let detail = "encrypted files are not read here: TLS and a token protect the files";
            self.faults.push(unsupported("fileEncryptionKey", detail));
        }
        for name in COORDINATED {
            if self.parameters.get(name).is_some() {
                let detail = "no such options are agreed on with this door";
                self.faults.push(unsupported(name, detail));
            }
        }
    }
}

fn fits(text: &str) -> bool {
    let chars = text.chars().count();
    (1..=BULK_PARAMETER_CHARS_MAX).contains(&chars) && !text.contains(char::is_control)
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let extra = b"!#$%&'*+-.^_`|~";
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || extra.contains(&byte);
    (1..=BULK_PARAMETER_CHARS_MAX).contains(&text.len()) && text.bytes().all(fits)
}

fn is_header_value(text: &str) -> bool {
    text.len() <= BULK_URL_CHARS_MAX && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

fn invalid(name: &str, detail: impl Into<String>) -> Issue {
    Issue::new(Code::ParameterInvalid, detail).at(name)
}

fn unsupported(name: &str, detail: &str) -> Issue {
    Issue::new(Code::ParameterUnsupported, detail).at(name)
}

/// A name that somebody else chose, as far as it is shown.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(crate::limits::PARTNER_CODE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
