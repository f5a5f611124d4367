//! What counting alone reaches: each video's smoothed rates, the same for everybody.
//!
//! `(yes + prior x rate of all) / (shown + prior)`, from what was learned by then; for the watch time the same with means. The
//! priors are those with which counting was measured on the public sample (`../shared/QUALITY.md`). It is shown beside the graph's predictions:
//! what does not beat it has learned nothing.

use freshet_operators::probe::Heads;
use freshet_schema::{Event, VideoId};
use rustc_hash::FxHashMap;

use super::labels::Labels;

/// How many impressions the rate of all counts for.
const PRIOR: f64 = 20.0;
/// The same for the watch time. Its error is least with less: watch times go with the videos' durations.
const WATCH_PRIOR: f64 = 5.0;

/// Sum and number of something.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn value(self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    /// Leans on the mean of all as if that had been seen `prior` times.
    fn towards(self, all: Self, prior: f64) -> f32 {
        ((self.sum + prior * all.value()) / (self.count + prior)) as f32
    }
}

/// What is counted of a video.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    shown: u64,
    long_view: Mean,
    complete: Mean,
    like: Mean,
    watch_ms: Mean,
}

impl Counts {
    fn add(&mut self, labels: &Labels) {
        self.shown += 1;
        let of = |label: Option<bool>| label.map(|yes| f64::from(u8::from(yes)));
        let watch = labels.watch_ms.map(|ms| ms as f64);
        for (mean, value) in [
            (&mut self.long_view, of(labels.long_view)),
            (&mut self.complete, of(labels.complete)),
            (&mut self.like, of(Some(labels.like))),
            (&mut self.watch_ms, watch),
        ] {
            value.into_iter().for_each(|value| mean.add(value));
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct ItemRates {
    videos: FxHashMap<VideoId, Counts>,
    durations: FxHashMap<VideoId, u64>,
    all: Counts,
}

impl ItemRates {
    /// Takes an event in. Revisions are not for it.
    pub fn learn(&mut self, event: &Event) {
        match event {
            Event::Interaction(view) => {
                let labels = Labels::of(view, self.durations.get(&view.video_id).copied());
                self.all.add(&labels);
                self.videos.entry(view.video_id).or_default().add(&labels);
            }
            Event::Upload(upload) => {
                self.durations.insert(upload.video_id, upload.duration_ms);
            }
            _ => {}
        }
    }

    /// Its predictions for a video. `choice` is the video's share of all impressions; what it does not predict is 0.
    #[must_use]
    pub fn heads(&self, video: VideoId) -> Heads {
        let own = self.videos.get(&video).copied().unwrap_or_default();
        let all = &self.all;
        Heads {
            choice: (own.shown as f64 / all.shown.max(1) as f64) as f32,
            completion: own.complete.towards(all.complete, PRIOR),
            like: own.like.towards(all.like, PRIOR),
            long_view: own.long_view.towards(all.long_view, PRIOR),
            watch_ms: own.watch_ms.towards(all.watch_ms, WATCH_PRIOR),
            ..Heads::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::{Interaction, Upload};

    #[test]
    fn rates_lean_on_the_rate_of_all() {
        let mut rates = ItemRates::default();
        assert_eq!(rates.heads(VideoId(1)), Heads::default(), "nothing is known");
        let duration_ms = 10_000;
        rates.learn(&Event::Upload(Upload { video_id: VideoId(1), duration_ms, ..Upload::default() }));
        let view = |video: u64, watch_ms: u64, like: bool| {
            Event::Interaction(Interaction {
                video_id: VideoId(video),
                watch_ms: Some(watch_ms),
                like,
                ..Interaction::default()
            })
        };
        for _ in 0..20 {
            rates.learn(&view(1, 10_000, true));
        }
        for _ in 0..20 {
            rates.learn(&view(2, 2_000, false));
        }
        let (one, two, new) = (rates.heads(VideoId(1)), rates.heads(VideoId(2)), rates.heads(VideoId(3)));
        // All: likes 1/2, watch 6 s. Twenty of its own count as much as all together, for the watch time four times.
        assert_eq!([one.like, two.like, new.like], [0.75, 0.25, 0.5]);
        assert_eq!([one.watch_ms, two.watch_ms, new.watch_ms], [9_200.0, 2_800.0, 6_000.0]);
        // Of video 2 no duration is known: nothing is known of its completion, and it leans on all.
        assert_eq!([one.completion, two.completion, new.completion], [1.0, 1.0, 1.0]);
        assert_eq!([one.choice, new.choice], [0.5, 0.0]);
    }
}
