//! Ctrl-C for commands that work for long without a service: the first asks for a clean end, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context;
use tokio::sync::watch;

use crate::service;

/// Listens as long as it lives.
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

impl Interrupt {
    /// Begins to listen to SIGINT and SIGTERM.
    ///
    /// # Errors
    /// Where a thread or a signal handler cannot be had.
    pub fn listen() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("signals")
            .enable_all()
            .build()
            .context("the async runtime")?;
        let flag = Arc::new(AtomicBool::new(false));
        let (stopping, mut stopped) = watch::channel(false);
        {
            let _inside = runtime.enter();
            service::listen_to_signals(stopping)?;
        }
        let raised = Arc::clone(&flag);
        runtime.spawn(async move {
            if stopped.wait_for(|stopping| *stopping).await.is_ok() {
                raised.store(true, Relaxed);
                eprintln!("stopping: a second signal ends at once");
            }
        });
        Ok(Self { flag, _runtime: runtime })
    }

    /// Raised by the first signal.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }
}
