//! A process that is not the first: workers, and nothing else. It opens no input, no store and no port but the cluster's.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use freshet_operators::cluster::Member;

use super::{Seat, end_lost, end_on_panic};
use crate::config::Config;
use crate::telemetry;

/// Asks the first process to end the job.
type Ask = Box<dyn Fn() + Send>;

/// Works until the first process ends the job.
///
/// # Errors
/// Where the cluster does not come together, or of the workers.
pub fn run(config: &Config, seat: &Seat) -> anyhow::Result<()> {
    telemetry::start_logs(&config.log, Some(seat.process))?;
    end_on_panic();
    // Who is asked to end before there is a cluster just ends; later the first process is asked to end the job.
    let early = Arc::new(AtomicBool::new(false));
    let ask: Arc<Mutex<Option<Ask>>> = Arc::default();
    let (stopped, asks) = (Arc::clone(&early), Arc::clone(&ask));
    seat.on_stop(Arc::new(move |_at_once| {
        stopped.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(ask) = &*asks.lock().unwrap_or_else(PoisonError::into_inner) {
            ask();
        }
    }))?;
    let Some(formed) = seat.form(config, &early)? else { return Ok(()) };
    let patience = Duration::from_millis(config.cluster.lost_after_ms);
    let member = Member::new(formed, patience, Arc::new(|what| end_lost(what))).context("the cluster")?;
    {
        let mut ask = ask.lock().unwrap_or_else(PoisonError::into_inner);
        *ask = Some(member.stopper());
        if early.load(std::sync::atomic::Ordering::Relaxed) {
            ask.iter().for_each(|ask| ask());
        }
    }
    tracing::info!(workers = config.graph.workers, "connected to all processes of the cluster");
    seat.up();
    member.serve(&config.params).map_err(|error| anyhow!("the dataflow: {error}"))?;
    tracing::info!("the job has ended");
    Ok(())
}
