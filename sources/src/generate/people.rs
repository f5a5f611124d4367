//! The users of the world: who they are, how much they watch, and when their sessions are.

use freshet_schema::hash;
use freshet_schema::{EventId, Millis, User, UserId};

use super::World;
use super::rates::{self, DAY, HOUR, HOURS, MINUTE};
use super::rng::Rng;
use super::taste::Tastes;
use super::videos::hashtag;
use super::words::TAGS;
use freshet_schema::fixed::OCTAVE;

/// The first user.
pub(super) const FIRST_USER: u64 = 1_000_001;

/// Countries with their weights, summed up.
const COUNTRIES: [(&str, u64); 8] =
    [("BR", 18), ("DE", 30), ("ES", 42), ("FR", 54), ("GB", 66), ("IN", 82), ("JP", 90), ("US", 100)];
const AGES: [(&str, u64); 6] =
    [("13-17", 12), ("18-24", 42), ("25-34", 70), ("35-44", 86), ("45-54", 95), ("55+", 100)];
const GENDERS: [(&str, u64); 3] = [("female", 50), ("male", 97), ("other", 100)];
/// Device, operating system.
pub(super) const DEVICES: [(&str, &str); 4] =
    [("phone", "android"), ("phone", "ios"), ("tablet", "android"), ("desktop", "linux")];
const DEVICE_WEIGHTS: [u64; 4] = [60, 90, 96, 100];

/// How many of the last videos of a user are not shown again at once.
pub(super) const RECENT: usize = 16;
/// How many creators a user remembers to follow, for the feed and for unfollowing.
pub(super) const FOLLOWED: usize = 8;

/// A user while the simulation runs.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// When the profile and the sessions begin.
    pub joined: u64,
    /// Events to come in all.
    pub quota: u32,
    /// Events so far.
    pub done: u32,
    pub sessions: u32,
    /// Sessions so far.
    pub session: u32,
    /// Events so far at which this session ends.
    pub until: u32,
    /// Place in the session's feed.
    pub position: u32,
    /// Number of the page that is being shown.
    pub request: u64,
    pub session_id: u64,
    /// What is being watched, since when, and for how long.
    pub video: u32,
    pub watch: u32,
    pub skip: bool,
    pub recent: [u32; RECENT],
    pub follows: [u32; FOLLOWED],
    pub country: u8,
    pub age: u8,
    pub gender: u8,
    pub device: u8,
    pub wifi: bool,
    pub new_client: bool,
    /// Leaves before the end and asks to be forgotten.
    pub leaves: bool,
    pub greeted: bool,
}

/// Nothing known, or nobody.
pub(super) const NONE: u8 = u8::MAX;
/// No creator or video in this place.
pub(super) const EMPTY: u32 = u32::MAX;

/// All users. Their numbers of events add up to the world's.
pub(super) fn people(world: &World, span: u64, rng: &mut Rng) -> Vec<Person> {
    // KuaiRand-27K: median 8,594 events a user, 90 % below 24,587, which is a deviation of 1.18 octaves.
    let activity: Vec<u64> = (0..world.users).map(|_| rng.log_normal(8 * OCTAVE) >> 8).collect();
    let total: u128 = activity.iter().map(|a| u128::from(*a)).sum::<u128>().max(1);
    let mut sum = 0u128;
    let mut share = |activity: u64| {
        let before = sum * u128::from(world.events) / total;
        sum += u128::from(activity);
        (sum * u128::from(world.events) / total - before) as u32
    };
    activity.into_iter().map(|activity| person(share(activity), world, span, rng)).collect()
}

fn person(quota: u32, world: &World, span: u64, rng: &mut Rng) -> Person {
    let known = |rng: &mut Rng, missing: u64, weights: &[(&str, u64)]| {
        let draw = rng.below(100);
        let place = weights.iter().position(|(_, sum)| draw < *sum).unwrap_or(0) as u8;
        if rng.chance(missing) { NONE } else { place }
    };
    let usual = (span / DAY).max(1) * rates::SESSIONS_PER_DAY_100 / 100;
    let length = (u64::from(quota) / usual.max(1)).clamp(rates::SESSION_LEAST, rates::SESSION_MOST);
    Person {
        joined: world.start.0 + if rng.chance(rates::JOIN_LATER) { rng.below(span / 2) } else { 0 },
        quota,
        done: 0,
        sessions: u64::from(quota).div_ceil(length) as u32,
        session: 0,
        until: 0,
        position: 0,
        request: 0,
        session_id: 0,
        video: EMPTY,
        watch: 0,
        skip: false,
        recent: [EMPTY; RECENT],
        follows: [EMPTY; FOLLOWED],
        country: known(rng, rates::NO_COUNTRY, &COUNTRIES),
        age: known(rng, rates::NO_AGE, &AGES),
        gender: known(rng, rates::NO_GENDER, &GENDERS),
        device: rng.weighted(&DEVICE_WEIGHTS) as u8,
        wifi: rng.chance(650_000),
        new_client: rng.chance(rates::NEW_CLIENT),
        leaves: rng.chance(rates::DELETE_USER),
        greeted: false,
    }
}

impl Person {
    /// The country, where it is known.
    pub fn country(&self) -> Option<String> {
        COUNTRIES.get(usize::from(self.country)).map(|(name, _)| (*name).to_owned())
    }

    /// The profile as it stands since a time.
    pub fn profile(&self, number: u64, time: u64, event_id: u64, tastes: &Tastes, seed: u64) -> User {
        let mut preferences = Vec::new();
        if hash::mix(seed ^ u64::from_be_bytes(*b"prefers!"), &[number]) % 1_000_000 < rates::HAS_PREFERENCES
        {
            for category in &tastes.favourites(number, time)[..2] {
                let first = u16::from(*category) * TAGS as u16;
                preferences.extend(
                    (first..first + TAGS as u16).find(|tag| tastes.likes_tag(number, *tag)).map(hashtag),
                );
            }
            preferences.dedup();
        }
        User {
            event_id: EventId(event_id),
            event_time: Millis(time),
            user_id: UserId(FIRST_USER + number),
            country: self.country(),
            age_band: AGES.get(usize::from(self.age)).map(|(name, _)| (*name).to_owned()),
            gender: GENDERS.get(usize::from(self.gender)).map(|(name, _)| (*name).to_owned()),
            preferences: preferences.into_iter().map(str::to_owned).collect(),
            ..User::default()
        }
    }

    /// When the next session begins, no earlier than `after`; `None` where there is none left. Sessions are spread over
    /// the user's time evenly but for chance, and over the day as KuaiRand's exposures are.
    pub fn next_session(&mut self, number: u64, start: u64, span: u64, after: u64, seed: u64) -> Option<u64> {
        while self.session < self.sessions {
            let k = u64::from(self.session);
            self.session += 1;
            // Sessions differ in length: each boundary but the last is moved by up to half a session.
            let mean = u64::from(self.quota) / u64::from(self.sessions);
            let draw = hash::mix(seed ^ u64::from_be_bytes(*b"sittings"), &[number, k]);
            let boundary = u64::from(self.quota) * (k + 1) / u64::from(self.sessions);
            let moved =
                if self.session == self.sessions { boundary } else { boundary - draw % (mean / 2 + 1) };
            self.until = moved as u32;
            if self.until <= self.done {
                continue;
            }
            let end = start + if self.leaves { span * 3 / 4 } else { span };
            let from = self.joined.min(end - 1);
            let place = (u128::from(k) * 1024 + u128::from((draw >> 32) % 1024)) * u128::from(end - from)
                / (u128::from(self.sessions) * 1024);
            let at = by_the_clock(from + place as u64);
            return Some(at.max(after + 5 * MINUTE).max(self.joined));
        }
        None
    }
}

/// The clock of [`HOURS`] is ahead of UTC by this.
const AHEAD: u64 = 8 * HOUR;

/// Moves a moment within its day, so that the hours get their shares: the inverse of the distribution over the day.
fn by_the_clock(time: u64) -> u64 {
    let (day, within) = ((time + AHEAD) / DAY, (time + AHEAD) % DAY);
    let total: u64 = HOURS.iter().sum();
    let wanted = within * total / DAY;
    let mut sum = 0;
    for (hour, share) in HOURS.iter().enumerate() {
        if wanted < sum + share {
            return day * DAY + hour as u64 * HOUR + (wanted - sum) * HOUR / share - AHEAD;
        }
        sum += share;
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_has_its_quiet_hours() {
        let mut night = 0;
        let mut last = 0;
        for minute in 0..2 * 1440 {
            let at = by_the_clock(World::START.0 + minute * MINUTE);
            assert!(at >= last, "time goes on");
            last = at;
            night += u64::from((2 * HOUR..6 * HOUR).contains(&((at + AHEAD) % DAY)));
        }
        // 4 of 24 hours, 4.1 % of the exposures.
        assert!((100..135).contains(&night), "{night} of 2880");
    }
}
