//! The JSON shapes that several answers share. Identifiers are decimal strings: a JavaScript number holds 53 bits.

use std::collections::HashMap;

use freshet_schema::feed::{FeedItem, ScoreParts, Source, VideoCard};
use freshet_schema::ids::decimal;
use freshet_schema::store::Key;
use freshet_schema::{Millis, VideoId};
use freshet_sinks::{FeedStore, StoreError};
use prost::Message;
use serde::Serialize;

/// What a card shows of a video.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Card {
    pub(crate) caption: String,
    pub(crate) hashtags: Vec<String>,
    #[serde(with = "decimal")]
    pub(crate) creator_id: u64,
    pub(crate) duration_ms: u64,
    pub(crate) category: String,
}

impl From<VideoCard> for Card {
    fn from(card: VideoCard) -> Self {
        Self {
            caption: card.caption,
            hashtags: card.hashtags,
            creator_id: card.creator_id,
            duration_ms: card.duration_ms,
            category: card.category,
        }
    }
}

/// What speaks for a video in itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Parts {
    pub(crate) similarity: f32,
    pub(crate) quality: f32,
    pub(crate) creator: f32,
    pub(crate) freshness: f32,
}

impl From<ScoreParts> for Parts {
    fn from(parts: ScoreParts) -> Self {
        Self {
            similarity: parts.similarity,
            quality: parts.quality,
            creator: parts.creator,
            freshness: parts.freshness,
        }
    }
}

/// The names of an item's sources, without the enum's prefix. A number of a newer schema becomes `unspecified`.
pub(crate) fn source_names(item: &FeedItem) -> Vec<&'static str> {
    item.sources().map(Source::name).collect()
}

/// Reads and decodes a message; `None` where the key is absent.
pub(crate) fn read<M: Message + Default>(store: &dyn FeedStore, key: &Key) -> Result<Option<M>, StoreError> {
    store
        .get(key)?
        .map(|bytes| M::decode(bytes).map_err(|source| StoreError::Value { key: key.to_string(), source }))
        .transpose()
}

/// A video's card, where it has one.
pub(crate) fn card(store: &dyn FeedStore, video: VideoId) -> Result<Option<VideoCard>, StoreError> {
    read(store, &Key::Video(video))
}

/// Cards of a page, asked for ahead where each question is a round trip.
pub(crate) struct Cards<'a> {
    store: &'a dyn FeedStore,
    /// The videos that will be asked for, in that order, or nearly.
    coming: Vec<VideoId>,
    step: usize,
    known: HashMap<VideoId, Option<VideoCard>>,
}

impl<'a> Cards<'a> {
    pub(crate) fn new(store: &'a dyn FeedStore, items: &[FeedItem], limit: usize) -> Self {
        let coming = if store.is_remote() { items } else { &[] };
        let coming = coming.iter().map(|item| VideoId(item.video_id)).collect();
        Self { store, coming, step: limit + 1, known: HashMap::new() }
    }

    pub(crate) fn card(&mut self, video: VideoId) -> Result<Option<VideoCard>, StoreError> {
        if let Some(card) = self.known.remove(&video) {
            return Ok(card);
        }
        let Some(at) = self.coming.iter().position(|coming| *coming == video) else {
            return card(self.store, video);
        };
        let ahead = &self.coming[at..self.coming.len().min(at + self.step)];
        let keys: Vec<Key> = ahead.iter().map(|video| Key::Video(*video)).collect();
        for ((video, key), bytes) in ahead.iter().zip(&keys).zip(self.store.get_many(&keys)?) {
            let card = bytes.map(VideoCard::decode).transpose();
            let card = card.map_err(|source| StoreError::Value { key: key.to_string(), source })?;
            self.known.insert(*video, card);
        }
        Ok(self.known.remove(&video).flatten())
    }
}

/// Whether a card says that the video cannot be shown. Lists hold ready videos only; this covers the moment between a
/// take-down and the list's next epoch. A video without a card was deleted: pools and new-user lists hold it until they are
/// published again.
pub(crate) fn is_hidden(card: &VideoCard) -> bool {
    !card.status.is_empty() && card.status != freshet_schema::event::Status::Ready.as_str()
}

/// An instant as RFC 3339 text in UTC.
pub(crate) fn rfc3339(at: Millis) -> String {
    let (days, ms) = (at.0 / 86_400_000, at.0 % 86_400_000);
    // Civil date from days since 1970 (Howard Hinnant's algorithm), for years from 1970 on.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_as_dates() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(951_782_400_000)), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(1_663_718_399_999)), "2022-09-20T23:59:59.999Z");
        assert_eq!(rfc3339(Millis(u64::MAX)).len(), "584556019-04-03T14:25:51.615Z".len());
    }
}
