//! What a supervisor and its children tell each other: lines of JSON over a pair of sockets, the child's end of which is its standard
//! input. It closes when either is gone, however that came about: no child outlives its supervisor.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};

/// From a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Child {
    /// Where it listens for the others; empty where that was given.
    Listening(String),
    /// The job runs.
    Up,
}

/// From the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Supervisor {
    /// Begin.
    Begin(Begin),
    /// End well.
    Stop,
}

/// What a child must know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Where each process listens; empty for a job of one process, or where a hosts file says so.
    pub addresses: Vec<String>,
    /// How often the job was begun again.
    pub restarts: u64,
}

/// Writes a word.
///
/// # Errors
/// Where nobody is there.
pub fn say(mut to: impl Write, word: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_string(word)?;
    line.push('\n');
    to.write_all(line.as_bytes())
}

/// Reads a word; `None` at the end, and for what is none.
pub fn hear<W: serde::de::DeserializeOwned>(from: &mut impl BufRead) -> Option<W> {
    let mut line = String::new();
    from.take(1 << 16).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// A child's side.
pub struct Parent {
    tells: UnixStream,
    /// Until somebody listens for good.
    hears: Mutex<Option<BufReader<UnixStream>>>,
}

impl Parent {
    /// The supervisor that started this process.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of_stdin() -> anyhow::Result<Self> {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("the standard input")?;
        let tells = UnixStream::from(stdin);
        let hears = tells.try_clone().context("the standard input")?;
        Ok(Self { tells, hears: Mutex::new(Some(BufReader::new(hears))) })
    }

    fn hears(&self) -> MutexGuard<'_, Option<BufReader<UnixStream>>> {
        self.hears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where this process listens.
    ///
    /// # Errors
    /// Where the supervisor is gone.
    pub fn listening(&self, place: String) -> anyhow::Result<()> {
        say(&self.tells, &Child::Listening(place))
            .context("--child is for the supervisor alone, and it is not there")
    }

    /// Waits for the word to begin.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn begin(&self) -> anyhow::Result<Begin> {
        match self.hears().as_mut().and_then(hear) {
            Some(Supervisor::Begin(begin)) => Ok(begin),
            Some(Supervisor::Stop) => bail!("told to stop before the start"),
            None => Err(anyhow!("the supervisor is gone")),
        }
    }

    /// Says that the job runs.
    pub fn up(&self) {
        // Where the supervisor is gone, this process has been told to end.
        let _ = say(&self.tells, &Child::Up);
    }

    /// Calls `stop` when the supervisor says so, or is gone; with `true` where it had been called before: somebody will not
    /// wait. To be called once.
    ///
    /// # Errors
    /// Where there is no thread.
    pub fn on_stop(&self, stop: impl Fn(bool) + Send + 'static) -> anyhow::Result<()> {
        let Some(mut hears) = self.hears().take() else { return Ok(()) };
        let listen = move || {
            for told in [false, true] {
                let word: Option<Supervisor> = hear(&mut hears);
                stop(told);
                if word.is_none() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("supervisor".to_owned()).spawn(listen).context("a thread")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_anything_else_is_none() {
        let begin = Supervisor::Begin(Begin { addresses: vec!["127.0.0.1:7".to_owned()], restarts: 3 });
        let mut bytes = Vec::new();
        say(&mut bytes, &begin).expect("memory");
        say(&mut bytes, &Supervisor::Stop).expect("memory");
        bytes.extend(b"nonsense\n");
        let mut from = &bytes[..];
        assert_eq!(hear(&mut from), Some(begin));
        assert_eq!(hear(&mut from), Some(Supervisor::Stop));
        assert_eq!(hear::<Supervisor>(&mut from), None);
        assert_eq!(hear::<Supervisor>(&mut &[0xff; 100][..]), None);
    }
}
