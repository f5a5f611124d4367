//! A stopped pipeline's state: a graph that begins with the newest checkpoint, is fed nothing, and is asked as a running one is.
//!
//! So what is shown of a checkpoint cannot differ from what the pipeline itself would show at that epoch. The price is the time
//! and the memory of a start. Nothing is written: neither the store nor the checkpoints are claimed.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow, bail};
use freshet_operators::runtime::{self, Durable, Job, Output};
use freshet_schema::Epoch;

use super::service::Report;
use super::snapshot::{Limits, Source};
use crate::cluster::end_on_panic_beside;
use crate::config::{Config, OnMismatch, StoreKind};
use crate::keeper::Start;
use crate::open_store::open_store;

/// A graph that stands still.
pub struct Standing {
    job: Option<Job>,
    outputs: Option<JoinHandle<()>>,
    epoch: Epoch,
    marker: Epoch,
}

impl Standing {
    /// Restores the newest checkpoint that can be used, and says where snapshots of it come from.
    ///
    /// # Errors
    /// Where there is no store or no checkpoint that can be used, or a service holds the store.
    pub fn open(config: &Config) -> anyhow::Result<(Self, Source)> {
        let dir = &config.store.dir;
        if config.store.kind == StoreKind::Embedded && !config.store.kv_dir().is_dir() {
            bail!(
                "store.dir = {:?}: there is no store in this folder; name the one that `freshet run` wrote with --store DIR or \
                 --config FILE",
                dir.display().to_string()
            );
        }
        let store = open_store(config).context("a service that runs is asked without --offline")?;
        // Parameters of the state that changed since would make it another state: never guessed here.
        let mut config = config.clone();
        config.checkpoint.on_mismatch = OnMismatch::Reject;
        let (epoch, restored) = Start::look(&config, &*store)?.read(&config)?.with_context(|| {
            format!(
                "checkpoint.dir = {:?}: there is no checkpoint to read; a service makes one now and then and at its end \
                 (checkpoint.every, checkpoint.at_end)",
                config.checkpoint.dir.display().to_string()
            )
        })?;
        end_on_panic_beside(config.graph.workers);
        let durable = Durable { restored: Some(Arc::new(restored)), taken: None };
        let (job, outputs) = runtime::start_durable(config.graph.workers, &config.params, false, durable)
            .map_err(|error| anyhow!("the dataflow: {error}"))?;
        let outputs = std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            for output in outputs {
                if let Output::Looked(look, epoch) = output {
                    look.passed(epoch.0);
                }
            }
        })?;
        let marker = store.marker()?.unwrap_or_default();
        let (epoch_number, marker_number) = (epoch.0, marker.0);
        let looker = job.looker().context("a graph of one process has all of the state")?;
        let source = Source {
            looker: Box::new(move || Ok(looker.clone())),
            store,
            dead_letters: config.store.dead_letters_file(),
            archive: config.archive.place()?,
            report: Box::new(move || Report::stopped(epoch_number, marker_number)),
            limits: Limits::of(&config.sql),
        };
        Ok((Self { job: Some(job), outputs: Some(outputs), epoch, marker }, source))
    }

    /// The checkpoint's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How far the store is: further than the checkpoint where the service did not end well.
    #[must_use]
    pub fn store_epoch(&self) -> Epoch {
        self.marker
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.job.take().map(Job::finish) {
            tracing::warn!(%error, "the graph did not end well");
        }
        if let Some(outputs) = self.outputs.take() {
            drop(outputs.join());
        }
    }
}
