//! From taken cuts to blocks of bytes.
//!
//! A block is a run of rows of one cut and logical shard in postcard's format, one after the other: what a row is, the type
//! says. Blocks are closed at a mebibyte, so that what waits in memory is bounded whatever the size of the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::hash::shard;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{CONTENTS, SHARED, Snapshot};
use crate::content::{Content, Facet};

/// A block is closed when it has grown to this, in bytes.
const BLOCK: usize = 1 << 20;

/// A run of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The cut.
    pub cut: &'static str,
    /// The logical shard, or [`SHARED`].
    pub shard: u64,
    /// Number of rows.
    pub rows: u64,
    /// The rows.
    pub bytes: Vec<u8>,
}

/// A block could not be written; whoever takes the blocks knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteFailed;

/// Takes blocks.
type Sink<'a> = dyn FnMut(Block) -> Result<(), WriteFailed> + 'a;

/// Encodes the snapshots of one checkpoint. Versions of videos that several rows share get one number and are written once.
#[derive(Default)]
pub struct Encoder {
    /// Where a version lies in memory, and its number. It is kept alive, so that no other can come to lie there.
    numbers: FxHashMap<usize, (u64, Arc<Content>)>,
    contents: BTreeMap<u64, Open>,
    /// Numbers begin here ...
    first: u64,
    /// ... and are so far apart, less one.
    others: u64,
}

#[derive(Default)]
struct Open {
    rows: u64,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Nothing was written yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for one of several processes that write one checkpoint: no two use one number, as long as each knows which one
    /// it is.
    #[must_use]
    pub fn of_process(process: usize, processes: usize) -> Self {
        Self { first: process as u64, others: processes as u64 - 1, ..Self::default() }
    }

    /// Encodes a cut of a worker.
    ///
    /// # Errors
    /// Where the sink refuses a block.
    pub fn encode(&mut self, snapshot: Snapshot, sink: &mut Sink<'_>) -> Result<(), WriteFailed> {
        let cut = snapshot.cut;
        let mut writer = CutWriter { cut, open: BTreeMap::new(), failed: false, encoder: self, sink };
        (snapshot.rows)(&mut writer);
        let (open, failed) = (std::mem::take(&mut writer.open), writer.failed);
        if failed {
            return Err(WriteFailed);
        }
        flush(cut, open, sink)
    }

    /// Writes the versions that are left. Nothing may be encoded after it.
    ///
    /// # Errors
    /// Where the sink refuses a block.
    pub fn finish(self, sink: &mut Sink<'_>) -> Result<(), WriteFailed> {
        flush(CONTENTS, self.contents, sink)
    }
}

fn flush(cut: &'static str, open: BTreeMap<u64, Open>, sink: &mut Sink<'_>) -> Result<(), WriteFailed> {
    let full = open.into_iter().filter(|(_, open)| open.rows > 0);
    full.map(|(shard, Open { rows, bytes })| Block { cut, shard, rows, bytes }).try_for_each(sink)
}

/// Appends a row; the block, where it is full.
fn append<R: Serialize>(cut: &'static str, shard: u64, open: &mut Open, row: &R) -> Option<Block> {
    let bytes = std::mem::take(&mut open.bytes);
    // Every row is numbers, texts and lists of known length, and memory takes any length.
    open.bytes = postcard::to_extend(row, bytes).expect("rows of a cut have a form in postcard");
    open.rows += 1;
    (open.bytes.len() >= BLOCK).then(|| {
        let Open { rows, bytes } = std::mem::take(open);
        Block { cut, shard, rows, bytes }
    })
}

/// Takes the rows of a cut.
pub struct CutWriter<'a> {
    cut: &'static str,
    open: BTreeMap<u64, Open>,
    failed: bool,
    encoder: &'a mut Encoder,
    sink: &'a mut Sink<'a>,
}

impl CutWriter<'_> {
    /// Writes a row of a logical shard.
    pub fn row<R: Serialize>(&mut self, shard: u64, row: &R) {
        if !self.failed
            && let Some(block) = append(self.cut, shard, self.open.entry(shard).or_default(), row)
        {
            self.failed = (self.sink)(block).is_err();
        }
    }

    /// Writes a row of what is the same on every worker.
    pub fn shared<R: Serialize>(&mut self, row: &R) {
        self.row(SHARED, row);
    }

    /// The number by which a row names a version of a video; it is written, if it was not yet.
    pub fn content(&mut self, content: &Arc<Content>) -> u64 {
        let Encoder { numbers, first, others, .. } = &mut *self.encoder;
        let next = *first + numbers.len() as u64 * (*others + 1);
        let place = Arc::as_ptr(content) as usize;
        let (number, _) = numbers.entry(place).or_insert_with(|| (next, Arc::clone(content)));
        let number = *number;
        if number == next {
            let shard = shard(content.video);
            let open = self.encoder.contents.entry(shard).or_default();
            if let Some(block) = append(CONTENTS, shard, open, &(number, SavedContent::of(content)))
                && !self.failed
            {
                self.failed = (self.sink)(block).is_err();
            }
        }
        number
    }
}

/// A version of a video as it is written; one that is not known is its number.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedContent {
    video: u64,
    known: Option<Box<Known>>,
}

#[derive(Serialize, Deserialize)]
struct Known {
    ready: bool,
    creator: u64,
    created_at: u64,
    duration_ms: u64,
    category: u64,
    facets: Vec<(Facet, Arc<str>)>,
    space: u64,
    vector: freshet_learning::Quantised,
    topic: Option<Facet>,
    twin: u64,
}

impl SavedContent {
    fn of(content: &Content) -> Self {
        let Content { video, known, ready, creator, created_at, duration_ms, .. } = *content;
        let Content { category, space, topic, twin, .. } = *content;
        let (facets, vector) = (content.facets.clone(), content.vector.clone());
        let all = || Known {
            ready,
            creator,
            created_at,
            duration_ms,
            category,
            facets,
            space,
            vector,
            topic,
            twin,
        };
        Self { video, known: known.then(|| Box::new(all())) }
    }

    pub(super) fn content(self) -> Content {
        let Some(known) = self.known else { return Content::unknown(self.video) };
        let Known { ready, creator, created_at, duration_ms, category, facets, space, vector, topic, twin } =
            *known;
        Content {
            video: self.video,
            known: true,
            ready,
            creator,
            created_at,
            duration_ms,
            category,
            facets,
            space,
            vector,
            topic,
            twin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(snapshots: Vec<Snapshot>) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut sink = |block: Block| {
            blocks.push(block);
            Ok(())
        };
        let mut encoder = Encoder::new();
        for snapshot in snapshots {
            encoder.encode(snapshot, &mut sink).unwrap();
        }
        encoder.finish(&mut sink).unwrap();
        blocks
    }

    #[test]
    fn a_version_is_written_once_however_many_rows_name_it() {
        let content = Arc::new(Content::unknown(7));
        let equal = Arc::new(Content::unknown(7));
        let cut = |cut, contents: Vec<Arc<Content>>| Snapshot {
            cut,
            rows: Box::new(move |to| {
                contents.iter().for_each(|c| {
                    let number = to.content(c);
                    to.row(3, &number);
                })
            }),
        };
        let blocks = blocks(vec![
            cut("one", vec![Arc::clone(&content), Arc::clone(&content)]),
            cut("two", vec![equal, content]),
        ]);
        let sizes: Vec<_> = blocks.iter().map(|b| (b.cut, b.rows, b.bytes.clone())).collect();
        assert_eq!(sizes[0], ("one", 2, vec![0, 0]));
        assert_eq!(sizes[1], ("two", 2, vec![1, 0]));
        assert_eq!((sizes[2].0, sizes[2].1), (CONTENTS, 2));
    }

    #[test]
    fn blocks_are_closed_when_they_are_full_and_a_refusal_is_passed_on() {
        let many = || Snapshot {
            cut: "many",
            rows: Box::new(|to| (0..400u64).for_each(|n| to.row(n % 2, &vec![n as u8; 10_000]))),
        };
        let blocks = blocks(vec![many()]);
        assert_eq!(blocks.iter().map(|b| b.rows).sum::<u64>(), 400);
        assert!(blocks.len() == 4 && blocks.iter().all(|b| b.bytes.len() < BLOCK + 20_000));
        let refused = Encoder::new().encode(many(), &mut |_| Err(WriteFailed));
        assert_eq!(refused, Err(WriteFailed));
    }
}
