//! From an event to the stored list, seen from outside: the time from the POST's first byte until `HEAD /v1/feed/{user}`
//! names a later epoch, at 500 events a second on the world of `make demo`.
//!
//! One event of twenty is watched, by posters of their own whose users nobody else touches: a later epoch can then only
//! come from the watched event (or from the list's refresh after ten minutes, which the run does not last).

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::Bench;
use crate::http::Client;
use crate::pace::{Latencies, Pace};
use crate::poster::{DEMO, EVENTS_PER_SECOND, demo_service, draw_user, interaction, post};
use crate::report::{Figure, Target};
use crate::service::Service;
use crate::world::FIRST_USER;

const GROUP: &str = "freshness";

const POSTERS: usize = 8;
const WATCHERS: usize = 4;
/// Part of the events that is watched.
const WATCHED: f64 = 1.0 / 20.0;
/// Users that only one watcher posts for.
const USERS_A_WATCHER: u64 = 25;
/// Between two looks at the list.
const POLL: Duration = Duration::from_millis(2);
/// A list that is not remade within this time is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures for twenty seconds.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let (service, _scratch) = demo_service(bench)?;
    let time = Duration::from_secs_f64(20.0 * bench.scale.max(0.1));
    let before = service.cpu()?;
    let start = Instant::now();
    let mut latencies = latencies(&service, EVENTS_PER_SECOND, time)?;
    let busy = (service.cpu()? - before) / start.elapsed().as_secs_f64();
    let metrics = service.metrics()?;
    let own = |part: &str| metrics.get(&format!("freshet_freshness_seconds{{quantile=\"{part}\"}}")) * 1e3;
    let workload =
        format!("{DEMO}; {EVENTS_PER_SECOND} events/s for {:.0} s, epoch_ms 50", time.as_secs_f64());
    Ok(vec![
        Figure::new(GROUP, "POST to new list, p50", latencies.quantile_ms(0.5), "ms", Target::None)
            .note(format!("{} events watched; {workload}", latencies.len())),
        Figure::new(GROUP, "POST to new list, p99", latencies.quantile_ms(0.99), "ms", Target::AtMost(200.0))
            .note(format!(
                "with the fsync and {} ms polling; the service takes {busy:.2} CPU",
                POLL.as_millis()
            )),
        Figure::new(GROUP, "the service's own meter, p50", own("0.5"), "ms", Target::None)
            .note("from event_time to the commit; of the last minute"),
        Figure::new(GROUP, "the service's own meter, p99", own("0.99"), "ms", Target::AtMost(200.0)),
    ])
}

/// Posts `rate` events a second for `time` to the service of the demo world, and gives how long the watched ones took.
pub fn latencies(service: &Service, rate: f64, time: Duration) -> anyhow::Result<Latencies> {
    let watched_from = DEMO.users - WATCHERS as u64 * USERS_A_WATCHER;
    let start = Instant::now() + Duration::from_millis(100);
    std::thread::scope(|scope| {
        let mut posters = Vec::new();
        for number in 0..POSTERS {
            let mut client = service.connect()?;
            let pace = Pace::shared(start, rate * (1.0 - WATCHED), number, POSTERS);
            posters.push(scope.spawn(move || -> anyhow::Result<()> {
                for n in 0..pace.count(time) {
                    let n = n * POSTERS as u64 + number as u64;
                    pace.wait(n / POSTERS as u64);
                    post(&mut client, &interaction(draw_user(n, 0..watched_from), n))?;
                }
                Ok(())
            }));
        }
        let mut watchers = Vec::new();
        for number in 0..WATCHERS {
            let mut client = service.connect()?;
            let pace = Pace::shared(start, rate * WATCHED, number, WATCHERS);
            let first = FIRST_USER + watched_from + number as u64 * USERS_A_WATCHER;
            watchers.push(scope.spawn(move || watch(&mut client, pace, time, first)));
        }
        for poster in posters {
            poster.join().map_err(|_| anyhow::anyhow!("a poster panicked"))??;
        }
        let mut all = Latencies::default();
        for watcher in watchers {
            all.join(watcher.join().map_err(|_| anyhow::anyhow!("a watcher panicked"))??);
        }
        Ok(all)
    })
}

/// Posts one event after the other, each for the next of the watcher's users, and waits for its list.
fn watch(client: &mut Client, pace: Pace, time: Duration, first: u64) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    for n in 0..pace.count(time) {
        let user = first + n % USERS_A_WATCHER;
        let event = interaction(user, n);
        pace.wait(n);
        let before = list_epoch(client, user)?;
        let sent = Instant::now();
        post(client, &event)?;
        while list_epoch(client, user)? <= before {
            if sent.elapsed() > PATIENCE {
                bail!("the list of user {user} was not remade within {PATIENCE:?} after its event");
            }
            std::thread::sleep(POLL);
        }
        latencies.add(sent.elapsed());
    }
    Ok(latencies)
}

/// The epoch of a user's own list; 0 where there is none.
pub fn list_epoch(client: &mut Client, user: u64) -> anyhow::Result<u64> {
    let answer = client.send("HEAD", &format!("/v1/feed/{user}?limit=1"), &[], b"")?;
    if answer.header("freshet-list") != Some("own") {
        return Ok(0);
    }
    answer.header("freshet-epoch").and_then(|epoch| epoch.parse().ok()).context("the header freshet-epoch")
}
