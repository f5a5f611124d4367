//! The socket: a thread that accepts, a thread for each connection, as the control socket has it
//! ([`freshet_schema::tables`] is what is said over it).

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use freshet_schema::tables::{Answer, MAX_REQUEST, Payload, Request};

use super::list::infos;
use super::snapshot::{Snapshots, Source};

/// A connection that asks nothing for this long is closed, unless it holds a snapshot.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listening socket. Dropping it stops listening and removes the file.
pub struct TableServer {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Listens at `path`, for the owner of the process alone. A file left over from a process that is gone is replaced.
///
/// # Errors
/// Where another process answers at the path, or the socket cannot be made.
pub fn serve(source: Source, path: &Path) -> anyhow::Result<TableServer> {
    let context = || format!("the socket for tables {}", path.display());
    if UnixStream::connect(path).is_ok() {
        return Err(anyhow!("another service answers there: stop it, or choose another store.dir"))
            .with_context(context);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(context),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(context)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let snapshots = Snapshots::new(source);
    let thread = std::thread::Builder::new().name("tables".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            if stopping.load(Ordering::Relaxed) {
                break;
            }
            let Ok(stream) = stream else { continue };
            let snapshots = Arc::clone(&snapshots);
            // Detached: it ends with its client, or with the snapshot's time.
            drop(std::thread::Builder::new().name("tables-client".to_owned()).spawn(move || {
                if let Err(error) = converse(&stream, &snapshots) {
                    tracing::debug!(%error, "a connection that reads tables ended early");
                }
            }));
        }
    })?;
    Ok(TableServer { path: path.to_owned(), stop, thread: Some(thread) })
}

impl Drop for TableServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread; if that cannot be reached, it is not waiting either.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            drop(thread.join());
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the file of the socket for tables could not be removed");
        }
    }
}

fn converse(stream: &UnixStream, snapshots: &Arc<Snapshots>) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut output = BufWriter::new(stream);
    // Each connection holds one snapshot at the most: asking for another one lets go of it.
    let mut ticket: Option<super::snapshot::Ticket> = None;
    loop {
        let left = ticket.as_ref().map_or(PATIENCE, |ticket| {
            ticket.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
        });
        stream.set_read_timeout(Some(left))?;
        // A reader that takes nothing for longer than a snapshot may live is gone.
        stream.set_write_timeout(Some(snapshots.timeout()))?;
        let mut line = Vec::new();
        if (&mut input).take(MAX_REQUEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        match serde_json::from_slice(&line) {
            Err(error) => {
                send(&mut output, &Answer::Error(format!("no request of this protocol: {error}")))?;
            }
            Ok(Request::Tables) => send(&mut output, &Answer::Ok(Payload::Tables(infos())))?,
            Ok(Request::Archive) => send(&mut output, &Answer::Ok(Payload::Archive(snapshots.archive())))?,
            Ok(Request::Snapshot(request)) => {
                drop(ticket.take());
                match snapshots.take(&request) {
                    Ok(taken) => {
                        send(&mut output, &Answer::Ok(Payload::Snapshot(taken.info)))?;
                        ticket = Some(taken);
                    }
                    Err(error) => send(&mut output, &Answer::Error(format!("{error:#}")))?,
                }
            }
            Ok(Request::Scan { id, scan }) => {
                send(&mut output, &Answer::Ok(Payload::Rows))?;
                snapshots.scan(id, scan, &mut output)?;
            }
        }
        if !whole {
            return Ok(());
        }
    }
}

fn send(output: &mut impl Write, answer: &Answer) -> io::Result<()> {
    serde_json::to_writer(&mut *output, answer)?;
    output.write_all(b"\n")?;
    output.flush()
}
