//! Every limit of this crate, with its reason.

use std::time::Duration;

/// How long a server may take to start or to stop: crash recovery of a test's database on a busy
/// machine takes seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it has.
pub const LOOK: Duration = Duration::from_millis(20);

/// Connections a server takes: several test programs at once, each with a pool of its own.
pub const CONNECTIONS: u32 = 200;

/// Lines of the server's own log that are shown when it does not start.
pub const LOG_LINES: usize = 5;
