//! Halt: stops a house at a durable point of its road, for crash tests.
//!
//! Comes in   `HANDOVER_HALT_AFTER=<point>[:n]` in the environment; the name of each point passed.
//! Goes out   the n-th time the point is passed, one line on stderr; then the thread rests for ever.
//! Never      does anything when the variable is not set.
//!
//! Why not exit: the test that waits for the line ends the process as a power cut would (kill -9),
//! and no destructor of ours must run before.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable.
pub const VARIABLE: &str = "HANDOVER_HALT_AFTER";

struct Wanted {
    point: String,
    left: AtomicU32,
}

/// Notes that a durable point was passed.
pub fn passed(point: &'static str) {
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|text| read(&text)));
    let Some(wanted) = wanted.as_ref().filter(|wanted| wanted.point == point) else { return };
    if wanted.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        eprintln!("halted after {point}");
        loop {
            std::thread::park();
        }
    }
}

fn read(text: &str) -> Option<Wanted> {
    let (point, count) = text.rsplit_once(':').unwrap_or((text, "1"));
    let left = count.parse().ok().filter(|count| *count > 0)?;
    Some(Wanted { point: point.to_owned(), left: AtomicU32::new(left) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_and_a_count_are_read() {
        let table = [
            ("sent", Some(("sent", 1))),
            ("sent:3", Some(("sent", 3))),
            ("sent:0", None),
            ("sent:x", None),
        ];
        for (text, expected) in table {
            let wanted = read(text);
            let found =
                wanted.as_ref().map(|it| (it.point.as_str(), it.left.load(Ordering::SeqCst)));
            assert_eq!(found, expected, "{text}");
        }
    }
}
