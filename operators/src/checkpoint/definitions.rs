//! What the cuts of a graph are: their names, the version of their rows' form, and what their content depends on.
//!
//! A checkpoint records it for each cut. A graph whose definition of a cut is another one would read rows that it did not make:
//! where the form is older, or a parameter that went into the state has changed since, the restart has to choose (see
//! `checkpoint.on_mismatch`). Parameters that only choose and order (quotas, ranking, re-ranking) are free to change.

use std::collections::BTreeMap;

use super::CONTENTS;
use crate::params::Params;

/// A cut as this release and these parameters make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The cut's name.
    pub name: &'static str,
    /// The version of its rows' form.
    pub codec: u32,
    /// What its content depends on, by the parameter's name.
    pub fingerprint: BTreeMap<String, String>,
}

/// All cuts of a graph with these parameters, by name.
#[must_use]
pub fn definitions(params: &Params) -> Vec<Definition> {
    let seed = || vec![("seed", format!("{}", params.seed))];
    let interest = || {
        let i = &params.interest;
        vec![
            ("interest.mid_window", i.mid_window.to_string()),
            ("interest.long_window", i.long_window.to_string()),
            ("interest.like_weight", i.like_weight.to_string()),
            ("interest.session_gap", i.session_gap.to_string()),
        ]
    };
    let pairs = || {
        let c = &params.coengagement;
        vec![
            ("coengagement.window", c.window.to_string()),
            ("coengagement.min_weight", c.min_weight.to_string()),
            ("coengagement.half_life", c.half_life.to_string()),
        ]
    };
    let learning = || {
        let l = &params.learning;
        vec![
            ("learning.enabled", l.enabled.to_string()),
            ("learning.window", l.window.to_string()),
            ("learning.negatives", l.negatives.to_string()),
        ]
    };
    let published = || {
        let s = &params.score;
        vec![
            ("score.publish_every", s.publish_every.to_string()),
            ("score.skip_share", s.skip_share.to_string()),
        ]
    };
    let half_life = || vec![("score.popularity_half_life", params.score.popularity_half_life.to_string())];
    let rows = || [interest(), published(), half_life()].concat();
    let pools = || vec![("feed.pools_every", params.feed.pools_every.to_string())];
    let lists = || vec![("feed.enabled", params.feed.enabled.to_string())];
    let index = || {
        let i = &params.index;
        vec![
            ("index.dims", i.dims.to_string()),
            ("index.train_at", i.train_at.to_string()),
            ("index.sample", i.sample.to_string()),
            ("index.iterations", i.iterations.to_string()),
        ]
    };
    let mut all = vec![
        (CONTENTS, 1, seed()),
        ("videos", 1, seed()),
        ("users", 1, [seed(), rows(), pairs(), learning(), lists()].concat()),
        ("windows", 1, rows()),
        ("recent_sums", 1, rows()),
        ("video_sums", 1, rows()),
        ("popularity", 1, rows()),
        ("creator_sums", 1, rows()),
        ("cohort_sums", 1, rows()),
        ("watched_parts", 1, rows()),
        ("published", 1, [rows(), learning()].concat()),
        ("shelf", 1, [rows(), pairs()].concat()),
        ("groups", 1, lists()),
        ("pools", 1, [pools(), vec![("feed.pool_length", params.feed.pool_length.to_string())]].concat()),
        ("listed", 1, lists()),
        ("groups_listed", 1, lists()),
        ("related_records", 1, Vec::new()),
    ];
    if params.candidates.similar > 0 {
        all.push(("neighbours", 1, [seed(), index(), published()].concat()));
    }
    if params.relates() {
        all.push(("related", 1, [pools(), pairs()].concat()));
        all.push(("related_written", 1, Vec::new()));
    }
    all.sort_by_key(|(name, ..)| *name);
    let texts = |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    all.into_iter().map(|(name, codec, on)| Definition { name, codec, fingerprint: texts(on) }).collect()
}
