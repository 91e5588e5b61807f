//! Houses as their users see them: what every house promises, and what only one kind of house, or
//! one kind of fault, can break.

mod backup;
mod contract;
mod crash;
mod noise;
mod postgres;
mod scrub;
mod sqlite;
mod storage;
mod tamper;
