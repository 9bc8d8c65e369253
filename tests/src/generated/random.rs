//! Chance that can be repeated: everything about a generated person follows from one number.
//! Never reads a clock or the system's randomness.

/// A stream of draws (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Streams of different `purpose` are independent of each other.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.next()
    }

    /// 0 to below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// 0 to below 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// About normal: the sum of three uniform draws, never further out than three deviations.
    pub(crate) fn around(&mut self, mean: f32, deviation: f32) -> f32 {
        mean + deviation * 2.0 * (self.unit() + self.unit() + self.unit() - 1.5)
    }

    /// True in this share of all draws.
    pub fn chance(&mut self, share: f32) -> bool {
        self.unit() < share
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[(self.next() % of.len() as u64) as usize]
    }
}

/// Smooth value noise, -1 to 1, one bump a unit.
pub(crate) fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (left, top) = (floor(x), floor(y));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let (wx, wy) = (fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy));
    let upper = mix(lattice(left, top, seed), lattice(left + 1, top, seed), wx);
    let lower = mix(lattice(left, top + 1, seed), lattice(left + 1, top + 1, seed), wx);
    mix(upper, lower, wy)
}

/// Three octaves of [`noise`].
pub(crate) fn rough(x: f32, y: f32, seed: u32) -> f32 {
    0.55 * noise(x, y, seed)
        + 0.30 * noise(x * 2.1, y * 2.1, seed.wrapping_add(11))
        + 0.15 * noise(x * 4.3, y * 4.3, seed.wrapping_add(23))
}

pub(crate) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

/// 0 at or below `low`, 1 at or above `high`, smooth between; `high` may lie below `low`.
pub(crate) fn step(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// `f32::floor` is a call on processors without SSE 4.1, and this is the innermost loop.
fn floor(x: f32) -> i32 {
    let whole = x as i32;
    whole - i32::from(x < whole as f32)
}

fn lattice(x: i32, y: i32, seed: u32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x27d4_eb2d) ^ (y as u32).wrapping_mul(0x1656_67b1) ^ seed;
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    (h ^ (h >> 15)) as f32 / (u32::MAX / 2) as f32 - 1.0
}
