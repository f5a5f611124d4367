//! What a look shows of the shelves. A video's quality is measured when the look is read and not as the slot has it: a slot is
//! measured when a request finds it, so what it holds depends on who asked.

use std::sync::Arc;

use super::Shelf;
use crate::coengage::Relation;
use crate::content::Content;
use crate::look::{PairLook, Record, Records, Standing, Wanted};
use crate::popularity::{QUICK, decayed, log_sum};
use crate::request::ABSENT;
use crate::score;
use crate::sums::Sums;

/// What is copied of a slot.
struct Taken {
    content: Arc<Content>,
    attention: [Option<i64>; 2],
    rank: Option<i64>,
    week: Sums,
    all: Sums,
    creator: u32,
}

/// How the videos stand.
pub(super) fn standings(shelf: &Shelf, wanted: &Wanted) -> Records {
    let take = |at: usize| {
        let (slot, face) = (&shelf.slots[at], &shelf.faces[at]);
        Taken {
            content: Arc::clone(&face.content),
            attention: [0, 1].map(|pace| Some(face.attention[pace]).filter(|log| *log != ABSENT)),
            rank: slot.rank,
            week: slot.week,
            all: slot.all,
            creator: shelf.creators.get(&face.content.creator).copied().unwrap_or(score::ONE),
        }
    };
    let known = |at: &usize| shelf.faces[*at].content.known;
    let taken: Vec<Taken> = match &wanted.keys {
        None => (0..shelf.slots.len()).filter(known).map(take).collect(),
        Some(keys) => {
            let found = keys.iter().filter_map(|key| shelf.index.get(key)).map(|at| *at as usize);
            found.filter(known).map(take).collect()
        }
    };
    let (now, params) = (shelf.now, shelf.params.score.clone());
    let (cohorts, everyone) = (shelf.cohorts.clone(), shelf.everyone);
    Box::new(move |to| {
        let half_life = params.popularity_half_life;
        let amount = |log: Option<i64>, half_life| log.map_or(0.0, |log| decayed(log, now, half_life));
        for taken in &taken {
            let content = &taken.content;
            let baseline = cohorts.get(&content.cohort()).unwrap_or(&everyone);
            let sums = if taken.week.views > 0 { &taken.week } else { &taken.all };
            let standing = Standing {
                video: content.video,
                candidate: taken.rank.is_some(),
                popularity: amount(taken.attention[0], half_life),
                attention: amount(taken.attention[1], (half_life / QUICK).max(1)),
                rank: taken.rank.map(super::rank_to_log2),
                quality: score::quality(sums, baseline, &params),
                creator: taken.creator,
                freshness: score::freshness(content.created_at, now, params.freshness_half_life),
                week_views: taken.week.views,
            };
            if !to(Record::Standing(&standing)) {
                break;
            }
        }
    })
}

/// Sums of pairs.
pub(super) fn pairs(shelf: &Shelf, wanted: &Wanted) -> Records {
    let terms = shelf.pairs.terms_of(|seed| wanted.holds(seed), |slot| shelf.faces[slot as usize].video);
    let (now, half_life) = (shelf.now, shelf.params.coengagement.half_life);
    Box::new(move |to| {
        // The terms of one pair follow one another.
        for terms in terms.chunk_by(|a, b| (a.seed, a.video) == (b.seed, b.video)) {
            for (n, relation) in [Relation::Next, Relation::With].into_iter().enumerate() {
                let Some(log) = log_sum(terms.iter().map(|term| (term.period, term.amounts[n]))) else {
                    continue;
                };
                let (seed, video) = (terms[0].seed, terms[0].video);
                let weight = decayed(log, now, half_life);
                if !to(Record::Pair(PairLook { seed, video, relation, weight })) {
                    return;
                }
            }
        }
    })
}
