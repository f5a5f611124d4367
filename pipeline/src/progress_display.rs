//! Shows how far a replay is: one line that is rewritten on a terminal, plain lines every few seconds elsewhere. On
//! standard error, so that the output of a command stays clean.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::progress::{Phase, Progress, Snapshot};

/// The display; ends with [`Display::finish`].
pub struct Display {
    end: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Display {
    /// Starts the display; `quiet` makes one that shows nothing.
    pub fn start(progress: &Arc<Progress>, quiet: bool) -> Self {
        if quiet {
            return Self { end: None };
        }
        let progress = Arc::clone(progress);
        let (sender, receiver) = channel::<()>();
        let terminal = io::stderr().is_terminal();
        let every = Duration::from_millis(if terminal { 250 } else { 5_000 });
        let thread = std::thread::spawn(move || {
            let mut last = progress.snapshot();
            let mut shown = false;
            while receiver.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let now = progress.snapshot();
                if now.phase >= Phase::Live {
                    break;
                }
                let text = line(&last, &now);
                show(&if terminal { format!("\r\x1b[2K{text}") } else { format!("{text}\n") });
                shown = true;
                last = now;
            }
            if terminal && shown {
                show("\r\x1b[2K");
            }
        });
        Self { end: Some((sender, thread)) }
    }

    /// Takes the line away.
    pub fn finish(self) {
        if let Some((sender, thread)) = self.end {
            drop(sender);
            // The thread only writes; if it had panicked, the job would go on all the same.
            drop(thread.join());
        }
    }
}

fn show(text: &str) {
    let mut out = io::stderr().lock();
    // Nobody may be there to read the progress.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// One line: share read, events and their rate since `last`, time left, lists, dead letters.
fn line(last: &Snapshot, now: &Snapshot) -> String {
    let span = now.elapsed_ms.saturating_sub(last.elapsed_ms).max(1);
    let rate = now.events.saturating_sub(last.events) * 1_000 / span;
    let mut text = match now.phase {
        Phase::Starting => "opening the log".to_owned(),
        Phase::Journal => format!("replaying the journal: epoch {}", now.last_epoch),
        _ => format!("replaying: epoch {}", now.last_epoch),
    };
    if let Some(percent) = (now.bytes_read * 100).checked_div(now.bytes_total) {
        text.push_str(&format!(", {} %", percent.min(100)));
    }
    text.push_str(&format!(", {} events ({}/s)", count(now.events), count(rate)));
    text.push_str(&format!(", {} lists", count(now.lists)));
    if now.dead_letters > 0 {
        text.push_str(&format!(", {} dead letters", count(now.dead_letters)));
    }
    if let Some(left) = seconds_left(now) {
        text.push_str(&format!(", {} left", duration(left)));
    }
    text
}

/// From the bytes read so far; unknown before one percent is read.
fn seconds_left(now: &Snapshot) -> Option<u64> {
    let left = now.bytes_total.checked_sub(now.bytes_read)?;
    if now.bytes_total == 0 || now.bytes_read < now.bytes_total / 100 || now.bytes_read == 0 {
        return None;
    }
    u64::try_from(u128::from(now.elapsed_ms) * u128::from(left) / u128::from(now.bytes_read) / 1_000).ok()
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `1,234,567`
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a job did, in a line.
pub fn summary(now: &Snapshot) -> String {
    let seconds = now.elapsed_ms.max(1);
    format!(
        "{} events ({} dead letters), {} epochs, {} lists written in {}.{} s: {} events/s",
        count(now.events),
        count(now.dead_letters),
        count(now.epochs),
        count(now.lists),
        seconds / 1_000,
        seconds % 1_000 / 100,
        count(now.events * 1_000 / seconds),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_share_and_time_left() {
        let last = Snapshot { elapsed_ms: 1_000, events: 1_000, ..Snapshot::default() };
        let now = Snapshot {
            phase: Phase::Replay,
            elapsed_ms: 3_000,
            events: 21_000,
            lists: 1_234,
            bytes_read: 25,
            bytes_total: 100,
            dead_letters: 2,
            ..Snapshot::default()
        };
        assert_eq!(
            line(&last, &now),
            "replaying: epoch 0, 25 %, 21,000 events (10,000/s), 1,234 lists, 2 dead letters, 9 s left"
        );
        let unknown = Snapshot { bytes_total: 0, bytes_read: 0, ..now };
        assert!(!line(&last, &unknown).contains("left"));
        assert_eq!(
            summary(&now),
            "21,000 events (2 dead letters), 0 epochs, 1,234 lists written in 3.0 s: 7,000 events/s"
        );
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
