//! A world with its truth at hand, for whoever measures lists against it. What makes lists sees the events and nothing else.

use freshet_schema::{Event, Interaction, Millis, UserId, VideoId, hash};

use super::people::FIRST_USER;
use super::rng::Rng;
use super::taste::{SLOTS, Tastes, WEIGHTS};
use super::videos::{FIRST_VIDEO, Video, Videos};
use super::words::CATEGORIES;
use super::{AttackTruth, GenerateError, Played, World, check, play, watch};

/// What is true of a world.
pub struct Known {
    users: u64,
    videos: Videos,
    promoted: Vec<Video>,
    tastes: Tastes,
    attacks: Vec<AttackTruth>,
}

/// Makes a world in memory: hands its events to `sink` as [`super::generate`] would write them, and says what is true of it.
/// `progress` is told as there.
///
/// # Errors
/// Where an argument is out of range.
pub fn known(
    world: &World,
    sink: &mut dyn FnMut(&Event),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Known, GenerateError> {
    check(world)?;
    let mut sink = |event: &Event| {
        sink(event);
        Ok::<(), GenerateError>(())
    };
    let Played { videos, promoted, tastes, attacks, .. } = play(world, &mut sink, progress)?;
    Ok(Known { users: world.users, videos, promoted, tastes, attacks })
}

/// A user's taste at a time.
pub struct Taste<'a> {
    known: &'a Known,
    user: u64,
    favourites: [u8; SLOTS],
    at: u64,
}

impl Known {
    /// The taste of a user; `None` for one who is not of this world.
    #[must_use]
    pub fn taste(&self, user: UserId, at: Millis) -> Option<Taste<'_>> {
        let user = user.0.checked_sub(FIRST_USER).filter(|user| *user < self.users)?;
        Some(Taste { known: self, user, favourites: self.tastes.favourites(user, at.0), at: at.0 })
    }

    /// The category of a video.
    #[must_use]
    pub fn category(&self, video: VideoId) -> Option<&'static str> {
        self.video(video).map(category)
    }

    /// How good a video is for everybody, in per mille.
    #[must_use]
    pub fn quality(&self, video: VideoId) -> Option<u64> {
        self.video(video).map(|video| u64::from(video.quality))
    }

    /// What `view` would have been, had its user been shown `video` instead: what they do follows from how well it suits
    /// them, and from a draw by `seed` that the same user, event and video always have. `None` where it cannot be shown.
    #[must_use]
    pub fn instead(&self, view: &Interaction, video: VideoId, seed: u64) -> Option<Interaction> {
        let taste = self.taste(view.user_id, view.event_time)?;
        let (matched, what) = (taste.value(video)?, self.video(video)?);
        let mut rng = Rng::new(hash::mix(seed, &[view.user_id.0, view.event_id.0, video.0]));
        let watched = watch::watch(matched, u64::from(what.duration), &mut rng);
        let reactions = watch::react(matched, watched.skip, &mut rng);
        Some(Interaction {
            video_id: video,
            watch_ms: Some(watched.ms),
            duration_ms: Some(u64::from(what.duration)),
            skip: Some(watched.skip),
            rewatch: Some(2 * watched.ms >= 3 * u64::from(what.duration)),
            like: reactions.like,
            dislike: reactions.dislike,
            share: reactions.share,
            comment: reactions.comment,
            follow: reactions.follow,
            ..view.clone()
        })
    }

    fn video(&self, video: VideoId) -> Option<&Video> {
        let number = usize::try_from(video.0.checked_sub(FIRST_VIDEO)?).ok()?;
        let promoted = || self.promoted.get(number - self.videos.all.len());
        self.videos.all.get(number).or_else(promoted)
    }

    /// What is true of each attack on the world.
    #[must_use]
    pub fn attacks(&self) -> &[AttackTruth] {
        &self.attacks
    }
}

fn category(video: &Video) -> &'static str {
    CATEGORIES[usize::from(video.category)].name
}

impl Taste<'_> {
    /// How well a video suits the user, in per mille: what decides in the simulation whether it is skipped, watched to the
    /// end and liked. `None` where it cannot be shown at this time.
    #[must_use]
    pub fn value(&self, video: VideoId) -> Option<u64> {
        self.of(self.known.video(video)?)
    }

    /// All videos that can be shown at this time with their values, in the order of their identifiers.
    pub fn values(&self) -> impl Iterator<Item = (VideoId, u64)> {
        let numbered = self.known.videos.all.iter().chain(&self.known.promoted).zip(FIRST_VIDEO..);
        numbered.filter_map(|(video, id)| Some((VideoId(id), self.of(video)?)))
    }

    fn of(&self, video: &Video) -> Option<u64> {
        video.is_shown(self.at).then(|| self.known.tastes.matches(self.user, &self.favourites, video))
    }

    /// The user's favourite categories, the one with the greatest share of attention first.
    #[must_use]
    pub fn favourites(&self) -> Vec<&'static str> {
        let mut shares: Vec<(u8, u64)> = Vec::new();
        for (favourite, weight) in self.favourites.into_iter().zip(WEIGHTS) {
            match shares.iter_mut().find(|(own, _)| *own == favourite) {
                Some((_, share)) => *share += weight,
                None => shares.push((favourite, weight)),
            }
        }
        shares.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
        shares.into_iter().map(|(favourite, _)| CATEGORIES[usize::from(favourite)].name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::event::Status;
    use std::collections::BTreeMap;

    fn world() -> (Known, Vec<Event>) {
        let mut events = Vec::new();
        let world = World { days: 3, ..World::new(40, 200, 3_000, 5) };
        let known =
            known(&world, &mut |event| events.push(event.clone()), &mut |_, _| {}).expect("good arguments");
        (known, events)
    }

    #[test]
    fn the_events_are_those_that_would_be_written() {
        let (_, events) = world();
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("log");
        let world = World { days: 3, ..World::new(40, 200, 3_000, 5) };
        super::super::generate(&world, &out, &mut |_, _| {}).expect("room");
        let text = std::fs::read_to_string(out.join("interactions/part-00000.jsonl")).expect("a log");
        let written: Vec<freshet_schema::Interaction> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
        let views = events.iter().filter_map(|event| match event {
            Event::Interaction(view) => Some(view.clone()),
            _ => None,
        });
        assert_eq!(views.collect::<Vec<_>>(), written);
    }

    #[test]
    fn the_truth_is_that_of_the_simulation() {
        let (known, events) = world();
        // Likes follow the match: those who like a video value it more than those who do not.
        let (mut liked, mut others) = ((0, 0u64), (0, 0u64));
        let mut ready = BTreeMap::new();
        for event in &events {
            match event {
                Event::Upload(upload) => {
                    assert_eq!(known.category(upload.video_id), upload.category.as_deref());
                    if upload.status == Status::Ready {
                        ready.insert(upload.video_id, upload.event_time);
                    }
                }
                Event::Interaction(view) if view.revision == 0 => {
                    let taste = known.taste(view.user_id, view.event_time).expect("a user of this world");
                    if let Some(value) = taste.value(view.video_id) {
                        assert!(value <= 1_000 && ready[&view.video_id] <= view.event_time);
                        let sum = if view.like { &mut liked } else { &mut others };
                        *sum = (sum.0 + value, sum.1 + 1);
                    }
                }
                _ => {}
            }
        }
        assert!(liked.1 > 30 && others.1 > 1_000, "{liked:?} {others:?}");
        assert!(liked.0 * others.1 > others.0 * liked.1 * 11 / 10, "{liked:?} {others:?}");
    }

    #[test]
    fn what_is_shown_instead_is_taken_as_it_suits() {
        let (known, events) = world();
        let views: Vec<&Interaction> = events
            .iter()
            .filter_map(|event| match event {
                Event::Interaction(view) if view.revision == 0 => Some(view),
                _ => None,
            })
            .collect();
        let (mut good, mut poor) = ((0, 0u64), (0, 0u64));
        for view in &views {
            let taste = known.taste(view.user_id, view.event_time).expect("a user of this world");
            let best = taste.values().max_by_key(|(_, value)| *value).expect("something is shown");
            let worst = taste.values().min_by_key(|(_, value)| *value).expect("something is shown");
            for ((video, _), sum) in [(best, &mut good), (worst, &mut poor)] {
                let shown = known.instead(view, video, 9).expect("it can be shown");
                assert_eq!(known.instead(view, video, 9), Some(shown.clone()));
                assert_eq!(
                    (shown.user_id, shown.event_id, shown.video_id),
                    (view.user_id, view.event_id, video)
                );
                *sum = (sum.0 + 1, sum.1 + u64::from(shown.skip == Some(true)));
            }
        }
        assert!(good.0 > 1_000 && 2 * good.1 < poor.1, "skipped: {good:?} {poor:?}");
        assert_eq!(known.instead(views[0], VideoId(1), 9), None);
    }

    #[test]
    fn tastes_turn_on_a_day() {
        let world = World { days: 4, turn: Some(2), ..World::new(60, 100, 500, 5) };
        let turned = known(&world, &mut |_| {}, &mut |_, _| {}).expect("good arguments");
        let plain = World { turn: None, ..world };
        let plain = known(&plain, &mut |_| {}, &mut |_, _| {}).expect("good arguments");
        let day = 86_400_000;
        let favourites = |known: &Known, user: u64, at: u64| {
            known.taste(UserId(FIRST_USER + user), Millis(World::START.0 + at)).expect("a user").favourites()
        };
        let mut others = 0;
        for user in 0..60 {
            assert_eq!(favourites(&turned, user, 2 * day - 1), favourites(&plain, user, 2 * day - 1));
            others +=
                usize::from(favourites(&turned, user, 2 * day) != favourites(&turned, user, 2 * day - 1));
            assert_eq!(favourites(&plain, user, 2 * day), favourites(&plain, user, 2 * day - 1));
        }
        assert!(others > 50, "{others}");
    }

    #[test]
    fn a_favourite_is_worth_more() {
        let (known, _) = world();
        let at = Millis(World::START.0 + 1);
        let taste = known.taste(UserId(FIRST_USER), at).expect("the first user");
        let favourites = taste.favourites();
        assert!((1..=SLOTS).contains(&favourites.len()));
        let values: Vec<(VideoId, u64)> = taste.values().collect();
        assert!(values.len() > 50, "most of the catalogue is there at the beginning");
        assert!(values.iter().all(|(video, value)| taste.value(*video) == Some(*value)));
        let mean = |of: &dyn Fn(&'static str) -> bool| {
            let own: Vec<u64> = values
                .iter()
                .filter(|(v, _)| known.category(*v).is_some_and(of))
                .map(|(_, value)| *value)
                .collect();
            own.iter().sum::<u64>() as f64 / own.len() as f64
        };
        assert!(mean(&|c| favourites.contains(&c)) > mean(&|c| !favourites.contains(&c)) + 100.0);
        assert!(known.taste(UserId(FIRST_USER + 40), at).is_none() && known.taste(UserId(0), at).is_none());
        assert_eq!((taste.value(VideoId(1)), known.category(VideoId(1))), (None, None));
    }
}
