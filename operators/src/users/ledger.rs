//! What counts of each user: rows, profile and follows come, are replaced and are forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_schema::feed::PreferencesRecord;
use freshet_schema::hash::Slice;
use freshet_schema::store::{EVERYONE, Value, demographic_group};
use freshet_schema::{User, hash};
use rustc_hash::FxHashMap;

use super::requests::to_learn;
use super::{FollowOrder, Users, UsersOut};
use crate::abuse::Withheld;
use crate::coengage::{self, Pair, positive};
use crate::content::{Content, duration_class};
use crate::examples::Open;
use crate::history::{Counted, History};
use crate::params::CoEngaging;
use crate::profile::{self, Profile, Shared};
use crate::row::{Row, View};

impl Users {
    /// Whether a delete covers what happened then.
    fn is_forgotten(&self, user: u64, video: u64, time: u64) -> bool {
        let covers = |deleted: Option<&u64>| deleted.is_some_and(|until| time <= *until);
        covers(self.forgotten_users.get(&user)) || covers(self.forgotten_videos.get(&video))
    }

    /// Counts a view; whether anything changed.
    pub(super) fn view(&mut self, view: &View, content: Arc<Content>, out: &mut UsersOut) -> bool {
        if self.forgotten_events.contains(&(view.user, view.id))
            || self.is_forgotten(view.user, view.video, view.time)
        {
            return false;
        }
        let everyone = self.group(EVERYONE, out);
        let seen = !self.seen.insert(hash::mix(view.user, &[view.id]));
        let skips = self.skip_below;
        let interest = &self.params.interest;
        let person = Arc::make_mut(self.people.entry(view.user).or_default());
        let group =
            person.profile.as_ref().map_or_else(|| Arc::clone(&everyone), |(_, p)| Arc::clone(&p.group));
        let row =
            Row::new(view, content, group, |duration| skips[duration_class(duration) as usize], interest);
        person.history.expire(self.now, interest);
        // What the heads learn from is the user as they were before.
        let learn = (!seen && self.params.learning.enabled).then(|| {
            let shared = Shared { everyone: &everyone, topics: &self.topics, params: &self.params };
            to_learn(person, view, self.now, &shared)
        });
        if !self.params.feed.enabled {
            // What was offered was asked for, once.
            person.listed = Arc::default();
        }
        match person.history.count(view, row.clone(), seen, self.now, interest) {
            Counted::Ignored => false,
            Counted::Added(replaced) => {
                // Of who is flagged, too: the flag may be taken back, and then what they did is learned.
                out.requests.extend(learn);
                let withheld = self.suspects.withheld(view.user);
                if let Some(at) = person.history.find(view.id) {
                    let gap = interest.session_gap;
                    for at in at.saturating_sub(1)..=at {
                        let sums = Open { sums: &mut self.unpublished, withheld };
                        person.examples.look_at(at, &person.history, gap, sums);
                    }
                }
                let pairing = &self.params.coengagement;
                if let Some(old) = &replaced {
                    pairs(&person.history, old, -1, withheld, pairing, &mut out.pairs);
                }
                pairs(&person.history, &row, 1, withheld, pairing, &mut out.pairs);
                if let Some(old) = replaced {
                    out.rows.push((view.user, old, -1));
                } else {
                    self.rows += 1;
                    self.viewers.entry(view.video).or_default().push(view.user);
                }
                out.rows.push((view.user, row, 1));
                true
            }
        }
    }

    /// Takes the rows of `user` that `doomed` picks out of every view.
    pub(super) fn forget_rows(
        &mut self,
        user: u64,
        doomed: impl Fn(&Row) -> bool,
        out: &mut UsersOut,
    ) -> bool {
        let withheld = self.suspects.withheld(user);
        let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) else { return false };
        person.history.expire(self.now, &self.params.interest);
        let mut any = false;
        for at in (0..person.history.rows().len()).rev() {
            if doomed(&person.history.rows()[at]) {
                let row = person.history.remove(at, self.now, &self.params.interest);
                let sums = Open { sums: &mut self.unpublished, withheld };
                person.examples.forget(row.time, row.id, sums);
                if let Some(before) = at.checked_sub(1) {
                    let gap = self.params.interest.session_gap;
                    let sums = Open { sums: &mut self.unpublished, withheld };
                    person.examples.look_at(before, &person.history, gap, sums);
                }
                pairs(&person.history, &row, -1, withheld, &self.params.coengagement, &mut out.pairs);
                let video = row.content.video;
                if let Some(viewers) = self.viewers.get_mut(&video) {
                    if let Some(place) = viewers.iter().position(|viewer| *viewer == user) {
                        viewers.swap_remove(place);
                    }
                    if viewers.is_empty() {
                        self.viewers.remove(&video);
                    }
                }
                out.rows.push((user, row, -1));
                self.rows -= 1;
                any = true;
            }
        }
        any
    }

    /// Takes a profile in; whether it is the latest.
    pub(super) fn profile(&mut self, user: &User, out: &mut UsersOut) -> bool {
        let id = user.user_id.0;
        if self.forgotten_users.get(&id).is_some_and(|until| user.event_time.0 <= *until) {
            return false;
        }
        let order = (user.event_time.0, user.event_id.0, user.revision);
        if self.people.get(&id).and_then(|p| p.profile.as_ref()).is_some_and(|(known, _)| *known >= order) {
            return false;
        }
        let name =
            demographic_group(user.country.as_deref(), user.age_band.as_deref(), user.gender.as_deref());
        let profile = Profile::new(self.group(&name, out), profile::tags(user));
        let any = !profile.preferences.is_empty();
        let before = Arc::make_mut(self.people.entry(id).or_default()).profile.replace((order, profile));
        let before = before.is_some_and(|(_, profile)| !profile.preferences.is_empty());
        // They are read with the records of related videos.
        if self.params.relates() && (any || before) {
            self.preferred.insert(id, any.then(|| preferences(id, &profile::tags(user))));
        }
        true
    }

    /// Takes a follow or its end in; whether it is the latest.
    pub(super) fn follow(&mut self, user: u64, creator: u64, order: FollowOrder, follows: bool) -> bool {
        if self.forgotten_users.get(&user).is_some_and(|until| order.0 <= *until) {
            return false;
        }
        let known = Arc::make_mut(self.people.entry(user).or_default())
            .follows
            .entry(creator)
            .or_insert((order, follows));
        if known.0 > order {
            return false;
        }
        *known = (order, follows);
        true
    }

    /// Says the preferences of users again.
    pub(super) fn prefer_again(&mut self, slices: &[Slice]) {
        if slices.is_empty() || !self.params.relates() {
            return;
        }
        for (user, person) in self.people.iter().filter(|(user, _)| slices.iter().any(|s| s.holds(**user))) {
            if let Some((_, profile)) = person.profile.as_ref().filter(|(_, p)| !p.preferences.is_empty()) {
                self.preferred.insert(*user, Some(preferences(*user, &profile.tags)));
            }
        }
    }

    /// Forgets videos, each up to a time; who had watched them is `dirty`.
    pub(super) fn forget_videos(
        &mut self,
        videos: Vec<(u64, u64)>,
        dirty: &mut Vec<u64>,
        out: &mut UsersOut,
    ) {
        if videos.is_empty() {
            return;
        }
        let mut doomed: FxHashMap<u64, u64> = FxHashMap::default();
        for (video, until) in videos {
            let known = self.forgotten_videos.entry(video).or_insert(until);
            *known = until.max(*known);
            doomed.insert(video, *known);
        }
        self.trials.forget_videos(&doomed);
        // Taken out whole: to look for each viewer among the viewers of a hot video would take their square.
        let touched: BTreeSet<u64> =
            doomed.keys().filter_map(|video| self.viewers.remove(video)).flatten().collect();
        for user in touched {
            let covered = |row: &Row| doomed.get(&row.content.video).is_some_and(|until| row.time <= *until);
            if self.forget_rows(user, covered, out) {
                dirty.push(user);
            }
            // What the user watched later than the delete stays.
            let rows = self.people.get(&user).map_or(&[][..], |person| person.history.rows());
            for row in rows.iter().filter(|row| doomed.contains_key(&row.content.video)) {
                self.viewers.entry(row.content.video).or_default().push(user);
            }
        }
    }

    /// Forgets a user up to a time; whether anything was known of them.
    pub(super) fn forget_user(&mut self, user: u64, until: u64, out: &mut UsersOut) -> bool {
        let known = self.forgotten_users.entry(user).or_insert(until);
        *known = until.max(*known);
        let any = self.forget_rows(user, |row| row.time <= until, out);
        let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) else { return any };
        if let Some((_, profile)) = person.profile.take_if(|(order, _)| order.0 <= until)
            && self.params.relates()
            && !profile.preferences.is_empty()
        {
            self.preferred.insert(user, None);
        }
        person.follows.retain(|_, (order, _)| order.0 > until);
        person.examples.forget_served(until);
        true
    }

    /// Rows that outlive their user's delete forget the group that a forgotten profile gave them: they take the one that is
    /// known now.
    pub(super) fn relabel(&mut self, user: u64, out: &mut UsersOut) {
        let everyone = self.group(EVERYONE, out);
        let Some(person) = self.people.get_mut(&user).map(Arc::make_mut) else { return };
        let group = person.profile.as_ref().map_or(everyone, |(_, profile)| Arc::clone(&profile.group));
        for at in 0..person.history.rows().len() {
            if person.history.rows()[at].group != group {
                let old = person.history.relabel(at, Arc::clone(&group));
                out.rows.push((user, old, -1));
                out.rows.push((user, person.history.rows()[at].clone(), 1));
            }
        }
    }
}

/// The record of what a user asked for.
fn preferences(user: u64, tags: &[String]) -> Vec<u8> {
    Value::Preferences(PreferencesRecord { user_id: user, hashtags: tags.to_vec() }).encode()
}

/// The pairs that come (1) or go (-1) with `row`, which is in the history or was, and its neighbours of those that count.
fn pairs(
    history: &History,
    row: &Row,
    sign: i64,
    withheld: &Withheld,
    params: &CoEngaging,
    out: &mut Vec<Pair>,
) {
    let counts = |row: &Row| positive(row, params) && !withheld.covers(row.time);
    if params.window > 0 && counts(row) {
        let (before, after) = history.around((row.time, row.id), params.window, counts);
        coengage::changes(&before, row, &after, sign, params, out);
    }
}
