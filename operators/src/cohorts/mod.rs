//! Cold-start cohorts: each new video is shown to some users, measured by what they do with it, and shown to more or to fewer.
//!
//! Comes in, at a video's worker: its versions, publications, the clock; offers of users for a cohort, and what users of a cohort did
//! ([`Part`], with its sign), from the user side ([`crate::users`]). Goes out: calls to the user side, heard in the next
//! epoch, and the record of each life that changed. So a cohort takes two epochs: at T a stage begins and users are asked
//! for; at T + 1 all workers offer some of theirs, the offers meet here, and the quota of the whole is taken
//! ([`choose`]); at T + 2 the chosen have an invitation, and a new list with it.
//!
//! An invitation lies with its user. Who is invited knows which of their rows and pages belong to it, so nothing but the deeds of a cohort
//! comes here, and what is deleted takes its contribution back. Followers enter nowhere: neither who is chosen nor what is
//! measured depends on them.
//!
//! What a stage has gathered is a view: a function of the rows and pages that survive. Invitations and verdicts are
//! history ([`life`]), as published versions are. What did not fit within `cohorts.max_open` lives waits, by logical shard,
//! as long as it is new.
//!
//! Oracle: `tests/graph/cohorts.rs`, which reads lives off the log and the calls.

mod calls;
pub mod choose;
pub mod life;
pub mod measure;
pub mod part;
mod record;
mod report;
pub(crate) mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_learning::{Direction, SHORT_DIMS};
use freshet_schema::VideoId;
use freshet_schema::hash::{self, SHARDS, shard};
use freshet_schema::store::{Key, Value};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use calls::{Call, CohortIn, Deeds, Invitation, Wanted};
pub use choose::Offers;
pub use life::{Audience, Judged, Life, Verdict};
pub use part::Part;
pub use record::record;
pub use report::{Moved, Report, Standing, Under};

use crate::bandit;
use crate::boundary::Boundary;
use crate::checkpoint::{RestoreError, Restoring, Rows};
use crate::content::{Cohort, Content};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::params::{Cohorts, Params, Score};
use crate::pools::Change;
use crate::publish::Published;
use crate::score::Rates;
use life::Due;

outputs! {
    /// What the stage says.
    CohortsOut as CohortsStreams {
        /// To the user side, for the next epoch.
        calls: Call,
        /// Records.
        changes: Change,
        /// The stage that a video is in now, 0 for none; only where stages are arms of exploration.
        stages: (u64, u8),
        /// What happened, for metrics and the log.
        reports: Report,
    }
}

/// A life as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    life: Life,
    /// Epoch and clock of its last change.
    changed: (u64, u64),
    /// When it is looked at again.
    look_at: u64,
}

/// See the module.
pub struct Lives {
    cohorts: Cohorts,
    score: Score,
    seed: u64,
    lives: FxHashMap<u64, Kept>,
    /// Of videos whose life is under way or waits to begin.
    contents: FxHashMap<u64, Arc<Content>>,
    /// Lives under way, by logical shard.
    open: BTreeMap<u64, usize>,
    /// New videos whose life has not begun, by logical shard: since when, and which.
    waiting: BTreeMap<u64, BTreeSet<(u64, u64)>>,
    since: FxHashMap<u64, u64>,
    /// When lives are looked at.
    due: BTreeSet<(u64, u64)>,
    baselines: BTreeMap<Cohort, Rates>,
    everyone: Rates,
    publish_every: u64,
    publication: Boundary,
    /// Whether stages are arms of exploration.
    explored: bool,
    /// Lives whose stage waits for the users that it asked for.
    asked: BTreeSet<u64>,
    /// How many lives there are, and how many there were when it was last reported.
    standing: [Standing; 2],
    bytes: usize,
    now: u64,
}

impl Lives {
    /// No lives yet.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self {
            cohorts: params.cohorts.clone(),
            score: params.score.clone(),
            seed: params.seed,
            lives: FxHashMap::default(),
            contents: FxHashMap::default(),
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
            since: FxHashMap::default(),
            due: BTreeSet::new(),
            baselines: BTreeMap::new(),
            everyone: Rates::default(),
            publish_every: params.score.publish_every,
            publication: Boundary::default(),
            explored: params.explores_stages(),
            asked: BTreeSet::new(),
            standing: [Standing::default(); 2],
            bytes: 0,
            now: 0,
        }
    }

    fn published(&mut self, published: &Published) {
        self.everyone = published.everyone;
        self.baselines.clone_from(&published.cohorts);
    }

    fn is_new(&self, content: &Content) -> bool {
        self.now.saturating_sub(content.created_at) <= self.cohorts.max_age
    }

    /// Takes a video's new version in.
    fn version(&mut self, content: Arc<Content>, epoch: &mut Epoch, out: &mut CohortsOut) {
        let video = content.video;
        if !content.ready {
            self.forget(video, epoch, out);
            return;
        }
        if self.contents.contains_key(&video) {
            self.contents.insert(video, content);
        } else if !self.lives.contains_key(&video) && self.is_new(&content) {
            self.contents.insert(video, content);
            self.since.insert(video, self.now);
            self.waiting.entry(shard(video)).or_default().insert((self.now, video));
        }
    }

    fn wait_no_longer(&mut self, video: u64) {
        if let Some(since) = self.since.remove(&video)
            && let Some(waiting) = self.waiting.get_mut(&shard(video))
        {
            waiting.remove(&(since, video));
        }
    }

    /// A video is gone, and all that is known of its life with it.
    fn forget(&mut self, video: u64, epoch: &mut Epoch, out: &mut CohortsOut) {
        self.wait_no_longer(video);
        self.contents.remove(&video);
        epoch.changed.remove(&video);
        let Some(kept) = self.remove(video) else { return };
        if let Some(stage) = &kept.life.stage {
            self.close(video);
            self.tell(video, None, out);
            epoch.report.removed.push(Under::of(video, stage));
        }
        out.calls.push(Call::Over(video));
        out.changes.push((Key::Cohort(VideoId(video)), None));
    }

    fn close(&mut self, video: u64) {
        if let Some(open) = self.open.get_mut(&shard(video)) {
            *open -= 1;
        }
    }

    fn insert(&mut self, video: u64, kept: Kept) {
        self.bytes += kept.life.bytes();
        self.due.insert((kept.look_at, video));
        self.standing[0].count(&kept.life, 1);
        if kept.life.stage.as_ref().is_some_and(|stage| stage.asked.is_some()) {
            self.asked.insert(video);
        }
        self.lives.insert(video, kept);
    }

    fn remove(&mut self, video: u64) -> Option<Kept> {
        let kept = self.lives.remove(&video)?;
        self.bytes -= kept.life.bytes();
        self.due.remove(&(kept.look_at, video));
        self.standing[0].count(&kept.life, -1);
        self.asked.remove(&video);
        Some(kept)
    }

    /// Says which stage a video is in.
    fn tell(&self, video: u64, stage: Option<u32>, out: &mut CohortsOut) {
        if self.explored {
            out.stages.push((video, stage.map_or(0, bandit::stage)));
        }
    }

    /// Works on a life.
    fn with<R>(&mut self, video: u64, work: impl FnOnce(&mut Life) -> R) -> Option<R> {
        let mut kept = self.remove(video)?;
        let result = work(&mut kept.life);
        kept.look_at = kept.life.look_at(&self.cohorts);
        self.insert(video, kept);
        Some(result)
    }

    /// Adds what the cohort of a stage did. The stage may have been judged meanwhile: then it is too late.
    fn did(&mut self, video: u64, number: u32, deeds: &Deeds, epoch: &mut Epoch) {
        let added = self.with(video, |life| {
            let stage = life.stage.as_mut().filter(|stage| stage.number == number)?;
            stage.add(deeds.part, &deeds.engaged);
            Some(())
        });
        if added.flatten().is_some() {
            epoch.changed.insert(video);
            epoch.report.invited += deeds.part.invited;
            epoch.report.exposed += deeds.part.exposed;
        }
    }

    /// Asks for users for the stage under way.
    fn ask(&mut self, video: u64, users: u32, epoch: &Epoch, out: &mut CohortsOut) {
        let Some(content) = self.contents.get(&video) else { return };
        let (space, prefix) = (content.space, Direction::of(&content.vector.0[..SHORT_DIMS]));
        let seed = self.seed;
        let wanted = self.with(video, |life| {
            let stage = life.stage.as_mut()?;
            stage.asked = Some((epoch.number, users));
            let toward = Direction::of_sum(&stage.toward).filter(|_| !stage.toward.is_empty()).or(prefix);
            let draw = hash::mix(seed, &[video, u64::from(stage.number), u64::from(stage.top_ups)]);
            Some(Wanted { video, users, toward, space, draw })
        });
        out.calls.extend(wanted.flatten().map(|wanted| Call::Wanted(Arc::new(wanted))));
    }

    /// Everybody has offered users for the cohort that was asked for: chooses.
    fn choose(&mut self, video: u64, offers: Vec<Offers>, out: &mut CohortsOut) {
        let cohorts = &self.cohorts;
        self.asked.remove(&video);
        let Some(kept) = self.lives.get_mut(&video) else { return };
        let Some(stage) = &mut kept.life.stage else { return };
        let Some((_, users)) = stage.asked.take() else { return };
        // It is judged in this very epoch: an invitation to what is over would stay with its user for good.
        if stage.due(self.now, cohorts) == Due::Judging {
            return;
        }
        let users = users as usize;
        let predicted = match stage.audience {
            Audience::Sample => (users as f64 * cohorts.predicted_share).round() as usize,
            Audience::Similar => users,
        };
        let slots = stage.slots(cohorts).map(|slot| u16::try_from(slot).unwrap_or(u16::MAX));
        let number = stage.number;
        out.calls.extend(choose::choose(offers, users, predicted).into_iter().map(|chosen| {
            Call::Invited(Invitation {
                user: chosen.user,
                video,
                stage: number,
                chance: chosen.chance,
                slots,
            })
        }));
    }

    /// Does what is due with a life.
    fn look(&mut self, video: u64, epoch: &mut Epoch, out: &mut CohortsOut) {
        let Some(kept) = self.lives.get(&video) else { return };
        let Some(stage) = &kept.life.stage else {
            if kept.life.look_at(&self.cohorts) <= self.now {
                // Long over: the record goes.
                self.remove(video);
                epoch.changed.remove(&video);
                out.changes.push((Key::Cohort(VideoId(video)), None));
            }
            return;
        };
        let number = stage.number;
        match stage.due(self.now, &self.cohorts) {
            Due::Nothing => {}
            Due::TopUp(users) => {
                let until = self.now.saturating_add(self.cohorts.stage_time);
                let topped_up = self.with(video, |life| {
                    let stage = life.stage.as_mut()?;
                    stage.top_ups += 1;
                    stage.until = until;
                    Some((Under::of(video, stage), users))
                });
                epoch.report.top_ups.extend(topped_up.flatten());
                self.ask(video, users, epoch, out);
                epoch.changed.insert(video);
            }
            Due::Judging => {
                let Some(content) = self.contents.get(&video) else { return };
                let rates = self.baselines.get(&content.cohort()).unwrap_or(&self.everyone);
                let measured = measure::measure(&stage.part, measure::baseline(rates), &self.score);
                let (now, cohorts) = (self.now, self.cohorts.clone());
                let judged = self.with(video, |life| life.judge(measured, now, &cohorts));
                let stage = self.lives.get(&video).and_then(|kept| kept.life.stage.as_ref());
                let (next, under_way) = (stage.map(|s| s.wanted), stage.map(|s| s.number));
                epoch.report.moves.extend(judged.flatten().map(|judged| Moved { video, judged, next }));
                self.tell(video, under_way, out);
                epoch.changed.insert(video);
                match next {
                    Some(users) => {
                        out.calls.push(Call::Judged(video, number));
                        self.ask(video, users, epoch, out);
                    }
                    None => {
                        self.close(video);
                        self.contents.remove(&video);
                        out.calls.push(Call::Over(video));
                    }
                }
            }
        }
    }

    /// Begins lives as far as there is room, who has waited longest first; who is new no longer has none.
    fn begin(&mut self, epoch: &mut Epoch, out: &mut CohortsOut) {
        let room = (self.cohorts.max_open / SHARDS as usize).max(1);
        let mut begun = Vec::new();
        for (shard, waiting) in &mut self.waiting {
            let open = self.open.entry(*shard).or_default();
            while *open < room
                && let Some((_, video)) = waiting.pop_first()
            {
                self.since.remove(&video);
                let Some(content) = self.contents.get(&video) else { continue };
                if self.now.saturating_sub(content.created_at) > self.cohorts.max_age {
                    self.contents.remove(&video);
                    continue;
                }
                *open += 1;
                begun.push(video);
            }
        }
        for video in begun {
            let life = Life::new(self.now, &self.cohorts);
            let users = life.stage.as_ref().map_or(0, |stage| stage.wanted);
            epoch.report.begun.extend(life.stage.as_ref().map(|stage| Under::of(video, stage)));
            let look_at = life.look_at(&self.cohorts);
            self.tell(video, life.stage.as_ref().map(|stage| stage.number), out);
            self.insert(video, Kept { life, changed: (0, 0), look_at });
            self.ask(video, users, epoch, out);
            epoch.changed.insert(video);
        }
    }

    /// Lets go of those that waited until they were new no longer.
    fn age(&mut self) {
        let old: Vec<u64> = self
            .since
            .keys()
            .filter(|video| self.contents.get(video).is_none_or(|content| !self.is_new(content)))
            .copied()
            .collect();
        for video in old {
            self.wait_no_longer(video);
            self.contents.remove(&video);
        }
    }

    fn encoded(&self, video: u64, kept: &Kept) -> Change {
        let record = record::record(video, kept.changed, &kept.life, &self.cohorts);
        (Key::Cohort(VideoId(video)), Some(Value::Cohort(record).encode()))
    }
}

/// What happens in one epoch.
struct Epoch {
    number: u64,
    /// Videos whose life changed.
    changed: BTreeSet<u64>,
    report: Report,
}

impl Stage for Lives {
    type In = CohortIn;
    type Out = CohortsOut;

    fn step(&mut self, number: u64, batch: Vec<CohortIn>, out: &mut CohortsOut) {
        let mut epoch = Epoch { number, changed: BTreeSet::new(), report: Report::default() };
        let (mut versions, mut did, mut slices) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut offers: BTreeMap<u64, Vec<Offers>> = BTreeMap::new();
        for message in batch {
            match message {
                CohortIn::Clock(now) => self.now = self.now.max(now),
                // Of several in one epoch the last one holds; they come from one worker, in order.
                CohortIn::Version(content) => drop(versions.insert(content.video, content)),
                CohortIn::Published(published) => self.published(&published),
                CohortIn::Offers(video, users) => offers.entry(video).or_default().push(*users),
                CohortIn::Did(video, stage, deeds) => did.push((video, stage, deeds)),
                CohortIn::Remake(slice) => slices.push(slice),
            }
        }
        for content in versions.into_values() {
            self.version(content, &mut epoch, out);
        }
        for (video, stage, deeds) in did {
            self.did(video, stage, &deeds, &mut epoch);
        }
        // Asked in an earlier epoch, everybody has offered by now, and if it was nobody.
        let answered = std::mem::take(&mut self.asked);
        for video in &answered {
            self.choose(*video, offers.remove(video).unwrap_or_default(), out);
        }
        let mut looked: BTreeSet<u64> = epoch.changed.iter().copied().chain(answered).collect();
        looked.extend(self.due.iter().take_while(|(at, _)| *at <= self.now).map(|(_, video)| *video));
        for video in looked {
            self.look(video, &mut epoch, out);
        }
        if self.publication.pass(self.now, self.publish_every).is_some() {
            self.age();
        }
        self.begin(&mut epoch, out);
        for video in &epoch.changed {
            if let Some(kept) = self.lives.get_mut(video) {
                kept.changed = (number, self.now);
            }
        }
        let again = self.lives.keys().filter(|video| slices.iter().any(|slice| slice.holds(**video)));
        let written: BTreeSet<u64> = again.copied().chain(epoch.changed).collect();
        for video in written {
            if let Some(kept) = self.lives.get(&video) {
                out.changes.push(self.encoded(video, kept));
            }
        }
        let standing = Standing { waiting: self.since.len() as u64, ..self.standing[0] };
        if epoch.report.says_something() || standing != self.standing[1] {
            self.standing[1] = standing;
            out.reports.push(Report { standing, ..epoch.report });
        }
    }

    fn size(&self) -> StateSize {
        // Contents are counted where they are made.
        let bytes = self.bytes
            + self.lives.capacity() * (size_of::<u64>() + 40)
            + self.contents.capacity() * 17
            + self.since.len() * (17 + 24)
            + self.due.len() * 24;
        StateSize { entries: (self.lives.len() + self.since.len()) as u64, bytes: bytes as u64 }
    }

    fn take(&self) -> Rows {
        saved::take(self)
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        saved::restore(self, from)
    }
}
