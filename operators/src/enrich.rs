//! Interactions meet the video *as it was known at their epoch*.
//!
//! Comes in: uploads, deletes of videos and views, all at the video's worker. Goes out: each view with the video's content,
//! and each new version of a video. Only the view's side drives: a changed caption re-emits nothing, so a hot video costs no
//! more than any other. An interaction that comes before its upload counts at once as one with unknown content, and waits
//! here; when the upload comes in time the view goes out again, and the ledger ([`crate::history`]) puts the known row in
//! the unknown one's place.
//!
//! Oracle: `tests/oracle.rs`, which joins by scanning all uploads of earlier epochs.

pub(crate) mod saved;

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::event::{Event, Origin};
use freshet_schema::feed::VideoCard;
use freshet_schema::hash::Slice;
use freshet_schema::store::{Key, Value};
use freshet_schema::{Upload, VideoId, hash};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::{Content, Embedder};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::look::{Record, Records, VideoLook, Wanted};
use crate::params::Params;
use crate::pools::Change;
use crate::row::View;
use crate::topics::{Place, Sum, Themes};
use crate::wire::Json;

/// What the video side of the graph hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum VideoIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A new state of a video.
    Upload(Json<Upload>, Origin),
    /// A video is to be forgotten, with what happened to it up to a time.
    Delete(u64, u64),
    /// An interaction.
    View(View),
    /// Cards of these videos are to be written again.
    Remake(Slice),
}

outputs! {
    /// What the join emits.
    EnrichOut as EnrichStreams {
        /// An interaction with the content of its video.
        views: (View, Arc<Content>),
        /// A video's new version; one that is not `ready` is no candidate.
        versions: Arc<Content>,
        /// A video that could be shown can be no longer.
        gone: u64,
        /// A card to store or, for a deleted video, to remove.
        cards: Change,
        /// At a publication, the sums of this worker's videos by category.
        themes: (Place, Sum),
        /// So many interactions wait on this worker, and so many gave way because too many would.
        waiting: (u64, u64),
    }
}

/// Which of two states of a video is the later one.
type UploadOrder = (u64, u64, u32, std::cmp::Reverse<Origin>);
/// Waiting interactions give way in this order: epoch of arrival, event, user; then what tells duplicates apart.
type HeldKey = (u64, u64, u64, u32, Origin);

struct Video {
    order: UploadOrder,
    content: Arc<Content>,
    /// As it was stored: nothing else keeps the caption.
    card: Arc<[u8]>,
}

impl Video {
    fn bytes(&self) -> u64 {
        self.content.bytes() + self.card.len() as u64
    }
}

#[derive(Default)]
struct Shard {
    held: BTreeMap<HeldKey, (u64, View)>,
}

/// See the module.
pub struct Enrich {
    params: Params,
    embedder: Embedder,
    themes: Themes,
    publication: Boundary,
    videos: FxHashMap<u64, Video>,
    unknown: FxHashMap<u64, Arc<Content>>,
    tombstones: FxHashMap<u64, u64>,
    shards: FxHashMap<u64, Shard>,
    waiting: FxHashMap<u64, Vec<HeldKey>>,
    /// The epoch's cards: one a video, however often it changed.
    cards: BTreeMap<u64, Option<Vec<u8>>>,
    now: u64,
    held: usize,
    /// Of this epoch.
    gave_way: u64,
    bytes: u64,
}

impl Enrich {
    /// An empty catalogue.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            embedder: Embedder::new(params.seed, params.interest.topics.clone()),
            params,
            themes: Themes::default(),
            publication: Boundary::default(),
            videos: FxHashMap::default(),
            unknown: FxHashMap::default(),
            tombstones: FxHashMap::default(),
            shards: FxHashMap::default(),
            waiting: FxHashMap::default(),
            cards: BTreeMap::new(),
            now: 0,
            held: 0,
            gave_way: 0,
            bytes: 0,
        }
    }

    fn upload(&mut self, upload: &Upload, origin: Origin, out: &mut EnrichOut) {
        let video = upload.video_id.0;
        if self.tombstones.get(&video).is_some_and(|deleted| upload.event_time.0 <= *deleted) {
            return;
        }
        let order = (upload.event_time.0, upload.event_id.0, upload.revision, std::cmp::Reverse(origin));
        if self.videos.get(&video).is_some_and(|known| known.order >= order) {
            return;
        }
        let content = Arc::new(self.embedder.content(upload));
        let card = card(upload);
        out.versions.push(Arc::clone(&content));
        self.cards.insert(video, Some(card.clone()));
        self.themes.count(&content, 1);
        let new = Video { order, content: Arc::clone(&content), card: card.into() };
        self.bytes += new.bytes();
        if let Some(old) = self.videos.insert(video, new) {
            self.bytes -= old.bytes();
            self.themes.count(&old.content, -1);
            if old.content.ready && !content.ready {
                out.gone.push(video);
            }
        }
    }

    /// Sends the views on that waited for `video`, if it is known by the end of the epoch's uploads and deletes.
    fn meet(&mut self, video: u64, out: &mut EnrichOut) {
        let Some(content) = self.videos.get(&video).map(|v| Arc::clone(&v.content)) else { return };
        self.unknown.remove(&video);
        for key in self.waiting.remove(&video).unwrap_or_default() {
            let shard = self.shards.entry(hash::shard(video)).or_default();
            if let Some((_, view)) = shard.held.remove(&key) {
                self.held -= 1;
                out.views.push((view, Arc::clone(&content)));
            }
        }
    }

    fn delete(&mut self, video: u64, time: u64, out: &mut EnrichOut) {
        let deleted = self.tombstones.entry(video).or_insert(time);
        *deleted = time.max(*deleted);
        if let Some(known) = self.videos.get(&video)
            && known.order.0 <= time
        {
            self.bytes -= known.bytes();
            self.themes.count(&known.content, -1);
            if known.content.ready {
                out.gone.push(video);
            }
            self.videos.remove(&video);
            out.versions.push(Arc::new(Content::unknown(video)));
            self.cards.insert(video, None);
        }
    }

    fn view(&mut self, epoch: u64, view: View, out: &mut EnrichOut) {
        if let Some(video) = self.videos.get(&view.video) {
            out.views.push((view, Arc::clone(&video.content)));
            return;
        }
        let unknown =
            self.unknown.entry(view.video).or_insert_with(|| Arc::new(Content::unknown(view.video)));
        out.views.push((view, Arc::clone(unknown)));
        let key = (epoch, view.id, view.user, view.revision, view.origin);
        let shard = self.shards.entry(hash::shard(view.video)).or_default();
        if shard.held.insert(key, (self.now, view)).is_none() {
            self.held += 1;
            self.waiting.entry(view.video).or_default().push(key);
        }
    }

    /// Lets those go that waited long enough, and the oldest of a shard that holds too many.
    fn release(&mut self) {
        let mut overflow = 0;
        for shard in self.shards.values_mut() {
            while let Some(entry) = shard.held.first_entry() {
                let (arrived, view) = *entry.get();
                let late = self.now > arrived.saturating_add(self.params.early.max_wait);
                if !late && shard.held.len() <= self.params.early.max_held_per_shard {
                    break;
                }
                let Some((key, _)) = shard.held.pop_first() else { break };
                self.held -= 1;
                overflow += u64::from(!late);
                if let Some(waiting) = self.waiting.get_mut(&view.video) {
                    waiting.retain(|k| *k != key);
                    if waiting.is_empty() {
                        self.waiting.remove(&view.video);
                        self.unknown.remove(&view.video);
                    }
                }
            }
        }
        self.gave_way += overflow;
    }
}

impl Stage for Enrich {
    type In = VideoIn;
    type Out = EnrichOut;

    fn step(&mut self, epoch: u64, batch: Vec<VideoIn>, out: &mut EnrichOut) {
        let before = self.held;
        let (mut uploads, mut deletes, mut views) = (Vec::new(), Vec::new(), Vec::new());
        let mut slices = Vec::new();
        for message in batch {
            match message {
                VideoIn::Remake(slice) => slices.push(slice),
                VideoIn::Clock(now) => self.now = self.now.max(now),
                VideoIn::Upload(upload, origin) => uploads.push((upload.0, origin)),
                VideoIn::Delete(video, time) => deletes.push((video, time)),
                VideoIn::View(view) => views.push(view),
            }
        }
        self.release();
        uploads.sort_by_key(|(u, origin)| (u.event_time, u.event_id, u.revision, std::cmp::Reverse(*origin)));
        for (upload, origin) in &uploads {
            self.upload(upload, *origin, out);
        }
        for (video, time) in deletes {
            self.delete(video, time, out);
        }
        for (upload, _) in &uploads {
            self.meet(upload.video_id.0, out);
        }
        for slice in slices {
            for (video, known) in self.videos.iter().filter(|(video, _)| slice.holds(**video)) {
                self.cards.insert(*video, Some(known.card.to_vec()));
            }
        }
        views.sort_unstable();
        for view in views {
            self.view(epoch, view, out);
        }
        self.release();
        let gave_way = std::mem::take(&mut self.gave_way);
        if self.held != before || gave_way > 0 {
            out.waiting.push((self.held as u64, gave_way));
        }
        if self.publication.pass(self.now, self.params.score.publish_every).is_some() {
            out.themes.extend(self.themes.sums().map(|(place, sum)| (place, sum.clone())));
        }
        let cards = std::mem::take(&mut self.cards);
        out.cards.extend(cards.into_iter().map(|(video, card)| (Key::Video(VideoId(video)), card)));
    }

    fn size(&self) -> StateSize {
        let videos = self.videos.len() * (size_of::<Video>() + 16);
        let held = self.held * (size_of::<View>() + 72);
        StateSize {
            entries: (self.videos.len() + self.held) as u64,
            bytes: self.bytes + (self.themes.bytes() + videos + held + self.tombstones.len() * 18) as u64,
        }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn look(&self, wanted: &Wanted) -> Records {
        let video = |video: &Video| (video.order.0, Arc::clone(&video.content), Arc::clone(&video.card));
        let videos: Vec<_> = match &wanted.keys {
            None => self.videos.values().map(video).collect(),
            Some(keys) => keys.iter().filter_map(|key| self.videos.get(key)).map(video).collect(),
        };
        Box::new(move |to| {
            let show = |(event_time, content, card): &(u64, Arc<Content>, Arc<[u8]>)| {
                to(Record::Video(VideoLook { content, event_time: *event_time, card }))
            };
            let _ = videos.iter().all(show);
        })
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}

fn card(upload: &Upload) -> Vec<u8> {
    Value::Video(VideoCard {
        video_id: upload.video_id.0,
        creator_id: upload.creator_id.0,
        created_at_ms: upload.created_at.0,
        duration_ms: upload.duration_ms,
        caption: upload.caption.clone(),
        hashtags: upload.hashtags.clone(),
        sound_id: upload.sound_id.map_or(0, |s| s.0),
        category: upload.category.clone().unwrap_or_default(),
        status: upload.status.as_str().to_owned(),
    })
    .encode()
}

/// What the video side hears of an event.
#[must_use]
pub fn of_event(event: &Event, origin: Origin) -> Option<VideoIn> {
    use freshet_schema::event::Target;
    match event {
        Event::Upload(upload) => Some(VideoIn::Upload(Json(upload.clone()), origin)),
        Event::Interaction(view) => Some(VideoIn::View(View::new(view, origin))),
        Event::Delete(delete) => match delete.target {
            Target::Video { video_id } => Some(VideoIn::Delete(video_id.0, delete.event_time.0)),
            Target::User { .. } | Target::Interaction { .. } => None,
        },
        Event::User(_) | Event::Follow(_) | Event::Served(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Early;
    use freshet_schema::{EventId, Interaction, Millis, UserId};

    fn view(id: u64, video: u64) -> VideoIn {
        let event = Interaction {
            event_id: EventId(id),
            user_id: UserId(1),
            video_id: VideoId(video),
            event_time: Millis(id),
            ..Interaction::default()
        };
        VideoIn::View(View::new(&event, Origin { partition: 0, offset: id }))
    }

    fn upload(video: u64) -> VideoIn {
        let upload = Upload { video_id: VideoId(video), event_time: Millis(5), ..Upload::default() };
        VideoIn::Upload(Json(upload), Origin::default())
    }

    fn patient(max_wait: u64, max_held_per_shard: usize) -> Enrich {
        Enrich::new(Params { early: Early { max_wait, max_held_per_shard }, ..Params::default() })
    }

    fn known(out: &EnrichOut) -> Vec<(u64, bool)> {
        out.views.iter().map(|(view, content)| (view.id, content.known)).collect()
    }

    fn step(enrich: &mut Enrich, epoch: u64, now: u64, mut batch: Vec<VideoIn>) -> EnrichOut {
        batch.push(VideoIn::Clock(now));
        let mut out = EnrichOut::default();
        enrich.step(epoch, batch, &mut out);
        out
    }

    #[test]
    fn an_early_view_counts_at_once_and_again_when_its_upload_comes() {
        let mut enrich = patient(100, 10);
        assert_eq!(known(&step(&mut enrich, 1, 10, vec![view(1, 7)])), [(1, false)]);
        assert_eq!(known(&step(&mut enrich, 2, 110, vec![upload(7)])), [(1, true)]);
        assert_eq!(enrich.held, 0);
        assert!(enrich.waiting.is_empty());
    }

    #[test]
    fn after_max_wait_it_stays_unknown_for_good() {
        let mut enrich = patient(100, 10);
        step(&mut enrich, 1, 10, vec![view(1, 7)]);
        assert_eq!(known(&step(&mut enrich, 2, 111, vec![upload(7)])), []);
        assert_eq!(enrich.held, 0);
    }

    #[test]
    fn the_oldest_give_way_and_are_metered() {
        let mut enrich = patient(100, 2);
        let out = step(&mut enrich, 1, 10, vec![view(3, 7), view(1, 7), view(2, 7)]);
        assert_eq!(out.waiting, [(2, 1)]);
        assert_eq!(known(&step(&mut enrich, 2, 10, vec![upload(7)])), [(2, true), (3, true)]);
    }

    #[test]
    fn in_one_epoch_the_upload_comes_first() {
        let mut enrich = patient(100, 2);
        assert_eq!(known(&step(&mut enrich, 1, 10, vec![view(1, 7), upload(7)])), [(1, true)]);
    }
}
