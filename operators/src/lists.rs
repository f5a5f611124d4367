//! Requests and answers meet, and a list becomes records of the store.
//!
//! Comes in, at the subject's worker: every worker's answer of the epoch. Goes out: the feed record, the dropped
//! candidates' record, and (for the next epoch) which videos the list holds. A list that was only asked for goes out as an
//! answer and nowhere else. Nothing is kept between epochs.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_schema::UserId;
use freshet_schema::feed::{Dropped, DroppedRecord, FeedItem, FeedRecord, ScoreParts};
use freshet_schema::store::{Key, Value};

use crate::cut::StateSize;
use crate::epoch::{Stage, outputs};
use crate::params::Params;
use crate::pools::Change;
use crate::rank::{self, List, Placed, Scored};
use crate::request::{Parts, Reply, Request, Subject};
use crate::row::Group;

/// The algorithm that ranks for users with a history, as lists name it.
pub const ALGORITHM: &str = "spine-1";
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

/// See the module.
pub struct Lists {
    params: Params,
}

impl Lists {
    /// A stage without state.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self { params }
    }
}

impl Stage for Lists {
    type In = Reply;
    type Out = ListsOut;

    fn step(&mut self, epoch: u64, batch: Vec<Reply>, out: &mut ListsOut) {
        // A dirty user may be asked about in the same epoch.
        let mut subjects: BTreeMap<(Subject, bool), Vec<Reply>> = BTreeMap::new();
        for reply in batch {
            subjects.entry((reply.request.subject.clone(), reply.request.asked)).or_default().push(reply);
        }
        for ((subject, _), replies) in subjects {
            let Some(request) = replies.first().map(|r| Arc::clone(&r.request)) else { continue };
            let scored = rank::score(&request, replies);
            if let (Subject::User(user), true) = (&subject, request.asked) {
                out.answers.push(answer(*user, scored, &request, &self.params));
                continue;
            }
            let list = rank::place(scored, &request, &self.params);
            let record = Value::Feed(feed(epoch, &request, &list)).encode();
            let videos = list.items.iter().map(|p| p.candidate.video()).collect();
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
                    out.users.push((user, videos));
                }
            }
        }
    }

    fn size(&self) -> StateSize {
        StateSize::default()
    }
}

fn answer(user: u64, scored: Scored, request: &Request, params: &Params) -> Answer {
    let scores = scored.scores(request);
    let list = rank::place(scored, request, params);
    let listed = list.items.iter().map(|p| p.candidate.video()).collect();
    Answer { user, scored: scores, listed, new_user: request.new_user }
}

fn feed(epoch: u64, request: &Request, list: &List) -> FeedRecord {
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
    }
}

fn item(placed: &Placed, request: &Request) -> FeedItem {
    let part = |millionths: u32| millionths as f32 / 1e6;
    let Parts { similarity, quality, creator, freshness } = placed.candidate.parts;
    FeedItem {
        video_id: placed.candidate.video(),
        score: (placed.candidate.parts.score() as f64 / 1e12) as f32,
        sources: placed.sources(request).map(|s| i32::from(s.0)).collect(),
        parts: Some(ScoreParts {
            similarity: part(similarity),
            quality: part(quality),
            creator: part(creator),
            freshness: part(freshness),
        }),
        moved_by: placed.moved_by.unwrap_or_default().to_owned(),
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
