//! The only place of the pipeline's data path that looks at a clock, so that tests can turn it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use freshet_schema::Millis;

/// A wall clock and a stopwatch.
pub trait Clock: Send {
    /// The wall clock. It may jump.
    fn wall(&self) -> Millis;
    /// Milliseconds since some fixed moment. Never goes back.
    fn elapsed_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Millis {
        // A machine whose clock stands before 1970 is at the beginning of time.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// How the pipeline's clock relates to the wall clock: a click now falls into the replayed world's today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockShift {
    /// Whether the clock goes on with the wall clock; before that it stands at the last epoch's `now`.
    pub live: bool,
    /// Wall time minus the pipeline's time, in milliseconds.
    pub shift_ms: i64,
    /// `now` of the last epoch.
    pub now: Millis,
}

impl ClockShift {
    /// The pipeline's time at a wall time; never before the last epoch's `now`.
    #[must_use]
    pub fn at(&self, wall: Millis) -> Millis {
        if self.live { shifted(wall, self.shift_ms).max(self.now) } else { self.now }
    }
}

/// `wall - shift`, within the range of time.
pub(super) fn shifted(wall: Millis, shift_ms: i64) -> Millis {
    if shift_ms >= 0 {
        Millis(wall.0.saturating_sub(shift_ms.unsigned_abs()))
    } else {
        wall.plus(shift_ms.unsigned_abs())
    }
}

/// `wall - now`.
pub(super) fn shift_between(wall: Millis, now: Millis) -> i64 {
    i64::try_from(i128::from(wall.0) - i128::from(now.0)).unwrap_or(if wall > now {
        i64::MAX
    } else {
        i64::MIN
    })
}
