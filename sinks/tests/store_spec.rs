//! The rules of `FeedStore`, run over every implementation. What only a store on another machine can meet is in
//! `redis_faults.rs`.

use std::collections::BTreeMap;

use freshet_schema::feed::{FeedItem, FeedRecord, TrendingRecord, VideoCard};
use freshet_schema::store::{Key, Value};
use freshet_schema::{Epoch, UserId, VideoId};
use freshet_sinks::{
    Claim, Commit, Embedded, EmbeddedOptions, FeedStore, Memory, Redis, RedisOptions, StoreError, dump,
};
use proptest::prelude::*;

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

fn redis(server: &RedisServer) -> Redis {
    let store = Redis::open(RedisOptions::at(&server.url())).unwrap();
    store.claim(&Claim::default()).unwrap();
    store
}

/// Runs a rule over every implementation, each in its own empty store.
fn everywhere(rule: impl Fn(&dyn FeedStore)) {
    rule(&Memory::new());
    let folder = tempfile::tempdir().unwrap();
    rule(&Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap());
    let server = RedisServer::start();
    rule(&redis(&server));
    let prefixed = RedisOptions { key_prefix: "a*[b]:".to_owned(), ..RedisOptions::at(&server.url()) };
    let prefixed = Redis::open(prefixed).unwrap();
    prefixed.claim(&Claim::default()).unwrap();
    rule(&prefixed);
}

fn commit(epoch: u64, changes: &[(Key, Option<&[u8]>)]) -> Commit {
    let mut changes: Vec<_> =
        changes.iter().map(|(key, value)| (key.clone(), value.map(<[u8]>::to_vec))).collect();
    changes.sort_by_key(|(key, _)| key.to_string());
    Commit { epoch: Epoch(epoch), changes }
}

fn feed(user: u64) -> Key {
    Key::Feed(UserId(user))
}

#[test]
fn must_show_a_commit_at_once_and_delete() {
    everywhere(|store| {
        assert_eq!(store.marker().unwrap(), None);
        assert_eq!(store.get(&feed(1)).unwrap(), None);
        assert!(store.commit(&commit(1, &[(feed(1), Some(b"one")), (feed(2), Some(b""))])).unwrap());
        assert_eq!(store.get(&feed(1)).unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(store.get(&feed(2)).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(store.marker().unwrap(), Some(Epoch(1)));
        assert!(store.commit(&commit(2, &[(feed(1), None), (feed(9), None)])).unwrap());
        assert_eq!(store.get(&feed(1)).unwrap(), None);
        store.sync().unwrap();
    });
}

#[test]
fn must_skip_epochs_up_to_the_marker() {
    everywhere(|store| {
        assert!(store.commit(&commit(5, &[(feed(1), Some(b"five"))])).unwrap());
        assert!(!store.commit(&commit(5, &[(feed(1), Some(b"again"))])).unwrap());
        assert!(!store.commit(&commit(4, &[(feed(1), None), (feed(2), Some(b"x"))])).unwrap());
        assert_eq!(store.get(&feed(1)).unwrap().as_deref(), Some(&b"five"[..]));
        assert_eq!(store.get(&feed(2)).unwrap(), None);
        assert_eq!(store.marker().unwrap(), Some(Epoch(5)));
    });
}

#[test]
fn must_move_the_marker_without_changes() {
    everywhere(|store| {
        assert!(store.commit(&commit(3, &[])).unwrap());
        assert_eq!(store.marker().unwrap(), Some(Epoch(3)));
        assert!(store.scan("", None, 10).unwrap().is_empty());
    });
}

#[test]
fn must_refuse_older_generations() {
    use freshet_schema::Generation;
    everywhere(|store| {
        let claim = |generation| store.claim(&Claim { generation, ..Claim::default() });
        let first = claim(None).unwrap();
        assert_eq!(claim(None).unwrap(), Generation(first.0 + 1));
        assert_eq!(claim(Some(Generation(9))).unwrap(), Generation(9));
        let error = claim(Some(Generation(8))).unwrap_err();
        assert!(matches!(error, StoreError::Superseded { .. }) && !error.may_retry(), "{error}");
        assert!(error.to_string().contains("generation 9"), "{error}");
        assert!(store.commit(&commit(1, &[(feed(1), Some(b"of nine"))])).unwrap());
    });
}

#[test]
fn must_answer_many_in_the_order_of_the_question() {
    everywhere(|store| {
        store.commit(&commit(1, &[(feed(1), Some(b"one")), (feed(3), Some(b"three"))])).unwrap();
        let found = store.get_many(&[feed(3), feed(2), feed(1), feed(3)]).unwrap();
        let found: Vec<_> = found.iter().map(|bytes| bytes.as_deref()).collect();
        assert_eq!(found, [Some(&b"three"[..]), None, Some(b"one"), Some(b"three")]);
        assert!(store.get_many(&[]).unwrap().is_empty());
        let several: Vec<Commit> = (2..6).map(|epoch| commit(epoch, &[(feed(epoch), Some(b"x"))])).collect();
        store.commit_all(&several).unwrap();
        assert_eq!(store.marker().unwrap(), Some(Epoch(5)));
        assert_eq!(store.scan("feed:", None, 99).unwrap().len(), 5);
        store.commit_all(&several).unwrap();
        assert_eq!(store.newest().unwrap(), Some(Epoch(5)));
    });
}

#[test]
fn must_scan_a_prefix_in_the_order_of_bytes() {
    everywhere(|store| {
        let keys =
            [feed(1), feed(10), feed(2), Key::Video(VideoId(1)), Key::Trending("hashtag:köln".to_owned())];
        store.commit(&commit(1, &keys.clone().map(|key| (key, Some(&b"v"[..]))))).unwrap();
        let texts = |prefix: &str, from: Option<&str>, limit| -> Vec<String> {
            store.scan(prefix, from, limit).unwrap().iter().map(|(key, _)| key.to_string()).collect()
        };
        assert_eq!(texts("feed:", None, 10), ["feed:1", "feed:10", "feed:2"]);
        assert_eq!(texts("feed:", Some("feed:10"), 10), ["feed:10", "feed:2"]);
        assert_eq!(texts("feed:", Some("a"), 2), ["feed:1", "feed:10"]);
        assert_eq!(texts("feed:", Some("video:"), 2), [""; 0]);
        assert_eq!(texts("", None, 10), ["feed:1", "feed:10", "feed:2", "trending:hashtag:köln", "video:1"]);
        assert_eq!(texts("nothing:", None, 10), [""; 0]);
        assert_eq!(texts("", None, 0), [""; 0]);
        for page in 1..7 {
            let walked: Vec<_> = store.pages("", page).flat_map(Result::unwrap).map(|(key, _)| key).collect();
            assert_eq!(walked.len(), 5, "pages of {page}");
        }
    });
}

/// A reader that walks the keys in the order in which they are written meets the half-written epoch, if there is one.
#[test]
fn must_show_an_epoch_whole_to_a_reader_beside_the_writer() {
    everywhere(|store| {
        let done = std::sync::atomic::AtomicBool::new(false);
        let epoch = |user: u64| -> u64 {
            let bytes = store.get(&feed(user)).unwrap();
            bytes.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()))
        };
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let (first, last) = (epoch(100), epoch(999));
                    assert!(last >= first, "epoch {first} was visible, and then {last} at another key");
                    seen = last;
                }
                seen
            });
            for number in 1u64..=60 {
                let value = number.to_be_bytes();
                let changes: Vec<_> = (100..=999).map(|user| (feed(user), Some(&value[..]))).collect();
                assert!(store.commit(&commit(number, &changes)).unwrap());
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(reader.join().unwrap() > 0);
        });
    });
}

#[test]
fn must_dump_alike_whatever_the_implementation() {
    let mut dumps = Vec::new();
    let fill = |store: &dyn FeedStore| {
        let item = FeedItem { video_id: u64::MAX, score: 0.5, sources: vec![2], ..FeedItem::default() };
        let list = FeedRecord { user_id: 7, epoch: 1, items: vec![item], ..FeedRecord::default() };
        let card = VideoCard { video_id: 3, caption: "a \"quoted\" one".to_owned(), ..VideoCard::default() };
        let pool = TrendingRecord { group: "all".to_owned(), ..TrendingRecord::default() };
        let changes = vec![
            (feed(7), Some(Value::Feed(list).encode())),
            (Key::Trending("all".to_owned()), Some(Value::Trending(pool).encode())),
            (Key::Video(VideoId(3)), Some(Value::Video(card).encode())),
        ];
        store.commit(&Commit { epoch: Epoch(1), changes }).unwrap();
        let mut out = Vec::new();
        assert_eq!(dump(store, &mut out).unwrap(), 3);
        String::from_utf8(out).unwrap()
    };
    let memory = Memory::new();
    dumps.push(fill(&memory));
    let folder = tempfile::tempdir().unwrap();
    dumps.push(fill(&Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap()));
    let server = RedisServer::start();
    dumps.push(fill(&redis(&server)));
    assert_eq!(dumps[0], dumps[1]);
    assert_eq!(dumps[0], dumps[2]);
    let lines: Vec<serde_json::Value> =
        dumps[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["key"], "feed:7");
    assert_eq!(lines[0]["value"]["items"][0]["video_id"], "18446744073709551615");
    assert_eq!(lines[2]["value"]["caption"], "a \"quoted\" one");
}

#[test]
fn a_dump_names_the_key_of_a_broken_value() {
    let store = Memory::new();
    store.commit(&commit(1, &[(feed(4), Some(&[0xff, 0xff]))])).unwrap();
    let error = dump(&store, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("feed:4"), "{error}");
}

#[test]
fn embedded_must_keep_what_was_synced_and_its_marker() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    store.commit(&commit(8, &[(feed(1), Some(b"kept"))])).unwrap();
    store.sync().unwrap();
    drop(store);
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    assert_eq!(store.marker().unwrap(), Some(Epoch(8)));
    assert!(!store.commit(&commit(8, &[(feed(1), None)])).unwrap());
    assert_eq!(store.get(&feed(1)).unwrap().as_deref(), Some(&b"kept"[..]));
}

#[test]
fn embedded_is_held_by_one_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let held = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
    let error = Embedded::open(&path, EmbeddedOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }) && error.may_retry());
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("control socket"), "{text}");
    drop(held);
    Embedded::open(&path, EmbeddedOptions::default()).unwrap();
}

#[test]
fn embedded_refuses_a_path_that_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "something").unwrap();
    let error = Embedded::open(&path, EmbeddedOptions::default()).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
}

/// One generated epoch: user and value, `None` deletes.
type Changes = BTreeMap<u64, Option<Vec<u8>>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any commits, in any order of epochs, with a reopening somewhere: the embedded store equals the one in memory.
    #[test]
    fn embedded_equals_memory(
        epochs in prop::collection::vec(
            (0u64..12, prop::collection::btree_map(0u64..30, prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 0..12)),
            1..12,
        ),
        reopen in 0usize..12,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new();
        let mut embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
        for (at, (epoch, changes)) in epochs.iter().enumerate() {
            if at == reopen {
                drop(embedded);
                embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
            }
            let changes: &Changes = changes;
            let list: Vec<_> = changes.iter().map(|(user, value)| (feed(*user), value.as_deref())).collect();
            let commit = commit(*epoch, &list);
            prop_assert_eq!(memory.commit(&commit).unwrap(), embedded.commit(&commit).unwrap());
            prop_assert_eq!(memory.marker().unwrap(), embedded.marker().unwrap());
        }
        prop_assert_eq!(memory.scan("", None, 99).unwrap(), embedded.scan("", None, 99).unwrap());
    }
}

#[test]
fn a_pinned_store_shows_what_it_held_then() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    assert!(store.commit(&commit(1, &[(feed(1), Some(b"one")), (feed(2), Some(b"two"))])).unwrap());
    let pinned = store.pin().unwrap().expect("an embedded store can be pinned");
    assert!(
        store.commit(&commit(2, &[(feed(1), Some(b"new")), (feed(2), None), (feed(3), Some(b"3"))])).unwrap()
    );
    assert_eq!(pinned.get(&feed(1)).unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(pinned.get(&feed(3)).unwrap(), None);
    let keys = |entries: Vec<(Key, freshet_sinks::Bytes)>| {
        entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys(pinned.scan("feed:", None, 10).unwrap()), [feed(1), feed(2)]);
    assert_eq!(keys(pinned.scan("feed:", Some("feed:2"), 10).unwrap()), [feed(2)]);
    assert_eq!(keys(store.scan("feed:", None, 10).unwrap()), [feed(1), feed(3)]);
}
