//! What answering a request reads of a video, side by side in memory.
//!
//! A request meets a thousand videos that are anywhere in memory, and what it costs is waiting for them. So what is read of each
//! lies in four neighbouring cache lines, the prefix of the vector that the light rank goes by included; sums and ranks, which
//! move with events, are kept apart (`slot.rs`).

use std::sync::Arc;

use freshet_learning::{LONG_DIMS, SHORT_DIMS};

use crate::abuse;
use crate::ahead;
use crate::content::Content;
use crate::request::ABSENT;
use crate::score;

#[repr(C, align(64))]
pub(super) struct Face {
    /// The request that found the video last, and its candidate there.
    pub(super) asked: u64,
    pub(super) found: u32,
    /// Whether it may be shown: it has a rank.
    pub(super) shown: bool,
    /// The stage of its cohort, where that is its arm ([`crate::bandit::arm`]); 0 for none.
    pub(super) stage: u8,
    pub(super) content: Arc<Content>,
    /// Of the content: the video, its embedding space, and when it was published, where it is known.
    pub(super) video: u64,
    pub(super) space: u64,
    pub(super) created_at: Option<u64>,
    /// The publication that it was measured with; 0 where it must be measured again.
    pub(super) judged: u64,
    /// Logarithms of the decayed attention at both paces; [`ABSENT`] where there is none.
    pub(super) attention: [i64; 2],
    /// Norms of the vector, whole and of the prefix.
    pub(super) norm: f64,
    pub(super) short_norm: f64,
    /// Quality and the creator's score, as of `judged`.
    pub(super) quality: u32,
    pub(super) creator: u32,
    /// How little it was seen, and its length, as the heads see them, as of `judged`.
    pub(super) unseen: f32,
    pub(super) length: [f32; 2],
    /// Rates of the video in per mille, as of `judged`.
    pub(super) rates: [u16; 5],
    /// Factor on the score for abuse, in per mille.
    pub(super) trusted: u16,
    /// The vector's prefix.
    pub(super) prefix: [i8; SHORT_DIMS],
}

impl Face {
    /// Nothing is known of the video but its number.
    pub(super) fn new(video: u64) -> Self {
        Self {
            asked: 0,
            found: 0,
            shown: false,
            stage: 0,
            content: Arc::new(Content::unknown(video)),
            video,
            space: 0,
            created_at: None,
            judged: 0,
            attention: [ABSENT; 2],
            norm: 0.0,
            short_norm: 0.0,
            quality: score::ONE,
            creator: score::ONE,
            unseen: 1.0,
            length: [0.0; 2],
            rates: [0; 5],
            trusted: abuse::FULL,
            prefix: [0; SHORT_DIMS],
        }
    }

    /// Puts a new version in place of the old one.
    pub(super) fn version(&mut self, content: Arc<Content>) {
        self.norm = content.vector.norm(LONG_DIMS);
        self.short_norm = content.vector.norm(SHORT_DIMS);
        self.prefix.copy_from_slice(&content.vector.0[..SHORT_DIMS]);
        self.space = content.space;
        self.created_at = content.known.then_some(content.created_at);
        self.content = content;
        self.judged = 0;
    }

    /// Tells the processor that all of it will be read.
    pub(super) fn fetch(&self) {
        ahead::value(&self.judged);
        ahead::value(&self.short_norm);
        ahead::values(&self.prefix);
    }

    /// Takes in how much attention there is now, at one of the paces.
    pub(super) fn attention(&mut self, pace: usize, log: Option<i64>) {
        self.attention[pace] = log.unwrap_or(ABSENT);
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn a_face_is_four_cache_lines_and_all_of_them_are_fetched() {
        assert_eq!(size_of::<Face>(), 256);
        let prefix = offset_of!(Face, prefix);
        let norm = offset_of!(Face, short_norm);
        let fetched = [offset_of!(Face, judged), norm, prefix, prefix + SHORT_DIMS / 2];
        assert_eq!(fetched.map(|at| at / 64), [0, 1, 2, 3]);
    }
}
