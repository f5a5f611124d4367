//! What is kept of users: rows, windows, profiles, follows, deletes.

use std::collections::BTreeMap;

use freshet_operators::checkpoint::kept::Kept;
use freshet_operators::history::{LONG_BUCKET, MID_BUCKET, expiry};
use freshet_operators::params::Params;
use freshet_operators::row::Row;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::compare::{maps, with};
use super::past::Past;
use super::report::ViewReport;

/// The ledger: every row with all that was judged of it.
pub fn rows(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    type Rows<'a> = BTreeMap<(u64, u64, u64), &'a Row>;
    let key = |user: u64, row: &Row| (user, row.time, row.id);
    let held: Rows = kept
        .people
        .iter()
        .flat_map(|(user, person)| person.rows.iter().map(move |row| (key(*user, row), row)))
        .collect();
    let expected: Rows = past.all_rows().map(|(user, row)| (key(user, row), row)).collect();
    with(
        &held,
        &expected,
        |(user, time, event)| format!("user {user}, event {event}, at {time}"),
        |row| show(row),
    )
}

/// A row in words: its vector as a checksum.
fn show(row: &Row) -> String {
    let mut json = serde_json::to_value(row).unwrap_or_default();
    let vector = json["content"]["vector"].take();
    json["content"]["vector"] = json!(format!("xxh3 {:016x}", xxh3_64(vector.to_string().as_bytes())));
    json.to_string()
}

/// Where the windows of each user's rows begin: what the interest vectors and facets are made of.
pub fn edges(kept: &Kept, past: &Past, params: &Params) -> ViewReport {
    let interest = &params.interest;
    let before = |rows: &[Row], window: u64, bucket: u64| {
        rows.iter().filter(|row| expiry(row.time, window, bucket) <= past.now).count() as u64
    };
    let held: BTreeMap<u64, (u64, u64)> = kept
        .people
        .iter()
        .filter(|(_, person)| !person.rows.is_empty())
        .map(|(user, person)| (*user, person.edges))
        .collect();
    let expected = past.rows.iter().map(|(user, rows)| {
        let mid = before(rows, interest.mid_window, MID_BUCKET);
        (*user, (mid, before(rows, interest.long_window, LONG_BUCKET)))
    });
    with(
        &held,
        &expected.collect(),
        |user| format!("user {user}"),
        |(mid, long)| format!("the mid-term window begins at row {mid}, the long-term window at row {long}"),
    )
}

/// Profiles.
pub fn profiles(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let held = kept.people.iter().filter_map(|(user, person)| Some((*user, person.profile.clone()?)));
    maps(&held.collect(), &past.profiles)
}

/// Follows that were said, whether they still hold or have ended.
pub fn follows(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let held = kept.people.iter().flat_map(|(user, person)| {
        person.follows.iter().map(|(creator, follow)| ((*user, *creator), *follow))
    });
    maps(&held.collect(), &past.follows)
}

/// Deletes, which hold for what comes later.
pub fn deletes(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let events = |events: &std::collections::BTreeSet<(u64, u64)>| -> BTreeMap<(u64, u64), ()> {
        events.iter().map(|key| (*key, ())).collect()
    };
    with(
        &events(&kept.forgotten_events),
        &events(&past.deleted_events),
        |(user, event)| format!("event {event} of user {user}"),
        |()| "deleted".to_owned(),
    )
    .and(with(&kept.forgotten_users, &past.deleted_users, |user| format!("user {user}"), up_to))
    .and(with(&kept.forgotten_videos, &past.deleted_videos, |video| format!("video {video}"), up_to))
    .and(with(
        &kept.deleted_videos,
        &past.deleted_videos,
        |video| format!("video {video} of the catalogue"),
        up_to,
    ))
}

fn up_to(time: &u64) -> String {
    format!("deleted up to {time}")
}
