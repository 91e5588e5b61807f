//! Keys: a house's keys and certificates over their life.
//!
//! Comes in   the paths that `house.toml` names, and what a person asks for.
//! Goes out   keys that are announced before they sign, and honoured until what they signed is over;
//!            certificates that are renewed while the doors are open.
//! Never      prints a private key, overwrites one that is in use, or leaves a house without one.
//!
//! Why three files for a key (`signing.next.pem`, `signing.pem`, `signing.old-….pem`): each says by its
//! name where it is in its life. Every step is one rename, so that a cut leaves the step before or after.

mod asked;
pub(crate) mod days;
mod ledger;
mod list;
pub(crate) mod pair;
pub(crate) mod place;
mod rotate;

pub use asked::{KeyUse, KeysAsked, carry_out, reload};
pub use days::{Days, all as certificates, days_left};
pub use pair::{live as live_certificate, read as pair};
pub use place::{
    TokenSecrets, files_secret, is_stage, ledger_key, ledger_keys, members_place, members_secret,
    own_keys, read as read_secret, token_secrets,
};
