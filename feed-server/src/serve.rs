//! The loop that accepts connections and answers on them.
//!
//! It stands on hyper itself: `axum::serve` cannot set how long a client may take for a request's head, and a client that
//! never sends one would hold its connection for ever. HTTP/1.1 alone is spoken, so nothing has to be guessed either.
//!
//! A connection is a task on the caller's runtime. One thread is enough, and cheapest: an answer takes some microseconds,
//! which is less than it costs to hand it to another thread. What takes longer must not run on it.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::routes::router;
use crate::state::ServerState;

/// How long open connections may take to end after `shutdown`.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait for file descriptors to become free, when there are none for a new connection.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Serves until `shutdown` resolves, then stops accepting, lets requests under way finish (for at most five seconds, so
/// that a client which sends nothing cannot hold the process) and returns.
///
/// A connection on which no whole request head arrives within `Options::head_timeout` is closed; kept connections too, when
/// they are idle for so long.
/// Nothing that a client does ends the others: a connection that fails is closed.
pub async fn serve(
    listener: TcpListener,
    state: ServerState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(state.options.head_timeout);
    let service = TowerToHyperService::new(router(state));
    let open = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = &mut shutdown => break,
        };
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            // Whose fault it is, the client knows: it closed, was too slow, or sent what is no HTTP.
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::warn!(
            seconds = DRAIN.as_secs(),
            "connections were still open after the shutdown and were cut"
        );
    }
}

/// The next connection. One that failed before it was accepted is nothing to us; any other failure passes when somebody
/// else closes a file.
async fn accept(listener: &TcpListener) -> TcpStream {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole; without this the second of two in a row could wait for the client's ACK.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection goes on with delays");
                }
                return stream;
            }
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {
            }
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}
