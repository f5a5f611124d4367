//! Interactions for `POST /v1/events`, and the demo world that they happen in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use freshet_schema::hash;
use tempfile::TempDir;

use crate::Bench;
use crate::http::Client;
use crate::pace::Pace;
use crate::service::Service;
use crate::world::{FIRST_USER, FIRST_VIDEO, Size};

/// The world of `make demo`.
pub const DEMO: Size = Size { users: 2_000, videos: 3_000, events: 60_000 };

/// What a pipeline beside the measured requests has to do.
pub const EVENTS_PER_SECOND: f64 = 500.0;

/// Events of a batch.
const BATCH: u64 = 10;

/// The service of `make demo`, caught up, with a log and a store that go away with it.
pub fn demo_service(bench: &Bench) -> anyhow::Result<(Service, TempDir)> {
    let scratch = bench.worlds.scratch()?;
    let log = scratch.path().join("log");
    // A trial replays fewer events; all of its users and videos are there.
    let size = Size { events: bench.scaled(DEMO.events), ..DEMO };
    bench.worlds.generate(size, &log)?;
    let service = Service::start(&bench.worlds, &demo_config(), &log, &scratch.path().join("store"))?;
    Ok((service, scratch))
}

fn demo_config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/demo.toml")
}

/// Interaction `n` of `user` with a video drawn by hash, as a line of JSON. The server adds identifier and time.
pub fn interaction(user: u64, n: u64) -> String {
    let draw = |what: u64, of: u64| hash::mix(what, &[user, n]) % of;
    let (video, duration) = (FIRST_VIDEO + draw(1, DEMO.videos), 8_000 + draw(2, 40_000));
    let (watch, like) = (duration * draw(3, 120) / 100, draw(4, 20) == 0);
    format!(
        "{{\"user_id\":\"{user}\",\"video_id\":\"{video}\",\"watch_ms\":{watch},\"duration_ms\":{duration},\"like\":{like}}}\n"
    )
}

/// User `n` of those in `numbers`, drawn by hash.
pub fn draw_user(n: u64, numbers: std::ops::Range<u64>) -> u64 {
    FIRST_USER + numbers.start + hash::mix(5, &[n]) % (numbers.end - numbers.start)
}

/// Posts events of the users in `numbers`, in batches, at `rate` events a second for `time`.
pub fn post_batches(
    client: &mut Client,
    numbers: std::ops::Range<u64>,
    start: Instant,
    rate: f64,
    time: Duration,
) -> anyhow::Result<()> {
    let pace = Pace::shared(start, rate / BATCH as f64, 0, 1);
    for n in 0..pace.count(time) {
        let events = (n * BATCH..(n + 1) * BATCH).map(|n| interaction(draw_user(n, numbers.clone()), n));
        let body: String = events.collect();
        pace.wait(n);
        post(client, &body)?;
    }
    Ok(())
}

/// Posts lines of events; returns when they are on the service's disk.
pub fn post(client: &mut Client, lines: &str) -> anyhow::Result<()> {
    client.send("POST", "/v1/events", &[("content-type", "application/x-ndjson")], lines.as_bytes()).map(drop)
}
