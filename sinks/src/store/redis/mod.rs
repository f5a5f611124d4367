//! A store on a Redis or Valkey server: one primary (with replicas, if one likes), not a Redis Cluster.
//!
//! Values lie under the plain keys that `docs/store.md` promises, so that any program reads a list with one `GET`. Beside them
//! there are three keys: who writes, the marker of each shard, and the name of this layout. Everything is written by one script, which
//! checks the first, compares and sets the second, and applies values, in one step.
//!
//! "Acknowledged" means applied by the server, and a server may lose that (its append-only file is synced once a second, a
//! replica takes over that lags behind, somebody flushes it). The markers tell: see [`ledger`].

mod backoff;
mod ledger;
mod options;
mod reader;
mod script;
mod writer;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freshet_schema::hash::SHARDS;
use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation};
use redis::{ErrorKind, RedisError, ServerErrorKind, cmd};

pub use options::RedisOptions;

use self::reader::Reader;
use self::script::{CURRENT_LAYOUT, EPOCHS, GENERATION, LAYOUT};
use self::writer::Writer;
use super::{Claim, Commit, FeedStore, Loss, Pages, StoreError, debug_check_order, parse_key};
use crate::Bytes;

/// Keys asked for at once.
const MANY: usize = 512;

/// See the module. Reads need nothing; writes need a claim.
pub struct Redis {
    options: RedisOptions,
    reader: Reader,
    writer: Mutex<Option<Writer>>,
    /// Looked at without waiting for a writer that waits for its server.
    lost: Mutex<Vec<Loss>>,
    distrusted: AtomicBool,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("at", &self.options.shown()).finish_non_exhaustive()
    }
}

impl Redis {
    /// A store that connects when it is asked.
    ///
    /// # Errors
    /// Where the address or a certificate cannot be used.
    pub fn open(options: RedisOptions) -> Result<Self, StoreError> {
        let reader = Reader::new(options.client()?, options.clone());
        Ok(Self {
            options,
            reader,
            writer: Mutex::new(None),
            lost: Mutex::new(Vec::new()),
            distrusted: AtomicBool::new(false),
            stop: Arc::new(AtomicBool::new(false)),
        })
    }

    fn write<T>(&self, act: impl FnOnce(&mut Writer) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer.as_mut().ok_or_else(|| StoreError::Unclaimed { store: self.options.shown() })?;
        if self.distrusted.swap(false, Relaxed) {
            writer.distrust()?;
        }
        let done = act(writer);
        *self.losses() = writer.ledger.lost();
        done
    }

    fn losses(&self) -> MutexGuard<'_, Vec<Loss>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.options.key_prefix)
    }

    /// The markers of the shards that have one.
    fn markers(&self) -> Result<Vec<Epoch>, StoreError> {
        let fields: Vec<String> = (0..SHARDS as usize).map(ledger::field).collect();
        let found: Vec<Option<u64>> =
            self.reader.ask(|c| cmd("HMGET").arg(self.key(EPOCHS)).arg(&fields).query(c))?;
        Ok(found.into_iter().flatten().map(Epoch).collect())
    }

    fn values(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MANY) {
            let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
            let found: Vec<Option<Vec<u8>>> = self.reader.ask(|c| cmd("MGET").arg(&keys).query(c))?;
            values.extend(found.into_iter().map(|value| value.map(Bytes::from)));
        }
        Ok(values)
    }

    fn entries(&self, keys: &[String]) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let values = self.values(keys)?;
        // A key that went since it was listed is not there.
        let there = keys.iter().zip(values).filter_map(|(key, value)| Some((key, value?)));
        there.map(|(key, value)| Ok((parse_key(key.as_bytes())?, value))).collect()
    }
}

impl FeedStore for Redis {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let key = self.key(&key.to_string());
        let value: Option<Vec<u8>> = self.reader.ask(|c| cmd("GET").arg(&key).query(c))?;
        Ok(value.map(Bytes::from))
    }

    fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.values(&keys.iter().map(Key::to_string).collect::<Vec<_>>())
    }

    fn claim(&self, claim: &Claim) -> Result<Generation, StoreError> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = Writer::claim(self.options.client()?, &self.options, claim, Arc::clone(&self.stop))?;
        let generation = writer.generation();
        *self.losses() = writer.ledger.lost();
        *slot = Some(writer);
        Ok(generation)
    }

    fn commit(&self, commit: &Commit) -> Result<bool, StoreError> {
        debug_check_order(commit);
        self.write(|writer| writer.commit(std::slice::from_ref(commit)))
    }

    fn commit_all(&self, commits: &[Commit]) -> Result<(), StoreError> {
        commits.iter().for_each(debug_check_order);
        self.write(|writer| writer.commit(commits)).map(drop)
    }

    fn marker(&self) -> Result<Option<Epoch>, StoreError> {
        let markers = self.markers()?;
        Ok(markers.iter().min().copied().filter(|_| markers.len() as u64 == SHARDS))
    }

    fn newest(&self) -> Result<Option<Epoch>, StoreError> {
        Ok(self.markers()?.into_iter().max())
    }

    /// Looks whether what was acknowledged is still there. How durable it is, the server's own settings say.
    fn sync(&self) -> Result<(), StoreError> {
        self.write(Writer::check)
    }

    fn lost(&self) -> Vec<Loss> {
        self.losses().clone()
    }

    fn distrust(&self) {
        self.distrusted.store(true, Relaxed);
    }

    fn restored(&self, losses: &[Loss]) -> Result<(), StoreError> {
        if losses.is_empty() { Ok(()) } else { self.write(|writer| writer.restored(losses)) }
    }

    fn give_up(&self) {
        self.stop.store(true, Relaxed);
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn ready(&self) -> Result<(), String> {
        let (layout, generation) = (self.key(LAYOUT), self.key(GENERATION));
        let found: Result<(Option<String>, Option<String>), _> =
            self.reader.ask(|c| redis::pipe().get(&layout).get(&generation).query(c));
        match found.map_err(|error| error.to_string())? {
            (Some(layout), Some(_)) if layout == CURRENT_LAYOUT => Ok(()),
            (Some(layout), Some(_)) => Err(format!(
                "the store {} has layout {layout:?}, this release reads {CURRENT_LAYOUT:?}: use the release that wrote it",
                self.options.shown()
            )),
            _ => Err(format!(
                "no pipeline has written to the store {} so far: start one, or look at redis.url and redis.key_prefix",
                self.options.shown()
            )),
        }
    }

    /// Walks all keys of the prefix, each time: use [`FeedStore::pages`] for more than one page.
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let mut keys = self.reader.ask(|c| reader::keys(c, &self.options.key_prefix, prefix))?;
        keys.retain(|key| from.is_none_or(|from| key.as_str() >= from));
        keys.truncate(limit);
        self.entries(&keys)
    }

    /// Looks at a bounded part of the server's keys.
    fn sample(&self, prefix: &str, limit: usize) -> Result<Vec<Key>, StoreError> {
        let keys = self.reader.ask(|c| reader::some_keys(c, &self.options.key_prefix, prefix, limit))?;
        keys.iter().map(|key| parse_key(key.as_bytes())).collect()
    }

    /// Lists the keys once (a server has no order of its own), then reads the values page by page.
    fn pages<'a>(&'a self, prefix: &'a str, page: usize) -> Pages<'a> {
        let keys = self.reader.ask(|c| reader::keys(c, &self.options.key_prefix, prefix));
        let mut keys: VecDeque<String> = match keys {
            Ok(keys) => keys.into(),
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        Box::new(std::iter::from_fn(move || {
            let next: Vec<String> = keys.drain(..page.max(1).min(keys.len())).collect();
            (!next.is_empty()).then(|| self.entries(&next))
        }))
    }
}

/// What an error of the client means: whether it is worth waiting for.
fn fault(store: &str, action: &'static str, error: &RedisError) -> StoreError {
    use ServerErrorKind::{
        BusyLoading, ClusterDown, CrossSlot, MasterDown, Moved, NoPerm, ReadOnly, TryAgain,
    };
    let store = store.to_owned();
    let refused = |remedy: &str| StoreError::Refused {
        store: store.clone(),
        action,
        reason: format!("{error}{remedy}"),
    };
    let passes = match error.kind() {
        ErrorKind::Io => true,
        ErrorKind::AuthenticationFailed => {
            return refused("; look at redis.username and redis.password_env");
        }
        ErrorKind::Server(BusyLoading | ReadOnly | MasterDown | TryAgain) => true,
        ErrorKind::Server(ClusterDown | CrossSlot | Moved) => {
            return refused("; a Redis Cluster cannot be the store: name a server that holds all keys");
        }
        ErrorKind::Server(NoPerm) => {
            return refused(
                "; the writer needs EVAL, EVALSHA, SCRIPT|LOAD, GET, SET, UNLINK, HMGET, HSET, HDEL, MGET and SCAN on its \
                 keys, a reader GET, MGET, HMGET and SCAN",
            );
        }
        _ => match error.code() {
            // Out of memory; cannot save; busy with a script; too few replicas; no more clients: somebody can mend it.
            Some("OOM" | "MISCONF" | "BUSY" | "NOREPLICAS" | "LOADING" | "READONLY" | "MASTERDOWN") => true,
            Some("NOAUTH" | "WRONGPASS") => {
                return refused("; look at redis.username and redis.password_env");
            }
            _ => error.is_io_error() || error.is_unrecoverable_error(),
        },
    };
    if passes { StoreError::Unavailable { store, reason: error.to_string() } } else { refused("") }
}
