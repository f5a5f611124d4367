//! What places that were drawn earned, and what they would have earned under another policy: sums over an arm's users.
//!
//! A place that is drawn evenly says how many candidates there were and which of them it got, from the best, so what any draw from fewer
//! of the same would have done is known: its chance is 1 / fewer for the first of them and 0 for the others. The policies
//! that are measured are the log's own, the best candidate always, and the draws of the experiment's other arms
//! ([`targets`]). A target that might take what the log could not have drawn is none.
//!
//! Each place is a decision of its own, given the places before it. Its reward is whether its user has a row of its video that was
//! watched to the end, from when the page was served until a session's gap later. Whoever never came to a place earns nothing there,
//! whatever was drawn for it: so nothing is selected by what was drawn. Weights are whole millionths, so all sums are exact and a
//! user is taken back as they were added. The model of doubly robust is the mean reward of the other half of the users
//! (by hash), which has not seen the place's own. Products of a user's sums are kept as well: the places of a user hang together, and
//! the error is that of users. `freshet_learning::off_policy` makes the estimates.

use std::collections::BTreeMap;

use freshet_schema::event::ServedItem;
use freshet_schema::hash;
use serde::{Deserialize, Serialize};

use super::settings::Value;
use super::{Experiment, numbers::MILLION};
use crate::params::Params;
use crate::row::Row;

/// What drew a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Drawing {
    /// A place of novelty.
    Novelty,
    /// In a stranger's list, a place for what is popular.
    Popular,
    /// In a stranger's list, a place to explore.
    Explore,
}

impl Drawing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Novelty, Self::Popular, Self::Explore];

    /// The name that `served` records have.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Novelty => "novelty",
            Self::Popular => "popular",
            Self::Explore => "explore",
        }
    }
}

/// A place that was drawn evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Draw {
    /// When its page was served.
    pub time: u64,
    /// What it got.
    pub video: u64,
    /// Its place along the chain of pages, from 0.
    pub position: u32,
    /// What drew it.
    pub by: Drawing,
    /// How many candidates there were.
    pub from: u32,
    /// Which of them it got, from the best, 1.
    pub rank: u32,
}

/// More candidates than any draw has; beyond, the whole number of them could not be told from a propensity of 32 bits.
const MOST: f64 = 100_000.0;

impl Draw {
    /// The draw that a served place was; `None` for a place that none of ours drew evenly, or of which nothing more is known than its propensity.
    #[must_use]
    pub fn of(item: &ServedItem, time: u64) -> Option<Self> {
        let by = Drawing::ALL.into_iter().find(|by| by.name() == item.slot_policy)?;
        let candidates = 1.0 / f64::from(item.propensity);
        let from = candidates.round();
        let is_whole = (1.0..=MOST).contains(&from) && (candidates / from - 1.0).abs() < 1e-6;
        let is_one_of_them = item.drawn > 0 && f64::from(item.drawn) <= from;
        (is_whole && is_one_of_them).then_some(Self {
            time,
            video: item.video_id.0,
            position: item.position,
            by,
            from: from as u32,
            rank: item.drawn,
        })
    }

    /// The chance of a policy that draws from the `best` candidates to have drawn the same, over that of the log, in millionths.
    fn weight(&self, best: u32) -> i64 {
        match best {
            AS_DRAWN => MILLION,
            _ if self.rank > best => 0,
            _ => {
                let best = i64::from(best.min(self.from));
                (i64::from(self.from) * MILLION + best / 2) / best
            }
        }
    }
}

/// The target that draws as the log did.
pub const AS_DRAWN: u32 = 0;

/// From how many of the best candidates the measured policies draw, for the places of an arm; [`AS_DRAWN`] is the arm's own. Those of
/// other arms are there where they draw from fewer than this one.
#[must_use]
pub fn targets(experiment: &Experiment, arm: usize, by: Drawing, params: &Params) -> Vec<u32> {
    let sets = |arm: &super::Arm| arm.sets.iter().find(|(s, _)| s.key == "rerank.draw_pool").map(|(_, v)| *v);
    let pool = |arm: &super::Arm| match sets(arm) {
        Some(Value::Count(pool)) => pool,
        _ => params.rerank.draw_pool,
    };
    let mut all = vec![AS_DRAWN, 1];
    // What is popular is drawn from as many as its block has places left for, which no arm sets.
    if let Some(own) = experiment.arms.get(arm).filter(|_| by != Drawing::Popular).map(&pool)
        && experiment.arms.iter().any(|arm| sets(arm).is_some())
    {
        let others = experiment.arms.iter().map(&pool).filter(|other| *other < own);
        all.extend(others.filter_map(|other| u32::try_from(other).ok()));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Which half of all users somebody is in: 0 or 1.
#[must_use]
pub fn half(seed: u64, user: u64) -> u8 {
    (hash::mix(seed, &[hash::text("off-policy"), user]) & 1) as u8
}

/// What is summed apart: what drew, which policy is measured, and the half of the users.
pub type DrawKey = (Drawing, u32, u8);

/// What a user's places add up to for one [`DrawKey`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earned {
    /// Places.
    pub places: i64,
    /// Places that earned.
    pub earned: i64,
    /// Sum of the weights, in millionths.
    pub weights: i64,
    /// Sum of the weights of places that earned, in millionths.
    pub weighted: i64,
    /// Sum of the squares of weights, in 1e-12.
    pub squares: i128,
}

/// What a user's draws come to. `completed` has (video, time) of the rows that were watched to the end, and rises.
#[must_use]
pub fn earned(
    draws: &[Draw],
    completed: &[(u64, u64)],
    gap: u64,
    half: u8,
    targets: impl Fn(Drawing) -> Vec<u32>,
) -> Vec<(DrawKey, Earned)> {
    if draws.is_empty() {
        return Vec::new();
    }
    let measured = Drawing::ALL.map(|by| (by, targets(by)));
    let mut all: BTreeMap<DrawKey, Earned> = BTreeMap::new();
    for draw in draws {
        let next = completed.partition_point(|row| *row < (draw.video, draw.time));
        let until = draw.time.saturating_add(gap);
        let reward = i64::from(
            completed.get(next).is_some_and(|(video, time)| *video == draw.video && *time <= until),
        );
        for best in measured.iter().filter(|(by, _)| *by == draw.by).flat_map(|(_, targets)| targets) {
            let weight = draw.weight(*best);
            let sums = all.entry((draw.by, *best, half)).or_default();
            sums.places += 1;
            sums.earned += reward;
            sums.weights += weight;
            sums.weighted += weight * reward;
            sums.squares += i128::from(weight) * i128::from(weight);
        }
    }
    all.into_iter().collect()
}

/// The rows that were watched to the end, as [`earned`] wants them.
#[must_use]
pub fn completed(rows: &[Row]) -> Vec<(u64, u64)> {
    let completed = rows.iter().filter(|row| row.completed() == Some(true));
    let mut all: Vec<(u64, u64)> = completed.map(|row| (row.content.video, row.time)).collect();
    all.sort_unstable();
    all
}

/// Sums over users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawSums {
    /// Users with a drawn place.
    pub users: i64,
    /// See [`Earned::places`].
    pub places: i64,
    /// See [`Earned::earned`].
    pub earned: i64,
    /// See [`Earned::weights`].
    pub weights: i64,
    /// See [`Earned::weighted`].
    pub weighted: i64,
    /// See [`Earned::squares`].
    pub squares: i128,
    /// Over users, with p places, w weights and x weighted: the sums of pp, pw, px, ww, wx and xx.
    pub products: [i128; 6],
}

impl DrawSums {
    /// Adds a user (1) or takes one away (-1).
    pub fn add(&mut self, of: &Earned, sign: i64) {
        self.users += sign;
        self.places += sign * of.places;
        self.earned += sign * of.earned;
        self.weights += sign * of.weights;
        self.weighted += sign * of.weighted;
        self.squares += i128::from(sign) * of.squares;
        let [p, w, x] = [of.places, of.weights, of.weighted].map(i128::from);
        for (sum, product) in self.products.iter_mut().zip([p * p, p * w, p * x, w * w, w * x, x * x]) {
            *sum += i128::from(sign) * product;
        }
    }

    /// Adds other sums.
    pub fn plus(&mut self, other: &Self) {
        self.users += other.users;
        self.places += other.places;
        self.earned += other.earned;
        self.weights += other.weights;
        self.weighted += other.weighted;
        self.squares += other.squares;
        self.products.iter_mut().zip(other.products).for_each(|(sum, other)| *sum += other);
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::VideoId;

    use super::super::settings;
    use super::super::testing::experiment;
    use super::*;

    fn item(policy: &str, propensity: f32, drawn: u32) -> ServedItem {
        let slot_policy = policy.to_owned();
        ServedItem { video_id: VideoId(5), position: 2, propensity, slot_policy, drawn }
    }

    #[test]
    fn only_what_was_drawn_evenly_is_a_draw() {
        let draw = |policy: &str, propensity: f32, drawn: u32| Draw::of(&item(policy, propensity, drawn), 9);
        let expected = Draw { time: 9, video: 5, position: 2, by: Drawing::Novelty, from: 20, rank: 7 };
        assert_eq!(draw("novelty", 0.05, 7), Some(expected));
        for from in 1..=1_000u32 {
            let found = draw("explore", 1.0 / from as f32, from).expect("a whole number of candidates");
            assert_eq!((found.from, found.rank), (from, from));
        }
        assert_eq!(draw("novelty", 0.05, 0), None, "a record of an older release");
        assert_eq!(draw("novelty", 0.05, 21), None, "there were twenty");
        assert_eq!(draw("novelty", 0.03, 1), None, "no even draw");
        assert_eq!(draw("cohort", 0.05, 1), None, "no draw from the best");
        assert_eq!(draw("novelty", 1e-30, 1), None);
    }

    #[test]
    fn weights_by_hand() {
        let draw = |from, rank| Draw { time: 0, video: 1, position: 0, by: Drawing::Novelty, from, rank };
        assert_eq!(
            [1, 2, 3, AS_DRAWN].map(|best| draw(20, 1).weight(best)),
            [20_000_000, 10_000_000, 6_666_667, MILLION]
        );
        assert_eq!([1, 2, 3].map(|best| draw(20, 3).weight(best)), [0, 0, 6_666_667]);
        assert_eq!(draw(3, 3).weight(4), MILLION, "there were fewer than it draws from");
        assert_eq!(draw(3, 3).weight(1), 0);
    }

    /// Over all draws that there might have been, weights are one on average.
    #[test]
    fn weights_are_one_on_average() {
        for (from, best) in (1..60).flat_map(|from| (1..60).map(move |best| (from, best))) {
            let draw = |rank| Draw { time: 0, video: 1, position: 0, by: Drawing::Explore, from, rank };
            let sum: i64 = (1..=from).map(|rank| draw(rank).weight(best)).sum();
            let expected = i64::from(from) * MILLION;
            assert!((sum - expected).abs() <= i64::from(best.min(from)), "{from} {best}: {sum}");
        }
    }

    #[test]
    fn what_may_not_have_been_drawn_is_not_measured() {
        let mut of = experiment("pools", 1.0);
        let params = Params::default();
        assert_eq!(params.rerank.draw_pool, 20);
        assert_eq!(targets(&of, 0, Drawing::Novelty, &params), [0, 1], "the arms draw alike");
        let pool = settings::find("rerank.draw_pool").expect("it ranks");
        of.arms[1].sets.push((pool, Value::Count(4)));
        assert_eq!(targets(&of, 0, Drawing::Novelty, &params), [0, 1, 4]);
        assert_eq!(
            targets(&of, 1, Drawing::Explore, &params),
            [0, 1],
            "it knows nothing of the other sixteen"
        );
        assert_eq!(targets(&of, 0, Drawing::Popular, &params), [0, 1]);
    }

    #[test]
    fn a_place_earns_for_a_sitting() {
        let draw = |video, rank| Draw { time: 100, video, position: 0, by: Drawing::Novelty, from: 4, rank };
        let draws = [draw(1, 1), draw(2, 2), draw(3, 1)];
        let completed = [(1, 99), (1, 150), (2, 151), (4, 100)];
        let found = earned(&draws, &completed, 50, 1, |_| vec![AS_DRAWN, 1]);
        let [(own, as_drawn), (first, best)] = found[..] else { panic!("{found:?}") };
        assert_eq!((own, first), ((Drawing::Novelty, 0, 1), (Drawing::Novelty, 1, 1)));
        assert_eq!(
            (as_drawn.places, as_drawn.earned, as_drawn.weights, as_drawn.weighted),
            (3, 1, 3 * MILLION, MILLION)
        );
        assert_eq!((best.places, best.earned, best.weights, best.weighted), (3, 1, 8 * MILLION, 4 * MILLION));
        assert_eq!(best.squares, 2 * 16 * i128::from(MILLION * MILLION));
        let mut sums = DrawSums::default();
        sums.add(&best, 1);
        assert_eq!(sums.products[0], 9);
        assert_eq!(sums.products[4], 32 * i128::from(MILLION * MILLION));
        sums.add(&best, -1);
        assert_eq!(sums, DrawSums::default());
    }

    #[test]
    fn halves_are_halves() {
        let second = (0..10_000).filter(|user| half(7, *user) == 1).count();
        assert!((4_750..=5_250).contains(&second), "{second}");
    }
}
