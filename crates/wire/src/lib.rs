//! The carriage: HTTP in both directions, TLS, sign-in, and the forms a push travels in.
//!
//! Comes in   requests and answers as bytes; keys and certificates as PEM; the time as a `Clock`.
//! Goes out   requests and answers as bytes; failures as `exchange::Issue`.
//! Never      touches the store, knows a rule about members or agreements, or logs a body, a
//!            token, or a URL with its query.
//!
//! Why one room: what two houses must agree on byte for byte (media types, status codes, tokens,
//! certificates) stands side by side here, the sending half next to the receiving half.

pub mod api;
mod chance;
pub mod client;
pub mod clock;
mod door;
pub mod doorstep;
pub mod fetch;
pub mod figures;
pub mod flow;
pub mod form;
pub mod keys;
pub mod limits;
pub mod media;
mod narrowed;
mod peers;
pub mod pki;
mod rates;
pub mod reach;
pub mod refusal;
mod requests;
pub mod rest;
pub mod retry_after;
mod room;
pub mod server;
mod shape;
pub mod shown;
pub mod tls;
pub mod transport;
pub mod trust;
pub mod urlencoded;

pub use api::Api;
pub use chance::draw_id;
pub use client::{ClientError, FhirClient};
pub use clock::{Clock, SystemClock};
pub use figures::Figures;
pub use keys::{KeyRing, OwnKeys, SigningKey};
pub use rates::RateLimits;
pub use refusal::Answer;
pub use rest::Rest;
pub use transport::{BoxFuture, HttpTransport, Taker, Transport, TransportError};
pub use trust::smart::client::SmartClient;
pub use trust::smart::replay::{MemoryReplay, Replay};
pub use trust::smart::server::Gate;
pub use trust::{Caller, Credential, Purposes, SignIn, SignInError};
