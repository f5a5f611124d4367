//! Integer arithmetic for everything that is summed or ordered. Sums of integers do not depend on the order of their
//! terms, on batching or on the number of workers, and a retraction takes away exactly what was added.

/// Fraction bits of a logarithm: [`log2`] and [`exp2_q32`] work in 1/65,536 of an octave.
pub const LOG_BITS: u32 = 16;

/// One octave (a factor of two) on the scale of [`log2`].
pub const OCTAVE: i64 = 1 << LOG_BITS;

/// 2^(1/2), 2^(1/4), ... 2^(1/65536) with 32 fraction bits.
const ROOTS: [u64; LOG_BITS as usize] = roots();

const fn roots() -> [u64; LOG_BITS as usize] {
    let mut table = [0; LOG_BITS as usize];
    let mut square: u128 = 2 << 60; // the number whose root is next, with 60 fraction bits
    let mut i = 0;
    while i < LOG_BITS as usize {
        let root = isqrt(square << 60);
        table[i] = ((root + (1 << 27)) >> 28) as u64;
        square = root;
        i += 1;
    }
    table
}

const fn isqrt(n: u128) -> u128 {
    let mut low = 0u128;
    let mut high = 1u128 << 63;
    while low < high {
        let mid = (low + high).div_ceil(2);
        if mid * mid <= n {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    low
}

/// 2^(i / 256) and 2^(i / 65,536), with 32 fraction bits.
const POWERS: [[u64; 256]; 2] = [powers(0), powers(8)];

const fn powers(first: usize) -> [u64; 256] {
    let mut table = [1 << 32; 256];
    let mut i = 0;
    while i < 256 {
        let mut bit = 0;
        while bit < 8 {
            if i & (0x80 >> bit) != 0 {
                table[i] = ((table[i] as u128 * ROOTS[first + bit] as u128) >> 32) as u64;
            }
            bit += 1;
        }
        i += 1;
    }
    table
}

/// 2^(`fraction` / 65,536) with 32 fraction bits, in `[2^32, 2^33)`; only the low 16 bits of `fraction` count.
#[must_use]
pub fn exp2_q32(fraction: u32) -> u64 {
    let [high, low] = [(fraction >> 8) & 0xff, fraction & 0xff];
    let product = u128::from(POWERS[0][high as usize]) * u128::from(POWERS[1][low as usize]);
    (product >> 32) as u64
}

/// 2^`x`, to some five digits, the same on every machine: the mathematics library of a system may differ in the last bit. Beyond
/// 2^±1000 it is the value there.
#[must_use]
pub fn exp2(x: f64) -> f64 {
    exp2_octaves((x.clamp(-BEYOND as f64, BEYOND as f64) * OCTAVE as f64).round() as i64)
}

/// 2^(`log` / 65,536), as [`exp2`].
#[must_use]
pub fn exp2_octaves(log: i64) -> f64 {
    let log = log.clamp(-BEYOND * OCTAVE, BEYOND * OCTAVE);
    let (whole, fraction) = (log >> LOG_BITS, (log & (OCTAVE - 1)) as u32);
    let power = f64::from_bits(((whole + 1023) as u64) << 52);
    exp2_q32(fraction) as f64 / (1u64 << 32) as f64 * power
}

/// Octaves beyond which a power is the one there.
const BEYOND: i64 = 1000;

/// log2 of a positive number in 1/65,536 octaves, rounded down; `None` for zero.
///
/// The binary digits of the fraction come from repeated squaring (Knuth, TAOCP 1.2.2, exercise 28).
#[must_use]
pub fn log2(n: u128) -> Option<i64> {
    if n == 0 {
        return None;
    }
    let whole = i64::from(n.ilog2());
    // The mantissa in [1, 2) with 63 fraction bits.
    let mut mantissa = if whole >= 63 { n >> (whole - 63) } else { n << (63 - whole) };
    let mut log = whole;
    for _ in 0..LOG_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        log <<= 1;
        if mantissa >= 1 << 64 {
            mantissa >>= 1;
            log |= 1;
        }
    }
    Some(log)
}

/// `value` in units of 1/`scale`, rounded to nearest, saturating; NaN is 0.
#[must_use]
pub fn quantise(value: f64, scale: f64) -> i64 {
    (value * scale).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp2_is_within_a_part_in_a_hundred_million(fraction in 0u32..1 << LOG_BITS) {
            let exact = (f64::from(fraction) / 65_536.0).exp2();
            let ours = exp2_q32(fraction) as f64 / (1u64 << 32) as f64;
            prop_assert!((ours / exact - 1.0).abs() < 1e-8, "{ours} {exact}");
        }

        #[test]
        fn log2_is_the_floor_on_its_grid(n in 1u128..1 << 120) {
            let exact = (n as f64).log2() * 65_536.0;
            let ours = log2(n).unwrap() as f64;
            prop_assert!(ours <= exact + 1e-6 && ours > exact - 1.001, "{ours} {exact}");
        }

        #[test]
        fn log2_keeps_the_order(a in 1u128..1 << 100, b in 1u128..1 << 100) {
            prop_assert_eq!(a <= b || log2(a) >= log2(b), true);
        }
    }

    #[test]
    fn log2_of_powers_is_exact() {
        assert_eq!(log2(0), None);
        assert_eq!(log2(1), Some(0));
        assert_eq!(log2(1 << 100), Some(100 * OCTAVE));
    }

    #[test]
    fn powers_of_two_are_near() {
        for x in [-999.5, -20.25, -1.0, -0.3, 0.0, 0.5, 1.0, 9.99, 700.125] {
            let relative = exp2(x) / x.exp2() - 1.0;
            assert!(relative.abs() < 2e-5, "2^{x}: off by {relative}");
        }
        assert_eq!((exp2(0.0), exp2(3.0), exp2(-2.0)), (1.0, 8.0, 0.25));
        for log in [0, 1, -1, 70_000, -70_000, i64::MAX, i64::MIN] {
            assert_eq!(exp2_octaves(log), exp2(log as f64 / OCTAVE as f64), "{log}");
        }
    }
}
