//! Random small worlds: hot keys, late and duplicate events, revisions, deletes of everything, uploads that come too late or
//! change, profiles and follows. Small numbers of users and videos, so that everything meets everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_learning::topics::Training;
use freshet_learning::{Quantised, Topics};
use freshet_operators::content::{self, Embedder};
use freshet_operators::params::{
    Abuse, Cohorts, DAY, Exploration, Explore, ExploreArms, HOUR, MINUTE, Params,
};
use freshet_operators::runtime::EpochInput;
use freshet_schema::event::{Event, FollowAction, Origin, Status, Target};
use freshet_schema::{
    CreatorId, Delete, Epoch, EventId, Follow, Interaction, Millis, SoundId, Upload, User, UserId, VideoId,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// The worlds begin here, in milliseconds since 1970.
pub const START: u64 = 1_700_000_000_000;

/// Videos have the numbers from 1 to this.
pub const VIDEOS: u64 = 8;

/// Something that happens, with times relative to the epoch in which it arrives.
#[derive(Clone, Debug)]
pub enum Op {
    View {
        id: u64,
        user: u64,
        video: u64,
        watch: Option<u64>,
        flags: u8,
        age: u64,
    },
    /// The `nth` view so far again, with this revision and a like or none.
    Again {
        nth: usize,
        revision: u32,
        like: bool,
    },
    Upload {
        video: u64,
        tags: u8,
        category: u8,
        ready: bool,
        age: u64,
    },
    Profile {
        user: u64,
        country: u8,
        age: u64,
    },
    Follow {
        user: u64,
        creator: u64,
        on: bool,
        age: u64,
    },
    ForgetView {
        nth: usize,
    },
    ForgetUser {
        user: u64,
        age: u64,
    },
    ForgetVideo {
        video: u64,
        age: u64,
    },
}

/// An epoch: how far the clock moves, and what arrives.
pub type Step = (u64, Vec<Op>);

fn age() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..2 * MINUTE, 2 => 0..2 * HOUR, 1 => 0..9 * DAY, 1 => 0..70 * DAY]
}

fn op() -> impl Strategy<Value = Op> {
    let user = || 1..6u64;
    let video = || prop_oneof![1 => Just(1u64), 2 => 1..=VIDEOS];
    prop_oneof![
        12 => (any::<u64>(), user(), video(), prop::option::of(0..30_000u64), any::<u8>(), age())
            .prop_map(|(id, user, video, watch, flags, age)| Op::View { id: id % 10_000, user, video, watch, flags, age }),
        2 => (any::<usize>(), 0..3u32, any::<bool>()).prop_map(|(nth, revision, like)| Op::Again { nth, revision, like }),
        4 => (video(), any::<u8>(), 0..3u8, prop::bool::weighted(0.9), age())
            .prop_map(|(video, tags, category, ready, age)| Op::Upload { video, tags, category, ready, age }),
        1 => (user(), 0..3u8, age()).prop_map(|(user, country, age)| Op::Profile { user, country, age }),
        1 => (user(), 1..4u64, any::<bool>(), age())
            .prop_map(|(user, creator, on, age)| Op::Follow { user, creator, on, age }),
        1 => any::<usize>().prop_map(|nth| Op::ForgetView { nth }),
        1 => (user(), age()).prop_map(|(user, age)| Op::ForgetUser { user, age }),
        1 => (video(), age()).prop_map(|(video, age)| Op::ForgetVideo { video, age }),
    ]
}

fn moves() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 1..5 * MINUTE, 2 => MINUTE..3 * HOUR, 1 => HOUR..3 * DAY, 1 => DAY..40 * DAY]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec((moves(), vec(op(), 0..12)), 1..14)
}

/// Parameters under which a small world meets every limit.
pub fn params() -> Params {
    let mut params = Params::default();
    params.early.max_held_per_shard = 2;
    params.feed.length = 6;
    params.feed.pool_length = 4;
    params.feed.no_repeat_last = 2;
    params.candidates.hashtags = 3;
    params.candidates.trending = 5;
    params.candidates.similar = 2;
    params.related.length = 3;
    params.candidates.facets_per_kind = 2;
    params.interest.short_last = 3;
    params.interest.min_videos = 2;
    params.score.shrinkage_views = 2;
    params
}

/// The same with cohorts in which everything happens soon, for users and lists as few and short as these.
pub fn with_cohorts(mut params: Params) -> Params {
    params.cohorts = Cohorts {
        enabled: true,
        size: 3,
        stage_time: 4 * MINUTE,
        enough_share: 0.9,
        reached_share: 0.4,
        top_ups: 1,
        threshold: 1.0,
        floor: 2,
        decay: 0.7,
        graduate_after: 2,
        first_slot: 3,
        last_slot: 5,
        expanded_first_slot: 2,
        expanded_last_slot: 3,
        per_list: 1,
        per_day: 4,
        active_within: 5 * DAY,
        max_age: 30 * DAY,
        max_open: 64,
        window: 2,
        keep: 40 * DAY,
        ..Cohorts::default()
    };
    params
}

/// The same with signals of abuse that fire for next to nothing.
pub fn with_abuse(mut params: Params) -> Params {
    params.score.publish_every = 20 * MINUTE;
    params.abuse = Abuse {
        enabled: true,
        window: 2 * DAY,
        threshold: 0.3,
        penalty: 0.9,
        half_life: 6 * HOUR,
        per_minute: 2,
        least: 2,
        unwatched_share: 0.5,
        farming_share: 0.5,
        burst: 2 * HOUR,
        ring_users: 2,
        ring_videos: 2,
        suspect_share: 0.4,
    };
    params
}

/// The same with places that explore, for lists as short as these.
pub fn with_exploration(mut params: Params, policy: Explore) -> Params {
    params.exploration = Exploration { policy, slots: 2, alpha: 0.5, epsilon: 0.3, ..Exploration::default() };
    params
}

/// The same with cohorts, whose stages are arms.
pub fn with_stages(params: Params, policy: Explore) -> Params {
    let mut params = with_exploration(with_cohorts(params), policy);
    params.exploration.arms = ExploreArms::Cohorts;
    params
}

/// Topics trained on all uploads.
pub fn topics(epochs: &[EpochInput], seed: u64) -> Arc<Topics> {
    let mut embedder = Embedder::new(seed, None);
    let mut vectors: BTreeMap<String, Vec<(VideoId, Quantised)>> = BTreeMap::new();
    for (_, event) in epochs.iter().flat_map(|epoch| &epoch.records) {
        if let Event::Upload(upload) = event {
            let of = vectors.entry(content::space(upload).to_owned()).or_default();
            of.push((upload.video_id, embedder.content(upload).vector));
        }
    }
    Arc::new(Topics::train(vectors, &Training { topics: 3, sample: 100, iterations: 10, seed }))
}

/// The records of the steps.
pub fn epochs(steps: &[Step]) -> Vec<EpochInput> {
    let mut now = START;
    let mut views: Vec<Interaction> = Vec::new();
    let mut epochs = Vec::new();
    let mut offset = 0;
    for (n, (forward, ops)) in steps.iter().enumerate() {
        now += forward;
        let mut records = Vec::new();
        for op in ops {
            offset += 1;
            // Origins are not in order of arrival: two partitions are read in turn.
            let origin = Origin { partition: (offset % 2) as u32, offset };
            if let Some(event) = event(op, now, offset, &mut views) {
                records.push((origin, event));
            }
        }
        epochs.push(EpochInput {
            epoch: Epoch(n as u64 + 1),
            now: Millis(now),
            records,
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        });
    }
    epochs
}

fn event(op: &Op, now: u64, number: u64, views: &mut Vec<Interaction>) -> Option<Event> {
    let at = |age: &u64| Millis(now - age);
    let event_id = EventId(number);
    Some(match op {
        Op::View { id, user, video, watch, flags, age } => {
            // An event of a user is one event: time and video do not change with a duplicate or a revision.
            if views.iter().any(|v| v.user_id.0 == *user && v.event_id.0 == *id) {
                return None;
            }
            let view = Interaction {
                event_id: EventId(*id),
                event_time: at(age),
                user_id: UserId(*user),
                video_id: VideoId(*video),
                watch_ms: *watch,
                duration_ms: (flags & 1 != 0).then_some(10_000),
                like: flags & 6 == 6,
                dislike: flags & 14 == 8,
                share: flags & 48 == 48,
                follow: flags & 192 == 192,
                ..Interaction::default()
            };
            views.push(view.clone());
            Event::Interaction(view)
        }
        Op::Again { nth, revision, like } => {
            let view = views.get(nth.checked_rem(views.len())?)?.clone();
            Event::Interaction(Interaction { revision: *revision, like: *like, dislike: false, ..view })
        }
        Op::Upload { video, tags, category, ready, age } => Event::Upload(Upload {
            event_id,
            event_time: at(age),
            video_id: VideoId(*video),
            creator_id: CreatorId(video % 3 + 1),
            created_at: Millis(START - video * HOUR),
            duration_ms: 10_000,
            caption: format!("video {video} {tags}"),
            hashtags: (0..3).filter(|t| tags & (1 << t) != 0).map(|t| format!("tag{t}")).collect(),
            sound_id: (tags & 8 != 0).then_some(SoundId(7)),
            category: (*category > 0).then(|| format!("category{category}")),
            status: if *ready { Status::Ready } else { Status::Removed },
            ..Upload::default()
        }),
        Op::Profile { user, country, age } => Event::User(User {
            event_id,
            event_time: at(age),
            user_id: UserId(*user),
            country: (*country > 0).then(|| format!("C{country}")),
            preferences: if *country == 2 { vec!["Tag1".to_owned()] } else { Vec::new() },
            ..User::default()
        }),
        Op::Follow { user, creator, on, age } => Event::Follow(Follow {
            event_id,
            event_time: at(age),
            user_id: UserId(*user),
            creator_id: CreatorId(*creator),
            action: if *on { FollowAction::Follow } else { FollowAction::Unfollow },
            ..Follow::default()
        }),
        Op::ForgetView { nth } => {
            let view = views.get(nth.checked_rem(views.len())?)?;
            delete(
                event_id,
                Millis(now),
                Target::Interaction { user_id: view.user_id, target_event_id: view.event_id },
            )
        }
        Op::ForgetUser { user, age } => delete(event_id, at(age), Target::User { user_id: UserId(*user) }),
        Op::ForgetVideo { video, age } => {
            delete(event_id, at(age), Target::Video { video_id: VideoId(*video) })
        }
    })
}

fn delete(event_id: EventId, event_time: Millis, target: Target) -> Event {
    Event::Delete(Delete { event_id, revision: 0, event_time, target })
}
