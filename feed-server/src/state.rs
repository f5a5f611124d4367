//! What the server needs from its process, as values and functions: so that it runs the same beside a pipeline, alone
//! over a store, and in a test.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freshet_schema::{Event, Millis};
use freshet_sinks::{EventSink, FeedStore};

/// The pipeline's clock. After a replay it runs behind the wall clock, and events posted now belong to its time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Millis;
}

/// The wall clock: for a server without a replayed past.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let past = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(past.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Whether lists can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They can.
    Ready,
    /// Not yet, or no longer; why, in words.
    NotReady(String),
}

/// A check of a posted event; the text says which field is wrong and what it may be.
pub type Validate = Arc<dyn Fn(&Event) -> Result<(), String> + Send + Sync>;

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Items of a list: the most that the unpaged Protobuf answer and `/v1/trending` hold.
    pub feed_length: usize,
    /// Items of a page where the request does not say.
    pub page_limit_default: usize,
    /// The largest `limit`.
    pub page_limit_max: usize,
    /// Identifiers that a cursor remembers.
    pub cursor_memory: usize,
    /// Required as `Authorization: Bearer ...` of POST requests, where set.
    pub bearer_token: Option<String>,
    /// How long a client may take for a request's head; also how long a kept connection may be idle.
    pub head_timeout: Duration,
    /// The largest body of a POST request in bytes.
    pub max_body_bytes: usize,
    /// The most events in one POST request.
    pub max_events: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            feed_length: 100,
            page_limit_default: 10,
            page_limit_max: 100,
            cursor_memory: 500,
            bearer_token: None,
            head_timeout: Duration::from_secs(30),
            max_body_bytes: 1 << 20,
            max_events: 1000,
        }
    }
}

/// Everything that handlers use.
#[derive(Clone)]
pub struct ServerState {
    /// Where lists are read.
    pub store: Arc<dyn FeedStore>,
    /// Where posted events and handed-out pages go; `None` makes a read-only server.
    pub events: Option<Arc<dyn EventSink>>,
    /// The pipeline's clock.
    pub clock: Arc<dyn Clock>,
    /// Limits and the token.
    pub options: Arc<Options>,
    /// Checks posted events beyond the server's own rules.
    pub validate: Validate,
    /// Answers `/healthz`.
    pub alive: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Answers `/readyz`.
    pub ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// Answers `/metrics`, in Prometheus' text format.
    pub metrics_text: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) ids: Arc<IdGenerator>,
}

impl ServerState {
    /// A read-only server: always ready, no metrics, default options. Set the fields to change that.
    #[must_use]
    pub fn new(store: Arc<dyn FeedStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            events: None,
            clock,
            options: Arc::new(Options::default()),
            validate: Arc::new(|_| Ok(())),
            alive: Arc::new(|| serde_json::json!({ "status": "ok" })),
            ready: Arc::new(|| Readiness::Ready),
            metrics_text: Arc::new(String::new),
            ids: Arc::new(IdGenerator::new()),
        }
    }
}

/// Identifiers for requests and for events that came without one: 63 bits, from a number on that each process draws. Feed
/// servers of one log know nothing of each other: that two of a hundred that made a billion each share a number has a chance
/// of one in a million. They are written as text in JSON, as no JavaScript number holds them.
#[derive(Debug)]
pub(crate) struct IdGenerator {
    next: AtomicU64,
}

/// What readers whose integers are signed can hold.
const ID_BITS: u64 = u64::MAX >> 1;

impl IdGenerator {
    /// The standard library seeds the hashes of its maps from the system.
    fn new() -> Self {
        Self { next: AtomicU64::new(RandomState::new().hash_one(std::process::id())) }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) & ID_BITS
    }
}
