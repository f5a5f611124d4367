//! Sessions: a sitting ends with a gap of inactivity.
//!
//! Derived from a history's rows by event time, so a late interaction joins or splits sessions as if it had come in time, and
//! nothing has to be kept.

use serde::{Deserialize, Serialize};

use crate::row::Row;

/// The sitting that a user's last interaction belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Time of its first interaction, in milliseconds since 1970.
    pub started: u64,
    /// Its interactions so far.
    pub length: u32,
    /// From the interaction before the last one to the last one, in milliseconds; `None` for the first of a session.
    pub since_last: Option<u64>,
}

/// The last session of `rows`, which are in order of time; `None` where there are none.
#[must_use]
pub fn last(rows: &[Row], gap: u64) -> Option<Session> {
    last_of(rows.iter().rev().map(|row| row.time), gap)
}

/// As [`last`], from the times alone, the latest first.
fn last_of(mut times: impl Iterator<Item = u64>, gap: u64) -> Option<Session> {
    let mut session = Session { started: times.next()?, length: 1, since_last: None };
    for time in times {
        let pause = session.started - time;
        if pause > gap {
            break;
        }
        session.since_last.get_or_insert(pause);
        session.started = time;
        session.length += 1;
    }
    Some(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_reaches_back_to_the_first_pause_that_is_too_long() {
        let session = |times: &[u64]| last_of(times.iter().rev().copied(), 30);
        assert_eq!(session(&[]), None);
        assert_eq!(session(&[7]), Some(Session { started: 7, length: 1, since_last: None }));
        assert_eq!(session(&[0, 31]), Some(Session { started: 31, length: 1, since_last: None }));
        let three = Session { started: 40, length: 3, since_last: Some(25) };
        assert_eq!(session(&[9, 40, 70, 95]), Some(three));
        // One that comes late joins two sittings.
        assert_eq!(session(&[9, 39, 40, 70, 95]).map(|s| s.length), Some(5));
    }
}
