//! Certificates: who vouches for a key, and whether that still holds.
//!
//! Comes in   certificates and revocation lists (DER, or PEM of files), the time.
//! Goes out   the leaf's names and key; or why nobody vouches for it.
//! Never      asks the network, or the clock; falls back on what the machine trusts.
//!
//! Why apart from TLS: a UDAP community's authorities vouch for applications by URI, not for hosts
//! by name, and each community has its own (FAST Security, trust and certificates).

mod chain;
pub mod make;
mod trust;

pub use chain::{Chain, read_pem};
pub use trust::{Distrust, Leaf, Revocation, Trust, next_list, uris};
