//! What `freshet run` starts, and how it ends.
//!
//! Order of the start: everything that can fail early and cheaply comes first (input, store, control socket, port), the
//! job last. Order of the end: the feed server stops accepting and finishes what it answers; the event log syncs what
//! was posted; the job drains the epochs that are closed; the store syncs. Posted events that the job no longer sees are
//! in the log, and the next start reads them. A second signal ends the process at once; the journal and the store's
//! marker make that safe too.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use freshet_feed_server::{Clock, Options, Readiness, ServerState};
use freshet_operators::runtime::Looker;
use freshet_schema::sockets;
use freshet_schema::store::{Key, Value};
use freshet_schema::{Millis, UserId, VideoId};
use freshet_sinks::{EventSink, FeedStore};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{oneshot, watch};

use crate::checkpoint::Status;
use crate::cluster::{Seat, end_on_panic_beside};
use crate::config::Config;
use crate::control::{self, Task};
use crate::forget;
use crate::input;
use crate::job;
use crate::progress::{Phase, Progress, RunOptions};
use crate::progress_display::{Display, count, summary};
use crate::store_gate::GatedStore;
use crate::suspects::Suspects;
use crate::tables::{self, Report, Source, TableServer};
use crate::telemetry;

/// How to run, beside the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// End when the input is drained; no feed server.
    pub once: bool,
    /// Show no progress.
    pub quiet: bool,
}

/// Exit code of a process that a second signal ended: 128 + SIGINT.
const INTERRUPTED_TWICE: i32 = 130;

/// Runs the pipeline and, unless `once`, the feed server, until the input is drained or a signal comes. With a `seat` it is the
/// first process of a supervisor's job.
///
/// # Errors
/// Where a part cannot be started or fails while running.
pub fn run(config: &Config, mode: Mode, seat: Option<Arc<Seat>>) -> anyhow::Result<()> {
    let process = seat.as_deref().filter(|seat| seat.processes() > 1).map(|seat| seat.process);
    telemetry::start_logs(&config.log, process)?;
    input::check(config)?;
    end_on_panic_beside(config.graph.workers);
    let metrics = telemetry::start_metrics()?;
    if let Some(seat) = &seat {
        crate::metrics_text::supervised(seat.restarts, seat.processes());
    }
    let progress = Arc::new(Progress::default());
    let store = open_store(config)?;
    // The store is this process's alone from here on, and so are the log's own files.
    forget::log::finish(config).context("a forget that was interrupted")?;
    let socket = control::socket_path(&config.store.dir).context("the store's folder")?;
    let running = Arc::clone(&progress);
    let stats: control::Stats = Arc::new(move || {
        let mut stats = running.snapshot().to_json();
        stats["checkpoint"] = running.checkpoints.to_json();
        stats
    });
    let events = forget::Events::default();
    let order = order(config, &progress, &events, &store);
    let control = control::serve(Arc::clone(&store), stats, order, &socket)?;
    let tables = serve_tables(config, &store, &progress)?;

    // Signals, the announcement, upkeep. What works has a thread of its own: the feed server, the job, the control socket.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the async runtime")?;
    let outcome = runtime.block_on(run_parts(config, mode, seat, &progress, &store, &events, metrics));
    // The job is gone, whatever the outcome: what it committed is kept.
    let synced = if outcome.is_ok() { store.sync().context("the store's last sync") } else { Ok(()) };
    drop(tables);
    drop(control);
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome.and(synced)
}

async fn run_parts(
    config: &Config,
    mode: Mode,
    seat: Option<Arc<Seat>>,
    progress: &Arc<Progress>,
    store: &Arc<GatedStore>,
    posted: &forget::Events,
    metrics: PrometheusHandle,
) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, stopped) = watch::channel(false);
    listen_to_signals(stopping.clone())?;
    if let Some(seat) = &seat {
        let stopping = stopping.clone();
        seat.on_stop(Arc::new(move |at_once| {
            if at_once {
                std::process::exit(INTERRUPTED_TWICE);
            }
            stopping.send_replace(true);
        }))?;
    }

    let events = match config.input.follow && !mode.once {
        true => Some(input::event_sink(config)?),
        false => None,
    };
    if let Some(events) = &events {
        // A service is run once with its parts.
        let _ = posted.set(Arc::clone(events));
    }
    let server = if mode.once {
        None
    } else {
        let listener = TcpListener::bind(config.server.listen).with_context(|| {
            format!(
                "server.listen = \"{}\": choose another address with --listen or LISTEN",
                config.server.listen
            )
        })?;
        let address = listener.local_addr()?;
        let mut state = server_state(config, progress, store, events.clone(), metrics.clone());
        if let Some(seat) = seat.clone() {
            state.alive = Arc::new(move || {
                let (restarts, processes) = (seat.restarts, seat.processes());
                serde_json::json!({ "status": "ok", "restarts": restarts, "processes": processes })
            });
        }
        Some((address, crate::serve::spawn(listener, state, stopped.clone())?))
    };
    let shown = Arc::clone(progress);
    let upkeep = tokio::spawn(async move {
        for seconds in 0u64.. {
            crate::metrics_text::phase(shown.phase());
            crate::metrics_text::process();
            if seconds.is_multiple_of(5) {
                metrics.run_upkeep();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });

    let mut job = {
        let (config, store) = (config.clone(), Arc::clone(store) as Arc<dyn FeedStore>);
        let options = RunOptions { once: mode.once, progress: Arc::clone(progress), seat };
        let stop = Arc::clone(&stop);
        on_thread("job", move || job::run(&config, store, options, stop))?
    };
    let display = Display::start(progress, mode.quiet);
    let announce = tokio::spawn(announce(
        Arc::clone(progress),
        Arc::clone(store),
        server.as_ref().map(|(a, _)| *a),
        mode.quiet,
    ));

    // Whatever comes first: the job's end, the server's failure, or a signal.
    let (address, mut server) =
        server.map_or((None, None), |(address, server)| (Some(address), Some(server)));
    let mut signal = stopped.clone();
    let mut job_result = None;
    let mut server_result = Ok(());
    loop {
        tokio::select! {
            result = &mut job, if job_result.is_none() => {
                let failed = !matches!(result, Ok(Ok(_)));
                job_result = Some(result);
                // A drained log goes on being served.
                if failed || address.is_none() {
                    break;
                }
            }
            result = async { server.as_mut().expect("polled only where there is one").await }, if server.is_some() => {
                server = None;
                server_result = served(result);
                break;
            }
            _ = signal.wait_for(|stopping| *stopping) => {
                if !mode.quiet {
                    eprintln!("stopping: a second signal ends at once");
                }
                break;
            }
        }
    }

    stopping.send_replace(true);
    if let Some(server) = server {
        server_result = served(server.await);
    }
    if let Some(events) = events {
        events.close();
    }
    stop.store(true, Ordering::Relaxed);
    // Who asked for the end does not want to wait for a store that is away.
    store.give_up();
    let job_result = match job_result {
        Some(result) => result,
        None => job.await,
    };
    display.finish();
    announce.abort();
    upkeep.abort();
    if !mode.quiet {
        eprintln!("{}", summary(&progress.snapshot()));
    }
    job_result.context("the job panicked")?.context("the job")?;
    server_result
}

/// What reads the state.
fn looker(progress: &Progress) -> anyhow::Result<Looker> {
    let started =
        progress.looker.get().context("the job is starting: it has no state to read yet; try again")?;
    started.clone().context(
        "the job runs in several processes (cluster.processes), each with a part of the state: SQL reads a job of one process",
    )
}

/// Lets queries read the state.
fn serve_tables(
    config: &Config,
    store: &Arc<GatedStore>,
    progress: &Arc<Progress>,
) -> anyhow::Result<TableServer> {
    let (graph, reported) = (Arc::clone(progress), Arc::clone(progress));
    let source = Source {
        looker: Box::new(move || looker(&graph)),
        store: Arc::clone(store) as Arc<dyn FeedStore>,
        dead_letters: config.store.dead_letters_file(),
        archive: config.archive.place()?,
        report: Box::new(move || Report::of(&reported)),
        limits: tables::Limits::of(&config.sql),
    };
    let socket = sockets::socket(&config.store.dir, sockets::TABLES).context("the store's folder")?;
    tables::serve(source, &socket)
}

/// What the control socket has done by the job.
fn order(
    config: &Config,
    progress: &Arc<Progress>,
    events: &forget::Events,
    store: &Arc<GatedStore>,
) -> control::Order {
    let (config, progress) = (config.clone(), Arc::clone(progress));
    let (events, store) = (Arc::clone(events), Arc::clone(store));
    Arc::new(move |task| {
        let checkpoint = || match config.checkpoint.every_ms {
            0 => bail!(NONE_ARE_MADE),
            _ => ordered(&progress.checkpoints),
        };
        match task {
            Task::Checkpoint => checkpoint(),
            Task::Suspects => Ok(serde_json::to_value(Suspects::of(&looker(&progress)?)?)?),
            Task::Forget(target) => forget::live(&config, target, &progress, &events, &*store, &checkpoint),
        }
    })
}

/// Why there is nothing to order.
const NONE_ARE_MADE: &str = "checkpoint.every = \"0s\": this service makes no checkpoints";

/// Has a checkpoint made and waits until there is one.
fn ordered(status: &Status) -> anyhow::Result<serde_json::Value> {
    let request = status.ask();
    let failed = status.failed.load(Ordering::Relaxed);
    while status.answered.load(Ordering::Relaxed) < request {
        if status.closed.load(Ordering::Relaxed) {
            bail!(
                "the job has ended: it made its last checkpoint at its end, unless checkpoint.at_end = false"
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match status.error() {
        Some(error) if status.failed.load(Ordering::Relaxed) > failed => bail!(error),
        _ => Ok(status.to_json()),
    }
}

/// How the feed server ended.
fn served(result: Result<anyhow::Result<()>, oneshot::error::RecvError>) -> anyhow::Result<()> {
    result.context("the feed server panicked").and_then(|result| result.context("the feed server"))
}

/// Runs `work` on a thread of this name. Without an answer it has panicked.
pub(crate) fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<oneshot::Receiver<T>> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Who waits for it waits until the end of the process.
            drop(answer.send(work()));
        })
        .with_context(|| format!("the thread {name:?}"))?;
    Ok(answered)
}

fn open_store(config: &Config) -> anyhow::Result<Arc<GatedStore>> {
    make_dir(&config.store.dir, "store.dir")?;
    make_dir(&config.journal.dir, "journal.dir")?;
    Ok(Arc::new(GatedStore::new(crate::open_store::open_store(config)?)))
}

fn make_dir(dir: &Path, key: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| {
        format!(
            "{key} = {:?}: the folder cannot be made; name one that may be written",
            dir.display().to_string()
        )
    })
}

fn server_state(
    config: &Config,
    progress: &Arc<Progress>,
    store: &Arc<GatedStore>,
    events: Option<Arc<dyn EventSink>>,
    metrics: PrometheusHandle,
) -> ServerState {
    let mut state =
        ServerState::new(Arc::clone(store) as Arc<dyn FeedStore>, Arc::new(JobClock(Arc::clone(progress))));
    state.events = events;
    state.options = Arc::new(Options {
        feed_length: config.params.feed.length,
        bearer_token: config.server.token.clone(),
        ..Options::default()
    });
    state.validate = input::rules(config, Arc::clone(&state.clock));
    let (ready, readable) = (Arc::clone(progress), Arc::clone(store));
    state.ready = Arc::new(move || {
        if let Err(reason) = crate::serve::ready(&*readable) {
            return Readiness::NotReady(reason);
        }
        let now = ready.snapshot();
        match now.phase {
            Phase::Live | Phase::Drained => Readiness::Ready,
            phase => Readiness::NotReady(format!(
                "{}: {} events so far; lists may be old or missing",
                phase.as_str(),
                count(now.events)
            )),
        }
    });
    state.metrics_text = Arc::new(move || metrics.render());
    state
}

/// The pipeline's clock, for the feed server.
struct JobClock(Arc<Progress>);

impl Clock for JobClock {
    fn now(&self) -> Millis {
        self.0.now()
    }
}

/// The first signal asks for a clean end, the second ends the process.
pub(crate) fn listen_to_signals(stopping: watch::Sender<bool>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stopping.send_replace(true) {
                std::process::exit(INTERRUPTED_TWICE);
            }
        }
    });
    Ok(())
}

/// Says when the lists can be read, and how.
async fn announce(progress: Arc<Progress>, store: Arc<GatedStore>, address: Option<SocketAddr>, quiet: bool) {
    let Some(address) = address else { return };
    while progress.phase() < Phase::Live {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if !quiet {
        eprintln!("caught up: {}", summary(&progress.snapshot()));
    }
    let (user, video) = example(store.as_ref()).unwrap_or((UserId(1), VideoId(1)));
    // Standard output: scripts wait for the first line. Whoever stopped reading it does not end the service.
    let _ = writeln!(
        std::io::stdout(),
        "serving on http://{address}/   try:\n  \
         curl 'http://{address}/v1/feed/{user}?limit=5'\n  \
         curl 'http://{address}/v1/why/{user}/{video}'\n  \
         curl -H 'content-type: application/json' -d '{{\"user_id\":\"{user}\",\"video_id\":\"{video}\",\"watch_ms\":9000,\
         \"like\":true}}' 'http://{address}/v1/events'"
    );
}

/// A user who has a list, and its first video.
fn example(store: &dyn FeedStore) -> Option<(UserId, VideoId)> {
    let key = store.sample("feed:", 1).ok()?.into_iter().next()?;
    let bytes = store.get(&key).ok()??;
    match (Value::decode(&key, &bytes).ok()?, &key) {
        (Value::Feed(list), Key::Feed(user)) => Some((*user, VideoId(list.items.first()?.video_id))),
        _ => None,
    }
}
