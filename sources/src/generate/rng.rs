//! Random numbers that are the same on every machine: SplitMix64 (Steele, Lea and Flood 2014) and whole numbers only. A
//! logarithm or a power of the platform's library may differ in its last bit from one machine to the next, and one such
//! bit would be another world.

use freshet_schema::fixed::{self, OCTAVE};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; 0 for an empty range.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True with a probability in parts per million.
    pub fn chance(&mut self, ppm: u64) -> bool {
        self.below(1_000_000) < ppm
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// A place in `cumulative`, the running sum of the weights.
    pub fn weighted(&mut self, cumulative: &[u64]) -> usize {
        let total = cumulative.last().copied().unwrap_or(0);
        let draw = self.below(total);
        cumulative.partition_point(|sum| *sum <= draw)
    }

    /// 2^x with 16 fraction bits, where x is `centre` (in 1/65,536 octaves) plus four uniform numbers in [-1, 1) octaves:
    /// nearly a log-normal distribution with a deviation of 1.15 octaves, and never more than 4 octaves away.
    pub fn log_normal(&mut self, centre: i64) -> u64 {
        let noise: i64 = (0..4).map(|_| self.below(2 * OCTAVE as u64) as i64 - OCTAVE).sum();
        exp2(centre + noise)
    }
}

/// 2^(`x` / 65,536) with 16 fraction bits, for x from 0 to 40 octaves.
fn exp2(x: i64) -> u64 {
    let x = x.clamp(0, 40 * OCTAVE) as u64;
    let (whole, fraction) = (x >> fixed::LOG_BITS, (x & (OCTAVE as u64 - 1)) as u32);
    (fixed::exp2_q32(fraction) >> 16) << whole
}

/// The weight of each rank of a Zipf distribution of `n`, summed up. The exponent is in tenths; with 0.9 the first 1 % of
/// 10,000 ranks carry about 44 % of the weight.
pub(super) fn zipf(n: usize, tenths: i64) -> Vec<u64> {
    let mut sum = 0;
    (1..=n as u128)
        .map(|rank| {
            let octaves = fixed::log2(rank).unwrap_or(0) * tenths / 10;
            sum += exp2(40 * OCTAVE - octaves) >> 24;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_is_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn zipf_falls_as_it_should() {
        let sums = zipf(10_000, 9);
        let share = sums[99] * 100 / sums[9_999];
        assert!((40..50).contains(&share), "the first percent carries {share} %");
        assert!(sums.windows(2).all(|w| w[0] < w[1]));
        let one = |rank: usize| sums[rank - 1] - sums[rank - 2];
        assert_eq!((one(2) * 1000 / sums[0]), 535); // 2^-0.9
    }

    #[test]
    fn a_log_normal_has_its_median_at_its_centre() {
        let mut rng = Rng::new(5);
        let mut draws: Vec<_> = (0..4001).map(|_| rng.log_normal(10 * OCTAVE) >> 16).collect();
        draws.sort_unstable();
        assert!((960..1090).contains(&draws[2000]), "{}", draws[2000]);
        assert!(draws[0] >= 64 && draws[4000] <= 16_384);
    }

    #[test]
    fn weighted_takes_each_place_by_its_weight() {
        let mut rng = Rng::new(9);
        let mut counts = [0; 3];
        for _ in 0..4000 {
            counts[rng.weighted(&[1, 1, 4])] += 1;
        }
        assert_eq!(counts[1], 0, "a weight of nothing is never taken");
        assert!((850..1150).contains(&counts[0]), "{counts:?}");
    }
}
