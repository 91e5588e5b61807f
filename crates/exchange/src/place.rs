//! Places: how references, fullUrls and polling places are taken apart.
//!
//! Comes in   texts of resources and headers.
//! Goes out   type and id, origin and path; nothing for what is not of that shape.
//! Never      guesses: a text of another shape is somebody else's and stays as it is.

use fhir::is_id;

/// Type and logical id of `Type/id`, and whatever stands behind a `/_history/`.
pub fn parts(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (kind, rest) = text.split_once('/')?;
    let (id, version) = match rest.split_once("/_history/") {
        Some((id, version)) => (id, Some(version)),
        None => (rest, None),
    };
    (is_type(kind) && is_id(id)).then_some((kind, id, version))
}

/// Type and logical id of `Type/id` or `Type/id/_history/version`.
pub(crate) fn type_and_id(text: &str) -> Option<(&str, &str)> {
    let (kind, id, version) = parts(text)?;
    version.is_none_or(is_id).then_some((kind, id))
}

/// What a text says below `base`; `None` where it does not point there.
pub fn under<'t>(text: &'t str, base: &str) -> Option<&'t str> {
    let base = base.trim_end_matches('/');
    text.strip_prefix(base).filter(|_| !base.is_empty())?.strip_prefix('/')
}

/// Type and logical id where a text points below `base`, or is relative.
pub(crate) fn below<'t>(text: &'t str, base: &str) -> Option<(&'t str, &'t str)> {
    type_and_id(under(text, base).unwrap_or(text))
}

/// What stands before `Type/id` in a web address, with its last slash: the root against which
/// relative references of that resource are read (R4 §2.36.4.1).
pub(crate) fn root(url: &str) -> Option<&str> {
    let mut steps = url.rsplitn(3, '/');
    let (id, kind, before) = (steps.next()?, steps.next()?, steps.next()?);
    (is_id(id) && is_type(kind) && origin(before).is_some()).then(|| &url[..before.len() + 1])
}

/// Whether a text has the shape of a resource type.
pub(crate) fn is_type(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// Scheme and authority of an absolute URL, in lower case; `None` for anything else.
pub(crate) fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let plain = !authority.is_empty() && !authority.contains(['@', '\\', ' ']);
    (plain && matches!(scheme, "http" | "https"))
        .then(|| format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

/// `place` as an absolute URL, when it is one of the same origin as `base`, or relative to it.
pub fn same_origin(place: &str, base: &str) -> Option<String> {
    let home = origin(base)?;
    let clean = !place.is_empty() && !place.contains(|c: char| c.is_control() || c == ' ');
    let absolute = match place.strip_prefix('/') {
        Some(rest) if rest.starts_with(['/', '\\']) => return None,
        Some(_) => format!("{home}{place}"),
        None if place.contains("://") => place.to_owned(),
        None => format!("{}/{place}", base.trim_end_matches('/')),
    };
    (clean && origin(&absolute)? == home).then_some(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_into_the_source_are_taken_apart() {
        let base = "https://ehr.example/fhir";
        let table = [
            ("relative", "Patient/1", Some(("Patient", "1"))),
            ("with a version", "Patient/1/_history/2", Some(("Patient", "1"))),
            ("absolute, ours", "https://ehr.example/fhir/Patient/1", Some(("Patient", "1"))),
            ("absolute, another's", "https://other.example/fhir/Patient/1", None),
            ("a longer base", "https://ehr.example/fhir2/Patient/1", None),
            ("a fragment", "#one", None),
            ("a urn", "urn:uuid:0b8f9b32-3a52-4f0e-9d5b-1f6f0e6a0b5f", None),
            ("a search", "Patient?identifier=1", None),
            ("a type alone", "Patient", None),
            ("too long a way", "Patient/1/name/2", None),
            ("an operation", "Patient/1/_history", None),
        ];
        for (case, text, target) in table {
            assert_eq!(below(text, base), target, "{case}");
        }
    }

    #[test]
    fn only_the_web_address_of_a_resource_has_a_root() {
        let table = [
            ("https://ehr.example/fhir/Patient/1", Some("https://ehr.example/fhir/")),
            ("http://ehr.example/Patient/1", Some("http://ehr.example/")),
            ("urn:uuid:0b8f9b32-3a52-4f0e-9d5b-1f6f0e6a0b5f", None),
            ("urn:x://ehr.example/Patient/1", None),
            ("https://ehr.example/fhir/Patient", None),
            ("https://ehr.example/fhir/Patient/a b", None),
            ("https://Patient/1", None),
            ("Patient/1", None),
        ];
        for (url, expected) in table {
            assert_eq!(root(url), expected, "{url}");
        }
    }

    #[test]
    fn a_polling_place_is_of_the_payers_own_origin_or_none() {
        let base = "https://plan.example/fhir";
        let table = [
            ("absolute", "https://plan.example/status/1", Some("https://plan.example/status/1")),
            ("rooted", "/status/1", Some("https://plan.example/status/1")),
            ("relative", "status/1", Some("https://plan.example/fhir/status/1")),
            ("upper case host", "https://PLAN.example/s", Some("https://PLAN.example/s")),
            ("another host", "https://evil.example/status/1", None),
            ("another port", "https://plan.example:444/status/1", None),
            ("another scheme", "http://plan.example/status/1", None),
            ("no scheme", "//evil.example/1", None),
            ("a user in front", "https://plan.example@evil.example/1", None),
            ("a file", "file:///etc/passwd", None),
            ("nothing", "", None),
        ];
        for (case, place, wanted) in table {
            assert_eq!(same_origin(place, base).as_deref(), wanted, "{case}");
        }
    }
}
