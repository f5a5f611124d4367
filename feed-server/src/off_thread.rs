//! For the few answers that take milliseconds: one thread answers all requests, and a feed read takes microseconds.

use crate::problem::Problem;

/// Runs `work` on a thread of the runtime's pool.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| Problem::internal(&panic))
}
