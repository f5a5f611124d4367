//! What the stages need to know. Plain numbers with the defaults of the seed documents; the command line's configuration
//! is translated into this, and nothing below it reads a file.

use std::sync::Arc;

use freshet_learning::Topics;
use serde::{Deserialize, Serialize};

use crate::experiments::{self, Experiment};
use crate::topics::TopicTable;

/// Milliseconds of a second, a minute, an hour and a day.
pub const SECOND: u64 = 1_000;
/// See [`SECOND`].
pub const MINUTE: u64 = 60 * SECOND;
/// See [`SECOND`].
pub const HOUR: u64 = 60 * MINUTE;
/// See [`SECOND`].
pub const DAY: u64 = 24 * HOUR;

/// Parameters of the graph. Durations are in milliseconds of event time.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Seed of everything that is drawn by hash: projections, exploration, order of the new-user list.
    pub seed: u64,
    /// Early interactions.
    pub early: Early,
    /// Interest vectors.
    pub interest: Interest,
    /// Video scores.
    pub score: Score,
    /// Candidate quotas.
    pub candidates: Candidates,
    /// Co-engagement.
    pub coengagement: CoEngaging,
    /// Weights of the objectives.
    pub ranking: Ranking,
    /// What the heads learn from.
    pub learning: Learning,
    /// The vector index.
    pub index: Index,
    /// Records of related videos.
    pub related: Related,
    /// Lists.
    pub feed: Feed,
    /// How alike lists may be.
    pub diversity: Diversity,
    /// Re-ranking.
    pub rerank: Rerank,
    /// Places of lists that explore.
    pub exploration: Exploration,
    /// Cohorts of new videos.
    pub cohorts: Cohorts,
    /// Experiments, at most [`experiments::MAX_EXPERIMENTS`].
    pub experiments: Arc<[Experiment]>,
    /// Abuse.
    pub abuse: Abuse,
}

/// Interactions that come before their upload.
#[derive(Clone, Debug, PartialEq)]
pub struct Early {
    /// An interaction counts as one with unknown content for good once the clock has passed its arrival by this.
    pub max_wait: u64,
    /// At most this many wait in a logical shard; the oldest give way first and are metered.
    pub max_held_per_shard: usize,
}

/// Interest vectors and the signs read from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Interest {
    /// The short-term vector is made of this many interactions (10-20 in the seed).
    pub short_last: usize,
    /// Weight of an interaction relative to the one after it, in the short-term vector.
    pub short_decay: f64,
    /// Window of the mid-term vector and of the recent facets.
    pub mid_window: u64,
    /// Window of the long-term vector and of the lasting facets.
    pub long_window: u64,
    /// Weight of a like beside the watched part, in the mid- and long-term vectors.
    pub like_weight: f64,
    /// Trained topics, which the long-term vector is made of; categories stand in where there are none.
    pub topics: Option<Arc<Topics>>,
    /// Topics with no greater share of the user's interest are left out of the long-term vector.
    pub topic_share: f64,
    /// Shares of the short-, mid- and long-term vector in the query that ranks candidates.
    pub blend: [f64; 3],
    /// Interest has drifted where the cosine of the short- and the mid-term vector is below this.
    pub drift_below: f64,
    /// A loop: mean pairwise cosine (without the diagonal) of the last videos above this.
    pub obsession_above: f64,
    /// Fewest videos from which drift and loops are judged.
    pub min_videos: usize,
    /// A session ends after this long without an interaction.
    pub session_gap: u64,
}

impl Interest {
    /// The directions of the trained topics.
    #[must_use]
    pub fn trained(&self) -> TopicTable {
        self.topics.as_deref().map(TopicTable::trained).unwrap_or_default()
    }
}

/// Video scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Half-life of popularity.
    pub popularity_half_life: u64,
    /// Half-life of freshness since publication.
    pub freshness_half_life: u64,
    /// Popularity that a new video starts with, in interactions.
    pub prior_popularity: f64,
    /// Views of its cohort's average that a video's performance is shrunk with.
    pub shrinkage_views: u64,
    /// Weights of watch time, completion and fast skips (the last is subtracted) in the performance.
    pub performance_weights: [f64; 3],
    /// Baselines, creator scores and skip thresholds are published at multiples of this.
    pub publish_every: u64,
    /// Share of views that counts as fast skips (the fastest fifth).
    pub skip_share: f64,
}

/// Candidate quotas.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// From creators that the user follows.
    pub followed: usize,
    /// From hashtags that the user likes.
    pub hashtags: usize,
    /// From sounds that the user likes.
    pub sounds: usize,
    /// From the global trend.
    pub trending: usize,
    /// From what others watched next after the user's last positives.
    pub next: usize,
    /// From what others liked together with the user's last positives.
    pub co_engaged: usize,
    /// From the videos whose vectors are most like the user's interest; 0: there is no vector index.
    pub similar: usize,
    /// So many of the user's best facets of each kind are asked for candidates.
    pub facets_per_kind: usize,
}

/// Which videos count as liked by the same people.
#[derive(Clone, Debug, PartialEq)]
pub struct CoEngaging {
    /// Two positives of a user at most so many places apart are a pair; 0 counts no pairs.
    pub window: usize,
    /// Rows of at least this weight are positives: 1 is a full watch.
    pub min_weight: f64,
    /// Half-life of a pair.
    pub half_life: u64,
    /// The user's last so many positives are asked what goes with them.
    pub seeds: usize,
}

/// Weights of the objectives in what a candidate is worth. Penalties are subtracted.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Of the watched part.
    pub watch: f64,
    /// Of watching to the end.
    pub completion: f64,
    /// Of playing again.
    pub rewatch: f64,
    /// Of the session going on.
    pub continuation: f64,
    /// Of a fast skip; subtracted.
    pub fast_skip: f64,
    /// Of fatigue with what the video shows; subtracted.
    pub fatigue: f64,
    /// So many candidates, the best by what is cheap to know, are weighed by everything.
    pub light: usize,
}

/// What the heads learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// Whether they learn; else they keep the weights that they began with.
    pub enabled: bool,
    /// Half-life of an example's weight.
    pub half_life: u64,
    /// Examples count for this long.
    pub window: u64,
    /// Videos passed over that are drawn for each row.
    pub negatives: usize,
    /// A row of a slot that was filled by chance stands for 1/propensity rows, and for no more than the inverse of this.
    pub least_propensity: f64,
    /// Weight, in examples, of the weights that the heads began with.
    pub shrinkage: f64,
}

/// The vector index: see [`freshet_index::Params`] for the ranges.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Entries of a video's vector that are compared: the first so many.
    pub dims: usize,
    /// Lists that a query looks through.
    pub nprobe: usize,
    /// Distinct directions from which on there are lists; with fewer, all are compared.
    pub train_at: usize,
    /// Directions that a training looks at, at most.
    pub sample: usize,
    /// Iterations of a training, at most.
    pub iterations: usize,
}

impl Index {
    /// The settings of an index that draws by `seed`. What does not fit into a setting's type is out of its range, too.
    #[must_use]
    pub fn of(&self, seed: u64) -> freshet_index::Params {
        freshet_index::Params {
            dims: self.dims,
            nprobe: u32::try_from(self.nprobe).unwrap_or(u32::MAX),
            train_at: self.train_at,
            sample: self.sample,
            iterations: u32::try_from(self.iterations).unwrap_or(u32::MAX),
            seed,
        }
    }
}

/// Records of related videos.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// Videos of a record; 0: there are no records.
    pub length: usize,
    /// A publication (see `feed.pools_every`) makes at most so many records, the same share of each logical shard. Who waits
    /// longest comes first.
    pub per_publication: usize,
}

/// Lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// Whether lists are made at all (a bench of the features alone turns them off).
    pub enabled: bool,
    /// Items of a list.
    pub length: usize,
    /// At most this many of a category among `category_window` neighbours.
    pub per_category: usize,
    /// See `per_category`.
    pub category_window: usize,
    /// So many of the videos last watched never come back.
    pub no_repeat_last: usize,
    /// A list of an active user is remade after this.
    pub refresh_after: u64,
    /// A user is active for this long after an interaction.
    pub active_within: u64,
    /// Share of the new-user list that is popular in the demographic group; the rest explores.
    pub new_user_popular: f64,
    /// Pools and new-user lists are published at multiples of this.
    pub pools_every: u64,
    /// Places of a published pool.
    pub pool_length: usize,
    /// Dropped candidates that are kept: explanations read them, and the end of a scroll.
    pub dropped_kept: usize,
    /// Items of a list whose account is stored for the explanation.
    pub explained: usize,
}

/// How alike the lists of all users may be ([`crate::spread`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Diversity {
    /// So many of the first places of each list are looked at; 0: nobody looks.
    pub places: usize,
    /// What many lists hold is lowered for some users while the overlap is above this, in [0, 1]; 1 never.
    pub overlap_above: f64,
    /// What a greater share of the lists than this would hold is lowered for the others, in (0, 1].
    pub share: f64,
    /// The factor on a score that is lowered, in (0, 1].
    pub least: f64,
}

impl Default for Diversity {
    fn default() -> Self {
        Self { places: 0, overlap_above: 1.0, share: 0.05, least: 0.1 }
    }
}

/// Re-ranking: which places of a list are drawn, and what lowers or raises a candidate beside its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Rerank {
    /// Share of the list that goes to what is unlike the user's last videos, in [0, 1] (seed 004, 7.3: 10-20 %).
    pub novelty_share: f64,
    /// The same share at most, where the user tires of the running session; at least `novelty_share`.
    pub novelty_max_share: f64,
    /// In the head of the list every so many places one is for novelty.
    pub novelty_every: usize,
    /// Places of the head; behind it the rest of the share is spread evenly.
    pub novelty_head: usize,
    /// A candidate is compared with so many of the videos last watched.
    pub novelty_last: usize,
    /// It is new where its greatest cosine with them is below this.
    pub novelty_below: f64,
    /// A place is drawn from so many of the best candidates that may have it.
    pub draw_pool: usize,
    /// Greatest cosine of two neighbours (seed 004, 8.3 calls it a minimum and uses it as a maximum).
    pub similarity_cap: f64,
    /// The score of a creator's n-th video in a list is multiplied by this to the power of n - 1, in (0, 1].
    pub creator_decay: f64,
    /// So many of the last interactions are read for fatigue.
    pub fatigue_last: usize,
    /// Half-life of fast skips and of what speaks against them.
    pub fatigue_half_life: u64,
    /// Half-life of dislikes.
    pub dislike_half_life: u64,
    /// A dislike weighs as much as so many fast skips.
    pub dislike_weight: f64,
    /// Interactions without a skip that every creator, category and hashtag is credited with.
    pub fatigue_prior: f64,
    /// Above this fatigue a video's score is lowered as a whole, in [0, 1]; 1 never.
    pub fatigue_strong: f64,
    /// The score of what shares something with a new user's first positives is multiplied by this (seed 004, 7.2).
    pub taste_boost: f64,
    /// The boost is full up to so many interactions.
    pub taste_full: usize,
    /// From so many interactions on there is none.
    pub taste_until: usize,
    /// So many of the last interactions are read for whether lists have become too narrow ([`crate::rerank::narrow`]); 0: nobody looks.
    pub narrow_last: usize,
    /// They have where a category has a greater share of them than this, in [0, 1] ...
    pub narrow_share: f64,
    /// ... and of the later half a smaller part is watched than this much of what was of the earlier half, in [0, 1].
    pub narrow_falls: f64,
}

impl Default for Rerank {
    fn default() -> Self {
        Self {
            novelty_share: 0.15,
            novelty_max_share: 0.3,
            novelty_every: 5,
            novelty_head: 20,
            novelty_last: 50,
            // With the built-in embedder two videos of one category and nothing else in common have about 0.24.
            novelty_below: 0.3,
            draw_pool: 20,
            similarity_cap: 0.7,
            creator_decay: 0.85,
            fatigue_last: 200,
            fatigue_half_life: 12 * HOUR,
            dislike_half_life: 14 * DAY,
            dislike_weight: 10.0,
            fatigue_prior: 3.0,
            fatigue_strong: 0.5,
            taste_boost: 1.5,
            taste_full: 5,
            taste_until: 10,
            narrow_last: 0,
            narrow_share: 0.6,
            narrow_falls: 0.8,
        }
    }
}

/// How the places that explore are given out ([`crate::bandit`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Explore {
    /// No places explore, and nothing is learned for it.
    #[default]
    Off,
    /// To the category with the greatest upper confidence bound.
    Linucb,
    /// To the category with the greatest estimate.
    EpsilonGreedy,
    /// To any category.
    Random,
}

/// What the arms of exploration are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExploreArms {
    /// Categories.
    Categories,
    /// The stages of cohorts for new videos that are in one, categories for all others.
    Cohorts,
}

/// Exploration.
#[derive(Clone, Debug, PartialEq)]
pub struct Exploration {
    /// Who decides.
    pub policy: Explore,
    /// What the arms are.
    pub arms: ExploreArms,
    /// So many places of a list at most.
    pub slots: usize,
    /// The width of a bound is this times the estimate's standard deviation (seed 004, 5.3: 1.0).
    pub alpha: f64,
    /// Share of the places, in [0, 1], that goes to any category instead of the best: what can be told of other policies.
    pub epsilon: f64,
}

impl Explore {
    /// The name, as configurations and lists give it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Linucb => "linucb",
            Self::EpsilonGreedy => "epsilon-greedy",
            Self::Random => "random",
        }
    }
}

impl Exploration {
    /// Whether lists have such places.
    #[must_use]
    pub fn explores(&self) -> bool {
        self.policy != Explore::Off && self.slots > 0
    }

    /// Whether categories are arms that learn.
    #[must_use]
    pub fn learns(&self) -> bool {
        matches!(self.policy, Explore::Linucb | Explore::EpsilonGreedy)
    }
}

impl Default for Exploration {
    fn default() -> Self {
        // Whoever replays a log has users who cannot answer.
        Self { policy: Explore::Off, arms: ExploreArms::Categories, slots: 2, alpha: 1.0, epsilon: 0.1 }
    }
}

/// Cold-start cohorts: how new videos are shown, measured, and shown to more or to fewer.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohorts {
    /// Whether there are any.
    pub enabled: bool,
    /// Users of a first cohort (seed 004, 6.1: 100 to 1,000).
    pub size: usize,
    /// Share of a sample that goes to those whom the video should suit, in [0, 1]; the rest is drawn.
    pub predicted_share: f64,
    /// A stage is judged after this.
    pub stage_time: u64,
    /// Or once this share of its users has watched, in (0, 1].
    pub enough_share: f64,
    /// A stage is topped up where a smaller share than this was reached in time, in [0, 1].
    pub reached_share: f64,
    /// So often at most.
    pub top_ups: usize,
    /// A performance above this promotes; a video at its baseline has 1.
    pub threshold: f64,
    /// The next cohort after a promotion is so many times as large.
    pub factor: f64,
    /// The next cohort after a stage that was not promoted is so many times as large, in [0, 1).
    pub decay: f64,
    /// A life ends where its next cohort would be smaller than this.
    pub floor: usize,
    /// It ends well with the so many-th promotion.
    pub graduate_after: usize,
    /// Places of a list that a sample may claim, the first and the last, counted from 1.
    pub first_slot: usize,
    /// See `first_slot`.
    pub last_slot: usize,
    /// The same of a cohort that is like those who engaged.
    pub expanded_first_slot: usize,
    /// See `expanded_first_slot`.
    pub expanded_last_slot: usize,
    /// A list holds at most so many places that were claimed.
    pub per_list: usize,
    /// A user is invited so many times a day at the most.
    pub per_day: usize,
    /// Users who have interacted within this may be invited.
    pub active_within: u64,
    /// A video's life begins within this after its publication, or not at all.
    pub max_age: u64,
    /// So many lives are under way at most, the same share of each logical shard; the others wait.
    pub max_open: usize,
    /// So many users of each of the 64 logical shards are looked at for a cohort.
    pub window: usize,
    /// The record of a life stays for this after its end.
    pub keep: u64,
}

/// Abuse: which behaviour is no person's, and what becomes of it ([`crate::abuse`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Abuse {
    /// Whether anybody is judged.
    pub enabled: bool,
    /// Users and videos are judged by so much of the past.
    pub window: u64,
    /// Who has a greater share of the three signals than this is flagged, in [0, 1).
    pub threshold: f64,
    /// The score of a flagged video is multiplied by 1 - score of suspicion x this, in [0, 1].
    pub penalty: f64,
    /// Half-life of the penalty since what speaks against the video.
    pub half_life: u64,
    /// So many engagements (likes, shares, comments, follows) of a user within a minute are no person's.
    pub per_minute: usize,
    /// Fewest engagements from which a user is judged by what they are like.
    pub least: usize,
    /// Share of a user's engagements without watching from which they are no person's, in (0, 1].
    pub unwatched_share: f64,
    /// Share of engagements in all that a user watches from which it is farming, where nothing is skipped, in (0, 1].
    pub farming_share: f64,
    /// Length of a burst.
    pub burst: u64,
    /// Fewest users of a burst.
    pub ring_users: usize,
    /// Videos in whose bursts the same users were, from which they act in lockstep.
    pub ring_videos: usize,
    /// Share of suspects among who engaged with a video, or was in a burst, from which it is suspect, in (0, 1].
    pub suspect_share: f64,
}

impl Params {
    /// Whether users are invited to cohorts: by their lists.
    #[must_use]
    pub fn invites(&self) -> bool {
        self.feed.enabled && self.cohorts.enabled
    }

    /// Whether stages of cohorts are arms of exploration.
    #[must_use]
    pub fn explores_stages(&self) -> bool {
        self.invites()
            && self.exploration.policy != Explore::Off
            && self.exploration.arms == ExploreArms::Cohorts
    }

    /// Whether there are records of related videos: they are made with the lists.
    #[must_use]
    pub fn relates(&self) -> bool {
        self.feed.enabled && self.related.length > 0
    }
}

impl Default for Params {
    fn default() -> Self {
        Self {
            seed: 1,
            early: Early { max_wait: HOUR, max_held_per_shard: 10_000 },
            interest: Interest {
                short_last: 20,
                short_decay: 0.9,
                mid_window: 7 * DAY,
                long_window: 56 * DAY,
                like_weight: 0.5,
                topics: None,
                topic_share: 0.1,
                blend: [0.4, 0.4, 0.2],
                drift_below: 0.2,
                obsession_above: 0.8,
                min_videos: 5,
                session_gap: 30 * MINUTE,
            },
            score: Score {
                popularity_half_life: DAY,
                freshness_half_life: 3 * DAY,
                prior_popularity: 1.0,
                shrinkage_views: 20,
                performance_weights: [0.4, 0.4, 0.2],
                publish_every: HOUR,
                skip_share: 0.2,
            },
            candidates: Candidates {
                followed: 200,
                hashtags: 300,
                sounds: 200,
                trending: 300,
                next: 100,
                co_engaged: 200,
                similar: 200,
                facets_per_kind: 10,
            },
            coengagement: CoEngaging { window: 5, min_weight: 0.3, half_life: DAY, seeds: 5 },
            ranking: Ranking {
                watch: 0.4,
                completion: 0.2,
                rewatch: 0.15,
                continuation: 0.15,
                fast_skip: 0.05,
                fatigue: 0.05,
                light: 300,
            },
            learning: Learning {
                enabled: true,
                half_life: DAY,
                window: 7 * DAY,
                negatives: 2,
                least_propensity: 0.25,
                shrinkage: 4.0,
            },
            index: Index { dims: 128, nprobe: 32, train_at: 4096, sample: 65_536, iterations: 8 },
            related: Related { length: 50, per_publication: 6_400 },
            feed: Feed {
                enabled: true,
                length: 100,
                per_category: 3,
                category_window: 10,
                no_repeat_last: 20,
                refresh_after: HOUR,
                active_within: 2 * HOUR,
                new_user_popular: 0.7,
                pools_every: HOUR,
                pool_length: 100,
                dropped_kept: 200,
                explained: 100,
            },
            diversity: Diversity::default(),
            rerank: Rerank::default(),
            exploration: Exploration::default(),
            cohorts: Cohorts::default(),
            experiments: experiments::none(),
            abuse: Abuse::default(),
        }
    }
}

impl Default for Abuse {
    fn default() -> Self {
        Self {
            enabled: false,
            window: 3 * DAY,
            threshold: 0.3,
            penalty: 0.9,
            half_life: DAY,
            per_minute: 12,
            least: 10,
            unwatched_share: 0.8,
            farming_share: 0.8,
            burst: 10 * MINUTE,
            ring_users: 5,
            ring_videos: 3,
            suspect_share: 0.5,
        }
    }
}

impl Default for Cohorts {
    fn default() -> Self {
        Self {
            // A log that is replayed has users who cannot answer: what is put into their lists is never met.
            enabled: false,
            size: 500,
            predicted_share: 0.5,
            stage_time: HOUR,
            enough_share: 0.5,
            reached_share: 0.5,
            top_ups: 2,
            threshold: 1.2,
            factor: 2.0,
            decay: 0.5,
            floor: 100,
            graduate_after: 3,
            first_slot: 5,
            last_slot: 20,
            expanded_first_slot: 1,
            expanded_last_slot: 10,
            per_list: 2,
            per_day: 10,
            active_within: DAY,
            max_age: DAY,
            max_open: 6_400,
            window: 1_024,
            keep: 30 * DAY,
        }
    }
}
