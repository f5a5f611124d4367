//! What a measurement of a world says: regret and taste discovery by the age of users, with intervals over users.

use std::collections::BTreeMap;

use freshet_sources::generate::World;

use super::judge::{CUTS, Judged, Kind};
use crate::eval::bootstrap::{self, Estimate, RESAMPLES, UserSums};
use crate::eval::cost::Cost;
use crate::eval::plot::{Chart, Line, Point};

/// Ages in groups, from and to; the last but one has no end, and the last is all.
pub const GROUPS: [(u64, u64); 8] =
    [(0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, u64::MAX), (0, u64::MAX)];
/// Their names.
pub const GROUP_NAMES: [&str; 8] = ["0", "1-2", "3-5", "6-10", "11-20", "21-50", ">50", "all"];

/// Figures of a kind of list: its regrets and its share of top categories.
const OWN: usize = CUTS.len() + 1;

/// How the walk went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Interactions of the world, to the limit.
    pub interactions: usize,
    /// Interactions learned.
    pub learned: usize,
    /// Epochs closed.
    pub epochs: u64,
    /// Stopped before the world's end.
    pub interrupted: bool,
    /// Worker threads.
    pub workers: usize,
    /// What learning and making lists took, without making the world and valuing the lists.
    pub cost: Cost,
}

/// All figures of a measurement.
pub struct Report {
    /// The world.
    pub world: World,
    /// Each so many-th user was asked about.
    pub every: u64,
    /// How it went.
    pub facts: Facts,
    /// Lists.
    pub lists: usize,
    /// Users who got one.
    pub users: usize,
    /// By group.
    pub groups: Vec<Group>,
}

/// The figures of users of an age.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Lists.
    pub lists: u64,
    /// Users.
    pub users: u64,
    /// By kind.
    pub kinds: [Figures; Kind::ALL.len()],
}

/// What lists of a kind are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// By cut; `None` without a list.
    pub regret: [Option<Estimate>; CUTS.len()],
    /// Share of top categories.
    pub categories: Option<Estimate>,
}

impl Report {
    /// Computes the figures. The seed of the resampling is the world's.
    #[must_use]
    pub fn of(world: World, every: u64, facts: Facts, judged: &[Judged]) -> Self {
        const PER_GROUP: usize = OWN * Kind::ALL.len();
        let mut users: BTreeMap<u64, UserSums> = BTreeMap::new();
        for one in judged {
            let own = users.entry(one.user.0).or_insert_with(|| UserSums {
                sums: vec![0.0; PER_GROUP * GROUPS.len()],
                counts: vec![0; GROUPS.len()],
            });
            let values: Vec<f64> = Kind::ALL
                .into_iter()
                .flat_map(|kind| one.regret[kind as usize].into_iter().chain([one.categories[kind as usize]]))
                .collect();
            let is_in = |(from, to): (u64, u64)| (from..=to).contains(&one.age);
            for (group, _) in GROUPS.into_iter().enumerate().filter(|(_, ages)| is_in(*ages)) {
                own.counts[group] += 1;
                let sums = &mut own.sums[group * PER_GROUP..][..PER_GROUP];
                sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
            }
        }
        let users: Vec<UserSums> = users.into_values().collect();
        let means = bootstrap::means(&users, PER_GROUP, RESAMPLES, world.seed);
        let groups = (0..GROUPS.len())
            .map(|group| Group {
                lists: users.iter().map(|user| user.counts[group]).sum(),
                users: users.iter().filter(|user| user.counts[group] > 0).count() as u64,
                kinds: Kind::ALL.map(|kind| {
                    let of =
                        |n: usize| means.get(group * PER_GROUP + kind as usize * OWN + n).copied().flatten();
                    Figures { regret: std::array::from_fn(of), categories: of(CUTS.len()) }
                }),
            })
            .collect();
        Self { world, every, facts, lists: judged.len(), users: users.len(), groups }
    }

    /// The plot by age: regret of the first ten places, and the share of top categories.
    #[must_use]
    pub fn chart(&self) -> Chart {
        let ages = GROUPS.len() - 1;
        let groups = || self.groups.iter().take(ages);
        let value = |e: Option<Estimate>| e.map(|e| e.value);
        let regret = |kind: Kind| Line {
            name: format!("regret@{}, {}", CUTS[0], kind.as_str()),
            values: groups().map(|group| value(group.kinds[kind as usize].regret[0])).collect(),
        };
        let categories = |kind: Kind| Line {
            name: format!("top categories, {}", kind.as_str()),
            values: groups().map(|group| value(group.kinds[kind as usize].categories)).collect(),
        };
        let at = |n: usize| (n as f64 + 0.5) / ages as f64;
        let names = || GROUP_NAMES.into_iter().take(ages).enumerate();
        let world = &self.world;
        Chart {
            title: format!(
                "Regret and taste discovery by age: {} users, {} videos, {} interactions, seed {}",
                world.users, world.videos, world.events, world.seed
            ),
            x_title: "interactions of the user so far".to_owned(),
            marks: names().map(|(n, name)| (at(n), name.to_owned())).collect(),
            points: names()
                .zip(groups())
                .map(|((n, name), group)| Point {
                    at: at(n),
                    label: format!("{name} interactions"),
                    number: group.lists,
                })
                .collect(),
            lines: vec![
                regret(Kind::Off),
                regret(Kind::On),
                regret(Kind::Random),
                categories(Kind::Off),
                categories(Kind::On),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::UserId;

    fn judged(user: u64, age: u64, regret: f64, categories: f64) -> Judged {
        Judged {
            user: UserId(user),
            age,
            regret: [[regret, regret / 2.0], [regret; 2], [0.6; 2], [0.0; 2]],
            categories: [categories, categories, 0.1, 0.9],
        }
    }

    #[test]
    fn each_age_has_its_group_and_all_are_in_the_last() {
        let facts = Facts {
            interactions: 9,
            learned: 9,
            epochs: 9,
            interrupted: false,
            workers: 1,
            cost: Cost::default(),
        };
        let lists =
            [judged(1, 0, 0.5, 0.2), judged(2, 0, 0.3, 0.4), judged(1, 2, 0.1, 0.6), judged(1, 51, 0.1, 0.8)];
        let report = Report::of(World::new(2, 3, 9, 7), 1, facts, &lists);
        let counts: Vec<u64> = report.groups.iter().map(|group| group.lists).collect();
        assert_eq!((counts, report.users, report.groups[7].users), (vec![2, 1, 0, 0, 0, 0, 1, 4], 2, 2));
        let value = |group: usize, kind: Kind| {
            report.groups[group].kinds[kind as usize].regret.map(|e| e.map(|e| e.value))
        };
        assert_eq!(value(0, Kind::Off), [Some(0.4), Some(0.2)]);
        assert_eq!((value(2, Kind::Off), value(7, Kind::Best)), ([None; 2], [Some(0.0); 2]));
        let share = report.groups[0].kinds[Kind::On as usize].categories.expect("two lists");
        assert!((share.value - 0.3).abs() < 1e-12 && (share.low, share.high) == (0.2, 0.4));
        let chart = report.chart();
        assert_eq!((chart.points.len(), chart.lines.len()), (7, 5));
        assert_eq!(chart.lines[0].values[..3], [Some(0.4), Some(0.1), None]);
    }

    #[test]
    fn every_age_is_in_one_group() {
        for age in 0..100 {
            let own = GROUPS[..7].iter().filter(|(from, to)| (*from..=*to).contains(&age)).count();
            assert_eq!(own, 1, "{age}");
        }
    }
}
