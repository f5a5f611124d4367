//! A job in several processes: who this one is, how it finds the others, and how it ends when one is lost.
//!
//! Process 0 runs the whole service ([`crate::service`]); the others hold workers ([`member`]). Both kinds are children of a
//! supervisor ([`crate::supervisor`]), which tells them where the others are.

pub mod hosts;
pub mod member;

use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use freshet_operators::cluster::{Cluster, Events, FormError, Formed, Plan, form};
use freshet_schema::hash;

use crate::config::Config;
use crate::supervisor::{Begin, Parent};

/// Exit code of a process that ends because another one is lost: `EX_TEMPFAIL`, try again.
pub const LOST: u8 = 75;

/// What ends the service well; with `true`, at once.
pub type Stop = Arc<dyn Fn(bool) + Send + Sync>;

/// This process among those of its job.
pub struct Seat {
    /// Its number, from 0.
    pub process: usize,
    /// `HOST:PORT` of each.
    addresses: Vec<String>,
    /// How often the supervisor has begun the job again.
    pub restarts: u64,
    /// Where this process listens; a job of one process has no listener.
    listener: Option<TcpListener>,
    parent: Parent,
    stop: Mutex<Option<Stop>>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat")
            .field("process", &self.process)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Seat {
    /// Takes the seat that the supervisor gives: listens, says where, and hears where the others are.
    ///
    /// # Errors
    /// Where this process is no child of a supervisor, or its address cannot be listened on.
    pub fn take(process: usize, hosts: Option<Vec<String>>, processes: usize) -> anyhow::Result<Self> {
        let parent = Parent::of_stdin()?;
        let listener = match &hosts {
            _ if processes == 1 => None,
            None => Some(TcpListener::bind("127.0.0.1:0").context("a port of 127.0.0.1 for the cluster")?),
            Some(hosts) => Some(TcpListener::bind(&hosts[process]).with_context(|| {
                format!(
                    "process {process}: {} cannot be listened on; the hosts file names it",
                    hosts[process]
                )
            })?),
        };
        let listening = match (&hosts, &listener) {
            (None, Some(listener)) => listener.local_addr().context("the cluster's port")?.to_string(),
            _ => String::new(),
        };
        parent.listening(listening)?;
        let Begin { addresses, restarts } = parent.begin()?;
        let addresses = hosts.unwrap_or(addresses);
        Ok(Self { process, addresses, restarts, listener, parent, stop: Mutex::new(None) })
    }

    /// Number of processes.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// `stop` is what ends this process well: the supervisor asks for it, and so may the other processes.
    ///
    /// # Errors
    /// Where there is no thread.
    pub fn on_stop(&self, stop: Stop) -> anyhow::Result<()> {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&stop));
        self.parent.on_stop(move |at_once| stop(at_once))
    }

    /// The job runs: from now on it is worth to be begun again.
    pub fn up(&self) {
        self.parent.up();
    }

    /// Finds the others. `None`: told to stop before.
    fn form(&self, config: &Config, stop: &AtomicBool) -> anyhow::Result<Option<Formed>> {
        let listener =
            self.listener.as_ref().ok_or_else(|| anyhow!("a job of one process has no cluster"))?;
        let plan = Plan {
            process: self.process,
            addresses: self.addresses.clone(),
            workers: config.graph.workers,
            fingerprint: fingerprint(config),
            wait: Duration::from_millis(config.cluster.wait_ms),
        };
        tracing::info!(processes = self.processes(), "the processes of the cluster look for each other");
        match form(listener, plan, stop) {
            Ok(formed) => Ok(Some(formed)),
            Err(FormError::Stopped) => Ok(None),
            // Another machine may be on its way.
            Err(error @ FormError::Late { .. }) => end_lost(&error.to_string()),
            Err(error) => Err(error).context("the cluster"),
        }
    }

    /// Process 0 with the others, ready to start the graph. `None`: told to stop before, or this is the only process.
    ///
    /// # Errors
    /// Where the others are of another kind, or of the network.
    pub fn coordinate(&self, config: &Config, stop: &AtomicBool) -> anyhow::Result<Option<Cluster>> {
        end_on_panic();
        let Some(formed) = self.form(config, stop)? else { return Ok(None) };
        let asked = self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = move || {
            if let Some(asked) = &asked {
                asked(false);
            }
        };
        let events = Events { lost: Arc::new(|what| end_lost(what)), stop: Arc::new(asked) };
        let patience = Duration::from_millis(config.cluster.lost_after_ms);
        Ok(Some(Cluster::new(formed, patience, &events).context("the cluster")?))
    }
}

/// What all processes must agree on.
fn fingerprint(config: &Config) -> u64 {
    hash::text(&format!("{} {:?}", env!("CARGO_PKG_VERSION"), config.params))
}

/// Ends this process because another one is lost. Nothing is closed: what is durable is so already, and a restart goes on from there.
/// Several threads may notice; the first one tells.
fn end_lost(what: &str) -> ! {
    static TOLD: AtomicBool = AtomicBool::new(false);
    while TOLD.swap(true, Relaxed) {
        std::thread::park();
    }
    tracing::error!(
        "{what}; this process ends, and the job goes on from its last checkpoint when it is begun again"
    );
    std::process::exit(i32::from(LOST));
}

/// The same where there is one process: a worker that is alone is waited for, and its panic is told by whoever waits.
pub(crate) fn end_on_panic_beside(workers: usize) {
    if workers > 1 {
        end_on_panic();
    }
}

/// Where a thread of the dataflow panics the others wait for it for ever: from now on such a panic ends the process.
pub(crate) fn end_on_panic() {
    static HOOKED: AtomicBool = AtomicBool::new(false);
    if HOOKED.swap(true, Relaxed) {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        let other = name.strip_prefix("timely:recv-").or_else(|| name.strip_prefix("timely:send-"));
        if let Some(other) = other {
            end_lost(&format!("process {other} is lost: its connection broke"));
        }
        before(panic);
        if name.starts_with("timely:work-") {
            end_lost("a worker of this process panicked");
        }
    }));
}
