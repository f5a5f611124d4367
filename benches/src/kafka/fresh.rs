//! Freshness: from the moment at which an event is due to be produced until a GET from Redis gives the user's list of a later epoch.
//!
//! Open loop: events go out by the clock, whatever came of those before. One event of twenty is watched, of users whom nobody
//! else touches: a later epoch can then only come of the watched event (or of the list's refresh after ten minutes, which the run
//! does not last). A list is looked for every two milliseconds, on one connection for all that are waited for.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use freshet_kafka::{Connection, Publisher, Ticket};
use freshet_schema::store::{Key, Value};
use freshet_schema::{Epoch, UserId, hash};

use super::{GROUP, QUIET, Servers};
use crate::Bench;
use crate::pace::{Latencies, Pace};
use crate::poster::{DEMO, EVENTS_PER_SECOND, draw_user};
use crate::report::{Figure, Report, Target};
use crate::service::Service;
use crate::world::{FIRST_USER, FIRST_VIDEO, Size};

/// Part of the events that is watched.
const WATCHED: f64 = 1.0 / 20.0;
/// Users whose lists are watched, in turn.
const WATCHED_USERS: u64 = 250;
/// Between two looks at the lists.
const POLL: Duration = Duration::from_millis(2);
/// A list that is not remade within this time is a failure. A user's next event comes after 10 seconds.
const PATIENCE: Duration = Duration::from_secs(9);
/// Where the numbers of our own events begin: behind those of the world.
const FIRST_EVENT: u64 = 1 << 50;

/// As `configs/demo.toml` has it, but for where events come from and lists go to.
const SETTINGS: &str = "[clock]\nreplay_epoch_ms = 60000\nepoch_ms = 50\n\n[feed]\nrefresh_after = \"10m\"\n\
                        active_within = \"1h\"\npools_every = \"1h\"\n\n[score]\npublish_every = \"10m\"\n";

/// Measures for a minute with each number of workers: one has most of a core to itself, two share what broker and Redis leave.
pub fn measure(bench: &Bench, servers: &Servers, report: &mut Report) -> anyhow::Result<()> {
    for workers in [1, 2] {
        servers.redis.clear()?;
        report.add(with(bench, servers, workers)?)?;
    }
    Ok(())
}

fn with(bench: &Bench, servers: &Servers, workers: usize) -> anyhow::Result<Vec<Figure>> {
    let prefix = format!("fresh{workers}");
    let scratch = bench.worlds.scratch()?;
    let log = scratch.path().join("log");
    // The world of `make demo`; at a smaller scale with users enough to watch some.
    let size = Size {
        users: bench.scaled(DEMO.users).max(2 * WATCHED_USERS),
        videos: bench.scaled(DEMO.videos).max(200),
        events: bench.scaled(DEMO.events).max(1_000),
    };
    bench.worlds.generate(size, &log)?;
    let settings = format!("{SETTINGS}\n[graph]\nworkers = {workers}\n\n{QUIET}");
    let config = servers.config(scratch.path(), &prefix, "fresh.toml", &settings)?;
    servers.produce(bench, &log, &config, &["--ends-now"])?;
    fs::remove_dir_all(&log)?;
    let service = Service::of_topics(&bench.worlds, &config, &scratch.path().join("store"))?;

    let time = Duration::from_secs_f64(60.0 * bench.scale.max(0.1));
    // A build that is not for measuring does not keep up.
    let rate = EVENTS_PER_SECOND * bench.scale.max(0.05);
    let watched_from = size.users - WATCHED_USERS;
    let producer = Producer::new(servers, prefix, size.videos)?;
    let cpu =
        || -> anyhow::Result<[f64; 3]> { Ok([service.cpu()?, servers.broker.cpu()?, servers.redis.cpu()?]) };
    let before = cpu()?;
    let start = Instant::now() + Duration::from_millis(100);
    let mut latencies = std::thread::scope(|scope| {
        let crowd = scope.spawn(|| -> anyhow::Result<()> {
            let pace = Pace::shared(start, rate * (1.0 - WATCHED), 0, 1);
            for n in 0..pace.count(time) {
                pace.wait(n);
                producer.send(draw_user(n, 0..watched_from))?;
            }
            Ok(())
        });
        let watched = watch(
            servers,
            &producer,
            Pace::shared(start, rate * WATCHED, 0, 1),
            time,
            FIRST_USER + watched_from,
        );
        crowd.join().map_err(|_| anyhow::anyhow!("the crowd's thread panicked"))??;
        watched
    })?;
    let took = start.elapsed().as_secs_f64();
    producer.end()?;
    let after = cpu()?;
    let share = |n: usize| (after[n] - before[n]) / took * 100.0;
    let shares = format!(
        "of a core: pipeline {:.0} %, broker {:.0} %, Redis {:.0} % (asked every {} ms)",
        share(0),
        share(1),
        share(2),
        POLL.as_millis()
    );
    let workload = format!("{size}; {rate:.0} events/s for {:.0} s, epoch_ms 50", time.as_secs_f64());
    let workers = if workers == 1 { "one worker" } else { "two workers" };
    Ok(vec![
        Figure::new(
            GROUP,
            format!("produced to readable in Redis, {workers}, p50"),
            latencies.quantile_ms(0.5),
            "ms",
            Target::None,
        )
        .note(format!("{} events watched; {workload}", latencies.len())),
        Figure::new(
            GROUP,
            format!("produced to readable in Redis, {workers}, p99"),
            latencies.quantile_ms(0.99),
            "ms",
            Target::AtMost(300.0),
        )
        .note(shares),
        Figure::new(
            GROUP,
            format!("the slowest of them, {workers}"),
            latencies.quantile_ms(1.0),
            "ms",
            Target::None,
        ),
    ])
}

/// Sends each watched event at its time, and looks for the lists of all that are on their way.
fn watch(
    servers: &Servers,
    producer: &Producer,
    pace: Pace,
    time: Duration,
    first: u64,
) -> anyhow::Result<Latencies> {
    let mut redis = servers.redis.connect()?;
    let mut latencies = Latencies::default();
    // By user: when the event was due, and the epoch of the list before.
    let mut waiting: BTreeMap<u64, (Instant, Epoch)> = BTreeMap::new();
    let mut next = 0;
    while next < pace.count(time) || !waiting.is_empty() {
        if next < pace.count(time) && pace.due(next) <= Instant::now() {
            let (user, due) = (first + next % WATCHED_USERS, pace.due(next));
            let before = epochs(&mut redis, &[user])?[0];
            producer.send(user)?;
            waiting.insert(user, (due, before));
            next += 1;
            continue;
        }
        let users: Vec<u64> = waiting.keys().copied().collect();
        for (user, epoch) in users.iter().zip(epochs(&mut redis, &users)?) {
            let (due, before) = waiting[user];
            if epoch > before {
                latencies.add(due.elapsed());
                waiting.remove(user);
            } else if due.elapsed() > PATIENCE {
                bail!("the list of user {user} was not remade within {PATIENCE:?} after its event");
            }
        }
        std::thread::sleep(POLL);
    }
    Ok(latencies)
}

/// The epochs of users' lists; 0 where there is none.
fn epochs(redis: &mut redis::Connection, users: &[u64]) -> anyhow::Result<Vec<Epoch>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Key> = users.iter().map(|user| Key::Feed(UserId(*user))).collect();
    let mut question = redis::cmd("MGET");
    for key in &keys {
        question.arg(key.to_string());
    }
    let values: Vec<Option<Vec<u8>>> = question.query(redis)?;
    ensure!(values.len() == keys.len(), "Redis answered {} of {} keys", values.len(), keys.len());
    let epoch = |(key, value): (&Key, Option<Vec<u8>>)| match value {
        None => Ok(Epoch(0)),
        Some(bytes) => match Value::decode(key, &bytes).with_context(|| key.to_string())? {
            Value::Feed(record) => Ok(Epoch(record.epoch)),
            other => bail!("{key} holds {other:?}"),
        },
    };
    keys.iter().zip(values).map(epoch).collect()
}

/// Interactions that happen when they are sent.
struct Producer {
    publisher: Publisher,
    topic: String,
    videos: u64,
    sent: AtomicU64,
    lost: Arc<AtomicU64>,
}

impl Producer {
    fn new(servers: &Servers, prefix: String, videos: u64) -> anyhow::Result<Self> {
        let connection = Connection { brokers: servers.broker.address(), ..Connection::default() };
        let publisher = Publisher::new("bench", &connection, Some(PATIENCE))?;
        let topic = prefix + ".interactions";
        Ok(Self { publisher, topic, videos, sent: AtomicU64::new(0), lost: Arc::default() })
    }

    /// An interaction of `user` with a video drawn by hash. Returns when it is on its way.
    fn send(&self, user: u64) -> anyhow::Result<()> {
        let n = self.sent.fetch_add(1, Relaxed);
        let draw = |what: u64, of: u64| hash::mix(what, &[user, n]) % of;
        let (video, duration) = (FIRST_VIDEO + draw(1, self.videos), 8_000 + draw(2, 40_000));
        let (watch, like) = (duration * draw(3, 120) / 100, draw(4, 20) == 0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let event = FIRST_EVENT + n;
        let value = format!(
            "{{\"event_id\":{event},\"event_time\":{now},\"user_id\":{user},\"video_id\":{video},\"watch_ms\":{watch},\
             \"duration_ms\":{duration},\"like\":{like}}}"
        );
        let lost = Arc::clone(&self.lost);
        let ticket = Ticket::new(1, move |result| {
            lost.fetch_add(u64::from(result.is_err()), Relaxed);
        });
        Ok(self.publisher.send(&self.topic, &user.to_string(), value.as_bytes(), &[], &ticket)?)
    }

    /// Waits until the broker has all of them.
    fn end(&self) -> anyhow::Result<()> {
        ensure!(self.publisher.flush(PATIENCE), "the broker did not take all events within {PATIENCE:?}");
        let lost = self.lost.load(Relaxed);
        ensure!(lost == 0, "the broker did not take {lost} events");
        Ok(())
    }
}
