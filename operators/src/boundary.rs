//! Moments at which something is made anew: when the clock passes a multiple of a period.

/// Remembers the last period in which something was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boundary {
    last: Option<u64>,
}

impl Boundary {
    /// As it is after `now` has passed: what the clock of an epoch leaves behind, whatever came before.
    #[must_use]
    pub fn after(now: u64, every: u64) -> Self {
        Self { last: (now > 0).then(|| now / every) }
    }

    /// The number of the period that `now` is in, if it is a later one than the last; the first is always. There is no period
    /// before the clock was set (`now` 0).
    pub fn pass(&mut self, now: u64, every: u64) -> Option<u64> {
        let period = now / every;
        if now == 0 || self.last.is_some_and(|last| period <= last) {
            return None;
        }
        self.last = Some(period);
        Some(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_passes_once() {
        let mut boundary = Boundary::default();
        let passed: Vec<_> = [0, 7, 9, 10, 10, 19, 35, 12].map(|now| boundary.pass(now, 10)).to_vec();
        assert_eq!(passed, [None, Some(0), None, Some(1), None, None, Some(3), None]);
        let mut again = Boundary::after(35, 10);
        assert_eq!([39, 40].map(|now| again.pass(now, 10)), [None, Some(4)]);
    }
}
