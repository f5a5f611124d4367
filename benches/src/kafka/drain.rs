//! Sustained: topics that were filled before are drained into Redis as fast as it goes, with lists and without checkpoints, with one
//! a minute, and without lists.
//!
//! The broker's share is that of handing records out; what it takes to take them in was spent before and is said beside it. The
//! world has the size at which a checkpoint is to be cheap, and a run with lists takes some minutes, so there are a few.

use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::Value as Json;

use super::{GROUP, QUIET, Servers};
use crate::Bench;
use crate::features::{LONG_EPOCHS, WITHOUT_LISTS, world};
use crate::process;
use crate::report::{Figure, Report, Target};

/// Lists are made for interactions, and not made again because time passes: two weeks pass in minutes here.
const LISTS: &str = "[feed]\nrefresh_after = \"1d\"\nactive_within = \"20m\"\npools_every = \"1d\"\n\n";

/// Interactions of the world: each makes a list. So does each user's profile, and of those there are five times as many.
const EVENTS: u64 = 40_000;

/// What a drained topic took.
struct Drained {
    wall: f64,
    pipeline: f64,
    broker: f64,
    redis: f64,
    keys: u64,
    /// Users with a list: each was made once or more.
    lists: usize,
    checkpoints: usize,
}

impl Drained {
    fn shares(&self) -> String {
        let all = self.pipeline + self.broker + self.redis;
        let part = |cpu: f64| format!("{cpu:.1} ({:.0} %)", cpu / all * 100.0);
        format!(
            "wall {:.1} s; CPU-s: pipeline {}, broker {}, Redis {}",
            self.wall,
            part(self.pipeline),
            part(self.broker),
            part(self.redis)
        )
    }
}

fn drain(bench: &Bench, servers: &Servers, name: &str, settings: &str) -> anyhow::Result<Drained> {
    let scratch = bench.worlds.scratch()?;
    let store = scratch.path().join("store");
    let config = servers.config(scratch.path(), "drain", name, settings)?;
    servers.redis.clear()?;
    let (broker, redis) = (servers.broker.cpu()?, servers.redis.cpu()?);
    let mut command = bench.worlds.freshet("run");
    command.args(["--once", "--quiet"]).arg("--config").arg(&config).arg("--store").arg(&store);
    let cost = process::run(command.stdout(Stdio::null()))?;
    let mut list = bench.worlds.freshet("checkpoint");
    list.args(["list", "--json", "--store"]).arg(&store);
    Ok(Drained {
        wall: cost.wall,
        pipeline: cost.cpu,
        broker: servers.broker.cpu()? - broker,
        redis: servers.redis.cpu()? - redis,
        keys: servers.redis.keys()?,
        lists: servers.redis.lists()?,
        checkpoints: checkpoints(&mut list)?,
    })
}

/// How many were made and kept.
fn checkpoints(list: &mut Command) -> anyhow::Result<usize> {
    let output = list.stderr(Stdio::inherit()).output()?;
    let found: Json = serde_json::from_slice(&output.stdout).with_context(|| format!("{list:?}"))?;
    Ok(found.as_array().with_context(|| format!("{list:?}: not a list"))?.len())
}

/// Measures all three.
pub fn measure(bench: &Bench, servers: &Servers, report: &mut Report) -> anyhow::Result<()> {
    let size = world(bench, EVENTS);
    let log = bench.worlds.log(size)?;
    let scratch = bench.worlds.scratch()?;
    let config = servers.config(scratch.path(), "drain", "produce.toml", "")?;
    let before = servers.broker.cpu()?;
    servers.produce(bench, &log, &config, &[])?;
    let taking = servers.broker.cpu()? - before;

    let never = format!("{LONG_EPOCHS}{LISTS}[checkpoint]\nevery = \"0s\"\n\n{QUIET}");
    let minutely =
        format!("{LONG_EPOCHS}{LISTS}[checkpoint]\nevery = \"60s\"\nat_end = false\nkeep = 1000\n\n{QUIET}");
    let rate = |drained: &Drained| size.events as f64 / drained.wall;
    let figure = |name: &str, drained: &Drained| {
        Figure::new(GROUP, name, rate(drained), "interact./s", Target::None).note(drained.shares())
    };
    let lists = drain(bench, servers, "never.toml", &never)?;
    let cpu = lists.pipeline;
    let beside = format!(
        "{size}, epochs of 20 min, 2 partitions a topic, one worker; broker (256 MiB heap, C1), Redis and pipeline share the \
         cores; {} keys in Redis, {} of them users' lists (whoever has a profile has one); taking the records in had cost the broker \
         {taking:.1} CPU-s",
        lists.keys, lists.lists
    );
    report.add([
        figure("sustained, with lists", &lists),
        Figure::new(
            GROUP,
            "of which the pipeline's CPU",
            cpu / size.events as f64 * 1e6,
            "us/interact.",
            Target::None,
        )
        .note(beside),
    ])?;
    let kept = drain(bench, servers, "minutely.toml", &minutely)?;
    let (made, cpu_with) = (kept.checkpoints, kept.pipeline);
    report.add([
        figure("sustained, a checkpoint every 60 s", &kept),
        Figure::new(
            GROUP,
            "throughput lost by them",
            (1.0 - rate(&kept) / rate(&lists)) * 100.0,
            "%",
            Target::AtMost(5.0),
        )
        .note(format!("{made} checkpoints; pipeline {cpu_with:.1} against {cpu:.1} CPU-s")),
    ])?;
    let features = drain(bench, servers, "features.toml", &format!("{LONG_EPOCHS}{WITHOUT_LISTS}"))?;
    report.add([figure("sustained, without lists", &features)])?;
    Ok(())
}
