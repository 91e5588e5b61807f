//! Forms: the shapes in which a push travels. Each form is one file here.
//!
//! Comes in   a payload's bytes and a client for the partner's door.
//! Goes out   the partner's reply, as far as the form says what it means.
//! Never      decides what is next; `exchange` settles.

pub mod bulk;
pub mod single;
pub mod transaction;
