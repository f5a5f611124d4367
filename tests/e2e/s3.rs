//! Checkpoints in a bucket, against a server that speaks S3: what holds of those in a folder, and what is left when the machine is lost.

use std::path::Path;

use serde_json::Value as Json;

use crate::crash::{eventful, kill_when};
use crate::harness::{dump, number, ok_json, records, replay, same, videos};
use crate::redis::dump_redis;
use crate::redis_server::RedisServer;
use crate::s3_server::S3Server;

const PLACE: &str = "s3://jobs/freshet/one";

fn args<'a>(config: &'a str, store: &'a str, workers: &'a str) -> Vec<&'a str> {
    vec![
        "run",
        "--config",
        config,
        "--input",
        "log",
        "--store",
        store,
        "--workers",
        workers,
        "--once",
        "--checkpoints",
        PLACE,
    ]
}

/// The epochs of the checkpoints in the bucket, newest first.
fn checkpoints(server: &S3Server, dir: &Path) -> Vec<u64> {
    let text = server.ok(dir, &["checkpoint", "list", "--json", "--checkpoints", PLACE]);
    let list: Json = serde_json::from_str(&text).expect("JSON");
    let list = list.as_array().expect("a list");
    assert!(list.iter().all(|one| one.get("unusable").is_none()), "{list:?}");
    list.iter().map(|one| number(&one["epoch"])).collect()
}

#[test]
fn a_killed_run_goes_on_from_a_bucket_in_another_folder_and_leaves_the_same_bytes() {
    let Some(server) = S3Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 71);
    let expected = replay(dir, "log", "whole", "1");
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);
    std::fs::write(dir.join("often.toml"), "[checkpoint]\nevery = \"1ms\"\n").expect("written");

    let begun = |epoch| epoch >= last / 5 && server.holds("/manifests/");
    kill_when(server.freshet(dir, &args("often.toml", "one", "1")), dir, "one", begun);
    let first = checkpoints(&server, dir);
    assert!(!dir.join("one/checkpoints").exists(), "they are in the bucket alone");
    std::fs::rename(dir.join("one"), dir.join("two")).expect("moved");
    // Its claim is the second.
    let again = |epoch| epoch >= last / 2 && server.holds("/data/0000000002-");
    kill_when(server.freshet(dir, &args("often.toml", "two", "2")), dir, "two", again);
    let second = checkpoints(&server, dir);
    assert!(second[0] >= first[0], "{second:?} after {first:?}");
    let said = server.ok(dir, &["checkpoint", "verify", "--checkpoints", PLACE]);
    assert!(said.contains("holds"), "{said}");

    let said = server.ok(dir, &args("often.toml", "two", "1"));
    assert!(said.contains("going on from a checkpoint"), "{said}");
    same(&expected, &dump(dir, "two"), "killed twice");
    let third = checkpoints(&server, dir);
    // As many as are kept, the last one made at the end.
    assert!(third.len() == 2 && third[0] == last, "{third:?}, the last epoch is {last}");
    // A drained log, run again from the end's checkpoint.
    server.ok(dir, &args("often.toml", "two", "2"));
    same(&expected, &dump(dir, "two"), "a second run");
}

/// The folder with the journal is gone. What is left: the bucket, the log, and a Redis that is ahead of the newest checkpoint. Its epochs
/// were bound by the lost journal and would be bound otherwise now, so that store is refused; emptied, it is filled again.
#[test]
fn a_lost_machine_is_replaced_from_bucket_and_log() {
    let Some(server) = S3Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 72);
    let expected = records(&replay(dir, "log", "whole", "1"));
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);
    let redis = RedisServer::start();
    for (name, every) in [("often.toml", "1ms"), ("rarely.toml", "1h"), ("redis.toml", "1h")] {
        let text = format!(
            "[store]\nkind = \"redis\"\n[redis]\nurl = \"{}\"\n[checkpoint]\nevery = \"{every}\"\n",
            redis.url()
        );
        std::fs::write(dir.join(name), text).expect("written");
    }
    let begun = |epoch| epoch >= last / 5 && server.holds("/manifests/");
    kill_when(server.freshet(dir, &args("often.toml", "lost", "1")), dir, "lost", begun);
    // It makes none, and is ahead of what it goes on from.
    let kept = checkpoints(&server, dir)[0];
    let ahead = |epoch| epoch > kept.max(last / 2);
    kill_when(server.freshet(dir, &args("rarely.toml", "lost", "1")), dir, "lost", ahead);
    assert_eq!(checkpoints(&server, dir)[0], kept);
    std::fs::remove_dir_all(dir.join("lost")).expect("lost");

    let (code, _, err) = server.run(dir, &args("often.toml", "new", "1"));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&redis.url()) && err.contains("empty the store"), "{err}");
    redis.ask("FLUSHALL").expect("an answer");
    let said = server.ok(dir, &args("often.toml", "new", "2"));
    assert!(said.contains("going on from a checkpoint"), "{said}");

    let after = records(&dump_redis(dir));
    let missing: Vec<&String> = expected.keys().filter(|key| !after.contains_key(*key)).collect();
    let more: Vec<&String> =
        after.keys().filter(|key| !expected.contains_key(*key) && !key.starts_with("dropped:")).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
    // Cards say what is known of a video: nothing was lost, nothing counted twice.
    for key in expected.keys().filter(|key| key.starts_with("video:")) {
        assert_eq!(expected[key], after[key], "{key}");
    }
    let places = |records: &std::collections::BTreeMap<String, Json>| -> usize {
        records.iter().filter(|(key, _)| key.starts_with("feed:")).map(|(_, list)| videos(list).len()).sum()
    };
    // Made later, of more videos: no list is shorter in sum.
    assert!(places(&expected) <= places(&after), "{} and {} places", places(&expected), places(&after));
}

#[test]
fn a_bucket_that_is_not_there_is_named_with_the_remedy() {
    let Some(server) = S3Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 73);
    let place = "s3://no-such-bucket/one";
    for args in [
        vec!["checkpoint", "list", "--checkpoints", place],
        vec!["run", "--input", "log", "--store", "store", "--once", "--quiet", "--checkpoints", place],
    ] {
        let (code, _, err) = server.run(dir, &args);
        assert_eq!(code, Some(1), "{err}");
        assert!(
            err.contains("s3://no-such-bucket/one/manifests") && err.contains("NoSuchBucket"),
            "place and cause: {err}"
        );
        assert!(err.contains("see that the bucket exists") && err.contains("AWS_ENDPOINT"), "remedy: {err}");
    }
}
