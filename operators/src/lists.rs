//! Requests and answers meet, and a list becomes records of the store.
//!
//! Comes in, at the subject's worker: every worker's answer of the epoch. Goes out: the feed record, the dropped
//! candidates' record, and (for the next epoch) which videos the list holds. A list that was only asked for goes out as an
//! answer and nowhere else. Nothing is kept between epochs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::UserId;
use freshet_schema::feed::{Dropped, DroppedRecord, FeedItem, FeedRecord, ScoreParts, SlotPolicy};
use freshet_schema::store::{Key, Value};
use serde::{Deserialize, Serialize};

use crate::account;
use crate::checkpoint::{self, RestoreError, Restoring, Rows};
use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::examples::Described;
use crate::params::Params;
use crate::pools::Change;
use crate::probe::{self, Probed};
use crate::publish::Published;
use crate::rank::{self, List, Placed, Scales, Scored};
use crate::request::{Candidate, Parts, Purpose, Reply, Request, Subject};
use crate::rerank::Policy;
use crate::row::Group;
use crate::scorer::features::Features;
use crate::scorer::heads::Heads;
use crate::yields::Yields;

/// The algorithm that ranks for users with a history, as lists name it.
pub const ALGORITHM: &str = "heads-1";
/// The algorithm of the list of somebody without history.
pub const NEW_USER_ALGORITHM: &str = "new-user-1";

outputs! {
    /// What the stage says.
    ListsOut as ListsStreams {
        /// A change to the store.
        changes: Change,
        /// The videos of a user's new list.
        users: (u64, Arc<[u64]>),
        /// The videos of a group's new list.
        groups: (Group, Arc<[u64]>),
        /// A list that was asked for.
        answers: Answer,
        /// What is expected of videos that somebody asked about.
        probed: Probed,
        /// What the sources brought in the epoch.
        yields: Yields,
        /// What the heads see of a row.
        described: Described,
    }
}

/// A list that was asked for, for whoever measures lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whose list.
    pub user: u64,
    /// All candidates with their score before re-ranking, best first, of equals the lower number first. A score orders this
    /// list and nothing else: see [`rank::Scored::scores`].
    pub scored: Vec<(u64, u64)>,
    /// The list after re-ranking: what the store would hold.
    pub listed: Vec<u64>,
    /// Whether the new-user rule made it.
    pub new_user: bool,
}

/// What the lists hear.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ListIn {
    /// A worker's answer.
    Reply(Reply),
    /// A publication.
    Published(Arc<Published>),
}

/// See the module.
pub struct Lists {
    params: Params,
    heads: Arc<Heads>,
}

impl Lists {
    /// A stage without state.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self { params, heads: Arc::default() }
    }
}

impl Stage for Lists {
    type In = ListIn;
    type Out = ListsOut;

    fn step(&mut self, epoch: u64, batch: Vec<ListIn>, out: &mut ListsOut) {
        // A dirty user may be asked about in the same epoch.
        let mut subjects: BTreeMap<(Subject, Purpose), Vec<Reply>> = BTreeMap::new();
        for message in batch {
            match message {
                ListIn::Reply(reply) => {
                    let request = &reply.request;
                    subjects.entry((request.subject.clone(), request.purpose)).or_default().push(reply);
                }
                ListIn::Published(version) => self.heads = Arc::clone(&version.heads),
            }
        }
        let mut yields = Yields::default();
        for ((subject, purpose), replies) in subjects {
            let Some(request) = replies.first().map(|r| Arc::clone(&r.request)) else { continue };
            let scales = Scales::new(&self.heads, &self.params, &request, &replies);
            match (&subject, purpose) {
                (Subject::User(user), Purpose::Ask { offered }) => {
                    let scored = rank::score(&scales, replies);
                    let answer = answer(*user, scored, &request, &scales);
                    if offered {
                        out.users.push((*user, answer.listed.as_slice().into()));
                    }
                    out.answers.push(answer);
                    continue;
                }
                (Subject::User(user), Purpose::Learn(event, stands_for)) => {
                    let features =
                        described(&scales, &request, &replies).into_iter().map(|(_, x)| x).collect();
                    out.described.push(Described { user: *user, event, stands_for, features });
                    continue;
                }
                (Subject::User(user), Purpose::Probe) => {
                    let predicted = |(video, x)| (video, predicted(&self.heads, &x));
                    let videos = described(&scales, &request, &replies).into_iter().map(predicted);
                    out.probed.push(Probed { user: *user, videos: videos.collect() });
                    continue;
                }
                (Subject::User(_), Purpose::List) | (Subject::Group(_), _) => {}
            }
            let scored = rank::score(&scales, replies);
            yields.candidates(&request, scored.pool());
            let list = rank::place(scored, &scales);
            yields.places(&request, &list.items);
            let record = Value::Feed(feed(epoch, &request, &list, &self.heads)).encode();
            let videos = list.items.iter().map(|p| p.chosen.candidate.video()).collect();
            match subject {
                Subject::Group(group) => {
                    out.changes.push((Key::NewUser(group.as_str().to_owned()), Some(record)));
                    out.groups.push((group, videos));
                }
                Subject::User(user) => {
                    let dropped = (!list.dropped.is_empty())
                        .then(|| Value::Dropped(dropped(epoch, user, &list)).encode());
                    out.changes.push((Key::Feed(UserId(user)), Some(record)));
                    out.changes.push((Key::Dropped(UserId(user)), dropped));
                    let count = self.params.feed.explained;
                    out.changes.push(account::record(user, epoch, &self.heads, &list, count));
                    out.users.push((user, videos));
                }
            }
        }
        if !yields.sources.is_empty() {
            out.yields.push(yields);
        }
    }

    fn size(&self) -> StateSize {
        StateSize::default()
    }

    fn take(&self) -> Rows {
        checkpoint::nothing()
    }

    fn restore(&mut self, from: &Restoring) -> Result<(), RestoreError> {
        if let Some(published) = crate::publish::saved::last(from)? {
            self.heads = published.heads;
        }
        Ok(())
    }
}

/// The wanted videos with their features, in the order in which they are wanted.
fn described(scales: &Scales, request: &Request, replies: &[Reply]) -> Vec<(u64, Features)> {
    let known = |video: u64| replies.iter().flat_map(|r| &r.candidates).find(|c| c.video() == video);
    let candidates: Vec<Cow<'_, Candidate>> = request
        .wanted
        .iter()
        .map(|video| known(*video).map_or_else(|| Cow::Owned(Candidate::unknown(*video)), Cow::Borrowed))
        .collect();
    let features = scales.features(candidates.iter().map(AsRef::as_ref));
    request.wanted.iter().copied().zip(features).collect()
}

fn predicted(heads: &Heads, x: &Features) -> probe::Heads {
    let [choice, watch, completion, rewatch, continuation, skip, like, long_view] = heads.estimates(x);
    let watch_ms = heads.watch_ms(x);
    probe::Heads { choice, watch, completion, rewatch, continuation, skip, like, long_view, watch_ms }
}

fn answer(user: u64, scored: Scored, request: &Request, scales: &Scales) -> Answer {
    let scores = scored.scores();
    let list = rank::place(scored, scales);
    let listed = list.items.iter().map(|p| p.chosen.candidate.video()).collect();
    Answer { user, scored: scores, listed, new_user: request.new_user }
}

fn feed(epoch: u64, request: &Request, list: &List, heads: &Heads) -> FeedRecord {
    FeedRecord {
        user_id: match request.subject {
            Subject::User(user) => user,
            Subject::Group(_) => 0,
        },
        epoch,
        now_ms: request.now,
        algorithm: if request.new_user { NEW_USER_ALGORITHM } else { ALGORITHM }.to_owned(),
        items: list.items.iter().map(|placed| item(placed, request)).collect(),
        interest_drift: request.drift,
        obsession_loop: request.obsession,
        group: request.group.as_str().to_owned(),
        session_started_ms: request.session.map_or(0, |session| session.started),
        session_length: request.session.map_or(0, |session| session.length),
        since_last_ms: request.session.and_then(|session| session.since_last),
        heads_version: heads.version,
    }
}

fn item(placed: &Placed, request: &Request) -> FeedItem {
    let part = |millionths: u32| millionths as f32 / 1e6;
    let Parts { similarity, quality, creator, freshness } = placed.chosen.candidate.parts;
    let policy = match placed.slot.policy {
        Policy::Rank => SlotPolicy::Rank,
        Policy::Novelty => SlotPolicy::Novelty,
        Policy::Popular => SlotPolicy::Popular,
        Policy::Explore => SlotPolicy::Explore,
        Policy::Cohort => SlotPolicy::Cohort,
    };
    FeedItem {
        video_id: placed.chosen.candidate.video(),
        score: placed.chosen.value,
        sources: placed.sources(request).map(|s| i32::from(s.0)).collect(),
        parts: Some(ScoreParts {
            similarity: part(similarity),
            quality: part(quality),
            creator: part(creator),
            freshness: part(freshness),
        }),
        moved_by: account::names(placed.slot.moved),
        policy: policy as i32,
        propensity: placed.slot.propensity,
    }
}

fn dropped(epoch: u64, user: u64, list: &List) -> DroppedRecord {
    DroppedRecord {
        user_id: user,
        epoch,
        items: list
            .dropped
            .iter()
            .map(|(video, stage)| Dropped { video_id: *video, stage: *stage as i32 })
            .collect(),
    }
}
