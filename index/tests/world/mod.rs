//! Vectors for tests and measurements: the same for the same seed, on every machine.

#![allow(dead_code, reason = "each test uses its part")]

use freshet_learning::vector::Projection;
use freshet_learning::{CONTENT_DIMS, embed};
use freshet_schema::hash;
use freshet_schema::{CreatorId, EventId, Millis, SoundId, Upload, VideoId};

/// Draws by hash of a counter.
pub struct Draw {
    seed: u64,
    next: u64,
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next += 1;
        hash::mix(self.seed, &[self.next]) % n
    }

    /// Nearly normal, by the sum of four 16-bit draws.
    pub fn normal(&mut self) -> f64 {
        let draw = self.below(u64::MAX);
        let sum: f64 = (0..4).map(|i| ((draw >> (16 * i)) & 0xffff) as f64 / 65_536.0 - 0.5).sum();
        sum * 3f64.sqrt()
    }
}

/// Scaled so that the greatest entry is 127, as quantised vectors are.
pub fn quantise(values: &[f64]) -> Vec<i8> {
    let greatest = values.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    values.iter().map(|x| (x / greatest.max(1e-9) * 127.0).round() as i8).collect()
}

/// `n` vectors in `clusters` heaps of zipf-like sizes; `noise` is the spread in a heap beside the spread of the heaps.
pub fn clustered(n: usize, dims: usize, clusters: u64, noise: f64, seed: u64) -> Vec<Vec<i8>> {
    let mut draw = Draw::new(seed);
    let centres: Vec<Vec<f64>> = (0..clusters).map(|_| (0..dims).map(|_| draw.normal()).collect()).collect();
    (0..n)
        .map(|_| {
            let bound = draw.below(clusters) + 1;
            let centre = &centres[draw.below(bound) as usize];
            quantise(&centre.iter().map(|x| x + noise * draw.normal()).collect::<Vec<_>>())
        })
        .collect()
}

/// `n` vectors of the built-in embedder for uploads with creators, categories, hashtags, sounds and captions.
pub fn uploads(n: usize, dims: usize, seed: u64) -> Vec<Vec<i8>> {
    let mut draw = Draw::new(seed);
    let projection = Projection::new(CONTENT_DIMS, 7);
    (0..n as u64)
        .map(|i| {
            let mut popular = |n: u64| {
                let bound = draw.below(n) + 1;
                draw.below(bound)
            };
            let category = popular(30);
            let upload = Upload {
                event_id: EventId(i),
                revision: 0,
                event_time: Millis(0),
                video_id: VideoId(i),
                creator_id: CreatorId(popular(n as u64 / 10 + 1)),
                created_at: Millis(0),
                duration_ms: 0,
                caption: (0..6).map(|_| format!("word{} ", category * 40 + popular(400))).collect(),
                hashtags: (0..3).map(|_| format!("tag{}", category * 20 + popular(60))).collect(),
                sound_id: Some(SoundId(popular(2_000))),
                category: Some(format!("category{category}")),
                content_embedding: None,
                embedding_space: None,
                status: Default::default(),
            };
            projection.apply(&embed(&upload, 1)).0[..dims].to_vec()
        })
        .collect()
}

/// Queries as interest vectors are: the sum of a few of `vectors`, the first twice.
pub fn interests(vectors: &[Vec<i8>], n: usize, seed: u64) -> Vec<Vec<i8>> {
    let mut draw = Draw::new(seed);
    (0..n)
        .map(|_| {
            let mut sum = vec![0f64; vectors[0].len()];
            for weight in [2.0, 1.0, 1.0] {
                let vector = &vectors[draw.below(vectors.len() as u64) as usize];
                sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * f64::from(*x));
            }
            quantise(&sum)
        })
        .collect()
}

pub fn rows(vectors: &[Vec<i8>]) -> Vec<&[i8]> {
    vectors.iter().map(Vec::as_slice).collect()
}
