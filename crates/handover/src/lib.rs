//! The front door: the one binary, its configuration, its command line and the demo.
//!
//! Comes in   the command line, a house's folder, requests at its doors.
//! Goes out   answers for people, as text or JSON, with an exit code; a running house.
//! Never      decides what may travel or what becomes of a push: it wires the rooms together and
//!            shows what they say.
//!
//! Why a library under a thin binary: tests start houses and read their configuration with the
//! same functions as the commands.

mod arenas;
pub mod args;
pub mod backup;
pub mod caller;
pub mod carriage;
pub mod check;
pub mod command;
pub mod communities;
pub mod community;
pub mod config;
pub mod contents;
pub mod database;
pub mod demo;
pub mod directories;
pub mod directory;
pub mod doors;
pub mod ehr;
pub mod export;
pub mod feed;
pub mod foreign;
pub mod halt;
pub mod house;
pub mod init;
pub mod keys;
mod knock;
pub mod limits;
pub mod live;
pub mod page;
pub mod partner;
pub mod readers;
pub mod render;
pub mod restore;
mod roster;
mod sending_doors;
pub mod serve;
pub mod source;
pub mod suspended;
pub mod table;
pub mod tables;
pub mod vouching;
pub mod whole;
