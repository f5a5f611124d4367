//! The batch computation: for an epoch, every view from all records up to it, by scanning them. Slow and plain on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::difference::Semigroup;
use freshet_learning::Direction;
use freshet_operators::content::{Content, Embedder, Facet, duration_class};
use freshet_operators::examples::Described;
use freshet_operators::history::expiry;
use freshet_operators::interest::Query;
use freshet_operators::params::Params;
use freshet_operators::popularity;
use freshet_operators::publish::{Published, skip_thresholds};
use freshet_operators::request::Request;
use freshet_operators::row::{Group, Row, View};
use freshet_operators::runtime::EpochInput;
use freshet_operators::score;
use freshet_operators::scorer::heads::Heads;
use freshet_operators::scorer::learn::{self, Example, Hours, Labels};
use freshet_operators::sums::{Span, Sums, WindowSums};
use freshet_operators::topics::{Sum, Themes, TopicTable};
use freshet_operators::users::INITIAL_SKIP_BELOW;
use freshet_operators::windows::{ALL_TIME, Pace, WINDOWS};

use freshet_schema::event::{Event, Origin, Target};
use freshet_schema::store::demographic_group;
use freshet_schema::{Upload, User, hash};

/// By video and landmark period.
type Quick = BTreeMap<(u64, u32), i64>;
use crate::world;

/// A waiting view: epoch of arrival, event, user, revision, origin, video.
type Held = (u64, u64, u64, u32, Origin, u64);

pub struct Oracle<'a> {
    pub epochs: &'a [EpochInput],
    pub params: &'a Params,
    /// Publications by epoch: trained values are taken as given where they are used, and checked where they are made.
    pub published: BTreeMap<u64, Arc<Published>>,
}

impl Oracle<'_> {
    fn records(&self, until: u64) -> impl Iterator<Item = (u64, u64, &Origin, &Event)> {
        self.epochs
            .iter()
            .filter(move |e| e.epoch.0 <= until)
            .flat_map(|e| e.records.iter().map(move |record| (e.epoch.0, e.now.0, &record.0, &record.1)))
    }

    pub fn now(&self, epoch: u64) -> u64 {
        self.epochs.iter().find(|e| e.epoch.0 == epoch).expect("an epoch of the run").now.0
    }

    /// The greatest time up to which `covers` picks deletes that arrived by `epoch`.
    fn deleted_until(&self, epoch: u64, covers: impl Fn(&Target) -> bool) -> Option<u64> {
        self.records(epoch)
            .filter_map(|(.., event)| match event {
                Event::Delete(delete) if covers(&delete.target) => Some(delete.event_time.0),
                _ => None,
            })
            .max()
    }

    fn video_deleted(&self, video: u64, epoch: u64) -> Option<u64> {
        self.deleted_until(epoch, |t| matches!(t, Target::Video { video_id } if video_id.0 == video))
    }

    fn user_deleted(&self, user: u64, epoch: u64) -> Option<u64> {
        self.deleted_until(epoch, |t| matches!(t, Target::User { user_id } if user_id.0 == user))
    }

    /// The last epoch up to `epoch` in which the user was deleted.
    fn user_delete_epoch(&self, user: u64, epoch: u64) -> Option<u64> {
        self.records(epoch)
            .filter(|(.., event)| match event {
                Event::Delete(d) => matches!(d.target, Target::User { user_id } if user_id.0 == user),
                _ => false,
            })
            .map(|(arrived, ..)| arrived)
            .max()
    }

    /// The latest state of a video as known at the end of `epoch`.
    fn upload(&self, video: u64, epoch: u64) -> Option<&Upload> {
        let deleted = self.video_deleted(video, epoch);
        self.records(epoch)
            .filter_map(|(.., origin, event)| match event {
                Event::Upload(u) if u.video_id.0 == video => Some((u, origin)),
                _ => None,
            })
            .filter(|(u, _)| deleted.is_none_or(|until| u.event_time.0 > until))
            .max_by_key(|(u, origin)| (u.event_time, u.event_id, u.revision, std::cmp::Reverse(*origin)))
            .map(|(u, _)| u)
    }

    pub fn content(&self, video: u64, epoch: u64) -> Content {
        match self.upload(video, epoch) {
            Some(upload) => {
                Embedder::new(self.params.seed, self.params.interest.topics.clone()).content(upload)
            }
            None => Content::unknown(video),
        }
    }

    /// All numbers of videos.
    pub fn videos(&self) -> std::ops::RangeInclusive<u64> {
        let uploads =
            self.epochs.iter().flat_map(|epoch| &epoch.records).filter_map(|(_, event)| match event {
                Event::Upload(upload) => Some(upload.video_id.0),
                _ => None,
            });
        1..=uploads.max().unwrap_or_default().max(world::VIDEOS)
    }

    pub fn profile(&self, user: u64, epoch: u64) -> Option<&User> {
        let deleted = self.user_deleted(user, epoch);
        self.records(epoch)
            .filter_map(|(.., event)| match event {
                Event::User(u) if u.user_id.0 == user => Some(u),
                _ => None,
            })
            .filter(|u| deleted.is_none_or(|until| u.event_time.0 > until))
            .max_by_key(|u| (u.event_time, u.event_id, u.revision))
    }

    pub fn group(&self, user: u64, epoch: u64) -> Group {
        let profile = self.profile(user, epoch);
        Arc::new(demographic_group(profile.and_then(|p| p.country.as_deref()), None, None))
    }

    /// The epoch at which a view that arrived in `arrived` met its video: at once, or when the upload came in time.
    /// `given_up` are those that had to give way.
    fn met(&self, view: &View, arrived: u64, until: u64, given_up: &BTreeSet<Held>) -> Option<u64> {
        if self.upload(view.video, arrived).is_some() {
            return Some(arrived);
        }
        let patience = self.now(arrived) + self.params.early.max_wait;
        self.epochs
            .iter()
            .filter(|e| e.epoch.0 > arrived && e.epoch.0 <= until && e.now.0 <= patience)
            .find(|e| {
                let comes =
                    e.records.iter().any(|r| matches!(&r.1, Event::Upload(u) if u.video_id.0 == view.video));
                comes && self.upload(view.video, e.epoch.0).is_some()
            })
            .map(|e| e.epoch.0)
            .filter(|met| {
                !given_up.contains(&(arrived, view.id, view.user, view.revision, view.origin, view.video))
                    || *met == arrived
            })
    }

    /// Early views that had to give way because too many of a shard were waiting, by (epoch, event, user): found by walking
    /// through the epochs with a list.
    fn given_up(&self, until: u64) -> BTreeSet<Held> {
        let limit = self.params.early.max_held_per_shard;
        let mut waiting: BTreeMap<u64, BTreeSet<Held>> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        for epoch in self.epochs.iter().filter(|e| e.epoch.0 <= until) {
            let number = epoch.epoch.0;
            for views in waiting.values_mut() {
                views.retain(|(arrived, ..)| self.now(*arrived) + self.params.early.max_wait >= epoch.now.0);
                views.retain(|(.., video)| {
                    let comes = epoch
                        .records
                        .iter()
                        .any(|r| matches!(&r.1, Event::Upload(u) if u.video_id.0 == *video));
                    !(comes && self.upload(*video, number).is_some())
                });
            }
            for record in &epoch.records {
                if let Event::Interaction(event) = &record.1
                    && self.upload(event.video_id.0, number).is_none()
                {
                    waiting.entry(hash::shard(event.video_id.0)).or_default().insert((
                        number,
                        event.event_id.0,
                        event.user_id.0,
                        event.revision,
                        record.0,
                        event.video_id.0,
                    ));
                }
            }
            for views in waiting.values_mut() {
                while views.len() > limit {
                    gone.insert(views.pop_first().expect("not empty"));
                }
            }
        }
        gone
    }

    /// Every row that counts at the end of `epoch`, with its user.
    pub fn rows(&self, epoch: u64) -> Vec<(u64, Row)> {
        let given_up = self.given_up(epoch);
        let mut best: BTreeMap<(u64, u64), (View, u64)> = BTreeMap::new();
        for (arrived, _, origin, event) in self.records(epoch) {
            let Event::Interaction(event) = event else { continue };
            let view = View::new(event, *origin);
            let known = best.entry((view.user, view.id)).or_insert((view, arrived));
            if (view.revision, std::cmp::Reverse(view.origin))
                > (known.0.revision, std::cmp::Reverse(known.0.origin))
            {
                *known = (view, arrived);
            }
        }
        let forgotten: BTreeSet<(u64, u64)> = self
            .records(epoch)
            .filter_map(|(.., event)| match event {
                Event::Delete(d) => match d.target {
                    Target::Interaction { user_id, target_event_id } => Some((user_id.0, target_event_id.0)),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        best.into_values()
            .filter(|(view, _)| !forgotten.contains(&(view.user, view.id)))
            .filter(|(view, _)| self.user_deleted(view.user, epoch).is_none_or(|until| view.time > until))
            .filter(|(view, _)| self.video_deleted(view.video, epoch).is_none_or(|until| view.time > until))
            .map(|(view, arrived)| {
                let met = self.met(&view, arrived, epoch, &given_up);
                let at = met.unwrap_or(arrived);
                let content = match met {
                    Some(at) => self.content(view.video, at),
                    None => Content::unknown(view.video),
                };
                let skips = self.skips(at);
                // A delete of the user takes the label of a forgotten profile away.
                let labelled = self.user_delete_epoch(view.user, epoch).map_or(at, |deleted| deleted.max(at));
                let row = Row::new(
                    &view,
                    Arc::new(content),
                    self.group(view.user, labelled),
                    |duration| skips[duration_class(duration) as usize],
                    &self.params.interest,
                );
                (view.user, row)
            })
            .collect()
    }

    /// The skip thresholds in force in `epoch`: those published before it.
    fn skips(&self, epoch: u64) -> freshet_operators::users::SkipThresholds {
        self.published.range(..epoch).next_back().map_or(INITIAL_SKIP_BELOW, |(_, p)| p.skip_below)
    }

    pub fn video_sums(&self, rows: &[(u64, Row)], now: u64) -> BTreeMap<(u64, Span), WindowSums> {
        let mut result: BTreeMap<(u64, Span), WindowSums> = BTreeMap::new();
        let mut add = |row: &Row, span, window: usize| {
            let sums = result.entry((row.content.video, span)).or_default();
            sums.0[window].plus_equals(&Sums::of(row));
        };
        for (_, row) in rows {
            for (length, bucket, span, window) in WINDOWS {
                if expiry(row.time, length, bucket) > now {
                    add(row, span, window);
                }
            }
            add(row, ALL_TIME.0, ALL_TIME.1);
        }
        result
    }

    /// Decayed sums of (first, second, period): watched next, and with each other.
    pub fn pairs(&self, rows: &[(u64, Row)]) -> BTreeMap<(u64, u64, u32), [i64; 2]> {
        let params = &self.params.coengagement;
        let mut positives: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
        for (user, row) in rows.iter().filter(|(_, row)| f64::from(row.weight) >= params.min_weight * 1000.0)
        {
            positives.entry(*user).or_default().push(row);
        }
        let mut result: BTreeMap<(u64, u64, u32), [i64; 2]> = BTreeMap::new();
        for rows in positives.values_mut() {
            rows.sort_by_key(|row| (row.time, row.id));
            for (later, second) in rows.iter().enumerate() {
                for (earlier, first) in rows.iter().enumerate().take(later) {
                    let (a, b) = (first.content.video, second.content.video);
                    if later - earlier > params.window || a == b {
                        continue;
                    }
                    let (period, amount) = popularity::contribution(1000, second.time, params.half_life);
                    result.entry((a, b, period)).or_default()[1] += amount;
                    result.entry((b, a, period)).or_default()[1] += amount;
                    if later - earlier == 1 {
                        result.entry((a, b, period)).or_default()[0] += amount;
                    }
                }
            }
        }
        result
    }

    /// The ready videos that the user has not watched, by the inner product with the query: exact.
    pub fn similar(&self, request: &Request, epoch: u64) -> Vec<(u64, i64)> {
        let Some(query) = &request.query else { return Vec::new() };
        let quota = self.params.candidates.similar;
        self.nearest(query, epoch, quota, |video| request.watched.contains(&video))
    }

    /// The ready videos of the query's space by the inner product with the query, but for those that are `left_out`.
    pub fn nearest(
        &self,
        query: &Query,
        epoch: u64,
        count: usize,
        left_out: impl Fn(u64) -> bool,
    ) -> Vec<(u64, i64)> {
        let dims = self.params.index.dims;
        let mut found: Vec<(i64, u64)> = (1..=world::VIDEOS)
            .map(|video| self.content(video, epoch))
            .filter(|content| content.ready && content.space == query.space && !left_out(content.video))
            .filter_map(|content| Some((Direction::of(&content.vector.0[..dims])?, content.video)))
            .map(|(direction, video)| (-i64::from(direction.score(&query.vector.0[..dims])), video))
            .filter(|(score, _)| *score < 0)
            .collect();
        found.sort_unstable();
        found.truncate(count);
        found.into_iter().map(|(score, video)| (video, -score)).collect()
    }

    pub fn popularity(&self, rows: &[(u64, Row)]) -> BTreeMap<(u64, Facet, u32), i64> {
        let mut result = BTreeMap::new();
        for (_, row) in rows {
            let half_life = self.params.score.popularity_half_life;
            let (period, amount) = popularity::contribution(row.popularity(), row.time, half_life);
            let mut groups = vec![Facet::Everyone];
            if row.group.as_str() != "all" {
                groups.push(Facet::Demographic(hash::text(&row.group)));
            }
            for group in groups {
                *result.entry((row.content.video, group, period)).or_insert(0) += amount;
            }
        }
        result.retain(|_, amount| *amount != 0);
        result
    }

    /// Quick attention by video and period, and everybody's by pace and period.
    pub fn attention(&self, rows: &[(u64, Row)]) -> (Quick, BTreeMap<(Pace, u32), i64>) {
        let (mut quick, mut attention) = (BTreeMap::new(), BTreeMap::new());
        let half_life = self.params.score.popularity_half_life;
        for (_, row) in rows {
            for (pace, half_life) in [(Pace::Plain, half_life), (Pace::Quick, half_life / popularity::QUICK)]
            {
                let (period, amount) = popularity::contribution(row.popularity(), row.time, half_life);
                *attention.entry((pace, period)).or_insert(0) += amount;
                if pace == Pace::Quick {
                    *quick.entry((row.content.video, period)).or_insert(0) += amount;
                }
            }
        }
        quick.retain(|_, amount| *amount != 0);
        attention.retain(|_, amount| *amount != 0);
        (quick, attention)
    }

    /// The heads as solved from the rows that `count`, whose features were told.
    pub fn heads(
        &self,
        version: u64,
        rows: &[(u64, Row)],
        count: impl Fn(u64, &Row) -> bool,
        told: &BTreeMap<(u64, u64), Described>,
        now: u64,
    ) -> Heads {
        let mut hours = Hours::default();
        let first = learn::first(now, &self.params.learning);
        for (user, row) in rows.iter().filter(|(user, row)| row.time >= first && count(*user, row)) {
            let Some(said) = told.get(&(*user, row.id)) else { continue };
            let later = rows.iter().filter(|(u, r)| u == user && (r.time, r.id) > (row.time, row.id));
            let next = later.map(|(_, r)| r.time).min();
            let continued = next.is_some_and(|next| next - row.time <= self.params.interest.session_gap);
            hours.add(
                &Example {
                    time: row.time,
                    id: row.id,
                    x: said.features[0],
                    expected: said.expected,
                    passed: said.features[1..].to_vec(),
                    tried: None,
                    offer: said.offer,
                    labels: Labels::of(row, continued),
                },
                1,
            );
        }
        hours.solve(version, now, &self.params.learning)
    }

    /// The directions of topics as of the end of an epoch: the trained ones, and the means of categories that stand in.
    pub fn topics(&self, epoch: u64) -> TopicTable {
        let mut sums: BTreeMap<(u64, Facet), Sum> = BTreeMap::new();
        for video in 1..=world::VIDEOS {
            let content = self.content(video, epoch);
            let Some(category @ Facet::Category(_)) = content.topic else { continue };
            let mut alone = Themes::default();
            alone.count(&content, 1);
            for (_, sum) in alone.sums() {
                sums.entry((content.space, category)).or_default().plus(sum);
            }
        }
        self.params.interest.trained().with(&sums)
    }

    /// What a publication at these rows must say, but for which creators it names and for the heads.
    pub fn publication(&self, epoch: u64, rows: &[(u64, Row)]) -> (Published, BTreeMap<u64, u32>) {
        let mut cohorts: BTreeMap<_, Sums> = BTreeMap::new();
        let mut creators: BTreeMap<u64, Sums> = BTreeMap::new();
        let mut total = Sums::default();
        let mut watched = BTreeMap::new();
        for (_, row) in rows.iter().filter(|(_, row)| row.content.known) {
            let sums = Sums::of(row);
            total.plus_equals(&sums);
            cohorts.entry(row.content.cohort()).or_default().plus_equals(&sums);
            creators.entry(row.content.creator).or_default().plus_equals(&sums);
            if let Some(part) = row.watched() {
                *watched.entry((duration_class(row.content.duration_ms), (part / 10) as u8)).or_insert(0) +=
                    1;
            }
        }
        let everyone = score::rates(&total).rounded();
        let scores =
            creators.iter().map(|(c, s)| (*c, score::creator(s, &everyone, &self.params.score))).collect();
        let published = Published {
            version: 0,
            everyone,
            cohorts: cohorts.iter().map(|(cohort, sums)| (*cohort, score::rates(sums).rounded())).collect(),
            creators: BTreeMap::new(),
            skip_below: skip_thresholds(&watched, self.params.score.skip_share),
            topics: Arc::new(self.topics(epoch)),
            heads: Arc::default(),
            arms: Arc::default(),
            spread: None,
            retired: None,
        };
        (published, scores)
    }
}
