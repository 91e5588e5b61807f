//! The town: invented patients and their charts, for the demo and for every test.
//!
//! Comes in   a seed, or a folder of FHIR files that others wrote; limits; rules as plain lists.
//! Goes out   hospitals with charts, plans with member files, and a second opinion on what a push
//!            must file and what it must withhold.
//! Never      reads the real clock, draws real chance or touches a network; never holds a real person.
//!
//! Why a town and not fixtures: the same seed gives the same bytes everywhere, so a failing test
//! can be repeated, and a demo can be larger than anybody would write by hand.

pub mod chart;
pub mod directory;
pub mod ehr;
pub mod limits;
pub mod overlay;
pub mod payer;
pub mod town;

pub use chart::{Chart, ChartError, ChartResource};
pub use overlay::{Expectation, Overlaid, Overlay, OverlayRules};
pub use town::{Town, TownPlan};
