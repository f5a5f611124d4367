//! A world in which every list has about 1,000 candidates: each source finds more than its quota, and the sources overlap
//! little because the world is wide. The generated world is no use here: its small users have fewer candidates.

use freshet_operators::params::{HOUR, MINUTE, SECOND};
use freshet_operators::runtime::EpochInput;
use freshet_schema::event::{Event, FollowAction, Origin, Status};
use freshet_schema::{
    CreatorId, Epoch, EventId, Follow, Interaction, Millis, SoundId, Upload, User, UserId, VideoId, hash,
};

/// Begins on the hour, so that the publications come when the world is filled and not while lists are measured.
const START: u64 = 1_700_000_000_000 / HOUR * HOUR;

const VIDEOS_A_CREATOR: u64 = 200;
const VIDEOS_A_SOUND: u64 = 100;
const VIDEOS_A_HASHTAG: u64 = 300;
const HASHTAGS_A_VIDEO: u64 = 3;
const CATEGORIES: u64 = 40;
const FOLLOWS_A_USER: u64 = 5;
const VIEWS_A_USER: u64 = 24;

/// The numbers of the world.
#[derive(Clone, Copy, Debug)]
pub struct ListsWorld {
    /// Videos.
    pub videos: u64,
    /// Users.
    pub users: u64,
    /// Epochs that are measured.
    pub epochs: u64,
    /// Users with one interaction in each of them, so lists.
    pub dirty: u64,
}

impl ListsWorld {
    /// Epochs that fill the world, ending with the publication of what was counted.
    pub fn fill(&self) -> Vec<EpochInput> {
        let uploads = (0..self.videos).map(|n| Event::Upload(self.upload(n))).collect();
        let people = (0..self.users).flat_map(|user| self.person(user)).collect();
        let views = (0..self.users * VIEWS_A_USER)
            .map(|n| Event::Interaction(self.view(n % self.users, n, START + 2 * MINUTE - n % MINUTE)))
            .collect();
        let at = [(1, START, uploads), (2, START + MINUTE, people), (3, START + 2 * MINUTE, views)];
        let mut epochs: Vec<EpochInput> =
            at.into_iter().map(|(n, now, events)| epoch(n, now, events)).collect();
        epochs.push(epoch(4, START + HOUR, Vec::new()));
        epochs
    }

    /// The epochs to be measured.
    pub fn measured(&self) -> Vec<EpochInput> {
        let each = |k: u64| {
            let now = START + HOUR + (k + 1) * SECOND;
            let dirty = k * self.dirty..(k + 1) * self.dirty;
            let first = self.users * VIEWS_A_USER;
            let views =
                dirty.map(|n| Event::Interaction(self.view(n % self.users, first + n, now))).collect();
            epoch(5 + k, now, views)
        };
        (0..self.epochs).map(each).collect()
    }

    fn upload(&self, n: u64) -> Upload {
        let draw = |what: u64, of: u64| hash::mix(what, &[n]) % of.max(1);
        let hashtags = self.videos * HASHTAGS_A_VIDEO / VIDEOS_A_HASHTAG;
        let created_at = Millis(START - draw(1, 72 * HOUR) - 1);
        Upload {
            event_id: EventId(n),
            event_time: created_at,
            video_id: VideoId(n),
            creator_id: CreatorId(draw(2, self.videos / VIDEOS_A_CREATOR)),
            created_at,
            duration_ms: 5_000 + draw(3, 60_000),
            caption: format!("clip {n} of place {}", draw(4, 1_000)),
            hashtags: (0..HASHTAGS_A_VIDEO).map(|tag| format!("tag{}", draw(10 + tag, hashtags))).collect(),
            sound_id: Some(SoundId(draw(5, self.videos / VIDEOS_A_SOUND))),
            category: Some(format!("category{}", draw(6, CATEGORIES))),
            status: Status::Ready,
            ..Upload::default()
        }
    }

    fn person(&self, user: u64) -> Vec<Event> {
        let creators = (self.videos / VIDEOS_A_CREATOR).max(1);
        let profile = User {
            event_id: EventId(user),
            event_time: Millis(START),
            user_id: UserId(user),
            country: Some(format!("C{}", user % 20)),
            ..User::default()
        };
        let follow = |n: u64| {
            Event::Follow(Follow {
                event_id: EventId(user * FOLLOWS_A_USER + n),
                event_time: Millis(START),
                user_id: UserId(user),
                creator_id: CreatorId(hash::mix(7, &[user, n]) % creators),
                action: FollowAction::Follow,
                ..Follow::default()
            })
        };
        std::iter::once(Event::User(profile)).chain((0..FOLLOWS_A_USER).map(follow)).collect()
    }

    fn view(&self, user: u64, n: u64, time: u64) -> Interaction {
        let draw = |what: u64, of: u64| hash::mix(what, &[user, n]) % of;
        Interaction {
            event_id: EventId(n),
            event_time: Millis(time),
            user_id: UserId(user),
            video_id: VideoId(draw(8, self.videos)),
            watch_ms: Some(5_000 + draw(9, 30_000)),
            like: draw(20, 10) == 0,
            ..Interaction::default()
        }
    }
}

fn epoch(number: u64, now: u64, events: Vec<Event>) -> EpochInput {
    let origin = |offset: usize| Origin { partition: number as u32, offset: offset as u64 };
    let records = events.into_iter().enumerate().map(|(n, event)| (origin(n), event)).collect();
    EpochInput {
        epoch: Epoch(number),
        now: Millis(now),
        records,
        asks: Vec::new(),
        probes: Vec::new(),
        remake: Vec::new(),
    }
}
