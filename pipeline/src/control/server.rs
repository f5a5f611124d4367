//! The service's side: a thread that accepts, a thread for each connection. Few people connect, so this stays simple.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use freshet_schema::event::Target;
use freshet_schema::store::{Key, Value};
use freshet_sinks::FeedStore;

use super::{Answer, DumpHead, MAX_REQUEST, Request};
use crate::store_gate::GatedStore;
use crate::view::{count_kinds, heads_versions};

/// What `freshet stats` shows of a running service.
pub type Stats = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What a running service is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Make a checkpoint now.
    Checkpoint,
    /// Forget something.
    Forget(Target),
    /// Say who and what is suspected of abuse.
    Suspects,
}

/// Does a task, and says what was done.
pub type Order = Arc<dyn Fn(Task) -> anyhow::Result<serde_json::Value> + Send + Sync>;

/// A client that takes nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who else answers at the path, tried before it is taken.
const HELD: &str = "another service answers there: stop it, or choose another store.dir";

/// A listening control socket. Dropping it stops listening and removes the file.
pub struct ControlServer {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Listens at `path`. A file left over from a process that is gone is replaced.
///
/// # Errors
/// Where another process answers at the path, or the socket cannot be made.
pub fn serve(
    store: Arc<GatedStore>,
    stats: Stats,
    order: Order,
    path: &Path,
) -> anyhow::Result<ControlServer> {
    let context = || format!("the control socket {}", path.display());
    if UnixStream::connect(path).is_ok() {
        return Err(anyhow::anyhow!(HELD)).with_context(context);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(context),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(context)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    // Dumps are spooled beside the socket's file: the same disk as the store, where there is room for it.
    let spool = path.parent().map_or_else(std::env::temp_dir, Path::to_owned);
    let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            if stopping.load(Ordering::Relaxed) {
                break;
            }
            let Ok(stream) = stream else { continue };
            let (store, stats, spool) = (Arc::clone(&store), Arc::clone(&stats), spool.clone());
            let order = Arc::clone(&order);
            // Detached: it ends with its client, within PATIENCE of its silence.
            drop(std::thread::Builder::new().name("control-client".to_owned()).spawn(move || {
                if let Err(error) = converse(&stream, &store, &stats, &order, &spool) {
                    tracing::debug!(%error, "a control connection ended early");
                }
            }));
        }
    })?;
    Ok(ControlServer { path: path.to_owned(), stop, thread: Some(thread) })
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread; if that cannot be reached, it is not waiting either.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            drop(thread.join());
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the control socket's file could not be removed");
        }
    }
}

fn converse(
    stream: &UnixStream,
    store: &GatedStore,
    stats: &Stats,
    order: &Order,
    spool: &Path,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut input = BufReader::new(stream);
    let mut output = BufWriter::new(stream);
    loop {
        let mut line = Vec::new();
        if (&mut input).take(MAX_REQUEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        match serde_json::from_slice(&line) {
            Err(error) => send(&mut output, &Answer::Error(format!("no request of this protocol: {error}")))?,
            Ok(Request::Dump) => match spooled(store, spool) {
                Err(error) => send(&mut output, &Answer::Error(format!("{error:#}")))?,
                Ok((head, mut file)) => {
                    send(&mut output, &Answer::Ok(serde_json::json!(head)))?;
                    io::copy(&mut file, &mut output)?;
                    output.flush()?;
                }
            },
            Ok(request) => {
                let answer = answer(&request, store, stats, order)
                    .map_or_else(|error| Answer::Error(format!("{error:#}")), Answer::Ok);
                send(&mut output, &answer)?;
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

fn answer(
    request: &Request,
    store: &GatedStore,
    stats: &Stats,
    order: &Order,
) -> anyhow::Result<serde_json::Value> {
    Ok(match request {
        Request::Get(text) => {
            let key = Key::parse(text).with_context(|| format!("{text:?} is no key"))?;
            match store.get(&key)? {
                Some(bytes) => serde_json::to_value(Value::decode(&key, &bytes)?)?,
                None => serde_json::Value::Null,
            }
        }
        Request::Marker => serde_json::json!(store.marker()?),
        Request::Stats => stats(),
        Request::Count => serde_json::json!(count_kinds(store)?),
        Request::Heads => serde_json::json!(heads_versions(store)?),
        Request::Resync => {
            store.distrust();
            serde_json::Value::Null
        }
        Request::Checkpoint => order(Task::Checkpoint)?,
        Request::Suspects => order(Task::Suspects)?,
        Request::Forget(target) => order(Task::Forget(*target))?,
        // Handled by the caller: its answer is more than a line.
        Request::Dump => serde_json::Value::Null,
    })
}

/// A dump of one epoch, in a file without a name.
fn spooled(store: &GatedStore, spool: &Path) -> anyhow::Result<(DumpHead, fs::File)> {
    let file = tempfile::tempfile_in(spool)
        .with_context(|| format!("a temporary file in {} for the dump", spool.display()))?;
    let mut writer = BufWriter::new(file);
    let (rows, epoch) = {
        let _held = store.hold();
        (freshet_sinks::dump(store, &mut writer)?, store.marker()?)
    };
    let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    let bytes = file.stream_position()?;
    file.rewind()?;
    Ok((DumpHead { rows, epoch: epoch.map(|e| e.0), bytes }, file))
}
