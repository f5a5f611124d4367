//! Whose list is made, and what is asked for it.

use std::borrow::Cow;
use std::sync::Arc;

use freshet_schema::hash::Slice;
use freshet_schema::store::EVERYONE;
use rustc_hash::FxHashSet;

use super::{Person, Users, UsersOut};
use crate::bandit::{Arms, Context, Outlook};
use crate::params::Params;
use crate::profile::{self, Shared};
use crate::request::{Purpose, Request};
use crate::row::View;

impl Users {
    /// Users of whom the store holds a list.
    pub(super) fn known(&self, slices: &[Slice]) -> Vec<u64> {
        if slices.is_empty() {
            return Vec::new();
        }
        let people = self.people.iter().filter(|(user, _)| slices.iter().any(|slice| slice.holds(**user)));
        people.filter(|(_, person)| person.is_known()).map(|(user, _)| *user).collect()
    }

    /// Users who hold one of `videos` in their list.
    pub(super) fn holders_of(&self, videos: &FxHashSet<u64>) -> Vec<u64> {
        let mut holders = Vec::new();
        let many: FxHashSet<u64> =
            videos.iter().copied().filter(|video| !self.holders.name(*video, &mut holders)).collect();
        if !many.is_empty() {
            let holds = |person: &Person| person.listed.iter().any(|video| many.contains(video));
            holders.extend(self.people.iter().filter(|(_, person)| holds(person)).map(|(user, _)| *user));
        }
        holders
    }

    /// Lets due rows leave the windows; a window that moves on marks nobody dirty.
    pub(super) fn expire(&mut self) {
        while let Some(entry) = self.expiries.first_entry() {
            if *entry.key() > self.now {
                break;
            }
            let (due, users) = entry.remove_entry();
            for user in users {
                let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) else { continue };
                if person.expires_at == due {
                    person.expires_at = 0;
                    person.history.expire(self.now, &self.params.interest);
                    self.schedule(user);
                    self.leave(user);
                }
            }
        }
    }

    /// Notes when something of the user's will have to be let go of, and what is held of them.
    pub(super) fn schedule(&mut self, user: u64) {
        let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) else { return };
        let gap = self.params.interest.session_gap;
        let next = person.history.next_expiry(&self.params.interest);
        let forgets_pages = person.examples.age(self.now, gap, &self.params.learning);
        if let Some(next) = next.into_iter().chain(forgets_pages).min()
            && (person.expires_at == 0 || next < person.expires_at)
        {
            person.expires_at = next;
            self.expiries.entry(next).or_default().push(user);
        }
        let bytes = person.weight();
        self.bytes = self.bytes + bytes - person.bytes;
        person.bytes = bytes;
    }

    /// Lets go of a visitor who was served a page and nothing more came of it.
    pub(super) fn leave(&mut self, user: u64) {
        let stays = |person: &Person| {
            !person.history.rows().is_empty()
                || person.profile.is_some()
                || !person.follows.is_empty()
                || !person.listed.is_empty()
                || person.expires_at != 0
        };
        if self.people.get(&user).is_some_and(|person| !stays(person))
            && let Some(person) = self.people.remove(&user)
        {
            self.bytes -= person.bytes;
        }
    }

    /// Active users whose list has grown old.
    pub(super) fn stale(&mut self, dirty: &mut Vec<u64>) {
        while let Some(entry) = self.refreshes.first_entry() {
            if *entry.key() > self.now {
                break;
            }
            let (due, users) = entry.remove_entry();
            for user in users {
                let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) else { continue };
                if person.refresh_at != due {
                    continue;
                }
                person.refresh_at = 0;
                let last = person.history.rows().last().map_or(0, |row| row.time);
                if self.now.saturating_sub(last) <= self.params.feed.active_within {
                    dirty.push(user);
                }
            }
        }
    }

    /// Asks for a user's list; of whom nothing is known, has it removed.
    pub(super) fn request(&mut self, user: u64, out: &mut UsersOut) {
        let everyone = self.group(EVERYONE, out);
        let params = self.params.of_user(user);
        let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) else { return };
        if person.history.rows().is_empty() && person.profile.is_none() && person.follows.is_empty() {
            // Nothing is known of them any more: to the store they are a stranger, who gets the new-user list.
            self.watch.listed(&person.listed, &[]);
            self.holders.listed(user, &person.listed, &[]);
            person.listed = Arc::default();
            out.removed.push(user);
            self.guests.leave(user);
            return;
        }
        let request = profile::to_describe(
            user,
            &person.history,
            person.profile.as_ref().map(|(_, profile)| profile),
            &person.follows,
            self.now,
            &Shared { everyone: &everyone, topics: &self.topics, params: &params },
        );
        let mut request = profile::to_choose(request, &person.history, &params);
        let due = self.now.saturating_add(self.params.feed.refresh_after);
        person.refresh_at = due;
        self.refreshes.entry(due).or_default().push(user);
        self.guests.meet(user, &person.history, request.query.as_ref());
        request.invite(self.guests.claims(user, self.now));
        request.outlook = outlook(&request, &self.arms, &params);
        out.requests.push(Arc::new(request));
    }

    /// The request of an ask or a probe. Somebody unknown is a user without anything: the new-user rule holds for them.
    pub(super) fn asked(&self, user: u64, purpose: Purpose, wanted: Vec<u64>) -> Request {
        let nobody = Person::default();
        let person = self.people.get(&user).map_or(&nobody, |person| person);
        // Not `group()`: an ask makes no group known.
        let everyone = Arc::new(EVERYONE.to_owned());
        let profile = person.profile.as_ref().map(|(_, profile)| profile);
        let (history, follows) = (&person.history, &person.follows);
        let params = match purpose {
            Purpose::List | Purpose::Ask { .. } => self.params.of_user(user),
            Purpose::Learn(..) | Purpose::Probe => Cow::Borrowed(&self.params),
        };
        let shared = Shared { everyone: &everyone, topics: &self.topics, params: &params };
        let mut request = profile::to_describe(user, history, profile, follows, self.now, &shared);
        if wanted.is_empty() {
            request = profile::to_choose(request, history, &params);
            request.invite(self.guests.claims(user, self.now));
            request.outlook = outlook(&request, &self.arms, &params);
        }
        Request { purpose, wanted, ..request }
    }
}

/// The question whose answer the row of `view` will be learned from.
pub(super) fn to_learn(person: &Person, view: &View, now: u64, shared: &Shared) -> Arc<Request> {
    let params = shared.params;
    let (passed, offer) = person.examples.passed_over(
        (view.video, view.time),
        &person.listed,
        person.history.watched(),
        [params.seed, view.user, view.id],
        params.interest.session_gap,
        &params.learning,
    );
    let profile = person.profile.as_ref().map(|(_, profile)| profile);
    let request = profile::to_describe(view.user, &person.history, profile, &person.follows, now, shared);
    let wanted = std::iter::once(view.video).chain(passed).collect();
    let outlook = params.exploration.learns().then(|| {
        let context = Context::of(request.query.as_ref(), params.seed);
        Box::new(Outlook { context, ..Outlook::default() })
    });
    Arc::new(Request { purpose: Purpose::Learn(view.id, offer), wanted, outlook, ..request })
}

/// What a list's user makes of the arms, where the list has places to explore.
fn outlook(request: &Request, arms: &Arms, params: &Params) -> Option<Box<Outlook>> {
    let explores = params.exploration.explores() && !request.new_user;
    explores.then(|| {
        let context = Context::of(request.query.as_ref(), params.seed);
        Box::new(Outlook::of(context, arms, &params.exploration))
    })
}
