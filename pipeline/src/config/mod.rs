//! Configuration: what a file and the command line say ([`document`]), turned into what the program uses ([`Config`]).
//!
//! The two are different types on purpose: a [`document::Document`] may lack keys, hold wrong ones and knows its lines; a
//! `Config` is complete and checked, and only it reaches the graph. Between them stands one table, [`keys::KEYS`]: each
//! key's name, meaning, range and place in `Config`. Reading, checking, printing and the list of keys all walk that
//! table, so that they cannot disagree. Reading never stops at the first mistake: it collects them all.

mod choice;
mod document;
mod experiments;
mod kafka;
mod keys;
mod mistake;
mod places;
mod print;
mod relations;
mod topics;
mod units;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use freshet_operators::params::Params;
use freshet_schema::Millis;
use freshet_sinks::RedisOptions;

pub use kafka::Kafka;
pub use keys::describe_keys;
pub use mistake::{Mistake, Mistakes};
pub(crate) use units::{format_duration, format_time, parse_duration, parse_time};

/// Everything the service needs to know, complete and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[input]`
    pub input: Input,
    /// `[kafka]`
    pub kafka: Kafka,
    /// `[clock]`
    pub clock: Clock,
    /// `[store]`
    pub store: Store,
    /// `[redis]`, where `store.kind` says so.
    pub redis: Redis,
    /// `[journal]`
    pub journal: Journal,
    /// `[checkpoint]`
    pub checkpoint: Checkpoint,
    /// `[archive]`
    pub archive: Archive,
    /// `[server]`
    pub server: Server,
    /// `[sql]`
    pub sql: Sql,
    /// `[graph]`
    pub graph: Graph,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[supervisor]`
    pub supervisor: Supervisor,
    /// `[log]`
    pub log: Log,
    /// `[early]`, `[interest]`, `[score]`, `[candidates]`, `[coengagement]`, `[ranking]`, `[learning]`, `[index]`,
    /// `[related]`, `[feed]`, `[rerank]`, `[cohorts]`, `[[experiment]]` and `graph.seed`: what the stages need.
    pub params: Params,
    /// `interest.topics`: the file that `params.interest.topics` was read from.
    pub topics_file: Option<String>,
    /// The keys that a file or the command line has set, and where: for printing.
    origins: Vec<(&'static str, String)>,
}

/// Where the events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Files or Kafka.
    pub source: InputSource,
    /// The event log's folder.
    pub dir: PathBuf,
    /// Whether growing files are followed after the log is drained. `--once` turns it off.
    pub follow: bool,
}

/// What the events are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputSource {
    /// An event log in a folder.
    #[default]
    Files,
    /// The topics of `[kafka]`.
    Kafka,
}

/// How the clock goes on where a replay ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiveClock {
    /// As the wall clock where events come from Kafka, and shifted where they come from files.
    #[default]
    Auto,
    /// As the wall clock.
    Wall,
    /// From where the replay ended.
    Shifted,
}

/// How the streams are cut into epochs. Milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// An epoch of a replay spans this much event time.
    pub replay_epoch_ms: u64,
    /// A live epoch is closed after this when there are new records.
    pub epoch_ms: u64,
    /// A live epoch without records is closed after this, so that windows expire.
    pub tick_ms: u64,
    /// A live epoch takes at most this many records.
    pub max_epoch_records: usize,
    /// A live epoch takes at most about this many bytes.
    pub max_epoch_bytes: u64,
    /// How the clock goes on where the replay ends.
    pub live: LiveClock,
    /// Records from before are dead letters.
    pub min_event_time: Millis,
    /// Records of a replay from after are dead letters; `None` is the wall time of the first start, and with Kafka each
    /// record's own timestamp.
    pub max_event_time: Option<Millis>,
    /// Live records further ahead of the clock are dead letters.
    pub max_future_skew_ms: u64,
    /// After a pause the clock moves at most this much an epoch.
    pub max_now_step_ms: u64,
}

/// The folder of everything that the service keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Holds the key-value store, the dead letters, the control socket and, unless `journal.dir` says otherwise, the
    /// journal.
    pub dir: PathBuf,
    /// Where the values are.
    pub kind: StoreKind,
    /// Block cache of the key-value store in bytes.
    pub cache_bytes: u64,
    /// Write buffer of the key-value store in bytes.
    pub write_buffer_bytes: u64,
}

/// Where the values are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// In `store.dir`, held by the process that runs.
    #[default]
    Embedded,
    /// On a Redis or Valkey server.
    Redis,
}

/// How to reach a Redis or Valkey server. Milliseconds, bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// The address, without a password.
    pub url: String,
    /// Before every key.
    pub key_prefix: Option<String>,
    /// Instead of the address's user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The environment variable that `password` was read from.
    pub password_env: Option<String>,
    /// Certificates to trust.
    pub tls_ca: Option<String>,
    /// The client's certificate chain.
    pub tls_cert: Option<String>,
    /// The key of `tls_cert`.
    pub tls_key: Option<String>,
    /// How long a connection may take to come about.
    pub connect_timeout: u64,
    /// How long a reader waits.
    pub read_timeout: u64,
    /// How long the writer waits before it connects again.
    pub write_timeout: u64,
    /// Size of an atomic batch.
    pub batch_bytes: u64,
}

impl Redis {
    /// What the store wants to know.
    #[must_use]
    pub fn options(&self) -> RedisOptions {
        RedisOptions {
            key_prefix: self.key_prefix.clone().unwrap_or_default(),
            username: self.username.clone(),
            password: self.password.clone(),
            tls_ca: self.tls_ca.as_ref().map(PathBuf::from),
            tls_client: self
                .tls_cert
                .as_ref()
                .zip(self.tls_key.as_ref())
                .map(|(cert, key)| (cert.into(), key.into())),
            connect_timeout: Duration::from_millis(self.connect_timeout),
            read_timeout: Duration::from_millis(self.read_timeout),
            write_timeout: Duration::from_millis(self.write_timeout),
            batch_bytes: usize::try_from(self.batch_bytes).unwrap_or(usize::MAX),
            ..RedisOptions::at(&self.url)
        }
    }
}

impl Store {
    /// The key-value store.
    #[must_use]
    pub fn kv_dir(&self) -> PathBuf {
        self.dir.join("kv")
    }

    /// The dead letters.
    #[must_use]
    pub fn dead_letters_file(&self) -> PathBuf {
        self.dir.join("dead-letters.jsonl")
    }
}

/// The bindings of the epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The journal's folder.
    pub dir: PathBuf,
}

impl Journal {
    /// The journal's file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.join("bindings.journal")
    }
}

/// Snapshots of the state, from which a start goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The folder.
    pub dir: PathBuf,
    /// Time between two, in milliseconds; 0: none are made.
    pub every_ms: u64,
    /// How many are kept.
    pub keep: usize,
    /// Whether one is made when the job ends.
    pub at_end: bool,
    /// What a start does with a cut that other parameters or another release made.
    pub on_mismatch: OnMismatch,
}

/// What a start does with a checkpoint whose cuts are others than it would make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMismatch {
    /// It says what differs and ends.
    #[default]
    Reject,
    /// Those cuts begin empty.
    DropCut,
    /// The checkpoint is not used: the log is read from its beginning.
    Rebuild,
}

/// The archive of all that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The folder; none: no archive is written.
    pub dir: Option<String>,
    /// The longest time that a row waits, in milliseconds.
    pub roll_every_ms: u64,
    /// Bytes of records that wait before they are written.
    pub roll_bytes: u64,
    /// Compaction makes no file larger than this, in bytes.
    pub target_bytes: u64,
    /// Whether small files are put together as they come.
    pub compact: bool,
}

impl Archive {
    /// Where it is, for another process: an absolute path, or the address as it stands where it is none of this machine.
    ///
    /// # Errors
    /// Where the working folder is gone.
    pub fn place(&self) -> std::io::Result<Option<String>> {
        let absolute = |dir: &String| {
            if dir.contains("://") {
                return Ok(dir.clone());
            }
            Ok(std::path::absolute(dir)?.to_string_lossy().into_owned())
        };
        self.dir.as_ref().map(absolute).transpose()
    }

    /// How the archive is written.
    #[must_use]
    pub fn options(&self) -> freshet_archive::Options {
        freshet_archive::Options {
            roll_bytes: self.roll_bytes,
            roll_every: Duration::from_millis(self.roll_every_ms),
            target_bytes: self.target_bytes,
            compact: self.compact,
        }
    }
}

/// The feed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// What `POST` must present as `Authorization: Bearer`.
    pub token: Option<String>,
    /// The environment variable that `token` was read from.
    pub token_env: Option<String>,
}

/// Snapshots of the state that queries read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    /// A snapshot is let go of after this, in milliseconds.
    pub timeout_ms: u64,
    /// At most so many at once.
    pub max_snapshots: usize,
}

/// The dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Worker threads.
    pub workers: usize,
    /// Epochs that may be in the graph at once.
    pub in_flight: usize,
    /// Bytes of input that may be in the graph at once, about; one epoch always may.
    pub in_flight_bytes: u64,
}

/// Several processes that are one job. Milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// How long processes wait for each other when they begin.
    pub wait_ms: u64,
    /// A process that is silent for so long is lost.
    pub lost_after_ms: u64,
}

/// When a job that failed is begun again. Milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Restarts in a row.
    pub restarts: usize,
    /// Pause before the first restart of a row; each further one doubles it.
    pub backoff_ms: u64,
    /// The longest pause.
    pub max_backoff_ms: u64,
    /// A job that ran for so long ends the row.
    pub steady_ms: u64,
}

/// The program's own log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// Least level, or a filter such as `info,freshet_sources=debug`.
    pub filter: String,
}

/// The storage engine tells at `info` of every file that it makes.
const DEFAULT_FILTER: &str = "info,fjall=warn,lsm_tree=warn";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            input: Input { source: InputSource::Files, dir: "data/log".into(), follow: true },
            kafka: Kafka::default(),
            clock: Clock {
                replay_epoch_ms: 60_000,
                epoch_ms: 50,
                tick_ms: 1_000,
                max_epoch_records: 10_000,
                max_epoch_bytes: 64 << 20,
                live: LiveClock::Auto,
                min_event_time: Millis(946_684_800_000),
                max_event_time: None,
                max_future_skew_ms: 60_000,
                max_now_step_ms: 60_000,
            },
            store: Store {
                dir: "data/store".into(),
                kind: StoreKind::Embedded,
                cache_bytes: 64 << 20,
                write_buffer_bytes: 32 << 20,
            },
            redis: Redis {
                url: "redis://127.0.0.1:6379/0".to_owned(),
                key_prefix: None,
                username: None,
                password: None,
                password_env: None,
                tls_ca: None,
                tls_cert: None,
                tls_key: None,
                connect_timeout: 2_000,
                read_timeout: 1_000,
                write_timeout: 30_000,
                batch_bytes: 4 << 20,
            },
            journal: Journal { dir: PathBuf::new() },
            checkpoint: Checkpoint {
                dir: PathBuf::new(),
                every_ms: 60_000,
                keep: 2,
                at_end: true,
                on_mismatch: OnMismatch::Reject,
            },
            archive: Archive {
                dir: None,
                roll_every_ms: 60_000,
                roll_bytes: 32 << 20,
                target_bytes: 64 << 20,
                compact: true,
            },
            server: Server {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
                token: None,
                token_env: None,
            },
            sql: Sql { timeout_ms: 60_000, max_snapshots: 8 },
            graph: Graph { workers: 1, in_flight: 8, in_flight_bytes: 256 << 20 },
            cluster: Cluster { wait_ms: 60_000, lost_after_ms: 30_000 },
            supervisor: Supervisor {
                restarts: 10,
                backoff_ms: 1_000,
                max_backoff_ms: 60_000,
                steady_ms: 600_000,
            },
            log: Log { format: LogFormat::Text, filter: DEFAULT_FILTER.to_owned() },
            params: Params::default(),
            topics_file: None,
            origins: Vec::new(),
        }
    }
}

/// What the command line says beside the file: `(key, value, flag)`. The value is read as the file's would be.
pub type Override = (&'static str, String, &'static str);

impl Config {
    /// Reads a file (the defaults alone without one), lays the command line's values over it and checks the whole.
    ///
    /// # Errors
    /// All mistakes found, each with file, line, key, value and remedy.
    pub fn load(file: Option<&Path>, overrides: &[Override]) -> Result<Self, Mistakes> {
        let mut config = Self::read(file, overrides)?;
        if let Some(path) = config.topics_file.clone() {
            match topics::read(&path, config.params.seed) {
                Ok(topics) => config.params.interest.topics = Some(topics),
                Err((what, remedy)) => {
                    let origin = config.origins.iter().find(|(key, _)| *key == topics::KEY);
                    return Err(Mistakes(vec![Mistake {
                        place: origin.map_or_else(String::new, |(_, place)| place.clone()),
                        key: topics::KEY.to_owned(),
                        value: format!("{path:?}"),
                        what,
                        remedy,
                    }]));
                }
            }
        }
        Ok(config)
    }

    /// As [`Config::load`], but the topics' file is not read: for whoever makes it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_without_topics(file: Option<&Path>) -> Result<Self, Mistakes> {
        Self::read(file, &[])
    }

    fn read(file: Option<&Path>, overrides: &[Override]) -> Result<Self, Mistakes> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Mistakes(vec![Mistake::unreadable(path, &error)]))?,
        };
        let name = file.map_or_else(String::new, |path| path.display().to_string());
        Self::resolve(&name, &text, overrides, &|variable| std::env::var(variable).ok())
    }

    /// The pure part of [`Config::load`]: `file` is the name used in messages, `env` looks up environment variables.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn resolve(
        file: &str,
        text: &str,
        overrides: &[Override],
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        let mut document = document::Document::parse(file, text);
        document.lay_over(overrides);
        let mut config = Self::default();
        let mut mistakes = document.apply(&mut config);
        config.params.experiments = experiments::resolve(&document.experiments, &config, &mut mistakes);
        relations::check(&mut config, &document, env, &mut mistakes);
        if config.journal.dir.as_os_str().is_empty() {
            config.journal.dir = config.store.dir.join("journal");
        }
        if config.checkpoint.dir.as_os_str().is_empty() {
            config.checkpoint.dir = config.store.dir.join("checkpoints");
        }
        // The parser hands keys out by name; people read the file from the top.
        mistakes.sort_by_key(Mistake::line);
        if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) }
    }

    /// The configuration as TOML that [`Config::load`] reads back, with what each key means; secrets are left out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        print::to_toml(self)
    }
}

#[cfg(test)]
mod tests;
