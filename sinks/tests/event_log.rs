//! The event log: what was acknowledged is in the files, whole lines, in order, and a torn tail is cut off.

use std::path::Path;
use std::sync::Arc;

use freshet_schema::event::ServedItem;
use freshet_schema::{Event, EventId, Follow, Interaction, Millis, Served, User, UserId};
use freshet_sinks::event_log::{EventLogError, LIVE_PART};
use freshet_sinks::{EventLog, EventSink};

fn interaction(id: u64) -> Event {
    let event = Interaction {
        event_id: EventId(id),
        event_time: Millis(id),
        user_id: UserId(id % 7),
        ..Interaction::default()
    };
    Event::Interaction(event)
}

fn lines(folder: &Path, kind: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(kind).join(LIVE_PART)).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn acknowledged_events_of_many_callers_are_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(EventLog::open(folder.path()).unwrap());
    let callers: Vec<_> = (0..8u64)
        .map(|caller| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for n in 0..20 {
                    let id = caller * 1000 + n;
                    log.append(&[interaction(id), interaction(id + 500)]).unwrap().wait().unwrap();
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    // Read while the log is open: an acknowledgement means written, not closed.
    let ids: Vec<u64> =
        lines(folder.path(), "interactions").iter().map(|e| e["event_id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), 320);
    for caller in 0..8 {
        let own: Vec<u64> = ids.iter().copied().filter(|id| id / 1000 == caller).collect();
        let expected: Vec<u64> = (0..20).flat_map(|n| [caller * 1000 + n, caller * 1000 + n + 500]).collect();
        assert_eq!(own, expected, "each caller's events stay in order");
    }
}

#[test]
fn each_stream_has_its_file_from_the_opening_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = EventLog::open(folder.path()).unwrap();
    for kind in ["interactions", "uploads", "users", "follows", "deletes", "served"] {
        assert!(lines(folder.path(), kind).is_empty());
    }
    let page = Served { items: vec![ServedItem::default()], ..Served::default() };
    log.offer(&[Event::Served(page)]).unwrap();
    log.append(&[Event::User(User::default()), interaction(1), Event::Follow(Follow::default())])
        .unwrap()
        .wait()
        .unwrap();
    for kind in ["interactions", "users", "follows", "served"] {
        assert_eq!(lines(folder.path(), kind).len(), 1, "{kind}");
    }
}

#[test]
fn a_torn_tail_is_cut_and_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = EventLog::open(folder.path()).unwrap();
    log.append(&[interaction(1)]).unwrap().wait().unwrap();
    log.close();
    assert!(matches!(log.append(&[interaction(9)]), Err(EventLogError::Closed)));
    drop(log);
    let path = folder.path().join("interactions").join(LIVE_PART);
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend(b"{\"event_id\":2,\"event_ti");
    std::fs::write(&path, torn).unwrap();
    let log = EventLog::open(folder.path()).unwrap();
    log.append(&[interaction(3)]).unwrap().wait().unwrap();
    let ids: Vec<_> = lines(folder.path(), "interactions").iter().map(|e| e["event_id"].clone()).collect();
    assert_eq!(ids, [1, 3]);
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _held = EventLog::open(folder.path()).unwrap();
    let error = EventLog::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains(folder.path().to_str().unwrap()) && error.contains("another process"), "{error}");
}

#[test]
fn a_full_disk_is_an_error_for_the_caller_and_other_streams_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("interactions").join(LIVE_PART);
    std::fs::create_dir_all(live.parent().unwrap()).unwrap();
    // Every write to this device fails with "no space left".
    std::os::unix::fs::symlink("/dev/full", &live).unwrap();
    let log = EventLog::open(folder.path()).unwrap();
    let error = log.append(&[interaction(1)]).unwrap().wait().unwrap_err();
    assert!(error.to_string().contains(LIVE_PART), "{error}");
    assert!(!error.may_retry());
    log.append(&[Event::User(User::default())]).unwrap().wait().unwrap();
}
