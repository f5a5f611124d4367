//! Abuse: whose behaviour is no person's, which videos it is done for, and what no longer counts because of it.
//!
//! Three signals (seed 004, 8.4), of a user ([`user`]) and of a video ([`video`]): *bot*, *farming* and *coordinated*. The score is the
//! number that fire over three; above `abuse.threshold` a user or a video is flagged. All of it is judged at publications, as a pure
//! function of the rows that survive within `abuse.window` and of the clock, so flags are published versions: between
//! publications they stand still, and a delete or a late row moves them at the next one.
//!
//! Evidence and flags do not feed each other. What is judged are all rows of a user and all engagements with a video, also those of
//! flagged users. What flags change is what others see of a flagged user ([`crate::users`] withholds the rows from every sum,
//! as a delete would, and gives those back that were not judged when the flag falls: [`Withheld`]) and the score of a flagged video. So
//! a flag can neither hold itself up nor bring itself down.
//!
//! Comes in, at a video's worker ([`Suspicions`]): engagements with their sign, users whose signals changed (every worker hears
//! them, they are few), the clock. Goes out: bursts, to the users who were in them, heard in the next epoch; penalties, to the
//! shelves; reports.
//!
//! Coordination is found in two steps. A video's engagements by many users within `abuse.burst` are a burst, and its members are
//! told of it with a sketch of who they were: the least of their hashes, eight times over (min-wise hashing, Broder 1997), so that two
//! bursts have a number in common with the chance of their overlap (Jaccard). A user who was in bursts of `abuse.ring_videos`
//! videos with the same other one in common acts in lockstep: the clustering of SynchroTrap (Cao et al. 2014), in which two accounts
//! are alike by the actions that they do to the same object at the same time, without its pairs of accounts. The sketches are
//! functions of the surviving engagements, so they are exactly taken back.
//!
//! Oracle: `tests/graph/abuse.rs`, which judges from the log.

mod report;
pub(crate) mod saved;
pub mod signals;
pub mod user;
pub mod video;
mod withheld;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use report::{Change, Report, Side, Standing};
pub use signals::Signals;
pub use withheld::Withheld;

use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::look::{Kind, Record, Records, SuspectLook, Wanted};
use crate::params::{Abuse, Params};
use video::{Engagements, Sketch, VideoNumbers};

/// What the stage hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AbuseIn {
    /// The epoch's `now`.
    Clock(u64),
    /// A user engaged with a video (1), or no longer did (-1).
    Engaged(Engaged, i64),
    /// A user's signals as they are now. Heard by every worker.
    Suspect(u64, Signals),
}

/// Somebody liked, shared or commented on a video, or followed its creator from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Engaged {
    /// The video.
    pub video: u64,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Who.
    pub user: u64,
    /// Identity within the user.
    pub id: u64,
}

/// To a user: they were in a burst, with this sketch of who was; or are not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InBurst {
    /// The user.
    pub user: u64,
    /// The video.
    pub video: u64,
    /// The number of the burst's time.
    pub bucket: u64,
    /// Of all who were in it.
    pub sketch: Option<Sketch>,
}

outputs! {
    /// What the stage says.
    AbuseOut as AbuseStreams {
        /// To the users who were in bursts, for the next epoch.
        bursts: InBurst,
        /// Factors on videos' scores in per mille, as they change: 1,000 is none.
        penalties: (u64, u16),
        /// What changed, for metrics and the log.
        reports: Report,
    }
}

/// What is known of a video.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    engagements: Engagements,
    /// What was told of bursts, by their time.
    told: BTreeMap<u64, (Sketch, BTreeSet<u64>)>,
    numbers: VideoNumbers,
    /// Factor on the score in per mille; `None` where the video is not flagged.
    factor: Option<u16>,
}

/// See the module.
pub struct Suspicions {
    abuse: Abuse,
    publish_every: u64,
    is_first: bool,
    videos: FxHashMap<u64, Known>,
    /// Users of whom something is suspected.
    suspects: FxHashMap<u64, Signals>,
    standing: Standing,
    publication: Boundary,
    entries: u64,
    now: u64,
}

/// No penalty.
pub const FULL: u16 = 1_000;

impl Suspicions {
    /// Nothing is known; on the worker with this number.
    #[must_use]
    pub fn new(params: &Params, worker: usize) -> Self {
        Self {
            abuse: params.abuse.clone(),
            publish_every: params.score.publish_every,
            is_first: worker == 0,
            videos: FxHashMap::default(),
            suspects: FxHashMap::default(),
            standing: Standing::default(),
            publication: Boundary::default(),
            entries: 0,
            now: 0,
        }
    }

    /// Judges all videos as of now.
    fn judge(&mut self, out: &mut AbuseOut) {
        let from = self.now.saturating_sub(self.abuse.window);
        let (mut standing, mut changes) = (Standing::default(), Vec::new());
        self.entries = 0;
        for (video, known) in &mut self.videos {
            known.engagements.forget_before(from);
            let bursts = known.engagements.bursts(&self.abuse);
            let suspects = &self.suspects;
            let suspected = |user: u64| suspects.get(&user).copied().unwrap_or_default();
            let numbers = video::judge(&known.engagements, &bursts, suspected, &self.abuse);
            let flagged = numbers.signals.score() > self.abuse.threshold;
            let factor = flagged.then(|| video::factor(&numbers, self.now, &self.abuse));
            tell(*video, &bursts, &mut known.told, &mut out.bursts);
            if factor != known.factor {
                out.penalties.push((*video, factor.unwrap_or(FULL)));
            }
            if (numbers.signals, factor.is_some()) != (known.numbers.signals, known.factor.is_some()) {
                changes.push(Change { id: *video, signals: numbers.signals, flagged });
            }
            (known.numbers, known.factor) = (numbers, factor);
            standing.count(numbers.signals, flagged);
            self.entries += known.engagements.len() as u64;
        }
        self.videos.retain(|_, known| !known.engagements.is_empty());
        changes.sort_unstable_by_key(|change| change.id);
        if !changes.is_empty() || standing != self.standing {
            self.standing = standing;
            out.reports.push(Report { side: Side::Videos, standing, changes });
        }
    }
}

/// Tells users of the bursts that they are in now and were not told of as they are, and of those that are no more.
fn tell(
    video: u64,
    bursts: &BTreeMap<u64, BTreeSet<u64>>,
    told: &mut BTreeMap<u64, (Sketch, BTreeSet<u64>)>,
    out: &mut Vec<InBurst>,
) {
    for (bucket, (_, users)) in told.iter() {
        let stays = |user: &&u64| !bursts.get(bucket).is_some_and(|now| now.contains(user));
        out.extend(users.iter().filter(stays).map(|user| InBurst {
            user: *user,
            video,
            bucket: *bucket,
            sketch: None,
        }));
    }
    let mut now = BTreeMap::new();
    for (bucket, users) in bursts {
        let sketch = video::sketch(users.iter().copied());
        let before = told.get(bucket).filter(|(known, _)| *known == sketch);
        let fresh = |user: &&u64| !before.is_some_and(|(_, known)| known.contains(user));
        out.extend(users.iter().filter(fresh).map(|user| InBurst {
            user: *user,
            video,
            bucket: *bucket,
            sketch: Some(sketch),
        }));
        now.insert(*bucket, (sketch, users.clone()));
    }
    *told = now;
}

impl Stage for Suspicions {
    type In = AbuseIn;
    type Out = AbuseOut;

    fn step(&mut self, _epoch: u64, batch: Vec<AbuseIn>, out: &mut AbuseOut) {
        for message in batch {
            match message {
                AbuseIn::Clock(now) => self.now = self.now.max(now),
                AbuseIn::Engaged(engaged, sign) => {
                    self.videos.entry(engaged.video).or_default().engagements.add(&engaged, sign);
                    self.entries = self.entries.saturating_add_signed(sign);
                }
                AbuseIn::Suspect(user, signals) if signals.is_empty() => drop(self.suspects.remove(&user)),
                AbuseIn::Suspect(user, signals) => drop(self.suspects.insert(user, signals)),
            }
        }
        if self.publication.pass(self.now, self.publish_every).is_some() {
            self.judge(out);
        }
    }

    fn size(&self) -> StateSize {
        // An engagement stands in a sorted map of half-filled nodes, and some again in what was told.
        let bytes = self.videos.capacity() * (size_of::<(u64, Known)>() + 1)
            + self.suspects.capacity() * 17
            + self.entries as usize * 64;
        StateSize { entries: self.videos.len() as u64 + self.entries, bytes: bytes as u64 }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn look(&self, wanted: &Wanted) -> Records {
        if wanted.kind != Kind::SuspectVideos {
            return crate::look::none();
        }
        let suspect = |(_, known): &(&u64, &Known)| !known.numbers.signals.is_empty();
        let wanted = self.videos.iter().filter(|(video, _)| wanted.holds(**video)).filter(suspect);
        let all: Vec<(u64, VideoNumbers, u16)> =
            wanted.map(|(video, known)| (*video, known.numbers, known.factor.unwrap_or(FULL))).collect();
        Box::new(move |to| {
            let _ = all.iter().all(|(video, numbers, factor)| {
                to(Record::Suspect(SuspectLook::Video(*video, numbers, *factor)))
            });
        })
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}
