//! Reads, from any thread: a few kept connections, and a pause after a failure.
//!
//! While a server is away each request would wait for its own connection to fail. So after one has, others fail at once for a moment,
//! with the same reason.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{Client, Connection, RedisError, cmd};

use super::{RedisOptions, fault};
use crate::store::StoreError;

/// Connections kept for later.
const KEPT: usize = 16;
/// How long after a failure to connect others fail without trying.
const PAUSE: Duration = Duration::from_millis(200);
/// Keys that the server looks at in one step of a walk.
const STEP: usize = 1000;
/// Steps of a walk that looks for examples.
const FEW_STEPS: usize = 20;

/// See the module.
pub(super) struct Reader {
    client: Client,
    options: RedisOptions,
    kept: Mutex<Vec<Connection>>,
    failed: Mutex<Option<(Instant, String)>>,
}

impl Reader {
    pub(super) fn new(client: Client, options: RedisOptions) -> Self {
        Self { client, options, kept: Mutex::new(Vec::new()), failed: Mutex::new(None) }
    }

    /// Asks on a connection. A kept one may have been closed by the server meanwhile: then a new one is asked.
    pub(super) fn ask<T>(
        &self,
        question: impl Fn(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut connection) = kept {
            match question(&mut connection) {
                Ok(answer) => {
                    self.keep(connection);
                    return Ok(answer);
                }
                // Waiting a second time for a slow server would help nobody.
                Err(error)
                    if error.is_timeout() || !(error.is_io_error() || error.is_unrecoverable_error()) =>
                {
                    return Err(self.failed(&error));
                }
                Err(_) => self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            }
        }
        if let Some((since, reason)) = &*self.failed.lock().unwrap_or_else(PoisonError::into_inner)
            && since.elapsed() < PAUSE
        {
            return Err(StoreError::Unavailable { store: self.options.shown(), reason: reason.clone() });
        }
        let attempt = self.connect().and_then(|mut connection| {
            let answer = question(&mut connection)?;
            self.keep(connection);
            Ok(answer)
        });
        attempt.map_err(|error| self.failed(&error))
    }

    /// What an error means; where the server is away, for the next moment too.
    fn failed(&self, error: &RedisError) -> StoreError {
        let fault = fault(&self.options.shown(), "read", error);
        if let StoreError::Unavailable { reason, .. } = &fault {
            let now = Some((Instant::now(), reason.clone()));
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        fault
    }

    fn connect(&self) -> Result<Connection, RedisError> {
        let connection = self.client.get_connection_with_timeout(self.options.connect_timeout)?;
        let patience = Some(self.options.read_timeout.max(Duration::from_millis(1)));
        connection.set_read_timeout(patience)?;
        connection.set_write_timeout(patience)?;
        Ok(connection)
    }

    fn keep(&self, connection: Connection) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(connection);
        }
    }
}

/// All keys of ours that begin with `prefix`, without the store's own prefix, sorted by their bytes. A walk sees every key that is there
/// from its beginning to its end.
pub(super) fn keys(
    connection: &mut Connection,
    key_prefix: &str,
    prefix: &str,
) -> Result<Vec<String>, RedisError> {
    let mut found = walk(connection, key_prefix, prefix, |_, _| true)?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Up to `limit` of them, from a bounded part of the server's keys.
pub(super) fn some_keys(
    connection: &mut Connection,
    key_prefix: &str,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, RedisError> {
    let mut found = walk(connection, key_prefix, prefix, |steps, found| found < limit && steps < FEW_STEPS)?;
    found.truncate(limit);
    Ok(found)
}

/// Goes through the server's keys for as long as `on` says so, of the steps taken and the keys found.
fn walk(
    connection: &mut Connection,
    key_prefix: &str,
    prefix: &str,
    on: impl Fn(usize, usize) -> bool,
) -> Result<Vec<String>, RedisError> {
    let pattern = format!("{}*", escaped(&format!("{key_prefix}{prefix}")));
    let mut found = Vec::new();
    let mut cursor = 0u64;
    for step in 1.. {
        let (next, page): (u64, Vec<Vec<u8>>) =
            cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP).query(connection)?;
        // What is no text, or none of our keys, was put there by somebody else.
        let ours = page.into_iter().filter_map(|key| {
            let key = String::from_utf8(key).ok()?;
            let key = key.strip_prefix(key_prefix)?;
            freshet_schema::store::Key::parse(key).map(|_| key.to_owned())
        });
        found.extend(ours);
        cursor = next;
        if cursor == 0 || !on(step, found.len()) {
            break;
        }
    }
    Ok(found)
}

/// A text as a pattern that matches itself alone.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_match_their_text_alone() {
        assert_eq!(super::escaped("a*b[c]?\\:é"), "a\\*b\\[c\\]\\?\\\\:é");
    }
}
