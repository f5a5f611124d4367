//! What the cuts of a graph are: their names, the version of their rows' form, and what their content depends on.
//!
//! A checkpoint records it for each cut. A graph whose definition of a cut is another one would read rows that it did not make, or
//! take rows back by other rules than they were counted by: where the form is older, or such a parameter has changed
//! since, the restart has to choose (see `checkpoint.on_mismatch`). What only judges what comes from now on, chooses or
//! orders is free to change: weights, quotas, ranking, re-ranking, lengths, how often something is made.

use std::collections::BTreeMap;

use freshet_schema::hash;

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
    // Of vectors, which are projected by the one and counted under the others.
    let seed = || {
        let topics = params.interest.topics.as_ref().map(|topics| hash::text(&topics.to_json()));
        let topics = topics.map_or("none".to_owned(), |print| format!("{print:016x}"));
        vec![("graph.seed", params.seed.to_string()), ("interest.topics", topics)]
    };
    // When a row leaves a window, and whether it is in one when it is taken back.
    let windows = || {
        let interest = &params.interest;
        vec![
            ("interest.mid_window", interest.mid_window.to_string()),
            ("interest.long_window", interest.long_window.to_string()),
        ]
    };
    // Which terms a row had.
    let decay = || vec![("score.popularity_half_life", params.score.popularity_half_life.to_string())];
    let pairs = || {
        let pairs = &params.coengagement;
        vec![
            ("coengagement.window", pairs.window.to_string()),
            ("coengagement.min_weight", pairs.min_weight.to_string()),
            ("coengagement.half_life", pairs.half_life.to_string()),
        ]
    };
    // Which examples were let go of.
    let learned = || vec![("learning.window", params.learning.window.to_string())];
    // What a version's number counts.
    let versions = || vec![("score.publish_every", params.score.publish_every.to_string())];
    let publications = || vec![("feed.pools_every", params.feed.pools_every.to_string())];
    // Whose rows are in the sums.
    let withheld = || match params.abuse.enabled {
        true => vec![("abuse.enabled", "true".to_owned())],
        false => Vec::new(),
    };
    // A suspect's rows have the form of their own release; without abuse there are none.
    let users = if params.abuse.enabled { 5 } else { 4 };
    let nothing = Vec::new;
    let mut all = vec![
        (CONTENTS, 1, seed()),
        ("videos", 1, seed()),
        ("users", users, [seed(), windows(), pairs(), learned(), withheld()].concat()),
        ("windows", 1, decay()),
        ("recent_sums", 1, nothing()),
        ("video_sums", 1, nothing()),
        ("popularity", 1, decay()),
        ("creator_sums", 1, nothing()),
        ("cohort_sums", 1, nothing()),
        ("watched_parts", 1, nothing()),
        ("published", 4, [versions(), learned()].concat()),
        ("shelf", 1, [decay(), pairs()].concat()),
        ("groups", 1, nothing()),
        ("pools", 1, nothing()),
        ("listed", 3, nothing()),
        ("groups_listed", 1, nothing()),
        ("related_records", 1, nothing()),
    ];
    if params.candidates.similar > 0 {
        let dims = ("index.dims", params.index.dims.to_string());
        all.push(("neighbours", 1, [seed(), vec![dims]].concat()));
    }
    if params.relates() {
        all.push(("related", 1, [publications(), pairs()].concat()));
        all.push(("related_written", 1, nothing()));
    }
    if params.invites() {
        // What was decided is kept as numbers, so what decides is free to change.
        all.push(("cohorts", 1, nothing()));
        all.push(("cohort_calls", 1, nothing()));
    }
    if params.abuse.enabled {
        // What was told of bursts is kept as it was told.
        all.push(("abuse", 1, vec![("abuse.window", params.abuse.window.to_string())]));
        all.push(("bursts", 1, nothing()));
    }
    all.sort_by_key(|(name, ..)| *name);
    let texts = |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    all.into_iter().map(|(name, codec, on)| Definition { name, codec, fingerprint: texts(on) }).collect()
}
