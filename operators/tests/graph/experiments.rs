//! Experiments against the log: at each publication the sums of every arm are counted anew from all records, and the lists of an
//! arm are those that a graph with its parameters would make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_operators::experiments::settings::find;
use freshet_operators::experiments::{Arm, Experiment, Metric, Value as Set};
use freshet_operators::params::{DAY, MINUTE, Params};
use freshet_operators::row::Row;
use freshet_operators::runtime::EpochInput;
use freshet_schema::event::{Event, Origin, ServedItem, Target};
use freshet_schema::feed::{self, ExperimentsRecord};
use freshet_schema::store::Value;
use freshet_schema::{Delete, Epoch, EventId, Interaction, Millis, Served, UserId, VideoId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::abuse::Judge;
use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::interrupted::{interrupt, with_pages};
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

/// Three experiments over few users: two hold everybody, one half of them and counts from later on.
pub fn with_experiments(mut params: Params) -> Params {
    let weights = [("ranking.watch", Set::Real(0.0)), ("ranking.fast_skip", Set::Real(3.0))];
    let rules = [("feed.per_category", Set::Count(1)), ("rerank.novelty_share", Set::Real(0.3))];
    let pool = |pool: usize| [("rerank.draw_pool", Set::Count(pool))];
    params.experiments = Arc::from([
        experiment("weights", 1.0, 0, vec![arm("control", 0.5, &[]), arm("calm", 0.5, &weights)]),
        experiment(
            "rules",
            0.6,
            world::START - DAY,
            vec![arm("control", 0.4, &[]), arm("strict", 0.3, &rules), arm("alike", 0.3, &[])],
        ),
        experiment(
            "pools",
            1.0,
            world::START - DAY,
            vec![arm("two", 0.5, &pool(2)), arm("five", 0.5, &pool(5))],
        ),
    ]);
    params
}

/// What users have done and were served, by the plainest of ways.
struct Known {
    rows: Vec<(u64, Row)>,
    pages: BTreeSet<(u64, u64, Vec<u64>)>,
    /// User, time of the page, place, and what stands there.
    places: BTreeSet<(u64, u64, u32, Place)>,
}

/// What drew a place from how many candidates, which of them it got, and which video that was.
type Place = (String, u64, u64, u64);

/// What a user's places earned; how many there are, their weights and their weighted rewards; and the squares of the weights.
type Own = (u64, [u128; 3], u128);

/// Sums for a policy by name, the number of candidates of the measured one, and a half of the users.
type Sums = BTreeMap<(String, u32, u32), (Vec<u64>, Vec<u128>)>;

impl Known {
    /// What counts of it.
    fn of(epochs: &[EpochInput], params: &Params, views: &Views, judge: &mut Judge, epoch: u64) -> Self {
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        let mut rows = oracle.rows(epoch);
        if params.abuse.enabled {
            judge.epoch(&rows, oracle.now(epoch), params);
            rows = judge.counted(rows);
        }
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
            Event::Served(page) if judge.covers(page.user_id.0, page.event_time.0) => None,
            Event::Served(page) if !forgotten(page.user_id.0, page.event_time.0) => {
                let videos = page.items.iter().map(|item| item.video_id.0).collect();
                Some((page.user_id.0, page.event_time.0, videos))
            }
            _ => None,
        });
        let gone = |video: u64, time: u64| {
            events().any(|event| match event {
                Event::Delete(delete) => match delete.target {
                    Target::Video { video_id } => video_id.0 == video && time <= delete.event_time.0,
                    _ => false,
                },
                _ => false,
            })
        };
        let mut places = BTreeSet::new();
        for event in events() {
            let Event::Served(page) = event else { continue };
            let (user, time) = (page.user_id.0, page.event_time.0);
            let counts = page.list_epoch.0 > 0 && !forgotten(user, time) && !judge.covers(user, time);
            for item in page.items.iter().filter(|_| counts) {
                let from = (1.0 / item.propensity).round() as u64;
                let ours = ["novelty", "popular", "explore"].contains(&item.slot_policy.as_str());
                if ours && item.drawn > 0 && u64::from(item.drawn) <= from && !gone(item.video_id.0, time) {
                    let place = (item.slot_policy.clone(), from, u64::from(item.drawn), item.video_id.0);
                    places.insert((user, time, item.position, place));
                }
            }
        }
        Self { rows, pages: pages.collect(), places }
    }

    /// What the drawn places of an arm's users must come to, in millionths where they are weights.
    fn draws(&self, params: &Params, experiment: usize, arm: usize) -> Sums {
        let of = &params.experiments[experiment];
        let own_pool = pool_of(params, of, arm);
        let pools = (0..of.arms.len()).map(|arm| pool_of(params, of, arm));
        let differ = of.name == "pools";
        let others: BTreeSet<u64> = pools.filter(|pool| differ && *pool < own_pool).chain([0, 1]).collect();
        let users: BTreeSet<u64> = self.places.iter().map(|place| place.0).collect();
        let mut sums = Sums::new();
        for user in users.into_iter().filter(|user| of.arm_of(params.seed, *user) == Some(arm)) {
            let half = u32::from(freshet_operators::experiments::draws::half(params.seed, user));
            let mut own: BTreeMap<(String, u32, u32), Own> = BTreeMap::new();
            for (_, time, _, (policy, from, rank, video)) in
                self.places.iter().filter(|place| place.0 == user)
            {
                if *time < of.since {
                    continue;
                }
                let until = time + params.interest.session_gap;
                let reward = u64::from(self.rows.iter().any(|(who, row)| {
                    *who == user
                        && row.content.video == *video
                        && (*time..=until).contains(&row.time)
                        && row.completed() == Some(true)
                }));
                for best in others.iter().filter(|best| policy != "popular" || **best < 2) {
                    let weight = match best {
                        0 => 1e6,
                        best if rank > best => 0.0,
                        best => (*from as f64 * 1e6 / *(best.min(from)) as f64).round(),
                    } as u128;
                    let (earned, [p, w, x], squares) =
                        own.entry((policy.clone(), *best as u32, half)).or_default();
                    *earned += reward;
                    (*p, *w, *x) = (*p + 1, *w + weight, *x + weight * u128::from(reward));
                    *squares += weight * weight;
                }
            }
            for (key, (earned, [p, w, x], squares)) in own {
                let (counts, products) = sums.entry(key).or_insert_with(|| (vec![0; 5], vec![0; 7]));
                let add = [1, p as u64, earned, w as u64, x as u64];
                counts.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
                let add = [squares, p * p, p * w, p * x, w * w, w * x, x * x];
                products.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
            }
        }
        sums
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

/// From how many candidates the lists of an arm's users are drawn.
fn pool_of(params: &Params, of: &Experiment, arm: usize) -> u64 {
    let mut own = params.clone();
    of.arms[arm].sets.iter().for_each(|(setting, value)| setting.set(&mut own, *value));
    own.rerank.draw_pool as u64
}

fn said(arm: &feed::Arm) -> (u64, Vec<(String, u64, i64, u128)>) {
    let metric = |m: &feed::MetricSums| {
        (m.name.clone(), m.users, m.sum, u128::from(m.squares_high) << 64 | u128::from(m.squares_low))
    };
    (arm.users, arm.metrics.iter().map(metric).collect())
}

fn said_of_draws(arm: &feed::Arm) -> Sums {
    let one = |of: &feed::DrawSums| {
        let policy = of.policy().as_str_name().trim_start_matches("SLOT_POLICY_").to_lowercase();
        let products =
            of.products.chunks(2).map(|words| u128::from(words[0]) << 64 | u128::from(words[1])).collect();
        let counts = vec![of.users, of.places, of.earned, of.weights, of.weighted];
        ((policy, of.best, of.half), (counts, products))
    };
    arm.draws.iter().map(one).collect()
}

fn record(output: &EpochOutput) -> Option<ExperimentsRecord> {
    let key = "experiments:all";
    match decoded(key, output.changes.get(key)?.as_ref()?) {
        Value::Experiments(record) => Some(record),
        other => panic!("{other:?}"),
    }
}

/// What checks met.
#[derive(Default)]
struct Met {
    /// Users of an arm at the most.
    most: u64,
    /// How often an arm lost views.
    losses: usize,
    /// How often drawn places had earned, counted for another draw than the one that was.
    earned: usize,
    /// How often an arm lost drawn places.
    undrawn: usize,
}

/// Checks each record.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> Met {
    let (mut views, mut judge, mut met) = (Views::default(), Judge::default(), Met::default());
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
            let known = Known::of(epochs, params, &views, &mut judge, input.epoch.0);
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
                    let draws = said_of_draws(arm);
                    assert_eq!(
                        draws,
                        known.draws(params, n, a),
                        "draws of {}/{} at {}",
                        experiment.name,
                        arm.name,
                        input.epoch
                    );
                    met.most = met.most.max(arm.users);
                    met.earned +=
                        draws.iter().filter(|((_, best, _), (counts, _))| *best > 1 && counts[4] > 0).count();
                    let then = before.as_ref().map(|record| &record.experiments[n].arms[a]);
                    let places = |arm: &feed::Arm| {
                        arm.draws.iter().filter(|of| of.best == 0).map(|of| of.places).sum::<u64>()
                    };
                    met.losses +=
                        usize::from(then.is_some_and(|then| then.metrics[1].sum > arm.metrics[1].sum));
                    met.undrawn += usize::from(then.is_some_and(|then| places(then) > places(arm)));
                }
            }
        } else {
            assert!(!input.remake.is_empty() && Some(&record) == before.as_ref(), "written again as it was");
        }
        before = Some(record);
    }
    met
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_of_arms_are_those_of_the_log(
        steps in world::steps(),
        seed in any::<u64>(),
        learns in any::<bool>(),
        judges in any::<bool>(),
    ) {
        let epochs = with_pages(world::epochs(&steps), seed);
        let params = if judges { world::with_abuse(world::params()) } else { world::params() };
        let mut params = with_experiments(params);
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
    let (mut most, mut losses, mut differ, mut earned, mut undrawn) = (0, 0, 0, 0, 0);
    for seed in 0..24 {
        let steps = world::steps().new_tree(&mut runner).expect("a world").current();
        let epochs = with_pages(world::epochs(&steps), seed);
        let params = with_experiments(world::params());
        let outputs = run(&epochs, 1, &params);
        let found = check(&epochs, &params, &outputs);
        (most, losses) = (most.max(found.most), losses + found.losses);
        (earned, undrawn) = (earned + found.earned, undrawn + found.undrawn);
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
    assert!(earned > 5, "{earned} times a drawn place had earned");
    assert!(undrawn > 5, "in {undrawn} publications an arm had lost drawn places");
    assert!(differ > 5, "in {differ} worlds an arm's lists were others than everybody's");
}

/// Somebody likes blindly, is flagged, and takes it all back, row by row: the flag falls, no row is left that could say so, and the page
/// that they were served since counts, with and without a restart.
#[test]
fn who_took_all_back_is_in_the_arm_again() {
    let mut params = world::with_abuse(with_experiments(world::params()));
    params.score.publish_every = 20 * MINUTE;
    let at = |n: u64| Millis(world::START + n * 21 * MINUTE);
    let like = |id: u64| {
        Event::Interaction(Interaction {
            event_id: EventId(id),
            event_time: Millis(at(1).0 + id),
            user_id: UserId(1),
            video_id: VideoId(id),
            watch_ms: Some(100),
            duration_ms: Some(10_000),
            like: true,
            ..Interaction::default()
        })
    };
    let back = |id: u64| {
        let target = Target::Interaction { user_id: UserId(1), target_event_id: EventId(id) };
        Event::Delete(Delete { event_id: EventId(100 + id), revision: 0, event_time: at(4), target })
    };
    let page = Event::Served(Served {
        event_id: EventId(50),
        event_time: at(3),
        user_id: UserId(1),
        items: vec![ServedItem {
            video_id: VideoId(7),
            position: 0,
            propensity: 1.0,
            ..ServedItem::default()
        }],
        ..Served::default()
    });
    let events = [
        Vec::new(),
        (1..=4).map(like).collect(),
        Vec::new(),
        vec![page],
        (1..=4).map(back).collect(),
        Vec::new(),
        Vec::new(),
    ];
    let mut offset = 0;
    let epochs = (0..).zip(events).map(|(n, events)| {
        let records = events.into_iter().map(|event| {
            offset += 1;
            (Origin { partition: 0, offset }, event)
        });
        EpochInput {
            epoch: Epoch(n + 1),
            now: at(n),
            records: records.collect(),
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        }
    });
    let epochs: Vec<EpochInput> = epochs.collect();
    let outputs = run(&epochs, 2, &params);
    check(&epochs, &params, &outputs);
    let users = |epoch: u64| record(&outputs[&epoch]).expect("a publication").experiments[0].clone();
    let users = |epoch: u64| users(epoch).arms.iter().map(|arm| arm.users).sum::<u64>();
    assert_eq!((users(3), users(4), users(7)), (0, 0, 1), "flagged, served a page, and free again");
    for at in 3..7 {
        interrupt(&epochs, &params, &[at], &[1, 2]);
    }
}

/// A graph without experiments says nothing of any, and one whose experiments have ended takes the record away once.
#[test]
fn without_experiments_nothing_is_said() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = world::steps().new_tree(&mut runner).expect("a world").current();
    let outputs = run(&with_pages(world::epochs(&steps), 1), 2, &world::params());
    assert!(outputs.values().all(|output| !output.changes.contains_key("experiments:all")));
}
