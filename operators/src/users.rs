//! The user side: counts views into histories, forgets on request, and decides whose list is remade.
//!
//! Comes in, at the user's worker: enriched views, profiles, follows, deletes (those of videos at every worker), the clock;
//! and, from the epoch before, which videos each list held and the published skip thresholds. Goes out: every counted row
//! with its sign, which is all that any other view is made of, and one request for each dirty user.
//!
//! Dirty is who interacted, changed their profile or follows, was touched by a delete, holds a video in the list that can no
//! longer be shown, or is active with a list older than `refresh_after`. A changed pool or score marks nobody dirty: work
//! grows with events, not with users. An ask makes a request as well, but changes nothing here: whoever measures lists must
//! not move them.

mod audience;
mod guests;
mod holders;
mod ledger;
mod requests;
pub(crate) mod saved;
mod suspects;
mod trials;

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::event::{Event, FollowAction, ServedItem, Target};
use freshet_schema::hash::Slice;
use freshet_schema::store::Key;
use freshet_schema::{Epoch, User, UserId};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::abuse::user::UserNumbers;
use crate::abuse::{AbuseIn, InBurst, Report};
use crate::bandit::Arms;
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::coengage::Pair;
use crate::cohorts::{Call, CohortIn};
use crate::content::{Content, DURATION_CLASSES};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::examples::{Described, Examples, Open, Place};
use crate::experiments;
use crate::experiments::draws::Draw;
use crate::history::History;
use crate::look::{self, Kind, PersonLook, Record, Records, SuspectLook, Wanted};
use crate::params::Params;
use crate::pools::Change;
use crate::profile::Profile;
use crate::request::{Purpose, Request};
use crate::row::{Group, Row, View};
use crate::scorer::learn::{self, Hours};
use crate::spread::{Listing, Watch};
use crate::topics::TopicTable;
use crate::wire::Json;
use guests::{Guests, Heard};
use holders::Holders;
use suspects::Suspects;
use trials::Trials;

/// Watched parts, in per mille, under which the fastest fifth of each duration class lies.
pub type SkipThresholds = [u64; DURATION_CLASSES];

/// The skip thresholds before any were published.
pub const INITIAL_SKIP_BELOW: SkipThresholds = [100; DURATION_CLASSES];

/// What the user side hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UserIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A view with the content of its video.
    View(View, #[serde(deserialize_with = "crate::intern::content")] Arc<Content>),
    /// A profile.
    Profile(Json<User>),
    /// `user` follows `creator` or stops, at (time, event, revision).
    Follow(u64, u64, FollowOrder, bool),
    /// An interaction (user, event) is to be forgotten.
    ForgetEvent(u64, u64),
    /// A user is to be forgotten, up to a time.
    ForgetUser(u64, u64),
    /// A video is to be forgotten, up to a time. Heard by every worker.
    ForgetVideo(u64, u64),
    /// A video can no longer be shown. Heard by every worker.
    Gone(u64),
    /// The videos of a user's list, from the epoch before.
    Listed(u64, Arc<[u64]>),
    /// Somebody asks to see this user's list as it would be made now; whether the user is shown it.
    Ask(u64, bool),
    /// Somebody asks what is expected of a user with some videos.
    Probe(u64, Vec<u64>),
    /// A page with these videos was served to a user at a time, and these of its places were drawn evenly.
    Served(u64, u64, Vec<Place>, Vec<Draw>),
    /// From the epoch before, the answer to [`Purpose::Learn`].
    Described(Described),
    /// Skip thresholds, topics and arms published in the epoch before. Heard by every worker.
    Published(SkipThresholds, Arc<TopicTable>, Arc<Arms>),
    /// Lists and preferences of these users are to be written again.
    Remake(Slice),
    /// Of cohorts, from the epoch before. Invitations are heard by their user's worker, the others by every one.
    Cohort(Call),
    /// Of abuse, from the epoch before: a user was in a burst, or was not after all.
    Burst(InBurst),
}

/// Which of two follows is the later one: (time, event, revision).
pub type FollowOrder = (u64, u64, u32);

outputs! {
    /// What the user side says.
    UsersOut as UsersStreams {
        /// A row of this user counts (1) or no longer counts (-1).
        rows: (u64, Row, i64),
        /// Terms of co-engagement.
        pairs: Pair,
        /// A list is to be made, or videos are to be described.
        requests: Arc<Request>,
        /// Sums that the heads learn from, by hour.
        learned: (u64, Box<learn::Sums>),
        /// A user's list is to be removed.
        removed: u64,
        /// What a user asked for, to store, or its removal.
        preferences: Change,
        /// A demographic group has got its first member on this worker.
        groups: Group,
        /// Users for the cohorts of new videos, and what those who were invited did.
        cohorts: CohortIn,
        /// What changed in the lists that the store has, at a publication.
        listings: Listing,
        /// What users of experiments add to the sums of their arms.
        trials: experiments::Term,
        /// What speaks of abuse: engagements of users, and whose signals changed.
        evidence: AbuseIn,
        /// What is suspected of users, for metrics and the log.
        suspicions: Report,
    }
}

#[derive(Clone, Default)]
struct Person {
    history: History,
    profile: Option<(FollowOrder, Profile)>,
    follows: BTreeMap<u64, (FollowOrder, bool)>,
    listed: Arc<[u64]>,
    examples: Examples,
    /// When the list is looked at again; 0 where there is none.
    refresh_at: u64,
    /// The earliest time at which the schedule names this user; 0 where it does not.
    expires_at: u64,
    bytes: u64,
}

impl Person {
    /// Whether anything was said by or of the user that is not forgotten.
    fn is_known(&self) -> bool {
        !self.history.rows().is_empty() || self.profile.is_some() || !self.follows.is_empty()
    }

    /// Bytes held.
    fn weight(&self) -> u64 {
        let beside = size_of::<Self>() + self.listed.len() * 8 + self.examples.bytes();
        self.history.bytes() + beside as u64
    }
}

/// See the module.
pub struct Users {
    params: Params,
    /// Shared with a checkpoint while it is written.
    people: FxHashMap<u64, Arc<Person>>,
    groups: BTreeMap<String, Group>,
    /// Hashes of (user, event) that were counted: says "certainly new" without a search.
    seen: FxHashSet<u64>,
    /// Who watched a video, once a row.
    viewers: FxHashMap<u64, Vec<u64>>,
    forgotten_events: FxHashSet<(u64, u64)>,
    forgotten_users: FxHashMap<u64, u64>,
    forgotten_videos: FxHashMap<u64, u64>,
    expiries: BTreeMap<u64, Vec<u64>>,
    refreshes: BTreeMap<u64, Vec<u64>>,
    skip_below: SkipThresholds,
    topics: Arc<TopicTable>,
    arms: Arc<Arms>,
    /// What was learned since the last publication.
    unpublished: Hours,
    publication: Boundary,
    /// The epoch's preferences: one record a user, however often the profile changed.
    preferred: BTreeMap<u64, Option<Vec<u8>>>,
    guests: Guests,
    trials: Trials,
    suspects: Suspects,
    watch: Watch,
    /// Empty where lists are not stored.
    holders: Holders,
    now: u64,
    rows: u64,
    bytes: u64,
}

impl Users {
    /// Nobody yet.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            topics: Arc::new(params.interest.trained()),
            guests: Guests::new(&params),
            trials: Trials::new(),
            suspects: Suspects::new(params.abuse.enabled),
            watch: Watch::new(&params),
            holders: Holders::default(),
            params,
            people: FxHashMap::default(),
            groups: BTreeMap::new(),
            seen: FxHashSet::default(),
            viewers: FxHashMap::default(),
            forgotten_events: FxHashSet::default(),
            forgotten_users: FxHashMap::default(),
            forgotten_videos: FxHashMap::default(),
            expiries: BTreeMap::new(),
            refreshes: BTreeMap::new(),
            skip_below: INITIAL_SKIP_BELOW,
            arms: Arc::default(),
            unpublished: Hours::default(),
            publication: Boundary::default(),
            preferred: BTreeMap::new(),
            now: 0,
            rows: 0,
            bytes: 0,
        }
    }

    /// The shared name of a group.
    fn group(&mut self, name: &str, out: &mut UsersOut) -> Group {
        if let Some(group) = self.groups.get(name) {
            return Arc::clone(group);
        }
        let group = Arc::new(name.to_owned());
        self.groups.insert(name.to_owned(), Arc::clone(&group));
        out.groups.push(Arc::clone(&group));
        group
    }
}

impl Stage for Users {
    type In = UserIn;
    type Out = UsersOut;

    fn step(&mut self, _epoch: u64, batch: Vec<UserIn>, out: &mut UsersOut) {
        let (mut views, mut profiles, mut follows) = (Vec::new(), Vec::new(), Vec::new());
        let (mut events, mut users, mut videos) = (Vec::new(), Vec::new(), Vec::new());
        let (mut gone, mut asks) = (FxHashSet::default(), BTreeMap::new());
        let mut served = Vec::new();
        let mut slices = Vec::new();
        let (mut probes, mut described) = (BTreeMap::new(), Vec::new());
        let (mut heard, mut ticked) = (Heard::default(), false);
        let mut bursts = Vec::new();
        for message in batch {
            match message {
                UserIn::Clock(now) => (self.now, ticked) = (self.now.max(now), true),
                UserIn::View(view, content) => views.push((view, content)),
                UserIn::Profile(user) => profiles.push(user.0),
                UserIn::Follow(user, creator, order, on) => follows.push((user, creator, order, on)),
                UserIn::ForgetEvent(user, event) => events.push((user, event)),
                UserIn::ForgetUser(user, until) => users.push((user, until)),
                UserIn::ForgetVideo(video, until) => videos.push((video, until)),
                UserIn::Gone(video) => drop(gone.insert(video)),
                UserIn::Listed(user, videos) => {
                    // Where lists are not stored, one may have been offered to somebody who is not known yet.
                    if !self.params.feed.enabled {
                        Arc::make_mut(self.people.entry(user).or_default()).listed = videos;
                    } else if let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) {
                        self.watch.listed(&person.listed, &videos);
                        self.holders.listed(user, &person.listed, &videos);
                        person.listed = videos;
                    }
                }
                UserIn::Published(thresholds, topics, arms) => {
                    (self.skip_below, self.topics, self.arms) = (thresholds, topics, arms);
                }
                UserIn::Ask(user, offered) => *asks.entry(user).or_insert(false) |= offered,
                UserIn::Probe(user, videos) => drop(probes.insert(user, videos)),
                UserIn::Served(user, time, page, draws) => {
                    if self.forgotten_users.get(&user).is_some_and(|until| time <= *until) {
                        continue;
                    }
                    if self.params.learning.enabled {
                        Arc::make_mut(self.people.entry(user).or_default()).examples.served(&page);
                        served.push(user);
                    }
                    let forgotten = &self.forgotten_videos;
                    let draws = draws
                        .iter()
                        .filter(|draw| forgotten.get(&draw.video).is_none_or(|until| draw.time > *until));
                    self.trials.served(user, time, &page, draws, &self.params);
                    if self.guests.enabled() {
                        heard.pages.push((user, time, page.iter().map(|place| place.video).collect()));
                    }
                }
                UserIn::Described(row) => described.push(row),
                UserIn::Remake(slice) => slices.push(slice),
                UserIn::Cohort(call) => heard.calls.push(call),
                UserIn::Burst(burst) => bursts.push(burst),
            }
        }
        let mut dirty = Vec::new();
        let clock = (self.now, self.params.interest.session_gap);
        for row in described {
            let Some(person) = self.people.get_mut(&row.user).map(Arc::make_mut) else { continue };
            let sums = Open { sums: &mut self.unpublished, withheld: self.suspects.withheld(row.user) };
            person.examples.learn(&row, &person.history, clock, &self.params.learning, sums);
        }
        self.expire();

        // Deletes first: what they cover and comes in the same epoch is never counted.
        for (user, event) in events {
            self.forgotten_events.insert((user, event));
            if self.forget_rows(user, |row| row.id == event, out) {
                dirty.push(user);
            }
        }
        for (user, until) in &users {
            heard.forgotten.push((*user, *until));
            self.trials.forget(*user, *until);
            if self.forget_user(*user, *until, out) {
                dirty.push(*user);
            }
        }
        self.forget_videos(videos, &mut dirty, out);

        profiles.sort_by_key(|u| (u.event_time, u.event_id, u.revision));
        for user in &profiles {
            if self.profile(user, out) {
                dirty.push(user.user_id.0);
            }
        }
        for (user, _) in users {
            self.relabel(user, out);
        }
        follows.sort_unstable();
        for (user, creator, order, on) in follows {
            if self.follow(user, creator, order, on) {
                dirty.push(user);
            }
        }
        views.sort_unstable_by_key(|(view, content)| (*view, content.known));
        for (view, content) in views {
            if self.view(&view, content, out) {
                dirty.push(view.user);
            }
        }
        let publishes = self.publication.pass(self.now, self.params.score.publish_every).is_some();
        self.suspects.hear(bursts, ticked);
        self.suspects.sift(out);
        for (user, until) in &heard.forgotten {
            self.suspects.forget(*user, *until);
        }
        if publishes {
            heard.turned = self.judge_suspects(out);
        }
        // Also who has no rows any more: pages count.
        for user in out.rows.iter().map(|(user, ..)| user).chain(&heard.turned) {
            self.trials.touch(*user, &self.params);
        }
        if ticked {
            self.guests.take_up(&mut heard);
        } else {
            self.guests.put_off(&mut heard);
        }
        if self.guests.enabled() {
            let (people, suspects) = (&self.people, &self.suspects);
            let history = |user: u64| people.get(&user).map(|person| &person.history);
            let withheld = |user: u64| suspects.withheld(user);
            out.cohorts = self.guests.step(heard, &out.rows, self.now, history, withheld, &mut dirty);
        }
        let (people, suspects) = (&self.people, &self.suspects);
        let history = |user: u64| people.get(&user).map(|person| &person.history);
        out.trials = self.trials.step(history, |user| suspects.withheld(user), &self.params);
        dirty.sort_unstable();
        dirty.dedup();
        for user in dirty.iter().chain(&served) {
            self.schedule(*user);
        }
        self.prefer_again(&slices);
        if self.params.feed.enabled {
            dirty.extend(self.known(&slices));
            dirty.extend(self.holders_of(&gone));
            self.stale(&mut dirty);
            dirty.sort_unstable();
            dirty.dedup();
            for user in dirty {
                self.request(user, out);
            }
        }
        for (user, offered) in asks {
            out.requests.push(Arc::new(self.asked(user, Purpose::Ask { offered }, Vec::new())));
        }
        for (user, videos) in probes {
            out.requests.push(Arc::new(self.asked(user, Purpose::Probe, videos)));
        }
        if publishes {
            out.learned.extend(self.unpublished.take().map(|(hour, sums)| (hour, Box::new(sums))));
            out.listings.extend(self.watch.take());
            self.guests.age(self.now);
        }
        let preferred = std::mem::take(&mut self.preferred);
        out.preferences
            .extend(preferred.into_iter().map(|(user, record)| (Key::Preferences(UserId(user)), record)));
    }

    fn size(&self) -> StateSize {
        let tombstones = self.forgotten_events.len() * 17
            + (self.forgotten_users.len() + self.forgotten_videos.len()) * 17;
        let seen = self.seen.capacity() * 9;
        // A viewer is named once a row, in vectors that are three quarters full on average.
        let viewers = self.viewers.capacity() * 33 + self.rows as usize * 11;
        let beside = self.guests.bytes() + self.trials.bytes() + self.suspects.bytes() + self.watch.bytes();
        let beside = beside + self.holders.bytes();
        StateSize { entries: self.rows, bytes: self.bytes + (tombstones + seen + viewers + beside) as u64 }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn look(&self, wanted: &Wanted) -> Records {
        if wanted.kind == Kind::SuspectUsers {
            let suspects = self.suspects.of.iter().filter(|(user, _)| wanted.holds(**user));
            let suspects = suspects.filter(|(_, suspect)| !suspect.numbers.signals.is_empty());
            let all: Vec<(u64, UserNumbers, bool)> = suspects
                .map(|(user, suspect)| (*user, suspect.numbers, suspect.withheld.flagged()))
                .collect();
            return Box::new(move |to| {
                let _ = all.iter().all(|(user, numbers, flagged)| {
                    to(Record::Suspect(SuspectLook::User(*user, numbers, *flagged)))
                });
            });
        }
        let known = |user: &u64, person: &Arc<Person>| (*user, Arc::clone(person));
        let people: Vec<(u64, Arc<Person>)> = match &wanted.keys {
            None => self.people.iter().map(|(user, person)| known(user, person)).collect(),
            Some(keys) => keys.iter().filter_map(|user| Some(known(user, self.people.get(user)?))).collect(),
        };
        let shared = look::Shared {
            now: self.now,
            interest: self.params.interest.clone(),
            rerank: self.params.rerank.clone(),
            topics: Arc::clone(&self.topics),
        };
        Box::new(move |to| {
            for (user, person) in people.iter().filter(|(_, person)| person.is_known()) {
                let person = PersonLook {
                    user: *user,
                    profile: person.profile.as_ref().map(|(_, profile)| profile),
                    listed: &person.listed,
                    history: &person.history,
                    follows: &person.follows,
                    shared: &shared,
                };
                if !to(Record::Person(&person)) {
                    break;
                }
            }
        })
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}

/// What the user side hears of an event; views come by way of [`crate::enrich`].
#[must_use]
pub fn of_event(event: &Event) -> Option<UserIn> {
    match event {
        Event::User(user) => Some(UserIn::Profile(Json(user.clone()))),
        Event::Follow(follow) => Some(UserIn::Follow(
            follow.user_id.0,
            follow.creator_id.0,
            (follow.event_time.0, follow.event_id.0, follow.revision),
            follow.action == FollowAction::Follow,
        )),
        Event::Delete(delete) => Some(match delete.target {
            Target::Interaction { user_id, target_event_id } => {
                UserIn::ForgetEvent(user_id.0, target_event_id.0)
            }
            Target::User { user_id } => UserIn::ForgetUser(user_id.0, delete.event_time.0),
            Target::Video { video_id } => UserIn::ForgetVideo(video_id.0, delete.event_time.0),
        }),
        Event::Served(page) => {
            let place = |item: &ServedItem| Place {
                time: page.event_time.0,
                position: item.position,
                video: item.video_id.0,
                propensity: item.propensity,
            };
            let (user, time) = (page.user_id.0, page.event_time.0);
            // A list for strangers was drawn once for all of them: its places are no decisions of their own.
            let own = page.list_epoch != Epoch(0);
            let draws = page.items.iter().filter(|_| own).filter_map(|item| Draw::of(item, time)).collect();
            Some(UserIn::Served(user, time, page.items.iter().map(place).collect(), draws))
        }
        Event::Upload(_) | Event::Interaction(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::event::Origin;
    use freshet_schema::store::Value;
    use freshet_schema::{EventId, Interaction, Millis, VideoId};

    use super::*;

    fn view(id: u64, user: u64, video: u64, time: u64) -> UserIn {
        let event = Interaction {
            event_id: EventId(id),
            user_id: UserId(user),
            video_id: VideoId(video),
            event_time: Millis(time),
            ..Interaction::default()
        };
        UserIn::View(View::new(&event, Origin::default()), Arc::new(Content::unknown(video)))
    }

    #[test]
    fn who_is_forgotten_is_no_viewer() {
        let mut users = Users::new(Params::default());
        let mut out = UsersOut::default();
        let views = [(1, 1, 7, 10), (2, 1, 7, 30), (3, 2, 7, 10), (4, 2, 8, 10), (5, 3, 8, 10)];
        let views = views.map(|(id, user, video, time)| view(id, user, video, time));
        users.step(1, [vec![UserIn::Clock(100)], views.to_vec()].concat(), &mut out);
        assert_eq!((users.viewers[&7].len(), users.viewers[&8].len()), (3, 2));

        users.step(2, vec![UserIn::ForgetUser(2, 50)], &mut out);
        assert_eq!((users.viewers[&7].as_slice(), users.viewers[&8].as_slice()), (&[1, 1][..], &[3][..]));
        users.step(3, vec![UserIn::ForgetVideo(7, 20), UserIn::ForgetEvent(3, 5)], &mut out);
        assert_eq!(users.viewers.len(), 1, "{:?}", users.viewers);
        assert_eq!(users.viewers[&7], [1], "the view at 30 is later than the delete");
    }

    #[test]
    fn preferences_are_stored_until_they_are_forgotten() {
        let mut users = Users::new(Params::default());
        let profile = |id: u64, tags: &[&str]| {
            UserIn::Profile(Json(User {
                event_id: EventId(id),
                event_time: Millis(id),
                user_id: UserId(1),
                preferences: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                ..User::default()
            }))
        };
        let mut said = |batch: Vec<UserIn>| -> Vec<Option<Vec<String>>> {
            let mut out = UsersOut::default();
            users.step(1, batch, &mut out);
            let decode = |(key, bytes): Change| {
                bytes.map(|bytes| match Value::decode(&key, &bytes) {
                    Ok(Value::Preferences(record)) => record.hashtags,
                    other => panic!("{key}: {other:?}"),
                })
            };
            out.preferences.into_iter().map(decode).collect()
        };
        let tags = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert_eq!(said(vec![profile(1, &[])]), []);
        assert_eq!(said(vec![profile(3, &["Cats", "b"]), profile(2, &["old"])]), [tags(&["cats", "b"])]);
        assert_eq!(said(vec![profile(2, &["late"])]), []);
        assert_eq!(said(vec![profile(4, &[])]), [None]);
        assert_eq!(said(vec![profile(5, &["c"]), UserIn::ForgetUser(1, 4)]), [tags(&["c"])]);
        assert_eq!(said(vec![UserIn::ForgetUser(1, 5)]), [None]);
        assert_eq!(said(vec![UserIn::ForgetUser(1, 6)]), []);
    }
}
