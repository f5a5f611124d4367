//! `make bench`: what Freshet costs, against the targets it was built for.
//!
//! Costs are CPU seconds, because the wall time of a shared machine says little; latencies are wall time and say so. A
//! figure that falls short is printed as such and is no failure: a slow machine must not break a build. Each figure has a
//! file of its own, and all but the lists' run the real `freshet` binary on a log of the generated world.

mod archive;
mod bare;
mod checkpoint;
mod conditions;
mod features;
mod freshness;
mod growth;
mod http;
mod kafka;
mod lists;
mod lists_world;
mod memory;
mod pace;
mod poster;
mod process;
mod queries;
mod reads;
mod report;
mod service;
mod state;
mod workers;
mod world;

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};

use crate::conditions::Conditions;
use crate::report::Report;
use crate::world::Worlds;

/// The measured binary's: what a list costs is measured in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// CPU of the features without lists, at 1M and 5M events
    Features,
    /// Bytes of state a user, a video and an event
    State,
    /// Two workers against one
    Workers,
    /// CPU of a list
    Lists,
    /// From an event to the stored list
    Freshness,
    /// Feed reads beside a running pipeline
    Reads,
    /// Size, duration, pause and cost of a checkpoint, and the start from one
    Checkpoint,
    /// Verification of all views against the archive, and how soon lists follow a forget
    Archive,
    /// SQL over state and archive, beside DuckDB, and analysts beside events; needs freshet-sql beside the measured binary
    Sql,
    /// What cohorts, exploration, abuse, experiments and diversity cost together
    Growth,
    /// From Kafka to Redis, with real servers: throughput, shares of the CPU, freshness
    Kafka,
}

/// Measure Freshet against its targets
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; all without a name
    #[arg(value_enum)]
    groups: Vec<Group>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Make every workload this much smaller, to try the benchmark itself; figures are then not comparable
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/freshet")]
    freshet: PathBuf,
    /// A Python that may have duckdb, to compare the sums over the archive with
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Where generated worlds are kept between runs, and scratch stores are made
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
}

/// What every measurement needs.
#[derive(Debug)]
pub struct Bench {
    worlds: Worlds,
    scale: f64,
    python: PathBuf,
}

impl Bench {
    /// `n` at the scale of this run, at least 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive counts")]
    fn scaled(&self, n: u64) -> u64 {
        ((n as f64 * self.scale) as u64).max(1)
    }
}

fn main() -> anyhow::Result<()> {
    // Before anything else: it begins the program anew. Lists are measured in this process.
    freshet_index::one_thread().context("cannot keep FAISS to one thread")?;
    let args = Args::parse();
    ensure!(
        args.scale > 0.0 && args.scale <= 1.0,
        "--scale is {}; it must be above 0 and at most 1",
        args.scale
    );
    let binary = args.freshet.canonicalize().with_context(|| {
        format!(
            "--freshet {}: build it with `cargo build --release -p freshet-pipeline`",
            args.freshet.display()
        )
    })?;
    let bench = Bench { worlds: Worlds::new(binary, &args.dir)?, scale: args.scale, python: args.python };
    let mut report = Report::begin(Conditions::now(args.scale)?, !args.json)?;
    let all = Group::value_variants();
    for group in all.iter().filter(|g| args.groups.is_empty() || args.groups.contains(g)) {
        // The query engine takes longer to build than all the rest.
        if args.groups.is_empty() && *group == Group::Sql && !bench.worlds.beside("freshet-sql").is_file() {
            writeln!(
                stderr(),
                "sql is left out: `cargo build --release -p freshet-sql` builds what it measures"
            )?;
            continue;
        }
        measure(*group, &bench, &mut report).with_context(|| format!("measuring {group:?}"))?;
    }
    if args.json {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(stdout(), "\n{}", report.verdict())?;
    }
    Ok(())
}

fn measure(group: Group, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    match group {
        Group::Features => report.add(features::measure(bench)?)?,
        Group::State => report.add(state::measure(bench)?)?,
        Group::Workers => report.add(workers::measure(bench)?)?,
        Group::Lists => lists::measure(bench, report)?,
        Group::Freshness => report.add(freshness::measure(bench)?)?,
        Group::Reads => reads::measure(bench, report)?,
        Group::Checkpoint => report.add(checkpoint::measure(bench)?)?,
        Group::Archive => archive::measure(bench, report)?,
        Group::Growth => growth::measure(bench, report)?,
        Group::Sql => queries::measure(bench, report)?,
        Group::Kafka => kafka::measure(bench, report)?,
    }
    Ok(())
}
