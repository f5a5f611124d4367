//! What a user likes: a pure function of seed, user and time, so that nobody has to keep it, the simulation and the truth
//! file cannot disagree, and drift needs no events.

use std::collections::BTreeMap;

use freshet_schema::hash;
use serde::Serialize;

use super::rates::DRIFT;
use super::rng::Rng;
use super::videos::{Video, Videos};
use super::words::{CATEGORIES, TAGS};

/// Favourite categories of a user.
pub(super) const SLOTS: usize = 5;
/// Share of a user's attention that each favourite has, in per mille.
pub(super) const WEIGHTS: [u64; SLOTS] = [400, 250, 150, 120, 80];
/// The same, summed up.
pub(super) const CUMULATIVE: [u64; SLOTS] = [400, 650, 800, 920, 1000];
/// What a favourite adds to the match, in per mille.
const BONUS: [u64; SLOTS] = [480, 400, 330, 280, 240];

const SLOT: u64 = u64::from_be_bytes(*b"the-slot");
const TURNED: u64 = u64::from_be_bytes(*b"the-turn");
const TAG: u64 = u64::from_be_bytes(*b"the-tags");
const SOUND: u64 = u64::from_be_bytes(*b"thesound");

/// What is true of a user, as it is written. (A type and not a JSON value, whose order of keys depends on how the JSON
/// library was built.)
#[derive(Serialize)]
pub(super) struct Truth {
    user_id: u64,
    periods: Vec<Period>,
    hashtags: Vec<&'static str>,
    sounds: Vec<u64>,
}

/// The favourites from a time on, with their shares of attention in per mille.
#[derive(Serialize)]
struct Period {
    from: u64,
    categories: BTreeMap<&'static str, u64>,
}

/// The tastes of all users.
pub(super) struct Tastes {
    seed: u64,
    start: u64,
    /// When everybody's favourites turn to others.
    turn: Option<u64>,
    /// Popularity of the categories, summed up.
    categories: Vec<u64>,
}

impl Tastes {
    pub fn new(seed: u64, start: u64, turn: Option<u64>, categories: Vec<u64>) -> Self {
        Self { seed, start, turn, categories }
    }

    /// The favourites at a time, the greatest first. Every [`DRIFT`] one of the five gives way to another; at the turn all do.
    pub fn favourites(&self, user: u64, time: u64) -> [u8; SLOTS] {
        let step = time.saturating_sub(self.start) / DRIFT;
        let seed = if self.turn.is_some_and(|turn| time >= turn) { self.seed ^ TURNED } else { self.seed };
        std::array::from_fn(|slot| {
            let generation = (step + slot as u64) / SLOTS as u64;
            let draw = hash::mix(seed ^ SLOT, &[user, slot as u64, generation]);
            Rng::new(draw).weighted(&self.categories) as u8
        })
    }

    /// Whether the user likes a hashtag: three of each category's eight.
    pub fn likes_tag(&self, user: u64, tag: u16) -> bool {
        hash::mix(self.seed ^ TAG, &[user, u64::from(tag)]) % TAGS as u64 <= 2
    }

    /// Whether the user likes a sound: one of sixteen.
    pub fn likes_sound(&self, user: u64, sound: u32) -> bool {
        hash::mix(self.seed ^ SOUND, &[user, u64::from(sound)]).is_multiple_of(16)
    }

    /// How well a video suits a user whose favourites are known, in per mille: its category, its hashtags, its sound, and
    /// how good it is for everybody.
    pub fn matches(&self, user: u64, favourites: &[u8; SLOTS], video: &Video) -> u64 {
        let bonus =
            favourites.iter().zip(BONUS).find(|(c, _)| **c == video.category).map_or(0, |(_, bonus)| bonus);
        let liked = video.hashtags().filter(|tag| self.likes_tag(user, *tag)).count().min(2) as u64;
        let sound = u64::from(self.likes_sound(user, video.sound));
        (80 + bonus + 90 * liked + 60 * sound + u64::from(video.quality) / 5).min(1000)
    }

    /// The truth about a user, the favourite categories of each period with their shares of attention,
    /// and the hashtags and sounds that the user likes among those of the last period.
    pub fn truth(&self, user: u64, user_id: u64, end: u64, videos: &Videos) -> Truth {
        let mut periods = Vec::new();
        let mut last = None;
        let mut times: Vec<u64> =
            (0..).map(|n| self.start + n * DRIFT).take_while(|from| *from <= end).collect();
        times.extend(self.turn.filter(|turn| (self.start..=end).contains(turn)));
        times.sort_unstable();
        for from in times {
            let favourites = self.favourites(user, from);
            if last != Some(favourites) {
                let mut shares = BTreeMap::new();
                for (category, weight) in favourites.iter().zip(WEIGHTS) {
                    *shares.entry(CATEGORIES[usize::from(*category)].name).or_default() += weight;
                }
                periods.push(Period { from, categories: shares });
                last = Some(favourites);
            }
        }
        let mut favourites = self.favourites(user, end);
        favourites.sort_unstable();
        let tags = favourites.iter().enumerate().filter(|(i, c)| *i == 0 || favourites[i - 1] != **c);
        let tags = tags.flat_map(|(_, c)| (0..TAGS as u16).map(move |tag| u16::from(*c) * TAGS as u16 + tag));
        let hashtags: Vec<_> =
            tags.filter(|tag| self.likes_tag(user, *tag)).map(super::videos::hashtag).collect();
        let sounds: Vec<_> = (0..videos.sounds)
            .filter(|s| self.likes_sound(user, *s))
            .map(super::videos::sound_id)
            .take(100)
            .collect();
        Truth { user_id, periods, hashtags, sounds }
    }
}
