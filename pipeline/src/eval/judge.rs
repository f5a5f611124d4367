//! Looks at each answer as of the moment of its question.
//!
//! Answers come while later events are already on their way. So what was learned and what was asked stand in one queue
//! ([`super::outcome::Heard`]), and the judge walks it at the answers' pace: counts, shares and content are those of the question's moment,
//! however far the graph has run ahead.

use std::collections::BTreeMap;

use freshet_operators::content::Embedder;
use freshet_operators::lists::Answer;
use freshet_schema::{Upload, VideoId};
use rustc_hash::FxHashMap;

use super::diversity::{self, Described};
use super::metrics;
use super::outcome::{COLD_ITEM, FRESH, Mode, Outcome, Question};

/// Coverage, novelty and diversity are of the first so many places.
pub const TOP: usize = 10;

/// What the lists of a mode show, added up.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// How often each video stood on the first [`TOP`] places.
    pub videos: BTreeMap<u64, u64>,
    /// Sum and number of the lists' novelties.
    pub novelty: (f64, u64),
    /// Sum and number of the lists' diversities.
    pub diversity: (f64, u64),
    /// Pairs of comparable content vectors, and all pairs.
    pub pairs: (u64, u64),
}

#[derive(Default)]
struct Video {
    interactions: u64,
    first: u64,
    /// When it was first announced.
    announced: Option<u64>,
    upload: Option<Box<Upload>>,
    /// `None` until it is needed.
    content: Option<Option<Described>>,
}

/// See the module.
pub struct Judge {
    videos: FxHashMap<VideoId, Video>,
    interactions: u64,
    embedder: Embedder,
    /// For each question.
    pub outcomes: Vec<Outcome>,
    /// By mode.
    pub shown: [Shown; 2],
}

impl Judge {
    /// Has heard nothing; the seed is the graph's.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            videos: FxHashMap::default(),
            interactions: 0,
            embedder: Embedder::new(seed, None),
            outcomes: Vec::new(),
            shown: Default::default(),
        }
    }

    /// Videos that had an interaction or an upload.
    #[must_use]
    pub fn catalogue(&self) -> usize {
        self.videos.len()
    }

    /// An interaction was learned.
    pub fn learned(&mut self, video: VideoId, time: u64) {
        self.interactions += 1;
        let video = self.videos.entry(video).or_default();
        if video.interactions == 0 {
            video.first = time;
        }
        video.interactions += 1;
    }

    /// An upload was learned.
    pub fn uploaded(&mut self, upload: Box<Upload>) {
        let video = self.videos.entry(upload.video_id).or_default();
        video.announced.get_or_insert(upload.event_time.0);
        video.content = None;
        video.upload = Some(upload);
    }

    /// Judges the answer to a question. What is learned after the question must not have been heard yet.
    pub fn answered(&mut self, question: &Question, answer: &Answer) {
        let target = question.target.0;
        let video = self.videos.get(&question.target);
        let met = video.filter(|v| v.interactions > 0);
        // Announced at the very moment of its first view is how an importer derives uploads: nobody could know it before.
        let announced = video.and_then(|v| v.announced).is_some_and(|at| at < question.time);
        let seen = met.is_some() || announced;
        let masked = question.masked.map(|video| video.0);
        let scored: Vec<(u64, u64)> =
            answer.scored.iter().copied().filter(|(video, _)| Some(*video) != masked).collect();
        let listed: Vec<u64> = answer.listed.iter().copied().filter(|video| Some(*video) != masked).collect();
        let ranks = [metrics::mid_rank(&scored, target), metrics::place(&listed, target)];
        self.outcomes.push(Outcome {
            user: question.user,
            time: question.time,
            ranks: ranks.map(|rank| rank.filter(|_| seen)),
            seen,
            fresh: met.is_some_and(|v| question.time - v.first < FRESH),
            cold_item: video.map_or(0, |v| v.interactions) < COLD_ITEM,
            cold_user: question.cold_user,
            candidates: scored.len(),
        });
        let off: Vec<u64> = scored.iter().take(TOP).map(|(video, _)| *video).collect();
        let on = &listed[..listed.len().min(TOP)];
        for (mode, list) in [(Mode::Off, &off[..]), (Mode::On, on)] {
            self.show(mode, list);
        }
    }

    fn show(&mut self, mode: Mode, list: &[u64]) {
        for video in list {
            self.describe(VideoId(*video));
        }
        let videos: Vec<Option<&Video>> =
            list.iter().map(|video| self.videos.get(&VideoId(*video))).collect();
        let met = videos.iter().map(|video| video.map_or(0, |v| v.interactions));
        let novelty = diversity::novelty(met, self.interactions);
        let vectors: Vec<Option<&Described>> =
            videos.iter().map(|video| video.and_then(|v| v.content.as_ref()?.as_ref())).collect();
        let ild = diversity::intra_list(&vectors);
        let shown = &mut self.shown[mode as usize];
        for video in list {
            *shown.videos.entry(*video).or_default() += 1;
        }
        let add = |sum: &mut (f64, u64), value: Option<f64>| {
            if let Some(value) = value {
                *sum = (sum.0 + value, sum.1 + 1);
            }
        };
        add(&mut shown.novelty, novelty);
        add(&mut shown.diversity, ild.mean);
        shown.pairs = (shown.pairs.0 + ild.known, shown.pairs.1 + ild.pairs);
    }

    /// Makes the content vector of a video that something is said of. A vector of the creator alone would call any two
    /// videos of different creators diverse.
    fn describe(&mut self, video: VideoId) {
        let Some(video) = self.videos.get_mut(&video) else { return };
        if video.content.is_some() {
            return;
        }
        let upload = video.upload.take().filter(|u| {
            let words = !u.caption.is_empty() || !u.hashtags.is_empty();
            words || u.category.is_some() || u.sound_id.is_some() || u.content_embedding.is_some()
        });
        let content = upload.map(|upload| self.embedder.content(&upload));
        video.content = Some(content.map(|content| (content.space, content.vector)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::{Millis, UserId};

    fn upload(video: u64, time: u64, caption: &str) -> Box<Upload> {
        Box::new(Upload {
            video_id: VideoId(video),
            event_time: Millis(time),
            caption: caption.to_owned(),
            ..Upload::default()
        })
    }

    fn question(target: u64, time: u64) -> Question {
        Question { user: UserId(1), target: VideoId(target), masked: None, time, cold_user: false }
    }

    fn answer(scored: &[(u64, u64)], listed: &[u64]) -> Answer {
        Answer { user: 1, scored: scored.to_vec(), listed: listed.to_vec(), new_user: false }
    }

    #[test]
    fn slices_are_those_of_the_moment() {
        let mut judge = Judge::new(1);
        let all = answer(&[(1, 9), (2, 9), (3, 1)], &[3, 2, 1]);
        judge.uploaded(upload(1, 100, ""));
        // Announced in the very moment: not seen, whatever the list holds.
        judge.answered(&question(1, 100), &all);
        assert_eq!(
            judge.outcomes[0],
            Outcome {
                user: UserId(1),
                time: 100,
                ranks: [None, None],
                seen: false,
                fresh: false,
                cold_item: true,
                cold_user: false,
                candidates: 3
            }
        );
        judge.answered(&question(1, 101), &all);
        let outcome = judge.outcomes[1];
        assert!(outcome.seen && !outcome.fresh && outcome.cold_item, "announced before, not met");
        assert_eq!(outcome.ranks, [Some(1.5), Some(3.0)]);
        for n in 0..10 {
            judge.learned(VideoId(1), 200 + n);
        }
        judge.answered(&question(1, 200 + FRESH - 1), &all);
        assert!(judge.outcomes[2].fresh && !judge.outcomes[2].cold_item);
        judge.answered(&question(1, 200 + FRESH), &all);
        assert!(!judge.outcomes[3].fresh);
        judge.learned(VideoId(7), 5);
        judge.answered(&question(7, 6), &all);
        assert_eq!((judge.outcomes[4].ranks, judge.outcomes[4].seen), ([None, None], true));
        assert_eq!(judge.catalogue(), 2);
        let masked = Question { masked: Some(VideoId(2)), ..question(1, 200 + FRESH) };
        judge.answered(&masked, &all);
        assert_eq!(judge.outcomes[5].ranks, [Some(1.0), Some(2.0)], "the masked one does not compete");
        assert_eq!(judge.outcomes[5].candidates, 2);
    }

    #[test]
    fn lists_are_looked_at_on_their_first_places() {
        let mut judge = Judge::new(1);
        judge.uploaded(upload(1, 1, "a cat"));
        judge.uploaded(upload(2, 1, "a cat"));
        judge.uploaded(upload(3, 1, ""));
        judge.learned(VideoId(1), 2);
        judge.learned(VideoId(2), 2);
        let scored: Vec<(u64, u64)> = (1..=12).map(|video| (video, 20 - video)).collect();
        judge.answered(&question(1, 3), &answer(&scored, &[2, 1, 3]));
        let [off, on] = &judge.shown;
        assert_eq!(off.videos.keys().copied().collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
        assert_eq!(on.videos, BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
        // Each has a share of one half: those met once, and the one not met, which counts as met once.
        assert_eq!(on.novelty, (1.0, 1));
        // Of the three pairs one has two descriptions, and they are the same.
        assert_eq!((on.diversity.1, on.pairs), (1, (1, 3)));
        assert!(on.diversity.0.abs() < 1e-9);
        assert_eq!(off.pairs, (1, 45));
        judge.uploaded(upload(2, 4, "something else altogether"));
        judge.answered(&question(1, 5), &answer(&[], &[1, 2]));
        assert!(judge.shown[1].diversity.0 > 0.1, "a new upload is a new description");
    }
}
