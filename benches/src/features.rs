//! Features without lists: the whole binary from JSON lines to closed epochs, `feed.enabled = false`.
//!
//! The cost of an event must not grow with the run, so the same world is run with one and with five times the events; what
//! an event costs beyond the fixed part (uploads, profiles, epochs) is the difference of the two. A million events over two
//! weeks leave some fifty to a minute, and an epoch has a cost of its own: the targets are measured with epochs of
//! 20 minutes, which hold about a thousand events each, and the default of one minute is shown beside.

use std::fs;
use std::process::Stdio;

use crate::Bench;
use crate::process::{self, Cost};
use crate::report::{Figure, Target};
use crate::world::Size;

const GROUP: &str = "features";

/// The world of the target, with this many events.
pub fn world(bench: &Bench, events: u64) -> Size {
    Size { users: bench.scaled(200_000), videos: bench.scaled(100_000), events: bench.scaled(events) }
}

/// Epochs of about a thousand events.
pub const LONG_EPOCHS: &str = "[clock]\nreplay_epoch_ms = \"20m\"\n\n";
/// The settings that differ from the defaults.
pub const WITHOUT_LISTS: &str = "[feed]\nenabled = false\n\n[log]\nfilter = \"warn\"\n";

/// Replays a world once without lists; `clock` is a section of the configuration.
pub fn replay(bench: &Bench, size: Size, workers: usize, clock: &str) -> anyhow::Result<Cost> {
    let log = bench.worlds.log(size)?;
    let scratch = bench.worlds.scratch()?;
    let config = scratch.path().join("bench.toml");
    fs::write(&config, format!("{clock}{WITHOUT_LISTS}"))?;
    let mut command = bench.worlds.freshet("run");
    command.args(["--once", "--quiet", "--workers", &workers.to_string()]).arg("--config").arg(&config);
    command.arg("--input").arg(&log).arg("--store").arg(scratch.path().join("store")).stdout(Stdio::null());
    process::run(&mut command)
}

/// Measures both sizes.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let (small, large) = (world(bench, 1_000_000), world(bench, 5_000_000));
    let (one, five) = (replay(bench, small, 1, LONG_EPOCHS)?, replay(bench, large, 1, LONG_EPOCHS)?);
    let minutes = replay(bench, small, 1, "")?;
    let per_million = |cpu: f64, events: u64| cpu / events as f64 * 1e6;
    let (each_small, each_large) = (per_million(one.cpu, small.events), per_million(five.cpu, large.events));
    let marginal = per_million(five.cpu - one.cpu, large.events - small.events);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        Figure::new(GROUP, "CPU per 1M events, 1M", each_small, "CPU-s", Target::AtMost(15.0))
            .note(format!("{small}, one worker, epochs of 20 min, wall {:.1} s", one.wall)),
        Figure::new(GROUP, "CPU per 1M events, 5M", each_large, "CPU-s", Target::AtMost(15.0))
            .note(format!("{large}, one worker, epochs of 20 min, wall {:.1} s", five.wall)),
        Figure::new(
            GROUP,
            "CPU per 1M events, epochs of a minute",
            per_million(minutes.cpu, small.events),
            "CPU-s",
            Target::None,
        )
        .note(format!("{small}, wall {:.1} s", minutes.wall)),
        Figure::new(
            GROUP,
            "CPU per event, 5M against 1M",
            each_large / each_small,
            "ratio",
            Target::AtMost(1.0),
        )
        .note(format!("an event beyond the first 1M costs {marginal:.1} us")),
        Figure::new(GROUP, "peak memory, 1M", mib(one.peak_rss), "MiB", Target::None),
        Figure::new(GROUP, "peak memory, 5M", mib(five.peak_rss), "MiB", Target::None),
    ])
}
