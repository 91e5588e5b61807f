//! The sending house: triggers, sources, directories, the road from a chart to a payer's door.
//!
//! Comes in   triggers from people and systems; charts from the source; answers from payers.
//! Goes out   pushes, and acknowledgements for whoever asked.
//! Never      sends what the agreement does not permit, or anything it cannot prove afterwards.
//!
//! Read `road.rs` first.

mod again;
mod assemble;
pub mod bulk;
pub mod carriage;
mod clock;
pub mod collect;
pub mod cost;
pub mod deliver;
pub mod desk;
pub mod directory;
pub mod door;
mod endpoint;
mod fresh;
mod gone;
pub mod limits;
mod merged;
mod parts;
pub mod probe;
pub mod ready;
mod release;
mod revisions;
pub mod road;
pub mod rooms;
pub mod route;
pub mod scope;
pub mod setup;
pub mod source;
pub mod surroundings;
mod suspended;
mod tables;
pub mod turn;
mod usable;
pub mod watch;
pub mod withdraw;
pub mod worker;

pub use carriage::{Carriage, Fixed};
pub use clock::HouseClock;
pub use desk::Desk;
pub use directory::Directories;
pub use parts::Claims;
pub use road::Road;
pub use rooms::Rooms;
pub use setup::{Feed, Payer, Setup};
pub use tables::Tables;
