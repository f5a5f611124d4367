//! Checkpoints: size, duration, how long the workers stand still, what they cost, and how soon a killed service is ready again.
//!
//! The world of the features, with learning, co-engagement and the index, without lists: a list adds its items' numbers to a
//! person. The same replay runs with and without checkpoints every other second; what one costs is the difference by their
//! number (they grow with the state, so it is that of one half as large), and its share at one a minute is that of a minute of one core. The workers' longest pause is that of the last
//! and largest.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value as Json;

use crate::Bench;
use crate::features::world;
use crate::process;
use crate::report::{Figure, Target};
use crate::service::Service;
use crate::state::link;

const GROUP: &str = "restart";
const SETTINGS: &str = "[clock]\nreplay_epoch_ms = \"20m\"\n\n[feed]\nenabled = false\n\n[log]\nfilter = \"warn\"\n\n[checkpoint]\n";

fn json(command: &mut Command) -> anyhow::Result<Json> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?}"))
}

/// Measures at 1M events.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let size = world(bench, 1_000_000);
    let log = bench.worlds.log(size)?;
    let scratch = bench.worlds.scratch()?;
    let config = |name: &str, settings: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, format!("{SETTINGS}{settings}")).map(|()| path)
    };
    let never = config("never.toml", "every = \"0s\"\n")?;
    let often = config("often.toml", "every = \"2s\"\n")?;
    let replay = |config: &std::path::Path, store: &str| {
        let mut command = bench.worlds.freshet("run");
        command.args(["--once", "--quiet"]).arg("--config").arg(config).arg("--input").arg(&log);
        command.arg("--store").arg(scratch.path().join(store)).stdout(Stdio::null());
        process::run(&mut command)
    };
    let without = replay(&never, "without")?;
    let with = replay(&often, "with")?;
    let store = scratch.path().join("with");
    let mut show = bench.worlds.freshet("checkpoint");
    let last = json(show.args(["show", "--json", "--store"]).arg(&store))?;
    let number = |key: &str| last[key].as_f64().with_context(|| format!("{key} of a manifest"));
    let cuts = last["cuts"].as_object().context("the cuts of a manifest")?;
    let bytes = |key: &dyn Fn(&Json) -> f64| cuts.values().map(key).sum::<f64>();
    let on_disk = bytes(&|cut| cut["file"]["bytes"].as_f64().unwrap_or(0.0));
    let of_rows = bytes(&|cut| cut["row_bytes"].as_f64().unwrap_or(0.0));
    let mut shares: Vec<(f64, String)> = cuts
        .iter()
        .map(|(name, cut)| (cut["file"]["bytes"].as_f64().unwrap_or(0.0) / 1e6, name.clone()))
        .collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shares: Vec<String> = shares.iter().take(6).map(|(mb, name)| format!("{name} {mb:.1}")).collect();
    // One every two seconds, and the last one.
    let made = (with.wall / 2.0).floor() + 1.0;
    let each = (with.cpu - without.cpu) / made;

    // A service that follows opens a file in its log: it gets one of links.
    let links = scratch.path().join("log");
    link(&log, &links)?;
    let began = Instant::now();
    let service = Service::start(&bench.worlds, &often, &links, &store)?;
    let clean = began.elapsed().as_secs_f64();
    // Dropping it kills it.
    drop(service);
    let began = Instant::now();
    drop(Service::start(&bench.worlds, &often, &links, &store)?);
    let crashed = began.elapsed().as_secs_f64();
    Ok(vec![
        Figure::new(GROUP, "size on disk", on_disk / 1e6, "MB", Target::None).note(format!(
            "{size}; {:.0} MB of rows; MB: {}",
            of_rows / 1e6,
            shares.join(", ")
        )),
        Figure::new(GROUP, "duration", number("took_ms")? / 1e3, "s", Target::None)
            .note("from the order to the last file, beside nothing else"),
        Figure::new(
            GROUP,
            "longest pause of a worker",
            number("stood_us")? / 1e3,
            "ms",
            Target::AtMost(300.0),
        ),
        Figure::new(GROUP, "CPU of one", each, "CPU-s", Target::None)
            .note(format!("{:.1} CPU-s with about {made:.0} of them, {:.1} without", with.cpu, without.cpu)),
        Figure::new(GROUP, "share of a minute of one core", each / 60.0 * 100.0, "%", Target::AtMost(5.0)),
        Figure::new(GROUP, "ready after a clean end", clean, "s", Target::AtMost(20.0)).note("wall time"),
        Figure::new(GROUP, "ready after SIGKILL", crashed, "s", Target::AtMost(20.0)).note("wall time"),
        Figure::new(
            GROUP,
            "peak memory with / without",
            with.peak_rss as f64 / without.peak_rss as f64,
            "ratio",
            Target::None,
        )
        .note(format!(
            "{:.0} and {:.0} MiB",
            with.peak_rss as f64 / 1048576.0,
            without.peak_rss as f64 / 1048576.0
        )),
    ])
}
