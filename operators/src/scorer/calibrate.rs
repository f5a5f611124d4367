//! What came of estimates: curves from what a head said to what was seen.
//!
//! A ridge head is a straight line through what may be bent: where few videos are watched to the end it says too much, where many
//! are, too little. So each counted row keeps what the heads of its day said of it, and by that its labels are counted, in bins;
//! the counts are whole numbers by hour, like what the heads learn from, and a row that goes takes its own out. At a
//! publication a curve is drawn through what was seen: bins in order, those that would fall are joined (pool adjacent violators),
//! and between the middles of what is left it is straight (centred isotonic regression, Oron & Flournoy 2017). It rises
//! everywhere, so the order of a head's estimates stays.
//!
//! Choice has no curve: an offer is worth its chance times what comes then, so of the chance only ratios count.

use serde::{Deserialize, Serialize};

use super::heads::{HEADS, Head};
use super::learn::Labels;

/// Number of bins. They are of equal width in the square root of the estimate, as likes are estimated at some hundredths.
pub const BINS: usize = 24;

/// One in the unit of [`Expected`].
pub const ONE: f32 = 10_000.0;

/// What a bin has before anything is seen: so many examples whose labels are as was said.
const PRIOR: f64 = 20.0;

/// What the heads said of a row, before any curve, in 1/10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected(pub [u16; HEADS]);

impl Expected {
    /// Rounds estimates, each within [0, 1].
    #[must_use]
    pub fn of(estimates: &[f32; HEADS]) -> Self {
        Self(estimates.map(|estimate| (estimate.clamp(0.0, 1.0) * ONE + 0.5) as u16))
    }
}

fn bin(expected: u16) -> usize {
    let root = (f32::from(expected) / ONE).sqrt();
    ((root * BINS as f32) as usize).min(BINS - 1)
}

/// What was said and seen in a bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    examples: i64,
    /// Sum of what was said, in 1/10,000.
    said: i64,
    /// Sum of what was seen, in 1/1,000.
    seen: i64,
}

/// Counts of an hour, by head and bin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(Box<[[Bin; BINS]; HEADS]>);

/// What a row says of each head but choice, in per mille; nothing where it does not say.
fn seen(labels: &Labels) -> [Option<i64>; HEADS] {
    let known = |is: bool| if is { 1000 } else { 0 };
    let mut seen = [None; HEADS];
    seen[Head::Watch as usize] = labels.watched.map(i64::from);
    seen[Head::Completion as usize] = labels.completed.map(known);
    seen[Head::Rewatch as usize] = labels.rewatched.map(known);
    seen[Head::Continuation as usize] = Some(known(labels.continued));
    seen[Head::Skip as usize] = labels.skipped.map(known);
    seen[Head::Like as usize] = Some(known(labels.liked));
    seen[Head::LongView as usize] = labels.long_view.map(known);
    seen
}

impl Counts {
    /// Adds (1) or takes back (-1) a row.
    pub fn add(&mut self, expected: Expected, labels: &Labels, sign: i64) {
        for ((bins, said), seen) in self.0.iter_mut().zip(expected.0).zip(seen(labels)) {
            let Some(seen) = seen else { continue };
            let bin = &mut bins[bin(said)];
            bin.examples += sign;
            bin.said += sign * i64::from(said);
            bin.seen += sign * seen;
        }
    }

    /// Adds the counts of others.
    pub fn plus(&mut self, other: &Self) {
        for (bin, other) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            bin.examples += other.examples;
            bin.said += other.said;
            bin.seen += other.seen;
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADS * size_of::<[Bin; BINS]>()
    }
}

/// Counts of several hours, weighed.
pub struct Weighed([[(f64, f64, f64); BINS]; HEADS]);

impl Default for Weighed {
    fn default() -> Self {
        Self([[(0.0, 0.0, 0.0); BINS]; HEADS])
    }
}

impl Weighed {
    /// Adds the counts of an hour, each as so many.
    pub fn add(&mut self, counts: &Counts, weight: f64) {
        for (sum, bin) in self.0.iter_mut().flatten().zip(counts.0.iter().flatten()) {
            sum.0 += bin.examples as f64 * weight;
            sum.1 += bin.said as f64 / f64::from(ONE) * weight;
            sum.2 += bin.seen as f64 / 1000.0 * weight;
        }
    }

    /// The curves, in the order of the heads.
    #[must_use]
    pub fn curves(&self) -> [Curve; HEADS] {
        let mut head = 0;
        self.0.map(|bins| {
            head += 1;
            if head - 1 == Head::Choice as usize { Curve::default() } else { Curve::through(&bins) }
        })
    }
}

/// A rising curve of straight pieces from (0, 0) to (1, 1).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its corners between the two ends, rising in both: what was said, and what was seen.
    pub corners: Vec<(f32, f32)>,
}

impl Curve {
    /// Through bins in order: of each the weight of its examples and the sums of what was said and seen.
    fn through(bins: &[(f64, f64, f64)]) -> Self {
        let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
        for (examples, said, seen) in bins.iter().copied() {
            if examples <= 0.0 {
                continue;
            }
            // What was said is taken for seen where little was.
            let middle = said / examples;
            let mut block = (examples + PRIOR, said + PRIOR * middle, seen + PRIOR * middle);
            while let Some(last) = blocks.pop_if(|last| last.2 / last.0 >= block.2 / block.0) {
                block = (last.0 + block.0, last.1 + block.1, last.2 + block.2);
            }
            blocks.push(block);
        }
        let corners =
            blocks.into_iter().map(|(weight, said, seen)| ((said / weight) as f32, (seen / weight) as f32));
        let inside = |(said, seen): &(f32, f32)| [said, seen].iter().all(|x| **x > 0.0 && **x < 1.0);
        let mut corners: Vec<(f32, f32)> = corners.filter(inside).collect();
        corners.dedup_by(|next, last| next.0 <= last.0 || next.1 <= last.1);
        Self { corners }
    }

    /// What was seen where a head said `estimate`, which is within [0, 1].
    #[must_use]
    pub fn of(&self, estimate: f32) -> f32 {
        if self.corners.is_empty() {
            return estimate;
        }
        let above = self.corners.partition_point(|(said, _)| *said <= estimate);
        let (x0, y0) = if above == 0 { (0.0, 0.0) } else { self.corners[above - 1] };
        let (x1, y1) = self.corners.get(above).copied().unwrap_or((1.0, 1.0));
        y0 + (y1 - y0) * ((estimate - x0) / (x1 - x0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(completed: bool) -> Labels {
        Labels {
            watched: Some(if completed { 1000 } else { 200 }),
            completed: Some(completed),
            long_view: None,
            watch_ms: None,
            skipped: Some(!completed),
            rewatched: None,
            liked: false,
            continued: true,
        }
    }

    fn expected(estimate: f32) -> Expected {
        Expected::of(&[estimate; HEADS])
    }

    #[test]
    fn a_head_that_says_too_much_is_brought_down() {
        let mut counts = Counts::default();
        for n in 0..1000 {
            // Where it says .4, one in four is seen; where it says .8, four in five.
            counts.add(expected(0.4), &labels(n % 4 == 0), 1);
            counts.add(expected(0.8), &labels(n % 5 != 0), 1);
        }
        let mut weighed = Weighed::default();
        weighed.add(&counts, 1.0);
        let curves = weighed.curves();
        let completion = &curves[Head::Completion as usize];
        assert!((completion.of(0.4) - 0.25).abs() < 0.01, "{completion:?}");
        assert!((completion.of(0.8) - 0.8).abs() < 0.01, "{completion:?}");
        assert_eq!((completion.of(0.0), completion.of(1.0)), (0.0, 1.0));
        assert!(completion.of(0.6) > 0.3 && completion.of(0.6) < 0.8, "straight between");
        // Nothing is known of long views, and choice has no curve.
        assert_eq!(curves[Head::LongView as usize].of(0.3), 0.3);
        assert_eq!(curves[Head::Choice as usize], Curve::default());
    }

    #[test]
    fn bins_that_would_fall_are_joined() {
        let bins = [(100.0, 20.0, 30.0), (100.0, 40.0, 20.0), (100.0, 70.0, 90.0)];
        let curve = Curve::through(&bins);
        assert_eq!(curve.corners.len(), 2, "{curve:?}");
        let (said, seen) = curve.corners[0];
        assert!((said - 0.3).abs() < 1e-3 && (seen - 0.2583).abs() < 1e-3, "{curve:?}");
    }

    proptest! {
        #[test]
        fn a_curve_rises_and_forgets_exactly(
            rows in prop::collection::vec((0.0f32..=1.0, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut counts = Counts::default();
            let mut kept = Counts::default();
            for (estimate, completed, stays) in &rows {
                counts.add(expected(*estimate), &labels(*completed), 1);
                if *stays {
                    kept.add(expected(*estimate), &labels(*completed), 1);
                }
            }
            for (estimate, completed, stays) in &rows {
                if !*stays {
                    counts.add(expected(*estimate), &labels(*completed), -1);
                }
            }
            prop_assert_eq!(&counts, &kept);
            let mut weighed = Weighed::default();
            weighed.add(&counts, 0.7);
            for curve in weighed.curves() {
                let values: Vec<f32> = (0..=500).map(|n| curve.of(n as f32 / 500.0)).collect();
                prop_assert!(values.is_sorted() && values[0] == 0.0 && values[500] == 1.0, "{:?}", curve);
            }
        }
    }
}
