//! Goal: the fuzz target runs as a plain test, on the same inputs every time.
//!
//! How: built-in seeds and, with `HANDOVER_DATA`, the official examples; each is changed at places
//! drawn from a fixed sequence.

#![allow(clippy::unwrap_used)]

mod data;
mod fuzz_one;
mod seeds;

use fuzz_one::fuzz_one;

/// Changed copies of each built-in seed, and of each official example.
const COPIES: usize = 300;
const COPIES_OF_EXAMPLES: usize = 4;

/// Larger examples add time and no new syntax.
const EXAMPLE_BYTES_MAX: usize = 8_000;

#[test]
fn changed_seeds_make_nothing_panic() {
    run(seeds::SEEDS.iter().map(|seed| seed.as_bytes().to_vec()), COPIES);
}

#[test]
fn changed_examples_make_nothing_panic() {
    let Some(folder) = data::folder("fuzzing with the official examples") else { return };
    let examples = data::files(&folder.join("r4-spec-examples")).into_iter();
    let examples = examples.map(|(_, bytes)| bytes);
    run(examples.filter(|bytes| bytes.len() <= EXAMPLE_BYTES_MAX), COPIES_OF_EXAMPLES);
}

fn run(seeds: impl Iterator<Item = Vec<u8>>, copies: usize) {
    let mut draw = Sequence(0x9e37_79b9_7f4a_7c15);
    for seed in seeds {
        fuzz_one(&seed);
        for _ in 0..copies {
            let mut bytes = seed.clone();
            for _ in 0..=draw.below(4) {
                change(&mut bytes, &mut draw);
            }
            fuzz_one(&bytes);
        }
    }
}

fn change(bytes: &mut Vec<u8>, draw: &mut Sequence) {
    if bytes.is_empty() {
        return;
    }
    let (from, to) = (draw.below(bytes.len()), draw.below(bytes.len()));
    let piece = from.min(to)..from.max(to);
    match draw.below(7) {
        0 => bytes[from] = draw.below(256) as u8,
        1 => bytes[from] ^= 1 << draw.below(8),
        2 => bytes.insert(from, b"{}[]\",:\\0"[draw.below(9)]),
        3 => drop(bytes.remove(from)),
        4 => bytes.truncate(from),
        5 if piece.len() < 200 => drop(bytes.drain(piece)),
        _ => {
            let copy = bytes[piece.start..piece.end.min(piece.start + 200)].to_vec();
            bytes.splice(to..to, copy);
        }
    }
}

/// A fixed sequence of numbers (xorshift64).
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
