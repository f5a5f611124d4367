//! The one table of keys. A key is its name, what it means, its kind with the range it may have, and its place in
//! [`Config`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use freshet_kafka::{is_secret, topic_fault};
use freshet_schema::{EventKind, Millis};

use super::choice::Choice;
use super::document::{Located, Raw};
use super::units::{
    datetime_to_millis, format_duration, format_size, format_time, parse_duration, parse_size,
};
use super::{Config, LogFormat, OnMismatch, StoreKind};

/// What is wrong with a value, and the remedy.
pub type Refusal = (String, String);

/// A key's place in the configuration, with the range it may have (both ends belong to it).
pub enum Field<'a> {
    /// `true` or `false`.
    Flag(&'a mut bool),
    /// A count.
    Count(&'a mut usize, usize, usize),
    /// A 64-bit number.
    Number(&'a mut u64, u64, u64),
    /// Milliseconds, written as a number or as a duration.
    Ms(&'a mut u64, u64, u64),
    /// Milliseconds, written as a duration.
    Duration(&'a mut u64, u64, u64),
    /// Bytes, written as a size.
    Size(&'a mut u64, u64, u64),
    /// A real number.
    Real(&'a mut f64, f64, f64),
    /// Three real numbers.
    Three(&'a mut [f64; 3], f64, f64),
    /// A point in time.
    Time(&'a mut Millis),
    /// A point in time that may be left out.
    MaybeTime(&'a mut Option<Millis>),
    /// A path.
    Path(&'a mut PathBuf),
    /// A text that may be left out.
    MaybeText(&'a mut Option<String>),
    /// A text that may be left out and is not shown.
    Secret(&'a mut Option<String>),
    /// A log filter.
    Filter(&'a mut String),
    /// A text.
    Text(&'a mut String),
    /// Where the values are.
    StoreKind(&'a mut StoreKind),
    /// An address and port.
    Listen(&'a mut SocketAddr),
    /// A log format.
    LogFormat(&'a mut LogFormat),
    /// What to do with a checkpoint that does not fit.
    Mismatch(&'a mut OnMismatch),
    /// One of a few words.
    Word(&'a mut dyn Choice),
    /// A topic that may be left out; the empty text means none.
    Topic(&'a mut Option<String>),
    /// Properties by name; what looks like a secret is not shown.
    Options(&'a mut BTreeMap<String, String>),
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// `section.key`
    pub name: &'static str,
    /// What it means, in a line.
    pub about: &'static str,
    field: fn(&mut Config) -> Field<'_>,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1 << 20;

macro_rules! keys {
    ($($name:literal, $about:literal, |$c:ident| $field:expr;)*) => {
        /// All keys, in the order in which they are printed.
        pub const KEYS: &[Key] = &[$(Key {
            name: $name,
            about: $about,
            field: |$c| { #[allow(clippy::enum_glob_use)] use Field::*; $field },
        }),*];
    };
}

keys! {
    "input.source", "files (input.dir) or kafka (the topics of [kafka])", |c| Word(&mut c.input.source);
    "input.dir", "the event log: DIR/{interactions,uploads,users,...}/part-*", |c| Path(&mut c.input.dir);
    "input.follow", "go on with what is appended after the log is drained", |c| Flag(&mut c.input.follow);

    "kafka.brokers", "HOST:PORT of one broker or several, with commas between them", |c| MaybeText(&mut c.kafka.brokers);
    "kafka.interactions", "topic of interactions; of these six, \"\" does without the stream", |c| Topic(c.kafka.topic(EventKind::Interactions));
    "kafka.uploads", "topic of uploads", |c| Topic(c.kafka.topic(EventKind::Uploads));
    "kafka.users", "topic of users", |c| Topic(c.kafka.topic(EventKind::Users));
    "kafka.follows", "topic of follows", |c| Topic(c.kafka.topic(EventKind::Follows));
    "kafka.deletes", "topic of deletes", |c| Topic(c.kafka.topic(EventKind::Deletes));
    "kafka.served", "topic of pages handed out; the feed server writes it", |c| Topic(c.kafka.topic(EventKind::Served));
    "kafka.dead_letters", "topic of records that cannot be processed, beside the file in store.dir", |c| Topic(&mut c.kafka.dead_letters);
    "kafka.format", "how values are written: JSON as in docs/events.md, or schema/proto/events.proto", |c| Word(&mut c.kafka.payload);
    "kafka.formats", "streams that are written in another way, for example { uploads = \"protobuf\" }", |c| Options(&mut c.kafka.formats);
    "kafka.group", "group that consumed offsets are committed to, for monitoring alone; unset: none", |c| MaybeText(&mut c.kafka.group);
    "kafka.fetch_ahead", "bytes fetched ahead of the dataflow, for each partition", |c| Size(&mut c.kafka.fetch_ahead, MIB / 16, 1 << 30);
    "kafka.ack_timeout", "POST /v1/events waits this long for the brokers", |c| Duration(&mut c.kafka.ack_timeout_ms, 100, 10 * MINUTE);
    "kafka.options", "properties passed on to librdkafka, for example TLS and SASL", |c| Options(&mut c.kafka.options);
    "kafka.options_env", "properties whose values stand in environment variables", |c| Options(&mut c.kafka.options_env);

    "clock.replay_epoch_ms", "event time that one epoch of a replay spans", |c| Ms(&mut c.clock.replay_epoch_ms, 1, DAY);
    "clock.epoch_ms", "a live epoch with records is closed after this", |c| Ms(&mut c.clock.epoch_ms, 1, MINUTE);
    "clock.tick_ms", "a live epoch without records is closed after this", |c| Ms(&mut c.clock.tick_ms, 1, HOUR);
    "clock.max_epoch_records", "most records of a live epoch", |c| Count(&mut c.clock.max_epoch_records, 1, 10_000_000);
    "clock.max_epoch_bytes", "most bytes of a live epoch, about", |c| Size(&mut c.clock.max_epoch_bytes, MIB / 16, 1 << 34);
    "clock.live", "the clock after a replay: wall, shifted (on from the log's end), or auto: wall with Kafka, else shifted", |c| Word(&mut c.clock.live);
    "clock.min_event_time", "records from before are dead letters", |c| Time(&mut c.clock.min_event_time);
    "clock.max_event_time", "replayed records from after are dead letters; unset: the wall time of the first start, and with Kafka each record's timestamp", |c| MaybeTime(&mut c.clock.max_event_time);
    "clock.max_future_skew", "live records further ahead of the clock are dead letters", |c| Duration(&mut c.clock.max_future_skew_ms, 0, 7 * DAY);
    "clock.max_now_step", "after a pause the clock moves at most this an epoch", |c| Duration(&mut c.clock.max_now_step_ms, 1, DAY);

    "store.dir", "folder of all that the service keeps", |c| Path(&mut c.store.dir);
    "store.kind", "where the values are: embedded (in store.dir) or redis", |c| StoreKind(&mut c.store.kind);
    "store.cache", "block cache of the embedded store", |c| Size(&mut c.store.cache_bytes, MIB, 1 << 40);
    "store.write_buffer", "write buffer of the embedded store", |c| Size(&mut c.store.write_buffer_bytes, MIB, 1 << 34);

    "redis.url", "redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH; of a Redis or Valkey that is no cluster", |c| Text(&mut c.redis.url);
    "redis.key_prefix", "before every key, for a server that holds other things as well", |c| MaybeText(&mut c.redis.key_prefix);
    "redis.username", "the user of the server's ACL", |c| MaybeText(&mut c.redis.username);
    "redis.password", "the password", |c| Secret(&mut c.redis.password);
    "redis.password_env", "environment variable that holds the password", |c| MaybeText(&mut c.redis.password_env);
    "redis.tls_ca", "file of certificates (PEM) to trust instead of the system's", |c| MaybeText(&mut c.redis.tls_ca);
    "redis.tls_cert", "file of the client's certificate chain (PEM), where the server asks for one", |c| MaybeText(&mut c.redis.tls_cert);
    "redis.tls_key", "file of the client's key (PEM)", |c| MaybeText(&mut c.redis.tls_key);
    "redis.connect_timeout", "how long a connection may take to come about", |c| Duration(&mut c.redis.connect_timeout, 10, MINUTE);
    "redis.read_timeout", "how long a reader waits for an answer", |c| Duration(&mut c.redis.read_timeout, 10, MINUTE);
    "redis.write_timeout", "how long the pipeline waits for an answer before it connects and asks again", |c| Duration(&mut c.redis.write_timeout, 100, 10 * MINUTE);
    "redis.batch", "an epoch up to this size appears at once, a larger one shard by shard", |c| Size(&mut c.redis.batch_bytes, 64 << 10, 256 * MIB);

    "journal.dir", "folder of the journal of bindings; unset: journal in store.dir", |c| Path(&mut c.journal.dir);

    "checkpoint.dir", "folder of the checkpoints, or s3://BUCKET/PREFIX (reached as AWS_* in the environment say); unset: checkpoints in store.dir", |c| Path(&mut c.checkpoint.dir);
    "checkpoint.every", "time between two checkpoints; 0s makes none", |c| Duration(&mut c.checkpoint.every_ms, 0, DAY);
    "checkpoint.keep", "checkpoints that are kept", |c| Count(&mut c.checkpoint.keep, 1, 1_000);
    "checkpoint.at_end", "make one more when the service ends, so that the next start replays nothing", |c| Flag(&mut c.checkpoint.at_end);
    "checkpoint.on_mismatch", "where parameters of the state have changed since the checkpoint: reject, drop-cut or rebuild", |c| Mismatch(&mut c.checkpoint.on_mismatch);

    "archive.dir", "folder of the archive, or s3://BUCKET/PREFIX: all that was counted, as Parquet by day; unset: none is written", |c| MaybeText(&mut c.archive.dir);
    "archive.roll_every", "the longest time that a row waits to be archived; each checkpoint writes those that wait", |c| Duration(&mut c.archive.roll_every_ms, 100, HOUR);
    "archive.roll_bytes", "records that wait to be archived, about; twice as many hold the pipeline back", |c| Size(&mut c.archive.roll_bytes, MIB / 16, 1 << 32);
    "archive.target_bytes", "small files are put together up to this size", |c| Size(&mut c.archive.target_bytes, MIB / 16, 1 << 32);
    "archive.compact", "put small files together as they come; without it `freshet archive compact` does it", |c| Flag(&mut c.archive.compact);

    "server.listen", "address and port of the feed server", |c| Listen(&mut c.server.listen);
    "server.token", "what POST must present as a bearer token", |c| Secret(&mut c.server.token);
    "server.token_env", "environment variable that holds the token", |c| MaybeText(&mut c.server.token_env);

    "sql.timeout", "a query that reads the state for longer than this is ended", |c| Duration(&mut c.sql.timeout_ms, 100, HOUR);
    "sql.max_snapshots", "queries that read the state at once", |c| Count(&mut c.sql.max_snapshots, 1, 1_000);

    "graph.workers", "worker threads of the dataflow", |c| Count(&mut c.graph.workers, 1, 256);
    "graph.in_flight", "epochs in the dataflow at once", |c| Count(&mut c.graph.in_flight, 1, 1_000);
    "graph.in_flight_bytes", "memory of those epochs, about: their records, and 6 KiB for each; one epoch always may", |c| Size(&mut c.graph.in_flight_bytes, MIB, 1 << 40);
    "graph.seed", "seed of all that is drawn by hash", |c| Number(&mut c.params.seed, 0, i64::MAX as u64);

    "cluster.wait", "how long the processes of a job wait for each other when they begin", |c| Duration(&mut c.cluster.wait_ms, SECOND, HOUR);
    "cluster.lost_after", "a process that says nothing for so long is lost, and the job with it", |c| Duration(&mut c.cluster.lost_after_ms, 3 * SECOND, HOUR);

    "supervisor.restarts", "restarts in a row before it gives up (freshet run --processes, --hosts)", |c| Count(&mut c.supervisor.restarts, 0, 1_000_000);
    "supervisor.backoff", "pause before the first restart of a row; each further one doubles it", |c| Duration(&mut c.supervisor.backoff_ms, 10, HOUR);
    "supervisor.max_backoff", "the longest pause", |c| Duration(&mut c.supervisor.max_backoff_ms, 10, DAY);
    "supervisor.steady", "a job that ran for so long ends the row", |c| Duration(&mut c.supervisor.steady_ms, SECOND, 7 * DAY);

    "log.format", "text or json, on standard error", |c| LogFormat(&mut c.log.format);
    "log.filter", "least level (error, warn, info, debug, trace), or a filter such as info,freshet_sources=debug", |c| Filter(&mut c.log.filter);

    "early.max_wait", "an interaction waits this long for its upload", |c| Duration(&mut c.params.early.max_wait, 0, 7 * DAY);
    "early.max_held_per_shard", "most interactions that wait in each of the 64 shards", |c| Count(&mut c.params.early.max_held_per_shard, 0, 100_000_000);

    "interest.short_last", "interactions in the short-term vector", |c| Count(&mut c.params.interest.short_last, 1, 1_000);
    "interest.short_decay", "weight of an interaction relative to the next one in the short-term vector", |c| Real(&mut c.params.interest.short_decay, 0.01, 1.0);
    "interest.mid_window", "window of the mid-term vector and of recent facets", |c| Duration(&mut c.params.interest.mid_window, HOUR, 365 * DAY);
    "interest.long_window", "window of the long-term vector and of lasting facets", |c| Duration(&mut c.params.interest.long_window, HOUR, 3_650 * DAY);
    "interest.like_weight", "weight of a like beside the watched part, in the mid- and long-term vectors", |c| Real(&mut c.params.interest.like_weight, 0.0, 100.0);
    "interest.topics", "file of `freshet train topics`, which the long-term vector is made of; unset: categories stand in", |c| MaybeText(&mut c.topics_file);
    "interest.topic_share", "topics with no greater share of a user's interest are left out of the long-term vector", |c| Real(&mut c.params.interest.topic_share, 0.0, 0.999);
    "interest.blend", "shares of the short-, mid- and long-term vector in the query", |c| Three(&mut c.params.interest.blend, 0.0, 1.0);
    "interest.drift_below", "interest has drifted where the cosine of short- and mid-term is below this", |c| Real(&mut c.params.interest.drift_below, -1.0, 1.0);
    "interest.obsession_above", "a loop where the mean cosine among the last videos is above this", |c| Real(&mut c.params.interest.obsession_above, -1.0, 1.0);
    "interest.min_videos", "fewest videos from which drift and loops are judged", |c| Count(&mut c.params.interest.min_videos, 2, 1_000);
    "interest.session_gap", "a session ends after this long without an interaction", |c| Duration(&mut c.params.interest.session_gap, SECOND, DAY);

    "score.popularity_half_life", "half-life of popularity", |c| Duration(&mut c.params.score.popularity_half_life, MINUTE, 365 * DAY);
    "score.freshness_half_life", "half-life of freshness since publication", |c| Duration(&mut c.params.score.freshness_half_life, MINUTE, 365 * DAY);
    "score.prior_popularity", "popularity that a new video starts with, in interactions", |c| Real(&mut c.params.score.prior_popularity, 0.001, 1_000_000.0);
    "score.shrinkage_views", "views of its cohort's average that a video's performance is shrunk with", |c| Number(&mut c.params.score.shrinkage_views, 0, 1_000_000);
    "score.performance_weights", "weights of watch time, completion and fast skips (subtracted) in the performance", |c| Three(&mut c.params.score.performance_weights, 0.0, 10.0);
    "score.publish_every", "baselines, creator scores and skip thresholds are published at multiples of this", |c| Duration(&mut c.params.score.publish_every, SECOND, 7 * DAY);
    "score.skip_share", "share of views that counts as fast skips", |c| Real(&mut c.params.score.skip_share, 0.0, 1.0);

    "candidates.followed", "candidates from followed creators", |c| Count(&mut c.params.candidates.followed, 0, 10_000);
    "candidates.hashtags", "candidates from liked hashtags", |c| Count(&mut c.params.candidates.hashtags, 0, 10_000);
    "candidates.sounds", "candidates from liked sounds", |c| Count(&mut c.params.candidates.sounds, 0, 10_000);
    "candidates.trending", "candidates from the global trend", |c| Count(&mut c.params.candidates.trending, 0, 10_000);
    "candidates.next", "candidates that others watched next after the user's last positives", |c| Count(&mut c.params.candidates.next, 0, 10_000);
    "candidates.co_engaged", "candidates that others liked together with the user's last positives", |c| Count(&mut c.params.candidates.co_engaged, 0, 10_000);
    "candidates.similar", "candidates whose vectors are most like the user's interest; 0: there is no vector index", |c| Count(&mut c.params.candidates.similar, 0, 10_000);
    "candidates.facets_per_kind", "best facets of each kind that are asked for candidates", |c| Count(&mut c.params.candidates.facets_per_kind, 1, 1_000);

    "coengagement.window", "two positives of a user at most so many places apart are a pair; 0 counts none", |c| Count(&mut c.params.coengagement.window, 0, 50);
    "coengagement.min_weight", "rows of at least this weight are positives; 1 is a full watch", |c| Real(&mut c.params.coengagement.min_weight, 0.001, 10.0);
    "coengagement.half_life", "half-life of a pair", |c| Duration(&mut c.params.coengagement.half_life, MINUTE, 365 * DAY);
    "coengagement.seeds", "the user's last so many positives are asked what goes with them", |c| Count(&mut c.params.coengagement.seeds, 1, 100);

    "ranking.watch", "weight of the watched part in what a candidate is worth", |c| Real(&mut c.params.ranking.watch, 0.0, 100.0);
    "ranking.completion", "weight of watching to the end", |c| Real(&mut c.params.ranking.completion, 0.0, 100.0);
    "ranking.rewatch", "weight of playing again", |c| Real(&mut c.params.ranking.rewatch, 0.0, 100.0);
    "ranking.continuation", "weight of the session going on", |c| Real(&mut c.params.ranking.continuation, 0.0, 100.0);
    "ranking.fast_skip", "weight of a fast skip; subtracted", |c| Real(&mut c.params.ranking.fast_skip, 0.0, 100.0);
    "ranking.fatigue", "weight of fatigue with what the video shows; subtracted", |c| Real(&mut c.params.ranking.fatigue, 0.0, 100.0);

    "ranking.light", "so many candidates, the best by what is cheap to know, are weighed by everything", |c| Count(&mut c.params.ranking.light, 1, 10_000);

    "learning.enabled", "whether the heads learn; else they keep the weights that they begin with", |c| Flag(&mut c.params.learning.enabled);
    "learning.half_life", "half-life of an example's weight", |c| Duration(&mut c.params.learning.half_life, MINUTE, 365 * DAY);
    "learning.window", "examples count for this long", |c| Duration(&mut c.params.learning.window, HOUR, 365 * DAY);
    "learning.negatives", "videos passed over that are drawn for each row", |c| Count(&mut c.params.learning.negatives, 0, 20);
    "learning.least_propensity", "a row of a slot that was filled by chance stands for 1 / propensity rows, and for no more than 1 / this", |c| Real(&mut c.params.learning.least_propensity, 0.01, 1.0);
    "learning.shrinkage", "weight, in examples, of the weights that the heads begin with", |c| Real(&mut c.params.learning.shrinkage, 0.001, 1_000_000.0);
    "index.dims", "entries of a vector that the vector index compares", |c| Count(&mut c.params.index.dims, 1, 512);
    "index.nprobe", "lists of the vector index that a query looks through; more find more and take longer", |c| Count(&mut c.params.index.nprobe, 1, 65_536);
    "index.train_at", "distinct directions from which on the vector index has lists; with fewer, all are compared", |c| Count(&mut c.params.index.train_at, 16, 1 << 20);
    "index.sample", "most directions that a training of the lists looks at", |c| Count(&mut c.params.index.sample, 256, 1 << 18);
    "index.iterations", "most iterations of a training", |c| Count(&mut c.params.index.iterations, 1, 100);

    "related.videos", "videos of a video's record of related videos; 0: there are no such records", |c| Count(&mut c.params.related.length, 0, 1_000);
    "related.per_publication", "most records of related videos that are made at a multiple of feed.pools_every; the rest waits for the next", |c| Count(&mut c.params.related.per_publication, 64, 100_000_000);

    "feed.enabled", "whether lists are made", |c| Flag(&mut c.params.feed.enabled);
    "feed.length", "items of a list", |c| Count(&mut c.params.feed.length, 1, 1_000);
    "feed.per_category", "most items of a category among category_window neighbours", |c| Count(&mut c.params.feed.per_category, 1, 1_000);
    "feed.category_window", "see per_category", |c| Count(&mut c.params.feed.category_window, 1, 1_000);
    "feed.no_repeat_last", "videos last watched that never come back", |c| Count(&mut c.params.feed.no_repeat_last, 0, 10_000);
    "feed.refresh_after", "a list of an active user is remade after this", |c| Duration(&mut c.params.feed.refresh_after, SECOND, 30 * DAY);
    "feed.active_within", "a user is active for this long after an interaction", |c| Duration(&mut c.params.feed.active_within, SECOND, 365 * DAY);
    "feed.new_user_popular", "share of the new-user list that is popular in the group; the rest explores", |c| Real(&mut c.params.feed.new_user_popular, 0.0, 1.0);
    "feed.pools_every", "pools and new-user lists are published at multiples of this", |c| Duration(&mut c.params.feed.pools_every, SECOND, 7 * DAY);
    "feed.pool_length", "places of a published pool", |c| Count(&mut c.params.feed.pool_length, 1, 10_000);
    "feed.explained", "items of a list whose account is stored for the explanation", |c| Count(&mut c.params.feed.explained, 0, 1_000);
    "feed.dropped_kept", "dropped candidates that are kept: explanations read them, and the end of a scroll", |c| Count(&mut c.params.feed.dropped_kept, 0, 10_000);

    "exploration.policy", "which category a place that explores goes to: off, linucb, epsilon-greedy or random", |c| Word(&mut c.params.exploration.policy);
    "exploration.arms", "what these places are given to: categories, or cohorts, by which a new video belongs to its cohort's stage while it is in one", |c| Word(&mut c.params.exploration.arms);
    "exploration.slots", "most places of a list that explore; those of novelty are extra, and at most half of a list is drawn", |c| Count(&mut c.params.exploration.slots, 0, 20);
    "exploration.alpha", "a category is worth its estimate and this many times as much as that may be off (linucb)", |c| Real(&mut c.params.exploration.alpha, 0.0, 100.0);
    "exploration.epsilon", "share of these places that goes to any category, so that other policies can be estimated", |c| Real(&mut c.params.exploration.epsilon, 0.01, 1.0);
    "diversity.places", "so many of the first places of each list are looked at for how alike all lists are; 0: nobody looks", |c| Count(&mut c.params.diversity.places, 0, 1_000);
    "diversity.overlap_above", "what many lists hold is lowered for some users while two lists share more than this part of their places on average; 1 never", |c| Real(&mut c.params.diversity.overlap_above, 0.0, 1.0);
    "diversity.share", "many lists are more than this share of all; so many may hold a video", |c| Real(&mut c.params.diversity.share, 0.001, 1.0);
    "diversity.least", "factor on the score of what is lowered", |c| Real(&mut c.params.diversity.least, 0.01, 1.0);

    "rerank.novelty_share", "share of a list that goes to what is unlike the user's last videos", |c| Real(&mut c.params.rerank.novelty_share, 0.0, 0.5);
    "rerank.novelty_max_share", "the same at most, where the user skips fast in the running session", |c| Real(&mut c.params.rerank.novelty_max_share, 0.0, 0.5);
    "rerank.novelty_every", "in the head of a list every so many places one is for novelty", |c| Count(&mut c.params.rerank.novelty_every, 2, 1_000);
    "rerank.novelty_head", "places of the head; behind it the rest of the share is spread evenly", |c| Count(&mut c.params.rerank.novelty_head, 0, 1_000);
    "rerank.novelty_last", "videos last watched that a candidate must be unlike to count as new", |c| Count(&mut c.params.rerank.novelty_last, 1, 1_000);
    "rerank.novelty_below", "a candidate is new where its greatest cosine with those is below this", |c| Real(&mut c.params.rerank.novelty_below, -1.0, 1.0);
    "rerank.draw_pool", "a place is drawn from so many of the best candidates that may have it", |c| Count(&mut c.params.rerank.draw_pool, 1, 1_000);
    "rerank.similarity_cap", "greatest cosine of two neighbours; 1 allows everything", |c| Real(&mut c.params.rerank.similarity_cap, -1.0, 1.0);
    "rerank.creator_decay", "factor on a score for each earlier video of its creator in the list", |c| Real(&mut c.params.rerank.creator_decay, 0.01, 1.0);
    "rerank.fatigue_last", "last interactions that are read for fatigue", |c| Count(&mut c.params.rerank.fatigue_last, 0, 10_000);
    "rerank.fatigue_half_life", "half-life of fast skips", |c| Duration(&mut c.params.rerank.fatigue_half_life, MINUTE, 365 * DAY);
    "rerank.dislike_half_life", "half-life of dislikes", |c| Duration(&mut c.params.rerank.dislike_half_life, MINUTE, 3_650 * DAY);
    "rerank.dislike_weight", "fast skips that a dislike weighs as much as", |c| Real(&mut c.params.rerank.dislike_weight, 0.0, 1_000.0);
    "rerank.fatigue_prior", "interactions without a skip that each creator, category and hashtag is credited with", |c| Real(&mut c.params.rerank.fatigue_prior, 0.1, 1_000.0);
    "rerank.fatigue_strong", "above this fatigue a score is lowered as a whole; 1 never", |c| Real(&mut c.params.rerank.fatigue_strong, 0.0, 1.0);
    "rerank.taste_boost", "factor on what shares something with a new user's first positives", |c| Real(&mut c.params.rerank.taste_boost, 1.0, 10.0);
    "rerank.taste_full", "the boost is full up to so many interactions", |c| Count(&mut c.params.rerank.taste_full, 0, 1_000);
    "rerank.taste_until", "from so many interactions on there is no boost", |c| Count(&mut c.params.rerank.taste_until, 0, 1_000);
    "rerank.narrow_last", "last interactions that are read for whether lists have become too narrow for a user; 0: nobody looks", |c| Count(&mut c.params.rerank.narrow_last, 0, 1_000);
    "rerank.narrow_share", "lists are narrow where a category has a greater share of those ...", |c| Real(&mut c.params.rerank.narrow_share, 0.0, 1.0);
    "rerank.narrow_falls", "... and less than this part of what was watched of the earlier half is watched of the later one", |c| Real(&mut c.params.rerank.narrow_falls, 0.0, 1.0);

    "cohorts.enabled", "whether new videos are shown to cohorts of users; of use where lists are served and pages recorded", |c| Flag(&mut c.params.cohorts.enabled);
    "cohorts.size", "users of a new video's first cohort", |c| Count(&mut c.params.cohorts.size, 1, 1_000_000);
    "cohorts.predicted_share", "share of a sample that goes to those whom the video should suit; the rest is drawn", |c| Real(&mut c.params.cohorts.predicted_share, 0.0, 1.0);
    "cohorts.stage_time", "a stage is judged after this", |c| Duration(&mut c.params.cohorts.stage_time, MINUTE, 30 * DAY);
    "cohorts.enough_share", "or once this share of its users has watched", |c| Real(&mut c.params.cohorts.enough_share, 0.01, 1.0);
    "cohorts.reached_share", "a stage is topped up where a smaller share was reached in time", |c| Real(&mut c.params.cohorts.reached_share, 0.0, 1.0);
    "cohorts.top_ups", "most times that a stage is topped up", |c| Count(&mut c.params.cohorts.top_ups, 0, 100);
    "cohorts.threshold", "a performance above this promotes; a video at its baseline has 1", |c| Real(&mut c.params.cohorts.threshold, 0.0, 100.0);
    "cohorts.factor", "how much larger the cohort after a promotion is", |c| Real(&mut c.params.cohorts.factor, 1.0, 10.0);
    "cohorts.decay", "how large the cohort after another stage is beside that stage's", |c| Real(&mut c.params.cohorts.decay, 0.0, 0.99);
    "cohorts.floor", "a life ends where its next cohort would be smaller", |c| Count(&mut c.params.cohorts.floor, 1, 1_000_000);
    "cohorts.graduate_after", "promotions after which a video is on its own", |c| Count(&mut c.params.cohorts.graduate_after, 1, 10);
    "cohorts.first_slot", "first place of a list that a sample may claim, from 1", |c| Count(&mut c.params.cohorts.first_slot, 1, 1_000);
    "cohorts.last_slot", "last place of a list that a sample may claim", |c| Count(&mut c.params.cohorts.last_slot, 1, 1_000);
    "cohorts.expanded_first_slot", "first place that a cohort like those who engaged may claim", |c| Count(&mut c.params.cohorts.expanded_first_slot, 1, 1_000);
    "cohorts.expanded_last_slot", "last place that a cohort like those who engaged may claim", |c| Count(&mut c.params.cohorts.expanded_last_slot, 1, 1_000);
    "cohorts.per_list", "most places of a list that cohorts claim", |c| Count(&mut c.params.cohorts.per_list, 1, 100);
    "cohorts.per_day", "most cohorts that a user is invited to in a day", |c| Count(&mut c.params.cohorts.per_day, 1, 10_000);
    "cohorts.active_within", "users who have interacted within this may be invited", |c| Duration(&mut c.params.cohorts.active_within, MINUTE, 365 * DAY);
    "cohorts.max_age", "a video's first cohort is asked for within this after its publication, or never", |c| Duration(&mut c.params.cohorts.max_age, MINUTE, 365 * DAY);
    "cohorts.max_open", "most new videos with a stage under way, the same share of each of the 64 shards; the others wait", |c| Count(&mut c.params.cohorts.max_open, 64, 10_000_000);
    "cohorts.window", "most users of each of the 64 shards that are looked at for a cohort", |c| Count(&mut c.params.cohorts.window, 1, 1_000_000);
    "cohorts.keep", "the record of a video's cohorts stays for this after the last one", |c| Duration(&mut c.params.cohorts.keep, MINUTE, 3_650 * DAY);

    "abuse.enabled", "whether users and videos are judged for abuse; what flagged users do then counts for nobody else", |c| Flag(&mut c.params.abuse.enabled);
    "abuse.window", "users and videos are judged by so much of the past", |c| Duration(&mut c.params.abuse.window, HOUR, 365 * DAY);
    "abuse.threshold", "flagged is who has a greater share of the three signals", |c| Real(&mut c.params.abuse.threshold, 0.0, 1.0);
    "abuse.penalty", "the score of a flagged video is multiplied by 1 - share of signals x this", |c| Real(&mut c.params.abuse.penalty, 0.0, 1.0);
    "abuse.half_life", "half-life of that penalty since what speaks against the video", |c| Duration(&mut c.params.abuse.half_life, MINUTE, 365 * DAY);
    "abuse.per_minute", "likes, shares, comments and follows of a user within a minute that are no person's", |c| Count(&mut c.params.abuse.per_minute, 2, 10_000);
    "abuse.least", "fewest of them from which a user is judged by what they are like", |c| Count(&mut c.params.abuse.least, 1, 10_000);
    "abuse.unwatched_share", "share of them without watching from which they are no person's", |c| Real(&mut c.params.abuse.unwatched_share, 0.01, 1.0);
    "abuse.farming_share", "share of them in all that a user watches from which it is farming, where nothing is skipped", |c| Real(&mut c.params.abuse.farming_share, 0.01, 1.0);
    "abuse.burst", "those with a video within this are a burst", |c| Duration(&mut c.params.abuse.burst, SECOND, DAY);
    "abuse.ring_users", "fewest users of a burst", |c| Count(&mut c.params.abuse.ring_users, 2, 10_000);
    "abuse.ring_videos", "videos in whose bursts the same users were from which they act in lockstep", |c| Count(&mut c.params.abuse.ring_videos, 2, 10_000);
    "abuse.suspect_share", "share of suspects among who engaged with a video from which it is suspect", |c| Real(&mut c.params.abuse.suspect_share, 0.01, 1.0);
}

/// The sections, in the order of the table.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    sections
}

/// All keys with default, range and meaning, for `freshet check --keys`.
#[must_use]
pub fn describe_keys() -> String {
    let mut text = String::new();
    let mut defaults = Config::default();
    for section in sections() {
        text.push_str(&format!("[{section}]\n"));
        for key in KEYS.iter().filter(|key| key.section() == section) {
            let default = key.get(&mut defaults).unwrap_or_else(|| "unset".to_owned());
            let range = (key.field)(&mut defaults).wants();
            text.push_str(&format!("  {} = {default}\n      {}; {range}\n", key.bare(), key.about));
        }
        text.push('\n');
    }
    text.push_str(&super::experiments::describe());
    text
}

impl Key {
    /// The part before the dot.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// The part after the dot.
    pub fn bare(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, bare)| bare)
    }

    /// The value as TOML; `None` where it is unset or secret.
    pub fn get(&self, config: &mut Config) -> Option<String> {
        (self.field)(config).to_toml()
    }

    /// Whether the value must not be printed.
    pub fn is_secret(&self, config: &mut Config) -> bool {
        matches!((self.field)(config), Field::Secret(_) | Field::Options(_))
    }

    /// Whether there is a value that must not be printed.
    pub fn holds_secret(&self, config: &mut Config) -> bool {
        match (self.field)(config) {
            Field::Secret(secret) => secret.is_some(),
            Field::Options(options) => self.bare() == "options" && options.keys().any(|key| is_secret(key)),
            _ => false,
        }
    }

    /// Reads, checks and stores a value.
    pub fn set(&self, config: &mut Config, value: &Located) -> Result<(), Refusal> {
        (self.field)(config).set(&value.raw)
    }
}

impl Field<'_> {
    fn set(self, raw: &Raw) -> Result<(), Refusal> {
        let wants = self.wants();
        let refuse = || {
            let what = match raw {
                Raw::Flag(_) => "a flag is not what belongs here",
                Raw::Integer(_) | Raw::Float(_) => "this number is not what belongs here",
                Raw::Text(_) | Raw::Word(_) => "this text is not what belongs here",
                Raw::Time(_) => "a time is not what belongs here",
                Raw::Numbers(_) => "this list is not what belongs here",
                Raw::Table(_) => "a table is not what belongs here",
                Raw::Other(what) => what,
            };
            (what.to_owned(), format!("write {wants}"))
        };
        let outside = || ("out of range".to_owned(), format!("write {wants}"));
        match self {
            Self::Flag(place) => *place = flag(raw).ok_or_else(refuse)?,
            Self::Count(place, low, high) => {
                let n = usize::try_from(integer(raw).ok_or_else(refuse)?).map_err(|_| outside())?;
                *place = within(n, low, high).ok_or_else(outside)?;
            }
            Self::Number(place, low, high) => {
                let n = u64::try_from(integer(raw).ok_or_else(refuse)?).map_err(|_| outside())?;
                *place = within(n, low, high).ok_or_else(outside)?;
            }
            Self::Ms(place, low, high) => {
                let n = match (integer(raw), text(raw).and_then(parse_duration)) {
                    (Some(n), _) => u64::try_from(n).map_err(|_| outside())?,
                    (None, Some(ms)) => ms,
                    (None, None) => return Err(refuse()),
                };
                *place = within(n, low, high).ok_or_else(outside)?;
            }
            Self::Duration(place, low, high) => {
                let ms = text(raw).and_then(parse_duration).ok_or_else(refuse)?;
                *place = within(ms, low, high).ok_or_else(outside)?;
            }
            Self::Size(place, low, high) => {
                let bytes = text(raw).and_then(parse_size).ok_or_else(refuse)?;
                *place = within(bytes, low, high).ok_or_else(outside)?;
            }
            Self::Real(place, low, high) => {
                *place = within(real(raw).ok_or_else(refuse)?, low, high).ok_or_else(outside)?;
            }
            Self::Three(place, low, high) => {
                let Raw::Numbers(numbers) = raw else { return Err(refuse()) };
                let three: [f64; 3] = numbers.as_slice().try_into().map_err(|_| refuse())?;
                for n in three {
                    within(n, low, high).ok_or_else(outside)?;
                }
                *place = three;
            }
            Self::Time(place) => *place = time(raw).ok_or_else(refuse)?,
            Self::MaybeTime(place) => *place = Some(time(raw).ok_or_else(refuse)?),
            Self::Path(place) => *place = filled(raw).ok_or_else(refuse)?.into(),
            Self::MaybeText(place) | Self::Secret(place) => {
                *place = Some(filled(raw).ok_or_else(refuse)?.to_owned());
            }
            Self::Filter(place) => {
                let filter = filled(raw).ok_or_else(refuse)?;
                tracing_subscriber::EnvFilter::try_new(filter)
                    .map_err(|error| (error.to_string(), format!("write {wants}")))?;
                filter.clone_into(place);
            }
            Self::Text(place) => filled(raw).ok_or_else(refuse)?.clone_into(place),
            Self::StoreKind(place) => {
                *place = match text(raw) {
                    Some("embedded") => StoreKind::Embedded,
                    Some("redis") => StoreKind::Redis,
                    _ => return Err(refuse()),
                }
            }
            Self::Listen(place) => *place = listen(text(raw).ok_or_else(refuse)?).ok_or_else(refuse)?,
            Self::LogFormat(place) => {
                *place = match text(raw) {
                    Some("text") => LogFormat::Text,
                    Some("json") => LogFormat::Json,
                    _ => return Err(refuse()),
                }
            }
            Self::Mismatch(place) => {
                *place = match text(raw) {
                    Some("reject") => OnMismatch::Reject,
                    Some("drop-cut") => OnMismatch::DropCut,
                    Some("rebuild") => OnMismatch::Rebuild,
                    _ => return Err(refuse()),
                }
            }
            Self::Word(place) => {
                if !text(raw).is_some_and(|word| place.choose(word)) {
                    return Err(refuse());
                }
            }
            Self::Topic(place) => {
                let name = text(raw).ok_or_else(refuse)?;
                if let Some(fault) = topic_fault(name).filter(|_| !name.is_empty()) {
                    return Err((fault.to_owned(), format!("write {wants}")));
                }
                *place = (!name.is_empty()).then(|| name.to_owned());
            }
            Self::Options(place) => {
                let Raw::Table(table) = raw else { return Err(refuse()) };
                *place = table.iter().cloned().collect();
            }
        }
        Ok(())
    }

    /// What belongs here, in words: the end of "write ...".
    fn wants(&self) -> String {
        let d = |ms: &u64| format_duration(*ms);
        match self {
            Self::Flag(_) => "true or false".to_owned(),
            Self::Count(_, low, high) => format!("a whole number from {low} to {high}"),
            Self::Number(_, low, high) => format!("a whole number from {low} to {high}"),
            Self::Ms(_, low, high) => {
                format!("milliseconds from {low} to {high}, or a duration such as \"50ms\" or \"1m\"")
            }
            Self::Duration(_, low, high) => {
                format!(
                    "a duration from {} to {}, such as \"50ms\", \"90m\", \"1h30m\" or \"7d\"",
                    d(low),
                    d(high)
                )
            }
            Self::Size(_, low, high) => {
                format!("a size from {} to {}, such as \"64MiB\"", format_size(*low), format_size(*high))
            }
            Self::Real(_, low, high) => format!("a number from {low} to {high}"),
            Self::Three(_, low, high) => {
                format!("three numbers from {low} to {high}, such as [0.4, 0.4, 0.2]")
            }
            Self::Time(_) | Self::MaybeTime(_) => {
                "a date or time since 1970 such as 2026-01-31 or 2026-01-31T12:00:00Z".to_owned()
            }
            Self::Path(_) => "a path in quotes".to_owned(),
            Self::Text(_) | Self::MaybeText(_) | Self::Secret(_) => "a text in quotes".to_owned(),
            Self::StoreKind(_) => "\"embedded\" or \"redis\"".to_owned(),
            Self::Filter(_) => "a level (error, warn, info, debug, trace) or a filter such as \
                                \"info,freshet_sources=debug\""
                .to_owned(),
            Self::Listen(_) => {
                "an address and a port such as \"127.0.0.1:8080\", \"localhost:8080\" or \"[::1]:8080\""
                    .to_owned()
            }
            Self::LogFormat(_) => "\"text\" or \"json\"".to_owned(),
            Self::Mismatch(_) => "\"reject\", \"drop-cut\" or \"rebuild\"".to_owned(),
            Self::Word(choice) => {
                choice.words().iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
            }
            Self::Topic(_) => "a topic's name in quotes, or \"\" for none".to_owned(),
            Self::Options(_) => {
                "a table such as { \"security.protocol\" = \"SASL_SSL\" }; the names are librdkafka's"
                    .to_owned()
            }
        }
    }

    fn to_toml(&self) -> Option<String> {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        Some(match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Count(n, ..) => n.to_string(),
            Self::Number(n, ..) | Self::Ms(n, ..) => n.to_string(),
            Self::Duration(ms, ..) => quoted(&format_duration(**ms)),
            Self::Size(bytes, ..) => quoted(&format_size(**bytes)),
            // `{:?}` keeps the ".0" that makes it a TOML float.
            Self::Real(n, ..) => format!("{n:?}"),
            Self::Three(three, ..) => format!("{three:?}"),
            Self::Time(at) => format_time(**at),
            Self::MaybeTime(at) => format_time((**at)?),
            Self::Path(path) if path.as_os_str().is_empty() => return None,
            Self::Path(path) => quoted(&path.to_string_lossy()),
            Self::Text(text) => quoted(text),
            Self::StoreKind(StoreKind::Embedded) => quoted("embedded"),
            Self::StoreKind(StoreKind::Redis) => quoted("redis"),
            Self::MaybeText(text) => quoted(text.as_deref()?),
            Self::Secret(_) => return None,
            Self::Filter(text) => quoted(text),
            Self::Listen(address) => quoted(&address.to_string()),
            Self::LogFormat(LogFormat::Text) => quoted("text"),
            Self::LogFormat(LogFormat::Json) => quoted("json"),
            Self::Mismatch(OnMismatch::Reject) => quoted("reject"),
            Self::Mismatch(OnMismatch::DropCut) => quoted("drop-cut"),
            Self::Mismatch(OnMismatch::Rebuild) => quoted("rebuild"),
            Self::Word(choice) => quoted(choice.word()),
            Self::Topic(topic) => quoted(topic.as_deref()?),
            Self::Options(options) => {
                let shown = options.iter().filter(|(key, _)| !is_secret(key));
                let pairs: Vec<String> =
                    shown.map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
                if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
            }
        })
    }
}

fn flag(raw: &Raw) -> Option<bool> {
    match raw {
        Raw::Flag(flag) => Some(*flag),
        Raw::Word(word) => word.parse().ok(),
        _ => None,
    }
}

fn integer(raw: &Raw) -> Option<i128> {
    match raw {
        Raw::Integer(n) => Some(*n),
        Raw::Word(word) => word.parse().ok(),
        _ => None,
    }
}

fn real(raw: &Raw) -> Option<f64> {
    match raw {
        Raw::Float(n) => Some(*n),
        #[allow(clippy::cast_precision_loss, reason = "a range check follows; the ranges are small")]
        Raw::Integer(n) => Some(*n as f64),
        Raw::Word(word) => word.parse().ok(),
        _ => None,
    }
}

fn text(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::Text(text) | Raw::Word(text) => Some(text),
        _ => None,
    }
}

fn filled(raw: &Raw) -> Option<&str> {
    text(raw).filter(|text| !text.trim().is_empty())
}

fn time(raw: &Raw) -> Option<Millis> {
    match raw {
        Raw::Time(at) => datetime_to_millis(at),
        Raw::Text(text) | Raw::Word(text) => text.parse().ok().as_ref().and_then(datetime_to_millis),
        _ => None,
    }
}

fn listen(text: &str) -> Option<SocketAddr> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().ok()
}

fn within<T: PartialOrd>(n: T, low: T, high: T) -> Option<T> {
    (n >= low && n <= high).then_some(n)
}
