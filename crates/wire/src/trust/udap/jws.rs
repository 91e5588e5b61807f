//! JWS: a JWT that carries the chain of the key that signed it.
//!
//! Comes in   the compact JWT; communities; the time.
//! Goes out   claims whose signature verified, with the leaf and the communities that vouch for it.
//! Never      lets the JWT choose anything but one of four algorithms: a MAC, `none`, `crit`, and keys
//!            from elsewhere (`jwk`, `jku`, `kid`) count for nothing.

use super::identity::Community;
use crate::limits::{ASSERTION_LIFE_MAX, CLOCK_SKEW_MAX, JTI_BYTES_MAX, UDAP_JWT_BYTES_MAX};
use crate::pki::{Chain, Distrust, Leaf, Revocation};
use crate::trust::jwt::{is_audience, is_plain, read_part, seconds};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// What may sign: RS256, which everybody must support, and what the guide allows beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
    Rs384,
    Es384,
}

/// In the order in which they are preferred.
pub(crate) const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::Rs256, Algorithm::Es256, Algorithm::Rs384, Algorithm::Es384];

impl Algorithm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Es384 => "ES384",
        }
    }

    fn named(name: &str) -> Option<Algorithm> {
        ALGORITHMS.into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn verifier(self) -> &'static dyn signature::VerificationAlgorithm {
        match self {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        }
    }
}

/// Why a JWT is not taken. The words are safe for the answer and for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not a JWT of this kind, or its signature is not the leaf's.
    Jwt(&'static str),
    /// Nobody vouches for its chain.
    Chain(Distrust),
    /// A claim.
    Claim(&'static str),
}

impl Fault {
    pub(crate) fn words(self) -> String {
        match self {
            Fault::Jwt(words) | Fault::Claim(words) => words.to_owned(),
            Fault::Chain(distrust) => distrust.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5c: Vec<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// A JWT as it was read; nothing of it is proved yet.
pub(crate) struct Jws<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    chain: Chain,
    claims: Map<String, Value>,
}

/// Claims of which it is known who signed them.
pub(crate) struct Signed<'c> {
    /// The claims.
    pub(crate) claims: Map<String, Value>,
    /// The leaf, as the first of the communities vouches for it.
    pub(crate) leaf: Leaf,
    /// Communities whose anchors vouch for the leaf.
    pub(crate) communities: Vec<&'c Community>,
    /// How it was signed.
    pub(crate) algorithm: Algorithm,
}

impl<'a> Jws<'a> {
    /// Reads a JWT.
    pub(crate) fn read(jwt: &'a str) -> Result<Jws<'a>, Fault> {
        let wrong = Fault::Jwt("it is not a signed JWT with alg and x5c in its header");
        if jwt.len() > UDAP_JWT_BYTES_MAX {
            return Err(Fault::Jwt("the JWT is too long"));
        }
        let (signed, signature) = jwt.rsplit_once('.').ok_or(wrong)?;
        let (header, claims) = signed.split_once('.').ok_or(wrong)?;
        let header: Header = read_part(header).ok_or(wrong)?;
        let claims: Map<String, Value> = read_part(claims).ok_or(wrong)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong)?;
        if !is_plain(header.typ.as_deref(), header.crit.as_ref()) {
            return Err(wrong);
        }
        let algorithm = Algorithm::named(&header.alg)
            .ok_or(Fault::Jwt("alg must be RS256, ES256, RS384 or ES384"))?;
        let chain = Chain::from_x5c(&header.x5c)
            .ok_or(Fault::Jwt("x5c must hold one to six certificates, the signing one first"))?;
        Ok(Jws { signed, signature, algorithm, chain, claims })
    }

    /// The leaf, as the header carries it.
    pub(crate) fn certificate(&self) -> String {
        self.chain.to_x5c().swap_remove(0)
    }

    /// Proves the chain, then the signature.
    pub(crate) fn verify<'c>(
        self,
        communities: &'c [Community],
        now: Timestamp,
    ) -> Result<Signed<'c>, Fault> {
        let mut vouched = Vec::new();
        let mut reason = Distrust::Unknown;
        let mut leaf = None;
        for community in communities {
            match community.trust().verify(&self.chain, now) {
                Ok(found) => {
                    leaf.get_or_insert(found);
                    vouched.push(community);
                }
                Err(Distrust::Unknown) => {}
                Err(distrust) => reason = distrust,
            }
        }
        let leaf = leaf.ok_or(Fault::Chain(reason))?;
        let key = UnparsedPublicKey::new(self.algorithm.verifier(), &leaf.key);
        key.verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| Fault::Jwt("the signature is not of the first certificate's key"))?;
        // Told behind the signature: strangers must not fill the log.
        if leaf.revocation != Revocation::Known {
            let community = vouched.first().map(|it| it.uri.as_str()).unwrap_or_default();
            tracing::warn!(community, known = ?leaf.revocation, "revocation not known");
        }
        Ok(Signed { claims: self.claims, leaf, communities: vouched, algorithm: self.algorithm })
    }
}

impl Signed<'_> {
    /// A claim that must be a text with something in it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// `aud` is this URL and nothing else: a JWT for two servers could be used at both.
    pub(crate) fn check_audience(&self, url: &str) -> Result<(), Fault> {
        match is_audience(self.claims.get("aud"), url) {
            true => Ok(()),
            false => Err(Fault::Claim("aud must be this endpoint's URL and nothing else")),
        }
    }

    /// `iat`, `exp`, `nbf` and `jti` of a JWT that is used once, within five minutes; answers `jti`
    /// and until when it could be used again.
    pub(crate) fn check_once(&self, now: Timestamp) -> Result<(String, Timestamp), Fault> {
        self.check_life(now, ASSERTION_LIFE_MAX)?;
        let jti = self.text("jti").filter(|jti| jti.len() <= JTI_BYTES_MAX);
        let jti = jti.ok_or(Fault::Claim("jti must be there, with at most 256 bytes"))?;
        let skew = CLOCK_SKEW_MAX.as_secs() as i64;
        let expiry = self.seconds("exp").unwrap_or_default() + skew;
        let until =
            Timestamp::from_second(expiry).map_err(|_| Fault::Claim("exp must be a date"))?;
        Ok((jti.to_owned(), until))
    }

    /// `iat`, `exp` and `nbf`: now lies between them, and they are not further apart than this.
    pub(crate) fn check_life(&self, now: Timestamp, life: Duration) -> Result<(), Fault> {
        let (now, skew) = (now.as_second(), CLOCK_SKEW_MAX.as_secs() as i64);
        let issued = self.seconds("iat").ok_or(Fault::Claim("iat must be there, a number"))?;
        let expiry = self.seconds("exp").ok_or(Fault::Claim("exp must be there, a number"))?;
        if expiry <= now - skew {
            return Err(Fault::Claim("the JWT has expired; compare the clocks"));
        }
        if issued > now + skew {
            return Err(Fault::Claim("iat is ahead of this clock; compare the clocks"));
        }
        let starts = self.claims.contains_key("nbf").then(|| self.seconds("nbf"));
        if starts.is_some_and(|starts| starts.is_none_or(|starts| starts > now + skew)) {
            return Err(Fault::Claim("nbf is ahead of this clock; compare the clocks"));
        }
        if expiry < issued || expiry - issued > life.as_secs() as i64 {
            return Err(Fault::Claim("exp is too long after iat"));
        }
        Ok(())
    }

    fn seconds(&self, name: &str) -> Option<i64> {
        seconds(self.claims.get(name))
    }
}
