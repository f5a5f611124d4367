//! What a list costs, in process: the same epochs with lists and without, on one worker; the difference, over the number of
//! lists. It includes the request, the candidates, the ranking, the records' encoding and the channel out of the dataflow;
//! a third run adds the embedded store's write, with its compaction and a sync. Before that each user's list is made once, which is
//! not counted: a pool that nobody has asked for since the filling is sorted when the first list asks for it.
//!
//! The spine's four sources have a target of their own; then all sources. What the index takes of these is measured beside it: the
//! queries of an epoch's requests, put to an index of the same videos, again and again.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use anyhow::{anyhow, ensure};
use freshet_index::VectorIndex;
use freshet_operators::content::Embedder;
use freshet_operators::graph::Tap;
use freshet_operators::params::{DAY, Params};
use freshet_operators::pools::Change;
use freshet_operators::request::{Purpose, Request};
use freshet_operators::runtime::{self, Output};
use freshet_schema::feed::Stage;
use freshet_schema::store::{Key, Value};
use freshet_schema::{Epoch, Event};
use freshet_sinks::{Commit, Embedded, EmbeddedOptions, FeedStore};

use crate::Bench;
use crate::lists_world::ListsWorld;
use crate::process::own_cpu;
use crate::report::{Figure, Report, Target};

const GROUP: &str = "lists";

/// Epochs of each run that are not counted: every user is dirty in one of them.
const WARM_UP: usize = 20;

/// Measures with the spine's sources and with all.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut spine = Params::default();
    (spine.coengagement.window, spine.candidates.next, spine.candidates.co_engaged) = (0, 0, 0);
    spine.candidates.similar = 0;
    report.add(sources(bench, "", spine, Target::AtLeast(2000.0))?.0)?;
    let (all, list_us) = sources(bench, ", all sources", Params::default(), Target::None)?;
    report.add(all)?;
    // The target is for 1,000 candidates: all quotas in proportion.
    let mut thousand = Params::default();
    let quotas = &mut thousand.candidates;
    for quota in [
        &mut quotas.followed,
        &mut quotas.hashtags,
        &mut quotas.sounds,
        &mut quotas.trending,
        &mut quotas.next,
        &mut quotas.co_engaged,
        &mut quotas.similar,
    ] {
        *quota = *quota * 4 / 5;
    }
    report.add(sources(bench, ", all sources, quotas x 0.8", thousand, Target::AtLeast(1500.0))?.0)?;
    let searched = search(&world(bench))?;
    report.add([Figure::new(
        GROUP,
        "the index' share of a list, all sources",
        searched.us / list_us * 100.0,
        "%",
        Target::None,
    )
    .note(format!(
        "{:.0} us a query, {} queries a batch, the best {:.0} of {} videos on average",
        searched.us, searched.queries, searched.depth, searched.videos
    ))])?;
    Ok(())
}

fn world(bench: &Bench) -> ListsWorld {
    ListsWorld { videos: 50_000, users: 5_000, epochs: bench.scaled(40), dirty: 250 }
}

/// What a query of the index takes.
struct Searched {
    us: f64,
    queries: usize,
    depth: f64,
    videos: usize,
}

/// Puts the queries of an epoch's requests to an index of the world's videos, for a second or more.
fn search(world: &ListsWorld) -> anyhow::Result<Searched> {
    let params = Params::default();
    let requests = requests(&ListsWorld { epochs: 1, ..*world }, &params)?;
    let mut embedder = Embedder::new(params.seed, None);
    let mut index = VectorIndex::new(params.index.of(params.seed))?;
    for input in world.fill() {
        for (_, event) in input.records {
            if let Event::Upload(upload) = event {
                let content = embedder.content(&upload);
                index.upsert(upload.video_id, &content.vector.0[..params.index.dims])?;
            }
        }
    }
    index.maintain()?;
    let queries: Vec<&[i8]> = requests
        .iter()
        .filter_map(|request| Some(&request.query.as_ref()?.vector.0[..params.index.dims]))
        .collect();
    ensure!(!queries.is_empty(), "no request has anything to search by");
    // The index is asked for as many more as a user has watched, see `freshet_operators::neighbours`.
    let depths = requests.iter().map(|request| params.candidates.similar + request.watched.len());
    let (depth, deepest) = (depths.clone().sum::<usize>() as f64 / requests.len() as f64, depths.max());
    let (before, mut rounds) = (own_cpu()?, 0);
    let mut cpu = 0.0;
    while cpu < 1.0 {
        index.search(&queries, deepest.unwrap_or(params.candidates.similar))?;
        rounds += 1;
        cpu = own_cpu()? - before;
    }
    let us = cpu / f64::from(rounds) / queries.len() as f64 * 1e6;
    Ok(Searched { us, queries: queries.len(), depth, videos: index.len() })
}

/// The requests of the measured epochs.
fn requests(world: &ListsWorld, params: &Params) -> anyhow::Result<Vec<Arc<Request>>> {
    let (job, outputs) = runtime::start(1, params, true).map_err(|e| anyhow!("the dataflow: {e}"))?;
    let filled = world.fill();
    let first = filled.len() as u64 + 1;
    for input in filled.into_iter().chain(world.measured()) {
        job.send(input)?;
    }
    job.finish()?;
    let mut requests = Vec::new();
    for output in outputs {
        if let Output::Taps(_, epoch, taps) = output
            && epoch.0 >= first
        {
            requests.extend(taps.into_iter().filter_map(|tap| match tap {
                Tap::Request(request) if request.purpose == Purpose::List => Some(request),
                _ => None,
            }));
        }
    }
    Ok(requests)
}

/// Measures the three runs, after one that counts candidates; the figures, and microseconds a list.
fn sources(bench: &Bench, which: &str, params: Params, target: Target) -> anyhow::Result<(Vec<Figure>, f64)> {
    let with_lists = |lists: bool| {
        let mut params = params.clone();
        params.feed.enabled = lists;
        // Only dirty users: no list of the filling grows old.
        params.feed.refresh_after = 30 * DAY;
        params
    };
    let world = world(bench);
    let counted = count(&ListsWorld { epochs: 1, ..world }, with_lists(true))?;

    let mut lists = 0;
    let without = run(&world, &with_lists(false), |_, _| Ok(()))?;
    let with = run(&world, &with_lists(true), |_, changes| {
        lists += changes.iter().filter(|(key, _)| matches!(key, Key::Feed(_))).count();
        Ok(())
    })?;
    let scratch = bench.worlds.scratch()?;
    let store = Embedded::open(&scratch.path().join("kv"), EmbeddedOptions::default())?;
    let stored = run(&world, &with_lists(true), |epoch, mut changes| {
        changes.sort_by_cached_key(|(key, _)| key.to_string());
        store.commit(&Commit { epoch, changes })?;
        Ok(store.sync()?)
    })?;
    let expected = (world.epochs + WARM_UP as u64) * world.dirty;
    ensure!(lists as u64 == expected, "{lists} lists were made of {expected}");
    let lists = world.epochs * world.dirty;
    let rate = |cpu: f64| lists as f64 / (cpu - without);
    let workload = format!(
        "{lists} lists; {} videos, {} users, {} dirty an epoch",
        world.videos, world.users, world.dirty
    );
    let list_us = (with - without) / lists as f64 * 1e6;
    let figures = vec![
        Figure::new(
            GROUP,
            format!("candidates a list, mean{which}"),
            counted.candidates,
            "videos",
            Target::None,
        )
        .note("distinct, after the quotas, watched ones left out"),
        Figure::new(GROUP, format!("lists per CPU-second{which}"), rate(with), "lists", target)
            .note(format!("{workload}; {list_us:.0} us a list, encoded, not stored")),
        Figure::new(
            GROUP,
            format!("lists per CPU-second, stored{which}"),
            rate(stored),
            "lists",
            Target::None,
        )
        .note(format!(
            "with the embedded store's write of {:.0} B a list and a sync an epoch",
            counted.bytes
        )),
        Figure::new(
            GROUP,
            format!("the same epochs without lists{which}"),
            without / lists as f64 * 1e6,
            "us an event",
            Target::None,
        ),
    ];
    Ok((figures, list_us))
}

/// Means over lists.
struct Counted {
    candidates: f64,
    bytes: f64,
}

/// Keeps every dropped candidate, so that the records tell how many there were.
fn count(world: &ListsWorld, mut params: Params) -> anyhow::Result<Counted> {
    let kept = params.feed.dropped_kept;
    params.feed.dropped_kept = usize::MAX >> 1;
    let (mut lists, mut candidates, mut bytes) = (0, 0, 0);
    run(world, &params, |_, changes| {
        for (key, value) in changes {
            let Some(record) = value else { continue };
            match Value::decode(&key, &record)? {
                Value::Feed(list) if matches!(key, Key::Feed(_)) => {
                    lists += 1;
                    candidates += list.items.len();
                    bytes += record.len();
                }
                Value::Dropped(mut dropped) => {
                    candidates += dropped.items.iter().filter(|d| d.stage != Stage::Watched as i32).count();
                    dropped.items.truncate(kept);
                    bytes += Value::Dropped(dropped).encode().len();
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    let mean = |sum: usize| sum as f64 / f64::from(lists.max(1));
    Ok(Counted { candidates: mean(candidates), bytes: mean(bytes) })
}

/// Fills the world and runs its measured epochs one after the other; `sink` takes what each changes. Returns the CPU
/// seconds of the measured epochs.
fn run(
    world: &ListsWorld,
    params: &Params,
    mut sink: impl FnMut(Epoch, Vec<Change>) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let (job, outputs) = runtime::start(1, params, false).map_err(|e| anyhow!("the dataflow: {e}"))?;
    for input in world.fill() {
        let epoch = input.epoch;
        job.send(input)?;
        drop(closed(&outputs, epoch)?);
    }
    let epochs = ListsWorld { epochs: world.epochs + WARM_UP as u64, ..*world }.measured();
    let mut before = own_cpu()?;
    for (n, input) in epochs.into_iter().enumerate() {
        if n == WARM_UP {
            before = own_cpu()?;
        }
        let epoch = input.epoch;
        job.send(input)?;
        sink(epoch, closed(&outputs, epoch)?)?;
    }
    let cpu = own_cpu()? - before;
    job.finish()?;
    Ok(cpu)
}

/// Waits until an epoch is closed and returns its changes.
fn closed(outputs: &Receiver<Output>, epoch: Epoch) -> anyhow::Result<Vec<Change>> {
    let mut all = Vec::new();
    for output in outputs {
        match output {
            Output::Changes(_, _, changes) => all.extend(changes),
            Output::Closed(_, upper) if upper > epoch => return Ok(all),
            _ => {}
        }
    }
    Err(anyhow!("the dataflow ended in epoch {epoch}"))
}
