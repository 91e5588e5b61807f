//! Assertion: reads a client's signed JWT and says whose it is, or why it is refused.
//!
//! Comes in   the compact JWT, the keys registered for whom it names, the token endpoint, the time.
//! Goes out   whom it names; the key id, `jti`, and until when a replay must be watched for.
//! Never      lets the token choose how it is verified: two algorithms, one registered key, whatever
//!            `jwk` or `x5c` its header carries. A `jku` is never asked: it must be the registered one.
//!
//! Why the refusals before the signature say so little: until then nobody has shown to hold a
//! registered key, and a stranger must not learn which client ids or key ids exist. After it, the
//! partner's own staff read the answer, and it names what to mend (RFC 7523 §3, RFC 7519 §7.2).

use crate::limits::{ASSERTION_BYTES_MAX, ASSERTION_LIFE_MAX, CLOCK_SKEW_MAX, JTI_BYTES_MAX};
use crate::trust::Credential;
use crate::trust::jwt::{is_audience, is_plain, read_part, seconds};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// An assertion that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which of the client's keys signed.
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
    jku: Option<String>,
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

/// An assertion as it reads; nothing of it is true before it is verified.
pub struct Assertion<'a> {
    signed: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    kid: String,
    jku: Option<String>,
    claims: Claims,
}

impl<'a> Assertion<'a> {
    /// Takes an assertion apart.
    pub fn read(jwt: &'a str) -> Result<Assertion<'a>, Refused> {
        let (signed, header, claims, signature) = take_apart(jwt).ok_or(NOT_VERIFIED)?;
        let header: Header = read_part(header).ok_or(NOT_VERIFIED)?;
        let claims: Claims = read_part(claims).ok_or(NOT_VERIFIED)?;
        let algorithm = algorithm(&header).ok_or(NOT_VERIFIED)?;
        let (kid, jku) = (header.kid.ok_or(NOT_VERIFIED)?, header.jku);
        claims.iss.as_ref().ok_or(NOT_VERIFIED)?;
        Ok(Assertion { signed, signature, algorithm, kid, jku, claims })
    }

    /// The client it claims to be.
    pub fn client_id(&self) -> &str {
        self.claims.iss.as_deref().unwrap_or_default()
    }

    /// The key it claims to be signed with.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Verifies it with the keys of its client, and the URL they were registered at, if at one. Where
    /// there is no such client or key the work is the same: a signature is checked in vain.
    ///
    /// The replay check is the caller's: it may have to wait for a disk.
    pub fn verify(
        self,
        keys: Option<&Value>,
        jwks_url: Option<&str>,
        token_endpoint: &str,
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        let named = self.jku.is_none() || self.jku.as_deref() == jwks_url;
        let key = keys.and_then(|keys| find_key(keys, &self.kid, self.algorithm));
        let known = key.is_some();
        let Some(key) = key.or_else(|| decoy(self.algorithm)) else { return Err(NOT_VERIFIED) };
        let message = self.signed.as_bytes();
        let verified = jsonwebtoken::crypto::verify(self.signature, message, &key, self.algorithm);
        if !(verified.unwrap_or(false) && known && named) {
            return Err(NOT_VERIFIED);
        }
        let (jti, until) = check_claims(&self.claims, token_endpoint, now)?;
        Ok(Verified { kid: self.kid, jti, until })
    }
}

/// A key that nobody has registered (the examples of RFC 7517 §A.1 and a point of P-384), for a
/// signature that is checked in vain.
fn decoy(algorithm: Algorithm) -> Option<DecodingKey> {
    match algorithm {
        // The generator of the curve (FIPS 186-4 §D.1.2.4).
        Algorithm::ES384 => DecodingKey::from_ec_components(
            "qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3",
            "NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f",
        ),
        _ => DecodingKey::from_rsa_components(RSA_EXAMPLE, "AQAB"),
    }
    .ok()
}

/// The modulus of RFC 7517 §A.1.
const RSA_EXAMPLE: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7a\
    PFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-\
    65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWh\
    AI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

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

/// The two algorithms of SMART, never `none`, never a MAC, never with critical extensions.
fn algorithm(header: &Header) -> Option<Algorithm> {
    if !is_plain(header.typ.as_deref(), header.crit.as_ref()) {
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
    let mut fitting = keys(jwks).filter(fits);
    // Two keys under one id: which of them is meant is unclear.
    let (Some(key), None) = (fitting.next(), fitting.next()) else { return None };
    match algorithm {
        Algorithm::ES384 => DecodingKey::from_ec_components(&text(key, "x")?, &text(key, "y")?),
        _ => DecodingKey::from_rsa_components(&text(key, "n")?, &text(key, "e")?),
    }
    .ok()
}

#[cfg(test)]
mod tests {
    //! Goal: a stranger's assertion costs as much work as a partner's.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    #[test]
    fn a_signature_can_be_checked_in_vain() {
        for algorithm in [Algorithm::ES384, Algorithm::RS384] {
            let key = decoy(algorithm).unwrap();
            let signature = URL_SAFE_NO_PAD.encode([1; 96]);
            let verified = jsonwebtoken::crypto::verify(&signature, b"x", &key, algorithm);
            assert!(!verified.unwrap_or(false));
        }
    }
}
