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
/// The spine's features, which have a target of their own.
const SPINE: &str = "[clock]\nreplay_epoch_ms = \"20m\"\n\n[coengagement]\nwindow = 0\n\n";
/// The settings that differ from the defaults.
pub const WITHOUT_LISTS: &str = "[feed]\nenabled = false\n\n[learning]\nenabled = false\n\n[candidates]\nsimilar = 0\n\n[checkpoint]\nevery = \"0s\"\n\n[log]\nfilter = \"warn\"\n";

/// Replays a world once without lists; `settings` are further sections of the configuration.
pub fn replay(bench: &Bench, size: Size, workers: usize, settings: &str) -> anyhow::Result<Cost> {
    let log = bench.worlds.log(size)?;
    let scratch = bench.worlds.scratch()?;
    let config = scratch.path().join("bench.toml");
    fs::write(&config, format!("{settings}{WITHOUT_LISTS}"))?;
    let mut command = bench.worlds.freshet("run");
    command.args(["--once", "--quiet", "--workers", &workers.to_string()]).arg("--config").arg(&config);
    command.arg("--input").arg(&log).arg("--store").arg(scratch.path().join("store")).stdout(Stdio::null());
    process::run(&mut command)
}

/// Measures both sizes.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let (small, large) = (world(bench, 1_000_000), world(bench, 5_000_000));
    let one = replay(bench, small, 1, SPINE)?;
    let paired = replay(bench, small, 1, LONG_EPOCHS)?;
    let minutes = replay(bench, small, 1, "")?;
    let five = replay(bench, large, 1, SPINE)?;
    let per_million = |cost: &Cost, size: Size| cost.cpu / size.events as f64 * 1e6;
    let (each_small, each_large) = (per_million(&one, small), per_million(&five, large));
    let marginal = (five.cpu - one.cpu) / (large.events - small.events) as f64 * 1e6;
    let cost = |name: &str, cost: &Cost, size: Size, epochs: &str, target| {
        Figure::new(GROUP, format!("CPU per 1M events{name}"), per_million(cost, size), "CPU-s", target)
            .note(format!("{size}, one worker, epochs of {epochs}, wall {:.1} s", cost.wall))
    };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        cost(", 1M", &one, small, "20 min", Target::AtMost(15.0)),
        cost(", 5M", &five, large, "20 min", Target::AtMost(15.0)),
        Figure::new(
            GROUP,
            "CPU per event, 5M against 1M",
            each_large / each_small,
            "ratio",
            Target::AtMost(1.0),
        )
        .note(format!("an event beyond the first 1M costs {marginal:.1} us")),
        cost(", 1M, and co-engagement", &paired, small, "20 min", Target::AtMost(19.5)),
        cost(", 1M, and co-engagement, short epochs", &minutes, small, "1 min", Target::None),
        Figure::new(GROUP, "peak memory, 1M", mib(one.peak_rss), "MiB", Target::None),
        Figure::new(GROUP, "peak memory, 1M, and co-engagement", mib(paired.peak_rss), "MiB", Target::None),
        Figure::new(GROUP, "peak memory, 5M", mib(five.peak_rss), "MiB", Target::None),
    ])
}
