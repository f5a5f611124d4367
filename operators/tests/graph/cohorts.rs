//! Lives of new videos against the log: what a stage has gathered is counted anew from all records at every epoch, and what was
//! decided follows from what had been gathered. Who is invited is taken from the calls, and checked against what may be.

use std::collections::{BTreeMap, BTreeSet};

use freshet_operators::cohorts::Call;
use freshet_operators::cohorts::part::{Part, engaged};
use freshet_operators::graph::Tap;
use freshet_operators::params::{DAY, Params};
use freshet_operators::row::Row;
use freshet_operators::runtime::EpochInput;
use freshet_schema::event::{Event, Target};
use freshet_schema::feed::{
    CohortAudience, CohortRecord, CohortStage, CohortState, CohortVerdict, FeedRecord, SlotPolicy,
};
use freshet_schema::hash;
use freshet_schema::store::Value;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::abuse::Judge;
use crate::harness::{EpochOutput, decoded, first_difference, run, store};
use crate::interrupted::with_pages;
use crate::oracle::Oracle;
use crate::properties::Views;
use crate::world;

/// An invitation that a user has.
#[derive(Clone, Debug)]
struct Kept {
    user: u64,
    video: u64,
    stage: u32,
    /// When it was given, and in which epoch.
    at: u64,
    epoch: u64,
    open: bool,
}

/// The user side of cohorts as a plain list.
#[derive(Default)]
struct Invitations {
    kept: Vec<Kept>,
    /// Day of a user's last invitation, and how many there were on it.
    days: BTreeMap<u64, (u64, usize)>,
}

impl Invitations {
    /// What happens to invitations in an epoch: deletes of users, then the calls of the epoch before. Who is `known` can be invited.
    fn step(&mut self, input: &EpochInput, calls: &[Call], known: &BTreeSet<u64>, params: &Params) {
        let now = input.now.0;
        for (_, event) in &input.records {
            if let Event::Delete(delete) = event
                && let Target::User { user_id } = delete.target
            {
                self.kept.retain(|kept| kept.user != user_id.0 || kept.at > delete.event_time.0);
                if self.kept.iter().all(|kept| kept.user != user_id.0) {
                    self.days.remove(&user_id.0);
                }
            }
        }
        let mut invited = Vec::new();
        for call in calls {
            match call {
                Call::Judged(video, stage) => {
                    let judged = self.kept.iter_mut().filter(|k| k.video == *video && k.stage <= *stage);
                    judged.for_each(|kept| kept.open = false);
                }
                Call::Over(video) => self.kept.retain(|kept| kept.video != *video),
                Call::Invited(invitation) => invited.push(*invitation),
                Call::Wanted(_) => {}
            }
        }
        invited.sort_by_key(|invitation| (invitation.video, invitation.stage, invitation.user));
        for invitation in invited {
            let user = invitation.user;
            assert!(invitation.chance > 0.0 && invitation.chance <= 1.0, "{invitation:?}");
            let twice = self.kept.iter().any(|kept| kept.user == user && kept.video == invitation.video);
            let day = self.days.get(&user).filter(|(day, _)| *day == now / DAY).map_or(0, |(_, n)| *n);
            if known.contains(&user) && !twice && day < params.cohorts.per_day {
                self.days.insert(user, (now / DAY, day + 1));
                let (video, stage, epoch) = (invitation.video, invitation.stage, input.epoch.0);
                self.kept.push(Kept { user, video, stage, at: now, epoch, open: true });
            }
        }
    }

    /// What the cohort of a video's stage has done by the end of `epoch`, as far as the judge lets it count; and how many were shown the
    /// video on a page that does not.
    fn part(
        &self,
        video: u64,
        stage: u32,
        (epochs, epoch): (&[EpochInput], u64),
        rows: &[(u64, Row)],
        judge: &Judge,
    ) -> (Part, usize) {
        let (mut part, mut withheld) = (Part::default(), 0);
        for kept in self.kept.iter().filter(|kept| kept.video == video && kept.stage == stage) {
            part.invited += 1;
            let own: Vec<&Row> = rows
                .iter()
                .filter(|(user, row)| *user == kept.user && row.content.video == video)
                .map(|(_, row)| row)
                .collect();
            part.watched += own.len() as i64;
            part.engaged += own.iter().filter(|row| engaged(row)).count() as i64;
            for row in &own {
                part.part += i64::from(row.watched().unwrap_or(0));
                part.part_known += i64::from(row.watched().is_some());
                part.completed += i64::from(row.completed() == Some(true));
                part.skip_known += i64::from(row.skipped().is_some());
                part.skipped += i64::from(row.skipped() == Some(true));
            }
            let pages = epochs.iter().filter(|e| e.epoch.0 > kept.epoch && e.epoch.0 <= epoch);
            let pages = pages.flat_map(|e| &e.records).filter_map(|(_, event)| match event {
                Event::Served(page) => Some(page),
                _ => None,
            });
            let shown = pages.filter(|page| {
                page.user_id.0 == kept.user
                    && page.event_time.0 >= kept.at
                    && page.items.iter().any(|item| item.video_id.0 == video)
            });
            // The last one is that which counts.
            let last = shown.map(|page| page.event_time.0).max();
            let shown = last.is_some_and(|time| !judge.covers(kept.user, time));
            withheld += usize::from(last.is_some() && !shown && own.is_empty());
            part.exposed += i64::from(shown || !own.is_empty());
        }
        (part, withheld)
    }
}

fn counts(stage: &CohortStage) -> [u32; 4] {
    [stage.invited, stage.exposed, stage.watched, stage.engaged]
}

fn counts_of(part: &Part) -> [u32; 4] {
    [part.invited, part.exposed, part.watched, part.engaged].map(|n| u32::try_from(n).expect("not negative"))
}

/// Checks the numbers of a stage that was judged with `part`, by seed 004's formula in floats.
fn check_judgement(
    stage: &CohortStage,
    part: &Part,
    base: [f64; 3],
    promotions: usize,
    next: Option<&CohortStage>,
    params: &Params,
) {
    let near = |found: f32, expected: f64| {
        assert!((f64::from(found) - expected).abs() < 2e-6, "{found} is not {expected}: {stage:?}");
    };
    let prior = params.score.shrinkage_views as f64;
    let ratio = |sum: i64, n: i64, base: f64| {
        if base * (n as f64 + prior) > 0.0 {
            (sum as f64 + base * prior) / ((n as f64 + prior) * base)
        } else {
            1.0
        }
    };
    let ratios = [
        ratio(part.part, part.part_known, base[0] * 1000.0),
        ratio(part.completed, part.part_known, base[1]),
        ratio(part.skipped, part.skip_known, base[2]),
    ];
    near(stage.watch_ratio, ratios[0]);
    near(stage.completion_ratio, ratios[1]);
    near(stage.skip_ratio, ratios[2]);
    let performance = 0.4 * ratios[0] + 0.4 * ratios[1] - 0.2 * ratios[2];
    near(stage.performance, performance / 0.6);

    let cohorts = &params.cohorts;
    let smaller = (f64::from(stage.wanted) * cohorts.decay).round() as usize;
    let (verdict, wanted) = if part.watched == 0 {
        (CohortVerdict::Unreached, None)
    } else if stage.performance > stage.threshold {
        if promotions + 1 == cohorts.graduate_after {
            (CohortVerdict::Graduated, None)
        } else {
            let larger = (f64::from(stage.wanted) * cohorts.factor).round() as usize;
            (CohortVerdict::Promoted, Some((CohortAudience::Similar, larger)))
        }
    } else if smaller < cohorts.floor {
        (CohortVerdict::Ended, None)
    } else {
        (CohortVerdict::Demoted, Some((CohortAudience::Sample, smaller)))
    };
    assert_eq!(stage.verdict(), verdict, "{stage:?}");
    assert_eq!(next.map(|next| (next.audience(), next.wanted as usize)), wanted, "{stage:?}");
}

/// What was seen of lives, so that a test knows that it has tested something.
#[derive(Debug, Default)]
struct Seen {
    verdicts: BTreeSet<i32>,
    claimed: usize,
    exposed: u32,
    topped_up: bool,
    /// Exposures that do not count, as those who were shown the video are or were flagged for abuse.
    withheld: usize,
}

/// Checks every record at every epoch, and every list.
fn check(epochs: &[EpochInput], params: &Params, outputs: &BTreeMap<u64, EpochOutput>) -> Seen {
    let (mut views, mut invitations) = (Views::default(), Invitations::default());
    let mut stored: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut calls: Vec<Call> = Vec::new();
    let (mut seen, mut judge) = (Seen::default(), Judge::default());
    let nothing = EpochOutput::default();
    for input in epochs {
        let (epoch, now) = (input.epoch.0, input.now.0);
        let output = outputs.get(&epoch).unwrap_or(&nothing);
        views.apply(epoch, output);
        let oracle = Oracle { epochs, params, published: views.published.clone() };
        let mut rows = oracle.rows(epoch);
        if params.abuse.enabled {
            judge.epoch(&rows, now, params);
        }
        let flagged = judge.flagged(params);
        let known = rows.iter().map(|(user, _)| *user).filter(|user| !flagged.contains(user)).collect();
        invitations.step(input, &calls, &known, params);
        rows = judge.counted(rows);
        calls = output
            .taps
            .iter()
            .filter_map(|tap| if let Tap::Cohort(call) = tap { Some(call.clone()) } else { None })
            .collect();
        for call in &calls {
            if let Call::Invited(invitation) = call {
                let stage = life(&stored, invitation.video).and_then(|life| life.stages.last().copied());
                assert_eq!(
                    stage.map(|stage| stage.number),
                    Some(invitation.stage),
                    "{invitation:?} at {epoch}"
                );
            }
        }
        let before = stored.clone();
        for (key, value) in &output.changes {
            match value {
                Some(value) => drop(stored.insert(key.clone(), value.clone())),
                None => drop(stored.remove(key)),
            }
        }
        for video in 1..=world::VIDEOS {
            let content = oracle.content(video, epoch);
            let (was, is) = (life(&before, video), life(&stored, video));
            if !content.ready {
                assert!(is.is_none(), "video {video} cannot be shown at {epoch} and has a life");
                continue;
            }
            let Some(is) = is else {
                if let Some(was) = was {
                    // Over for long enough, it is not kept any more.
                    let judged = was.stages.last().map_or(0, |stage| stage.judged_ms);
                    assert!(judged > 0 && judged + params.cohorts.keep <= now, "{video} at {epoch}: {was:?}");
                }
                let full = stored.keys().filter_map(|key| key.strip_prefix("cohort:")?.parse().ok()).any(
                    |other: u64| {
                        hash::shard(other) == hash::shard(video)
                            && life(&stored, other).is_some_and(|life| life.state() == CohortState::Shown)
                    },
                );
                let old = now - content.created_at > params.cohorts.max_age;
                assert!(old || full, "{video} has no life at {epoch}");
                continue;
            };
            let was = was.unwrap_or_default();
            let judged_before = was.stages.iter().filter(|stage| stage.judged_ms > 0).count();
            assert_eq!(
                is.stages[..judged_before],
                was.stages[..judged_before],
                "history of {video} at {epoch}"
            );
            for (n, stage) in is.stages.iter().enumerate().skip(judged_before) {
                assert_eq!(stage.number as usize, n + 1);
                let mut part = Part::default();
                // Begun in this epoch, nobody is invited yet.
                if n < was.stages.len() {
                    let withheld;
                    (part, withheld) = invitations.part(video, stage.number, (epochs, epoch), &rows, &judge);
                    seen.withheld += withheld;
                }
                assert_eq!(counts(stage), counts_of(&part), "stage {} of {video} at {epoch}", stage.number);
                seen.exposed = seen.exposed.max(stage.exposed);
                seen.topped_up |= stage.top_ups > 0;
                if stage.judged_ms == 0 {
                    assert!(
                        is.judged_at_ms > now || calls_for(video, &calls),
                        "{video} is overdue at {epoch}"
                    );
                    let enough = f64::from(stage.wanted) * params.cohorts.enough_share;
                    assert!(
                        f64::from(stage.watched) < enough || part == Part::default(),
                        "{video} at {epoch}"
                    );
                    continue;
                }
                assert_eq!(stage.judged_ms, now);
                let published = views.published.values().next_back();
                let rates = published.map(|p| *p.cohorts.get(&content.cohort()).unwrap_or(&p.everyone));
                let rates = rates.unwrap_or_default();
                let promotions =
                    is.stages[..n].iter().filter(|s| s.verdict() == CohortVerdict::Promoted).count();
                let base = [rates.watched, rates.completed, rates.skipped];
                check_judgement(stage, &part, base, promotions, is.stages.get(n + 1), params);
                seen.verdicts.insert(stage.verdict);
            }
            let state = match is.stages.last().map(|stage| stage.verdict()) {
                Some(CohortVerdict::Unspecified) => CohortState::Shown,
                Some(CohortVerdict::Graduated) => CohortState::Graduated,
                _ => CohortState::Ended,
            };
            assert_eq!(is.state(), state, "{video} at {epoch}");
        }
        for (key, value) in &output.changes {
            if let (Some(value), true) = (value, key.starts_with("feed:")) {
                let Value::Feed(list) = decoded(key, value) else { panic!("{key} is no list") };
                seen.claimed += check_list(&list, epoch, &invitations, params);
            }
        }
        // Nor does a list that was made earlier and is still read.
        for (key, value) in stored.iter().filter(|(key, _)| key.starts_with("feed:")) {
            let Value::Feed(list) = decoded(key, value) else { panic!("{key} is no list") };
            check_list(&list, epoch, &invitations, params);
        }
        for kept in &invitations.kept {
            let under_way = life(&stored, kept.video).is_some_and(|life| life.state() == CohortState::Shown);
            let told = calls.iter().any(|call| matches!(call, Call::Over(video) if *video == kept.video));
            assert!(under_way || told, "{kept:?} is kept at {epoch} for what is over");
        }
    }
    seen
}

fn calls_for(video: u64, calls: &[Call]) -> bool {
    calls.iter().any(|call| matches!(call, Call::Wanted(wanted) if wanted.video == video))
}

fn life(stored: &BTreeMap<String, Vec<u8>>, video: u64) -> Option<CohortRecord> {
    let key = format!("cohort:{video}");
    match decoded(&key, stored.get(&key)?) {
        Value::Cohort(record) => Some(record),
        other => panic!("{key}: {other:?}"),
    }
}

/// The places that cohorts claim in a list; how many there are.
fn check_list(list: &FeedRecord, epoch: u64, invitations: &Invitations, params: &Params) -> usize {
    let claimed = list.items.iter().zip(1..).filter(|(item, _)| item.policy() == SlotPolicy::Cohort);
    let cohorts = &params.cohorts;
    let mut count = 0;
    for (item, place) in claimed {
        count += 1;
        let kept = invitations
            .kept
            .iter()
            .find(|kept| kept.user == list.user_id && kept.video == item.video_id)
            .unwrap_or_else(|| panic!("{} claims a place of {} at {epoch}", item.video_id, list.user_id));
        assert!(kept.open, "{kept:?} claims a place at {epoch}");
        let places = cohorts.first_slot.min(cohorts.expanded_first_slot)..=cohorts.last_slot;
        assert!(places.contains(&place), "place {place}");
        assert!(item.propensity > 0.0 && item.propensity <= 0.5, "{item:?}");
    }
    assert!(count <= cohorts.per_list, "{list:?}");
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_life_follows_from_the_log(steps in world::steps(), seed in any::<u64>(), judges in any::<bool>()) {
        let params = if judges { world::with_abuse(world::params()) } else { world::params() };
        let params = world::with_cohorts(params);
        let epochs = with_pages(world::epochs(&steps), seed);
        let one = run(&epochs, 1, &params);
        check(&epochs, &params, &one);
        let stored = store(&one);
        for workers in [2, 3] {
            let other = run(&epochs, workers, &params);
            prop_assert_eq!(first_difference(&stored, &store(&other)), None, "{} workers", workers);
        }
    }
}

/// Worlds meet verdicts of all kinds, claims of places, and top-ups: what is checked above is not empty.
#[test]
fn the_worlds_have_lives_worth_checking() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = Seen::default();
    let params = world::with_cohorts(world::params());
    for seed in 0..60 {
        let steps = world::steps().new_tree(&mut runner).expect("a world").current();
        let epochs = with_pages(world::epochs(&steps), seed);
        let more = check(&epochs, &params, &run(&epochs, 1, &params));
        seen.verdicts.extend(more.verdicts);
        seen.claimed += more.claimed;
        seen.exposed = seen.exposed.max(more.exposed);
        seen.topped_up |= more.topped_up;
    }
    assert!(seen.verdicts.len() >= 3 && seen.claimed > 4 && seen.exposed > 1 && seen.topped_up, "{seen:?}");
}

/// What users do with the video of a story, in a world that the test plays on: whoever has it in their list is served it and
/// watches it.
struct Story {
    /// Whether they like it.
    good: bool,
    epochs: Vec<EpochInput>,
    told: String,
}

const NOVELTY: u64 = 1;
const PEOPLE: u64 = 60;

impl Story {
    fn params() -> Params {
        let mut params = Params::default();
        params.feed.length = 20;
        params.score.publish_every = 10 * freshet_operators::params::MINUTE;
        params.score.shrinkage_views = 2;
        params.cohorts = freshet_operators::params::Cohorts {
            enabled: true,
            size: 8,
            floor: 3,
            stage_time: 30 * freshet_operators::params::MINUTE,
            enough_share: 0.7,
            max_open: 64,
            ..Params::default().cohorts
        };
        params
    }

    fn view(&self, id: u64, user: u64, video: u64, watch: u64, now: u64) -> Event {
        Event::Interaction(freshet_schema::Interaction {
            event_id: freshet_schema::EventId(id),
            event_time: freshet_schema::Millis(now),
            user_id: freshet_schema::UserId(user),
            video_id: freshet_schema::VideoId(video),
            watch_ms: Some(watch),
            duration_ms: Some(10_000),
            ..freshet_schema::Interaction::default()
        })
    }

    fn upload(&self, video: u64, created: u64, now: u64) -> Event {
        Event::Upload(freshet_schema::Upload {
            event_id: freshet_schema::EventId(video),
            event_time: freshet_schema::Millis(now),
            video_id: freshet_schema::VideoId(video),
            creator_id: freshet_schema::CreatorId(video),
            created_at: freshet_schema::Millis(created),
            duration_ms: 10_000,
            caption: format!(
                "a song about {}",
                if video.is_multiple_of(2) { "cats and tea" } else { "rain" }
            ),
            category: Some("music".to_owned()),
            status: freshet_schema::event::Status::Ready,
            ..freshet_schema::Upload::default()
        })
    }

    /// Plays on by an epoch of five minutes.
    fn turn(&mut self, events: Vec<Event>) {
        let n = self.epochs.len() as u64 + 1;
        let now = world::START + n * 5 * freshet_operators::params::MINUTE;
        let records = events
            .into_iter()
            .zip(0..)
            .map(|(event, offset)| {
                (freshet_schema::event::Origin { partition: 0, offset: n * 1000 + offset }, event)
            })
            .collect();
        self.epochs.push(EpochInput {
            epoch: freshet_schema::Epoch(n),
            now: freshet_schema::Millis(now),
            records,
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        });
    }

    /// What the store holds by now; says what the last epoch did to the video's life.
    fn look(&mut self) -> (BTreeMap<u64, FeedRecord>, Option<CohortRecord>) {
        let outputs = run(&self.epochs, 1, &Self::params());
        let stored = store(&outputs);
        let last = self.epochs.last().expect("a story has begun");
        let taps = outputs.get(&last.epoch.0).map(|output| output.taps.as_slice()).unwrap_or_default();
        for tap in taps {
            if let Tap::Cohort(Call::Wanted(wanted)) = tap
                && wanted.video == NOVELTY
            {
                self.told += &format!("epoch {}: {} users are asked for\n", last.epoch.0, wanted.users);
            }
        }
        let life = life(&stored, NOVELTY);
        if let Some(life) = life.as_ref().filter(|life| life.epoch == last.epoch.0) {
            let since = (life.now_ms - life.began_ms) / freshet_operators::params::MINUTE;
            for stage in
                life.stages.iter().filter(|stage| stage.judged_ms == 0 || stage.judged_ms == life.now_ms)
            {
                let [invited, exposed, watched, engaged] = counts(stage);
                self.told += &format!(
                    "epoch {}, minute {since}: stage {} ({}, places {} to {}): {} wanted, {invited} invited, {exposed} shown, \
                     {watched} watched, {engaged} engaged",
                    life.epoch,
                    stage.number,
                    if stage.audience() == CohortAudience::Similar { "similar" } else { "sample" },
                    stage.first_slot,
                    stage.last_slot,
                    stage.wanted,
                );
                if stage.judged_ms > 0 {
                    self.told += &format!(
                        "\n    watched {:.3} of {:.3}, finished {:.3} of {:.3}, skipped {:.3} of {:.3}: {:.3} against {:.3}, {}",
                        stage.watched_part,
                        stage.baseline_watched_part,
                        stage.completion,
                        stage.baseline_completion,
                        stage.skips,
                        stage.baseline_skips,
                        stage.performance,
                        stage.threshold,
                        stage.verdict().as_str_name().trim_start_matches("COHORT_VERDICT_").to_lowercase(),
                    );
                }
                self.told += "\n";
            }
        }
        let lists = stored.iter().filter_map(|(key, bytes)| {
            let user = key.strip_prefix("feed:")?.parse().ok()?;
            let Value::Feed(list) = decoded(key, bytes) else { return None };
            Some((user, list))
        });
        (lists.collect(), life)
    }

    /// Up to the upload of the video.
    fn begin(good: bool) -> Self {
        let mut story = Self { good, epochs: Vec::new(), told: String::new() };
        // A catalogue that is no longer new, watched by everybody, half of it to the end.
        let created = world::START - 100 * DAY;
        story.turn((2..40).map(|video| story.upload(video, created, world::START)).collect());
        for turn in 0..3 {
            let now = story.epochs.last().expect("begun").now.0;
            let views = (1..=PEOPLE).flat_map(|user| (0..4).map(move |n| (user, n)));
            let event = |(user, n): (u64, u64)| {
                let video = 2 + (user * 7 + turn * 4 + n) % 38;
                let watch = if (user + n).is_multiple_of(4) { 10_000 } else { 900 + n * 1_300 };
                story.view(turn * 10 + n, user, video, watch, now + n)
            };
            let views = views.map(event).collect();
            story.turn(views);
        }
        let now = story.epochs.last().expect("begun").now.0;
        story.turn(vec![story.upload(NOVELTY, now, now)]);
        story
    }

    /// It stands on a page.
    fn page(id: u64, user: u64, now: u64, propensity: f32, drawn: u32) -> Event {
        let served = freshet_schema::event::ServedItem {
            video_id: freshet_schema::VideoId(NOVELTY),
            position: 1,
            propensity,
            slot_policy: "cohort".to_owned(),
            drawn,
        };
        Event::Served(freshet_schema::Served {
            event_id: freshet_schema::EventId(id),
            event_time: freshet_schema::Millis(now),
            user_id: freshet_schema::UserId(user),
            items: vec![served],
            ..freshet_schema::Served::default()
        })
    }

    /// The video's whole life.
    fn tell(good: bool) -> String {
        let mut story = Self::begin(good);
        let mut seen: BTreeSet<u64> = BTreeSet::new();
        for turn in 0..60u64 {
            let (lists, life) = story.look();
            if life.is_some_and(|life| life.state() != CohortState::Shown) {
                break;
            }
            let now = story.epochs.last().expect("begun").now.0;
            let mut events = Vec::new();
            for (user, list) in &lists {
                let item = list.items.iter().find(|item| item.video_id == NOVELTY);
                // Some take their time.
                let late = (user + turn) % 3 == 0;
                if let Some(item) = item
                    && !late
                    && seen.insert(*user)
                {
                    events.push(Self::page(turn * 1_000 + user, *user, now, item.propensity, item.drawn));
                    let watch = if story.good { 10_000 } else { 300 };
                    events.push(story.view(1_000 + turn, *user, NOVELTY, watch, now + 1));
                }
            }
            story.turn(events);
        }
        story.told
    }
}

/// Some of those who were invited like blindly, and are flagged when a page with the video was served to all: theirs are no exposures.
#[test]
fn pages_of_the_flagged_are_no_exposure() {
    let mut params = Story::params();
    params.abuse.enabled = true;
    let mut story = Story::begin(true);
    (0..4).for_each(|_| story.turn(Vec::new()));
    let invited: Vec<u64> = run(&story.epochs, 1, &params)
        .into_values()
        .flat_map(|output| output.taps)
        .filter_map(|tap| match tap {
            Tap::Cohort(Call::Invited(invitation)) if invitation.video == NOVELTY => Some(invitation.user),
            _ => None,
        })
        .collect();
    let now = story.epochs.last().expect("begun").now.0;
    let mut events: Vec<Event> =
        invited.iter().map(|user| Story::page(1_000 + user, *user, now, 0.1, 0)).collect();
    let bots: Vec<u64> = invited.iter().copied().step_by(2).collect();
    for user in &bots {
        for n in 0..15 {
            let Event::Interaction(view) = story.view(5_000 + n, *user, 2 + n, 100, now + n * 1_000) else {
                panic!("a view is an interaction")
            };
            events.push(Event::Interaction(freshet_schema::Interaction { like: true, ..view }));
        }
    }
    story.turn(events);
    story.turn(Vec::new());
    story.turn(Vec::new());
    for workers in 1..=3 {
        let outputs = run(&story.epochs, workers, &params);
        let seen = check(&story.epochs, &params, &outputs);
        assert!(seen.withheld >= bots.len(), "{seen:?}");
        let life = life(&store(&outputs), NOVELTY).expect("a life");
        let honest = invited.len() - bots.len();
        assert!(honest > 1 && life.stages[0].exposed as usize == honest, "{honest} of {invited:?}: {life:?}");
    }
}

fn golden(name: &str, told: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cohorts").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, told).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, expected, "{}: UPDATE_GOLDEN=1 rewrites it", path.display());
}

#[test]
fn a_video_from_upload_to_graduation() {
    let told = Story::tell(true);
    assert!(told.contains("promoted") && told.trim_end().ends_with("graduated"), "{told}");
    golden("graduates.txt", &told);
}

#[test]
fn a_video_from_upload_to_its_end() {
    let told = Story::tell(false);
    assert!(told.contains("demoted") && told.trim_end().ends_with("ended"), "{told}");
    golden("ends.txt", &told);
}
