//! Media types: what a caller sends, what it can read, and in which FHIR version.
//!
//! Comes in   `Content-Type`, `Accept` and `_format` as sent.
//! Goes out   yes, or the issue; the media type to answer with.
//! Never      answers in a form that was excluded, or reads a version other than 4.0.
//!
//! FHIR R4 §3.1.0.1.10 content types and §3.1.0.1.8 the fhirVersion parameter; RFC 9110 §12.5.1.

use exchange::{Code, Issue};

/// A media type that we answer in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/fhir+json`.
    FhirJson,
    /// `application/json`.
    Json,
    /// `application/fhir+ndjson`: files of a status manifest.
    Ndjson,
}

/// What FHIR answers in: resources.
pub const FHIR: &[Media] = &[Media::FhirJson, Media::Json];

/// What the poll of a status and its files answer in. Clients of bulk data ask for files with the
/// same `Accept` as for resources, so all are taken.
pub const STATUS: &[Media] = &[Media::Json, Media::FhirJson, Media::Ndjson];

/// One media type as sent: essence in lower case, and its parameters.
struct Sent {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl Sent {
    fn parse(text: &str) -> Sent {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters = parts.filter_map(|part| part.split_once('=')).map(|(name, value)| {
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            (name.trim().to_ascii_lowercase(), value)
        });
        Sent { essence, parameters: parameters.collect() }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn is_r4(&self) -> bool {
        matches!(self.parameter("fhirversion"), None | Some("4.0" | "4.0.0" | "4.0.1"))
    }

    fn is_utf8(&self) -> bool {
        matches!(self.parameter("charset"), None | Some("utf-8" | "utf8" | "us-ascii"))
    }

    /// Thousandths, so that equal weights compare equal; nonsense counts as excluded.
    fn quality(&self) -> u16 {
        let Some(text) = self.parameter("q") else { return 1000 };
        let quality = text.parse::<f32>().unwrap_or(0.0);
        if (0.0..=1.0).contains(&quality) { (quality * 1000.0) as u16 } else { 0 }
    }

    /// How exactly this range names a media type; none when it does not.
    fn names(&self, media: Media) -> Option<u8> {
        match (self.essence.as_str(), media) {
            ("application/fhir+json", Media::FhirJson)
            | ("application/json", Media::Json)
            | (
                "application/fhir+ndjson" | "application/ndjson" | "application/x-ndjson",
                Media::Ndjson,
            ) => Some(2),
            ("application/*", _) => Some(1),
            ("*/*" | "*", _) => Some(0),
            _ => None,
        }
    }
}

/// Checks the `Content-Type` of a FHIR body. Errors: `MediaTypeUnsupported`.
pub fn check_sent(content_type: Option<&str>) -> Result<(), Issue> {
    let unsupported =
        |detail: &str| Err(Issue::new(Code::MediaTypeUnsupported, detail).at("Content-Type"));
    let Some(content_type) = content_type else {
        return unsupported("the request has a body without a Content-Type");
    };
    let sent = Sent::parse(content_type);
    match sent.essence.as_str() {
        "application/fhir+json" | "application/json" => {}
        _ => return unsupported("this door reads FHIR as JSON only"),
    }
    if !sent.is_r4() {
        return unsupported("this door reads FHIR version 4.0 only");
    }
    if !sent.is_utf8() {
        return unsupported("this door reads UTF-8 only");
    }
    Ok(())
}

/// The FHIR version that a `Content-Type` names, of letters and digits only.
pub fn version(content_type: &str) -> Option<String> {
    let sent = Sent::parse(content_type);
    let version = sent.parameter("fhirversion")?.to_owned();
    Some(version.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect())
}

/// Whether a `Content-Type` has this essence, whatever its parameters.
pub fn is(content_type: Option<&str>, essence: &str) -> bool {
    content_type.is_some_and(|sent| Sent::parse(sent).essence == essence)
}

/// Chooses what to answer in, of what is offered: `_format` rules over `Accept`, the higher weight
/// wins, then the earlier in the offer. Errors: `NotAcceptable`.
pub fn choose(
    accept: Option<&str>,
    format: Option<&str>,
    offered: &[Media],
) -> Result<Media, Issue> {
    let refused = |place: &str| {
        let detail = "this door answers in JSON of FHIR version 4.0 only";
        Issue::new(Code::NotAcceptable, detail).at(place)
    };
    let first = offered.first().copied().unwrap_or(Media::FhirJson);
    if let Some(format) = format {
        // A plus sign in a query is a space unless it was escaped; many clients forget.
        let format = format.replace(' ', "+");
        let sent = Sent::parse(&format);
        let known = matches!(sent.essence.as_str(), "json" | "text/json");
        let named = offered.iter().copied().find(|media| sent.names(*media).is_some());
        return match (sent.is_r4(), known, named) {
            (true, true, _) => Ok(first),
            (true, false, Some(media)) => Ok(media),
            _ => Err(refused("_format")),
        };
    }
    let Some(accept) = accept.map(str::trim).filter(|accept| !accept.is_empty()) else {
        return Ok(first);
    };
    let ranges: Vec<Sent> = accept.split(',').map(Sent::parse).collect();
    let weight = |media: &Media| {
        let named = ranges.iter().filter(|range| range.is_r4());
        let named = named.filter_map(|range| Some((range.names(*media)?, range.quality())));
        // The most exact range decides (RFC 9110 §12.5.1).
        named.max_by_key(|(exactness, quality)| (*exactness, *quality)).map_or(0, |(_, q)| q)
    };
    let mut best: Option<(u16, Media)> = None;
    for media in offered {
        let weight = weight(media);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, *media));
        }
    }
    best.map(|(_, media)| media).ok_or_else(|| refused("Accept"))
}

#[cfg(test)]
mod tests {
    //! Goal: every spelling in the field is read, and what we cannot give is refused.

    use super::*;

    #[test]
    fn bodies_are_read_as_json_of_r4_only() {
        let table = [
            ("plain", Some("application/fhir+json"), true),
            ("generic", Some("application/json"), true),
            ("capitals and spaces", Some("Application/FHIR+JSON ; charset=UTF-8"), true),
            ("version 4.0", Some("application/fhir+json; fhirVersion=4.0"), true),
            ("version quoted", Some("application/fhir+json; fhirVersion=\"4.0.1\""), true),
            ("version 5", Some("application/fhir+json; fhirVersion=5.0"), false),
            ("version 4.3", Some("application/fhir+json;fhirversion=4.3"), false),
            ("XML", Some("application/fhir+xml"), false),
            ("old FHIR", Some("application/json+fhir"), false),
            ("another charset", Some("application/fhir+json; charset=iso-8859-1"), false),
            ("form", Some("application/x-www-form-urlencoded"), false),
            ("empty", Some(""), false),
            ("absent", None, false),
        ];
        for (case, content_type, read) in table {
            assert_eq!(check_sent(content_type).is_ok(), read, "{case}");
        }
    }

    #[test]
    fn the_version_of_a_media_type_is_read() {
        for (sent, expected) in [
            ("application/fhir+json; fhirVersion=5.0", Some("5.0")),
            ("application/fhir+json;charset=utf-8;FHIRVERSION=\"4.3\"", Some("4.3")),
            ("application/fhir+json; fhirVersion=<b>", Some("b")),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(version(sent).as_deref(), expected, "{sent}");
        }
    }

    #[test]
    fn answers_are_given_as_asked_or_refused() {
        use Media::{FhirJson, Json};
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let table = [
            ("absent", None, None, Some(FhirJson)),
            ("anything", Some("*/*"), None, Some(FhirJson)),
            ("FHIR", Some("application/fhir+json"), None, Some(FhirJson)),
            ("JSON", Some("application/json"), None, Some(Json)),
            (
                "both, JSON heavier",
                Some("application/fhir+json;q=0.5, application/json"),
                None,
                Some(Json),
            ),
            ("both alike", Some("application/json, application/fhir+json"), None, Some(FhirJson)),
            ("FHIR excluded", Some("application/fhir+json;q=0, */*"), None, Some(Json)),
            ("a browser", Some(browser), None, Some(FhirJson)),
            ("version 4.0", Some("application/fhir+json; fhirVersion=4.0"), None, Some(FhirJson)),
            ("version 5", Some("application/fhir+json; fhirVersion=5.0"), None, None),
            (
                "version 5 or none",
                Some("application/fhir+json; fhirVersion=5.0, application/json"),
                None,
                Some(Json),
            ),
            ("XML", Some("application/fhir+xml"), None, None),
            ("all excluded", Some("*/*;q=0"), None, None),
            ("nonsense weight", Some("application/fhir+json;q=x"), None, None),
            ("format rules", Some("application/fhir+xml"), Some("json"), Some(FhirJson)),
            ("format with a lost plus", None, Some("application/fhir json"), Some(FhirJson)),
            ("format generic", None, Some("application/json"), Some(Json)),
            ("format XML", Some("*/*"), Some("xml"), None),
        ];
        for (case, accept, format, chosen) in table {
            assert_eq!(choose(accept, format, FHIR).ok(), chosen, "{case}");
        }
    }
}
