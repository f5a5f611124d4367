//! Where an epoch ends: pure decisions.

use freshet_schema::Millis;

/// The bucket of a replay that comes next.
///
/// `heads` are the buckets that the partitions with records left have reached; none where only refused records are left,
/// which have no time and go along with any epoch. `now` is that of the last epoch, 0 before the first. The result never lies before a closed bucket: what was appended to a log that was already
/// replayed joins the first bucket that is still open.
pub(super) fn next_bucket(
    heads: impl Iterator<Item = u64>,
    now: Millis,
    min_event_time: Millis,
    replay_epoch_ms: u64,
) -> u64 {
    let open = now.max(min_event_time).0 / replay_epoch_ms;
    let open = if now == Millis(0) { 0 } else { open };
    match heads.min() {
        Some(least) => least.max(open),
        None => open.max(min_event_time.0 / replay_epoch_ms),
    }
}

/// `now` of a bucket: its upper boundary.
pub(super) fn upper_boundary(bucket: u64, replay_epoch_ms: u64) -> Millis {
    Millis(bucket.saturating_add(1).saturating_mul(replay_epoch_ms))
}

/// The clock of the next live epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiveNow {
    /// `now` of the epoch.
    pub(super) now: Millis,
    /// Where it is heading: the shifted wall clock.
    pub(super) target: Millis,
}

impl LiveNow {
    /// From the last epoch's `now` (0 before the first) toward the shifted wall clock, by one step at most. Never back,
    /// also when the wall clock is set back.
    pub(super) fn next(last: Millis, shifted_wall: Millis, max_step_ms: u64) -> Self {
        let target = shifted_wall.max(last);
        let now = if last == Millis(0) { target } else { target.min(last.plus(max_step_ms)) };
        Self { now, target }
    }

    /// Whether the clock is behind, after a pause.
    pub(super) fn lags(self) -> bool {
        self.now < self.target
    }

    /// Whether a record has to wait until the clock has caught up with it. Without this, what was appended during a
    /// pause would be refused as too far ahead. What will be refused anyway does not wait.
    pub(super) fn holds(self, event_time: Millis, max_future_skew_ms: u64) -> bool {
        self.lags() && event_time > self.now && event_time <= self.target.plus(max_future_skew_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_bucket_is_next_and_closed_ones_stay_closed() {
        let next = |heads: &[u64], now| next_bucket(heads.iter().copied(), Millis(now), Millis(500), 100);
        assert_eq!(next(&[9, 7], 0), 7);
        assert_eq!(next(&[9], 700), 9);
        assert_eq!(next(&[3], 700), 7); // [700, 800) is the first that is open
        assert_eq!(next(&[], 0), 5);
        assert_eq!(next(&[], 900), 9);
        assert_eq!(upper_boundary(7, 100), Millis(800));
        assert_eq!(upper_boundary(u64::MAX, 100), Millis(u64::MAX));
    }

    #[test]
    fn the_live_clock_catches_up_in_steps_and_never_goes_back() {
        let next = |last, wall| LiveNow::next(Millis(last), Millis(wall), 60);
        assert_eq!(next(1000, 1050), LiveNow { now: Millis(1050), target: Millis(1050) });
        assert_eq!(next(1000, 900).now, Millis(1000));
        assert_eq!(next(0, 5000).now, Millis(5000));
        let behind = next(1000, 5000);
        assert_eq!((behind.now, behind.lags()), (Millis(1060), true));
        assert!(behind.holds(Millis(1061), 10) && behind.holds(Millis(5010), 10));
        assert!(!behind.holds(Millis(1060), 10) && !behind.holds(Millis(5011), 10));
        assert!(!next(1000, 1050).holds(Millis(2000), 10));
    }
}
