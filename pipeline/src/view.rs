//! A store as the reading commands see it: through a running service, or opened.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use freshet_schema::Epoch;
use freshet_schema::store::{Key, Value};
use freshet_sinks::{Embedded, EmbeddedOptions, FeedStore, Redis, StoreError};
use tempfile::TempDir;

use crate::config::{Config, StoreKind};
use crate::control::{Client, DumpHead, socket_path};
use crate::replay::{Replayed, Until, replay};

/// See the module.
pub enum View {
    /// Through the control socket.
    Service(Client),
    /// The store itself, with the bytes of its files where they are known; no service of this machine holds it. One that was made
    /// again for the occasion goes with its folder.
    Store(Box<dyn FeedStore>, Option<u64>, Option<TempDir>),
}

/// Small: the commands read little.
const CACHE: u64 = 16 << 20;

impl View {
    /// Finds the running service of a store's folder, or opens the store.
    ///
    /// # Errors
    /// Where there is no store, or it can neither be reached nor opened.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        match config.store.kind {
            StoreKind::Embedded => Self::open_embedded(config),
            StoreKind::Redis => {
                // Any number of processes may read it. A pipeline on this machine is asked first: it knows more, and its
                // dumps are of one epoch.
                if config.store.dir.is_dir()
                    && let Some(client) = Client::connect(&socket_path(&config.store.dir)?)?
                {
                    return Ok(Self::Service(client));
                }
                let store = Redis::open(config.redis.options()).context("[redis]")?;
                store.ready().map_err(|reason| anyhow!(reason))?;
                Ok(Self::Store(Box::new(store), None, None))
            }
        }
    }

    /// Makes the store as it was at a past moment, in a folder that goes when this does.
    ///
    /// # Errors
    /// As [`replay()`].
    pub fn open_past(
        config: &Config,
        archive: &Path,
        until: Until,
        progress: &mut dyn FnMut(Epoch),
    ) -> anyhow::Result<(Self, Replayed)> {
        let folder = tempfile::Builder::new()
            .prefix("freshet-past-")
            .tempdir()
            .context("a folder for the store of then (TMPDIR)")?;
        let out = folder.path().join("store");
        let replayed = replay(config, archive, until, &out, progress)?;
        let options = EmbeddedOptions { cache_bytes: CACHE, ..EmbeddedOptions::default() };
        let store = Embedded::open(&out.join("kv"), options)?;
        Ok((Self::Store(Box::new(store), None, Some(folder)), replayed))
    }

    fn open_embedded(config: &Config) -> anyhow::Result<Self> {
        let store = &config.store;
        let kv = store.kv_dir();
        if !kv.is_dir() {
            bail!(
                "store.dir = {:?}: there is no store in this folder; name the folder that `freshet run` wrote with \
                 --store DIR or --config FILE",
                store.dir.display().to_string()
            );
        }
        let socket = socket_path(&store.dir)
            .with_context(|| format!("store.dir = {:?}", store.dir.display().to_string()))?;
        if let Some(client) = Client::connect(&socket)? {
            return Ok(Self::Service(client));
        }
        let options = EmbeddedOptions { cache_bytes: CACHE, ..EmbeddedOptions::default() };
        match Embedded::open(&kv, options) {
            Ok(store) => {
                let disk = store.disk_bytes()?;
                Ok(Self::Store(Box::new(store), Some(disk), None))
            }
            Err(error @ StoreError::Locked { .. }) => Err(error).with_context(|| {
                format!(
                    "no service answers at {}: it may be starting or stopping; try again",
                    socket.display()
                )
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// The value under a key.
    ///
    /// # Errors
    /// Where the store or the service fails.
    pub fn get(&mut self, key: &Key) -> anyhow::Result<Option<Value>> {
        match self {
            Self::Service(client) => client.get(key),
            Self::Store(store, ..) => {
                let Some(bytes) = store.get(key)? else { return Ok(None) };
                Ok(Some(Value::decode(key, &bytes).with_context(|| format!("the value of {key}"))?))
            }
        }
    }

    /// The versions of the weights that are kept, in order.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn heads(&mut self) -> anyhow::Result<Vec<u64>> {
        match self {
            Self::Service(client) => client.heads(),
            Self::Store(store, ..) => heads_versions(&**store),
        }
    }

    /// The last epoch committed.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn marker(&mut self) -> anyhow::Result<Option<Epoch>> {
        match self {
            Self::Service(client) => client.marker(),
            Self::Store(store, ..) => Ok(store.marker()?),
        }
    }

    /// Numbers about the store, and about the service where one runs. Entries are counted where no service runs, or
    /// when asked for: that reads the whole store.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn stats(&mut self, count: bool) -> anyhow::Result<serde_json::Value> {
        match self {
            Self::Service(client) => {
                let mut stats = client.stats()?;
                if count {
                    stats["entries"] = client.count()?;
                }
                Ok(stats)
            }
            Self::Store(store, disk, _) => {
                let mut stats =
                    serde_json::json!({ "epoch": store.marker()?, "entries": count_kinds(&**store)? });
                if let Some(bytes) = disk {
                    stats["disk_bytes"] = (*bytes).into();
                    stats["phase"] = "stopped".into();
                }
                Ok(stats)
            }
        }
    }

    /// Writes the store as JSON lines in the order of keys, all of one epoch.
    ///
    /// # Errors
    /// As [`View::get`], or where `out` cannot be written.
    pub fn dump(&mut self, out: &mut dyn Write) -> anyhow::Result<DumpHead> {
        match self {
            Self::Service(client) => client.dump(out),
            Self::Store(store, ..) => {
                let mut out = Counted { out, bytes: 0 };
                let rows = freshet_sinks::dump(&**store, &mut out)?;
                Ok(DumpHead { rows, epoch: store.marker()?.map(|epoch| epoch.0), bytes: out.bytes })
            }
        }
    }

    /// The control socket, where a service answers.
    #[must_use]
    pub fn service(&self) -> Option<&Path> {
        match self {
            Self::Service(client) => Some(client.path()),
            Self::Store(..) => None,
        }
    }
}

/// Entries by kind of key.
///
/// # Errors
/// Where the store cannot be read.
pub fn count_kinds(store: &dyn FeedStore) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut kinds = BTreeMap::new();
    for page in store.pages("", 1_000) {
        for (key, _) in page? {
            let text = key.to_string();
            let kind = text.split_once(':').map_or("", |(kind, _)| kind);
            *kinds.entry(kind.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(kinds)
}

/// The versions of the weights that are kept, in order.
///
/// # Errors
/// Where the store cannot be read.
pub fn heads_versions(store: &dyn FeedStore) -> anyhow::Result<Vec<u64>> {
    let mut versions = Vec::new();
    for page in store.pages("heads:", 64) {
        versions.extend(page?.into_iter().filter_map(|(key, _)| match key {
            Key::Heads(version) => Some(version),
            _ => None,
        }));
    }
    versions.sort_unstable();
    Ok(versions)
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
