//! Posted: the parameters of an operation that were sent as a body.
//!
//! Comes in   a form, a Parameters resource, or nothing at all; how a parameter's text is taken.
//! Goes out   the parameters by name with their texts, in their order.
//! Never      knows a parameter; reads more than `FORM_BYTES_MAX`.

use crate::door::{self, content_type};
use crate::limits::FORM_BYTES_MAX;
use crate::{media, urlencoded};
use axum::extract::Request;
use exchange::{Code, Issue};
use fhir::Parameter;
use http::HeaderMap;

/// Errors: `BodyMalformed`, `BodyTooLarge`, `MediaTypeUnsupported`; those of `text`.
pub(super) async fn posted(
    headers: &HeaderMap,
    request: Request,
    text: impl Fn(&Parameter) -> Result<String, Issue>,
) -> Result<Vec<(String, String)>, Issue> {
    let body = door::read_body(request, FORM_BYTES_MAX, None).await?;
    if body.is_empty() {
        return Ok(Vec::new());
    }
    if media::is(content_type(headers), "application/x-www-form-urlencoded") {
        return urlencoded::decode(&body);
    }
    media::check_sent(content_type(headers))?;
    let malformed = |error: fhir::ParseError| {
        Issue::new(Code::BodyMalformed, error.reason.to_string()).at(error.expression)
    };
    let parameters = fhir::Parameters::parse(body).map_err(malformed)?;
    parameters.iter().map(|one| Ok((one.name.clone(), text(one)?))).collect()
}

/// The value of a parameter that is a text, as most operations take.
///
/// Errors: `ParameterInvalid`.
pub(super) fn plain_text(one: &Parameter) -> Result<String, Issue> {
    let detail = "a parameter has no value that is a text";
    let text = one.text().ok_or_else(|| Issue::new(Code::ParameterInvalid, detail))?;
    Ok(text.to_owned())
}
