//! The one connection that writes.
//!
//! A call goes on until the server has answered every batch: what breaks off is sent again as it was, to the same server or to the one
//! that took its place, and the script finds out what was applied. The caller waits meanwhile, which is the job's back-pressure; it
//! ends early only when the process wants to stop, or where waiting cannot help.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use freshet_schema::{Epoch, Generation};
use redis::{Client, Connection, RedisError, ServerErrorKind, Value, cmd};

use super::backoff::{Backoff, wait};
use super::ledger::{Ledger, Markers, PLACES, field};
use super::script::{Batch, COMMIT, CURRENT_LAYOUT, EPOCHS, GENERATION, LAYOUT, Said, TAKE};
use super::{RedisOptions, fault};
use crate::store::{Claim, Commit, Loss, NotMine, StillMine, StoreError, crash_point, next_generation};
use crate::telemetry::{OwnerUnseen, StoreAway, StoreBack, StoreBatches, StoreEvicts, StoreTakenAgain};

/// Batches that are on their way at once, where they are full ...
const FULL: usize = 4;
/// ... and bytes in them, about.
const WINDOW: usize = 16 << 20;

/// See the module.
pub(super) struct Writer {
    client: Client,
    options: RedisOptions,
    connection: Option<Connection>,
    /// The checksum of the commit script.
    sha: String,
    generation: Generation,
    /// `GENERATION PROCESS`: what stands in the store. The process tells two runs of one generation apart, where each was handed out by
    /// a store that had forgotten the other.
    writer: String,
    still_mine: StillMine,
    pub(super) ledger: Ledger,
    stop: Arc<AtomicBool>,
}

impl Writer {
    /// Takes the store.
    pub(super) fn claim(
        client: Client,
        options: &RedisOptions,
        claim: &Claim,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, StoreError> {
        let mut writer = Self {
            client,
            options: options.clone(),
            connection: None,
            sha: String::new(),
            generation: Generation(0),
            writer: String::new(),
            still_mine: Arc::clone(&claim.still_mine),
            ledger: Ledger::new(&options.key_prefix, options.batch_bytes, &[None; PLACES], Epoch(0)),
            stop,
        };
        // A store that is away at the start is waited for, as it is later; one that refuses is not.
        let markers = writer.until_answered(|writer| writer.take_first(claim))?;
        let markers = markers?;
        writer.ledger = Ledger::new(&options.key_prefix, options.batch_bytes, &markers, claim.resumed);
        Ok(writer)
    }

    /// One attempt to take the store. The outer error is worth another attempt.
    fn take_first(&mut self, claim: &Claim) -> Result<Result<Markers, StoreError>, RedisError> {
        let store = self.options.shown();
        let (generation, layout) = (self.key(GENERATION), self.key(LAYOUT));
        loop {
            let connection = self.connected()?;
            let (held, found): (Option<String>, Option<String>) =
                redis::pipe().get(&generation).get(&layout).query(connection)?;
            if let Some(found) = found.filter(|found| found != CURRENT_LAYOUT) {
                return Ok(Err(StoreError::OtherLayout { store, found, expected: CURRENT_LAYOUT }));
            }
            let number = held.as_deref().map(generation_of);
            let mine = match next_generation(number, claim, &store) {
                Ok(mine) => mine,
                Err(error) => return Ok(Err(error)),
            };
            self.generation = mine;
            self.writer = format!("{mine} {}", process());
            if self.take(held.as_deref().unwrap_or_default())? == self.writer {
                break;
            }
            // Somebody else was quicker: look again.
        }
        let epochs = self.key(EPOCHS);
        let fields: Vec<String> = (0..PLACES).map(field).collect();
        let connection = self.connected()?;
        let found: Vec<Option<u64>> = cmd("HMGET").arg(&epochs).arg(&fields).query(connection)?;
        warn_of_eviction(connection, &store);
        let mut markers: Markers = [None; PLACES];
        for (marker, found) in markers.iter_mut().zip(found) {
            *marker = found.map(Epoch);
        }
        Ok(Ok(markers))
    }

    /// Puts this run in the place of `held`; answers who holds the store now.
    fn take(&mut self, held: &str) -> Result<String, RedisError> {
        let keys = [self.key(GENERATION), self.key(LAYOUT)];
        let writer = self.writer.clone();
        cmd("EVAL")
            .arg(TAKE)
            .arg(2)
            .arg(&keys)
            .arg(held)
            .arg(writer)
            .arg(CURRENT_LAYOUT)
            .query(self.connected()?)
    }

    /// Somebody else, or nobody, holds the store.
    fn take_again(&mut self, held: &str) -> Result<Result<(), StoreError>, RedisError> {
        let store = self.options.shown();
        let number = generation_of(held);
        if !held.is_empty() && number >= self.generation {
            return Ok(Err(StoreError::Superseded { store, mine: self.generation, held: number }));
        }
        // The store has forgotten this run: it started empty, or from an old file. Before it is taken again the claim is
        // read where it was made: a newer run may wait for the same store.
        if let Err(error) = self.see_owner(&store) {
            return Ok(Err(error));
        }
        if self.take(held)? == self.writer {
            self.ledger.begin_again();
            StoreTakenAgain { store: &store, held, generation: self.generation }.emit();
        }
        Ok(Ok(()))
    }

    /// Looks whether this run still owns its job, until somebody can say. To end here would begin the job again, which asks the same
    /// of the same bucket.
    fn see_owner(&self, store: &str) -> Result<(), StoreError> {
        let mut backoff = Backoff::default();
        loop {
            let reason = match (self.still_mine)() {
                Ok(()) => return Ok(()),
                Err(NotMine::TakenOver(reason)) => {
                    return Err(StoreError::Disowned { store: store.to_owned(), reason });
                }
                Err(NotMine::Unseen(reason)) => reason,
            };
            let pause = backoff.failed();
            OwnerUnseen { store, failures: backoff.failures, reason: &reason }.emit();
            if !wait(pause, &self.stop) {
                return Err(StoreError::OwnerUnseen { store: store.to_owned(), reason });
            }
        }
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Applies epochs in order; `false` where all were applied before.
    pub(super) fn commit(&mut self, commits: &[Commit]) -> Result<bool, StoreError> {
        let fresh = match commits.iter().position(|commit| !self.ledger.has(commit.epoch)) {
            Some(first) => &commits[first..],
            None => return Ok(false),
        };
        self.run(self.ledger.plan(fresh))?;
        fresh.iter().for_each(|commit| self.ledger.committed(commit.epoch));
        Ok(true)
    }

    /// Finds shards that have fallen behind.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        self.run(vec![self.ledger.check()])
    }

    /// Makes every shard lost.
    pub(super) fn distrust(&mut self) -> Result<(), StoreError> {
        self.run(vec![self.ledger.distrust()])
    }

    /// Makes lost shards whole: see [`crate::store::FeedStore::restored`].
    pub(super) fn restored(&mut self, losses: &[Loss]) -> Result<(), StoreError> {
        if self.ledger.current(losses).is_empty() {
            return Ok(());
        }
        let prefix = self.options.key_prefix.clone();
        let keys = self.until_answered(|writer| {
            let connection = writer.connected()?;
            super::reader::keys(connection, &prefix, "")
        })?;
        let shards = self.ledger.current(losses);
        let stale: Vec<String> = keys
            .into_iter()
            .map(|key| format!("{prefix}{key}"))
            .filter(|key| !self.ledger.is_written(key))
            .collect();
        self.run(self.ledger.restore(&shards, &stale))
    }

    /// Sends batches, a window at a time, and notes the answers.
    fn run(&mut self, batches: Vec<Batch>) -> Result<(), StoreError> {
        let mut rest = batches.as_slice();
        let most = self.options.batch_bytes.saturating_mul(FULL).min(WINDOW);
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|batch| {
                bytes += batch.bytes();
                bytes <= most
            });
            let (window, later) = rest.split_at(fits.count().max(1));
            let said = self.until_answered(|writer| writer.send(window))??;
            for (batch, said) in window.iter().zip(&said) {
                self.ledger.note(batch, said);
            }
            StoreBatches { batches: window.len(), bytes: window.iter().map(Batch::bytes).sum() }.emit();
            rest = later;
            let epoch = |batch: Option<&Batch>| batch.map(|batch| batch.epoch);
            if epoch(rest.first()) == epoch(window.last()) {
                crash_point("store-within-epoch", &self.options.shown())?;
            }
        }
        Ok(())
    }

    /// One attempt to have all of `batches` answered by a store that is ours. The outer error is worth another attempt.
    fn send(&mut self, batches: &[Batch]) -> Result<Result<Vec<Vec<Said>>, StoreError>, RedisError> {
        loop {
            let (prefix, writer) = (self.options.key_prefix.clone(), self.writer.clone());
            self.connected()?;
            let mut packed = Vec::new();
            for batch in batches {
                batch.call(&self.sha, &prefix, &writer).write_packed_command(&mut packed);
            }
            let connection = self.connected()?;
            connection.send_packed_command(&packed)?;
            drop(packed);
            // All answers are read, whatever the first says: the next call on the connection must not meet them.
            let mut answers = Vec::with_capacity(batches.len());
            for _ in batches {
                answers.push(connection.recv_response()?);
            }
            let mut said = Vec::with_capacity(batches.len());
            let mut other = None;
            for (batch, answer) in batches.iter().zip(answers) {
                match answer {
                    Value::ServerError(error) => return Err(error.into()),
                    Value::BulkString(text) => {
                        let text = String::from_utf8_lossy(&text);
                        match batch.said(&text) {
                            Some(Ok(letters)) => said.push(letters),
                            Some(Err(held)) => other = Some(held),
                            None => return Ok(Err(self.nonsense(&text))),
                        }
                    }
                    answer => return Ok(Err(self.nonsense(&format!("{answer:?}")))),
                }
            }
            match other {
                None => return Ok(Ok(said)),
                Some(held) => {
                    if let Err(error) = self.take_again(&held)? {
                        return Ok(Err(error));
                    }
                }
            }
        }
    }

    fn nonsense(&self, answer: &str) -> StoreError {
        StoreError::Refused {
            store: self.options.shown(),
            action: "commit",
            reason: format!("an answer that no script of this release gives: {answer:.80}"),
        }
    }

    /// Repeats `attempt` until it comes to an end, with growing pauses.
    fn until_answered<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        let mut backoff = Backoff::default();
        loop {
            let error = match attempt(self) {
                Ok(done) => {
                    if backoff.failures > 0 {
                        StoreBack { store: &self.options.shown(), attempts: backoff.failures }.emit();
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) {
                // The scripts were flushed; they are loaded with the next connection.
                self.connection = None;
            }
            let fault = fault(&self.options.shown(), "commit", &error);
            if !fault.may_retry() && error.kind() != redis::ErrorKind::Server(ServerErrorKind::NoScript) {
                return Err(fault);
            }
            if error.is_io_error() || error.is_unrecoverable_error() {
                self.connection = None;
            }
            let pause = backoff.failed();
            StoreAway { store: &self.options.shown(), failures: backoff.failures, error: &error }.emit();
            if !wait(pause, &self.stop) {
                return Err(fault);
            }
        }
    }

    /// The connection, made anew where there is none.
    fn connected(&mut self) -> Result<&mut Connection, RedisError> {
        if self.connection.is_none() {
            let mut connection = self.client.get_connection_with_timeout(self.options.connect_timeout)?;
            let patience = Some(self.options.write_timeout.max(Duration::from_millis(1)));
            connection.set_read_timeout(patience)?;
            connection.set_write_timeout(patience)?;
            self.sha = cmd("SCRIPT").arg("LOAD").arg(COMMIT).query(&mut connection)?;
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("made above"))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.options.key_prefix)
    }
}

/// The number in `GENERATION PROCESS`; 0 where it is none.
pub(super) fn generation_of(writer: &str) -> Generation {
    Generation(writer.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// Names this process among those that ever wrote to the store.
fn process() -> String {
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}", std::process::id(), started.as_nanos())
}

/// A server that throws keys away when memory runs out would throw lists away, and markers.
fn warn_of_eviction(connection: &mut Connection, store: &str) {
    let Ok(memory) = cmd("INFO").arg("memory").query::<String>(connection) else { return };
    let field = |name: &str| {
        memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    if let Some(policy) = field("maxmemory_policy").filter(|policy| *policy != "noeviction")
        && field("maxmemory").is_some_and(|limit| limit != "0")
    {
        StoreEvicts { store, policy }.emit();
    }
}
