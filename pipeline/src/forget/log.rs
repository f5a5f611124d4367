//! The part files that Freshet itself writes.
//!
//! The checkpoint and the journal know a file by the checksum of what was consumed of it, so its lines cannot be blanked alone. With the
//! service stopped and everything consumed in the newest checkpoint, the journal has nothing that the checkpoint has not: it goes, and the
//! next start begins a new one from the checkpoint, whose checksums are brought up to date. All that is written down in a plan first;
//! whatever ends the work in the middle, the next start or the next forget does all of it again, which changes nothing twice.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, bail};
use freshet_archive::Forgetting;
use freshet_schema::Epoch;
use freshet_sinks::event_log::LIVE_PART;
use freshet_sources::log::Partition;
use freshet_sources::log::scrub::{self, Scrub};
use freshet_sources::validate::Limits;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::open;
use crate::checkpoint::crash_point;
use crate::config::{Config, InputSource};

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// The checkpoint that everything is consumed in.
    epoch: Epoch,
    /// Where the log is.
    dir: PathBuf,
    files: Vec<PlannedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlannedFile {
    partition: String,
    scrub: Scrub,
}

fn plan_file(config: &Config) -> PathBuf {
    config.store.dir.join("forget-plan.json")
}

/// Blanks what a delete takes out of the live part files. `last` is the last epoch that was read: the journal, which goes, must know
/// nothing that the newest checkpoint does not.
///
/// # Errors
/// Where the newest checkpoint does not hold all that was consumed, or of the disk.
pub fn scrub(config: &Config, forgetting: &Forgetting, last: Epoch) -> anyhow::Result<Json> {
    if config.input.source == InputSource::Kafka {
        return Ok(json!({ "done": false, "why": "events come from Kafka" }));
    }
    if config.checkpoint.every_ms == 0 {
        return Ok(
            json!({ "done": false, "why": "checkpoint.every = \"0s\": the journal alone knows what was consumed" }),
        );
    }
    let manifests = open(config)?.manifests()?;
    let Some((_, Ok(manifest))) = manifests.into_iter().next() else {
        bail!("{}: the newest checkpoint cannot be used", config.checkpoint.dir.display());
    };
    let last = last.max(forgetting.epoch);
    if manifest.epoch < last {
        bail!(
            "{}: the newest checkpoint is of epoch {}, and the input was read up to epoch {last}: without one of that epoch the journal is \
             still needed, which knows the log as it is; see why none was made (`freshet checkpoint list`) and run the same command again",
            config.checkpoint.dir.display(),
            manifest.epoch
        );
    }
    let mut files = Vec::new();
    for at in &manifest.input.base.partitions {
        let own = at.name.rsplit('/').next() == Some(LIVE_PART);
        let Some(partition) = Partition::named(&config.input.dir, &at.name).filter(|_| own) else { continue };
        let most = Limits::default().record_bytes;
        let takes = |event: &freshet_schema::Event| forgetting.takes(event);
        let found = scrub::find(&partition.path, partition.kind, at.next_offset, most, takes)?;
        if found.before != at.checksum {
            bail!(
                "{}: its first {} bytes are not what the checkpoint of epoch {} consumed",
                partition.path.display(),
                at.next_offset,
                manifest.epoch
            );
        }
        if !found.spans.is_empty() {
            files.push(PlannedFile { partition: at.name.clone(), scrub: found });
        }
    }
    let lines: usize = files.iter().map(|file| file.scrub.spans.len()).sum();
    if lines > 0 {
        let dir = fs::canonicalize(&config.input.dir).context("input.dir")?;
        let plan = Plan { epoch: manifest.epoch, dir, files };
        let path = plan_file(config);
        let temporary = path.with_extension("tmp");
        let written = || -> io::Result<()> {
            fs::write(&temporary, serde_json::to_vec_pretty(&plan)?)?;
            fs::File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(&config.store.dir)?.sync_all()
        };
        written().with_context(|| path.display().to_string())?;
        crash_point("forget-planned").context("the plan")?;
        carry_out(config, &plan)?;
    }
    Ok(json!({ "done": true, "lines": lines }))
}

/// Does what an interrupted forget has left, if one has. To be called before the input is opened.
///
/// # Errors
/// Of the disk, or where the plan cannot be read.
pub fn finish(config: &Config) -> anyhow::Result<()> {
    let path = plan_file(config);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| path.display().to_string())?,
    };
    let plan: Plan = serde_json::from_slice(&text)
        .with_context(|| format!("{}: it was written by another release: start that one", path.display()))?;
    tracing::info!(epoch = plan.epoch.0, "an interrupted forget is carried out");
    carry_out(config, &plan)
}

fn carry_out(config: &Config, plan: &Plan) -> anyhow::Result<()> {
    let checkpoints = open(config)?;
    let found = checkpoints.manifests()?.into_iter().find(|(epoch, _)| *epoch == plan.epoch);
    let Some((_, Ok(mut manifest))) = found else {
        bail!(
            "{}: the checkpoint of epoch {}, by which an interrupted forget goes, cannot be used",
            config.checkpoint.dir.display(),
            plan.epoch
        );
    };
    for file in &plan.files {
        let Some(partition) = Partition::named(&plan.dir, &file.partition) else {
            bail!("{}: {} is no part file", plan_file(config).display(), file.partition);
        };
        scrub::blank(&partition.path, &file.scrub)?;
        crash_point("forget-blanked").context("the log")?;
        let at = manifest.input.base.partitions.iter_mut().find(|at| at.name == file.partition);
        if let Some(at) = at.filter(|at| at.checksum == file.scrub.before) {
            at.checksum = file.scrub.after;
        }
    }
    // Older ones know the old checksums, and there is a newer one.
    checkpoints.drop_before(plan.epoch)?;
    checkpoints.amend(&manifest)?;
    crash_point("forget-amended").context("the checkpoint")?;
    let journal = config.journal.file();
    let removed = || -> io::Result<()> {
        match fs::remove_file(&journal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::File::open(&config.journal.dir)?.sync_all()?;
        crash_point("forget-journal")?;
        fs::remove_file(plan_file(config))?;
        fs::File::open(&config.store.dir)?.sync_all()
    };
    removed().with_context(|| journal.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use freshet_schema::event::Target;
    use freshet_schema::{Delete, EventId, Millis, UserId};
    use freshet_sinks::{Embedded, EmbeddedOptions};

    use super::*;
    use crate::job;
    use crate::progress::{Progress, RunOptions};

    /// The journal alone knows what was consumed after the newest checkpoint: as long as it is needed, it stays, and so does the log.
    #[test]
    fn the_journal_stays_where_it_knows_more_than_the_checkpoint() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text =
            format!("[input]\ndir = {:?}\nfollow = false\n[store]\ndir = {:?}\n", path("log"), path("store"));
        let config = Config::resolve("test.toml", &text, &[], &|_| None).expect("a configuration");
        let live = dir.path().join("log/interactions").join(LIVE_PART);
        fs::create_dir_all(live.parent().expect("a folder")).expect("made");
        let time = 1_600_000_000_000u64;
        let line = format!("{{\"event_id\":1,\"event_time\":{time},\"user_id\":7,\"video_id\":3}}\n");
        fs::write(&live, &line).expect("written");
        fs::create_dir_all(&config.store.dir).expect("made");
        let store = Embedded::open(&config.store.kv_dir(), EmbeddedOptions::default()).expect("a store");
        let options = RunOptions { once: true, progress: Arc::new(Progress::default()), seat: None };
        let ran = job::run(&config, Arc::new(store), options, Arc::new(AtomicBool::new(false)));
        let last = ran.expect("a run").last_epoch;
        let (event_id, target) = (EventId(2), Target::User { user_id: UserId(7) });
        let delete = Delete { event_id, revision: 0, event_time: Millis(time), target };
        let forgetting = Forgetting { delete, epoch: last };
        let error = scrub(&config, &forgetting, last.next()).expect_err("an epoch that no checkpoint has");
        let error = format!("{error:#}");
        assert!(error.contains(&format!("up to epoch {}:", last.next())), "{error}");
        assert!(config.journal.file().exists() && fs::read_to_string(&live).expect("a log") == line);
        let done = scrub(&config, &forgetting, last).expect("done");
        assert_eq!(done, json!({ "done": true, "lines": 1 }));
        assert!(!config.journal.file().exists());
        assert!(fs::read_to_string(&live).expect("a log").trim().is_empty());
    }
}
