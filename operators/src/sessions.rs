//! Sessions: a sitting ends with a gap of inactivity.
//!
//! Derived from a history's rows by event time, so a late interaction joins or splits sessions as if it had come in time, and
//! nothing has to be kept.

use crate::row::Row;

/// The sitting that a user's last interaction belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    let latest = rows.last()?;
    let mut session = Session { started: latest.time, length: 1, since_last: None };
    for row in rows.iter().rev().skip(1) {
        let pause = session.started - row.time;
        if pause > gap {
            break;
        }
        session.since_last.get_or_insert(pause);
        session.started = row.time;
        session.length += 1;
    }
    Some(session)
}
