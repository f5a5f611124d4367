//! What a list costs, in process: the same epochs with lists and without, on one worker; the difference, over the number of
//! lists. It includes the request, the candidates, the ranking, the records' encoding and the channel out of the dataflow;
//! a third run adds the embedded store's write, with its compaction and a sync.

use std::sync::mpsc::Receiver;

use anyhow::{anyhow, ensure};
use freshet_operators::params::{DAY, Params};
use freshet_operators::pools::Change;
use freshet_operators::runtime::{self, Output};
use freshet_schema::Epoch;
use freshet_schema::feed::Stage;
use freshet_schema::store::{Key, Value};
use freshet_sinks::{Commit, Embedded, EmbeddedOptions, FeedStore};

use crate::Bench;
use crate::lists_world::ListsWorld;
use crate::process::own_cpu;
use crate::report::{Figure, Target};

const GROUP: &str = "lists";

/// Measures the three runs, after one that counts candidates.
pub fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let world = ListsWorld { videos: 50_000, users: 5_000, epochs: bench.scaled(40), dirty: 250 };
    let counted = count(&ListsWorld { epochs: 1, ..world })?;

    let mut lists = 0;
    let without = run(&world, &params(false), |_, _| Ok(()))?;
    let with = run(&world, &params(true), |_, changes| {
        lists += changes.iter().filter(|(key, _)| matches!(key, Key::Feed(_))).count();
        Ok(())
    })?;
    let scratch = bench.worlds.scratch()?;
    let store = Embedded::open(&scratch.path().join("kv"), EmbeddedOptions::default())?;
    let stored = run(&world, &params(true), |epoch, mut changes| {
        changes.sort_by_cached_key(|(key, _)| key.to_string());
        store.commit(&Commit { epoch, changes })?;
        Ok(store.sync()?)
    })?;
    ensure!(
        lists as u64 == world.epochs * world.dirty,
        "{lists} lists were made of {}",
        world.epochs * world.dirty
    );
    let rate = |cpu: f64| lists as f64 / (cpu - without);
    let workload = format!(
        "{lists} lists; {} videos, {} users, {} dirty an epoch",
        world.videos, world.users, world.dirty
    );
    Ok(vec![
        Figure::new(GROUP, "candidates a list, mean", counted.candidates, "videos", Target::None)
            .note("distinct, after the quotas, watched ones left out"),
        Figure::new(GROUP, "lists per CPU-second", rate(with), "lists", Target::AtLeast(2000.0)).note(
            format!(
                "{workload}; {:.0} us a list, encoded, not stored",
                (with - without) / lists as f64 * 1e6
            ),
        ),
        Figure::new(GROUP, "lists per CPU-second, stored", rate(stored), "lists", Target::None).note(
            format!("with the embedded store's write of {:.0} B a list and a sync an epoch", counted.bytes),
        ),
        Figure::new(
            GROUP,
            "the same epochs without lists",
            without / lists as f64 * 1e6,
            "us an event",
            Target::None,
        ),
    ])
}

fn params(lists: bool) -> Params {
    let mut params = Params::default();
    params.feed.enabled = lists;
    // Only dirty users: no list of the filling grows old.
    params.feed.refresh_after = 30 * DAY;
    params
}

/// Means over lists.
struct Counted {
    candidates: f64,
    bytes: f64,
}

/// Keeps every dropped candidate, so that the records tell how many there were.
fn count(world: &ListsWorld) -> anyhow::Result<Counted> {
    let mut params = params(true);
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
    let epochs = world.measured();
    let before = own_cpu()?;
    for input in epochs {
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
