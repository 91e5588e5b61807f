//! Dice: chance that is no chance, from a seed.
//!
//! Comes in   a seed and a name for what is drawn.
//! Goes out   numbers, the same ones for the same seed and name.
//! Never      asks the machine for chance.
//!
//! Why a die per name: drawing one number more for one patient must not change the next patient.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and good enough for invented people.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A die of its own for everything named so.
    pub(crate) fn named(seed: u64, name: &str) -> Dice {
        // FNV-1a spreads the name over the seed.
        let spread = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ spread)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `sides`; 0 when there are no sides.
    pub(crate) fn below(&mut self, sides: u32) -> u32 {
        // The remainder favours small numbers by less than one in four billion.
        u32::try_from(self.next() % u64::from(sides.max(1))).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// One of the list, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(u32::try_from(list.len()).unwrap_or(u32::MAX)) as usize]
    }
}
