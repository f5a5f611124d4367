//! Sums over the users of an arm: of each number, how many have it, their sum and the sum of their squares. Means and variances are
//! functions of these, and a user's change is the old numbers taken away and the new ones added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::draws::{DrawKey, DrawSums, Earned};
use super::numbers::{METRICS, Numbers};

/// Users with a number, its sum and the sum of its squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// Users who have it.
    pub users: i64,
    /// Sum over them.
    pub sum: i64,
    /// Sum of the squares. A user who watches for a year has 3e10 milliseconds, the square of which fits no 64 bits.
    pub squares: i128,
}

/// What an arm's users add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmSums {
    /// Users who did or were served anything.
    pub users: i64,
    /// By [`super::Metric::ALL`].
    pub metrics: [Moments; METRICS],
    /// What their drawn places earned. An entry of nothing is none.
    pub draws: BTreeMap<DrawKey, DrawSums>,
}

/// What changed in an arm: the numbers of the experiment and of its arm, and the change.
pub type Term = (u8, u8, Box<ArmSums>);

impl ArmSums {
    /// Adds a user (1) or takes one away (-1).
    pub fn add(&mut self, numbers: &Numbers, sign: i64) {
        self.users += sign;
        for (moments, number) in self.metrics.iter_mut().zip(numbers) {
            if let Some(number) = *number {
                moments.users += sign;
                moments.sum += sign * number;
                moments.squares += i128::from(sign) * i128::from(number) * i128::from(number);
            }
        }
    }

    /// Adds what a user's drawn places earned (1) or takes it away (-1).
    pub fn add_draws(&mut self, earned: &[(DrawKey, Earned)], sign: i64) {
        earned.iter().for_each(|(key, of)| self.draws.entry(*key).or_default().add(of, sign));
        self.draws.retain(|_, sums| *sums != DrawSums::default());
    }

    /// Adds other sums.
    pub fn plus(&mut self, other: &Self) {
        self.users += other.users;
        for (moments, other) in self.metrics.iter_mut().zip(&other.metrics) {
            moments.users += other.users;
            moments.sum += other.sum;
            moments.squares += other.squares;
        }
        if !other.draws.is_empty() {
            other.draws.iter().for_each(|(key, of)| self.draws.entry(*key).or_default().plus(of));
            self.draws.retain(|_, sums| *sums != DrawSums::default());
        }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = Numbers> {
        prop::array::uniform9(prop::option::of(-(1i64 << 40)..1 << 40))
    }

    proptest! {
        #[test]
        fn what_goes_leaves_no_trace(
            stay in vec(numbers(), 0..6),
            go in vec(numbers(), 0..6),
        ) {
            let of = |users: &[Numbers]| {
                let mut sums = ArmSums::default();
                users.iter().for_each(|numbers| sums.add(numbers, 1));
                sums
            };
            let mut both = of(&stay);
            both.plus(&of(&go));
            go.iter().rev().for_each(|numbers| both.add(numbers, -1));
            prop_assert_eq!(&both, &of(&stay));
            stay.iter().for_each(|numbers| both.add(numbers, -1));
            prop_assert!(both.is_zero());
        }
    }
}
