//! The feed server: HTTP over a store.
//!
//! It computes nothing: lists are ranked when something happens, not when somebody asks, so a read is a lookup and a cut.
//! It knows the pipeline only through the store, the event log and a clock, and can be replaced by any program that reads
//! `docs/store.md`. What it adds is what a store cannot: pages without repeats ([`scroll`]), a log of what was handed out,
//! reasons in words, and a way for events to come in.
//!
//! Store reads run on the async threads: they are memory lookups for what is hot and one disk read for what is not, both
//! shorter than a hand-over to a pool of blocking threads would be worth.

pub mod cursor;
mod events;
mod feed;
mod negotiate;
mod operations;
mod problem;
mod routes;
pub mod scroll;
mod state;
mod telemetry;
mod trending;
mod video;
mod view;
mod why;

use std::future::Future;
use std::io;
use std::time::Duration;

pub use problem::{CONTENT_TYPE as PROBLEM_CONTENT_TYPE, Problem};
pub use routes::{ROUTES, router};
pub use state::{Clock, Options, Readiness, ServerState, SystemClock, Validate};
pub use telemetry::describe as describe_metrics;

/// How long open connections may take to end after `shutdown`.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown` resolves, then stops accepting, lets requests under way finish (for at most five seconds, so
/// that a client which sends nothing cannot hold the process) and returns.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    state: ServerState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let graceful = async move {
        shutdown.await;
        // An error would mean that nobody waits any more.
        let _ = stopping.send(true);
    };
    let server = axum::serve(listener, router(state)).with_graceful_shutdown(graceful);
    let overdue = async move {
        // An error means that the server has ended by itself: then there is nothing to cut short.
        if stopped.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = async { server.await } => result,
        () = overdue => {
            tracing::warn!(seconds = DRAIN.as_secs(), "connections were still open after the shutdown and were cut");
            Ok(())
        }
    }
}
