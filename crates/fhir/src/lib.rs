//! The language: FHIR R4 resources as bytes with an index, edits as splices, Bundles, NDJSON.
//!
//! Comes in   bytes from partners, EHRs and files.
//! Goes out   resources that keep those bytes, and errors with byte offset and FHIRPath.
//! Never      reads a clock, a file or the network; never panics on input.

mod bundle;
mod bundle_writer;
pub mod edit;
pub mod json;
pub mod limits;
pub mod ndjson;
mod outcome;
mod parameters;
pub mod r4;
mod read;
mod resource;
mod versions;
mod walk;

pub use bundle::{Bundle, BundleType, Entry, EntryRequest, EntryResponse, Method};
pub use bundle_writer::{BundleWriter, EntryToWrite, ResponseToWrite};
pub use edit::Edits;
pub use json::{Doc, Kind, Node, ParseError, Reason};
pub use ndjson::Ndjson;
pub use outcome::{OperationOutcome, OutcomeIssue};
pub use parameters::{Parameter, Parameters, ParametersWriter, Value};
pub use resource::{ReferenceElement, ReferenceSpan, Resource, is_id};
pub use versions::Versions;
