//! Somebody who reads lists from Redis all the while, as a feed server in any language does, and remembers what was read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use freshet_schema::store::{Key, Value};
use freshet_schema::{Epoch, UserId};
use redis::{Client, Connection, RedisError};

/// Time between two rounds, and how long an answer may take: longer than a server needs that was not killed.
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module. A list must never be one of an earlier epoch than before. Only of a shard that the server has forgotten, and that is
/// not whole again, nothing is promised (docs/store.md): such a shard has no marker.
pub struct ListsReader {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Read, String>>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// Lists of whole shards.
    pub read: u64,
    /// Those of a later epoch than the one before.
    pub newer: u64,
    /// Looks at a shard that was not whole.
    pub not_whole: u64,
    /// Times that the server was away.
    pub away: u64,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, newer, not_whole, away } = self;
        write!(
            f,
            "{read} lists read, {newer} newer than before, {not_whole} looks at shards not whole, {away} times away"
        )
    }
}

impl ListsReader {
    /// Begins to read the lists of some users.
    pub fn start(url: &str, users: &[u64]) -> Self {
        let client = Client::open(url).expect("an address");
        let users = users.to_vec();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut read, mut last) = (Read::default(), BTreeMap::new());
            while !ends.load(Relaxed) {
                let connected = client.get_connection_with_timeout(PATIENCE);
                match connected.and_then(|connection| look(connection, &users, &ends, &mut last, &mut read)) {
                    Ok(Ok(())) => {}
                    Ok(Err(back)) => return Err(back),
                    Err(_) => read.away += 1,
                }
                std::thread::sleep(PAUSE);
            }
            Ok(read)
        });
        Self { over, thread }
    }

    /// Ends it; what it has read. Fails where a list went back.
    #[track_caller]
    pub fn end(self) -> Read {
        self.over.store(true, Relaxed);
        self.thread.join().expect("no panic").unwrap_or_else(|back| panic!("{back}"))
    }
}

/// Reads until the end or until the server is away; the inner error is a list that went back.
fn look(
    mut connection: Connection,
    users: &[u64],
    ends: &AtomicBool,
    last: &mut BTreeMap<u64, Epoch>,
    read: &mut Read,
) -> Result<Result<(), String>, RedisError> {
    connection.set_read_timeout(Some(PATIENCE))?;
    while !ends.load(Relaxed) {
        for user in users {
            let key = Key::Feed(UserId(*user));
            let (shard, name) = (key.shard().to_string(), key.to_string());
            // Both as of one moment.
            let (whole, value): (Option<u64>, Option<Vec<u8>>) =
                redis::pipe().atomic().hget("freshet:epochs", shard).get(&name).query(&mut connection)?;
            let (Some(_), Some(bytes)) = (whole, value) else {
                read.not_whole += u64::from(whole.is_none());
                last.remove(user);
                continue;
            };
            let epoch = match Value::decode(&key, &bytes) {
                Ok(Value::Feed(list)) => Epoch(list.epoch),
                other => return Ok(Err(format!("{name} is no list: {other:?}"))),
            };
            read.read += 1;
            if let Some(before) = last.insert(*user, epoch) {
                if epoch < before {
                    return Ok(Err(format!("{name} went back from epoch {before} to epoch {epoch}")));
                }
                read.newer += u64::from(epoch > before);
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Ok(()))
}
