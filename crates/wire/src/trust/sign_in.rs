//! Sign-in: how a client comes to a token, whichever way the partner asks for.
//!
//! Comes in   the purposes of use a request serves.
//! Goes out   an access token that is good for them; or why there is none, split by what helps:
//!            waiting, or a person.
//! Never      keeps a token for other purposes than it was asked for.
//!
//! Why purposes: a UDAP token serves only what its B2B extension asserted (FAST Security, B2B), so
//! that each set of purposes has a token of its own. SMART's tokens say nothing of purposes.

use crate::transport::BoxFuture;
use exchange::Purpose;
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a request is for; empty where nothing of a patient is asked or sent.
pub type Purposes = BTreeSet<Purpose>;

/// One way of signing in at one partner. Implementations keep tokens while they last.
pub trait SignIn: Send + Sync {
    /// A token that is valid for a while yet, kept or new, and good for exactly these purposes.
    fn token<'a>(
        &'a self,
        purposes: &'a Purposes,
    ) -> BoxFuture<'a, Result<SecretString, SignInError>>;

    /// Forgets this token, unless a newer one has taken its place already.
    fn forget(&self, token: &SecretString);
}

/// Why there is no token. `Display` is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The partner's sign-in does not answer or is overloaded: waiting helps.
    #[error("the partner's sign-in does not answer")]
    Unreachable {
        /// For the log.
        cause: String,
        /// How long the partner asks us to wait, when it says so.
        retry_after: Option<Duration>,
    },
    /// The certificate of the partner's sign-in is not trusted: a person's work.
    #[error("the certificate of the partner's sign-in is not trusted")]
    Untrusted(String),
    /// The partner refused, or its sign-in cannot be understood: a person's work.
    #[error("the partner refused this house's sign-in: {0}")]
    Refused(String),
}

impl SignInError {
    /// Whether the same sign-in can succeed later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, SignInError::Unreachable { .. })
    }
}
