//! `freshet replay`: the store as it was at a past moment, made again from the archive.
//!
//! The archive has every epoch as the graph was handed it, so the same graph says the same: what it is told here is what `freshet run`
//! told it, epoch by epoch, and a store that is committed up to an epoch holds the same bytes as then (whatever the number of workers). Rows
//! that were forgotten are not in the archive, and what they led to is not in the store: nor is what they had led to before they were
//! forgotten, so that where anything was taken out, a replay to a later epoch is not as then, either.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use freshet_archive::{Folder, Forgotten, Manifest, ReadError, Reader};
use freshet_operators::pools::Change;
use freshet_operators::runtime::{self, EpochInput, Output};
use freshet_schema::{Epoch, Millis};
use freshet_sinks::{Claim, Commit, Embedded, EmbeddedOptions, FeedStore};

use crate::cluster::end_on_panic_beside;
use crate::config::Config;
use crate::interrupt::Interrupt;

/// Between two looks whether the graph has caught up.
const LOOK: Duration = Duration::from_millis(2);

/// The moment that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The end of this epoch.
    Epoch(Epoch),
    /// The last epoch whose clock was no later.
    Time(Millis),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The epoch that the store holds.
    pub epoch: Epoch,
    /// Its clock.
    pub now: Millis,
    /// Records that were gone through.
    pub records: u64,
    /// Deletes by which rows were taken out of the archive, of epochs that come later: what they name was there then and is not here.
    pub forgotten_since: usize,
    /// The same, of this epoch and those before: what they name was gone then, too, but not from what was made of it until they came.
    pub forgotten_before: usize,
}

impl Replayed {
    /// The same with the deletes of a manifest. One that took no row out changes nothing.
    fn with(mut self, forgotten: &[Forgotten]) -> Self {
        let rows = forgotten.iter().filter(|delete| delete.rows > 0);
        let (since, before): (Vec<_>, Vec<_>) = rows.partition(|delete| delete.epoch > self.epoch);
        (self.forgotten_since, self.forgotten_before) = (since.len(), before.len());
        self
    }

    /// What to say where rows were taken out.
    #[must_use]
    pub fn forgotten_words(&self) -> Option<String> {
        let since = (self.forgotten_since > 0).then(|| {
            format!(
                "{} deletes came later and were carried out in the archive: what they name was there then, and is not here",
                self.forgotten_since
            )
        });
        let before = (self.forgotten_before > 0).then(|| {
            format!(
                "{} deletes had come by then and were carried out in the archive: what they name was gone then, too, but lists, weights \
                 and publications that were made before them are here as if it had never been",
                self.forgotten_before
            )
        });
        let words: Vec<String> = since.into_iter().chain(before).collect();
        (!words.is_empty()).then(|| words.join("\n"))
    }
}

/// Makes the store at `out` as it was; `out` must hold none.
///
/// # Errors
/// Where the archive does not begin with the first epoch or does not reach so far, cannot be read, or `out` cannot be written.
pub fn replay(
    config: &Config,
    archive: &Path,
    until: Until,
    out: &Path,
    progress: &mut dyn FnMut(Epoch),
) -> anyhow::Result<Replayed> {
    let folder = Arc::new(Folder::open(archive)?);
    let manifest = folder.existing()?;
    if manifest.begins_behind > Epoch(0) {
        bail!(
            "{}: the archive was begun behind epoch {}: what led up to it is not in it",
            archive.display(),
            manifest.begins_behind
        );
    }
    let last = match until {
        Until::Epoch(epoch) if epoch > manifest.through.epoch => bail!(
            "{}: the archive holds the epochs up to {}, and epoch {epoch} was asked for",
            archive.display(),
            manifest.through.epoch
        ),
        Until::Epoch(epoch) => epoch,
        Until::Time(_) => manifest.through.epoch,
    };
    let kv = out.join("kv");
    if kv.exists() {
        bail!("{}: a store is there already; name a new folder", out.display());
    }
    let new = !out.exists();
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let made = make(config, folder, &manifest, until, last, &kv, progress);
    // A part of a store would be read like a whole one, and keep the next attempt from this folder.
    made.map_err(|error| match remove(&kv, new.then_some(out)) {
        Ok(()) => error,
        Err(left) => {
            error.context(format!("{}: a part of the store is there: remove it ({left})", kv.display()))
        }
    })
}

fn remove(kv: &Path, out: Option<&Path>) -> io::Result<()> {
    match std::fs::remove_dir_all(kv) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    out.map_or(Ok(()), std::fs::remove_dir)
}

/// Makes the store in the folder `kv`.
fn make(
    config: &Config,
    folder: Arc<Folder>,
    manifest: &Manifest,
    until: Until,
    last: Epoch,
    kv: &Path,
    progress: &mut dyn FnMut(Epoch),
) -> anyhow::Result<Replayed> {
    let archive = folder.dir().to_owned();
    let store: Arc<dyn FeedStore> = Arc::new(Embedded::open(kv, EmbeddedOptions::default())?);
    store.claim(&Claim::default()).context("the store")?;
    let workers = config.graph.workers;
    end_on_panic_beside(workers);
    let (graph, outputs) =
        runtime::start(workers, &config.params, false).map_err(|e| anyhow!("the dataflow: {e}"))?;
    let committed = Arc::new(AtomicU64::new(0));
    let sink = {
        let (store, committed) = (Arc::clone(&store), Arc::clone(&committed));
        let run = move || commit(&*store, workers, &outputs, &committed);
        std::thread::Builder::new().name("sink".to_owned()).spawn(run)?
    };
    let interrupt = Interrupt::listen()?;
    let mut replayed = Replayed::default();
    let mut reader = Reader::new(folder, manifest, Some(last));
    let fed = loop {
        let epoch = match reader.next() {
            Ok(Some(epoch)) => epoch,
            Ok(None) => break Ok(()),
            Err(ReadError::Changed) => {
                break Err(anyhow!("{}: rows were taken out meanwhile: try again", archive.display()));
            }
            Err(error) => break Err(error.into()),
        };
        if matches!(until, Until::Time(time) if epoch.now > time) {
            break Ok(());
        }
        if interrupt.flag().load(Relaxed) {
            break Err(anyhow!("interrupted at epoch {}; what was made so far is removed", epoch.epoch));
        }
        while epoch.epoch.0 > committed.load(Relaxed) + config.graph.in_flight as u64 && !sink.is_finished() {
            std::thread::sleep(LOOK);
        }
        (replayed.epoch, replayed.now) = (epoch.epoch, epoch.now);
        replayed.records += epoch.records.len() as u64;
        progress(epoch.epoch);
        let input = EpochInput {
            epoch: epoch.epoch,
            now: epoch.now,
            records: epoch.records,
            asks: Vec::new(),
            probes: Vec::new(),
            remake: epoch.remake,
        };
        if let Err(error) = graph.send(input) {
            break Err(error.into());
        }
    };
    let ended = graph.finish();
    sink.join().map_err(|_| anyhow!("the sink panicked"))?.context("the store")?;
    fed?;
    ended?;
    store.sync().context("the store")?;
    if replayed.epoch == Epoch(0) {
        bail!("{}: no epoch of the archive is so early", archive.display());
    }
    Ok(replayed.with(&manifest.forgotten))
}

/// Commits what is closed, in order.
fn commit(
    store: &dyn FeedStore,
    workers: usize,
    outputs: &Receiver<Output>,
    committed: &AtomicU64,
) -> anyhow::Result<()> {
    let mut open = vec![0; workers];
    let mut waiting: BTreeMap<u64, Vec<Change>> = BTreeMap::new();
    for output in outputs {
        match output {
            Output::Changes(_, epoch, changes) => waiting.entry(epoch.0).or_default().extend(changes),
            Output::Closed(worker, epoch) => {
                open[worker] = epoch.0;
                let closed = open.iter().copied().min().unwrap_or(0);
                while let Some(entry) = waiting.first_entry() {
                    if *entry.key() >= closed {
                        break;
                    }
                    let (epoch, mut changes) = entry.remove_entry();
                    changes.sort_by_cached_key(|(key, _)| key.to_string());
                    store.commit(&Commit { epoch: Epoch(epoch), changes })?;
                }
                // At the end all times are closed.
                committed.store(closed.saturating_sub(1), Relaxed);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::event::Target;
    use freshet_schema::{EventId, UserId};

    #[test]
    fn a_replay_says_what_is_not_as_then() {
        let delete = |epoch: u64, rows: u64| Forgotten {
            event_id: EventId(epoch),
            event_time: Millis(epoch),
            target: Target::User { user_id: UserId(1) },
            epoch: Epoch(epoch),
            rows,
        };
        let forgotten = [delete(3, 2), delete(5, 0), delete(7, 1), delete(9, 4)];
        let at = |epoch: u64| Replayed { epoch: Epoch(epoch), ..Replayed::default() }.with(&forgotten);
        let words = |epoch: u64| at(epoch).forgotten_words().expect("words");
        assert_eq!((at(2).forgotten_since, at(2).forgotten_before), (3, 0));
        assert!(words(2).starts_with("3 deletes came later") && !words(2).contains("had come"));
        assert_eq!((at(7).forgotten_since, at(7).forgotten_before), (1, 2));
        assert!(
            words(7).starts_with("1 deletes came later") && words(7).contains("\n2 deletes had come by then")
        );
        assert!(words(9).starts_with("3 deletes had come by then"), "{}", words(9));
        assert_eq!(Replayed::default().with(&forgotten[1..2]).forgotten_words(), None);
    }
}
