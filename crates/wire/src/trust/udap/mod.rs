//! UDAP: sign-in by certificates of a trust community (FAST Security for FHIR, HL7 2.0).
//!
//! Comes in   discovery, registration and token requests, at either end.
//! Goes out   signed metadata, registrations, tokens that serve only the purposes asserted.
//! Never      takes a certificate of one community for another's, a URI in another spelling for the
//!            same, or a stranger's registration without a person's word.
//!
//! Why beside SMART: both meet at one token endpoint. A request with `udap` is UDAP's, every other one
//! SMART's.

pub(crate) mod b2b;
pub mod client;
mod door;
pub mod identity;
pub(crate) mod jws;
mod metadata;
mod register;
pub mod registry;
mod request;
pub mod server;
pub(crate) mod statement;

pub use b2b::Organization;
pub use client::{ClientIds, Registered, Software, UdapClient};
pub use identity::{Community, Identity, Membership};
pub use registry::{Decided, Registry, Standing};
pub use server::Udap;

/// Where a server describes its UDAP workflows, below its base URL.
pub const METADATA_PATH: &str = "/.well-known/udap";

/// Where clients register, below the base URL.
pub const REGISTRATION_PATH: &str = "/register";

/// The version of UDAP, as requests and metadata give it.
pub const VERSION: &str = "1";

/// The key of the B2B authorization extension object.
pub const HL7_B2B: &str = "hl7-b2b";
