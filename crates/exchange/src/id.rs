//! Ids and digests as types of their own, so that no two can be mixed up.
//!
//! Comes in   text from configurations, partners and stores.
//! Goes out   newtypes that print as that text.
//! Never      draws an id: what is random is drawn at the edge and arrives here as an argument.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text)
            }
        }
    )*};
}

text_id! {
    /// A house: the tenant that leads every key of the store.
    HouseId
    /// A partner as this house's configuration names it; also the owner of what it sends.
    PartnerId
    /// One event, button press or request that started something.
    TriggerId
    /// One trigger's walk for one payer; the push it becomes keeps this as its handle here.
    WalkId
    /// One push: its number within (patient, payer), a hyphen, and the start of its digest.
    PushId
    /// What arrived at a receiving house, as it arrived.
    SubmissionId
}

/// A SHA-256 digest; prints as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of several pieces, each led by its length, so that no two splits collide.
    pub fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut hash = Sha256::new();
        for piece in pieces {
            hash.update((piece.len() as u64).to_be_bytes());
            hash.update(piece);
        }
        Digest(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Digest, NotADigest> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(NotADigest);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotADigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotADigest)?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The id a record has between Handover houses: lower-case hex SHA-256 over
/// `namespace LF type LF source id` (docs/ARCHITECTURE.md, derived identity).
pub fn derived_id(namespace: &str, kind: &str, source_id: &str) -> String {
    Digest::of(format!("{namespace}\n{kind}\n{source_id}").as_bytes()).to_string()
}

impl PushId {
    /// The id of the push with this number (within patient and payer) and content digest.
    pub fn new(number: u64, digest: &Digest) -> PushId {
        PushId(format!("{number}-{}", &digest.to_string()[..32]))
    }

    /// The number that decides what is older and newer at the payer.
    pub fn number(&self) -> Option<u64> {
        let (number, digest) = self.0.split_once('-')?;
        let hex = digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        number.parse().ok().filter(|_| hex)
    }
}

/// A value that names or describes a patient: it prints as `[phi]`, wherever it is printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phi<T>(pub T);

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[phi]")
    }
}

impl<T> fmt::Display for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[phi]")
    }
}
