//! What a Redis can do to its writer: lose writes, forget its owner, go away, be slow, belong to somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use freshet_schema::hash::SHARDS;
use freshet_schema::store::Key;
use freshet_schema::{Epoch, Generation, UserId};
use freshet_sinks::{Claim, Commit, FeedStore, Loss, Memory, NotMine, Redis, RedisOptions, StoreError};

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

fn open(server: &RedisServer) -> Redis {
    Redis::open(RedisOptions::at(&server.url())).unwrap()
}

fn claimed(server: &RedisServer) -> Redis {
    let store = open(server);
    store.claim(&Claim::default()).unwrap();
    store
}

fn feed(user: u64) -> Key {
    Key::Feed(UserId(user))
}

fn commit(epoch: u64, users: impl IntoIterator<Item = u64>) -> Commit {
    let mut changes: Vec<_> =
        users.into_iter().map(|user| (feed(user), Some(epoch.to_be_bytes().to_vec()))).collect();
    changes.sort_by_key(|(key, _)| key.to_string());
    Commit { epoch: Epoch(epoch), changes }
}

fn shards(losses: &[Loss]) -> Vec<u64> {
    losses.iter().map(|loss| loss.shard).collect()
}

/// What a store holds, as (key, value).
fn held(store: &dyn FeedStore) -> Vec<(String, Vec<u8>)> {
    store
        .scan("", None, 100_000)
        .unwrap()
        .into_iter()
        .map(|(key, value)| (key.to_string(), value.to_vec()))
        .collect()
}

#[test]
fn nothing_is_written_without_a_claim() {
    let server = RedisServer::start();
    let store = open(&server);
    assert!(store.ready().unwrap_err().contains("no pipeline"));
    let error = store.commit(&commit(1, [1])).unwrap_err();
    assert!(matches!(error, StoreError::Unclaimed { .. }), "{error}");
    store.claim(&Claim::default()).unwrap();
    store.ready().unwrap();
}

#[test]
fn a_run_that_was_overtaken_writes_nothing() {
    let server = RedisServer::start();
    let old = claimed(&server);
    old.commit(&commit(1, [1])).unwrap();
    let new = claimed(&server);
    for attempt in 2..4 {
        let error = old.commit(&commit(attempt, [1, 2])).unwrap_err();
        assert!(
            matches!(error, StoreError::Superseded { mine: Generation(1), held: Generation(2), .. }),
            "{error}"
        );
    }
    assert!(matches!(old.sync().unwrap_err(), StoreError::Superseded { .. }));
    assert_eq!(held(&new).len(), 1);
    assert_eq!(new.marker().unwrap(), Some(Epoch(1)));
    new.commit(&commit(2, [3])).unwrap();
    assert_eq!(new.marker().unwrap(), Some(Epoch(2)));
}

#[test]
fn two_runs_of_one_number_are_told_apart() {
    let server = RedisServer::start();
    let one = claimed(&server);
    server.ask("FLUSHALL").unwrap();
    let two = claimed(&server);
    two.commit(&commit(1, [1])).unwrap();
    let error = one.commit(&commit(1, [2])).unwrap_err();
    assert!(
        matches!(error, StoreError::Superseded { mine: Generation(1), held: Generation(1), .. }),
        "{error}"
    );
}

#[test]
fn a_run_that_no_longer_owns_its_job_does_not_take_an_emptied_store() {
    let server = RedisServer::start();
    let mine = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&mine);
    let store = open(&server);
    let claim = Claim {
        generation: Some(Generation(7)),
        still_mine: Arc::new(move || match still.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(NotMine::TakenOver("generation 8 has claimed the checkpoints".to_owned())),
        }),
        ..Claim::default()
    };
    assert_eq!(store.claim(&claim).unwrap(), Generation(7));
    store.commit(&commit(1, [1])).unwrap();
    server.ask("FLUSHALL").unwrap();
    store.commit(&commit(2, [1])).unwrap();
    assert_eq!(store.get(&feed(1)).unwrap().as_deref(), Some(&2u64.to_be_bytes()[..]), "taken again");
    mine.store(false, Ordering::Relaxed);
    server.ask("FLUSHALL").unwrap();
    let error = store.commit(&commit(3, [1])).unwrap_err();
    assert!(matches!(error, StoreError::Disowned { .. }) && error.is_taken(), "{error}");
    assert!(error.to_string().contains("generation 8"), "{error}");
    assert!(held(&store).is_empty());
}

/// A bucket that does not answer is no newer run: the emptied store is taken when it can be seen whose the job is.
#[test]
fn a_run_that_cannot_see_whether_it_owns_its_job_waits() {
    let server = RedisServer::start();
    // Looks that fail before one does not.
    let failing = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&failing);
    let store = Arc::new(open(&server));
    let look = move || match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
        Ok(_) => Err(NotMine::Unseen("the bucket does not answer".to_owned())),
        Err(_) => Ok(()),
    };
    store.claim(&Claim { still_mine: Arc::new(look), ..Claim::default() }).unwrap();
    store.commit(&commit(1, [1])).unwrap();
    failing.store(2, Ordering::Relaxed);
    server.ask("FLUSHALL").unwrap();
    store.commit(&commit(2, [1])).unwrap();
    assert_eq!(failing.load(Ordering::Relaxed), 0, "it has looked until it saw");
    assert_eq!(store.get(&feed(1)).unwrap().as_deref(), Some(&2u64.to_be_bytes()[..]));

    // Told to end meanwhile it writes nothing, and does not say that it was overtaken.
    failing.store(usize::MAX, Ordering::Relaxed);
    server.ask("FLUSHALL").unwrap();
    let writer = Arc::clone(&store);
    let committing = std::thread::spawn(move || writer.commit(&commit(3, [1])));
    std::thread::sleep(Duration::from_millis(100));
    store.give_up();
    let error = committing.join().unwrap().unwrap_err();
    assert!(matches!(error, StoreError::OwnerUnseen { .. }) && !error.is_taken(), "{error}");
    assert!(error.to_string().contains("the bucket does not answer"), "{error}");
    assert!(held(&*store).is_empty());
}

/// Shards that have values are lost, the others are not; lost ones have no marker until all is written again, and hold
/// then what was written since and nothing else.
#[test]
fn what_an_emptied_store_lost_is_known_and_made_whole() {
    let server = RedisServer::start();
    let store = claimed(&server);
    let touched = [feed(1).shard(), feed(2).shard()];
    store.commit(&commit(1, [1, 2])).unwrap();
    store.sync().unwrap();
    assert!(store.lost().is_empty());
    server.ask("FLUSHALL").unwrap();
    store.sync().unwrap();
    let lost = store.lost();
    let mut expected = touched.to_vec();
    expected.sort_unstable();
    assert_eq!(shards(&lost), expected);
    assert_eq!(store.marker().unwrap(), None, "lost shards have no marker");

    // A value of before the loss turns up again, as with a replica that was promoted.
    store.commit(&commit(2, [1, 3])).unwrap();
    assert_eq!(store.marker().unwrap(), None);
    server.ask("SET feed:2 stale").unwrap();
    server.ask("SET other:2 notours").unwrap();
    store.restored(&lost).unwrap();
    assert!(store.lost().is_empty());
    assert_eq!(store.marker().unwrap(), Some(Epoch(2)));
    assert_eq!(held(&store).iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["feed:1", "feed:3"]);
    assert!(server.ask("GET other:2").unwrap().contains("notours"), "what is not ours stays");
    store.commit(&commit(3, [2])).unwrap();
    assert_eq!(store.marker().unwrap(), Some(Epoch(3)));
}

#[test]
fn a_second_loss_begins_again() {
    let server = RedisServer::start();
    let store = claimed(&server);
    store.commit(&commit(1, 1..50)).unwrap();
    server.ask("FLUSHALL").unwrap();
    store.commit(&commit(2, [1])).unwrap();
    let first = store.lost();
    assert!(!first.is_empty());
    server.ask("FLUSHALL").unwrap();
    store.commit(&commit(3, [2])).unwrap();
    let second = store.lost();
    assert!(second.iter().all(|loss| !first.contains(loss)), "{first:?} {second:?}");
    store.restored(&first).unwrap();
    assert_eq!(store.lost(), second, "the first loss is no longer the matter");
    store.commit(&commit(4, 1..50)).unwrap();
    store.restored(&second).unwrap();
    assert!(store.lost().is_empty());
    assert_eq!((store.marker().unwrap(), held(&store).len()), (Some(Epoch(4)), 49));
}

/// The server comes back with an older state: what was written after it is lost, and no shard beyond.
#[test]
fn only_shards_that_were_written_since_are_lost() {
    let mut server = RedisServer::with(&["--save", "", "--appendonly", "no"]);
    let store = claimed(&server);
    store.commit(&commit(1, 1..500)).unwrap();
    server.ask("SAVE").unwrap();
    store.commit(&commit(2, [7])).unwrap();
    store.commit(&commit(3, [])).unwrap();
    server.restart();
    store.sync().unwrap();
    assert_eq!(shards(&store.lost()), [feed(7).shard()]);
    store.commit(&commit(4, [7])).unwrap();
    let others = (1..500).filter(|user| feed(*user).shard() == feed(7).shard());
    store.commit(&commit(5, others)).unwrap();
    store.restored(&store.lost()).unwrap();
    assert_eq!(store.marker().unwrap(), Some(Epoch(5)));
    assert_eq!(held(&store).len(), 499);
}

#[test]
fn a_new_run_knows_what_an_old_one_left_unfinished() {
    let server = RedisServer::start();
    let store = claimed(&server);
    store.commit(&commit(4, 1..300)).unwrap();
    server.ask(&format!("HDEL freshet:epochs {}", feed(1).shard())).unwrap();
    let next = claimed(&server);
    assert!(next.lost().is_empty(), "a replay from the start writes what has no marker");
    assert_eq!(next.newest().unwrap(), Some(Epoch(4)));
    assert!(next.commit(&commit(4, 1..300)).unwrap());
    assert!(!next.commit(&commit(4, 1..300)).unwrap(), "a replay writes nothing twice");
    server.ask(&format!("HDEL freshet:epochs {}", feed(1).shard())).unwrap();
    let restored = open(&server);
    restored.claim(&Claim { resumed: Epoch(6), ..Claim::default() }).unwrap();
    assert_eq!(restored.lost().len() as u64, SHARDS, "the replay begins after what the store has");
    let same = open(&server);
    same.claim(&Claim { resumed: Epoch(4), ..Claim::default() }).unwrap();
    assert_eq!(shards(&same.lost()), [feed(1).shard()], "a marker is missing beside others");
    same.distrust();
    same.sync().unwrap();
    assert_eq!(same.lost().len() as u64, SHARDS, "the operator says so");
    assert_eq!(same.newest().unwrap(), None);
}

#[test]
fn a_writer_waits_for_a_server_that_is_away() {
    let mut server = RedisServer::durable();
    let store = claimed(&server);
    store.commit(&commit(1, 1..100)).unwrap();
    server.kill();
    let error = store.get(&feed(1)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.may_retry(), "{error}");
    assert!(store.ready().is_err());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| store.commit(&commit(2, 1..100)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!writer.is_finished(), "it waits");
        server.restart();
        assert!(writer.join().unwrap().unwrap());
    });
    let begin = Instant::now();
    while store.get(&feed(1)).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(5), "readers connect again");
    }
    assert_eq!(store.get(&feed(99)).unwrap().as_deref(), Some(&2u64.to_be_bytes()[..]));
}

#[test]
fn a_writer_that_is_told_to_stop_does_not_wait() {
    let mut server = RedisServer::start();
    let store = claimed(&server);
    server.kill();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| store.commit(&commit(1, [1])));
        std::thread::sleep(Duration::from_millis(100));
        store.give_up();
        let error = writer.join().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    });
}

/// Nobody knows whether a batch that was not answered in time was applied: it is sent again, and the end is the same.
#[test]
fn a_slow_server_is_asked_again() {
    let server = RedisServer::start();
    let patience = Duration::from_millis(100);
    let store =
        Redis::open(RedisOptions { write_timeout: patience, ..RedisOptions::at(&server.url()) }).unwrap();
    store.claim(&Claim::default()).unwrap();
    store.commit(&commit(1, 1..200)).unwrap();
    std::thread::scope(|scope| {
        server.freeze(true);
        let writer = scope.spawn(|| store.commit(&commit(2, 1..200)));
        std::thread::sleep(Duration::from_millis(400));
        server.freeze(false);
        assert!(writer.join().unwrap().unwrap());
    });
    assert!(store.lost().is_empty());
    assert_eq!(store.marker().unwrap(), Some(Epoch(2)));
    assert!(held(&store).iter().all(|(_, value)| value[..] == 2u64.to_be_bytes()));
}

#[test]
fn flushed_scripts_are_loaded_again() {
    let server = RedisServer::start();
    let store = claimed(&server);
    store.commit(&commit(1, [1])).unwrap();
    server.ask("SCRIPT FLUSH").unwrap();
    store.commit(&commit(2, [1])).unwrap();
    assert!(store.lost().is_empty());
    assert_eq!(store.marker().unwrap(), Some(Epoch(2)));
}

/// An epoch beyond the size of a batch: shard by shard, and in the end what a store in memory holds.
#[test]
fn a_large_epoch_goes_in_pieces() {
    let server = RedisServer::start();
    let store = Redis::open(RedisOptions { batch_bytes: 600, ..RedisOptions::at(&server.url()) }).unwrap();
    store.claim(&Claim::default()).unwrap();
    let memory = Memory::new();
    for epoch in 1..4 {
        let large = commit(epoch, (0..3_000).map(|user| user * epoch));
        assert!(store.commit(&large).unwrap());
        memory.commit(&large).unwrap();
        assert_eq!(store.marker().unwrap(), Some(Epoch(epoch)));
    }
    assert!(store.lost().is_empty());
    assert!(held(&store) == held(&memory));
    server.ask("FLUSHALL").unwrap();
    let large = commit(4, 0..3_000);
    store.commit(&large).unwrap();
    let lost = store.lost();
    assert_eq!(lost.len() as u64, SHARDS);
    store.commit(&commit(5, 0..10)).unwrap();
    store.restored(&lost).unwrap();
    assert_eq!((store.marker().unwrap(), held(&store).len()), (Some(Epoch(5)), 3_000));
}

#[test]
fn what_waiting_does_not_mend_is_said_at_once() {
    let server = RedisServer::with(&["--save", "", "--requirepass", "secret"]);
    let error = open(&server).claim(&Claim::default()).unwrap_err();
    assert!(error.to_string().contains("redis.password_env") && !error.may_retry(), "{error}");
    let wrong = RedisOptions { password: Some("wrong".to_owned()), ..RedisOptions::at(&server.url()) };
    let error = Redis::open(wrong).unwrap().claim(&Claim::default()).unwrap_err();
    assert!(error.to_string().contains("redis.password_env"), "{error}");
    let right = RedisOptions { password: Some("secret".to_owned()), ..RedisOptions::at(&server.url()) };
    let store = Redis::open(right).unwrap();
    store.claim(&Claim::default()).unwrap();
    assert!(store.commit(&commit(1, [1])).unwrap());
}

#[test]
fn another_layout_is_refused() {
    let server = RedisServer::start();
    server.ask("SET freshet:layout freshet-redis-9").unwrap();
    let error = open(&server).claim(&Claim::default()).unwrap_err();
    assert!(
        error.to_string().contains("freshet-redis-9") && error.to_string().contains("redis.key_prefix"),
        "{error}"
    );
}
