//! Training on a log, outside any job. What comes of it is a file that jobs read.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::bail;
use freshet_learning::topics::Training;
use freshet_learning::{Quantised, Topics};
use freshet_operators::content::{self, Content, Embedder};
use freshet_schema::event::Target;
use freshet_schema::{Event, EventKind, Upload, VideoId};
use freshet_sources::log::{Extent, PartitionReader, discover};
use freshet_sources::validate::Limits;

/// The videos of a log that can be shown at its end, with the names of their embedding spaces.
pub struct Videos {
    videos: Vec<(String, Content)>,
    /// Records of uploads and deletes that could not be read.
    pub refused: u64,
}

/// The topics, and what the videos of each have in common.
pub struct Trained {
    /// For the file.
    pub topics: Topics,
    /// One a topic, in the order of spaces and numbers.
    pub told: Vec<Told>,
}

/// A topic as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Name of the embedding space.
    pub space: String,
    /// Number within the space.
    pub number: usize,
    /// Videos of the log that belong to it.
    pub videos: u64,
    /// The facets that most of them have, each with the share of them in per cent; names of creators are left out.
    pub facets: Vec<(Arc<str>, u64)>,
}

/// Facets told of a topic.
const TOLD: usize = 4;

/// Reads the uploads of a log, and what was deleted of them; other streams are not touched. `seed` is `graph.seed`: the
/// projection of vectors follows from it.
///
/// # Errors
/// Where the log cannot be read, or `stop` is set.
pub fn read(log: &Path, seed: u64, stop: &AtomicBool) -> anyhow::Result<Videos> {
    let mut latest: HashMap<VideoId, Upload> = HashMap::new();
    let mut deleted: HashMap<VideoId, u64> = HashMap::new();
    let mut refused = 0;
    let parts = discover(log)?.into_iter();
    let parts = parts.filter(|part| matches!(part.kind, EventKind::Uploads | EventKind::Deletes));
    for (number, part) in (0..).zip(parts) {
        let mut reader = PartitionReader::open(part, number, Limits::default())?;
        let length = reader.length()?;
        while let Some(item) = reader.next(Extent { length, ends: true })? {
            if stop.load(Relaxed) {
                bail!("interrupted while the log was read; nothing was trained");
            }
            match item.decoded {
                Ok(Event::Upload(upload)) => {
                    let order = |upload: &Upload| (upload.event_time, upload.event_id, upload.revision);
                    let known = latest.get(&upload.video_id);
                    if known.is_none_or(|known| order(known) < order(&upload)) {
                        latest.insert(upload.video_id, upload);
                    }
                }
                Ok(Event::Delete(delete)) => {
                    if let Target::Video { video_id } = delete.target {
                        let until = deleted.entry(video_id).or_default();
                        *until = delete.event_time.0.max(*until);
                    }
                }
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
    }
    let mut embedder = Embedder::new(seed, None);
    let mut videos = Vec::new();
    for (video, upload) in latest {
        if deleted.get(&video).is_some_and(|until| upload.event_time.0 <= *until) {
            continue;
        }
        if stop.load(Relaxed) {
            bail!("interrupted while vectors were made; nothing was trained");
        }
        let content = embedder.content(&upload);
        if content.ready {
            videos.push((content::space(&upload).to_owned(), content));
        }
    }
    videos.sort_unstable_by_key(|(_, content)| content.video);
    Ok(Videos { videos, refused })
}

impl Videos {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.videos.len()
    }

    /// Trains topics on them.
    ///
    /// # Errors
    /// Where no video has a vector.
    pub fn topics(&self, training: &Training) -> anyhow::Result<Trained> {
        let mut vectors: BTreeMap<String, Vec<(VideoId, Quantised)>> = BTreeMap::new();
        for (space, content) in &self.videos {
            vectors.entry(space.clone()).or_default().push((VideoId(content.video), content.vector.clone()));
        }
        let topics = Topics::train(vectors, training);
        if topics.spaces.is_empty() {
            bail!(
                "no topic can be trained: none of the log's {} ready videos has a vector, a caption or hashtags; give \
                 a log whose uploads say what the videos are",
                self.videos.len()
            );
        }
        let told = self.tell(&topics);
        Ok(Trained { topics, told })
    }

    fn tell(&self, topics: &Topics) -> Vec<Told> {
        let mut members: BTreeMap<(&str, usize), Vec<&Content>> = BTreeMap::new();
        for (name, space) in &topics.spaces {
            (0..space.centroids.len()).for_each(|n| drop(members.insert((name, n), Vec::new())));
        }
        for (space, content) in &self.videos {
            if let Some(number) = topics.of(content.space, &content.vector) {
                members.entry((space, number)).or_default().push(content);
            }
        }
        let told = |((space, number), videos): ((&str, usize), Vec<&Content>)| {
            let mut counts: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
            for (facet, name) in videos.iter().flat_map(|content| &content.facets) {
                if matches!(facet, content::Facet::Hashtag(_) | content::Facet::Category(_)) {
                    *counts.entry(name).or_default() += 1;
                }
            }
            let mut counts: Vec<(&Arc<str>, u64)> = counts.into_iter().collect();
            counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
            let share = |count: u64| count * 100 / (videos.len() as u64).max(1);
            let facets =
                counts.into_iter().take(TOLD).map(|(name, count)| (Arc::clone(name), share(count))).collect();
            Told { space: space.to_owned(), number, videos: videos.len() as u64, facets }
        };
        members.into_iter().map(told).collect()
    }
}
