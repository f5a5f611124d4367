//! `freshet forget`: a delete, and then everything that Freshet itself keeps of the subject beside the state.
//!
//! The state forgets by the delete alone: every view is then as if the subject had never been, lists are remade, keys leave the store.
//! What is left are copies of what came in: the archive, the log that Freshet writes, dead letters, and checkpoints of the state from
//! before. They follow in this order, each step safe to repeat: wait until the delete's epoch is in the store; take rows out of the
//! archive; blank dead letters; make a checkpoint and drop those that are older than the delete; and, where the service is stopped, blank
//! the lines of the live part files, whose checksums the checkpoint knows ([`log`]).
//!
//! What was done, and what cannot be reached, stands in a certificate.

mod left;
pub mod log;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use freshet_archive::objects::SCHEME;
use freshet_archive::{Folder, Forgetting};
use freshet_schema::event::Target;
use freshet_schema::{Delete, Epoch, Event, EventId, Millis, UserId, hash};
use freshet_sinks::{EventSink, FeedStore, Mention};
use serde_json::{Value as Json, json};

use crate::checkpoint::Checkpoints;
use crate::config::{Config, InputSource};
use crate::job;
use crate::progress::{Phase, Progress, RunOptions};

/// The longest time that a running service takes from a posted delete to its epoch in the store.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(2);

/// Where a running service takes events in, once it does.
pub type Events = Arc<OnceLock<Arc<dyn EventSink>>>;

/// The delete of a target.
///
/// # Errors
/// Where the clock of this machine stands before 1970.
fn delete(target: Target, event_time: Millis) -> anyhow::Result<Delete> {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock of this machine")?;
    let (what, ids) = match target {
        Target::User { user_id } => (1, [user_id.0, 0]),
        Target::Video { video_id } => (2, [video_id.0, 0]),
        Target::Interaction { user_id, target_event_id } => (3, [user_id.0, target_event_id.0]),
    };
    let nanos = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
    // Unlike any other delete's; below 2^53, so that every client reads it.
    let event_id = EventId(hash::mix(nanos, &[what, ids[0], ids[1], std::process::id().into()]) >> 11);
    Ok(Delete { event_id, revision: 0, event_time, target })
}

/// Forgets in the service that runs here.
///
/// # Errors
/// Where the delete is not taken, or something could not be taken out; what was done until then stays done.
pub fn live(
    config: &Config,
    target: Target,
    progress: &Progress,
    events: &Events,
    store: &dyn FeedStore,
    checkpoint: &dyn Fn() -> anyhow::Result<Json>,
) -> anyhow::Result<Json> {
    let Some(events) = events.get() else {
        bail!("this service follows no input (input.follow = false, or --once): it takes no deletes");
    };
    if progress.phase() != Phase::Live {
        bail!("the service is not live yet ({}): try again when it is ready", progress.phase().as_str());
    }
    let delete = delete(target, progress.now())?;
    events.append(&[Event::Delete(delete.clone())])?.wait()?;
    let epoch = wait("the delete to be read", || progress.epoch_of_delete(delete.event_id))?;
    wait("the delete's epoch to be in the store", || {
        (progress.last_epoch.load(Relaxed) >= epoch.0).then_some(())
    })?;
    let forgetting = Forgetting { delete, epoch };
    let archive = match (progress.archive.get(), &config.archive.dir) {
        (Some((_, archive)), Some(dir)) => {
            let forgotten =
                archive.forget(forgetting.clone()).map_err(|what| anyhow!(what)).context("the archive")?;
            json!({ "dir": dir, "rows": forgotten.rows })
        }
        _ => Json::Null,
    };
    let letters = letters(progress, target)?;
    let checkpoints = checkpoints(config, epoch, checkpoint)?;
    let log = json!({ "done": false, "why": "the service runs: run the same command when it is stopped" });
    certificate(config, &forgetting, store, archive, letters, checkpoints, log)
}

/// Forgets where no service runs: lets the job drain the input, appends the delete, lets the job read that, and takes out the rest.
///
/// # Errors
/// As [`live`].
pub fn stopped(config: &Config, target: Target) -> anyhow::Result<Json> {
    log::finish(config)?;
    let mut config = config.clone();
    config.input.follow = false;
    config.checkpoint.at_end = true;
    let store: Arc<dyn FeedStore> = crate::open_store::open_store(&config)?;
    // What a service had not read when it was killed, or what came into topics since, is older than the delete, as well as what it had
    // read after its last checkpoint: so all of it is read first.
    let drained = drain(&config, &store)?.now_ms.load(Relaxed);
    let delete = delete(target, end_of_log(&config, Millis(drained))?)?;
    let events = crate::input::event_sink(&config)?;
    events.append(&[Event::Delete(delete.clone())])?.wait()?;
    events.close();
    drop(events);

    let progress = drain(&config, &store)?;
    store.sync().context("the store")?;
    let Some(epoch) = progress.epoch_of_delete(delete.event_id) else {
        bail!("the delete {} was appended and not read: see that the input is complete", delete.event_id);
    };
    let forgetting = Forgetting { delete, epoch };
    let archive = match &config.archive.dir {
        Some(dir) => {
            let folder = Folder::claim(dir.as_ref()).context("the archive")?;
            let own = folder.own(|held| held.ok_or_else(|| folder.none()));
            let (manifest, _) = own.context("the archive")?;
            let (_, forgotten) =
                freshet_archive::forget::forget(&folder, &manifest, &forgetting).context("the archive")?;
            json!({ "dir": dir, "rows": forgotten.rows })
        }
        None => Json::Null,
    };
    let letters = letters(&progress, target)?;
    // The job made one at its end.
    let made =
        || Ok(json!({ "last": { "epoch": open(&config)?.manifests()?.first().map(|(epoch, _)| epoch.0) } }));
    let checkpoints = checkpoints(&config, epoch, &made)?;
    let last = Epoch(progress.last_epoch.load(Relaxed));
    let log = log::scrub(&config, &forgetting, last).context("the log")?;
    certificate(&config, &forgetting, &*store, archive, letters, checkpoints, log)
}

/// Runs the job until the input is drained.
fn drain(config: &Config, store: &Arc<dyn FeedStore>) -> anyhow::Result<Arc<Progress>> {
    let progress = Arc::new(Progress::default());
    let options = RunOptions { once: true, progress: Arc::clone(&progress), seat: None };
    job::run(config, Arc::clone(store), options, Arc::new(AtomicBool::new(false))).context("the job")?;
    Ok(progress)
}

/// The clock at the end of what was read: a replayed world has one of its own. `drained` is that of the last epoch that was read just now,
/// 0 where a checkpoint had all of them.
fn end_of_log(config: &Config, drained: Millis) -> anyhow::Result<Millis> {
    let manifests = open(config)?.manifests()?;
    let held = manifests.into_iter().find_map(|(_, manifest)| manifest.ok());
    let last = held.map_or(drained, |manifest| manifest.input.base.now.max(drained));
    if last > Millis(0) {
        return Ok(last);
    }
    // Nothing was ever read.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock of this machine")?;
    Ok(Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)))
}

fn open(config: &Config) -> anyhow::Result<Checkpoints> {
    Ok(Checkpoints::open(&config.checkpoint.dir, config.checkpoint.keep)?)
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if since.elapsed() > PATIENCE {
            bail!(
                "waited {} s for {what}: the delete is in the log and will be read; run the command again then",
                PATIENCE.as_secs()
            );
        }
        std::thread::sleep(LOOK);
    }
}

/// Blanks the dead letters of the subject. The file is held by this process, as long as there is the progress of its job.
fn letters(progress: &Progress, target: Target) -> anyhow::Result<u64> {
    let Some(file) = progress.dead_letter_file.get() else { return Ok(0) };
    let mut file = file.lock().map_err(|_| anyhow!("the dead letters failed before"))?;
    Ok(file.redact(&mentions(target))?)
}

/// What a dead letter of the subject mentions.
fn mentions(target: Target) -> Vec<Mention> {
    let user = |user: UserId| Mention { number: user.0, fields: &["user_id"] };
    match target {
        Target::User { user_id } => vec![user(user_id)],
        Target::Video { video_id } => vec![Mention { number: video_id.0, fields: &["video_id"] }],
        Target::Interaction { user_id, target_event_id } => {
            let event = Mention { number: target_event_id.0, fields: &["event_id", "target_event_id"] };
            vec![user(user_id), event]
        }
    }
}

/// Makes a checkpoint and drops those from before the delete.
fn checkpoints(
    config: &Config,
    epoch: Epoch,
    checkpoint: &dyn Fn() -> anyhow::Result<Json>,
) -> anyhow::Result<Json> {
    if config.checkpoint.every_ms == 0 {
        // Of a time when they were made.
        let checkpoints = open(config)?;
        let none = checkpoints.manifests()?.is_empty();
        let held = if none { Vec::new() } else { checkpoints.drop_before(epoch)? };
        return Ok(json!({ "made": null, "dropped": held.iter().map(|e| e.0).collect::<Vec<_>>() }));
    }
    let made = checkpoint().context("a checkpoint")?;
    let made = made["last"]["epoch"].as_u64().filter(|made| *made >= epoch.0);
    let Some(made) = made else {
        bail!("no checkpoint was made behind epoch {epoch}; those from before the delete were not dropped");
    };
    let dropped = open(config)?.drop_before(epoch).context("the checkpoints")?;
    Ok(json!({ "made": made, "dropped": dropped.iter().map(|e| e.0).collect::<Vec<_>>() }))
}

fn certificate(
    config: &Config,
    forgetting: &Forgetting,
    store: &dyn FeedStore,
    archive: Json,
    letters: u64,
    checkpoints: Json,
    log: Json,
) -> anyhow::Result<Json> {
    let target = forgetting.delete.target;
    let (keys, named) = (left::keys(store, target)?, left::named(store, target).context("the store")?);
    let mut beyond = vec!["backups of any of these folders".to_owned()];
    match config.input.source {
        InputSource::Kafka => beyond.push(
            "the records in Kafka: until their retention ends, or they are deleted there; a start from the topics' beginning \
             counts none of them, as the delete covers them"
                .to_owned(),
        ),
        InputSource::Files => beyond.push(format!(
            "part files in {} that Freshet did not write (all but part-live.jsonl): their rows are covered by the delete, and \
             whoever wrote them can remove them together with the journal and the checkpoints",
            config.input.dir.display()
        )),
    }
    beyond.push(format!(
        "what came with an event time after the delete's ({} ms since 1970), as a client may date it up to clock.max_future_skew ahead: it \
         counts, as that of one who came back; and, in the archive and the log, rows that the delete covers and that come after it, of \
         which none counts. The same command again takes both out",
        forgetting.delete.event_time
    ));
    let places = [config.checkpoint.dir.to_str(), config.archive.dir.as_deref()];
    let buckets: Vec<&str> = places.into_iter().flatten().filter(|place| place.starts_with(SCHEME)).collect();
    if !buckets.is_empty() {
        beyond.push(format!(
            "old versions of what was deleted under {}, where the bucket keeps versions: until its own rules remove them",
            buckets.join(" and ")
        ));
    }
    if archive.is_null() {
        beyond.push("an archive, as archive.dir is not set".to_owned());
    }
    if let Some(topic) = &config.kafka.dead_letters {
        beyond.push(format!("the topic {topic} of dead letters"));
    }
    beyond.push(
        "what was learned: weights, thresholds and baselines that were published before the delete, and places in other \
         people's lists of the past"
            .to_owned(),
    );
    Ok(json!({
        "delete": forgetting.delete, "epoch": forgetting.epoch.0, "store": keys, "values": named, "archive": archive,
        "dead_letters": letters, "checkpoints": checkpoints, "log": log, "beyond_reach": beyond,
    }))
}
