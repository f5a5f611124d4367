//! What a supervisor does when its children have ended: a decision on facts, without a process in sight.

use std::time::Duration;

use crate::cluster::LOST;

/// Exit code of a mistake in arguments or configuration: another attempt has it, too.
pub const USAGE: i32 = 2;
/// Exit code of a run that another one has taken over from: another attempt would take it back.
pub const TAKEN_OVER: i32 = 3;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself, with an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// The supervisor killed it, as the others had ended.
    Killed,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Killed => f.write_str("did not end by itself and was killed"),
        }
    }
}

/// An attempt that is over.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its processes, each with how it ended, in the order in which they did.
    pub ended: Vec<(usize, How)>,
    /// How long it lasted.
    pub ran: Duration,
    /// Whether the processes had been told to begin.
    pub begun: bool,
    /// Whether the job ran, in this attempt or an earlier one.
    pub was_up: bool,
    /// Whether it had been told to stop.
    pub stopping: bool,
}

impl Attempt {
    /// The process that ended first for a reason of its own.
    fn cause(&self) -> Option<(usize, How)> {
        let of_its_own = |how: How| !matches!(how, How::Killed) && how != How::Code(i32::from(LOST));
        let failed = || self.ended.iter().copied().filter(|(_, how)| *how != How::Code(0));
        failed().find(|(_, how)| of_its_own(*how)).or_else(|| failed().next())
    }
}

/// When to give up, and how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Restarts in a row.
    pub restarts: usize,
    /// Pause before the first of a row; each further one doubles it ...
    pub backoff: Duration,
    /// ... up to this.
    pub max_backoff: Duration,
    /// An attempt that lasted for so long ends the row.
    pub steady: Duration,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// All is done.
    End,
    /// It failed, and another attempt would not help; why.
    Fail(String),
    /// Begin again after a pause; why, and which restart of the row it is.
    Again(Duration, String, usize),
}

impl Policy {
    /// `row` is how many restarts were made in a row; it is kept up to date.
    pub fn next(&self, attempt: &Attempt, row: &mut usize) -> Next {
        let Some((process, how)) = attempt.cause() else { return Next::End };
        // A job that is stopped before it begins has nothing to bring to an end.
        if attempt.stopping && !attempt.begun && how == How::Killed {
            return Next::End;
        }
        let why = format!("process {process} {how}");
        let lost = matches!(how, How::Signal(_) | How::Killed) || how == How::Code(i32::from(LOST));
        if matches!(how, How::Code(USAGE | TAKEN_OVER)) || (!lost && !attempt.was_up) {
            return Next::Fail(format!("{why}; what it said stands above"));
        }
        if attempt.stopping {
            return Next::Fail(format!("{why} while the job was being stopped"));
        }
        if attempt.ran >= self.steady {
            *row = 0;
        }
        if *row >= self.restarts {
            return Next::Fail(format!(
                "{why}, and {} restarts in a row did not help (supervisor.restarts)",
                self.restarts
            ));
        }
        let doublings = u32::try_from(*row).unwrap_or(u32::MAX).min(30);
        let pause = self.backoff.saturating_mul(1 << doublings).min(self.max_backoff);
        *row += 1;
        Next::Again(pause, why, *row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        restarts: 4,
        backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(5),
        steady: Duration::from_secs(600),
    };

    fn attempt(ended: &[(usize, How)]) -> Attempt {
        let ran = Duration::from_secs(9);
        Attempt { ended: ended.to_vec(), ran, begun: true, was_up: true, stopping: false }
    }

    #[test]
    fn a_job_that_ends_well_is_over() {
        let done = attempt(&[(1, How::Code(0)), (0, How::Code(0))]);
        assert_eq!(POLICY.next(&done, &mut 0), Next::End);
    }

    #[test]
    fn pauses_double_up_to_their_bound_and_a_row_has_an_end() {
        let lost = attempt(&[(0, How::Code(75)), (1, How::Signal(9)), (2, How::Killed)]);
        let mut row = 0;
        let mut pauses = Vec::new();
        loop {
            match POLICY.next(&lost, &mut row) {
                Next::Again(pause, why, of_row) => {
                    assert_eq!((why.as_str(), of_row), ("process 1 was ended by signal 9", row));
                    pauses.push(pause.as_secs());
                }
                Next::Fail(why) => {
                    assert!(why.contains("process 1 was ended by signal 9, and 4 restarts"), "{why}");
                    break;
                }
                Next::End => panic!("it did not end well"),
            }
        }
        assert_eq!(pauses, [1, 2, 4, 5]);
        let steady = Attempt { ran: Duration::from_secs(600), ..lost };
        assert!(matches!(POLICY.next(&steady, &mut row), Next::Again(_, _, 1)), "a new row");
    }

    #[test]
    fn what_would_fail_again_is_not_tried_again() {
        let fails = |attempt: &Attempt| matches!(POLICY.next(attempt, &mut 0), Next::Fail(_));
        assert!(fails(&attempt(&[(0, How::Code(2))])), "a mistake in the configuration");
        assert!(fails(&attempt(&[(1, How::Code(75)), (0, How::Code(3))])), "another run owns the job");
        let first = |how| Attempt { was_up: false, ..attempt(&[(0, how)]) };
        assert!(fails(&first(How::Code(1))), "an error before it ever ran");
        assert!(!fails(&first(How::Signal(9))) && !fails(&first(How::Code(75))));
        assert!(!fails(&attempt(&[(0, How::Code(1))])), "an error while it ran");
        assert!(fails(&Attempt { stopping: true, ..attempt(&[(0, How::Code(1))]) }));
    }

    #[test]
    fn a_stop_before_the_beginning_is_no_failure() {
        let stopped = |how| Attempt {
            begun: false,
            was_up: false,
            stopping: true,
            ..attempt(&[(0, how), (1, How::Killed)])
        };
        assert_eq!(POLICY.next(&stopped(How::Killed), &mut 0), Next::End);
        assert_eq!(POLICY.next(&stopped(How::Code(0)), &mut 0), Next::End);
        assert!(matches!(POLICY.next(&stopped(How::Code(2)), &mut 0), Next::Fail(_)), "a mistake stays one");
        let hung = Attempt { begun: true, ..stopped(How::Killed) };
        assert!(matches!(POLICY.next(&hung, &mut 0), Next::Fail(_)), "one that did not end when it was told");
    }

    #[test]
    fn no_restarts_may_be_wanted() {
        let never = Policy { restarts: 0, ..POLICY };
        assert!(matches!(never.next(&attempt(&[(0, How::Signal(9))]), &mut 0), Next::Fail(_)));
    }
}
