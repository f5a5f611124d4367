//! The archive, gone through once: which interactions count, each with the video, the group and the thresholds of its epoch.
//!
//! The rules are those of `docs/events.md`. Of an interaction the highest revision counts, and of equals the one that is earlier in the
//! log. It meets its video as of the epoch in which it came or, where the upload came in time, as of that one. It has the group that its user
//! had then, and is judged by the thresholds that had been published before. A delete takes what it covers whenever that comes, so
//! deletes are applied once, at the end; but for the group, which those that outlive a delete of their user take from what is known
//! then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_archive::ReadEpoch;
use freshet_operators::abuse::Withheld;
use freshet_operators::content::{Content, Embedder, duration_class};
use freshet_operators::params::Params;
use freshet_operators::row::{Row, View};
use freshet_operators::topics::{Place, Sum, Themes};
use freshet_operators::users::INITIAL_SKIP_BELOW;
use freshet_schema::event::{Event, FollowAction, Origin, Target};
use freshet_schema::store::{EVERYONE, demographic_group};
use freshet_schema::{Epoch, Upload, hash};

/// By which of two states of a video is the later one.
type UploadOrder = (u64, u64, u32, Reverse<Origin>);
/// By which of two profiles or follows is the later one: event time, event, revision.
type Order = (u64, u64, u32);
/// By what an interaction that waits is known: epoch of arrival, event, user, revision, place in the log.
type Early = (u64, u64, u64, u32, Origin);

/// The latest state of a video.
pub struct Known {
    /// By which it is the latest.
    pub order: UploadOrder,
    /// Its version.
    pub content: Arc<Content>,
    /// What it was made of.
    pub upload: Upload,
}

/// An interaction that counts unless a delete covers it.
struct Counted {
    view: View,
    row: Row,
}

/// What the events say.
pub struct Past {
    params: Params,
    embedder: Embedder,
    /// The version of the last publication of which the topics are wanted.
    last_version: Option<u64>,
    /// The clock of the last epoch.
    pub now: u64,
    /// Records read.
    pub records: u64,
    /// Deletes by which rows were taken out of the archive.
    pub forgotten: u64,
    /// The last epoch that counted the delete of a video whose rows were taken out of the archive; 0 without one.
    pub video_forgotten: Epoch,
    /// The catalogue.
    pub videos: BTreeMap<u64, Known>,
    /// Deleted videos, and up to when.
    pub deleted_videos: BTreeMap<u64, u64>,
    /// Deleted users, and up to when.
    pub deleted_users: BTreeMap<u64, u64>,
    /// Deleted interactions.
    pub deleted_events: BTreeSet<(u64, u64)>,
    /// Profiles: by which they are the latest, the group, the hashtags in lower case.
    pub profiles: BTreeMap<u64, (Order, String, Vec<String>)>,
    /// Follows by (user, creator): by which they are the latest, and whether they begin.
    pub follows: BTreeMap<(u64, u64), (Order, bool)>,
    /// Interactions that wait for their upload, by logical shard: the clock when they came.
    pub early: BTreeMap<u64, BTreeMap<Early, (u64, View)>>,
    skip_below: Vec<u64>,
    counted: BTreeMap<u64, BTreeMap<u64, Counted>>,
    /// After [`Past::end`]: the rows that count, by user and in the order of (time, event).
    pub rows: BTreeMap<u64, Vec<Row>>,
    /// The clock of the publication `last_version`, and the sums of categories as of then; without these where uploads that led to them
    /// were forgotten since.
    pub themes: Option<(u64, Option<BTreeMap<Place, Sum>>)>,
    /// The last publication: its version and thresholds.
    pub publication: Option<(u64, Vec<u64>)>,
    /// What was withheld for abuse as of the last publication, as the checkpoint says: verdicts are published versions.
    pub withheld: BTreeMap<u64, Withheld>,
}

impl Past {
    /// Nothing has happened. `last_version` names the publication of which the sums of categories are wanted.
    #[must_use]
    pub fn new(params: &Params, last_version: Option<u64>) -> Self {
        Self {
            params: params.clone(),
            embedder: Embedder::new(params.seed, params.interest.topics.clone()),
            last_version,
            now: 0,
            records: 0,
            forgotten: 0,
            video_forgotten: Epoch(0),
            videos: BTreeMap::new(),
            deleted_videos: BTreeMap::new(),
            deleted_users: BTreeMap::new(),
            deleted_events: BTreeSet::new(),
            profiles: BTreeMap::new(),
            follows: BTreeMap::new(),
            early: BTreeMap::new(),
            skip_below: INITIAL_SKIP_BELOW.to_vec(),
            counted: BTreeMap::new(),
            rows: BTreeMap::new(),
            themes: None,
            publication: None,
            withheld: BTreeMap::new(),
        }
    }

    /// All rows that count, with their users.
    pub fn all_rows(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.rows.iter().flat_map(|(user, rows)| rows.iter().map(|row| (*user, row)))
    }

    /// The rows that sums are made of: all but those that are withheld for abuse.
    pub fn summed_rows(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.all_rows().filter(|(user, row)| !self.is_withheld(*user, row))
    }

    /// Whether a user's row is withheld.
    pub fn is_withheld(&self, user: u64, row: &Row) -> bool {
        self.withheld.get(&user).is_some_and(|withheld| withheld.covers(row.time))
    }

    /// What cannot be compared, in words.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let without = self.themes.as_ref().is_some_and(|(_, sums)| sums.is_none());
        without.then(|| {
            format!(
                "category topics: a video was forgotten in epoch {}, after the last publication, which had counted its upload; the next \
                 publication can be compared again",
                self.video_forgotten
            )
        })
    }

    /// Takes an epoch in.
    pub fn epoch(&mut self, epoch: &ReadEpoch) {
        self.now = self.now.max(epoch.now.0);
        self.records += epoch.records.len() as u64;
        let mut met = self.catalogue(epoch);
        let deleted = self.deletes(epoch);
        self.people(epoch);
        for user in deleted {
            let group = Arc::new(self.group(user).to_owned());
            for counted in self.counted.get_mut(&user).into_iter().flat_map(BTreeMap::values_mut) {
                counted.row.group = Arc::clone(&group);
            }
        }
        met.sort_unstable_by_key(|(view, content)| (*view, content.known));
        for (view, content) in met {
            self.count(view, content);
        }
        if let Some((version, skip_below)) = &epoch.publication {
            // They hold from the next epoch on.
            self.skip_below.clone_from(skip_below);
            self.publication = Some((*version, skip_below.clone()));
            if self.last_version == Some(*version) {
                // What was published before the delete counted an upload that the archive has no more.
                let whole = epoch.epoch >= self.video_forgotten;
                let sums = whole.then(|| {
                    let mut themes = Themes::default();
                    self.videos.values().for_each(|known| themes.count(&known.content, 1));
                    themes.sums().map(|(place, sum)| (place, sum.clone())).collect()
                });
                self.themes = Some((self.now, sums));
            }
        }
    }

    /// Takes uploads and deletes of videos in, and gives the interactions that meet their video, or nothing, in this epoch.
    fn catalogue(&mut self, epoch: &ReadEpoch) -> Vec<(View, Arc<Content>)> {
        self.give_up();
        let mut uploads: Vec<(UploadOrder, &Upload)> = Vec::new();
        let (mut deletes, mut views) = (Vec::new(), Vec::new());
        for (origin, event) in &epoch.records {
            match event {
                Event::Upload(upload) => {
                    let time = (upload.event_time.0, upload.event_id.0, upload.revision);
                    uploads.push(((time.0, time.1, time.2, Reverse(*origin)), upload));
                }
                Event::Delete(delete) => {
                    if let Target::Video { video_id } = delete.target {
                        deletes.push((video_id.0, delete.event_time.0));
                    }
                }
                Event::Interaction(view) => views.push(View::new(view, *origin)),
                Event::User(_) | Event::Follow(_) | Event::Served(_) => {}
            }
        }
        uploads.sort_by_key(|(order, _)| *order);
        for (order, upload) in &uploads {
            let video = upload.video_id.0;
            let gone = self.deleted_videos.get(&video).is_some_and(|until| order.0 <= *until);
            if gone || self.videos.get(&video).is_some_and(|known| known.order >= *order) {
                continue;
            }
            let content = Arc::new(self.embedder.content(upload));
            self.videos.insert(video, Known { order: *order, content, upload: (*upload).clone() });
        }
        for (video, time) in deletes {
            let until = self.deleted_videos.entry(video).or_insert(time);
            *until = time.max(*until);
            if self.videos.get(&video).is_some_and(|known| known.order.0 <= time) {
                self.videos.remove(&video);
            }
        }
        let mut met = Vec::new();
        let announced: BTreeSet<u64> = uploads.iter().map(|(_, upload)| upload.video_id.0).collect();
        for video in announced {
            let Some(known) = self.videos.get(&video) else { continue };
            let waiting = self.early.entry(hash::shard(video)).or_default();
            let here = waiting.extract_if(.., |_, (_, view)| view.video == video);
            met.extend(here.map(|(_, (_, view))| (view, Arc::clone(&known.content))));
        }
        for view in views {
            if let Some(known) = self.videos.get(&view.video) {
                met.push((view, Arc::clone(&known.content)));
                continue;
            }
            met.push((view, Arc::new(Content::unknown(view.video))));
            let key = (epoch.epoch.0, view.id, view.user, view.revision, view.origin);
            let shard = self.early.entry(hash::shard(view.video)).or_default();
            shard.insert(key, (self.now, view));
        }
        self.give_up();
        met
    }

    /// Those that waited long enough wait no longer, nor the oldest where too many do.
    fn give_up(&mut self) {
        let early = &self.params.early;
        for waiting in self.early.values_mut() {
            while let Some((_, (arrived, _))) = waiting.first_key_value() {
                let late = self.now > arrived.saturating_add(early.max_wait);
                if !late && waiting.len() <= early.max_held_per_shard {
                    break;
                }
                waiting.pop_first();
            }
        }
    }

    /// Takes deletes of users and interactions in, and gives the users.
    fn deletes(&mut self, epoch: &ReadEpoch) -> Vec<u64> {
        let mut users = Vec::new();
        for (_, event) in &epoch.records {
            let Event::Delete(delete) = event else { continue };
            match delete.target {
                Target::Interaction { user_id, target_event_id } => {
                    self.deleted_events.insert((user_id.0, target_event_id.0));
                }
                Target::User { user_id } => {
                    let (user, time) = (user_id.0, delete.event_time.0);
                    let until = self.deleted_users.entry(user).or_insert(time);
                    *until = time.max(*until);
                    let until = *until;
                    if self.profiles.get(&user).is_some_and(|(order, ..)| order.0 <= until) {
                        self.profiles.remove(&user);
                    }
                    self.follows
                        .extract_if((user, 0)..=(user, u64::MAX), |_, (order, _)| order.0 <= until)
                        .for_each(drop);
                    users.push(user);
                }
                Target::Video { .. } => {}
            }
        }
        users
    }

    /// Takes profiles and follows in.
    fn people(&mut self, epoch: &ReadEpoch) {
        let covered = |deleted: &BTreeMap<u64, u64>, user: u64, time: u64| {
            deleted.get(&user).is_some_and(|until| time <= *until)
        };
        for (_, event) in &epoch.records {
            match event {
                Event::User(user) => {
                    let order = (user.event_time.0, user.event_id.0, user.revision);
                    let id = user.user_id.0;
                    if covered(&self.deleted_users, id, order.0)
                        || self.profiles.get(&id).is_some_and(|(known, ..)| *known >= order)
                    {
                        continue;
                    }
                    let text = |field: &Option<String>| field.clone();
                    let (country, age, gender) =
                        (text(&user.country), text(&user.age_band), text(&user.gender));
                    let group = demographic_group(country.as_deref(), age.as_deref(), gender.as_deref());
                    let tags = user.preferences.iter().map(|tag| tag.to_lowercase()).collect();
                    self.profiles.insert(id, (order, group, tags));
                }
                Event::Follow(follow) => {
                    let order = (follow.event_time.0, follow.event_id.0, follow.revision);
                    let key = (follow.user_id.0, follow.creator_id.0);
                    let begins = follow.action == FollowAction::Follow;
                    if covered(&self.deleted_users, key.0, order.0)
                        || self.follows.get(&key).is_some_and(|known| *known >= (order, begins))
                    {
                        continue;
                    }
                    self.follows.insert(key, (order, begins));
                }
                _ => {}
            }
        }
    }

    fn group(&self, user: u64) -> &str {
        self.profiles.get(&user).map_or(EVERYONE, |(_, group, _)| group)
    }

    /// Counts an interaction, unless a better one of its event is counted.
    fn count(&mut self, view: View, content: Arc<Content>) {
        let rank = |view: &View| (view.revision, Reverse(view.origin));
        let group = Arc::new(self.group(view.user).to_owned());
        let known = self.counted.entry(view.user).or_default().get(&view.id);
        if let Some(known) = known {
            let better = rank(&view) > rank(&known.view)
                || (rank(&view) == rank(&known.view) && content.known && !known.row.content.known);
            if !better {
                return;
            }
        }
        let skip_below = |duration| {
            let class = usize::from(duration_class(duration));
            self.skip_below.get(class).copied().unwrap_or(INITIAL_SKIP_BELOW[class])
        };
        let row = Row::new(&view, content, group, skip_below, &self.params.interest);
        if let Some(user) = self.counted.get_mut(&view.user) {
            user.insert(view.id, Counted { view, row });
        }
    }

    /// All epochs were read: what no delete covers counts.
    pub fn end(&mut self) {
        let covers = |deleted: Option<&u64>, time: u64| deleted.is_some_and(|until| time <= *until);
        for (user, events) in std::mem::take(&mut self.counted) {
            let stays = |counted: &Counted| {
                let View { video, id, time, .. } = counted.view;
                !(self.deleted_events.contains(&(user, id))
                    || covers(self.deleted_users.get(&user), time)
                    || covers(self.deleted_videos.get(&video), time))
            };
            let mut rows: Vec<Row> = events.into_values().filter(stays).map(|counted| counted.row).collect();
            rows.sort_by_key(|row| (row.time, row.id));
            if !rows.is_empty() {
                self.rows.insert(user, rows);
            }
        }
    }
}
