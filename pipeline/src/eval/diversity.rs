//! What one list is like apart from accuracy: pure functions.

use freshet_learning::{LONG_DIMS, Quantised};

/// A content vector with the hash of its embedding space.
pub type Described = (u64, Quantised);

/// Novelty of a list: the mean of `-log2 p` in bits, where `p` is a video's share of all interactions so far. A video that
/// nobody has met counts as met once. `None` for an empty list or before the first interaction.
#[must_use]
pub fn novelty(met: impl Iterator<Item = u64>, interactions: u64) -> Option<f64> {
    let bits = |count: u64| -(count.max(1) as f64 / interactions as f64).log2();
    let (mut sum, mut items) = (0.0, 0u32);
    for count in met {
        sum += bits(count);
        items += 1;
    }
    (items > 0 && interactions > 0).then(|| sum / f64::from(items))
}

/// Intra-list diversity: the mean of `1 - cosine` over the pairs of different items whose content vectors are known and of
/// one space; with how many pairs there are and of how many it is known.
#[must_use]
pub fn intra_list(vectors: &[Option<&Described>]) -> Ild {
    let mut ild = Ild { mean: None, known: 0, pairs: 0 };
    let mut sum = 0.0;
    for (at, a) in vectors.iter().enumerate() {
        for b in &vectors[at + 1..] {
            ild.pairs += 1;
            if let (Some((space, a)), Some((other, b))) = (a, b)
                && space == other
            {
                sum += 1.0 - a.cosine(b, LONG_DIMS);
                ild.known += 1;
            }
        }
    }
    ild.mean = (ild.known > 0).then(|| sum / ild.known as f64);
    ild
}

/// See [`intra_list`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ild {
    /// From 0 (all alike) to 2; `None` where no pair is known.
    pub mean: Option<f64>,
    /// Pairs with two comparable vectors.
    pub known: u64,
    /// All pairs.
    pub pairs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(entries: &[i8]) -> Quantised {
        let mut vector = Quantised::zero();
        vector.0[..entries.len()].copy_from_slice(entries);
        vector
    }

    #[test]
    fn novelty_by_hand() {
        // Shares 1/2 and 1/8: 1 and 3 bits.
        assert_eq!(novelty([8, 2].into_iter(), 16), Some(2.0));
        assert_eq!(novelty([0].into_iter(), 16), Some(4.0));
        assert_eq!(novelty([].into_iter(), 16), None);
        assert_eq!(novelty([0].into_iter(), 0), None);
    }

    #[test]
    fn diversity_by_hand() {
        let (a, b, c) = ((1, vector(&[3, 4])), (1, vector(&[-4, 3])), (2, vector(&[3, 4])));
        let opposite = (1, vector(&[-3, -4]));
        assert_eq!(intra_list(&[Some(&a), Some(&b)]), Ild { mean: Some(1.0), known: 1, pairs: 1 });
        assert_eq!(intra_list(&[Some(&a), Some(&a)]).mean, Some(0.0));
        assert_eq!(intra_list(&[Some(&a), Some(&opposite)]).mean, Some(2.0));
        // Another space and no vector cannot be compared.
        assert_eq!(
            intra_list(&[Some(&a), Some(&b), Some(&c), None]),
            Ild { mean: Some(1.0), known: 1, pairs: 6 }
        );
        assert_eq!(intra_list(&[None]), Ild { mean: None, known: 0, pairs: 0 });
    }
}
