//! Experiments against the log: at each publication the sums of every arm are counted anew from all records, and the lists of an
//! arm are those that a graph with its parameters would make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_operators::experiments::settings::find;
use freshet_operators::experiments::{Arm, Experiment, Metric, Value as Set};
use freshet_operators::params::{DAY, Params};
use freshet_operators::row::Row;
use freshet_operators::runtime::EpochInput;
use freshet_schema::event::{Event, Target};
use freshet_schema::feed::{self, ExperimentsRecord};
use freshet_schema::store::Value;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::interrupted::with_pages;
use crate::oracle::Oracle;
use crate::properties::Views;
use crate::world;

fn arm(name: &str, share: f64, sets: &[(&str, Set)]) -> Arm {
    let sets = sets.iter().map(|(key, value)| (find(key).expect("it ranks"), *value)).collect();
    Arm { name: name.to_owned(), share, sets }
}

fn experiment(name: &str, share: f64, since: u64, arms: Vec<Arm>) -> Experiment {
    Experiment { name: name.to_owned(), salt: name.to_owned(), share, since, alpha: 0.05, min_users: 2, arms }
}

/// Two experiments over few users: one holds everybody, the other half of them and counts from later on.
pub fn with_experiments(mut params: Params) -> Params {
    let weights = [("ranking.watch", Set::Real(0.0)), ("ranking.fast_skip", Set::Real(3.0))];
    let rules = [("feed.per_category", Set::Count(1)), ("rerank.novelty_share", Set::Real(0.3))];
    params.experiments = Arc::from([
        experiment("weights", 1.0, 0, vec![arm("control", 0.5, &[]), arm("calm", 0.5, &weights)]),
        experiment(
            "rules",
            0.6,
            world::START - DAY,
            vec![arm("control", 0.4, &[]), arm("strict", 0.3, &rules), arm("alike", 0.3, &[])],
        ),
    ]);
    params
}

/// What users have done and were served, by the plainest of ways.
struct Known {
    rows: Vec<(u64, Row)>,
    pages: BTreeSet<(u64, u64, Vec<u64>)>,
}

impl Known {
    fn of(epochs: &[EpochInput], params: &Params, views: &Views, epoch: u64) -> Self {
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        let events =
            || epochs.iter().filter(|e| e.epoch.0 <= epoch).flat_map(|e| &e.records).map(|(_, event)| event);
        let forgotten = |user: u64, time: u64| {
            events().any(|event| match event {
                Event::Delete(delete) => match delete.target {
                    Target::User { user_id } => user_id.0 == user && time <= delete.event_time.0,
                    _ => false,
                },
                _ => false,
            })
        };
        let pages = events().filter_map(|event| match event {
            Event::Served(page) if !forgotten(page.user_id.0, page.event_time.0) => {
                let videos = page.items.iter().map(|item| item.video_id.0).collect();
                Some((page.user_id.0, page.event_time.0, videos))
            }
            _ => None,
        });
        Self { rows: oracle.rows(epoch), pages: pages.collect() }
    }

    /// A user's numbers, by name.
    fn numbers(&self, user: u64, since: u64, gap: u64) -> BTreeMap<&'static str, i64> {
        let mut rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|(who, row)| *who == user && row.time >= since)
            .map(|(_, row)| row)
            .collect();
        rows.sort_by_key(|row| (row.time, row.id));
        let pages = self.pages.iter().filter(|(who, time, _)| *who == user && *time >= since).count() as i64;
        let mut numbers = BTreeMap::new();
        if rows.is_empty() && pages == 0 {
            return numbers;
        }
        let (mut watched, mut likes, mut days, mut categories) = (0, 0, BTreeSet::new(), BTreeSet::new());
        let (mut completed, mut skipped) = ((0, 0), (0, 0));
        let mut sessions: Vec<(u64, u64)> = Vec::new();
        for row in &rows {
            watched += row.watch_ms().map_or(0, i64::from);
            likes += i64::from(row.is(Row::LIKE));
            days.insert(row.time / DAY);
            if row.content.known {
                categories.insert(row.content.category);
            }
            for (share, signal) in [(&mut completed, row.completed()), (&mut skipped, row.skipped())] {
                if let Some(yes) = signal {
                    *share = (share.0 + i64::from(yes), share.1 + 1);
                }
            }
            match sessions.last_mut() {
                Some((_, last)) if row.time - *last <= gap => *last = row.time,
                _ => sessions.push((row.time, row.time)),
            }
        }
        numbers.extend([
            ("pages", pages),
            ("views", rows.len() as i64),
            ("watch_ms", watched),
            ("likes", likes),
        ]);
        numbers.insert("categories", categories.len() as i64);
        numbers.insert("returning", if days.len() >= 2 { 1_000_000 } else { 0 });
        for (name, (yes, known)) in [("completion", completed), ("skips", skipped)] {
            if known > 0 {
                numbers.insert(name, yes * 1_000_000 / known);
            }
        }
        if !sessions.is_empty() {
            let length: u64 = sessions.iter().map(|(first, last)| last - first).sum();
            numbers.insert("session_ms", (length / sessions.len() as u64) as i64);
        }
        numbers
    }

    /// What the record of an arm must say.
    fn arm(&self, params: &Params, experiment: usize, arm: usize) -> (u64, Vec<(String, u64, i64, u128)>) {
        let of = &params.experiments[experiment];
        let users: BTreeSet<u64> =
            self.rows.iter().map(|(user, _)| *user).chain(self.pages.iter().map(|page| page.0)).collect();
        let mine = users.into_iter().filter(|user| of.arm_of(params.seed, *user) == Some(arm));
        let numbers: Vec<BTreeMap<&str, i64>> = mine
            .map(|user| self.numbers(user, of.since, params.interest.session_gap))
            .filter(|numbers| !numbers.is_empty())
            .collect();
        let metrics = Metric::ALL.map(|metric| {
            let own: Vec<i64> =
                numbers.iter().filter_map(|numbers| numbers.get(metric.name()).copied()).collect();
            let squares = own.iter().map(|x| u128::from(x.unsigned_abs()).pow(2)).sum();
            (metric.name().to_owned(), own.len() as u64, own.iter().sum(), squares)
        });
        (numbers.len() as u64, metrics.to_vec())
    }
}

fn said(arm: &feed::Arm) -> (u64, Vec<(String, u64, i64, u128)>) {
    let metric = |m: &feed::MetricSums| {
        (m.name.clone(), m.users, m.sum, u128::from(m.squares_high) << 64 | u128::from(m.squares_low))
    };
    (arm.users, arm.metrics.iter().map(metric).collect())
}

fn record(output: &EpochOutput) -> Option<ExperimentsRecord> {
    let key = "experiments:all";
    match decoded(key, output.changes.get(key)?.as_ref()?) {
        Value::Experiments(record) => Some(record),
        other => panic!("{other:?}"),
    }
}

/// Checks each record; how many users it found at the most, and how often an arm lost something.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> (u64, usize) {
    let (mut views, mut most, mut losses) = (Views::default(), 0, 0);
    let mut before: Option<ExperimentsRecord> = None;
    for input in epochs {
        let nothing = EpochOutput::default();
        let output = outputs.get(&input.epoch.0).unwrap_or(&nothing);
        views.apply(input.epoch.0, output);
        let published = views.published.contains_key(&input.epoch.0);
        let Some(record) = record(output) else {
            assert!(!published, "nothing is said at the publication of epoch {}", input.epoch);
            continue;
        };
        if record.epoch == input.epoch.0 {
            let known = Known::of(epochs, params, &views, input.epoch.0);
            assert_eq!(record.now_ms, input.now.0);
            for (n, experiment) in record.experiments.iter().enumerate() {
                for (a, arm) in experiment.arms.iter().enumerate() {
                    assert_eq!(
                        said(arm),
                        known.arm(params, n, a),
                        "{}/{} at {}",
                        experiment.name,
                        arm.name,
                        input.epoch
                    );
                    most = most.max(arm.users);
                    let then = before.as_ref().map(|record| &record.experiments[n].arms[a]);
                    losses += usize::from(then.is_some_and(|then| then.metrics[1].sum > arm.metrics[1].sum));
                }
            }
        } else {
            assert!(!input.remake.is_empty() && Some(&record) == before.as_ref(), "written again as it was");
        }
        before = Some(record);
    }
    (most, losses)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_of_arms_are_those_of_the_log(steps in world::steps(), seed in any::<u64>(), learns in any::<bool>()) {
        let epochs = with_pages(world::epochs(&steps), seed);
        let mut params = with_experiments(world::params());
        params.learning.enabled = learns;
        let outputs = run(&epochs, 1, &params);
        check(&epochs, &params, &outputs);
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&store(&other), &store(&outputs)), None, "{} workers", workers);
        }
    }

    /// Nothing that is learned: what one user is shown must not change what another is.
    #[test]
    fn an_arms_lists_are_made_with_its_parameters(steps in world::steps()) {
        let epochs = world::epochs(&steps);
        let mut base = world::params();
        base.learning.enabled = false;
        let mut params = with_experiments(base.clone());
        let mut both = params.experiments.to_vec();
        both.truncate(1);
        params.experiments = both.into();
        let mut calm = base.clone();
        for (setting, value) in &params.experiments[0].arms[1].sets {
            setting.set(&mut calm, *value);
        }
        let stores = [&params, &base, &calm].map(|params| store(&run(&epochs, 1, params)));
        for (key, bytes) in stores[0].iter().filter(|(key, _)| key.starts_with("feed:")) {
            let Value::Feed(mut list) = decoded(key, bytes) else { panic!("{key} is no list") };
            let arm = params.experiments[0].arm_of(params.seed, list.user_id).expect("everybody is in it");
            let name = ["weights/control", "weights/calm"][arm];
            prop_assert_eq!(std::mem::take(&mut list.arms), [name]);
            let expected = decoded(key, &stores[1 + arm][key]);
            prop_assert_eq!(Value::Feed(list), expected, "{} of {}", key, name);
        }
    }
}

#[test]
fn the_worlds_test_something() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut most, mut losses, mut differ) = (0, 0, 0);
    for seed in 0..24 {
        let steps = world::steps().new_tree(&mut runner).expect("a world").current();
        let epochs = with_pages(world::epochs(&steps), seed);
        let params = with_experiments(world::params());
        let outputs = run(&epochs, 1, &params);
        let found = check(&epochs, &params, &outputs);
        (most, losses) = (most.max(found.0), losses + found.1);
        let lists = |outputs: &BTreeMap<u64, EpochOutput>| -> Vec<Vec<u64>> {
            let lists = store(outputs).into_iter().filter(|(key, _)| key.starts_with("feed:"));
            let items = lists.map(|(key, bytes)| match decoded(&key, &bytes) {
                Value::Feed(list) => list.items.iter().map(|item| item.video_id).collect(),
                other => panic!("{other:?}"),
            });
            items.collect()
        };
        differ += usize::from(lists(&outputs) != lists(&run(&epochs, 1, &world::params())));
    }
    assert!(most >= 2, "arms have at most {most} users");
    assert!(losses > 5, "in {losses} publications an arm had lost something");
    assert!(differ > 5, "in {differ} worlds an arm's lists were others than everybody's");
}

/// A graph without experiments says nothing of any, and one whose experiments have ended takes the record away once.
#[test]
fn without_experiments_nothing_is_said() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = world::steps().new_tree(&mut runner).expect("a world").current();
    let outputs = run(&with_pages(world::epochs(&steps), 1), 2, &world::params());
    assert!(outputs.values().all(|output| !output.changes.contains_key("experiments:all")));
}
