//! What the files tell about videos and users, gathered until everything is read: an upload may be known from a feature
//! file, from the log's own columns, or only from the first time that somebody saw it.

use std::collections::BTreeMap;

use freshet_schema::event::Status;
use freshet_schema::hash;
use freshet_schema::signals::Provenance;
use freshet_schema::{CreatorId, EventId, Millis, SoundId, Upload, User, UserId, VideoId};
use rustc_hash::FxHashMap;

/// Seed of the stand-in creators.
const LONER: u64 = u64::from_be_bytes(*b"no-owner");
/// Seeds of event identifiers.
const UPLOAD: u64 = u64::from_be_bytes(*b"uploaded");
const USER: u64 = u64::from_be_bytes(*b"profiles");

/// A video as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Video {
    first_seen: u64,
    duration_ms: u32,
    details: Option<Box<Details>>,
}

/// What a feature file says about a video. Boxed, since most videos of the large sets have none.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    pub creator: Option<u64>,
    pub created_at: Option<u64>,
    pub caption: String,
    pub hashtags: Vec<String>,
    /// The hashtags are category numbers.
    pub hashtags_derived: bool,
    pub sound: Option<u64>,
    /// The category, or several in no order: then the one that most videos carry is taken.
    pub category: Option<String>,
    pub categories: Vec<String>,
}

/// A user as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub age_band: Option<&'static str>,
    pub gender: Option<String>,
}

/// Everything that is not an interaction.
#[derive(Default)]
pub(super) struct Catalogue {
    videos: FxHashMap<u64, Video>,
    users: FxHashMap<u64, Profile>,
    /// How many items of a user came from files without time.
    places: FxHashMap<u64, u64>,
    /// When the log begins.
    start: Option<u64>,
}

/// Where the columns of an upload came from.
pub(super) struct UploadOrigin {
    pub created_at: Provenance,
    pub creator: Provenance,
    pub hashtags: Provenance,
    pub category: Provenance,
}

/// When a log without any time begins: 2024-01-01 UTC.
const NO_TIME: u64 = 1_704_067_200_000;

impl Catalogue {
    fn video(&mut self, id: u64) -> &mut Video {
        self.videos.entry(id).or_insert(Video { first_seen: u64::MAX, duration_ms: 0, details: None })
    }

    /// Fills in what a file says about a video.
    pub fn details(&mut self, id: u64) -> &mut Details {
        self.video(id).details.get_or_insert_default()
    }

    /// Whether nothing was said about a video yet: where each row repeats it, the first one counts.
    pub fn is_new(&self, id: u64) -> bool {
        self.videos.get(&id).is_none_or(|v| v.details.is_none())
    }

    /// Notes a video's length; the first that is known counts.
    pub fn duration(&mut self, id: u64, ms: Option<u32>) {
        if let Some(ms) = ms {
            let video = self.video(id);
            if video.duration_ms == 0 {
                video.duration_ms = ms;
            }
        }
    }

    /// Notes that a video was seen.
    pub fn seen(&mut self, id: u64, time: u64) {
        let video = self.video(id);
        video.first_seen = video.first_seen.min(time);
        self.start = Some(self.start.map_or(time, |start| start.min(time)));
    }

    /// A user's profile.
    pub fn user(&mut self, id: u64) -> &mut Profile {
        self.users.entry(id).or_default()
    }

    /// A time for an item of a file that has none: each user's items one a minute in the order of the file, each user at
    /// a second of their own.
    pub fn derived_time(&mut self, user: u64) -> u64 {
        let place = self.places.entry(user).or_default();
        let time = NO_TIME + *place * 60_000 + hash::mix(0, &[user]) % 60_000;
        *place += 1;
        time
    }

    /// The length of a video, for the interactions that do not say it; 0 where unknown.
    pub fn known_duration(&self, id: u64) -> u32 {
        self.videos.get(&id).map_or(0, |v| v.duration_ms)
    }

    fn start(&self) -> u64 {
        self.start.unwrap_or(NO_TIME)
    }

    /// The uploads in the order of time, with where their columns came from.
    pub fn uploads(&self) -> Vec<(Upload, UploadOrigin)> {
        let carried = self.carried();
        let mut uploads: Vec<_> =
            self.videos.iter().map(|(id, video)| self.upload(*id, video, &carried)).collect();
        uploads.sort_by_key(|(upload, _)| (upload.event_time, upload.video_id));
        uploads
    }

    /// How many videos carry each category, where these come as lists.
    fn carried(&self) -> BTreeMap<&str, u64> {
        let mut carried = BTreeMap::new();
        for name in self.videos.values().filter_map(|v| v.details.as_ref()).flat_map(|d| &d.categories) {
            *carried.entry(name.as_str()).or_default() += 1;
        }
        carried
    }

    fn upload(&self, id: u64, video: &Video, carried: &BTreeMap<&str, u64>) -> (Upload, UploadOrigin) {
        let nothing = Details::default();
        let details = video.details.as_deref().unwrap_or(&nothing);
        // Some videos were seen before the day on which they are said to be published: seeing is believing.
        let published = details.created_at.filter(|at| *at <= video.first_seen && super::is_plausible(*at));
        let seen = (video.first_seen != u64::MAX).then_some(video.first_seen);
        let created_at = Millis(published.or(seen).unwrap_or_else(|| self.start()));
        // The broader of several categories is the one that more videos carry.
        let broadest =
            || details.categories.iter().max_by_key(|c| (carried.get(c.as_str()), std::cmp::Reverse(*c)));
        let origin = UploadOrigin {
            created_at: if published.is_some() { Provenance::Observed } else { Provenance::Derived },
            creator: if details.creator.is_some() { Provenance::Observed } else { Provenance::Absent },
            hashtags: match (details.hashtags.is_empty(), details.hashtags_derived) {
                (true, _) => Provenance::Absent,
                (false, true) => Provenance::Derived,
                (false, false) => Provenance::Observed,
            },
            category: match (&details.category, details.categories.len()) {
                (Some(_), _) | (None, 1) => Provenance::Observed,
                (None, 0) => Provenance::Absent,
                _ => Provenance::Derived,
            },
        };
        let upload = Upload {
            event_id: EventId(hash::mix(UPLOAD, &[id])),
            event_time: created_at,
            video_id: VideoId(id),
            // Without an author each video stands alone: one shared author would pool them all.
            creator_id: CreatorId(details.creator.unwrap_or_else(|| hash::mix(LONER, &[id]))),
            created_at,
            duration_ms: u64::from(video.duration_ms),
            caption: details.caption.clone(),
            hashtags: details.hashtags.clone(),
            sound_id: details.sound.map(SoundId),
            category: details.category.clone().or_else(|| broadest().cloned()),
            status: Status::Ready,
            ..Upload::default()
        };
        (upload, origin)
    }

    /// The profiles in the order of identifiers, all from the beginning of the log.
    pub fn users(&self) -> Vec<User> {
        let mut users: Vec<_> = self
            .users
            .iter()
            .map(|(id, profile)| User {
                event_id: EventId(hash::mix(USER, &[*id])),
                event_time: Millis(self.start()),
                user_id: UserId(*id),
                age_band: profile.age_band.map(str::to_owned),
                gender: profile.gender.clone(),
                ..User::default()
            })
            .collect();
        users.sort_by_key(|user| user.user_id);
        users
    }
}
