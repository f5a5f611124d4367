//! A steady rate that does not slow down with the service.
//!
//! Open loop: each request has its time whether or not the one before was answered, and latency counts from that time. A
//! client that waits and measures from the moment it got to send leaves out just the requests that a stall delayed.

use std::time::{Duration, Instant};

/// The times of one sender's requests.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    first: Instant,
    every: Duration,
}

impl Pace {
    /// Sender `number` of `senders` that together send `rate` requests a second from `start` on, evenly.
    pub fn shared(start: Instant, rate: f64, number: usize, senders: usize) -> Self {
        let between = Duration::from_secs_f64(1.0 / rate);
        Self { first: start + between.mul_f64(number as f64), every: between.mul_f64(senders as f64) }
    }

    /// The time of request `n`.
    pub fn due(&self, n: u64) -> Instant {
        self.first + self.every.mul_f64(n as f64)
    }

    /// Waits for the time of request `n`, which may have passed, and returns it.
    pub fn wait(&self, n: u64) -> Instant {
        let due = self.due(n);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due
    }

    /// How many requests fall into `time`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive counts")]
    pub fn count(&self, time: Duration) -> u64 {
        (time.as_secs_f64() / self.every.as_secs_f64()) as u64
    }
}

/// Latencies of many requests.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Adds another sender's.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The latency in milliseconds that this part of the requests did not exceed (nearest rank); 0 where there is none.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the list")]
    pub fn quantile_ms(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (part * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), 0.0);
        (1..=100).rev().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        assert_eq!([0.5, 0.99, 1.0].map(|part| latencies.quantile_ms(part).round()), [50.0, 99.0, 100.0]);
    }

    #[test]
    fn senders_share_the_rate_evenly() {
        let start = Instant::now();
        let paces: Vec<Pace> = (0..4).map(|n| Pace::shared(start, 1000.0, n, 4)).collect();
        let mut due: Vec<Duration> =
            paces.iter().flat_map(|p| (0..3).map(|n| p.wait(n).duration_since(start))).collect();
        due.sort();
        let ms: Vec<u128> = due.iter().map(|d| (*d + Duration::from_micros(1)).as_millis()).collect();
        assert_eq!(ms, (0..12).collect::<Vec<_>>());
        assert_eq!(paces[0].count(Duration::from_secs(2)), 500);
    }
}
