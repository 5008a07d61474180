//! Chance in tests.

/// Numbers that look random and are the same in every run (xorshift).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        // Seeds that differ in a bit begin with numbers that don't look alike; none is 0.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % sides
    }

    /// Dice of their own for somebody else.
    pub fn another(&mut self) -> Self {
        Self::new(u64::try_from(self.roll(usize::MAX)).expect("64 bits"))
    }
}
