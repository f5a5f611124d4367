//! Begins the processes of a job, and begins them again when one is lost.
//!
//! A process of a cluster cannot be replaced while the others go on, so a loss ends all of them; what is durable (journal,
//! checkpoints, store) is where the next attempt goes on, with the same bytes. The supervisor holds nothing but processes: it reads no
//! event and opens no store, so that there is little in it that could fail. It passes a signal on as a word to the first of
//! its children, which ends the job for all; a second signal ends everything at once. Over several machines each has a
//! supervisor with one child.

pub mod policy;
mod words;

use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child as Process, Command, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::watch;

use crate::config::Config;
use crate::service::listen_to_signals;
use crate::telemetry;

use policy::{Attempt, Next, Policy};
pub use policy::{How, TAKEN_OVER};
pub use words::{Begin, Parent};

/// Time between two looks at the children.
const LOOK: Duration = Duration::from_millis(20);
/// When one is lost the others notice it; those that have not ended by then are killed.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the processes of these numbers until they end well, or nothing helps. Each is this program again, with the same
/// arguments and its number.
///
/// # Errors
/// Where a process cannot be started, and what [`Policy`] gives up for.
pub fn run(config: &Config, processes: &[usize]) -> anyhow::Result<()> {
    telemetry::start_logs(&config.log, None)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the async runtime")?;
    runtime.block_on(supervise(config, processes))
}

async fn supervise(config: &Config, processes: &[usize]) -> anyhow::Result<()> {
    let (stopping, mut stopped) = watch::channel(false);
    listen_to_signals(stopping)?;
    let wanted = &config.supervisor;
    let policy = Policy {
        restarts: wanted.restarts,
        backoff: Duration::from_millis(wanted.backoff_ms),
        max_backoff: Duration::from_millis(wanted.max_backoff_ms),
        steady: Duration::from_millis(wanted.steady_ms),
    };
    let (mut restarts, mut row, mut was_up) = (0, 0, false);
    loop {
        let attempt = attempt(processes, restarts, was_up, &stopped).await?;
        was_up = attempt.was_up;
        match policy.next(&attempt, &mut row) {
            Next::End => return Ok(()),
            Next::Fail(why) => bail!("{why}"),
            Next::Again(pause, why, of_row) => {
                restarts += 1;
                tracing::warn!(
                    restarts,
                    in_a_row = of_row,
                    pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    "{why}; the job begins again from its last checkpoint"
                );
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = stopped.wait_for(|stopping| *stopping) => return Ok(()),
                }
            }
        }
    }
}

/// A child, from outside.
struct Child {
    number: usize,
    process: Process,
    words: UnixStream,
    ended: bool,
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            // It may just have ended.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Starts all children and waits until all have ended.
async fn attempt(
    processes: &[usize],
    restarts: u64,
    mut was_up: bool,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<Attempt> {
    let (to_heard, heard) = channel();
    let mut children = Vec::new();
    for number in processes {
        children.push(spawn(*number, &to_heard)?);
    }
    drop(to_heard);
    let began = Instant::now();
    let mut places: Vec<Option<String>> = vec![None; processes.len()];
    let mut begun = false;
    let mut ended: Vec<(usize, How)> = Vec::new();
    let mut failed: Option<Instant> = None;
    let mut told = false;
    while ended.len() < children.len() {
        take_words(&heard, processes, &mut places, &mut was_up);
        if !begun && places.iter().all(Option::is_some) {
            begun = true;
            let addresses: Vec<String> =
                places.iter().flatten().filter(|place| !place.is_empty()).cloned().collect();
            let begin = words::Supervisor::Begin(Begin { addresses, restarts });
            // One that cannot hear it has ended, which is seen below.
            children.iter().for_each(|child| drop(words::say(&child.words, &begin)));
        }
        for child in children.iter_mut().filter(|child| !child.ended) {
            if let Some(status) = child.process.try_wait().context("a child")? {
                child.ended = true;
                let how = how(status);
                if how != How::Code(0) {
                    failed.get_or_insert_with(Instant::now);
                }
                ended.push((child.number, how));
            }
        }
        if *stopped.borrow() && !told {
            told = true;
            // The first ends the job for all of them.
            if begun {
                children
                    .iter()
                    .take(1)
                    .for_each(|child| drop(words::say(&child.words, &words::Supervisor::Stop)));
            } else {
                failed.get_or_insert(began);
            }
        }
        if failed.is_some_and(|at| at.elapsed() > GRACE || !begun) {
            for child in children.iter_mut().filter(|child| !child.ended) {
                child.process.kill().context("a child")?;
                child.process.wait().context("a child")?;
                child.ended = true;
                ended.push((child.number, How::Killed));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    take_words(&heard, processes, &mut places, &mut was_up);
    Ok(Attempt { ended, ran: began.elapsed(), begun, was_up, stopping: *stopped.borrow() })
}

fn take_words(
    heard: &Receiver<(usize, words::Child)>,
    processes: &[usize],
    places: &mut [Option<String>],
    was_up: &mut bool,
) {
    for (number, word) in heard.try_iter() {
        match word {
            words::Child::Listening(place) => {
                let at = processes.iter().position(|process| *process == number);
                if let Some(slot) = at.and_then(|at| places.get_mut(at)) {
                    *slot = Some(place);
                }
            }
            words::Child::Up => *was_up = true,
        }
    }
}

fn how(status: ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Code(code),
        (None, signal) => How::Signal(signal.unwrap_or(0)),
    }
}

fn spawn(number: usize, heard: &Sender<(usize, words::Child)>) -> anyhow::Result<Child> {
    let (ours, theirs) = UnixStream::pair().context("a pair of sockets")?;
    let program = std::env::current_exe().context("the program's own path")?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).arg("--child").arg(number.to_string());
    // Ctrl-C in a terminal goes to this process alone; it says the word.
    command.stdin(OwnedFd::from(theirs)).process_group(0);
    let process = command.spawn().with_context(|| format!("process {number}"))?;
    // The command holds the child's end: it must not keep the pair open.
    drop(command);
    let mut hears = BufReader::new(ours.try_clone().context("a pair of sockets")?);
    let heard = heard.clone();
    std::thread::Builder::new()
        .name(format!("child-{number}"))
        .spawn(move || {
            while let Some(word) = words::hear(&mut hears) {
                if heard.send((number, word)).is_err() {
                    return;
                }
            }
        })
        .context("a thread")?;
    Ok(Child { number, process, words: ours, ended: false })
}
