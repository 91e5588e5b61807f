//! Assertion: reads a client's signed JWT and says whose it is, or why it is refused.
//!
//! Comes in   the compact JWT, the registered credentials, the token endpoint, the time.
//! Goes out   the credential that signed, the key id, `jti`, and until when a replay must be watched for.
//! Never      lets the token choose how it is verified: two algorithms, one registered key, whatever
//!            `jku`, `jwk` or `x5c` its header carries.
//!
//! Why the refusals before the signature say so little: until then nobody has shown to hold a
//! registered key, and a stranger must not learn which client ids or key ids exist. After it, the
//! partner's own staff read the answer, and it names what to mend (RFC 7523 §3, RFC 7519 §7.2).

use crate::limits::{ASSERTION_BYTES_MAX, ASSERTION_LIFE_MAX, CLOCK_SKEW_MAX, JTI_BYTES_MAX};
use crate::trust::Credential;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An assertion that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'a> {
    /// Whose key signed.
    pub credential: &'a Credential,
    /// Which of its keys.
    pub kid: String,
    /// The assertion's own id, for the replay check.
    pub jti: String,
    /// The last moment at which the assertion could pass again.
    pub until: Timestamp,
}

/// Why an assertion is refused; the text is safe for the answer and for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub &'static str);

/// The one answer to everything that comes before a valid signature.
pub const NOT_VERIFIED: Refused = Refused(
    "no registered key verifies this assertion; compare client id, kid and algorithm \
     (RS384 or ES384) with what was registered",
);

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Value>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    jti: Option<String>,
}

/// Verifies a client assertion. The replay check is the caller's: it may have to wait for a disk.
pub fn verify<'a>(
    jwt: &str,
    credentials: &'a [Credential],
    token_endpoint: &str,
    now: Timestamp,
) -> Result<Verified<'a>, Refused> {
    let (signed, header, claims, signature) = take_apart(jwt).ok_or(NOT_VERIFIED)?;
    let header: Header = read_part(header).ok_or(NOT_VERIFIED)?;
    let claims: Claims = read_part(claims).ok_or(NOT_VERIFIED)?;

    let algorithm = algorithm(&header).ok_or(NOT_VERIFIED)?;
    let client_id = claims.iss.as_deref().ok_or(NOT_VERIFIED)?;
    let credential = find_credential(credentials, client_id).ok_or(NOT_VERIFIED)?;
    let kid = header.kid.ok_or(NOT_VERIFIED)?;
    let key = find_key(&credential.jwks, &kid, algorithm).ok_or(NOT_VERIFIED)?;
    let verified = jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, algorithm);
    if !verified.unwrap_or(false) {
        return Err(NOT_VERIFIED);
    }

    let (jti, until) = check_claims(&claims, token_endpoint, now)?;
    Ok(Verified { credential, kid, jti, until })
}

/// What the holder of a registered key must still get right.
fn check_claims(
    claims: &Claims,
    token_endpoint: &str,
    now: Timestamp,
) -> Result<(String, Timestamp), Refused> {
    if claims.sub.is_none() || claims.sub != claims.iss {
        return Err(Refused("sub must equal iss: both are the client id"));
    }
    if !is_audience(claims.aud.as_ref(), token_endpoint) {
        return Err(Refused("aud must be this token endpoint's URL and nothing else"));
    }
    let now = now.as_second();
    let skew = CLOCK_SKEW_MAX.as_secs() as i64;
    let expiry = seconds(claims.exp.as_ref()).ok_or(Refused("exp must be a number"))?;
    if expiry <= now - skew {
        return Err(Refused("the assertion has expired; compare the clocks"));
    }
    if expiry > now + skew + ASSERTION_LIFE_MAX.as_secs() as i64 {
        return Err(Refused("exp is more than five minutes ahead; compare the clocks"));
    }
    for (claim, refused) in [
        (&claims.nbf, Refused("nbf is ahead of this clock; compare the clocks")),
        (&claims.iat, Refused("iat is ahead of this clock; compare the clocks")),
    ] {
        let starts = claim.as_ref().map(|value| seconds(Some(value)).unwrap_or(i64::MAX));
        if starts.is_some_and(|starts| starts > now + skew) {
            return Err(refused);
        }
    }
    let jti = claims.jti.as_deref().unwrap_or_default();
    if jti.is_empty() || jti.len() > JTI_BYTES_MAX {
        return Err(Refused("jti must be there, with at most 256 bytes"));
    }
    let until = Timestamp::from_second(expiry + skew).map_err(|_| Refused("exp must be a date"))?;
    Ok((jti.to_owned(), until))
}

/// Signed part, header, claims, signature; none unless there are exactly three parts.
fn take_apart(jwt: &str) -> Option<(&str, &str, &str, &str)> {
    if jwt.len() > ASSERTION_BYTES_MAX {
        return None;
    }
    let (signed, signature) = jwt.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    (!claims.contains('.')).then_some((signed, header, claims, signature))
}

fn read_part<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The two algorithms of SMART, never `none`, never a MAC, never with critical extensions.
fn algorithm(header: &Header) -> Option<Algorithm> {
    let plain = header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
    if header.crit.is_some() || !plain {
        return None;
    }
    match header.alg.as_str() {
        "ES384" => Some(Algorithm::ES384),
        "RS384" => Some(Algorithm::RS384),
        _ => None,
    }
}

/// A client id that is registered twice matches nobody: whose push it would be is unclear.
pub(crate) fn find_credential<'a>(
    credentials: &'a [Credential],
    client_id: &str,
) -> Option<&'a Credential> {
    let mut found = credentials.iter().filter(|credential| credential.client_id == client_id);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Whether a credential still holds a key with this id.
pub(crate) fn has_key(jwks: &Value, kid: &str) -> bool {
    keys(jwks).any(|key| key["kid"] == kid)
}

fn keys(jwks: &Value) -> impl Iterator<Item = &Value> {
    jwks["keys"].as_array().into_iter().flatten()
}

/// The registered key with this id whose kind fits the algorithm.
fn find_key(jwks: &Value, kid: &str, algorithm: Algorithm) -> Option<DecodingKey> {
    let text = |key: &Value, member: &str| key[member].as_str().map(str::to_owned);
    let (kind, name) = match algorithm {
        Algorithm::ES384 => ("EC", "ES384"),
        _ => ("RSA", "RS384"),
    };
    let fits = |key: &&Value| {
        key["kid"] == kid
            && key["kty"] == kind
            && (key.get("alg").is_none() || key["alg"] == name)
            && (key.get("use").is_none() || key["use"] == "sig")
            && (kind != "EC" || key["crv"] == "P-384")
    };
    let key = keys(jwks).find(fits)?;
    match algorithm {
        Algorithm::ES384 => DecodingKey::from_ec_components(&text(key, "x")?, &text(key, "y")?),
        _ => DecodingKey::from_rsa_components(&text(key, "n")?, &text(key, "e")?),
    }
    .ok()
}

/// One audience, as text or as a list of one: an assertion for two servers could be used at both.
fn is_audience(aud: Option<&Value>, token_endpoint: &str) -> bool {
    match aud {
        Some(Value::String(aud)) => aud == token_endpoint,
        Some(Value::Array(list)) => list.len() == 1 && list[0] == token_endpoint,
        _ => false,
    }
}

/// A NumericDate (RFC 7519 §2): whole or broken seconds since 1970.
fn seconds(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.abs() < 1e15).then_some(number as i64)
    })
}
