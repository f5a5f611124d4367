//! What must hold of every run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_operators::bandit::{Context, Outlook};
use freshet_operators::coengage::Pair;
use freshet_operators::content::Facet;
use freshet_operators::epoch::{Arrivals, Stage};
use freshet_operators::examples::Described;
use freshet_operators::graph::Tap;
use freshet_operators::history::History;
use freshet_operators::lists::{Lists, ListsOut};
use freshet_operators::params::{Explore, MINUTE, Params};
use freshet_operators::profile::{self, Profile, Shared};
use freshet_operators::publish::Published;
use freshet_operators::request::{Ask, MAX_ASKS, Purpose, Request, Subject};
use freshet_operators::row::Row;
use freshet_operators::runtime::EpochInput;
use freshet_operators::shelf::{Shelf, ShelfIn, ShelfOut};
use freshet_operators::sums::{Span, WindowSums};
use freshet_operators::windows::{Attention, Pace};
use freshet_schema::event::{Event, FollowAction, Target};
use freshet_schema::feed::Source;
use freshet_schema::store::Value;
use freshet_schema::{CreatorId, Epoch, EventId, Follow, Millis, UserId, VideoId};
use proptest::prelude::*;

use crate::harness::{EpochOutput, first_difference, run, store};
use crate::oracle::Oracle;
use crate::world::{self, Step};

/// The views that taps show, added up epoch by epoch.
#[derive(Default)]
pub struct Views {
    pub rows: BTreeMap<(u64, u64), Vec<(Row, i64)>>,
    pub video_sums: BTreeMap<(u64, Span), WindowSums>,
    pub popularity: BTreeMap<(u64, Facet, u32), i64>,
    pub pairs: BTreeMap<(u64, u64, u32), [i64; 2]>,
    pub quick: BTreeMap<(u64, u32), i64>,
    pub attention: BTreeMap<(Pace, u32), i64>,
    pub published: BTreeMap<u64, Arc<Published>>,
}

impl Views {
    pub fn apply(&mut self, epoch: u64, output: &EpochOutput) {
        let mut taps: Vec<&Tap> = output.taps.iter().collect();
        // Withdrawals first.
        taps.sort_by_key(|tap| match tap {
            Tap::Row(_, _, diff) => *diff,
            _ => 0,
        });
        for tap in taps {
            match tap {
                Tap::Row(user, row, sign) => {
                    let rows = self.rows.entry((*user, row.id)).or_default();
                    match rows.iter_mut().find(|(known, _)| known == row) {
                        Some((_, count)) => *count += sign,
                        None => rows.push((row.clone(), *sign)),
                    }
                }
                // A total comes where it changed, so the new one is never the old one.
                Tap::VideoSums(video, span, sums) => {
                    let old = self.video_sums.remove(&(*video, *span)).unwrap_or_default();
                    assert_ne!(old, **sums, "total of {video}");
                    if **sums != WindowSums::default() {
                        self.video_sums.insert((*video, *span), **sums);
                    }
                }
                Tap::Popularity(key, sum) => {
                    assert_ne!(self.popularity.remove(key).unwrap_or_default(), *sum, "popularity {key:?}");
                    if *sum != 0 {
                        self.popularity.insert(*key, *sum);
                    }
                }
                Tap::Pair(Pair { seed, video, period, amounts }) => {
                    let sums = self.pairs.entry((*seed, *video, *period)).or_default();
                    *sums = [sums[0] + amounts[0], sums[1] + amounts[1]];
                }
                Tap::Quick(Attention { video, period, amount }) => {
                    *self.quick.entry((*video, *period)).or_default() += amount;
                }
                Tap::Everybody(key, amount) => *self.attention.entry(*key).or_default() += amount,
                Tap::Published(version) => drop(self.published.insert(epoch, Arc::clone(version))),
                Tap::Request(_) | Tap::Cohort(_) | Tap::Suspect(..) | Tap::Penalty(..) => {}
            }
        }
        self.pairs.retain(|_, sums| *sums != [0, 0]);
        self.quick.retain(|_, sum| *sum != 0);
        self.attention.retain(|_, sum| *sum != 0);
        for rows in self.rows.values_mut() {
            rows.retain(|(_, count)| *count != 0);
            assert!(rows.iter().all(|(_, count)| *count == 1) && rows.len() <= 1, "{rows:?}");
        }
        self.rows.retain(|_, rows| !rows.is_empty());
    }

    pub fn rows(&self) -> Vec<(u64, Row)> {
        self.rows.iter().map(|((user, _), rows)| (*user, rows[0].0.clone())).collect()
    }
}

/// A user's history, counted from nothing at `now`.
fn fresh_history(rows: &[(u64, Row)], user: u64, now: u64, oracle: &Oracle) -> History {
    let mut history = History::default();
    for epoch in oracle.epochs {
        for record in &epoch.records {
            if let Event::Interaction(event) = &record.1
                && event.user_id.0 == user
            {
                let view = freshet_operators::row::View::new(event, record.0);
                if let Some((_, row)) =
                    rows.iter().find(|(u, r)| *u == user && r.id == view.id && r.origin == view.origin)
                {
                    history.count(&view, row.clone(), true, now, &oracle.params.interest);
                }
            }
        }
    }
    history
}

/// The request that a user's list must be made from.
fn expected_request(user: u64, epoch: u64, rows: &[(u64, Row)], oracle: &Oracle) -> Request {
    let now = oracle.now(epoch);
    let history = fresh_history(rows, user, now, oracle);
    let profile = oracle
        .profile(user, epoch)
        .map(|user| Profile::new(oracle.group(user.user_id.0, epoch), profile::tags(user)));
    let deleted = oracle
        .epochs
        .iter()
        .filter(|e| e.epoch.0 <= epoch)
        .flat_map(|e| &e.records)
        .filter_map(|r| match &r.1 {
            Event::Delete(d) => {
                matches!(d.target, Target::User { user_id } if user_id.0 == user).then_some(d.event_time.0)
            }
            _ => None,
        })
        .max();
    let mut follows = BTreeMap::new();
    for record in oracle.epochs.iter().filter(|e| e.epoch.0 <= epoch).flat_map(|e| &e.records) {
        if let Event::Follow(follow) = &record.1
            && follow.user_id.0 == user
            && deleted.is_none_or(|until| follow.event_time.0 > until)
        {
            let order = (follow.event_time.0, follow.event_id.0, follow.revision);
            let known = follows.entry(follow.creator_id.0).or_insert((order, false));
            if known.0 <= order {
                *known = (order, follow.action == FollowAction::Follow);
            }
        }
    }
    let everyone = Arc::new("all".to_owned());
    // What was published in an earlier epoch.
    let published = oracle.published.range(..epoch).next_back();
    let topics =
        published.map_or_else(|| oracle.params.interest.trained().into(), |(_, p)| Arc::clone(&p.topics));
    let shared = Shared { everyone: &everyone, topics: &topics, params: oracle.params };
    let request = profile::to_describe(user, &history, profile.as_ref(), &follows, now, &shared);
    let mut request = profile::to_choose(request, &history, oracle.params);
    if oracle.params.exploration.explores() && !history.rows().is_empty() {
        let arms = published.map_or_else(Arc::default, |(_, published)| Arc::clone(&published.arms));
        let context = Context::of(request.query.as_ref(), oracle.params.seed);
        request.outlook = Some(Box::new(Outlook::of(context, &arms, &oracle.params.exploration)));
    }
    let found = oracle.similar(&request, epoch);
    if !found.is_empty() {
        let quota = oracle.params.candidates.similar;
        request.asks.push(Ask { found, ..Ask::new(Source::Similar, quota, Vec::new()) });
    }
    assert!(request.asks.len() <= MAX_ASKS, "{:?}", request.asks);
    request
}

/// Shelves filled from nothing with what is true at the end of `epoch`.
pub fn fresh_shelf(epoch: u64, views: &Views, oracle: &Oracle) -> Shelf {
    let mut shelf = Shelf::new(oracle.params.clone(), 0, 1);
    let mut batch: Vec<ShelfIn> =
        oracle.videos().map(|video| ShelfIn::Version(Arc::new(oracle.content(video, epoch)))).collect();
    let lasting = views.video_sums.iter().filter(|((_, span), _)| *span == Span::Lasting);
    batch.extend(lasting.map(|((video, _), sums)| ShelfIn::Sums(*video, Box::new(*sums))));
    batch.extend(views.popularity.iter().map(|(k, s)| ShelfIn::Popularity(*k, *s)));
    batch.push(ShelfIn::Clock(oracle.now(epoch)));
    batch.extend(views.pairs.iter().map(|((seed, video, period), amounts)| {
        ShelfIn::Pair(Pair { seed: *seed, video: *video, period: *period, amounts: *amounts })
    }));
    batch.extend(views.quick.iter().map(|((video, period), amount)| {
        ShelfIn::Quick(Attention { video: *video, period: *period, amount: *amount })
    }));
    batch.extend(views.attention.iter().map(|(key, amount)| ShelfIn::Everybody(*key, *amount)));
    let mut out = ShelfOut::default();
    shelf.step(0, batch, &mut out);
    for published in views.published.values() {
        shelf.step(0, vec![ShelfIn::Published(Arc::clone(published))], &mut out);
    }
    shelf
}

/// What the heads see of a row, by the shelves from before its epoch.
pub fn describe(earlier: &mut Shelf, epoch: u64, request: &Arc<Request>, params: &Params) -> Described {
    let (mut answer, mut lists) = (ShelfOut::default(), ListsOut::default());
    earlier.step(epoch, vec![ShelfIn::Request(Arc::clone(request))], &mut answer);
    Lists::new(params.clone(), 1).take(epoch, answer.replies.pop().expect("a reply"), &mut lists);
    let said = lists.described.pop().expect("an answer");
    assert_eq!(request.subject, Subject::User(said.user), "a group learns nothing");
    said
}

fn check_against_batch(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) {
    let mut views = Views::default();
    let nothing = EpochOutput::default();
    let mut creators: BTreeMap<u64, u32> = BTreeMap::new();
    let mut described: BTreeMap<(u64, u64), Described> = BTreeMap::new();
    let mut before_epoch = Shelf::new(params.clone(), 0, 1);
    for input in epochs {
        let epoch = input.epoch.0;
        let output = outputs.get(&epoch).unwrap_or(&nothing);
        let before = views.rows();
        views.apply(epoch, output);
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        let now = oracle.now(epoch);

        let rows = oracle.rows(epoch);
        assert_eq!(views.rows(), rows, "counted rows at epoch {epoch}");
        let mut sums = oracle.video_sums(&rows, now);
        sums.retain(|_, s| *s != WindowSums::default());
        assert_eq!(views.video_sums, sums, "video sums at epoch {epoch}");
        assert_eq!(views.popularity, oracle.popularity(&rows), "popularity at epoch {epoch}");

        assert_eq!(views.pairs, oracle.pairs(&rows), "pairs at epoch {epoch}");
        let (quick, attention) = oracle.attention(&rows);
        assert_eq!(views.quick, quick, "quick attention at epoch {epoch}");
        assert_eq!(views.attention, attention, "everybody's attention at epoch {epoch}");

        if let Some(published) = views.published.get(&epoch) {
            let (expected, scores) = oracle.publication(epoch, &rows);
            assert_eq!(published.everyone, expected.everyone);
            assert_eq!(published.cohorts, expected.cohorts);
            assert_eq!(published.skip_below, expected.skip_below);
            assert_eq!(published.topics, expected.topics, "topics at epoch {epoch}");
            creators.extend(&published.creators);
            creators.retain(|c, score| *score != 1_000_000 || scores.contains_key(c));
            assert_eq!(creators, scores, "creator scores at epoch {epoch}");
            let heads = oracle.heads(published.version, &rows, |_, _| true, &described, now);
            assert_eq!(*published.heads, heads, "heads at epoch {epoch}");
        }

        let requests: Vec<&Arc<Request>> = output
            .taps
            .iter()
            .filter_map(|tap| match tap {
                Tap::Request(request) => Some(request),
                _ => None,
            })
            .collect();
        let mut asked = BTreeSet::new();
        let mut shelf = fresh_shelf(epoch, &views, &oracle);
        let mut earlier = std::mem::replace(&mut before_epoch, fresh_shelf(epoch, &views, &oracle));
        let heads = views.published.values().next_back().cloned();
        for request in requests {
            if let Purpose::Learn(event, offer) = request.purpose {
                // As the user met it: with what was known before the epoch.
                let said = describe(&mut earlier, epoch, request, params);
                assert_eq!((said.event, said.offer), (event, offer));
                assert_eq!(said.features.len(), request.wanted.len());
                described.insert((said.user, event), said);
                continue;
            }
            if let Subject::User(user) = &request.subject {
                asked.insert(*user);
                assert_eq!(
                    **request,
                    expected_request(*user, epoch, &rows, &oracle),
                    "request of {user} at {epoch}"
                );
            }
            let mut answer = ShelfOut::default();
            shelf.step(epoch, vec![ShelfIn::Request(Arc::clone(request))], &mut answer);
            assert!(!shelf.more(&mut answer), "one request is answered at once");
            let mut reply = answer.replies.pop().expect("a reply");
            reply.heads = heads.as_ref().map(|published| Arc::clone(&published.heads)).unwrap_or_default();
            let mut lists = ListsOut::default();
            Lists::new(params.clone(), 1).take(epoch, reply, &mut lists);
            for (key, value) in lists.changes {
                let written = output.changes.get(&key.to_string());
                assert_eq!(written, Some(&value), "{key} at {epoch}");
            }
        }
        // Whoever's rows changed has a new list or none.
        let changed =
            before.iter().filter(|r| !rows.contains(r)).chain(rows.iter().filter(|r| !before.contains(r)));
        for (user, _) in changed {
            let removed = output.changes.get(&format!("feed:{user}")) == Some(&None);
            assert!(asked.contains(user) || removed, "user {user} changed at {epoch} and has no new list");
        }
    }
}

/// No list shows what cannot be shown or was watched already.
fn check_lists(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) {
    let mut views = Views::default();
    let mut lists: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for input in epochs {
        let epoch = input.epoch.0;
        let Some(output) = outputs.get(&epoch) else { continue };
        views.apply(epoch, output);
        for (key, value) in &output.changes {
            match value {
                Some(value) => drop(lists.insert(key.clone(), value.clone())),
                None => drop(lists.remove(key)),
            }
        }
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        for (key, bytes) in &lists {
            let shown: Vec<u64> = match crate::harness::decoded(key, bytes) {
                Value::Feed(list) => list.items.iter().map(|i| i.video_id).collect(),
                Value::Trending(pool) => pool.items.iter().map(|i| i.video_id).collect(),
                Value::Related(record) => {
                    let others = record.items.iter().map(|i| i.video_id);
                    others.chain([record.video_id]).collect()
                }
                Value::Dropped(_)
                | Value::Account(_)
                | Value::Heads(_)
                | Value::Video(_)
                | Value::Cohort(_)
                | Value::Experiments(_)
                | Value::Diversity(_)
                | Value::Preferences(_) => continue,
            };
            for video in shown {
                assert!(oracle.content(video, epoch).ready, "{key} shows {video} at {epoch}");
            }
        }
        for (key, bytes) in lists.iter().filter(|(key, _)| key.starts_with("feed:")) {
            let user: u64 = key["feed:".len()..].parse().expect("a user");
            let Value::Feed(feed) = crate::harness::decoded(key, bytes) else { panic!("{key} is no list") };
            let videos: BTreeSet<u64> = feed.items.iter().map(|i| i.video_id).collect();
            assert_eq!(videos.len(), feed.items.len(), "{key} repeats a video");
            for video in videos {
                let watched =
                    views.rows.iter().any(|((u, _), r)| *u == user && r[0].0.content.video == video);
                assert!(!watched, "{key} shows {video}, watched, at {epoch}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_view_equals_the_batch_computation_at_every_epoch(
        steps in world::steps(),
        trained in any::<bool>(),
        explores in any::<bool>(),
    ) {
        let mut params = if explores {
            world::with_exploration(world::params(), Explore::Linucb)
        } else {
            world::params()
        };
        let epochs = world::epochs(&steps);
        params.interest.topics = trained.then(|| world::topics(&epochs, params.seed));
        let one = run(&epochs, 1, &params);
        check_against_batch(&epochs, &params, &one);
        check_lists(&epochs, &params, &one);
        let stored = store(&one);
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&stored, &store(&other)), None, "{} workers", workers);
            check_against_batch(&epochs, &params, &other);
        }
    }

    #[test]
    fn order_of_records_within_an_epoch_changes_no_byte(steps in world::steps(), cohorts in any::<bool>()) {
        let with = if cohorts { world::with_stages } else { world::with_exploration };
        let params = with(world::params(), Explore::Linucb);
        let epochs = world::epochs(&steps);
        let mut turned = epochs.clone();
        for epoch in &mut turned {
            epoch.records.reverse();
        }
        let (a, b) = (store(&run(&epochs, 1, &params)), store(&run(&turned, 2, &params)));
        prop_assert_eq!(first_difference(&a, &b), None);
    }

    #[test]
    fn followers_change_nobody_elses_bytes(steps in world::steps(), cohorts in any::<bool>()) {
        let with = if cohorts { world::with_stages } else { world::with_exploration };
        let mut params = with(world::params(), Explore::Linucb);
        params.score.publish_every = 20 * MINUTE;
        let epochs = world::epochs(&steps);
        let mut followed = epochs.clone();
        // A crowd that follows creator 1 and does nothing else.
        for epoch in &mut followed {
            for fan in 100..120 {
                let event = Event::Follow(Follow {
                    event_id: EventId(fan),
                    event_time: epoch.now,
                    user_id: UserId(fan),
                    creator_id: CreatorId(1),
                    ..Follow::default()
                });
                epoch.records.push((Default::default(), event));
            }
        }
        let mut with = store(&run(&followed, 1, &params));
        with.retain(|key, _| !(100..120).any(|fan| key.ends_with(&format!(":{fan}"))));
        prop_assert_eq!(first_difference(&store(&run(&epochs, 1, &params)), &with), None);
    }
}

/// A run in which some events are deleted later, against one that never saw them: equal views from then on, and equal lists
/// once all users' lists are remade.
fn deletion_equals_never_seen(steps: &[Step], doomed: impl Fn(&Event) -> bool, delete: &[Event]) {
    let mut params = world::params();
    // Published versions are taken as given: the only publication is that of an empty first epoch.
    params.score.publish_every = u64::MAX / 4;
    // Which early views had to give way to others is history, too: here none has to.
    params.early.max_held_per_shard = 1000;
    let mut with = world::epochs(steps);
    for epoch in &mut with {
        epoch.epoch = epoch.epoch.next();
    }
    with.insert(
        0,
        EpochInput {
            epoch: Epoch(1),
            now: Millis(world::START),
            records: Vec::new(),
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        },
    );
    let mut without = with.clone();
    for epoch in &mut without {
        epoch.records.retain(|r| !doomed(&r.1));
    }
    let last = with.last().map_or(0, |e| e.epoch.0);
    let now = with.last().map_or(world::START, |e| e.now.0);
    let records = |events: &[Event]| {
        events
            .iter()
            .enumerate()
            .map(|(n, e)| (freshet_schema::event::Origin { partition: 9, offset: n as u64 }, e.clone()))
            .collect()
    };
    let epoch = |number, now, events: &[Event]| EpochInput {
        epoch: Epoch(number),
        now: Millis(now),
        records: records(events),
        asks: Vec::new(),
        probes: Vec::new(),
        remake: Vec::new(),
    };
    let deleting = epoch(last + 1, now + 1, delete);
    with.push(deleting.clone());
    without.push(EpochInput { records: Vec::new(), ..deleting });
    // Everybody does something, so that every list is remade.
    let touch: Vec<Event> = (1..6)
        .map(|user| {
            Event::Follow(Follow {
                event_id: EventId(1 << 40),
                event_time: Millis(now + 2),
                user_id: UserId(user),
                creator_id: CreatorId(77),
                ..Follow::default()
            })
        })
        .collect();
    let touching = epoch(last + 2, now + 2, &touch);
    with.push(touching.clone());
    without.push(touching);
    let (with, without) = (run(&with, 2, &params), run(&without, 1, &params));

    let (mut a, mut b) = (Views::default(), Views::default());
    let nothing = EpochOutput::default();
    for epoch in 1..=last + 1 {
        a.apply(epoch, with.get(&epoch).unwrap_or(&nothing));
        b.apply(epoch, without.get(&epoch).unwrap_or(&nothing));
    }
    assert_eq!(a.rows(), b.rows());
    assert_eq!(a.video_sums, b.video_sums);
    assert_eq!(a.popularity, b.popularity);
    let lists = |outputs: &BTreeMap<u64, EpochOutput>| -> BTreeMap<String, Vec<u8>> {
        store(outputs)
            .into_iter()
            .filter(|(key, _)| key.starts_with("feed:") || key.starts_with("dropped:"))
            .collect()
    };
    assert_eq!(first_difference(&lists(&with), &lists(&without)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_deleted_interaction_was_never_seen(steps in world::steps(), pick in any::<usize>()) {
        let epochs = world::epochs(&steps);
        let views: Vec<_> = epochs.iter().flat_map(|e| &e.records).filter_map(|r| match &r.1 {
            Event::Interaction(view) => Some((view.user_id, view.event_id)),
            _ => None,
        }).collect();
        prop_assume!(!views.is_empty());
        let (user_id, target_event_id) = views[pick % views.len()];
        let delete = Event::Delete(freshet_schema::Delete {
            event_id: EventId(0),
            revision: 0,
            event_time: Millis(0),
            target: Target::Interaction { user_id, target_event_id },
        });
        deletion_equals_never_seen(
            &steps,
            |e| matches!(e, Event::Interaction(v) if v.user_id == user_id && v.event_id == target_event_id),
            &[delete],
        );
    }

    #[test]
    fn a_deleted_user_was_never_seen(steps in world::steps(), user in 1..6u64) {
        let user_id = UserId(user);
        let delete = Event::Delete(freshet_schema::Delete {
            event_id: EventId(0),
            revision: 0,
            event_time: world::epochs(&steps).last().map_or(Millis(0), |e| e.now),
            target: Target::User { user_id },
        });
        deletion_equals_never_seen(
            &steps,
            |e| match e {
                Event::Interaction(v) => v.user_id == user_id,
                Event::User(v) => v.user_id == user_id,
                Event::Follow(v) => v.user_id == user_id,
                _ => false,
            },
            &[delete],
        );
    }

    #[test]
    fn a_deleted_video_was_never_seen(steps in world::steps(), video in 1..9u64) {
        let video_id = VideoId(video);
        let delete = Event::Delete(freshet_schema::Delete {
            event_id: EventId(0),
            revision: 0,
            event_time: world::epochs(&steps).last().map_or(Millis(0), |e| e.now),
            target: Target::Video { video_id },
        });
        deletion_equals_never_seen(
            &steps,
            |e| match e {
                Event::Interaction(v) => v.video_id == video_id,
                Event::Upload(v) => v.video_id == video_id,
                _ => false,
            },
            &[delete],
        );
    }
}
