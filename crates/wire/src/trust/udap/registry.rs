//! Registry: where registrations are kept, and who decides about them.
//!
//! Comes in   what a proved software statement asks for.
//! Goes out   whether it stands, as which partner's, and for which purposes.
//! Never      knows of certificates: whoever asks here has proved to be the URI in its community.
//!
//! Why a trait: registrations are durable in the house's store, with lines in its ledger, and it is
//! the house that knows whom its partners' files name.

use crate::transport::BoxFuture;
use crate::trust::Purposes;
use exchange::Issue;
use exchange::registration::Said;

/// A registration that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The id it signs in with.
    pub client_id: String,
    /// The partner's name in this house.
    pub partner: String,
    /// The community it registered in.
    pub community: String,
    /// Its URI there.
    pub uri: String,
    /// The scopes it registered.
    pub scopes: Vec<String>,
    /// The purposes agreed with the partner.
    pub purposes: Purposes,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It stands, and is new.
    New(Standing),
    /// It stood before, and may have changed.
    Changed(Standing),
    /// A person of this house must decide.
    Waiting,
    /// A person of this house said no.
    Refused,
    /// So many wait that no more are remembered.
    Full,
    /// It waits, and says something new of itself too soon after it last did.
    TooSoon,
}

/// Registrations of one house.
pub trait Registry: Send + Sync {
    /// Registers, or changes what is registered under the same community and URI. Durable before it
    /// answers.
    fn register(&self, said: Said) -> BoxFuture<'_, Result<Decided, Issue>>;

    /// Cancels what is registered under this community and URI; its client id, if there was any.
    fn cancel<'a>(
        &'a self,
        community: &'a str,
        uri: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Issue>>;

    /// The registration as the store has it now.
    fn current<'a>(&'a self, client_id: &'a str) -> BoxFuture<'a, Result<Option<Standing>, Issue>>;

    /// The registration as this process knows it: asked with every request, so that it must cost
    /// nothing.
    fn standing(&self, client_id: &str) -> Option<Standing>;

    /// The edition of a client's registration, another one whenever something of it has changed: a token
    /// stands for the one it was given under. Asked with every request, like `standing`.
    fn edition(&self, client_id: &str) -> Option<u64>;
}
