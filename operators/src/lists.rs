//! Requests and answers meet, and a list becomes records of the store.
//!
//! Comes in, at the subject's worker: every worker's answer. Goes out, as soon as the last one is there: the feed record, the
//! dropped candidates' record, and (for the next epoch) which videos the list holds. A list that was only asked for goes
//! out as an answer and nowhere else. Nothing is kept between epochs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use freshet_schema::UserId;
use freshet_schema::feed::{DrawnArm, Dropped, DroppedRecord, FeedItem, FeedRecord, ScoreParts, SlotPolicy};
use freshet_schema::store::{Key, Value};
use serde::{Deserialize, Serialize};

use crate::account;
use crate::bandit::{self, sums::Tried};
use crate::content::{Content, Facet};
use crate::epoch::{Arrivals, outputs};
use crate::examples::Described;
use crate::light::{Basis, Light, Scratch, light};
use crate::params::{Params, Ranking};
use crate::pools::Change;
use crate::probe::{self, Probed};
use crate::rank::{self, List, Placed, Scales, Scored, Weighed};
use crate::request::{Candidate, Parts, Purpose, Reply, Request, Subject};
use crate::rerank::{Drawn, Policy};
use crate::row::Group;
use crate::scorer::calibrate::Expected;
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
        /// What the sources brought for a list.
        yields: Yields,
        /// What the heads see of a row.
        described: Described,
    }
}

/// A list that was asked for, for whoever measures lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Number of workers, each of which answers each request.
    peers: usize,
    /// Answers to requests that not all workers have answered yet. A dirty user may be asked about in the same epoch.
    waiting: BTreeMap<(u64, Subject, Purpose), Vec<Reply>>,
    scratch: Scratch,
}

impl Lists {
    /// Lists from the answers of `peers` workers.
    #[must_use]
    pub fn new(params: Params, peers: usize) -> Self {
        Self { params, peers, waiting: BTreeMap::new(), scratch: Scratch::default() }
    }
}

impl Arrivals for Lists {
    type In = Reply;
    type Out = ListsOut;

    fn take(&mut self, epoch: u64, reply: Reply, out: &mut ListsOut) {
        let request = Arc::clone(&reply.request);
        let replies = if self.peers == 1 {
            vec![reply]
        } else {
            let mut replies = match self.waiting.entry((epoch, request.subject.clone(), request.purpose)) {
                Entry::Occupied(waiting) if waiting.get().len() + 1 == self.peers => waiting.remove(),
                waiting => {
                    waiting.or_default().push(reply);
                    return;
                }
            };
            replies.push(reply);
            replies
        };
        answered(epoch, &request, replies, &self.params, &mut self.scratch, out);
    }
}

/// All workers have answered.
fn answered(
    epoch: u64,
    request: &Request,
    replies: Vec<Reply>,
    params: &Params,
    scratch: &mut Scratch,
    out: &mut ListsOut,
) {
    let Some(heads) = replies.first().map(|reply| Arc::clone(&reply.heads)) else { return };
    let ranking = &params.ranking;
    let own = request.own(params);
    let basis = Basis::new(&heads, &own, request, replies.iter().flat_map(|reply| &reply.followed));
    let scales = Scales::new(basis, replies.first().and_then(|reply| reply.spread.clone()));
    match (&request.subject, request.purpose) {
        (Subject::User(user), Purpose::Ask { offered }) => {
            let scored = rank::score(&scales, left(&basis, replies, scratch));
            let answer = answer(*user, scored, request, &scales);
            if offered {
                out.users.push((*user, answer.listed.as_slice().into()));
            }
            out.answers.push(answer);
        }
        (Subject::User(user), Purpose::Learn(event, offer)) => {
            let features: Vec<Features> =
                described(&scales, request, &replies).into_iter().map(|(_, x)| x).collect();
            let expected = features.first().map_or_else(Expected::default, |x| heads.expected(x));
            let tried = request
                .outlook
                .as_ref()
                .map(|outlook| Box::new(Tried { context: outlook.context, arms: arms(request, &replies) }));
            out.described.push(Described { user: *user, event, offer, features, expected, tried });
        }
        (Subject::User(user), Purpose::Probe) => {
            let predicted = |(video, x)| (video, predicted(&heads, &x));
            let videos = described(&scales, request, &replies).into_iter().map(predicted);
            out.probed.push(Probed { user: *user, videos: videos.collect() });
        }
        (Subject::User(_), Purpose::List) | (Subject::Group(_), _) => {
            let scored = rank::score(&scales, left(&basis, replies, scratch));
            let mut yields = Yields::default();
            yields.candidates(request, scored.pool());
            let list = rank::place(scored, &scales);
            yields.places(request, &list.items);
            yields.widened += u64::from(scales.narrowed());
            out.yields.push(yields);
            write(epoch, request, &list, &scales, ranking, out);
        }
    }
}

/// What the light rank leaves of all workers' candidates.
fn left(basis: &Basis, replies: Vec<Reply>, scratch: &mut Scratch) -> Light {
    let all = replies.into_iter().reduce(|mut all, mut reply| {
        all.candidates.append(&mut reply.candidates);
        all.contents.append(&mut reply.contents);
        all.watched.append(&mut reply.watched);
        all
    });
    match all {
        Some(Reply { light: Some(light), .. }) => light,
        Some(Reply { mut candidates, contents, watched, .. }) => {
            light(basis, &mut candidates, &watched, |n| &contents[n], scratch)
        }
        None => Light::default(),
    }
}

/// Encodes the records of a list. `published` are the weights of the objectives that are stored with the heads.
fn write(
    epoch: u64,
    request: &Request,
    list: &List,
    scales: &Scales,
    published: &Ranking,
    out: &mut ListsOut,
) {
    let record = Value::Feed(feed(epoch, request, list, scales)).encode();
    let videos = list.items.iter().map(|p| p.chosen.candidate.video).collect();
    match &request.subject {
        Subject::Group(group) => {
            out.changes.push((Key::NewUser(group.as_str().to_owned()), Some(record)));
            out.groups.push((Arc::clone(group), videos));
        }
        Subject::User(user) => {
            let dropped =
                (!list.dropped.is_empty()).then(|| Value::Dropped(dropped(epoch, *user, list)).encode());
            out.changes.push((Key::Feed(UserId(*user)), Some(record)));
            out.changes.push((Key::Dropped(UserId(*user)), dropped));
            let own = Some(&scales.basis.params.ranking).filter(|own| *own != published);
            let explained = scales.basis.params.feed.explained;
            out.changes.push(account::record(*user, epoch, scales.basis.heads, own, list, explained));
            out.users.push((*user, videos));
        }
    }
}

/// The wanted videos with their features, in the order in which they are wanted.
fn described(scales: &Scales, request: &Request, replies: &[Reply]) -> Vec<(u64, Features)> {
    let unknown = |video: u64| (Candidate::unknown(video), Arc::new(Content::unknown(video)));
    let known = |video: &u64| known(*video, replies).unwrap_or_else(|| unknown(*video));
    let videos: Vec<(Candidate, Arc<Content>)> = request.wanted.iter().map(known).collect();
    let features = scales.features(videos.iter().map(|(candidate, content)| (candidate, &**content)));
    request.wanted.iter().copied().zip(features).collect()
}

/// Their arms as of now, 0 where none is known.
fn arms(request: &Request, replies: &[Reply]) -> Vec<u64> {
    let arm =
        |(candidate, content): (Candidate, Arc<Content>)| bandit::arm(candidate.stage, content.category);
    request.wanted.iter().map(|video| known(*video, replies).map_or(0, arm)).collect()
}

fn known(video: u64, replies: &[Reply]) -> Option<(Candidate, Arc<Content>)> {
    let mut known = replies.iter().flat_map(|reply| reply.candidates.iter().zip(&reply.contents));
    let (candidate, content) = known.find(|(candidate, _)| candidate.video == video)?;
    Some((*candidate, Arc::clone(content)))
}

fn predicted(heads: &Heads, x: &Features) -> probe::Heads {
    let [choice, watch, completion, rewatch, continuation, skip, like, long_view] = heads.estimates(x);
    let watch_ms = heads.watch_ms(x);
    probe::Heads { choice, watch, completion, rewatch, continuation, skip, like, long_view, watch_ms }
}

fn answer(user: u64, scored: Scored, request: &Request, scales: &Scales) -> Answer {
    let scores = scored.scores();
    let list = rank::place(scored, scales);
    let listed = list.items.iter().map(|p| p.chosen.candidate.video).collect();
    Answer { user, scored: scores, listed, new_user: request.new_user }
}

fn feed(epoch: u64, request: &Request, list: &List, scales: &Scales) -> FeedRecord {
    let (user_id, arms) = match request.subject {
        Subject::User(user) => (user, scales.basis.params.arm_names(user)),
        Subject::Group(_) => (0, Vec::new()),
    };
    FeedRecord {
        user_id,
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
        heads_version: scales.basis.heads.version,
        arms,
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
        Policy::Bandit => SlotPolicy::Bandit,
    };
    FeedItem {
        video_id: placed.chosen.candidate.video,
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
        drawn: placed.slot.drawn,
        arm: placed.slot.arm.map(|drawn| arm(&drawn, placed)),
    }
}

/// The arm that was drawn for a place.
fn arm(drawn: &Drawn, placed: &Placed) -> DrawnArm {
    let Drawn { policy, bet, version, arms } = *drawn;
    let Weighed { content, candidate, .. } = &placed.chosen;
    let named = content.facets.iter().find(|(facet, _)| *facet == Facet::Category(content.category));
    let category = || named.map_or_else(String::new, |(_, name)| (**name).to_owned());
    DrawnArm {
        policy: policy.as_str().to_owned(),
        category: bandit::stage_name(candidate.stage).map_or_else(category, str::to_owned),
        estimate: bet.estimate,
        width: bet.width,
        version,
        arms,
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
