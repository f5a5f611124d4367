//! The feed server: beside a pipeline on a thread of its own, or as a process over a store that others write.
//!
//! Beside an embedded store one thread answers everything, as a read takes microseconds. A read from another machine takes
//! as long as that machine takes; there each call to the store steps aside ([`Aside`]), so that a slow store delays those who
//! ask it and nobody else, and `/healthz` answers all the while.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use freshet_feed_server::{Options, Readiness, ServerState, SystemClock};
use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation};
use freshet_sinks::store::Pages;
use freshet_sinks::{Bytes, Claim, Commit, FeedStore, StoreError};
use tokio::sync::{oneshot, watch};
use tokio::task::block_in_place;

use crate::config::{Config, StoreKind};
use crate::input;
use crate::open_store::open_store;
use crate::service::{listen_to_signals, on_thread};
use crate::telemetry;

/// Calls to a store on another machine that may be under way at once; each has a connection.
const REMOTE_CALLS: usize = 64;

/// Serves from the store until a signal comes.
///
/// # Errors
/// Where the store is none that several processes can read, or the address cannot be listened on.
pub fn run(config: &Config) -> anyhow::Result<()> {
    if config.store.kind != StoreKind::Redis {
        bail!(
            "store.kind = \"embedded\": that store belongs to the process that writes it, and `freshet run` serves it; a feed \
             server of its own needs kind = \"redis\" under [store]"
        );
    }
    telemetry::start_logs(&config.log, None)?;
    let metrics = telemetry::start_metrics()?;
    let store = open_store(config)?;
    let listener = TcpListener::bind(config.server.listen).with_context(|| {
        format!("server.listen = \"{}\": choose another address with --listen", config.server.listen)
    })?;
    let address = listener.local_addr()?;
    let mut state = ServerState::new(Arc::clone(&store), Arc::new(SystemClock));
    state.options = Arc::new(Options {
        feed_length: config.params.feed.length,
        bearer_token: config.server.token.clone(),
        ..Options::default()
    });
    state.ready = Arc::new(move || match ready(&*store) {
        Ok(()) => Readiness::Ready,
        Err(reason) => Readiness::NotReady(reason),
    });
    let rendering = metrics.clone();
    state.metrics_text = Arc::new(move || rendering.render());
    match input::shared_event_sink(config)? {
        Ok(events) => {
            state.validate = input::rules(config, Arc::clone(&state.clock));
            state.events = Some(events);
        }
        Err(reason) => {
            tracing::warn!(
                reason,
                "this server takes no events and does not record the pages that it hands out"
            );
        }
    }
    let events = state.events.clone();

    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the async runtime")?;
    runtime.block_on(async {
        let (stopping, stopped) = watch::channel(false);
        listen_to_signals(stopping)?;
        let mut ended = spawn(listener, state, stopped)?;
        // Scripts wait for the first line. Whoever stopped reading it does not end the service.
        let _ = writeln!(std::io::stdout(), "serving on http://{address}/");
        loop {
            tokio::select! {
                ended = &mut ended => {
                    if let Some(events) = &events {
                        events.close();
                    }
                    return ended.context("the feed server panicked")?.context("the feed server");
                }
                () = tokio::time::sleep(Duration::from_secs(5)) => {
                    metrics.run_upkeep();
                    crate::metrics_text::process();
                }
            }
        }
    })
}

/// Starts the feed server on a thread and a runtime of its own, so that a reader waits for nothing but other readers, and
/// what reading costs can be seen from outside.
pub(crate) fn spawn(
    listener: TcpListener,
    mut state: ServerState,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<oneshot::Receiver<anyhow::Result<()>>> {
    listener.set_nonblocking(true).context("the feed server's socket")?;
    let shutdown = async move {
        // An error means that nobody can send any more: the process ends then as well.
        drop(stopped.wait_for(|stopping| *stopping).await);
    };
    let remote = state.store.is_remote();
    if remote {
        state.store = Arc::new(Aside(state.store));
    }
    on_thread("feed-server", move || {
        let mut builder = match remote {
            false => tokio::runtime::Builder::new_current_thread(),
            true => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder
            .worker_threads(1)
            .max_blocking_threads(REMOTE_CALLS)
            .thread_name("feed-server")
            .enable_all()
            .build()
            .context("the async runtime")?;
        let serving = async move {
            let listener = tokio::net::TcpListener::from_std(listener).context("the socket")?;
            freshet_feed_server::serve(listener, state, shutdown).await;
            anyhow::Ok(())
        };
        match remote {
            false => runtime.block_on(serving),
            // On a worker, which can step aside, unlike the thread that waits here.
            true => {
                runtime.block_on(async { tokio::spawn(serving).await.context("the feed server panicked")? })
            }
        }
    })
}

/// Whether a store can be read, asked from a task of [`spawn`].
pub(crate) fn ready(store: &dyn FeedStore) -> Result<(), String> {
    if store.is_remote() { block_in_place(|| store.ready()) } else { store.ready() }
}

/// A store whose calls let the runtime's other tasks go on elsewhere while they wait.
struct Aside(Arc<dyn FeedStore>);

impl FeedStore for Aside {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        block_in_place(|| self.0.get(key))
    }

    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        block_in_place(|| self.0.get_many(keys))
    }

    fn claim(&self, claim: &Claim) -> Result<Generation, StoreError> {
        block_in_place(|| self.0.claim(claim))
    }

    fn commit(&self, commit: &Commit) -> Result<bool, StoreError> {
        block_in_place(|| self.0.commit(commit))
    }

    fn marker(&self) -> Result<Option<Epoch>, StoreError> {
        block_in_place(|| self.0.marker())
    }

    fn sync(&self) -> Result<(), StoreError> {
        block_in_place(|| self.0.sync())
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn ready(&self) -> Result<(), String> {
        block_in_place(|| self.0.ready())
    }

    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        block_in_place(|| self.0.scan(prefix, from, limit))
    }

    fn sample(&self, prefix: &str, limit: usize) -> Result<Vec<Key>, StoreError> {
        block_in_place(|| self.0.sample(prefix, limit))
    }

    fn pages<'a>(&'a self, prefix: &'a str, page: usize) -> Pages<'a> {
        block_in_place(|| self.0.pages(prefix, page))
    }
}
