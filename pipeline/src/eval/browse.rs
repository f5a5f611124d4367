//! Runs a world whose users see what the graph lists for them.
//!
//! The generator's log says who comes when: each of its interactions is one video that somebody looks at, and those of one request are
//! one page: as long as they look at. Which video it is comes from the user's stored list, or from the list for new users, as of the epoch before; a page is
//! what of it the user has not seen, from the top. Whom nobody is to follow ([`unknown`]) nobody follows. Pages are served as a feed server would say so. All else in the log
//! (uploads, profiles, follows, deletes) goes on as it is.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

use anyhow::{anyhow, bail};
use freshet_feed_server::account;
use freshet_operators::abuse::Side;
use freshet_operators::params::Params;
use freshet_operators::runtime::{self, EpochInput, Output, WorkerGone};
use freshet_schema::event::{Event, Origin, Served, ServedItem};
use freshet_schema::feed::{ExperimentsRecord, FeedItem, SlotPolicy};
use freshet_schema::store::{EVERYONE, Key, Value};
use freshet_schema::{CreatorId, Epoch, EventId, Interaction, Millis, UserId, VideoId, hash};
use freshet_sources::generate::Known;
use rustc_hash::{FxHashMap, FxHashSet};

use super::cost::{Cost, Stopwatch};
use super::promote::Promotion;
use super::records::Log;
use crate::cluster::end_on_panic_beside;
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::progress_display::Display;

/// Videos of a page at the most, as the generator's.
const PAGE: usize = 10;

/// A video was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// Which.
    pub video: VideoId,
    /// By whom.
    pub user: UserId,
    /// When.
    pub at: u64,
    /// How well it suits them, in per mille.
    pub value: u64,
    /// Whether they watched it to its end.
    pub completed: bool,
    /// What decided its place; unspecified where there was no list.
    pub policy: SlotPolicy,
    /// The chance with which it had the place.
    pub propensity: f32,
    /// See [`FeedItem::drawn`].
    pub drawn: u32,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Videos looked at.
    pub impressions: u64,
    /// Sum of how well each suited, in per mille.
    pub value: u64,
    /// Those at a place that a cohort claimed.
    pub claimed: u64,
    /// Those at a place that a [`Promotion`] took.
    pub promoted: u64,
    /// Lives that began.
    pub lives: u64,
    /// Invitations.
    pub invited: i64,
    /// Exposures of them.
    pub exposed: i64,
    /// Stages judged: promoted, graduated, demoted, ended, unreached.
    pub verdicts: [u64; 5],
    /// Lists made.
    pub lists: u64,
    /// Epochs.
    pub epochs: u64,
}

impl Counts {
    /// Exposures of a life, on average.
    #[must_use]
    pub fn per_life(&self) -> usize {
        usize::try_from(self.exposed).unwrap_or(0).div_ceil(usize::try_from(self.lives).unwrap_or(1).max(1))
    }
}

/// Whom an attack reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Honest users who had one of its videos among the first places of a list.
    pub users: FxHashSet<UserId>,
    /// Such lists.
    pub lists: u64,
}

/// First places of a list: two pages.
pub const FIRST_PLACES: usize = 20;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Browsed {
    /// All that was looked at, in the order of time.
    pub exposures: Vec<Exposure>,
    /// See [`Counts`].
    pub counts: Counts,
    /// What was counted of experiments, publication by publication.
    pub experiments: Vec<ExperimentsRecord>,
    /// Users and videos that were flagged for abuse at any time.
    pub flagged: [BTreeSet<u64>; 2],
    /// By attack on the world, whom it reached.
    pub reach: Vec<Reach>,
    /// Honest users who had a list of their own.
    pub listed: FxHashSet<UserId>,
    /// Whether it was stopped before the world's end.
    pub interrupted: bool,
}

/// Whether a creator is one whom nobody follows: a quarter of them, drawn by hash.
#[must_use]
pub fn unknown(creator: CreatorId) -> bool {
    hash::mix(0x17, &[creator.0]).is_multiple_of(4)
}

/// Runs the graph with these parameters, lists stored, to the world's end; shows how far it is, unless it is to be quiet. `promotion`
/// has places of each page. What came of it, and what it took.
///
/// # Errors
/// Where the graph cannot be started or one of its workers ends early, and where it is interrupted.
pub fn to_the_end(
    (truth, log): &(Known, Log),
    mut params: Params,
    promotion: Option<Promotion>,
    config: &Config,
    quiet: bool,
    interrupt: &Interrupt,
) -> anyhow::Result<(Browsed, Cost)> {
    params.feed.enabled = true;
    let (workers, width) = (config.graph.workers, config.clock.replay_epoch_ms);
    let progress = Arc::new(Progress::default());
    progress.set_phase(Phase::Replay);
    progress.bytes_total.store(log.interactions as u64, Relaxed);
    let display = Display::start(&progress, quiet);
    let stopwatch = Stopwatch::start();
    let begun = (workers, width);
    let browsed = browse(truth, &log.records, &params, promotion, begun, &progress, interrupt.flag());
    let cost = stopwatch.stop();
    display.finish();
    let browsed = browsed?;
    if browsed.interrupted {
        bail!("interrupted: nothing can be said of a world that was not run to its end");
    }
    Ok((browsed, cost))
}

fn browse(
    truth: &Known,
    records: &[(Origin, Box<Event>)],
    params: &Params,
    promotion: Option<Promotion>,
    (workers, width): (usize, u64),
    progress: &Progress,
    stop: &AtomicBool,
) -> anyhow::Result<Browsed> {
    end_on_panic_beside(workers);
    let (job, outputs) = runtime::start(workers, params, false).map_err(|e| anyhow!("the dataflow: {e}"))?;
    let attacks = || truth.attacks().iter().enumerate();
    let promoted = attacks().flat_map(|(n, attack)| attack.videos.iter().map(move |video| (*video, n)));
    let attackers: FxHashSet<u64> = attacks().flat_map(|(_, attack)| attack.users.iter().copied()).collect();
    let mut store = Store {
        outputs,
        closed: vec![0; workers],
        lists: FxHashMap::default(),
        experiments: Vec::new(),
        promoted: promoted.collect(),
        attackers,
    };
    let mut crowd = Crowd {
        truth,
        seed: params.seed,
        people: FxHashMap::default(),
        known: FxHashSet::default(),
        of_unknown: FxHashSet::default(),
        looks: looks(records),
        promotion,
        places: 0,
        served: 0,
    };
    let mut browsed = Browsed { reach: vec![Reach::default(); truth.attacks().len()], ..Browsed::default() };
    let mut batch: Vec<(Origin, Event)> = Vec::new();
    let mut bucket = 0;
    let mut done = 0;
    for (origin, event) in records {
        if stop.load(Relaxed) {
            browsed.interrupted = true;
            break;
        }
        let time = event.event_time();
        if time.0 / width != bucket && !batch.is_empty() {
            let now = Millis((bucket + 1) * width);
            browsed.counts.epochs += 1;
            let epoch = Epoch(browsed.counts.epochs);
            let records = std::mem::take(&mut batch);
            job.send(EpochInput {
                epoch,
                now,
                records,
                asks: Vec::new(),
                probes: Vec::new(),
                remake: Vec::new(),
            })?;
            store.wait(epoch, &mut browsed)?;
            progress.last_epoch.store(epoch.0, Relaxed);
            progress.lists.store(browsed.counts.lists, Relaxed);
            progress.set_now(now);
        }
        bucket = time.0 / width;
        match &**event {
            // Attackers do what they came for, whatever they are shown.
            Event::Interaction(view) if store.attackers.contains(&view.user_id.0) => {
                batch.push((*origin, (**event).clone()));
                done += 1;
            }
            Event::Interaction(view) => {
                done += 1;
                progress.bytes_read.store(done, Relaxed);
                crowd.look(view, *origin, &store, &mut browsed, &mut batch);
            }
            Event::Follow(follow) if unknown(follow.creator_id) => {}
            other => {
                if let Event::Upload(upload) = other
                    && unknown(upload.creator_id)
                {
                    crowd.of_unknown.insert(upload.video_id);
                }
                if let Some(promotion) = &mut crowd.promotion {
                    promotion.hear(other);
                }
                batch.push((*origin, other.clone()));
            }
        }
        progress.events.fetch_add(1, Relaxed);
    }
    job.finish()?;
    while let Ok(output) = store.outputs.try_recv() {
        store.take(output, &mut browsed);
    }
    browsed.experiments = store.experiments;
    Ok(browsed)
}

/// What a feed server would read.
struct Store {
    outputs: Receiver<Output>,
    /// For each worker, the first epoch that is not closed there.
    closed: Vec<u64>,
    /// The new-user list under `None`.
    lists: FxHashMap<Option<UserId>, Vec<FeedItem>>,
    experiments: Vec<ExperimentsRecord>,
    /// Videos of attackers, with the number of the attack.
    promoted: FxHashMap<u64, usize>,
    attackers: FxHashSet<u64>,
}

impl Store {
    /// Waits until all that the graph has to say of an epoch was heard.
    fn wait(&mut self, epoch: Epoch, browsed: &mut Browsed) -> anyhow::Result<()> {
        while self.closed.iter().any(|closed| *closed <= epoch.0) {
            let output = self.outputs.recv().map_err(|_| WorkerGone)?;
            self.take(output, browsed);
        }
        Ok(())
    }

    fn take(&mut self, output: Output, browsed: &mut Browsed) {
        let counts = &mut browsed.counts;
        match output {
            Output::Closed(worker, epoch) => self.closed[worker] = epoch.0,
            Output::Changes(_, _, changes) => {
                for (key, value) in changes {
                    let user = match &key {
                        Key::Feed(user) => Some(*user),
                        Key::NewUser(group) if group == EVERYONE => None,
                        Key::Experiments => {
                            if let Some(Ok(Value::Experiments(record))) =
                                value.map(|bytes| Value::decode(&key, &bytes))
                            {
                                self.experiments.push(record);
                            }
                            continue;
                        }
                        _ => continue,
                    };
                    if user.is_some_and(|user| self.attackers.contains(&user.0)) {
                        continue;
                    }
                    counts.lists += u64::from(value.is_some());
                    match value.map(|bytes| Value::decode(&key, &bytes)) {
                        Some(Ok(Value::Feed(list))) => {
                            if let Some(user) = user {
                                browsed.listed.insert(user);
                                reached(user, &list.items, &self.promoted, &mut browsed.reach);
                            }
                            drop(self.lists.insert(user, list.items));
                        }
                        _ => drop(self.lists.remove(&user)),
                    }
                }
            }
            Output::Cohorts(_, _, report) => {
                counts.lives += report.begun.len() as u64;
                counts.invited += report.invited;
                counts.exposed += report.exposed;
                for moved in &report.moves {
                    counts.verdicts[moved.judged.verdict as usize] += 1;
                }
            }
            Output::Abuse(_, _, report) => {
                let flagged = match report.side {
                    Side::Users => &mut browsed.flagged[0],
                    Side::Videos => &mut browsed.flagged[1],
                };
                flagged.extend(report.changes.iter().filter(|change| change.flagged).map(|change| change.id));
            }
            _ => {}
        }
    }

    fn has_list(&self, user: UserId) -> bool {
        self.lists.contains_key(&Some(user))
    }

    fn list(&self, user: UserId) -> &[FeedItem] {
        self.lists.get(&Some(user)).or_else(|| self.lists.get(&None)).map_or(&[], Vec::as_slice)
    }
}

/// Notes which attacks have a video among the first places of a user's list.
fn reached(user: UserId, items: &[FeedItem], promoted: &FxHashMap<u64, usize>, reach: &mut [Reach]) {
    let first = items.iter().take(FIRST_PLACES).filter_map(|item| promoted.get(&item.video_id));
    for attack in first.copied().collect::<BTreeSet<usize>>() {
        reach[attack].users.insert(user);
        reach[attack].lists += 1;
    }
}

/// A user of the world.
#[derive(Default)]
struct Person {
    seen: FxHashSet<VideoId>,
    request: u64,
    /// What is left of the page, the next one last.
    page: Vec<FeedItem>,
}

struct Crowd<'a> {
    truth: &'a Known,
    seed: u64,
    people: FxHashMap<UserId, Person>,
    /// Interactions that were met: a duplicate or a revision is not another one.
    known: FxHashSet<(UserId, EventId)>,
    /// Videos of creators whom nobody follows.
    of_unknown: FxHashSet<VideoId>,
    /// Videos that are still to be looked at, by user and request.
    looks: FxHashMap<(UserId, u64), usize>,
    /// What is promoted on pages, whatever the list says.
    promotion: Option<Promotion>,
    /// Places of all pages.
    places: u64,
    served: u64,
}

/// How many videos each user looks at with each request.
fn looks(records: &[(Origin, Box<Event>)]) -> FxHashMap<(UserId, u64), usize> {
    let (mut looks, mut known) = (FxHashMap::default(), FxHashSet::default());
    for (_, event) in records {
        if let Event::Interaction(view) = &**event
            && known.insert((view.user_id, view.event_id))
        {
            *looks.entry((view.user_id, view.request_id.unwrap_or(0))).or_insert(0) += 1;
        }
    }
    looks
}

impl Crowd<'_> {
    /// Somebody looks at the next video of their page.
    fn look(
        &mut self,
        view: &Interaction,
        origin: Origin,
        store: &Store,
        browsed: &mut Browsed,
        batch: &mut Vec<(Origin, Event)>,
    ) {
        let user = view.user_id;
        if !self.known.insert((user, view.event_id)) {
            return;
        }
        let person = self.people.entry(user).or_default();
        let request = view.request_id.unwrap_or(0);
        let left = self.looks.entry((user, request)).or_insert(1);
        if person.request != request || person.page.is_empty() {
            person.request = request;
            let fresh = store.list(user).iter().filter(|item| !person.seen.contains(&VideoId(item.video_id)));
            // Nobody sees what is below the last one that they look at.
            let mut page: Vec<Cow<'_, FeedItem>> = fresh.take(PAGE.min(*left)).map(Cow::Borrowed).collect();
            for at in 0..page.len() {
                self.places += 1;
                let Some(promotion) = &mut self.promotion else { continue };
                let shown =
                    |video| person.seen.contains(&video) || page.iter().any(|item| item.video_id == video.0);
                if let Some(item) = promotion.instead(view, self.places, shown) {
                    page[at] = Cow::Owned(item);
                    browsed.counts.promoted += 1;
                }
            }
            if !page.is_empty() {
                self.served += 1;
                batch.push((
                    Origin { partition: u32::MAX, offset: self.served },
                    served(self.served, view, &page, store.has_list(user)),
                ));
            }
            person.page = page.into_iter().rev().map(Cow::into_owned).collect();
        }
        *left = left.saturating_sub(1);
        // Whoever has no list yet sees what they saw in the world; so does whoever has seen all of theirs.
        let own = || FeedItem { video_id: view.video_id.0, ..FeedItem::default() };
        let item = person.page.pop().unwrap_or_else(own);
        let (video, policy) = (VideoId(item.video_id), item.policy());
        let Some(mut shown) = self.truth.instead(view, video, self.seed) else { return };
        shown.follow &= !self.of_unknown.contains(&video);
        person.seen.insert(video);
        let taste = self.truth.taste(user, view.event_time);
        let value = taste.and_then(|taste| taste.value(video)).unwrap_or(0);
        browsed.exposures.push(Exposure {
            video,
            user,
            at: view.event_time.0,
            value,
            completed: shown.watch_ms >= shown.duration_ms,
            policy,
            propensity: item.propensity,
            drawn: item.drawn,
        });
        browsed.counts.impressions += 1;
        browsed.counts.value += value;
        browsed.counts.claimed += u64::from(policy == SlotPolicy::Cohort);
        batch.push((origin, Event::Interaction(shown)));
    }
}

fn served(number: u64, view: &Interaction, page: &[Cow<'_, FeedItem>], own: bool) -> Event {
    let item = |(position, item): (usize, &Cow<'_, FeedItem>)| ServedItem {
        video_id: VideoId(item.video_id),
        position: position as u32,
        propensity: item.propensity.clamp(f32::MIN_POSITIVE, 1.0),
        slot_policy: account::policy(item, true).to_owned(),
        drawn: item.drawn,
    };
    Event::Served(Served {
        event_id: EventId(number),
        event_time: view.event_time,
        request_id: number,
        user_id: view.user_id,
        // Which epoch made the list is asked by nobody, whether it was the user's own is.
        list_epoch: Epoch(u64::from(own)),
        items: page.iter().enumerate().map(item).collect(),
        ..Served::default()
    })
}
