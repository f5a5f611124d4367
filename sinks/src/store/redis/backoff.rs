//! How long to wait before a server is asked again.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// How often a waiting thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(20);

/// Doubles from 50 ms to 5 s.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    /// Attempts that failed.
    pub(super) failures: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST, failures: 0 }
    }
}

impl Backoff {
    /// Notes a failure and says how long to wait.
    pub(super) fn failed(&mut self) -> Duration {
        self.failures += 1;
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }
}

/// Waits; `false` where `stop` was set meanwhile.
pub(super) fn wait(time: Duration, stop: &AtomicBool) -> bool {
    let until = Instant::now() + time;
    loop {
        if stop.load(Relaxed) {
            return false;
        }
        match until.checked_duration_since(Instant::now()) {
            None => return true,
            Some(left) => std::thread::sleep(left.min(LOOK)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.failed().as_millis() as u64).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.failures, 9);
    }

    #[test]
    fn a_wait_ends_early_when_told() {
        assert!(!wait(Duration::from_secs(60), &AtomicBool::new(true)));
        assert!(wait(Duration::from_millis(1), &AtomicBool::new(false)));
    }
}
