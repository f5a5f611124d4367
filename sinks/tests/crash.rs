//! A process that dies without a word: the test runs itself as a child that writes and aborts, then looks at what is left.

use std::path::Path;
use std::process::{Command, Stdio};

use freshet_schema::store::Key;
use freshet_schema::{Epoch, Event, EventId, Interaction, UserId};
use freshet_sinks::event_log::LIVE_PART;
use freshet_sinks::{Commit, Embedded, EmbeddedOptions, EventLog, EventSink, FeedStore};

/// Tells the child which folder to write to.
const FOLDER: &str = "FRESHET_CRASH_FOLDER";

const EPOCHS: u64 = 7;
const USERS: u64 = 50;

fn interaction(id: u64) -> Event {
    Event::Interaction(Interaction { event_id: EventId(id), ..Interaction::default() })
}

/// The child's part. Run as a test of its own it does nothing.
#[test]
fn child_writes_and_aborts() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = Embedded::open(&folder.join("store"), EmbeddedOptions::default()).unwrap();
    let log = EventLog::open(&folder.join("log")).unwrap();
    for epoch in 1..=EPOCHS {
        let changes = (100..100 + USERS)
            .map(|user| (Key::Feed(UserId(user)), Some(epoch.to_be_bytes().to_vec())))
            .collect();
        store.commit(&Commit { epoch: Epoch(epoch), changes }).unwrap();
        log.append(&[interaction(epoch)]).unwrap().wait().unwrap();
    }
    std::process::abort();
}

#[test]
fn what_was_committed_and_acknowledged_survives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_writes_and_aborts"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "the child aborts");
    let store = Embedded::open(&folder.path().join("store"), EmbeddedOptions::default()).unwrap();
    assert_eq!(store.marker().unwrap(), Some(Epoch(EPOCHS)));
    let left = store.scan("feed:", None, 1000).unwrap();
    assert_eq!(left.len() as u64, USERS);
    assert!(left.iter().all(|(_, value)| value[..] == EPOCHS.to_be_bytes()));
    let log = std::fs::read_to_string(folder.path().join("log/interactions").join(LIVE_PART)).unwrap();
    assert_eq!(log.lines().count() as u64, EPOCHS);
    EventLog::open(&folder.path().join("log")).unwrap();
}
