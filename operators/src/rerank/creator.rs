//! The score of a creator's n-th video in a list is multiplied by d^(n - 1): a list may hold many of a creator who is worth
//! it, but each must beat the others by more. Not in the seeds; the form is the author diversity of X's published
//! recommender (the-algorithm, `AuthorBasedListwiseRescoring`), without its floor.

use super::numbers::{NONE, Numbers};

/// How many places each creator has.
pub(super) struct Creators {
    numbers: Numbers,
    counts: Vec<u32>,
    /// d^n, as far as asked for.
    powers: Vec<f32>,
    decay: f32,
}

impl Creators {
    /// For so many candidates.
    pub(super) fn new(decay: f64, candidates: usize) -> Self {
        let (numbers, counts) = (Numbers::with_room(candidates), Vec::with_capacity(candidates));
        Self { numbers, counts, powers: vec![1.0], decay: decay as f32 }
    }

    /// The number that the other functions take for a creator.
    pub(super) fn number(&mut self, creator: u64) -> u32 {
        let number = self.numbers.of(creator);
        if number != NONE && number as usize >= self.counts.len() {
            self.counts.push(0);
        }
        number
    }

    /// Places that the creator has.
    pub(super) fn count(&self, number: u32) -> u32 {
        if number == NONE { 0 } else { self.counts[number as usize] }
    }

    /// The factor on a creator's next video, in (0, 1].
    pub(super) fn factor(&self, number: u32) -> f32 {
        self.powers[self.count(number) as usize]
    }

    /// Gives a place to the creator.
    pub(super) fn place(&mut self, number: u32) {
        if number != NONE {
            self.counts[number as usize] += 1;
            if self.powers.len() <= self.counts[number as usize] as usize {
                let last = self.powers[self.powers.len() - 1];
                // Still positive after many places: an order among them remains.
                self.powers.push((last * self.decay).max(f32::MIN_POSITIVE));
            }
        }
    }
}

/// `score` made smaller (`factor` below 1) or greater. A negative score is divided, so that a small factor always means a
/// lower score.
#[must_use]
pub fn scaled(score: f32, factor: f32) -> f32 {
    if score >= 0.0 { score * factor } else { score / factor.max(f32::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_video_of_a_creator_counts_less() {
        let mut creators = Creators::new(0.5, 2);
        let (one, other, unknown) = (creators.number(7), creators.number(8), creators.number(0));
        let mut factors = Vec::new();
        for _ in 0..4 {
            factors.push(creators.factor(one));
            creators.place(one);
            creators.place(unknown);
        }
        assert_eq!(factors, [1.0, 0.5, 0.25, 0.125]);
        assert_eq!((creators.factor(other), creators.factor(unknown)), (1.0, 1.0));
        assert_eq!((creators.count(one), creators.count(unknown)), (4, 0));
    }

    #[test]
    fn a_small_factor_lowers_every_score() {
        assert_eq!((scaled(0.5, 0.5), scaled(-0.5, 0.5), scaled(0.0, 0.5)), (0.25, -1.0, 0.0));
        assert!(scaled(-0.5, 0.0) < -1e30);
        assert_eq!(scaled(-0.6, 1.5), -0.4);
    }
}
