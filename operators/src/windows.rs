//! Counted rows become contributions to sums, and leave the windows when their time has come.
//!
//! Comes in: rows with their sign at the worker of their video, and the clock. Goes out: contributions, which differential
//! arrangements add up. A row is in a window of length W with buckets of length b while `now` has not reached the end of its
//! bucket plus W. What waits to leave is one sum a video and bucket, not one an event, in a map ordered by time: far-future
//! updates in an arrangement would make each event dearer as the run grows.
//!
//! A retraction is the same row with the sign turned: it takes the waiting sum back where the row has not left yet, and
//! touches no window that it left.

pub(crate) mod saved;

use std::collections::BTreeMap;

use differential_dataflow::difference::{IsZero, Semigroup};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::{Cohort, Facet, duration_class};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::history::expiry;
use crate::params::{DAY, HOUR, MINUTE, Score};
use crate::popularity;
use crate::row::Row;
use crate::sums::{Span, Sums, WindowSums};

/// Length and bucket of the windows that end, and where their sums are; all time is the fourth window.
pub const WINDOWS: [(u64, u64, Span, usize); 3] =
    [(HOUR, MINUTE, Span::Recent, 0), (DAY, 15 * MINUTE, Span::Recent, 1), (7 * DAY, HOUR, Span::Lasting, 0)];
/// Where the sums over all time are.
pub const ALL_TIME: (Span, usize) = (Span::Lasting, 1);

/// What the windows hear.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum WindowIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A row counts (1) or no longer counts (-1).
    Row(Row, i64),
}

outputs! {
    /// Terms of sums, each with the epoch.
    WindowsOut as WindowsStreams {
        /// To a video's [`Span::Recent`] windows.
        recent: (u64, u64, WindowSums),
        /// To a video's [`Span::Lasting`] windows.
        lasting: (u64, u64, WindowSums),
        /// To a video's decayed popularity among everyone or in a demographic group, in a landmark period.
        popularity: ((u64, Facet, u32), u64, i64),
        /// To a video's quick attention, in a landmark period.
        quick: Attention,
        /// To everybody's attention, by pace and landmark period.
        attention: ((Pace, u32), i64),
        /// To a creator's sums over all time, as of the publication.
        creators: (u64, u64, Sums),
        /// To a cohort's sums over all time, as of the publication.
        cohorts: (Cohort, u64, Sums),
        /// To the number of views of a duration class with a watched part (in per cent), as of the publication.
        watched: ((u8, u8), u64, i64),
    }
}

/// How fast attention fades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Pace {
    /// With the half-life of popularity.
    Plain,
    /// [`popularity::QUICK`] times as fast.
    Quick,
}

/// A term of a video's attention in a landmark period of the quick pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attention {
    /// The video.
    pub video: u64,
    /// The landmark period.
    pub period: u32,
    /// The term.
    pub amount: i64,
}

/// See the module.
pub struct Windows {
    score: Score,
    everyone: u64,
    waiting: [BTreeMap<u64, FxHashMap<u64, Sums>>; 3],
    entries: u64,
    unpublished: Unpublished,
    publication: Boundary,
    now: u64,
}

/// What only publications read, added up since the last one: a creator's sums then change once a publication, not with each
/// event.
#[derive(Default)]
struct Unpublished {
    creators: FxHashMap<u64, Sums>,
    cohorts: FxHashMap<Cohort, Sums>,
    watched: FxHashMap<(u8, u8), i64>,
}

impl Windows {
    /// Nothing waits.
    #[must_use]
    pub fn new(score: Score) -> Self {
        let everyone = freshet_schema::hash::text(freshet_schema::store::EVERYONE);
        Self {
            score,
            everyone,
            waiting: Default::default(),
            entries: 0,
            unpublished: Unpublished::default(),
            publication: Boundary::default(),
            now: 0,
        }
    }

    fn expire(&mut self, batch: &mut Batch) {
        for (waiting, (.., span, window)) in self.waiting.iter_mut().zip(WINDOWS) {
            while let Some(entry) = waiting.first_entry() {
                if *entry.key() > self.now {
                    break;
                }
                for (video, sums) in entry.remove() {
                    self.entries -= 1;
                    batch.add(video, span, window, &sums.times(-1));
                }
            }
        }
    }

    fn row(&mut self, row: &Row, sign: i64, batch: &mut Batch) {
        let video = row.content.video;
        let sums = Sums::of(row).times(sign);
        batch.add(video, ALL_TIME.0, ALL_TIME.1, &sums);
        for (waiting, (length, bucket, span, window)) in self.waiting.iter_mut().zip(WINDOWS) {
            let leaves = expiry(row.time, length, bucket);
            if leaves <= self.now {
                continue;
            }
            batch.add(video, span, window, &sums);
            let bucket = waiting.entry(leaves).or_default();
            let before = bucket.len();
            let waiting = bucket.entry(video).or_default();
            waiting.plus_equals(&sums);
            if waiting.is_zero() {
                bucket.remove(&video);
            }
            self.entries = self.entries + bucket.len() as u64 - before as u64;
        }
        let (period, amount) =
            popularity::contribution(row.popularity(), row.time, self.score.popularity_half_life);
        if amount != 0 {
            *batch.popularity.entry((video, Facet::Everyone, period)).or_default() += amount * sign;
            *batch.attention.entry((Pace::Plain, period)).or_default() += amount * sign;
            let group = freshet_schema::hash::text(&row.group);
            if group != self.everyone {
                *batch.popularity.entry((video, Facet::Demographic(group), period)).or_default() +=
                    amount * sign;
            }
        }
        let quick = (self.score.popularity_half_life / popularity::QUICK).max(1);
        let (period, amount) = popularity::contribution(row.popularity(), row.time, quick);
        if amount != 0 {
            *batch.quick.entry((video, period)).or_default() += amount * sign;
            *batch.attention.entry((Pace::Quick, period)).or_default() += amount * sign;
        }
        if row.content.known {
            let unpublished = &mut self.unpublished;
            unpublished.creators.entry(row.content.creator).or_default().plus_equals(&sums);
            unpublished.cohorts.entry(row.content.cohort()).or_default().plus_equals(&sums);
            if let Some(watched) = row.watched() {
                let class = duration_class(row.content.duration_ms);
                *unpublished.watched.entry((class, (watched / 10) as u8)).or_default() += sign;
            }
        }
    }
}

/// One epoch's contributions, added up by key: a hot video sends one update an epoch.
#[derive(Default)]
struct Batch {
    recent: FxHashMap<u64, WindowSums>,
    lasting: FxHashMap<u64, WindowSums>,
    popularity: FxHashMap<(u64, Facet, u32), i64>,
    quick: FxHashMap<(u64, u32), i64>,
    attention: BTreeMap<(Pace, u32), i64>,
}

impl Batch {
    fn add(&mut self, video: u64, span: Span, window: usize, sums: &Sums) {
        let videos = match span {
            Span::Recent => &mut self.recent,
            Span::Lasting => &mut self.lasting,
        };
        videos.entry(video).or_default().0[window].plus_equals(sums);
    }
}

impl Stage for Windows {
    type In = WindowIn;
    type Out = WindowsOut;

    fn step(&mut self, epoch: u64, batch: Vec<WindowIn>, out: &mut WindowsOut) {
        let mut sums = Batch::default();
        for message in &batch {
            if let WindowIn::Clock(now) = message {
                self.now = self.now.max(*now);
            }
        }
        self.expire(&mut sums);
        for message in &batch {
            if let WindowIn::Row(row, sign) = message {
                self.row(row, *sign, &mut sums);
            }
        }
        terms(sums.recent, epoch, &mut out.recent);
        terms(sums.lasting, epoch, &mut out.lasting);
        terms(sums.popularity, epoch, &mut out.popularity);
        let quick = sums.quick.into_iter().filter(|(_, amount)| *amount != 0);
        out.quick.extend(quick.map(|((video, period), amount)| Attention { video, period, amount }));
        out.attention.extend(sums.attention.into_iter().filter(|(_, amount)| *amount != 0));
        if self.publication.pass(self.now, self.score.publish_every).is_some() {
            let sums = std::mem::take(&mut self.unpublished);
            terms(sums.creators, epoch, &mut out.creators);
            terms(sums.cohorts, epoch, &mut out.cohorts);
            terms(sums.watched, epoch, &mut out.watched);
        }
    }

    fn size(&self) -> StateSize {
        let unpublished = self.unpublished.creators.len() + self.unpublished.cohorts.len();
        let entries = self.entries + (unpublished + self.unpublished.watched.len()) as u64;
        StateSize { entries, bytes: entries * (size_of::<(u64, Sums)>() as u64 * 8 / 7 + 1) }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}

/// The sums that are not zero, as terms of this epoch.
fn terms<K, R: IsZero>(sums: FxHashMap<K, R>, epoch: u64, out: &mut Vec<(K, u64, R)>) {
    out.extend(sums.into_iter().filter(|(_, sum)| !sum.is_zero()).map(|(key, sum)| (key, epoch, sum)));
}
