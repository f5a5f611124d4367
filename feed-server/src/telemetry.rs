//! What the server counts, each as a struct with `emit`: the names and labels stand here and nowhere else.
#![allow(clippy::disallowed_macros, reason = "this is the crate's one place for them")]

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

const REQUESTS: &str = "freshet_http_requests_total";
const SECONDS: &str = "freshet_http_request_seconds";
const ITEMS: &str = "freshet_feed_items_total";
const POSTED: &str = "freshet_events_posted_total";
const SERVED_LOST: &str = "freshet_served_pages_unlogged_total";

/// Registers units and descriptions with the process's recorder; call it once after installing that.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by route, method and status.");
    describe_histogram!(SECONDS, Unit::Seconds, "Time from a request's head to its answer's head, by route.");
    describe_counter!(ITEMS, "Items handed out in feed pages, by the policy that filled the slot.");
    describe_counter!(POSTED, "Events taken in and synced, by stream.");
    describe_counter!(SERVED_LOST, "Pages handed out that the served log had no room for.");
}

/// What a route counts with, looked up once: to look a counter up by its labels costs several times what counting costs.
pub(crate) struct RouteMeters {
    route: &'static str,
    seconds: Histogram,
    /// Of GET requests answered with 200; made by the first, so that a route without them shows none.
    read: OnceLock<Counter>,
}

impl RouteMeters {
    /// Of the recorder that is installed by now.
    pub(crate) fn new(route: &'static str) -> Self {
        let seconds = histogram!(SECONDS, "route" => route);
        Self { route, seconds, read: OnceLock::new() }
    }
}

/// A request was answered.
pub(crate) struct RequestAnswered<'a> {
    pub(crate) meters: &'a RouteMeters,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    pub(crate) elapsed: Duration,
}

impl RequestAnswered<'_> {
    pub(crate) fn emit(self) {
        let Self { meters, method, status, elapsed } = self;
        let counter = || counter!(REQUESTS, "route" => meters.route, "method" => method, "status" => status.to_string());
        match (method, status) {
            ("GET", 200) => meters.read.get_or_init(counter).increment(1),
            _ => counter().increment(1),
        }
        meters.seconds.record(elapsed);
    }
}

/// Items of a page were handed out.
pub(crate) struct ItemsServed {
    pub(crate) policy: &'static str,
    pub(crate) count: u64,
}

impl ItemsServed {
    pub(crate) fn emit(self) {
        counter!(ITEMS, "policy" => self.policy).increment(self.count);
    }
}

/// Posted events are on the disk.
pub(crate) struct EventsPosted {
    pub(crate) kind: &'static str,
    pub(crate) count: u64,
}

impl EventsPosted {
    pub(crate) fn emit(self) {
        counter!(POSTED, "kind" => self.kind).increment(self.count);
    }
}

/// A page could not be logged.
pub(crate) struct ServedPageLost<'a> {
    pub(crate) cause: &'a dyn std::error::Error,
}

impl ServedPageLost<'_> {
    pub(crate) fn emit(self) {
        tracing::debug!(cause = %self.cause, "a page that was handed out is missing in the served log");
        counter!(SERVED_LOST).increment(1);
    }
}
