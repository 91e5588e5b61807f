//! Raw: the content of a Binary as it is, for those who do not ask for FHIR (R4 §2.37.3).
//!
//! Comes in   the bytes of a Binary.
//! Goes out   its data, decoded, under its own media type.
//! Never      half of it: data that cannot be decoded is no content.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fhir::Doc;
use http::header::CONTENT_TYPE;
use wire::refusal::Answer;

/// The answer that carries a Binary's content.
pub(crate) fn content(binary: &[u8]) -> Option<Answer> {
    let doc = Doc::parse(binary).ok()?;
    let root = doc.root();
    let data = root.get("data").and_then(|data| data.text())?;
    let data: String = data.split_whitespace().collect();
    let media = root.get("contentType").and_then(|media| media.text());
    let media = media.map_or("application/octet-stream".to_owned(), |media| media.into_owned());
    Some(Answer::new(200, STANDARD.decode(data).ok()?).with(CONTENT_TYPE, media))
}
