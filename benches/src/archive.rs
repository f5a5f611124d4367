//! What proof and forgetting take: `freshet verify` of all views against an archive, and a user who is forgotten while the service runs.
//!
//! A log is replayed once without lists, which would take most of the time and which `verify` compares only when it is asked for values. The
//! service then starts from that run's checkpoint and makes lists: some users watch, each gets a list, and is forgotten. What counts is the wall time from
//! the start of the command until the feed is that of somebody who was never here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value as Json;

use crate::Bench;
use crate::freshness::list_epoch;
use crate::http::Client;
use crate::poster::{interaction, post};
use crate::process::{self, Cost};
use crate::report::{Figure, Report, Target};
use crate::service::Service;
use crate::state::link;
use crate::world::{FIRST_USER, Size};

const GROUP: &str = "archive";

/// Short live epochs, as `configs/demo.toml` has them; one checkpoint at the replay's end, and one a forget. Records of related videos are state
/// that there is only with lists, so that the first run's checkpoint would lack it.
const SETTINGS: &str = "[clock]\nreplay_epoch_ms = \"20m\"\nepoch_ms = 50\n\n[checkpoint]\nevery = \"1h\"\n\n[related]\nvideos = 0\n\n[log]\nfilter = \"warn\"\n\n";
/// Interactions of each user who is forgotten.
const INTERACTIONS: u64 = 500;
/// So many users are forgotten, one after the other, and the slowest counts.
const FORGOTTEN: u64 = 3;
/// Interactions of one request.
const BATCH: usize = 50;
/// Between two looks at a feed.
const POLL: Duration = Duration::from_millis(2);
/// A list that does not come, or go, within this time is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folders of a run, under one that goes away.
struct Folders {
    log: PathBuf,
    store: PathBuf,
    archive: PathBuf,
    config: PathBuf,
}

impl Folders {
    fn of(scratch: &Path) -> Self {
        let [log, store, archive, config] =
            ["log", "store", "archive", "bench.toml"].map(|n| scratch.join(n));
        Self { log, store, archive, config }
    }

    /// The settings of what runs next.
    fn configure(&self, lists: bool) -> anyhow::Result<()> {
        let archive = self.archive.display().to_string();
        Ok(fs::write(
            &self.config,
            format!("{SETTINGS}[feed]\nenabled = {lists}\n\n[archive]\ndir = {archive:?}\n"),
        )?)
    }

    /// A command on these folders.
    fn freshet(&self, bench: &Bench, subcommand: &str) -> Command {
        let mut command = bench.worlds.freshet(subcommand);
        command.arg("--config").arg(&self.config).arg("--store").arg(&self.store).stdout(Stdio::null());
        command
    }
}

/// Measures at 1M interactions, 100k videos and 50k users.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let size =
        Size { users: bench.scaled(50_000), videos: bench.scaled(100_000), events: bench.scaled(1_000_000) };
    let scratch = bench.worlds.scratch()?;
    let folders = Folders::of(scratch.path());
    // A service that follows opens a file in its log: it gets one of links.
    link(&bench.worlds.log(size)?, &folders.log)?;
    folders.configure(false)?;
    let mut run = folders.freshet(bench, "run");
    process::run(run.args(["--once", "--quiet", "--input"]).arg(&folders.log))?;
    let said = scratch.path().join("verified.json");
    let mut verify = folders.freshet(bench, "verify");
    verify.args(["--offline", "--quiet", "--json"]).stdout(File::create(&said)?);
    // One view that differs ends the command with an error, and so the benchmark.
    let cost = process::run(&mut verify)?;
    report.add([verified(&cost, size, &serde_json::from_slice(&fs::read(&said)?)?, &folders.archive)?])?;

    folders.configure(true)?;
    let service = Service::start(&bench.worlds, &folders.config, &folders.log, &folders.store)?;
    let mut forgets = Vec::new();
    for n in 0..FORGOTTEN {
        // Nobody of the log: each has the interactions that are posted here and no others.
        let user = FIRST_USER + size.users + n;
        watch(&mut service.connect()?, user)?;
        forgets.push(forget(bench, &folders, &service, user)?);
    }
    report.add(forgotten(&forgets))?;
    Ok(())
}

fn verified(cost: &Cost, size: Size, said: &Json, archive: &Path) -> anyhow::Result<Figure> {
    let views = said["views"].as_array().context("the views of a report")?;
    let rows: u64 = views.iter().filter_map(|view| view["rows"].as_u64()).sum();
    ensure!(said["left_out"].is_null(), "something was not compared: {}", said["left_out"]);
    ensure!(rows >= size.events, "{rows} rows were compared of {} interactions", size.events);
    let note = format!(
        "{size}; {} records, {} views, {rows} rows; {:.1} CPU-s, peak {:.0} MiB; archive of {:.1} MB",
        said["records"],
        views.len(),
        cost.cpu,
        cost.peak_rss as f64 / f64::from(1 << 20),
        bytes(archive)? as f64 / 1e6
    );
    Ok(Figure::new(GROUP, "verify of all views", cost.wall, "s", Target::AtMost(60.0)).note(note))
}

/// Bytes of all files under a folder.
fn bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

/// Posts a user's interactions and waits until there is a list that was made behind the last of them.
fn watch(client: &mut Client, user: u64) -> anyhow::Result<()> {
    let all: Vec<u64> = (0..INTERACTIONS).collect();
    let (last, before) = all.split_last().context("at least one interaction")?;
    for batch in before.chunks(BATCH) {
        let lines: String = batch.iter().map(|n| interaction(user, *n)).collect();
        post(client, &lines)?;
    }
    // Events are read in the order in which they were posted: behind the last one's list is all.
    settle(client, user, |epoch| epoch > 0)?;
    std::thread::sleep(Duration::from_secs(1));
    let seen = list_epoch(client, user)?;
    post(client, &interaction(user, *last))?;
    settle(client, user, |epoch| epoch > seen)
}

/// Waits until the epoch of a user's own list, 0 where there is none, is as wanted.
fn settle(client: &mut Client, user: u64, wanted: impl Fn(u64) -> bool) -> anyhow::Result<()> {
    let since = Instant::now();
    while !wanted(list_epoch(client, user)?) {
        if since.elapsed() > PATIENCE {
            bail!("the list of user {user} is not as it should be {PATIENCE:?} later");
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// What a forget took, in seconds.
#[derive(Clone, Copy)]
struct Forget {
    /// From the command's start until the feed is a stranger's.
    list: f64,
    /// Until the command had ended: the archive is rewritten and a checkpoint made.
    command: f64,
    /// Rows that left the archive.
    rows: u64,
}

fn forget(bench: &Bench, folders: &Folders, service: &Service, user: u64) -> anyhow::Result<Forget> {
    let mut client = service.connect()?;
    let mut command = folders.freshet(bench, "forget");
    command.args(["--no-verify", "--json", "--user", &user.to_string(), "--input"]).arg(&folders.log);
    let began = Instant::now();
    let child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
    let gone = settle(&mut client, user, |epoch| epoch == 0).map(|()| began.elapsed().as_secs_f64());
    // It ends by itself, whether or not the list went.
    let output = child.wait_with_output()?;
    let ended = began.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    let certificate: Json = serde_json::from_slice(&output.stdout)?;
    let rows = certificate["archive"]["rows"].as_u64().context("rows of a certificate")?;
    ensure!(rows >= INTERACTIONS, "{rows} rows left the archive, of {INTERACTIONS} interactions");
    Ok(Forget { list: gone?, command: ended, rows })
}

fn forgotten(forgets: &[Forget]) -> [Figure; 2] {
    let slowest = |of: fn(&Forget) -> f64| forgets.iter().map(of).fold(0.0, f64::max);
    let each = |of: fn(&Forget) -> f64| {
        forgets.iter().map(|forget| format!("{:.2}", of(forget))).collect::<Vec<_>>().join(", ")
    };
    let rows: u64 = forgets.iter().map(|forget| forget.rows).sum();
    [
        Figure::new(
            GROUP,
            "forget, until the feed is a stranger's",
            slowest(|forget| forget.list),
            "s",
            Target::AtMost(2.0),
        )
        .note(format!(
            "the slowest of {} users of {INTERACTIONS} interactions each ({} s), from the command's start, {} ms polling; nothing else comes in",
            forgets.len(),
            each(|forget| forget.list),
            POLL.as_millis()
        )),
        Figure::new(
            GROUP,
            "the whole command, not verified",
            slowest(|forget| forget.command),
            "s",
            Target::None,
        )
        .note(format!(
            "{} s: {rows} rows out of the archive, a checkpoint each",
            each(|forget| forget.command)
        )),
    ]
}
