//! One moment, held for as long as somebody reads it.
//!
//! The memory that a snapshot holds is what its scans want: shared state, of which a worker copies a piece when it changes it,
//! and flat copies of sums. So there is a bound on how long one may live and on how many there may be ([`Limits`]): a client
//! that forgets its snapshot, or reads slowly, loses it with a clear message, and the pipeline notices neither.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use freshet_operators::look::{Look, Records, Wanted};
use freshet_operators::runtime::Looker;
use freshet_schema::tables::{
    FRAME_ARROW, FRAME_END, FRAME_ERROR, MAX_KEYS, Scan, SnapshotInfo, SnapshotRequest,
};
use freshet_sinks::FeedStore;
use freshet_sinks::store::{Pinned, StoreError};

use super::column::{Rows, schema};
use super::list::{Moment, Origin, Table, table};
use super::service::{self, Report};
use super::stored;
use crate::meters;

/// How long, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A snapshot is let go of after this.
    pub timeout: Duration,
    /// At most so many at once.
    pub max_snapshots: usize,
}

impl Limits {
    /// As configured.
    #[must_use]
    pub fn of(config: &crate::config::Sql) -> Self {
        Self { timeout: Duration::from_millis(config.timeout_ms), max_snapshots: config.max_snapshots }
    }
}

/// Gives what orders looks, once the graph runs.
pub type GetLooker = Box<dyn Fn() -> anyhow::Result<Looker> + Send + Sync>;
/// Says how far the job is.
pub type GetReport = Box<dyn Fn() -> Report + Send + Sync>;

/// Where snapshots come from.
pub struct Source {
    /// The graph.
    pub looker: GetLooker,
    /// The lists.
    pub store: Arc<dyn FeedStore>,
    /// The dead letters.
    pub dead_letters: PathBuf,
    /// The archive that is written, for whoever reads it beside the tables; an absolute path.
    pub archive: Option<String>,
    /// The job's numbers.
    pub report: GetReport,
    /// Bounds.
    pub limits: Limits,
}

/// What a scan wants, as checked.
struct Wish {
    table: &'static Table,
    places: Vec<usize>,
    keys: Option<Arc<[u64]>>,
    limit: Option<u64>,
}

impl Wish {
    fn of(scan: &Scan) -> anyhow::Result<Self> {
        let Some(table) = table(&scan.table) else { bail!("there is no table {:?}", scan.table) };
        let place = |column: &String| {
            table.place(column).with_context(|| format!("the table {} has no column {column:?}", table.name))
        };
        let places = scan.columns.iter().map(place).collect::<anyhow::Result<_>>()?;
        if scan.keys.is_some() && table.key.is_none() {
            bail!("the table {} cannot be looked up by a key", table.name);
        }
        let keys = scan.keys.clone().map(|mut keys| {
            keys.sort_unstable();
            keys.dedup();
            keys
        });
        if let Some(keys) = &keys
            && keys.len() > MAX_KEYS
        {
            bail!("{} keys are asked for; at most {MAX_KEYS} are looked up at once", keys.len());
        }
        Ok(Self { table, places, keys: keys.map(Arc::from), limit: scan.limit })
    }
}

/// What a scan's rows are made of.
enum Material {
    Records(Vec<Records>),
    Store(Box<dyn Pinned>),
    Job,
}

/// A snapshot.
pub struct Held {
    moment: Moment,
    until: Instant,
    timeout: Duration,
    scans: Vec<Mutex<Option<(Wish, Material)>>>,
}

/// A store that cannot be pinned is read as it is.
struct Unpinned(Arc<dyn FeedStore>);

impl Pinned for Unpinned {
    fn get(&self, key: &freshet_schema::store::Key) -> Result<Option<freshet_sinks::Bytes>, StoreError> {
        self.0.get(key)
    }

    fn scan(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(freshet_schema::store::Key, freshet_sinks::Bytes)>, StoreError> {
        self.0.scan(prefix, from, limit)
    }
}

/// The snapshots that are held.
pub struct Snapshots {
    source: Source,
    held: Mutex<BTreeMap<u64, Arc<Held>>>,
    next: AtomicU64,
}

/// Keeps a snapshot until it is dropped.
pub struct Ticket {
    snapshots: Arc<Snapshots>,
    /// What the client is told.
    pub info: SnapshotInfo,
    /// When the snapshot is let go of.
    pub until: Instant,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.snapshots.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.info.id);
    }
}

impl Snapshots {
    /// None yet.
    #[must_use]
    pub fn new(source: Source) -> Arc<Self> {
        Arc::new(Self { source, held: Mutex::default(), next: AtomicU64::new(1) })
    }

    /// How long a snapshot may live.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.source.limits.timeout
    }

    /// Where the archive is.
    #[must_use]
    pub fn archive(&self) -> Option<String> {
        self.source.archive.clone()
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    /// Where it asks for what there is not, there are too many, or the graph does not answer in time.
    pub fn take(self: &Arc<Self>, request: &SnapshotRequest) -> anyhow::Result<Ticket> {
        let began = Instant::now();
        let Limits { timeout, max_snapshots } = self.source.limits;
        let wishes = request.scans.iter().map(Wish::of).collect::<anyhow::Result<Vec<_>>>()?;
        let id = self.next.fetch_add(1, Relaxed);
        let until = began + timeout;
        // Its place is taken before the graph is asked: so the bound holds for those under way, too.
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.len() >= max_snapshots {
                bail!(
                    "{max_snapshots} snapshots are open (sql.max_snapshots): wait until another query has ended, or \
                     raise it"
                );
            }
            let moment = Moment::default();
            held.insert(id, Arc::new(Held { moment, until, timeout, scans: Vec::new() }));
        }
        let mut ticket =
            Ticket { snapshots: Arc::clone(self), info: SnapshotInfo { id, epoch: 0, now_ms: 0 }, until };
        let (moment, scans) = self.source.look(wishes, until)?;
        let held = Arc::new(Held { moment, until, timeout, scans });
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id, held);
        ticket.info = SnapshotInfo { id, epoch: moment.epoch, now_ms: moment.now };
        meters::SqlSnapshot { took: began.elapsed() }.emit();
        Ok(ticket)
    }

    /// Writes the rows of a scan in frames.
    ///
    /// # Errors
    /// Where the client cannot be written to. All else is told to the client.
    pub fn scan(&self, id: u64, scan: usize, out: &mut impl Write) -> io::Result<()> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let wanted = held
            .as_ref()
            .and_then(|held| held.scans.get(scan)?.lock().unwrap_or_else(PoisonError::into_inner).take());
        let (Some(held), Some((wish, material))) = (held, wanted) else {
            let why = format!(
                "the snapshot {id} is over (sql.timeout), or its scan {scan} was read already: run the query again"
            );
            return frame(out, FRAME_ERROR, why.as_bytes());
        };
        match self.source.rows(&held, wish, material, out) {
            Ok(()) => frame(out, FRAME_END, &[]),
            Err(Failure::Client(error)) => Err(error),
            Err(Failure::Ours(why)) => frame(out, FRAME_ERROR, format!("{why:#}").as_bytes()),
        }
    }
}

/// Why rows end early.
enum Failure {
    Client(io::Error),
    Ours(anyhow::Error),
}

fn frame(out: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than 4 GiB"))?;
    out.write_all(&[kind])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)?;
    out.flush()
}

/// Waits for one more answer until the time is over.
fn next<T>(from: &Receiver<T>, until: Instant, look: &Look) -> anyhow::Result<T> {
    from.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(|error| {
        look.give_up();
        match error {
            RecvTimeoutError::Timeout => anyhow!(
                "the pipeline did not come to a common epoch within sql.timeout: it may be replaying a long log, or \
                 wait for its store or its brokers; see `freshet top`"
            ),
            RecvTimeoutError::Disconnected => anyhow!("the job has ended: it answers no queries any more"),
        }
    })
}

type Scans = Vec<Mutex<Option<(Wish, Material)>>>;

impl Source {
    /// Has the workers take what the wishes need, all of it at one epoch.
    fn look(&self, wishes: Vec<Wish>, until: Instant) -> anyhow::Result<(Moment, Scans)> {
        let mut wanted = Vec::new();
        for wish in &wishes {
            if let Origin::State(kinds, _) = wish.table.origin {
                wanted.extend(kinds.iter().map(|kind| Wanted { kind: *kind, keys: wish.keys.clone() }));
            }
        }
        let waits = wishes.iter().filter(|wish| wish.table.waits_for_store()).count();
        let lists = wishes.iter().filter(|wish| matches!(wish.table.origin, Origin::Feeds)).count();
        let (to, looked) = channel();
        let (to_pinned, pinned) = channel();
        let at_sink = (waits > 0).then(|| -> freshet_operators::look::AtSink {
            let store = Arc::clone(&self.store);
            Box::new(move |_epoch| {
                // Who waits for it may have given up.
                let _ = to_pinned.send((0..lists).map(|_| pin(&store)).collect::<Result<Vec<_>, _>>());
            })
        });
        let look = Arc::new(Look::new(wanted, to, at_sink));
        let looker = (self.looker)()?;
        looker.look(&look).map_err(|_| anyhow!("the job has ended: it answers no queries any more"))?;
        let mut answers = Vec::new();
        while answers.len() < looker.workers() {
            answers.push(next(&looked, until, &look)?);
        }
        let mut pinned = match waits {
            0 => Vec::new(),
            _ => next(&pinned, until, &look)?.context("the store")?,
        };
        answers.sort_by_key(|answer| answer.worker);
        let moment = answers
            .iter()
            .map(|answer| Moment { epoch: answer.epoch, now: answer.now })
            .max_by_key(|m| m.epoch);
        let moment = moment.unwrap_or_default();
        if answers.iter().any(|answer| answer.epoch != moment.epoch) {
            bail!("workers answered as of different epochs: a mistake of the pipeline's, please report it");
        }
        for answer in &answers {
            meters::SqlPause { stood_us: answer.stood }.emit();
        }
        let mut records: Vec<_> = answers.into_iter().map(|answer| answer.records.into_iter()).collect();
        let scans = wishes.into_iter().map(|wish| {
            let material = match wish.table.origin {
                Origin::State(kinds, _) => {
                    Material::Records(records.iter_mut().flat_map(|of| of.take(kinds.len())).collect())
                }
                // One was pinned for each.
                Origin::Feeds => pinned.pop().map_or(Material::Job, Material::Store),
                Origin::DeadLetters | Origin::Freshness | Origin::Moment => Material::Job,
            };
            Mutex::new(Some((wish, material)))
        });
        let scans = scans.collect();
        Ok((moment, scans))
    }

    fn rows(&self, held: &Held, wish: Wish, material: Material, out: &mut impl Write) -> Result<(), Failure> {
        let Wish { table, places, keys, limit } = wish;
        let wanted: Vec<_> = places.iter().map(|place| table.columns[*place]).collect();
        let ours =
            |error: ArrowError| Failure::Ours(anyhow!(error).context(format!("the table {}", table.name)));
        let mut stream = StreamWriter::try_new(Vec::new(), &schema(&wanted)).map_err(ours)?;
        let mut client = None;
        let mut sent = 0;
        let mut take = |batch: RecordBatch| {
            if Instant::now() > held.until {
                return Err(ArrowError::IpcError(format!(
                    "the query has read one snapshot for longer than sql.timeout ({} s): it was let go of; ask for less, \
                     or raise it",
                    held.timeout.as_secs()
                )));
            }
            sent += batch.num_rows();
            stream.write(&batch)?;
            let bytes = std::mem::take(stream.get_mut());
            if let Err(error) = frame(out, FRAME_ARROW, &bytes) {
                client = Some(error);
                return Ok(false);
            }
            Ok(true)
        };
        let mut rows = Rows::new(table.columns, places, limit, &mut take);
        let moment = &held.moment;
        let made = match (table.origin, material) {
            (Origin::State(_, to_rows), Material::Records(records)) => {
                let mut going = limit != Some(0);
                for records in records {
                    if going {
                        records(&mut |record| {
                            going = to_rows(record, moment, &mut rows);
                            going
                        });
                    }
                }
                Ok(())
            }
            (Origin::Feeds, Material::Store(store)) => stored::feeds(&*store, keys.as_deref(), &mut rows),
            (Origin::DeadLetters, _) => stored::dead_letters(&self.dead_letters, moment, &mut rows),
            (Origin::Freshness, _) => {
                service::freshness(&(self.report)(), moment, &mut rows);
                Ok(())
            }
            (Origin::Moment, _) => {
                service::snapshot(moment, &mut rows);
                Ok(())
            }
            (Origin::State(..) | Origin::Feeds, _) => Err(anyhow!("the scan has no rows to read")),
        };
        let finished = rows.finish();
        if let Some(error) = client {
            return Err(Failure::Client(error));
        }
        made.map_err(Failure::Ours)?;
        finished.map_err(ours)?;
        meters::SqlRows { table: table.name, rows: sent }.emit();
        stream.finish().map_err(ours)?;
        frame(out, FRAME_ARROW, stream.get_ref()).map_err(Failure::Client)
    }
}

fn pin(store: &Arc<dyn FeedStore>) -> Result<Box<dyn Pinned>, StoreError> {
    Ok(match store.pin()? {
        Some(pinned) => pinned,
        None => Box::new(Unpinned(Arc::clone(store))),
    })
}
