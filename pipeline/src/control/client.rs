//! The command's side.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use freshet_schema::Epoch;
use freshet_schema::event::Target;
use freshet_schema::store::{Key, Value};

use super::{Answer, DumpHead, Request};
use crate::suspects::Suspects;

/// A connection to a running service.
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects; `None` where nobody answers: no file, or one left over from a process that is gone.
    ///
    /// # Errors
    /// Where somebody is there, and we may not connect.
    pub fn connect(path: &Path) -> anyhow::Result<Option<Self>> {
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Some(Self { path: path.to_owned(), stream: BufReader::new(stream) })),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "the control socket {}: run the command as the user that runs the service",
                    path.display()
                )
            }),
        }
    }

    /// Where the service was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value under a key.
    ///
    /// # Errors
    /// Where the service fails or goes away.
    pub fn get(&mut self, key: &Key) -> anyhow::Result<Option<Value>> {
        let json = self.ask(&Request::Get(key.to_string()))?;
        if json.is_null() {
            return Ok(None);
        }
        Ok(Some(match key {
            Key::Feed(_) | Key::NewUser(_) => Value::Feed(serde_json::from_value(json)?),
            Key::Dropped(_) => Value::Dropped(serde_json::from_value(json)?),
            Key::Account(_) => Value::Account(serde_json::from_value(json)?),
            Key::Heads(_) => Value::Heads(serde_json::from_value(json)?),
            Key::Video(_) => Value::Video(serde_json::from_value(json)?),
            Key::Related(_) => Value::Related(serde_json::from_value(json)?),
            Key::Cohort(_) => Value::Cohort(serde_json::from_value(json)?),
            Key::Preferences(_) => Value::Preferences(serde_json::from_value(json)?),
            Key::Trending(_) => Value::Trending(serde_json::from_value(json)?),
            Key::Experiments => Value::Experiments(serde_json::from_value(json)?),
            Key::Diversity => Value::Diversity(serde_json::from_value(json)?),
        }))
    }

    /// The last epoch committed.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn marker(&mut self) -> anyhow::Result<Option<Epoch>> {
        Ok(serde_json::from_value(self.ask(&Request::Marker)?)?)
    }

    /// The service's numbers.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn stats(&mut self) -> anyhow::Result<serde_json::Value> {
        self.ask(&Request::Stats)
    }

    /// Entries by kind of key.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn count(&mut self) -> anyhow::Result<serde_json::Value> {
        self.ask(&Request::Count)
    }

    /// The versions of the weights that are kept, in order.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn heads(&mut self) -> anyhow::Result<Vec<u64>> {
        Ok(serde_json::from_value(self.ask(&Request::Heads)?)?)
    }

    /// Asks for all of the store to be written again.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn resync(&mut self) -> anyhow::Result<()> {
        self.ask(&Request::Resync).map(drop)
    }

    /// Has a checkpoint made, and waits for it.
    ///
    /// # Errors
    /// As [`Client::get`], and where none could be made.
    pub fn checkpoint(&mut self) -> anyhow::Result<serde_json::Value> {
        self.ask(&Request::Checkpoint)
    }

    /// Has something forgotten, and waits for it.
    ///
    /// # Errors
    /// As [`Client::get`], and where something could not be taken out.
    pub fn forget(&mut self, target: Target) -> anyhow::Result<serde_json::Value> {
        self.ask(&Request::Forget(target))
    }

    /// Who and what is suspected of abuse.
    ///
    /// # Errors
    /// As [`Client::get`], and where the state cannot be read.
    pub fn suspects(&mut self) -> anyhow::Result<Suspects> {
        Ok(serde_json::from_value(self.ask(&Request::Suspects)?)?)
    }

    /// Copies a dump of one epoch to `out`.
    ///
    /// # Errors
    /// As [`Client::get`], where the dump breaks off, or where `out` cannot be written.
    pub fn dump(&mut self, out: &mut dyn Write) -> anyhow::Result<DumpHead> {
        let head: DumpHead = serde_json::from_value(self.ask(&Request::Dump)?)?;
        let copied = io::copy(&mut (&mut self.stream).take(head.bytes), out)?;
        if copied != head.bytes {
            bail!("the service went away after {copied} of {} bytes", head.bytes);
        }
        out.flush()?;
        Ok(head)
    }

    fn ask(&mut self, request: &Request) -> anyhow::Result<serde_json::Value> {
        let context = || format!("the service at {}", self.path.display());
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).with_context(context)?;
        let mut answer = Vec::new();
        self.stream.read_until(b'\n', &mut answer).with_context(context)?;
        if answer.is_empty() {
            bail!("the service at {} went away: it may be stopping", self.path.display());
        }
        match serde_json::from_slice(&answer).with_context(context)? {
            Answer::Ok(value) => Ok(value),
            Answer::Error(message) => bail!("the service at {} says: {message}", self.path.display()),
        }
    }
}
