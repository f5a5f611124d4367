//! Flags against a judge who reads the log, and sums against the rows of those who are not flagged; and attacks that are found.

use std::collections::{BTreeMap, BTreeSet};

use freshet_operators::abuse::Signals;
use freshet_operators::abuse::video::{hashed, sketch};
use freshet_operators::examples::Described;
use freshet_operators::graph::Tap;
use freshet_operators::params::{Abuse, Explore, HOUR, MINUTE, Params, SECOND};
use freshet_operators::request::Purpose;
use freshet_operators::row::Row;
use freshet_operators::runtime::EpochInput;
use freshet_operators::shelf::Shelf;
use freshet_operators::sums::WindowSums;
use freshet_schema::event::{Event, Origin, Status, Target};
use freshet_schema::store::{Key, Value};
use freshet_schema::{CreatorId, Delete, Epoch, EventId, Interaction, Millis, Upload, UserId, VideoId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::oracle::Oracle;
use crate::properties::{Views, describe, fresh_shelf};
use crate::world::{self, START};

/// Who was in a burst: video, number of the stretch.
type Bursts = BTreeMap<(u64, u64), BTreeSet<u64>>;

/// Judges from all rows that survive, at each publication.
#[derive(Default)]
pub struct Judge {
    /// As of the publication before.
    bursts: Bursts,
    signals: BTreeMap<u64, Signals>,
    flags: BTreeSet<u64>,
    /// What was judged of a user's time, one verdict after another: from, to, and whether it is withheld.
    verdicts: BTreeMap<u64, Vec<(u64, u64, bool)>>,
    factors: BTreeMap<u64, u16>,
    published: Option<u64>,
}

fn engaged(row: &Row) -> bool {
    [Row::LIKE, Row::SHARE, Row::COMMENT, Row::FOLLOW].into_iter().any(|flag| row.is(flag))
}

impl Judge {
    /// Whether others do not see what a user did at a time: all of who is flagged, and else what the last verdict on it says.
    pub fn covers(&self, user: u64, time: u64) -> bool {
        let verdicts = self.verdicts.get(&user).into_iter().flatten();
        let last = verdicts.rev().find(|(from, to, _)| (*from..=*to).contains(&time));
        self.flags.contains(&user) || last.is_some_and(|(.., withheld)| *withheld)
    }

    /// The rows that others see.
    pub fn counted(&self, mut rows: Vec<(u64, Row)>) -> Vec<(u64, Row)> {
        rows.retain(|(user, row)| !self.covers(*user, row.time));
        rows
    }

    pub fn flagged(&self, params: &Params) -> BTreeSet<u64> {
        let above = |(_, signals): &(&u64, &Signals)| signals.score() > params.abuse.threshold;
        self.signals.iter().filter(above).map(|(user, _)| *user).collect()
    }

    fn user(&self, user: u64, rows: &[&Row], now: u64, params: &Params) -> Signals {
        let abuse = &params.abuse;
        let last = rows.iter().map(|row| row.time).max().unwrap_or(0);
        if now > last + abuse.window {
            return Signals::default();
        }
        let rows: Vec<&&Row> = rows.iter().filter(|row| row.time + abuse.window > last).collect();
        let likes: Vec<&&&Row> = rows.iter().filter(|row| engaged(row)).collect();
        let busy = likes.iter().any(|first| {
            let soon = |other: &&&&&Row| (first.time..first.time + MINUTE).contains(&other.time);
            likes.iter().filter(soon).count() >= abuse.per_minute
        });
        let blind = likes
            .iter()
            .filter(|row| row.skipped() == Some(true) || row.watched().is_some_and(|part| part < 100))
            .count();
        let known = rows.iter().filter(|row| row.skipped().is_some()).count();
        let skipped = rows.iter().filter(|row| row.skipped() == Some(true)).count();
        let enough = likes.len() >= abuse.least;
        let all_likes = likes.len() as f64 >= abuse.farming_share * rows.len() as f64;
        // With the same other one, by any of the hashes that speak for the members.
        let together = (0..8).any(|n| {
            let theirs = self.bursts.iter().filter(|(_, users)| users.contains(&user));
            let mut videos: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
            for ((video, _), users) in theirs {
                let least = users.iter().map(|user| hashed(*user)[n]).min().expect("nobody is in no burst");
                if least != hashed(user)[n] {
                    videos.entry(least).or_default().insert(*video);
                }
            }
            videos.values().any(|videos| videos.len() >= abuse.ring_videos)
        });
        Signals::default()
            .with(Signals::BOT, busy || enough && blind as f64 >= abuse.unwatched_share * likes.len() as f64)
            .with(Signals::FARMING, enough && all_likes && known >= abuse.least && skipped * 50 <= known)
            .with(Signals::COORDINATED, together)
    }

    fn video(&self, engagements: &[(u64, u64)], bursts: &[BTreeSet<u64>], now: u64, params: &Params) -> u16 {
        let abuse = &params.abuse;
        let users: BTreeSet<u64> = engagements.iter().map(|(_, user)| *user).collect();
        let of = |user: &u64| self.signals.get(user).copied().unwrap_or_default();
        let suspects = |signal: Signals| users.iter().filter(|user| of(user).has(signal)).count();
        let many = |part: usize, of: usize| part as f64 >= abuse.suspect_share * of as f64;
        let few = engagements.len() >= 2 * abuse.least && users.len() * 3 <= engagements.len();
        let (bots, farmers) = (suspects(Signals::BOT), suspects(Signals::FARMING));
        let mut best = (0, 0);
        for burst in bursts {
            let members = burst.iter().filter(|user| of(user).has(Signals::COORDINATED)).count();
            best = best.max((members, burst.len()));
        }
        let signals = Signals::default()
            .with(Signals::BOT, bots >= 3 && many(bots, users.len()))
            .with(Signals::FARMING, few || farmers >= 3 && many(farmers, users.len()))
            .with(Signals::COORDINATED, best.0 >= abuse.ring_users && many(best.0, best.1));
        if signals.score() <= abuse.threshold {
            return 1000;
        }
        let speaks = |(_, user): &&(u64, u64)| few || !of(user).is_empty();
        let last = engagements.iter().filter(speaks).map(|(time, _)| *time).max().unwrap_or(0);
        let forgiven =
            freshet_schema::fixed::exp2(-(now.saturating_sub(last) as f64 / abuse.half_life as f64));
        ((1.0 - signals.score() * forgiven * abuse.penalty) * 1000.0).round() as u16
    }

    /// The end of an epoch, with the rows that survive.
    pub fn epoch(&mut self, rows: &[(u64, Row)], now: u64, params: &Params) {
        let number = now / params.score.publish_every;
        if self.published.is_some_and(|published| number <= published) {
            return;
        }
        self.published = Some(number);
        let mut by_user: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
        for (user, row) in rows {
            by_user.entry(*user).or_default().push(row);
        }
        let judged = by_user.iter().map(|(user, rows)| (*user, self.user(*user, rows, now, params)));
        let judged = judged.filter(|(_, signals)| !signals.is_empty()).collect();
        let before = std::mem::replace(&mut self.signals, judged);
        let flags = self.flagged(params);
        let was = std::mem::replace(&mut self.flags, flags);
        for (user, rows) in &by_user {
            let last = rows.iter().map(|row| row.time).max().expect("who has none is not among them");
            let first = (last + 1).saturating_sub(params.abuse.window);
            let verdicts = self.verdicts.entry(*user).or_default();
            if self.flags.contains(user) {
                verdicts.push((first, last, true));
            } else if was.contains(user)
                && now <= last + params.abuse.window
                && !before[user].has(Signals::COORDINATED)
            {
                verdicts.push((first, u64::MAX, false));
            }
        }

        let mut videos: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        let inside = |row: &Row| engaged(row) && row.time >= now.saturating_sub(params.abuse.window);
        for (user, row) in rows.iter().filter(|(_, row)| inside(row)) {
            videos.entry(row.content.video).or_default().push((row.time, *user));
        }
        self.bursts.clear();
        self.factors.clear();
        for (video, engagements) in videos {
            let all: BTreeSet<u64> = engagements.iter().map(|(_, user)| *user).collect();
            let mut bursts: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
            for (time, user) in &engagements {
                // Each half of a stretch is also the other half of its neighbour.
                let half = time / (params.abuse.burst / 2);
                bursts.entry(half).or_default().insert(*user);
                bursts.entry(half - 1).or_default().insert(*user);
            }
            bursts.retain(|_, users| users.len() >= params.abuse.ring_users && users.len() * 10 >= all.len());
            let members: Vec<BTreeSet<u64>> = bursts.values().cloned().collect();
            let factor = self.video(&engagements, &members, now, params);
            if factor < 1000 {
                self.factors.insert(video, factor);
            }
            self.bursts.extend(bursts.into_iter().map(|(at, users)| ((video, at), users)));
        }
    }
}

/// What the graph says of signals and factors, added up.
#[derive(Default)]
struct Told {
    signals: BTreeMap<u64, Signals>,
    factors: BTreeMap<u64, u16>,
}

impl Told {
    fn apply(&mut self, output: &EpochOutput) {
        for tap in &output.taps {
            match tap {
                Tap::Suspect(user, signals) => drop(self.signals.insert(*user, *signals)),
                Tap::Penalty(video, factor) => drop(self.factors.insert(*video, *factor)),
                _ => {}
            }
        }
        self.signals.retain(|_, signals| !signals.is_empty());
        self.factors.retain(|_, factor| *factor < 1000);
    }
}

/// Compares every epoch; how many flags there were.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> usize {
    let (mut views, mut told, mut judge) = (Views::default(), Told::default(), Judge::default());
    let nothing = EpochOutput::default();
    let mut flags = 0;
    let mut described: BTreeMap<(u64, u64), Described> = BTreeMap::new();
    let mut earlier = Shelf::new(params.clone(), 0, 1);
    for input in epochs {
        let epoch = input.epoch.0;
        let output = outputs.get(&epoch).unwrap_or(&nothing);
        views.apply(epoch, output);
        told.apply(output);
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        let (now, rows) = (oracle.now(epoch), oracle.rows(epoch));
        judge.epoch(&rows, now, params);
        assert_eq!(told.signals, judge.signals, "signals of users at epoch {epoch}");
        assert_eq!(told.factors, judge.factors, "factors of videos at epoch {epoch}");
        let flagged = judge.flagged(params);
        flags += flagged.len() + judge.factors.len();
        let all = rows;
        let rows = judge.counted(all.clone());
        assert_eq!(views.rows(), rows, "rows that others see at epoch {epoch}");
        let mut sums = oracle.video_sums(&rows, now);
        sums.retain(|_, sums| *sums != WindowSums::default());
        assert_eq!(views.video_sums, sums, "video sums at epoch {epoch}");
        assert_eq!(views.popularity, oracle.popularity(&rows), "popularity at epoch {epoch}");
        assert_eq!(views.pairs, oracle.pairs(&rows), "pairs at epoch {epoch}");
        let (quick, attention) = oracle.attention(&rows);
        assert_eq!((&views.quick, &views.attention), (&quick, &attention), "attention at epoch {epoch}");
        if let Some(published) = views.published.get(&epoch) {
            let (expected, _) = oracle.publication(epoch, &rows);
            assert_eq!(published.cohorts, expected.cohorts, "baselines at epoch {epoch}");
            assert_eq!(published.skip_below, expected.skip_below, "skip thresholds at epoch {epoch}");
            let counts = |user: u64, row: &Row| !judge.covers(user, row.time);
            let heads = oracle.heads(published.version, &all, counts, &described, now);
            assert_eq!(*published.heads, heads, "heads at epoch {epoch}");
        }
        for tap in &output.taps {
            if let Tap::Request(request) = tap
                && let Purpose::Learn(event, _) = request.purpose
            {
                let said = describe(&mut earlier, epoch, request, params);
                described.insert((said.user, event), said);
            }
        }
        earlier = fresh_shelf(epoch, &views, &oracle);
    }
    flags
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn flags_and_sums_equal_the_batch_computation_at_every_epoch(steps in world::steps(), cohorts in any::<bool>()) {
        let mut params = world::with_abuse(world::params());
        if cohorts {
            params = world::with_cohorts(params);
        }
        let epochs = world::epochs(&steps);
        let one = run(&epochs, 1, &params);
        check(&epochs, &params, &one);
        let stored = store(&one);
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&stored, &store(&other)), None, "{} workers", workers);
            check(&epochs, &params, &other);
        }
    }
}

/// A world in which six accounts like four videos within minutes, and twenty others watch what there is.
fn attacked() -> Vec<EpochInput> {
    let at = |minutes: u64| START - START % HOUR + minutes * MINUTE;
    let mut offset = 0;
    let mut epoch = |number: u64, minutes: u64, events: Vec<Event>| {
        let records = events.into_iter().map(|event| {
            offset += 1;
            (Origin { partition: 0, offset }, event)
        });
        EpochInput {
            epoch: Epoch(number),
            now: Millis(at(minutes)),
            records: records.collect(),
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        }
    };
    let view = |user: u64, video: u64, time: u64, like: bool| {
        Event::Interaction(Interaction {
            event_id: EventId(time % 1_000_000_007),
            event_time: Millis(time),
            user_id: UserId(user),
            video_id: VideoId(video),
            watch_ms: Some(if like { 9_500 } else { 2_000 + user * 100 % 5_000 }),
            duration_ms: Some(10_000),
            skip: Some(!like && user.is_multiple_of(3)),
            like,
            ..Interaction::default()
        })
    };
    let uploads = (1..=20u64).map(|video| {
        Event::Upload(Upload {
            event_id: EventId(video),
            event_time: Millis(at(0)),
            video_id: VideoId(video),
            creator_id: CreatorId(video),
            created_at: Millis(at(0)),
            duration_ms: 10_000,
            caption: format!("video {video}"),
            category: Some(format!("category{}", video % 4)),
            status: Status::Ready,
            ..Upload::default()
        })
    });
    let mut epochs = vec![epoch(1, 1, uploads.collect())];
    for hour in 1..8u64 {
        let mut events = Vec::new();
        for user in 1..=20u64 {
            let video = 1 + (user + hour * 3) % 20;
            events.push(view(
                user,
                video,
                at(hour * 60 - 40) + user * SECOND,
                (user + hour).is_multiple_of(7),
            ));
        }
        // The ring: videos 17 to 20, one after another, beside what its accounts watch as others do.
        if hour <= 4 {
            for user in 101..=106u64 {
                events.push(view(user, 16 + hour, at(hour * 60 - 25) + user * SECOND, true));
                for more in 0..3 {
                    let time = at(hour * 60 - 55) + user * SECOND + more * MINUTE;
                    events.push(view(user, 1 + (user + more + hour) % 12, time, false));
                }
            }
        }
        epochs.push(epoch(2 * hour, hour * 60 - 10, events));
        epochs.push(epoch(2 * hour + 1, hour * 60 + 1, vec![view(1, 1, at(hour * 60), false)]));
    }
    epochs
}

#[test]
fn a_ring_is_found_withheld_and_let_go_again() {
    let mut params = world::params();
    params.feed.length = 20;
    params.candidates.trending = 40;
    params.score.publish_every = HOUR;
    params.abuse.enabled = true;
    params.abuse.window = 12 * HOUR;
    let epochs = attacked();
    let outputs = run(&epochs, 2, &params);
    assert!(check(&epochs, &params, &outputs) > 0);
    let mut told = Told::default();
    outputs.values().for_each(|output| told.apply(output));
    let found: Vec<u64> = told.signals.keys().copied().collect();
    assert_eq!(found, (101..=106).collect::<Vec<_>>(), "the ring and nobody else");
    assert!(told.signals.values().all(|signals| *signals == Signals::COORDINATED));
    assert_eq!(told.factors.keys().copied().collect::<Vec<_>>(), [17, 18, 19, 20]);

    // The explanation of a list says it, where one of them is in it still.
    let lists = store(&outputs);
    let factors: Vec<f32> = lists
        .iter()
        .filter(|(key, _)| key.starts_with("account:"))
        .flat_map(|(key, bytes)| match decoded(key, bytes) {
            Value::Account(record) => record.items,
            other => panic!("{key}: {other:?}"),
        })
        .filter_map(|item| item.abuse_factor)
        .collect();
    assert!(!factors.is_empty() && factors.iter().all(|factor| (0.6..1.0).contains(factor)), "{factors:?}");

    // Two accounts ask to be forgotten: the others are too few, and their flags fall. What they did in lockstep stays out.
    let mut forgiven = epochs.clone();
    let last = epochs.last().expect("there are some").now.0;
    let forget = |user: u64| {
        Event::Delete(Delete {
            event_id: EventId(user),
            revision: 0,
            event_time: Millis(last),
            target: Target::User { user_id: UserId(user) },
        })
    };
    for (n, hours) in [(0, 0), (1, 1), (2, 2)] {
        let records = if n == 0 { vec![forget(101), forget(102)] } else { Vec::new() };
        forgiven.push(EpochInput {
            epoch: Epoch(epochs.len() as u64 + 10 + n),
            now: Millis(last + hours * HOUR + MINUTE),
            records: records.into_iter().map(|event| (Origin { partition: 9, offset: n }, event)).collect(),
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        });
    }
    let outputs = run(&forgiven, 3, &params);
    check(&forgiven, &params, &outputs);
    let mut told = Told::default();
    outputs.values().for_each(|output| told.apply(output));
    assert!(told.signals.is_empty() && told.factors.is_empty(), "{:?} {:?}", told.signals, told.factors);
    let rows = rows_after(&forgiven, &outputs);
    assert!(rows.iter().all(|(user, _)| *user <= 20), "the ring's rows are withheld");
    assert!(!store(&outputs).contains_key(&Key::Feed(UserId(101)).to_string()));
}

/// The rows that others see in the end.
fn rows_after(epochs: &[EpochInput], outputs: &BTreeMap<u64, EpochOutput>) -> Vec<(u64, Row)> {
    let mut views = Views::default();
    let reached = |input: &&EpochInput| outputs.contains_key(&input.epoch.0);
    epochs.iter().filter(reached).for_each(|input| views.apply(input.epoch.0, &outputs[&input.epoch.0]));
    views.rows()
}

/// A user of days ago comes back to like twenty videos within minutes, and goes quiet. When nothing has been seen of them for the window the
/// flag falls, and the campaign does not count again; what they watched before, and what they watch later, does.
#[test]
fn a_campaign_that_goes_quiet_stays_out() {
    let mut params = world::with_exploration(world::params(), Explore::Linucb);
    params.score.publish_every = HOUR;
    params.abuse = Abuse { enabled: true, window: 12 * HOUR, ..params.abuse };
    let at = |hours: u64| START - START % HOUR + hours * HOUR;
    let view = |id: u64, time: u64, like: bool| {
        let watch_ms = Some(if like { 100 } else { 4_000 });
        Event::Interaction(Interaction {
            event_id: EventId(id),
            event_time: Millis(time),
            user_id: UserId(9),
            video_id: VideoId(1 + id % world::VIDEOS),
            watch_ms,
            duration_ms: Some(10_000),
            like,
            ..Interaction::default()
        })
    };
    let campaign = (100..120).map(|id| view(id, at(24) + id * SECOND, true));
    let told = [
        (0, vec![view(1, at(0), false)]),
        (24, campaign.collect()),
        (25, vec![view(2, at(25) - MINUTE, false)]),
        (26, Vec::new()),
        (37, Vec::new()),
        (38, Vec::new()),
        // Late, of the time of the campaign; and of now.
        (40, vec![view(3, at(24) + 9 * MINUTE, true), view(4, at(40), false)]),
        (41, Vec::new()),
    ];
    let mut offset = 0;
    let inputs = (1..).zip(told).map(|(number, (hours, events))| {
        let records = events.into_iter().map(|event| {
            offset += 1;
            (Origin { partition: 0, offset }, event)
        });
        EpochInput {
            epoch: Epoch(number),
            now: Millis(at(hours) + 30 * MINUTE),
            records: records.collect(),
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        }
    });
    let epochs: Vec<EpochInput> = inputs.collect();
    for workers in 1..=3 {
        let outputs = run(&epochs, workers, &params);
        check(&epochs, &params, &outputs);
        let flags: Vec<(u64, bool)> = outputs
            .iter()
            .flat_map(|(epoch, output)| output.taps.iter().map(|tap| (*epoch, tap)))
            .filter_map(|(epoch, tap)| match tap {
                Tap::Suspect(9, signals) => Some((epoch, !signals.is_empty())),
                _ => None,
            })
            .collect();
        assert_eq!(flags, [(2, true), (5, false)], "the flag goes up at once and falls after the window");
        let rows = rows_after(&epochs, &outputs);
        assert_eq!(rows.iter().map(|(_, row)| row.id).collect::<Vec<_>>(), [1, 4]);
    }
}

/// The random worlds are such in which flags go up: else nothing would be compared.
#[test]
fn random_worlds_have_flags() {
    let params = world::with_abuse(world::params());
    let mut runner = TestRunner::deterministic();
    let mut flags = 0;
    for _ in 0..12 {
        let steps = world::steps().new_tree(&mut runner).expect("a world").current();
        let epochs = world::epochs(&steps);
        flags += check(&epochs, &params, &run(&epochs, 1, &params));
    }
    assert!(flags > 20, "{flags} in 12 worlds");
}

#[test]
fn a_sketch_of_nobody_is_that_of_no_user() {
    assert_eq!(sketch(std::iter::empty()), [u64::MAX; 8]);
}
