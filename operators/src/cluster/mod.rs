//! One graph over several processes.
//!
//! The first process owns everything that is there once: input, journal, store, checkpoints. The others hold workers, their part of
//! the state and nothing else. Timely carries what the graph exchanges over connections of its own. Beside them each process has a *link*
//! to the first, and what a worker is handed and what it says goes there in the order in which it would go through the channels of
//! one process ([`crate::runtime`]): a clock without records (they enter at the first process and are exchanged to where they belong),
//! orders to take a checkpoint, and back the changes, word of closed epochs, and the blocks of a checkpoint. So the graph itself knows
//! of no process, and a graph in one process pays nothing for it.
//!
//! A lost process cannot be replaced while the graph runs: progress is known only if all take part. So whoever notices (a connection that
//! closes, or a link that says nothing for too long) ends its process, the others notice that, and all begin again from
//! the last checkpoint.

mod coordinator;
mod form;
mod frame;
mod member;
mod wire;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde::Serialize;

pub(crate) use coordinator::Members;
pub use coordinator::{Cluster, Events};
pub use form::{FormError, Formed, Plan, form};
pub use member::Member;

/// Who lives says so this often on a link.
const HELLO: Duration = Duration::from_secs(1);

/// Called once a process is known to be lost, with what to tell people. The graph stands still from then on: it should end the
/// process.
pub type Lost = Arc<dyn Fn(&str) + Send + Sync>;

/// Writes what is to be told, and now and then that this process lives, until `last` was written, or nobody can tell more.
fn tell<M: Serialize>(mut link: TcpStream, messages: &Receiver<M>, hello: &M, last: impl Fn(&M) -> bool) {
    loop {
        let written = match messages.recv_timeout(HELLO) {
            Ok(message) => {
                let written = frame::write(&mut link, &message);
                if last(&message) {
                    return;
                }
                written
            }
            Err(RecvTimeoutError::Timeout) => frame::write(&mut link, hello),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // Who reads this link hears of its end.
        if written.is_err() {
            return;
        }
    }
}

/// A link's two halves wait this long for the other side.
fn patient(link: &TcpStream, lost_after: Duration) -> std::io::Result<()> {
    link.set_read_timeout(Some(lost_after))?;
    link.set_write_timeout(Some(lost_after))
}

/// Connections of the dataflow wait for ever: their end is heard of by the links.
fn unhurried(data: &[Option<TcpStream>]) -> std::io::Result<()> {
    data.iter().flatten().try_for_each(|stream| {
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)
    })
}
