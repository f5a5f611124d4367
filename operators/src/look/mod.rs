//! Reads of the state: what a worker's cuts hold at the end of an epoch, as records that tables are made of.
//!
//! A look is ordered as a checkpoint is ([`crate::checkpoint`]): a message in each worker's queue of epochs, behind the last one
//! that was sent. All workers get it behind the same epoch, feed nothing more until they have closed that epoch, take what is
//! wanted, and go on. So all that one look shows is of one epoch, over all cuts and workers, and no history is held back for
//! it. What is taken is only what was asked for: of a cut with keys the named ones alone, and what is large by sharing.
//! Turning it into records happens where it is read, in any other thread, record by record.
//!
//! What a record says is derived here, by the functions that the stages themselves use: a table shows what the graph goes by.

mod person;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use crate::abuse::user::UserNumbers;
use crate::abuse::video::VideoNumbers;
use crate::coengage::Relation;
use crate::content::{Content, Facet};
use crate::cut::StateSize;
use crate::publish::Published;
use crate::sums::{Span, Sums, WindowSums};

pub use person::{PersonLook, Shared, UserInterest};

/// What can be looked at. Each is in one cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The latest upload of each video. Keys are videos.
    Videos,
    /// Users with their counted rows. Keys are users.
    People,
    /// Videos' sums over the last hour and day. Keys are videos.
    RecentSums,
    /// Videos' sums over the last week and all time. Keys are videos.
    LastingSums,
    /// What the shelves go by, video by video. Keys are videos.
    Standings,
    /// Sums of pairs of videos. Keys are first videos.
    Pairs,
    /// Creators as of the last publication. Keys are creators.
    Creators,
    /// What the last publication said, as a whole.
    Published,
    /// The pools as they were written.
    Pools,
    /// Users of whom something is suspected. Keys are users.
    SuspectUsers,
    /// Videos of which something is suspected. Keys are videos.
    SuspectVideos,
    /// Sizes of all cuts.
    Sizes,
}

impl Kind {
    /// The cut that it is in; all of them for the sizes.
    #[must_use]
    pub fn cut(self) -> Option<&'static str> {
        match self {
            Self::Videos => Some("videos"),
            Self::People | Self::SuspectUsers => Some("users"),
            Self::SuspectVideos => Some("abuse"),
            Self::RecentSums => Some("recent_sums"),
            Self::LastingSums => Some("video_sums"),
            Self::Standings | Self::Pairs => Some("shelf"),
            Self::Creators | Self::Published => Some("published"),
            Self::Pools => Some("pools"),
            Self::Sizes => None,
        }
    }
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub kind: Kind,
    /// The keys, sorted and each once; `None` for all.
    pub keys: Option<Arc<[u64]>>,
}

impl Wanted {
    /// Whether a key is among those asked for.
    #[must_use]
    pub fn holds(&self, key: u64) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.binary_search(&key).is_ok())
    }
}

/// A video's latest upload.
#[derive(Clone, Copy, Debug)]
pub struct VideoLook<'a> {
    /// What the graph goes by.
    pub content: &'a Content,
    /// Time of the upload event, in milliseconds since 1970.
    pub event_time: u64,
    /// The card as the store has it: a `VideoCard`.
    pub card: &'a [u8],
}

/// What the shelves go by.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The video.
    pub video: u64,
    /// Whether it can be a candidate.
    pub candidate: bool,
    /// Decayed popularity now: a full watch just now counts one.
    pub popularity: f64,
    /// The same at the quick pace.
    pub attention: f64,
    /// What pools are ordered by: log2 of the decayed popularity with what a new video begins with, on a scale that does not
    /// change with time.
    pub rank: Option<f32>,
    /// Performance against the cohort's baseline, in millionths.
    pub quality: u32,
    /// The creator's score, in millionths.
    pub creator: u32,
    /// 2^(-age / half-life), in millionths.
    pub freshness: u32,
    /// Views of the last week.
    pub week_views: i64,
}

/// The sum of a pair of videos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLook {
    /// The first video.
    pub seed: u64,
    /// The second video.
    pub video: u64,
    /// How they are a pair.
    pub relation: Relation,
    /// The decayed number of pairs now.
    pub weight: f64,
}

/// Somebody or something that is suspected of abuse, with the numbers of the last publication.
#[derive(Clone, Copy, Debug)]
pub enum SuspectLook<'a> {
    /// A user, and whether they are flagged.
    User(u64, &'a UserNumbers, bool),
    /// A video, and the factor on its score in per mille: below [`crate::abuse::FULL`] where it is flagged and that is not long ago.
    Video(u64, &'a VideoNumbers, u16),
}

/// A record of the state.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Of [`Kind::Videos`].
    Video(VideoLook<'a>),
    /// Of [`Kind::People`].
    Person(&'a PersonLook<'a>),
    /// Of [`Kind::RecentSums`] and [`Kind::LastingSums`].
    Sums(u64, Span, &'a WindowSums),
    /// Of [`Kind::Standings`].
    Standing(&'a Standing),
    /// Of [`Kind::Pairs`].
    Pair(PairLook),
    /// Of [`Kind::Creators`]: sums over all time, and the score in millionths as it was published.
    Creator(u64, &'a Sums, Option<u32>),
    /// Of [`Kind::Published`], without the creators' scores.
    Published(&'a Published),
    /// Of [`Kind::Pools`]: the facet, its name without the kind, videos with their rank values, best first.
    Pool(Facet, &'a str, &'a [(u64, i64)]),
    /// Of [`Kind::SuspectUsers`] and [`Kind::SuspectVideos`].
    Suspect(SuspectLook<'a>),
    /// Of [`Kind::Sizes`]: the cut, the worker, its size there.
    Size(&'static str, usize, StateSize),
}

/// Hands out records one by one, until there are no more or whoever takes them says `false`.
pub type Records = Box<dyn FnOnce(&mut dyn FnMut(Record<'_>) -> bool) + Send>;

/// Nothing.
#[must_use]
pub fn none() -> Records {
    Box::new(|_| {})
}

/// What one worker has.
pub struct Looked {
    /// The worker.
    pub worker: usize,
    /// The epoch that it is of; 0 before the first one.
    pub epoch: u64,
    /// The clock of that epoch, in milliseconds since 1970.
    pub now: u64,
    /// In the order of what was wanted.
    pub records: Vec<Records>,
    /// How long the worker stood still to take it, in microseconds.
    pub stood: u64,
}

impl std::fmt::Debug for Looked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { worker, epoch, now, stood, .. } = self;
        let mut shown = f.debug_struct("Looked");
        shown.field("worker", worker).field("epoch", epoch).field("now", now).field("stood", stood);
        shown.finish_non_exhaustive()
    }
}

/// Called once, when all that the workers said up to a look's epoch has been taken off their hands, and nothing later.
pub type AtSink = Box<dyn Fn(u64) + Send + Sync>;

/// An order to look.
pub struct Look {
    wanted: Vec<Wanted>,
    to: Sender<Looked>,
    at_sink: Option<AtSink>,
    /// Workers that have not come by the sink yet.
    left: AtomicUsize,
    given_up: AtomicBool,
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Look {
    /// An order that is answered to `to`, once by each worker. `at_sink` is called with the epoch by [`Look::passed`].
    #[must_use]
    pub fn new(wanted: Vec<Wanted>, to: Sender<Looked>, at_sink: Option<AtSink>) -> Self {
        Self { wanted, to, at_sink, left: AtomicUsize::new(0), given_up: AtomicBool::new(false) }
    }

    pub(crate) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    pub(crate) fn expect(&self, workers: usize) {
        self.left.store(workers, Ordering::Relaxed);
    }

    /// Nobody waits for the answer any longer.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(crate) fn answer(&self, looked: Looked) {
        // Who asked may have gone: then there is nobody to tell.
        let _ = self.to.send(looked);
    }

    /// To be called by whoever takes the workers' output, for each [`crate::runtime::Output::Looked`].
    pub fn passed(&self, epoch: u64) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1
            && !self.is_given_up()
            && let Some(at_sink) = &self.at_sink
        {
            at_sink(epoch);
        }
    }

    /// Whether somebody waits at the sink.
    #[must_use]
    pub fn wants_sink(&self) -> bool {
        self.at_sink.is_some()
    }
}
