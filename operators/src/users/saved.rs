//! What a checkpoint keeps of the users: their rows, and what does not follow from rows.
//!
//! A person is shared with the checkpoint that is being written, and copied when it changes before it was. From the rows follow
//! the sums of their windows, the watched videos, the follows made from a video, each video's viewers, and which events were
//! counted but for those that were forgotten since.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use freshet_schema::hash;
use freshet_schema::hash::shard;
use serde::{Deserialize, Serialize};

use super::audience::Member;
use super::guests::Guest;
use super::suspects::Suspect;
use super::trials::Page;
use super::{FollowOrder, Person, Users};
use crate::boundary::Boundary;
use crate::checkpoint::kept::{Kept, KeptPerson};
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::examples::Examples;
use crate::experiments::draws::Draw;
use crate::history::History;
use crate::profile::Profile;
use crate::publish;
use crate::row::saved::SavedRow;
use crate::scorer::learn;

const CUT: &str = "users";

/// `P` is a [`SavedPerson`]: one that borrows when it is written, one that owns when it is read.
#[derive(Serialize, Deserialize)]
enum Saved<P> {
    Person(P),
    ForgottenEvent(u64, u64),
    ForgottenUser(u64, u64),
    ForgottenVideo(u64, u64),
    /// The hash of an event that was counted and has no row.
    Seen(u64),
    /// What was learned since the last publication, by hour.
    Learned(u64, Box<learn::Sums>),
    /// A user's invitations to the cohorts of new videos.
    Guest(u64, Guest),
    /// A user who may be invited.
    Member(u64, Member),
    /// When an experiment's user was served pages.
    Pages(u64, Vec<Page>),
    /// What is known of a user who is or was suspected, or was in a burst.
    Suspect(u64, Box<Suspect>),
    /// Something of a user changed since the last publication.
    Touched(u64),
    /// The places that were drawn for an experiment's user.
    Drawn(u64, Vec<Draw>),
}

#[derive(Serialize, Deserialize)]
struct SavedPerson<'a, L, E> {
    user: u64,
    rows: Vec<SavedRow<'a>>,
    mid_from: u64,
    long_from: u64,
    profile: Option<(FollowOrder, String, Box<[String]>)>,
    follows: Vec<(u64, FollowOrder, bool)>,
    listed: L,
    examples: E,
    refresh_at: u64,
    expires_at: u64,
}

pub(super) fn take(users: &Users) -> Rows {
    let people: Vec<(u64, Arc<Person>)> =
        users.people.iter().map(|(user, person)| (*user, Arc::clone(person))).collect();
    let pairs = |map: &rustc_hash::FxHashMap<u64, u64>| -> Vec<(u64, u64)> {
        map.iter().map(|(id, until)| (*id, *until)).collect()
    };
    let (forgotten_users, forgotten_videos) = (pairs(&users.forgotten_users), pairs(&users.forgotten_videos));
    let forgotten_events: Vec<(u64, u64)> = users.forgotten_events.iter().copied().collect();
    let learned: Vec<(u64, learn::Sums)> =
        users.unpublished.iter().map(|(hour, sums)| (hour, sums.clone())).collect();
    let guests = users.guests.saved();
    let members: Vec<(u64, Member)> =
        users.guests.audience.iter().map(|(user, member)| (user, member.clone())).collect();
    let pages = users.trials.saved();
    let draws = users.trials.saved_draws();
    let suspects: Vec<(u64, Suspect)> =
        users.suspects.of.iter().map(|(user, suspect)| (*user, suspect.clone())).collect();
    let touched: Vec<u64> = users.suspects.touched.iter().copied().collect();
    // Each row has its hash there; there are more only where rows were forgotten.
    let mut seen = (users.seen.len() as u64 > users.rows).then(|| users.seen.clone());
    Box::new(move |to| {
        type Row<'a> = Saved<SavedPerson<'a, &'a [u64], &'a Examples>>;
        for (user, person) in people {
            if let Some(seen) = &mut seen {
                for row in person.history.rows() {
                    seen.remove(&hash::mix(user, &[row.id]));
                }
            }
            let rows = SavedRow::of(person.history.rows(), to);
            let (mid_from, long_from) = person.history.edges();
            let profile = person.profile.as_ref();
            let saved = SavedPerson {
                user,
                rows,
                mid_from: mid_from as u64,
                long_from: long_from as u64,
                profile: profile.map(|(order, p)| (*order, p.group.as_str().to_owned(), p.tags.clone())),
                follows: person
                    .follows
                    .iter()
                    .map(|(creator, (order, on))| (*creator, *order, *on))
                    .collect(),
                listed: &person.listed[..],
                examples: &person.examples,
                refresh_at: person.refresh_at,
                expires_at: person.expires_at,
            };
            to.row(shard(user), &Row::Person(saved));
        }
        for (user, event) in forgotten_events {
            to.row(shard(user), &Row::ForgottenEvent(user, event));
        }
        for (user, until) in forgotten_users {
            to.row(shard(user), &Row::ForgottenUser(user, until));
        }
        for (video, until) in forgotten_videos {
            to.shared(&Row::ForgottenVideo(video, until));
        }
        for hash in seen.into_iter().flatten() {
            to.shared(&Row::Seen(hash));
        }
        for (hour, sums) in learned {
            to.shared(&Row::Learned(hour, Box::new(sums)));
        }
        for (user, guest) in guests {
            to.row(shard(user), &Row::Guest(user, guest));
        }
        for (user, member) in members {
            to.row(shard(user), &Row::Member(user, member));
        }
        for (user, pages) in pages {
            to.row(shard(user), &Row::Pages(user, pages));
        }
        for (user, draws) in draws {
            to.row(shard(user), &Row::Drawn(user, draws));
        }
        for (user, suspect) in suspects {
            to.row(shard(user), &Row::Suspect(user, Box::new(suspect)));
        }
        for user in touched {
            to.row(shard(user), &Row::Touched(user));
        }
    })
}

/// A row that owns what it holds.
type Owned = Saved<SavedPerson<'static, Vec<u64>, Examples>>;

pub(super) fn restore(users: &mut Users, from: &Restoring) -> Result<(), RestoreError> {
    users.now = from.now();
    users.publication = Boundary::after(from.now(), users.params.score.publish_every);
    if let Some(published) = publish::saved::last(from)? {
        // Published at the checkpoint's epoch, it would be heard with the first message of the next: before anything is done.
        users.skip_below = published.skip_below;
        users.topics = published.topics;
        users.arms = published.arms;
    }
    let first = from.is_first();
    let mut take = |row: Owned| {
        match row {
            Saved::Person(saved) => person(users, saved, from)?,
            Saved::ForgottenEvent(user, event) => drop(users.forgotten_events.insert((user, event))),
            Saved::ForgottenUser(user, until) => drop(users.forgotten_users.insert(user, until)),
            Saved::ForgottenVideo(video, until) => drop(users.forgotten_videos.insert(video, until)),
            Saved::Seen(hash) => drop(users.seen.insert(hash)),
            // Terms of sums: one worker says them all at the next publication.
            Saved::Learned(hour, sums) if first => users.unpublished.plus(hour, &sums),
            Saved::Learned(..) => {}
            Saved::Guest(user, guest) => users.guests.restore(user, guest),
            Saved::Member(user, member) => users.guests.restore_member(user, member),
            Saved::Pages(user, pages) => users.trials.restore(user, pages, &users.params),
            Saved::Drawn(user, draws) => users.trials.restore_draws(user, draws, &users.params),
            Saved::Suspect(user, suspect) => drop(users.suspects.of.insert(user, *suspect)),
            Saved::Touched(user) => drop(users.suspects.touched.insert(user)),
        }
        Ok(())
    };
    from.own(CUT, &mut take)?;
    from.shared(CUT, take)?;
    // Whoever adds up begins with nothing: all is said again with the first epoch.
    for user in users.people.keys() {
        users.trials.touch(*user, &users.params);
    }
    Ok(())
}

fn person(
    users: &mut Users,
    saved: SavedPerson<'static, Vec<u64>, Examples>,
    from: &Restoring,
) -> Result<(), RestoreError> {
    let user = saved.user;
    let groups = &mut users.groups;
    // The shelves and the groups know them already: nothing has to be said.
    let mut group = |name: &str| match groups.entry(name.to_owned()) {
        Entry::Occupied(known) => Arc::clone(known.get()),
        Entry::Vacant(new) => Arc::clone(new.insert(Arc::new(name.to_owned()))),
    };
    let rows = SavedRow::rows(saved.rows, CUT, from, &mut group)?;
    let profile = saved.profile.map(|(order, name, tags)| (order, Profile::new(group(&name), tags)));
    users.rows += rows.len() as u64;
    for row in &rows {
        users.seen.insert(hash::mix(user, &[row.id]));
        users.viewers.entry(row.content.video).or_default().push(user);
    }
    let history = History::restore(rows, saved.mid_from as usize, saved.long_from as usize)
        .map_err(|what| RestoreError::Refused { cut: CUT, what: format!("user {user}: {what}") })?;
    let mut person = Person {
        history,
        profile,
        follows: saved.follows.into_iter().map(|(creator, order, on)| (creator, (order, on))).collect(),
        listed: saved.listed.into(),
        examples: saved.examples,
        refresh_at: saved.refresh_at,
        expires_at: saved.expires_at,
        bytes: 0,
    };
    // Whoever adds up begins with nothing.
    users.watch.listed(&[], &person.listed);
    if users.params.feed.enabled {
        users.holders.listed(user, &[], &person.listed);
    }
    person.bytes = person.weight();
    users.bytes += person.bytes;
    if person.expires_at != 0 {
        users.expiries.entry(person.expires_at).or_default().push(user);
    }
    if person.refresh_at != 0 {
        users.refreshes.entry(person.refresh_at).or_default().push(user);
    }
    users.people.insert(user, Arc::new(person));
    Ok(())
}

/// All of it, for [`crate::checkpoint::kept`].
pub fn kept(from: &Restoring, kept: &mut Kept) -> Result<(), RestoreError> {
    let mut take = |row: Owned| {
        match row {
            Saved::Person(saved) => {
                let rows = SavedRow::rows(saved.rows, CUT, from, |name| Arc::new(name.to_owned()))?;
                let follows = saved.follows.into_iter().map(|(creator, order, on)| (creator, (order, on)));
                let person = KeptPerson {
                    rows,
                    edges: (saved.mid_from, saved.long_from),
                    profile: saved.profile.map(|(order, group, tags)| (order, group, tags.into_vec())),
                    follows: follows.collect(),
                    listed: saved.listed,
                };
                kept.people.insert(saved.user, person);
            }
            Saved::ForgottenEvent(user, event) => drop(kept.forgotten_events.insert((user, event))),
            Saved::ForgottenUser(user, until) => drop(kept.forgotten_users.insert(user, until)),
            Saved::ForgottenVideo(video, until) => drop(kept.forgotten_videos.insert(video, until)),
            // Hashes that say "perhaps", what the heads have not learned yet, and who may see new videos: what was drawn is
            // history.
            Saved::Seen(_)
            | Saved::Learned(..)
            | Saved::Guest(..)
            | Saved::Member(..)
            | Saved::Pages(..)
            | Saved::Drawn(..) => {}
            Saved::Suspect(_, suspect) if suspect.withheld.is_nothing() => {}
            Saved::Suspect(user, suspect) => drop(kept.withheld.insert(user, suspect.withheld)),
            Saved::Touched(_) => {}
        }
        Ok(())
    };
    from.all(CUT, &mut take)?;
    from.shared(CUT, take)
}
