use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use freshet_schema::feed::{FeedItem, FeedRecord, HeadsRecord, TrendingRecord};
use freshet_schema::store::{Key, Value};
use freshet_schema::{Epoch, UserId};
use freshet_sinks::{Commit, FeedStore, Memory};

use super::*;
use crate::store_gate::GatedStore;

fn feed(user_id: u64) -> Value {
    let item = FeedItem { video_id: u64::MAX, score: 0.1_f32 + 0.2, ..FeedItem::default() };
    Value::Feed(FeedRecord { user_id, epoch: 3, items: vec![item], ..FeedRecord::default() })
}

fn store() -> Arc<GatedStore> {
    let store = GatedStore::new(Arc::new(Memory::default()));
    let trending = Value::Trending(TrendingRecord { group: "all".to_owned(), ..TrendingRecord::default() });
    let mut changes = vec![(Key::Trending("all".to_owned()), Some(trending.encode()))];
    changes.extend([0, 9, 10].map(|version| {
        let heads = HeadsRecord { version, ..HeadsRecord::default() };
        (Key::Heads(version), Some(Value::Heads(heads).encode()))
    }));
    changes.extend((10..90).map(|user| (Key::Feed(UserId(user)), Some(feed(user).encode()))));
    changes.sort_by_key(|(key, _)| key.to_string());
    store.commit(&Commit { epoch: Epoch(3), changes }).expect("committed");
    Arc::new(store)
}

fn start(folder: &std::path::Path) -> (ControlServer, std::path::PathBuf, Arc<GatedStore>) {
    let path = socket_path(folder).expect("the folder exists");
    let store = store();
    let stats: Stats = Arc::new(|| serde_json::json!({"phase": "live"}));
    let order: Order = Arc::new(|_| Ok(serde_json::json!({"last": {"epoch": 3}})));
    (serve(Arc::clone(&store), stats, order, &path).expect("listening"), path, store)
}

#[test]
fn what_the_service_holds_can_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, path, store) = start(folder.path());
    let mut client = Client::connect(&path).expect("no error").expect("alive");
    assert_eq!(
        client.get(&Key::Feed(UserId(11))).expect("an answer"),
        Some(feed(11)),
        "floats and ids survive"
    );
    assert_eq!(client.get(&Key::Feed(UserId(7))).expect("an answer"), None);
    assert_eq!(client.marker().expect("an answer"), Some(Epoch(3)));
    assert_eq!(client.stats().expect("an answer")["phase"], "live");
    assert_eq!(
        client.count().expect("an answer"),
        serde_json::json!({"feed": 80, "heads": 3, "trending": 1})
    );
    assert_eq!(client.heads().expect("an answer"), [0, 9, 10]);

    let mut there = Vec::new();
    let head = client.dump(&mut there).expect("a dump");
    let mut here = Vec::new();
    freshet_sinks::dump(&*store, &mut here).expect("a dump");
    assert_eq!(there, here);
    assert_eq!((head.rows, head.epoch), (84, Some(3)));
    assert_eq!(client.marker().expect("the connection goes on after a dump"), Some(Epoch(3)));

    drop(server);
    assert!(!path.exists(), "the file is removed");
    assert!(Client::connect(&path).expect("no error").is_none());
}

#[test]
fn nonsense_is_answered_with_an_error_and_the_connection_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, path, _) = start(folder.path());
    let mut stream = UnixStream::connect(&path).expect("alive");
    stream.write_all(b"what?\n{\"get\":\"feed:x\"}\n{\"get\":7}\n\"marker\"\n").expect("sent");
    let lines: Vec<String> = BufReader::new(&stream).lines().take(4).map(|l| l.expect("a line")).collect();
    assert!(lines[..3].iter().all(|line| line.starts_with("{\"error\"")), "{lines:?}");
    assert!(lines[1].contains("is no key"), "{lines:?}");
    assert_eq!(lines[3], "{\"ok\":3}");
}

#[test]
fn a_stale_file_is_replaced_and_a_living_service_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = socket_path(folder.path()).expect("the folder exists");
    drop(UnixListener::bind(&path).expect("a socket whose process is gone"));
    assert!(path.exists());
    assert!(Client::connect(&path).expect("no error").is_none(), "nobody answers");
    let (_server, ..) = start(folder.path());
    let second = serve(
        store(),
        Arc::new(|| serde_json::Value::Null),
        Arc::new(|_| Ok(serde_json::Value::Null)),
        &path,
    );
    assert!(second.err().expect("refused").to_string().contains("control.sock"));
    assert!(Client::connect(&path).expect("no error").is_some(), "the first one still answers");
}
