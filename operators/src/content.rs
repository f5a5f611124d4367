//! A video as the rows know it: one immutable version, shared by everything that refers to it.

use std::collections::HashMap;
use std::sync::Arc;

use freshet_learning::content::SPACE;
use freshet_learning::vector::Projection;
use freshet_learning::{CONTENT_DIMS, Quantised, Topics, embed};
use freshet_schema::event::Status;
use freshet_schema::{Upload, hash};
use serde::{Deserialize, Serialize};

/// What pools are keyed by, and what users have an affinity to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Facet {
    /// Everything: the global trend.
    Everyone,
    /// Hash of a hashtag in lower case.
    Hashtag(u64),
    /// A sound's number.
    Sound(u64),
    /// A creator's number.
    Creator(u64),
    /// Hash of a category's name.
    Category(u64),
    /// Hash of a demographic group's name.
    Demographic(u64),
    /// What was watched next after a video.
    Next(u64),
    /// What was liked together with a video.
    With(u64),
    /// A trained topic: its number, mixed with the embedding space.
    Topic(u64),
}

/// One version of a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The video.
    pub video: u64,
    /// Whether its upload was known; else only `video` holds.
    pub known: bool,
    /// Whether it may be shown.
    pub ready: bool,
    /// Its maker.
    pub creator: u64,
    /// First publication, in milliseconds since 1970.
    pub created_at: u64,
    /// Length in milliseconds, 0 where unknown.
    pub duration_ms: u64,
    /// Hash of the category's name; 0 where there is none.
    pub category: u64,
    /// Hashtags, sound, creator and category, with their names.
    pub facets: Vec<(Facet, Arc<str>)>,
    /// Hash of the embedding space's name.
    pub space: u64,
    /// The content vector.
    pub vector: Quantised,
    /// What long-term interest counts the video under: its trained topic or, where its space has none, its category.
    pub topic: Option<Facet>,
    /// Alike for videos with the same sound and the same caption ([`twin`]); 0 where either is missing.
    pub twin: u64,
}

impl Content {
    /// A video that nobody has announced.
    #[must_use]
    pub fn unknown(video: u64) -> Self {
        Self {
            video,
            known: false,
            ready: false,
            creator: 0,
            created_at: 0,
            duration_ms: 0,
            category: 0,
            facets: Vec::new(),
            space: 0,
            vector: Quantised::zero(),
            topic: None,
            twin: 0,
        }
    }

    /// The cohort whose average the video is measured against: category and duration class.
    #[must_use]
    pub fn cohort(&self) -> Cohort {
        Cohort { category: self.category, duration: duration_class(self.duration_ms) }
    }

    /// Bytes held, including the heap.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (size_of::<Self>() + freshet_learning::LONG_DIMS + self.facets.len() * 40) as u64
    }
}

/// Videos that are compared with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cohort {
    /// Hash of the category's name.
    pub category: u64,
    /// See [`duration_class`].
    pub duration: u8,
}

/// Number of duration classes.
pub const DURATION_CLASSES: usize = 8;

/// The duration class: 0 is unknown, then up to 7 s, 15 s, 31 s, 63 s, 127 s, 255 s, and longer.
#[must_use]
pub fn duration_class(duration_ms: u64) -> u8 {
    if duration_ms == 0 {
        return 0;
    }
    let octaves = (duration_ms / 1000 + 1).ilog2();
    octaves.saturating_sub(1).clamp(1, DURATION_CLASSES as u32 - 1) as u8
}

/// Makes contents out of uploads: embeds, projects, names the facets.
pub struct Embedder {
    seed: u64,
    topics: Option<Arc<Topics>>,
    projections: HashMap<usize, Projection>,
}

impl Embedder {
    /// An embedder whose projections follow from `seed`, with trained topics.
    #[must_use]
    pub fn new(seed: u64, topics: Option<Arc<Topics>>) -> Self {
        Self { seed, topics, projections: HashMap::new() }
    }

    /// The content of an upload.
    pub fn content(&mut self, upload: &Upload) -> Content {
        let space = hash::text(space(upload));
        let seed = self.seed;
        let mut project = |content: &[f32]| {
            let projection =
                self.projections.entry(content.len()).or_insert_with(|| Projection::new(content.len(), seed));
            projection.apply(content)
        };
        let vector = match &upload.content_embedding {
            Some(vector) => project(vector),
            None => {
                let embedded = embed(upload, seed);
                debug_assert_eq!(embedded.len(), CONTENT_DIMS);
                project(&embedded)
            }
        };
        let mut facets: Vec<(Facet, Arc<str>)> = Vec::new();
        for tag in &upload.hashtags {
            let tag = tag.to_lowercase();
            facets.push((Facet::Hashtag(hash::text(&tag)), tag.into()));
        }
        facets.sort();
        facets.dedup();
        if let Some(sound) = upload.sound_id {
            facets.push((Facet::Sound(sound.0), sound.to_string().into()));
        }
        facets.push((Facet::Creator(upload.creator_id.0), upload.creator_id.to_string().into()));
        let category = upload.category.as_deref().map_or(0, hash::text);
        if let Some(name) = &upload.category {
            facets.push((Facet::Category(category), name.as_str().into()));
        }
        let trained = self.topics.as_ref().and_then(|topics| topics.of(space, &vector));
        let topic = match trained {
            Some(number) => Some(topic(space, number)),
            None => (category != 0).then_some(Facet::Category(category)),
        };
        Content {
            video: upload.video_id.0,
            known: true,
            ready: upload.status == Status::Ready,
            creator: upload.creator_id.0,
            created_at: upload.created_at.0,
            duration_ms: upload.duration_ms,
            category,
            facets,
            space,
            vector,
            topic,
            twin: twin(upload),
        }
    }
}

/// The name of the embedding space that an upload's vector is in.
#[must_use]
pub fn space(upload: &Upload) -> &str {
    match (&upload.content_embedding, &upload.embedding_space) {
        (Some(_), space) => space.as_deref().unwrap_or("unnamed"),
        (None, _) => SPACE,
    }
}

/// A space's trained topic.
#[must_use]
pub fn topic(space: u64, number: usize) -> Facet {
    Facet::Topic(hash::mix(space, &[number as u64]))
}

/// The hash of an upload's sound and caption, by which near-duplicates are known; 0 where there is no sound or the caption
/// has no letter or digit. Case, punctuation and spaces do not matter, as they are what a copy changes first.
#[must_use]
pub fn twin(upload: &Upload) -> u64 {
    let Some(sound) = upload.sound_id else { return 0 };
    let caption = upload.caption.to_lowercase();
    let words: Vec<&str> = caption.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    if words.is_empty() {
        return 0;
    }
    hash::mix(hash::text(&words.join(" ")), &[sound.0]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::SoundId;

    #[test]
    fn twins_have_the_same_sound_and_the_same_words() {
        let upload = |sound: Option<u64>, caption: &str| Upload {
            sound_id: sound.map(SoundId),
            caption: caption.to_owned(),
            ..Upload::default()
        };
        let first = twin(&upload(Some(7), "My CAT, again!"));
        assert_ne!(first, 0);
        assert_eq!(twin(&upload(Some(7), "  my cat again")), first);
        assert_ne!(twin(&upload(Some(8), "my cat again")), first);
        assert_ne!(twin(&upload(Some(7), "my cats again")), first);
        assert_eq!(twin(&upload(None, "my cat again")), 0);
        assert_eq!(twin(&upload(Some(7), "!!! ...")), 0);
        let made = Embedder::new(1, None).content(&upload(Some(7), "my cat again"));
        assert_eq!(made.twin, first);
    }
}
