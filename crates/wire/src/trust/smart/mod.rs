//! SMART Backend Services: sign-in between systems without a person (SMART App Launch 2.2).
//!
//! Comes in   assertions signed by a registered key.
//! Goes out   short-lived access tokens, and the scopes they carry.
//! Never      a shared secret between houses.

pub mod access_token;
pub mod assertion;
pub mod client;
pub mod replay;
pub mod server;

/// `grant_type` of a token request (RFC 6749 §4.4).
pub const CLIENT_CREDENTIALS: &str = "client_credentials";

/// `client_assertion_type` of a token request (RFC 7523 §2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where a server says how to sign in, below its base URL (SMART App Launch 2.2, conformance).
pub const CONFIGURATION_PATH: &str = "/.well-known/smart-configuration";
