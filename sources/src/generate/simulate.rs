//! The run of the world: always the user whose moment is next, one event at a time, so that records come in the order of
//! time and memory holds users and videos, never events. What arrives later than it happened waits in a queue.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use freshet_schema::event::{Delete, FollowAction, Target};
use freshet_schema::{CreatorId, Event, EventId, Follow, Interaction, Millis, SessionId, UserId, VideoId};

use super::World;
use super::people::{DEVICES, EMPTY, FIRST_USER, NONE, Person};
use super::rates::{self, DAY, HOUR, MINUTE};
use super::report::Behaviour;
use super::rng::Rng;
use super::taste::{CUMULATIVE, Tastes};
use super::videos::{FIRST_CREATOR, FIRST_VIDEO, Videos};
use super::watch;

/// Impressions on a page of the feed.
const PAGE: u32 = 10;

/// What takes an event away.
pub(super) type Sink<'a, E> = dyn FnMut(&Event) -> Result<(), E> + 'a;

/// The state of the world.
pub(super) struct Simulation<'a> {
    world: &'a World,
    span: u64,
    videos: &'a Videos,
    tastes: &'a Tastes,
    people: Vec<Person>,
    rng: Rng,
    /// Users by the time of what they do next.
    moments: BinaryHeap<Reverse<(u64, u32)>>,
    /// What arrives later, by arrival.
    underway: BTreeMap<(u64, u64), Event>,
    /// Videos before this one were created by now.
    created: usize,
    sessions: u64,
    requests: u64,
    events: u64,
    pub behaviour: Behaviour,
}

impl<'a> Simulation<'a> {
    pub fn new(
        world: &'a World,
        span: u64,
        videos: &'a Videos,
        tastes: &'a Tastes,
        mut people: Vec<Person>,
        rng: Rng,
    ) -> Self {
        let moments = people.iter_mut().enumerate().filter_map(|(number, person)| {
            let at = person.next_session(number as u64, world.start.0, span, world.start.0, world.seed)?;
            Some(Reverse((at, number as u32)))
        });
        let moments: BinaryHeap<_> = moments.collect();
        Self {
            world,
            span,
            videos,
            tastes,
            people,
            rng,
            moments,
            underway: BTreeMap::new(),
            created: videos.before,
            sessions: 0,
            requests: 0,
            events: 0,
            behaviour: Behaviour::default(),
        }
    }

    /// A number that no other record has that is not an interaction.
    fn event_id(&mut self) -> EventId {
        self.events += 1;
        EventId(self.events)
    }

    /// Puts an event on its way. The queue is no larger than the world: where more is underway, the first arrives early.
    fn send<E>(&mut self, arrival: u64, event: Event, sink: &mut Sink<'_, E>) -> Result<(), E> {
        self.events += 1;
        self.underway.insert((arrival, self.events), event);
        if self.underway.len() > self.people.len() + self.videos.all.len() + 1000
            && let Some((_, event)) = self.underway.pop_first()
        {
            sink(&event)?;
        }
        Ok(())
    }

    /// Runs the world to its end.
    pub fn run<E>(&mut self, sink: &mut Sink<'_, E>, progress: &mut dyn FnMut(u64, u64)) -> Result<(), E> {
        self.begin(sink)?;
        while let Some(Reverse((now, number))) = self.moments.pop() {
            while let Some(entry) = self.underway.first_entry().filter(|entry| entry.key().0 <= now) {
                sink(&entry.remove())?;
            }
            while self.videos.all.get(self.created).is_some_and(|v| v.created <= now) {
                self.created += 1;
            }
            let next = if self.people[number as usize].video == EMPTY {
                self.sit_down(now, number, sink)?;
                Some(self.show(now, number))
            } else {
                self.finish(now, number, sink)?;
                if self.behaviour.impressions.is_multiple_of(8192) {
                    progress(self.behaviour.impressions, self.world.events);
                }
                let person = &mut self.people[number as usize];
                person.video = EMPTY;
                if person.done < person.until {
                    let pause = self.rng.between(200, 2_000);
                    Some(self.show(now + pause, number))
                } else {
                    person.next_session(
                        u64::from(number),
                        self.world.start.0,
                        self.span,
                        now,
                        self.world.seed,
                    )
                }
            };
            match next {
                Some(at) => self.moments.push(Reverse((at, number))),
                None => self.leave(now, number, sink)?,
            }
        }
        while let Some((_, event)) = self.underway.pop_first() {
            sink(&event)?;
        }
        progress(self.behaviour.impressions, self.world.events);
        Ok(())
    }

    /// The users who are there from the beginning, and the deletions of videos, which are known in advance.
    fn begin<E>(&mut self, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let start = self.world.start.0;
        for number in 0..self.people.len() as u32 {
            if self.people[number as usize].joined == start {
                self.greet(start, number, sink)?;
            }
        }
        for number in 0..self.videos.all.len() {
            let at = self.videos.all[number].deleted;
            if at != u64::MAX {
                let event_id = self.event_id();
                let target = Target::Video { video_id: VideoId(FIRST_VIDEO + number as u64) };
                let delete = Delete { event_id, revision: 0, event_time: Millis(at), target };
                self.send(at, Event::Delete(delete), sink)?;
            }
        }
        Ok(())
    }

    /// The profile of a new user and whom they follow already.
    fn greet<E>(&mut self, now: u64, number: u32, sink: &mut Sink<'_, E>) -> Result<(), E> {
        self.people[number as usize].greeted = true;
        self.profile(now, number, sink)?;
        let favourites = self.tastes.favourites(u64::from(number), now);
        for _ in 0..self.rng.below(5) {
            let category = usize::from(favourites[self.rng.weighted(&CUMULATIVE)]);
            let Some(video) = self.videos.popular(category, &mut self.rng) else { continue };
            let video = &self.videos.all[video as usize];
            if video.created <= now {
                self.follow(now, number, video.creator, FollowAction::Follow, sink)?;
            }
        }
        Ok(())
    }

    fn profile<E>(&mut self, now: u64, number: u32, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let event_id = self.event_id();
        let person = &self.people[number as usize];
        sink(&Event::User(person.profile(u64::from(number), now, event_id.0, self.tastes, self.world.seed)))
    }

    fn follow<E>(
        &mut self,
        now: u64,
        number: u32,
        creator: u32,
        action: FollowAction,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), E> {
        let event_id = self.event_id();
        let follows = &mut self.people[number as usize].follows;
        let place = follows.iter().position(|c| *c == creator);
        match action {
            FollowAction::Unfollow => {
                if let Some(place) = place {
                    follows[place] = EMPTY;
                }
            }
            FollowAction::Follow => remember(follows, creator),
        }
        sink(&Event::Follow(Follow {
            event_id,
            revision: 0,
            event_time: Millis(now),
            user_id: UserId(FIRST_USER + u64::from(number)),
            creator_id: CreatorId(FIRST_CREATOR + u64::from(creator)),
            action,
        }))
    }

    /// A session begins.
    fn sit_down<E>(&mut self, now: u64, number: u32, sink: &mut Sink<'_, E>) -> Result<(), E> {
        if !self.people[number as usize].greeted {
            self.greet(now, number, sink)?;
        }
        if self.rng.chance(rates::NEW_PROFILE) {
            let country = self.rng.below(8) as u8;
            let person = &mut self.people[number as usize];
            person.country = if person.country == NONE { country } else { NONE };
            self.profile(now, number, sink)?;
        }
        if self.rng.chance(rates::UNFOLLOW) {
            let creator = *self.rng.pick(&self.people[number as usize].follows);
            if creator != EMPTY {
                self.follow(now, number, creator, FollowAction::Unfollow, sink)?;
            }
        }
        self.sessions += 1;
        let person = &mut self.people[number as usize];
        person.session_id = self.sessions;
        person.position = 0;
        Ok(())
    }

    /// Chooses the next video and how long it is watched; returns when that ends.
    fn show(&mut self, now: u64, number: u32) -> u64 {
        let favourites = self.tastes.favourites(u64::from(number), now);
        let video = self.choose(now, number, &favourites);
        let what = &self.videos.all[video as usize];
        let matched = self.tastes.matches(u64::from(number), &favourites, what);
        let watch = watch::watch(matched, u64::from(what.duration), &mut self.rng);
        let person = &mut self.people[number as usize];
        if person.position.is_multiple_of(PAGE) {
            self.requests += 1;
            person.request = self.requests;
        }
        person.video = video;
        person.watch = watch.ms as u32;
        person.skip = watch.skip;
        person.recent[person.done as usize % person.recent.len()] = video;
        now + watch.ms.max(1)
    }

    /// A feed of its time: mostly after the user's taste, some of what is popular, new, or from whom they follow.
    fn choose(&mut self, now: u64, number: u32, favourites: &[u8]) -> u32 {
        let videos = self.videos;
        let soon =
            videos.all.get(self.created).is_some_and(|v| v.created <= now + HOUR && v.ready != u64::MAX);
        if soon && self.rng.chance(rates::BEFORE_UPLOAD) {
            return self.created as u32;
        }
        for _ in 0..12 {
            let draw = self.rng.below(1_000_000);
            let video = if draw < rates::FROM_FOLLOWED {
                let creator = *self.rng.pick(&self.people[number as usize].follows);
                if creator == EMPTY { None } else { videos.by(creator, &mut self.rng) }
            } else if draw < rates::FROM_FOLLOWED + rates::FROM_FRESH {
                let recent = (videos.all.len() as u64 / 50).clamp(1, self.created.max(1) as u64);
                Some((self.created as u64).saturating_sub(1 + self.rng.below(recent)) as u32)
            } else if draw < rates::FROM_FOLLOWED + rates::FROM_FRESH + rates::FROM_POPULAR {
                videos.best(&mut self.rng)
            } else {
                videos.popular(usize::from(favourites[self.rng.weighted(&CUMULATIVE)]), &mut self.rng)
            };
            let fits = |v: &u32| {
                videos.all[*v as usize].is_shown(now) && !self.people[number as usize].recent.contains(v)
            };
            if let Some(video) = video.filter(fits) {
                return video;
            }
        }
        // A small world is watched out soon: then anything that can be shown will do, and at last anything at all.
        for _ in 0..64 {
            let video = self.rng.below(self.created.max(1) as u64) as u32;
            if videos.all[video as usize].is_shown(now) {
                return video;
            }
        }
        0
    }

    /// A view ends: the record is written, with all that may happen to it on its way.
    fn finish<E>(&mut self, now: u64, number: u32, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let favourites = self.tastes.favourites(u64::from(number), now);
        let video = self.people[number as usize].video;
        let what = &self.videos.all[video as usize];
        let matched = self.tastes.matches(u64::from(number), &favourites, what);
        let reactions = watch::react(matched, self.people[number as usize].skip, &mut self.rng);
        let (creator, duration) = (what.creator, u64::from(what.duration));
        let person = &mut self.people[number as usize];
        person.done += 1;
        let (device, os) = DEVICES[usize::from(person.device)];
        let watch_ms = u64::from(person.watch);
        let event = Interaction {
            event_id: EventId(u64::from(person.done)),
            event_time: Millis(now),
            user_id: UserId(FIRST_USER + u64::from(number)),
            video_id: VideoId(FIRST_VIDEO + u64::from(video)),
            session_id: person.new_client.then_some(SessionId(person.session_id)),
            watch_ms: Some(watch_ms),
            duration_ms: Some(duration),
            like: reactions.like,
            dislike: reactions.dislike,
            share: reactions.share,
            comment: reactions.comment,
            follow: reactions.follow,
            rewatch: person.new_client.then_some(2 * watch_ms >= 3 * duration),
            skip: person.new_client.then_some(person.skip),
            feed_position: Some(person.position),
            request_id: Some(person.request),
            device: Some(device.to_owned()),
            os: Some(os.to_owned()),
            country: person.country(),
            network: Some(if person.wifi { "wifi" } else { "cellular" }.to_owned()),
            revision: 0,
        };
        person.position += 1;
        if reactions.follow {
            remember(&mut person.follows, creator);
        }
        self.behaviour.count(&event, self.people[number as usize].skip);
        self.follow_up(&event, sink)?;
        if self.rng.chance(rates::DUPLICATE) {
            self.behaviour.duplicates += 1;
            let arrival = now + self.rng.below(MINUTE);
            self.send(arrival, Event::Interaction(event.clone()), sink)?;
        }
        if self.rng.chance(rates::LATE) {
            self.behaviour.late += 1;
            // The smaller of two draws, twice: most are late by minutes.
            let delay = (0..4).map(|_| self.rng.below(rates::LATEST)).min().unwrap_or(0);
            return self.send(now + MINUTE + delay, Event::Interaction(event), sink);
        }
        sink(&Event::Interaction(event))
    }

    /// A like that is taken back, an interaction that is deleted.
    fn follow_up<E>(&mut self, event: &Interaction, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let now = event.event_time.0;
        if event.like && self.rng.chance(rates::UNLIKE) {
            self.behaviour.revisions += 1;
            let arrival = now + MINUTE + self.rng.below(DAY);
            let unliked = Interaction { revision: 1, like: false, ..event.clone() };
            self.send(arrival, Event::Interaction(unliked), sink)?;
        }
        if self.rng.chance(rates::DELETE_INTERACTION) {
            let at = now + MINUTE + self.rng.below(2 * DAY);
            let event_id = self.event_id();
            let target = Target::Interaction { user_id: event.user_id, target_event_id: event.event_id };
            let delete = Delete { event_id, revision: 0, event_time: Millis(at), target };
            self.send(at, Event::Delete(delete), sink)?;
        }
        Ok(())
    }

    /// The last session is over; some users ask to be forgotten.
    fn leave<E>(&mut self, now: u64, number: u32, sink: &mut Sink<'_, E>) -> Result<(), E> {
        if !self.people[number as usize].leaves {
            return Ok(());
        }
        // After the last of their late events has arrived.
        let at = now + rates::LATEST + HOUR;
        let event_id = self.event_id();
        let target = Target::User { user_id: UserId(FIRST_USER + u64::from(number)) };
        self.send(at, Event::Delete(Delete { event_id, revision: 0, event_time: Millis(at), target }), sink)
    }
}

/// Notes a creator among the last few followed.
fn remember(follows: &mut [u32], creator: u32) {
    if !follows.contains(&creator) {
        let place = follows.iter().position(|c| *c == EMPTY).unwrap_or(creator as usize % follows.len());
        follows[place] = creator;
    }
}
