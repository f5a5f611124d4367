//! Answers meet, and become the record of a video's related videos.
//!
//! Comes in, at the video's worker, all in one epoch: the question ([`crate::related`]), every worker's best of the pool of what was
//! liked together with it, and what the vector index has nearest to it. Goes out: the record, where it is another one than
//! there is, and (for the next epoch) which videos it holds. Nothing is kept between epochs.
//!
//! The two orders know nothing of each other's scale, so they are fused by rank (reciprocal rank fusion, Cormack et al. 2009): a
//! video's value is the sum of 1 / (60 + its rank) over the orders that have it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::feed::{RelatedItem, RelatedRecord, Source};
use freshet_schema::store::{Key, Value};
use freshet_schema::{VideoId, hash};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, RestoreError, Restoring, Rows};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::pools::Change;
use crate::related::Question;

/// The constant of the fusion; 60 in the paper.
const RANK_OFFSET: u64 = 60;
/// A whole, in the numbers that are added up.
const WHOLE: u64 = 1 << 32;

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RecordIn {
    /// A record is to be made.
    Question(Question),
    /// One worker's best of what was liked together with a video, with their rank values.
    CoEngaged(u64, Vec<(u64, i64)>),
    /// What is nearest to a video, best first.
    Similar(u64, Vec<u64>),
}

outputs! {
    /// What the stage says.
    RecordOut as RecordStreams {
        /// A change to the store.
        changes: Change,
        /// The videos of a record, none where there is none any more, and their hash.
        written: (u64, Arc<[u64]>, u64),
    }
}

/// See the module.
pub struct RelatedRecords {
    length: usize,
}

impl RelatedRecords {
    /// Records hold up to `length` videos.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self { length }
    }
}

#[derive(Default)]
struct Answers {
    question: Option<Question>,
    co_engaged: Vec<(u64, i64)>,
    similar: Vec<u64>,
}

/// The best `length` of both orders, each with its sources.
fn fuse(answers: &mut Answers, length: usize) -> Vec<(u64, Vec<i32>)> {
    answers.co_engaged.sort_unstable_by_key(|(video, rank)| (Reverse(*rank), *video));
    let co_engaged = answers.co_engaged.iter().map(|(video, _)| *video).take(length);
    let mut values: BTreeMap<u64, (u64, Vec<i32>)> = BTreeMap::new();
    let mut add = |source: Source, order: &mut dyn Iterator<Item = u64>| {
        for (rank, video) in (1..).zip(order) {
            let (value, sources) = values.entry(video).or_default();
            *value += WHOLE / (RANK_OFFSET + rank);
            sources.push(source.into());
        }
    };
    add(Source::CoEngaged, &mut co_engaged.into_iter());
    add(Source::Similar, &mut answers.similar.iter().copied().take(length));
    let mut fused: Vec<(u64, (u64, Vec<i32>))> = values.into_iter().collect();
    // Of equals, what people did comes before what looks alike.
    fused.sort_by(|(a, (x, from)), (b, (y, of))| y.cmp(x).then_with(|| from.cmp(of)).then(a.cmp(b)));
    fused.truncate(length);
    fused.into_iter().map(|(video, (_, sources))| (video, sources)).collect()
}

fn print(items: &[(u64, Vec<i32>)]) -> u64 {
    let parts: Vec<u64> = items
        .iter()
        .flat_map(|(video, sources)| {
            [*video, sources.iter().fold(0, |bits, source| bits | 1 << (source & 63))]
        })
        .collect();
    hash::mix(0, &parts)
}

impl Stage for RelatedRecords {
    type In = RecordIn;
    type Out = RecordOut;

    fn step(&mut self, epoch: u64, batch: Vec<RecordIn>, out: &mut RecordOut) {
        let mut answers: BTreeMap<u64, Answers> = BTreeMap::new();
        for message in batch {
            match message {
                RecordIn::Question(question) => {
                    let video = question.video;
                    answers.entry(video).or_default().question = Some(question);
                }
                RecordIn::CoEngaged(video, items) => {
                    answers.entry(video).or_default().co_engaged.extend(items);
                }
                RecordIn::Similar(video, items) => answers.entry(video).or_default().similar = items,
            }
        }
        for (video, mut answers) in answers {
            let items = fuse(&mut answers, self.length);
            let Some(question) = answers.question else { continue };
            let print = (!items.is_empty()).then(|| print(&items));
            if print == question.written && (print.is_none() || !question.again) {
                continue;
            }
            out.written.push((
                video,
                items.iter().map(|(video, _)| *video).collect(),
                print.unwrap_or_default(),
            ));
            let items = items.into_iter().map(|(video_id, sources)| RelatedItem { video_id, sources });
            let record =
                RelatedRecord { video_id: video, epoch, now_ms: question.now, items: items.collect() };
            let value = print.map(|_| Value::Related(record).encode());
            out.changes.push((Key::Related(VideoId(video)), value));
        }
    }

    fn size(&self) -> StateSize {
        StateSize::default()
    }

    fn take(&self) -> Rows {
        checkpoint::nothing()
    }

    fn restore(&mut self, _from: &Restoring) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(written: Option<u64>) -> RecordIn {
        RecordIn::Question(Question { video: 9, query: None, written, now: 77, again: false })
    }

    fn make(batch: Vec<RecordIn>) -> RecordOut {
        let mut out = RecordOut::default();
        RelatedRecords::new(4).step(3, batch, &mut out);
        out
    }

    fn answers() -> Vec<RecordIn> {
        vec![
            RecordIn::CoEngaged(9, vec![(3, 10), (1, 30)]),
            RecordIn::CoEngaged(9, vec![(5, 30), (2, 20)]),
            RecordIn::Similar(9, vec![7, 2, 8]),
        ]
    }

    #[test]
    fn both_orders_meet_by_rank() {
        let out = make([answers(), vec![question(None)]].concat());
        let (_, videos, _) = &out.written[0];
        // 2 is third and second; 1 and 7 are first, and the one that people liked comes first; 5 is second.
        assert_eq!(videos[..], [2, 1, 7, 5]);
        let Some(bytes) = &out.changes[0].1 else { panic!("no record") };
        let Ok(Value::Related(record)) = Value::decode(&out.changes[0].0, bytes) else { panic!("no record") };
        assert_eq!((record.video_id, record.epoch, record.now_ms), (9, 3, 77));
        let sources: Vec<Vec<Source>> = record.items.iter().map(|item| item.sources().collect()).collect();
        let (people, alike) = (Source::CoEngaged, Source::Similar);
        assert_eq!(sources, [vec![people, alike], vec![people], vec![alike], vec![people]]);
    }

    #[test]
    fn only_another_record_is_written() {
        let (_, _, print) = make([answers(), vec![question(None)]].concat()).written[0];
        let same = make([vec![question(Some(print))], answers()].concat());
        assert!(same.changes.is_empty() && same.written.is_empty());
        let mut other = answers();
        other.pop();
        assert_eq!(make([other, vec![question(Some(print))]].concat()).changes.len(), 1, "other sources");
        let none = make(vec![question(Some(print))]);
        assert_eq!(none.changes, [(Key::Related(VideoId(9)), None)]);
        assert!(make(vec![question(None)]).changes.is_empty());
    }
}
