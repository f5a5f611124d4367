//! The videos of the world: who made them when, what they are about, how good and how popular they are.

use freshet_schema::event::{Status, Upload};
use freshet_schema::{CreatorId, EventId, Millis, SoundId, VideoId};

use super::World;
use super::rates::{self, HOUR, MINUTE};
use super::rng::{Rng, zipf};
use super::words::{CAPTIONS, CATEGORIES, COMMON, TAGS};

// Identifiers lie above those of the public sets, so that a generated world and an imported sample can be one log.
/// The first video.
pub(super) const FIRST_VIDEO: u64 = 1_000_000_001;
/// The first creator.
pub(super) const FIRST_CREATOR: u64 = 500_000_001;
/// The first sound.
pub(super) const FIRST_SOUND: u64 = 700_000_000_001;

/// No hashtag in this place.
const NO_TAG: u16 = u16::MAX;

/// A video. Hashtags below `categories * TAGS` belong to a category, the others are common ones.
#[derive(Clone, Debug)]
pub(super) struct Video {
    pub created: u64,
    /// From when on it is shown; `u64::MAX` for never.
    pub ready: u64,
    /// From when on it is not shown any more.
    pub gone: u64,
    /// When it is deleted; `u64::MAX` for never.
    pub deleted: u64,
    pub creator: u32,
    pub sound: u32,
    pub duration: u32,
    /// How good it is for everybody, in per mille.
    pub quality: u16,
    tags: [u16; 5],
    caption: u8,
    thing: u8,
    pub category: u8,
}

impl Video {
    /// Its hashtags' numbers.
    pub fn hashtags(&self) -> impl Iterator<Item = u16> {
        self.tags.into_iter().filter(|tag| *tag != NO_TAG)
    }

    /// A video that somebody promotes: short, and as good as is said.
    pub fn promoted(rng: &mut Rng, created: u64, creator: u32, quality: u16) -> Self {
        let category = rng.below(CATEGORIES.len() as u64) as u8;
        let sound = rng.below(50) as u32;
        let made = video(rng, created, created, created + 1, creator, category, |_| sound);
        Self { duration: made.duration.min(20_000), quality, ..made }.again(created)
    }

    /// The same at another time, and there to stay.
    pub fn again(&self, created: u64) -> Self {
        Self { created, ready: created + MINUTE, gone: u64::MAX, deleted: u64::MAX, ..self.clone() }
    }

    /// Whether it can be shown at a time.
    pub fn is_shown(&self, time: u64) -> bool {
        self.ready <= time && time < self.gone.min(self.deleted)
    }
}

/// A hashtag's name.
pub(super) fn hashtag(tag: u16) -> &'static str {
    let tag = usize::from(tag);
    CATEGORIES
        .get(tag / TAGS)
        .map_or_else(|| COMMON[tag - CATEGORIES.len() * TAGS], |c| c.hashtags[tag % TAGS])
}

/// A sound's identifier.
pub(super) fn sound_id(sound: u32) -> u64 {
    FIRST_SOUND + u64::from(sound)
}

/// All videos, in the order of their creation.
pub(super) struct Videos {
    pub all: Vec<Video>,
    /// How many are there when the log begins.
    pub before: usize,
    pub sounds: u32,
    /// For each category its videos by rank, and the Zipf weights of the ranks, summed up.
    ranks: Vec<(Vec<u32>, Vec<u64>)>,
    /// All videos by rank, likewise.
    best: (Vec<u32>, Vec<u64>),
    /// For each creator the videos, to find some by those whom a user follows.
    of_creator: Vec<Vec<u32>>,
    /// Popularity of the categories that have videos, summed up.
    pub categories: Vec<u64>,
}

/// Videos to a creator, on average.
const PER_CREATOR: u64 = 8;
/// Videos to a sound, on average, beyond the first fifty.
const PER_SOUND: u64 = 30;

impl Videos {
    /// Makes all videos of a world that ends at `end`.
    pub fn new(world: &World, end: u64, rng: &mut Rng) -> Self {
        let start = world.start.0;
        let creators = (world.videos / PER_CREATOR).max(1) as usize;
        let sounds = (50 + world.videos / PER_SOUND) as u32;
        let popularity = zipf(CATEGORIES.len(), 6);
        let by_creator = zipf(creators, 7);
        let by_sound = zipf(sounds as usize, 8);
        let homes: Vec<u8> = (0..creators).map(|_| rng.weighted(&popularity) as u8).collect();
        let mut created: Vec<u64> = (0..world.videos)
            .map(|_| {
                if rng.chance(rates::UPLOADED_BEFORE) {
                    start.saturating_sub(rng.between(1, rates::CATALOGUE_AGE))
                } else {
                    start + rng.below(end - start)
                }
            })
            .collect();
        created.sort_unstable();
        let before = created.partition_point(|at| *at < start);
        let all: Vec<Video> = created
            .into_iter()
            .map(|created| {
                let creator = rng.weighted(&by_creator);
                // Creators keep to their category, mostly.
                let category =
                    if rng.chance(800_000) { homes[creator] } else { rng.weighted(&popularity) as u8 };
                video(rng, created, start, end, creator as u32, category, rng_sound(&by_sound))
            })
            .collect();
        Self::ranked(all, before, sounds, creators, popularity, rng)
    }

    fn ranked(
        all: Vec<Video>,
        before: usize,
        sounds: u32,
        creators: usize,
        popularity: Vec<u64>,
        rng: &mut Rng,
    ) -> Self {
        let mut ranks: Vec<(Vec<u32>, Vec<u64>)> = CATEGORIES.iter().map(|_| Default::default()).collect();
        let mut of_creator = vec![Vec::new(); creators];
        for (number, video) in all.iter().enumerate() {
            of_creator[video.creator as usize].push(number as u32);
        }
        // Better videos tend to be more popular, and luck has its say: a shuffle weighed by quality.
        let mut best: Vec<_> = (0..all.len() as u32).collect();
        best.sort_by_cached_key(|v| {
            std::cmp::Reverse((u64::from(all[*v as usize].quality) + rng.below(1500), *v))
        });
        for number in &best {
            ranks[usize::from(all[*number as usize].category)].0.push(*number);
        }
        for (videos, weights) in &mut ranks {
            *weights = zipf(videos.len(), rates::ZIPF_TENTHS);
        }
        let weights = zipf(best.len(), rates::ZIPF_TENTHS);
        let mut categories = popularity;
        let mut sum = 0;
        let mut last = 0;
        for (place, (videos, _)) in categories.iter_mut().zip(&ranks) {
            let weight = *place - last;
            last = *place;
            sum += if videos.is_empty() { 0 } else { weight };
            *place = sum;
        }
        Self { all, before, sounds, ranks, best: (best, weights), of_creator, categories }
    }

    /// A video of a category by popularity.
    pub fn popular(&self, category: usize, rng: &mut Rng) -> Option<u32> {
        let (videos, weights) = &self.ranks[category];
        videos.get(rng.weighted(weights)).copied()
    }

    /// A video of any category by popularity.
    pub fn best(&self, rng: &mut Rng) -> Option<u32> {
        self.best.0.get(rng.weighted(&self.best.1)).copied()
    }

    /// A video of a creator.
    pub fn by(&self, creator: u32, rng: &mut Rng) -> Option<u32> {
        let videos = &self.of_creator[creator as usize];
        videos.get(rng.below(videos.len() as u64) as usize).copied()
    }

    /// The upload records in the order of time: the catalogue as it stands when the log begins, then each upload while it
    /// is processed, when it is ready or has failed, and when it is taken down.
    pub fn uploads(&self, start: u64) -> Vec<(u64, u32, Status)> {
        let mut records = Vec::new();
        for (number, video) in self.all.iter().enumerate() {
            let number32 = number as u32;
            if number < self.before {
                records.push((start, number32, Status::Ready));
            } else {
                records.push((video.created, number32, Status::Processing));
                let done = if video.ready == u64::MAX { video.created + 2 * MINUTE } else { video.ready };
                let status = if video.ready == u64::MAX { Status::Failed } else { Status::Ready };
                records.push((done, number32, status));
            }
            if video.gone < video.deleted {
                records.push((video.gone, number32, Status::Removed));
            }
        }
        records.sort_unstable();
        records
    }

    /// How many creators there are.
    pub fn creators(&self) -> u32 {
        self.of_creator.len() as u32
    }

    /// The record that says that a video has a status since a time.
    pub fn upload(&self, time: u64, number: u32, status: Status, event_id: u64) -> Upload {
        self.all[number as usize].record(FIRST_VIDEO + u64::from(number), time, status, event_id)
    }
}

impl Video {
    /// The record that says that the video, which has the identifier `id`, has a status since a time.
    pub fn record(&self, id: u64, time: u64, status: Status, event_id: u64) -> Upload {
        let video = self;
        let category = &CATEGORIES[usize::from(video.category)];
        let caption =
            CAPTIONS[usize::from(video.caption)].replace("{}", category.things[usize::from(video.thing)]);
        let mut letters = caption.chars();
        let caption = letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default();
        Upload {
            event_id: EventId(event_id),
            event_time: Millis(time),
            video_id: VideoId(id),
            creator_id: CreatorId(FIRST_CREATOR + u64::from(video.creator)),
            created_at: Millis(video.created),
            duration_ms: u64::from(video.duration),
            caption,
            hashtags: video.hashtags().map(|tag| hashtag(tag).to_owned()).collect(),
            sound_id: Some(SoundId(sound_id(video.sound))),
            category: Some(category.name.to_owned()),
            status,
            ..Upload::default()
        }
    }
}

/// The choice of a sound.
fn rng_sound(by_sound: &[u64]) -> impl Fn(&mut Rng) -> u32 {
    move |rng| rng.weighted(by_sound) as u32
}

fn video(
    rng: &mut Rng,
    created: u64,
    start: u64,
    end: u64,
    creator: u32,
    category: u8,
    sound: impl Fn(&mut Rng) -> u32,
) -> Video {
    let fresh = created >= start;
    let ready = match (fresh, fresh && rng.chance(rates::FAILED)) {
        (_, true) => u64::MAX,
        (true, false) => created + rng.between(20_000, 5 * MINUTE),
        (false, false) => start,
    };
    let later = |rng: &mut Rng| created.max(start) + HOUR + rng.below((end - start).max(1));
    let gone = if ready != u64::MAX && rng.chance(rates::REMOVED) { later(rng) } else { u64::MAX };
    let deleted = if rng.chance(rates::DELETE_VIDEO) { later(rng) } else { u64::MAX };
    let mut tags = [NO_TAG; 5];
    let first = u16::from(category) * TAGS as u16;
    let wanted = rng.between(2, 4) as usize;
    for place in 0..wanted {
        // The first hashtags of a category are used more than the last.
        let tag = first + rng.below(TAGS as u64).min(rng.below(TAGS as u64)) as u16;
        if !tags.contains(&tag) {
            tags[place] = tag;
        }
    }
    if rng.chance(500_000) {
        tags[4] = (CATEGORIES.len() * TAGS) as u16 + rng.below(COMMON.len() as u64) as u16;
    }
    let (shortest, longest) = rates::DURATION_RANGE;
    Video {
        created,
        ready,
        gone: if gone < end { gone } else { u64::MAX },
        deleted,
        creator,
        sound: sound(rng),
        duration: (rng.log_normal(rates::DURATION_CENTRE) >> 16).clamp(shortest, longest) as u32,
        quality: (rng.below(501) + rng.below(501)) as u16,
        tags,
        caption: rng.below(CAPTIONS.len() as u64) as u8,
        thing: rng.below(6) as u8,
        category,
    }
}
