//! The language: FHIR R4 resources as bytes with an index, edits as splices, Bundles, NDJSON.
//!
//! Comes in   bytes from partners, EHRs and files.
//! Goes out   resources that keep those bytes, and errors with byte offset and FHIRPath.
//! Never      reads a clock, a file or the network; never panics on input.

pub mod edit;
pub mod json;
pub mod limits;
mod resource;

pub use edit::Edits;
pub use json::{Doc, Kind, Node, ParseError, Reason};
pub use resource::{ReferenceElement, ReferenceSpan, Resource, is_id};
