//! The archive in a bucket, against a server that speaks S3: what holds of one in a folder, and what takes the place of its lock.

use std::path::Path;
use std::process::Stdio;

use freshet_archive::ReadEpoch;
use freshet_schema::Event;
use serde_json::{Value as Json, json};

use crate::archive::{archived, epochs_of, traces_of};
use crate::crash::{eventful, kill_when};
use crate::harness::{number, ok, ok_json, once, same, videos};
use crate::live::ranked_users;
use crate::redis_server::RedisServer;
use crate::s3_server::S3Server;
use crate::service::Service;
use crate::world::{add_records, read, world};

const PLACE: &str = "s3://jobs/freshet/archive";
/// The same below the bucket.
const PREFIX: &str = "freshet/archive";

/// Small files, often.
const OFTEN: &str =
    "[checkpoint]\nevery = \"150ms\"\n[archive]\nroll_every = \"100ms\"\nroll_bytes = \"64KiB\"\n";

fn args(store: &'static str, archive: &'static str, workers: &'static str) -> Vec<&'static str> {
    let config = ["run", "--config", "often.toml", "--input", "log", "--once", "--quiet"];
    [&config[..], &["--store", store, "--archive", archive, "--workers", workers]].concat()
}

#[track_caller]
fn asked(server: &S3Server, dir: &Path, args: &[&str]) -> Json {
    let (code, out, err) = server.run(dir, args);
    assert_eq!(code, Some(0), "freshet {args:?}\n{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("freshet {args:?}: {error}: {out}"))
}

/// That the bucket holds the files which the manifest names, and no other.
#[track_caller]
fn only_named(server: &S3Server) {
    let manifest = server.archive(PREFIX).existing().expect("an archive");
    let mut named: Vec<String> =
        manifest.files.iter().map(|file| format!("{PREFIX}/{}", file.path)).collect();
    named.sort_unstable();
    let held: Vec<String> = server.keys().into_iter().filter(|key| key.ends_with(".parquet")).collect();
    assert_eq!(held, named);
}

#[test]
fn killed_runs_archive_each_row_once_in_a_bucket() {
    let Some(server) = S3Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 74);
    std::fs::write(dir.join("often.toml"), OFTEN).expect("written");
    ok(dir, &args("whole", "whole-archive", "1"));
    let expected = archived(dir, "whole-archive");
    let last = expected.last().expect("epochs").epoch.0;

    for (n, part) in [2, 6].into_iter().enumerate() {
        let far = |epoch| epoch >= last * part / 10 && server.holds("archive/interactions/");
        kill_when(server.freshet(dir, &args("killed", PLACE, ["2", "1"][n])), dir, "killed", far);
    }
    server.ok(dir, &args("killed", PLACE, "2"));
    assert!(!dir.join("s3:").exists(), "it is in the bucket alone");
    assert!(epochs_of(server.archive(PREFIX)) == expected, "another archive than that of a run never killed");
    only_named(&server);
    let whole = asked(&server, dir, &["archive", "show", PLACE, "--check", "--json"]);
    assert_eq!((number(&whole["through"]), &whole["checked"]), (last, &json!(true)), "{whole}");
    let verified = ["verify", "--config", "often.toml", "--store", "killed", "--archive", PLACE, "--json"];
    let report = asked(&server, dir, &[&verified[..], &["--values"]].concat());
    assert_eq!((&report["holds"], number(&report["epoch"])), (&json!(true), last), "{report}");
    assert_eq!(number(&report["values_of"]), last, "{report}");
    let views = report["views"].as_array().expect("views");
    assert!(views.iter().any(|view| view["view"] == "lists" && number(&view["expected"]) > 50), "{report}");

    let said = server.ok(dir, &["archive", "compact", PLACE, "--config", "often.toml"]);
    assert!(said.contains("files before"), "{said}");
    assert!(epochs_of(server.archive(PREFIX)) == expected, "compaction changed rows");
    only_named(&server);
    // The past is made again from the bucket as from a folder.
    let until = (last / 2).to_string();
    let at = |archive: &str| {
        let at = ["dump", "--config", "often.toml", "--store", "whole", "--at", &until, "--archive", archive];
        let (code, out, err) = server.run(dir, &at);
        assert_eq!(code, Some(0), "{err}");
        out
    };
    same(&at("whole-archive"), &at(PLACE), "the store then, from a folder and from a bucket");

    // Who is forgotten while no service runs.
    let user = expected.iter().flat_map(|epoch| &epoch.records).find_map(|(_, event)| match event {
        Event::Interaction(view) => Some(view.user_id.0),
        _ => None,
    });
    let user = user.expect("an interaction");
    assert!(traces_of(&epochs_of(server.archive(PREFIX)), user) > 1);
    let who = user.to_string();
    let forget = ["forget", "--user", &who, "--config", "often.toml", "--store", "killed", "--input", "log"];
    let certificate = asked(&server, dir, &[&forget[..], &["--archive", PLACE, "--json"]].concat());
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    assert!(number(&certificate["archive"]["rows"]) > 1, "{certificate}");
    let beyond = certificate["beyond_reach"].to_string();
    assert!(beyond.contains(PLACE) && beyond.contains("keeps versions"), "{beyond}");
    assert_eq!(traces_of(&epochs_of(server.archive(PREFIX)), user), 0);
    only_named(&server);
    // And a video that somebody else has watched.
    let left = epochs_of(server.archive(PREFIX));
    let video = left.iter().flat_map(|epoch| &epoch.records).find_map(|(_, event)| match event {
        Event::Interaction(view) => Some(view.video_id),
        _ => None,
    });
    let video = video.expect("an interaction");
    let holds = |(_, event): &&(_, Event)| match event {
        Event::Interaction(view) => view.video_id == video,
        Event::Upload(upload) => upload.video_id == video,
        Event::Served(page) => page.items.iter().any(|item| item.video_id == video),
        _ => false,
    };
    let rows = left.iter().flat_map(|epoch| &epoch.records).filter(holds).count();
    let what = video.to_string();
    let forget =
        ["forget", "--video", &what, "--config", "often.toml", "--store", "killed", "--input", "log"];
    let certificate = asked(&server, dir, &[&forget[..], &["--archive", PLACE, "--json"]].concat());
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    assert_eq!(number(&certificate["archive"]["rows"]), rows as u64, "{certificate}");
    let left = epochs_of(server.archive(PREFIX));
    assert_eq!(left.iter().flat_map(|epoch| &epoch.records).filter(holds).count(), 0);
    only_named(&server);

    // A run that goes on elsewhere does not write into another's, nor take it over.
    let before = server.keys();
    let (code, _, err) = server.run(dir, &args("third", PLACE, "1"));
    assert!(code == Some(1) && err.contains("belongs to another journal"), "{code:?} {err}");
    assert_eq!(server.keys(), before);
}

#[test]
fn a_service_forgets_in_a_bucket_and_ends_when_its_archive_is_taken_over() {
    let Some(server) = S3Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 75, 700);
    std::fs::write(dir.join("often.toml"), OFTEN).expect("written");
    let run = ["run", "--config", "often.toml", "--input", "log", "--store", "store", "--archive", PLACE];
    let begin = || {
        let listen = ["--listen", "127.0.0.1:0", "--quiet"];
        Service::begin(dir, server.freshet(dir, &[&run[..], &listen[..]].concat()), Stdio::piped())
    };
    let service = begin();
    let user = ranked_users(dir)[0];
    let video = videos(&service.feed(user))[0];
    let click = json!({"event_id": 700_001, "user_id": user, "video_id": video, "watch_ms": 30_000});
    service.post_and_see(&click, user);
    server.ok(dir, &["checkpoint", "now", "--store", "store"]);
    assert!(traces_of(&epochs_of(server.archive(PREFIX)), user) > 3);
    let who = user.to_string();
    let forget = ["forget", "--user", &who, "--config", "often.toml", "--store", "store", "--input", "log"];
    let certificate = asked(&server, dir, &[&forget[..], &["--archive", PLACE, "--json"]].concat());
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    assert!(number(&certificate["archive"]["rows"]) > 3, "{certificate}");
    assert_eq!(traces_of(&epochs_of(server.archive(PREFIX)), user), 0);

    // Nothing locks a bucket. Who takes the archive from a running service ends it, and its next start goes on with nothing lost.
    server.ok(dir, &["archive", "compact", PLACE]);
    let (code, err) = service.ended();
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains(PLACE) && err.contains("taken the archive over"), "{err}");
    let service = begin();
    let other = ranked_users(dir)[1];
    let click = json!({"event_id": 700_002, "user_id": other, "video_id": video, "watch_ms": 30_000});
    service.post_and_see(&click, other);
    let verified = ["verify", "--config", "often.toml", "--store", "store", "--archive", PLACE, "--json"];
    let report = asked(&server, dir, &verified);
    assert_eq!((&report["holds"], &report["forgotten"]), (&json!(true), &json!(1)), "{report}");
    service.stop();
    let stats = ok_json(dir, &["stats", "--json", "--store", "store"]);
    let through = server.archive(PREFIX).existing().expect("an archive").through;
    assert!(through.epoch.0 >= number(&stats["epoch"]), "{through:?} {stats}");
    only_named(&server);
}

/// The machine is lost with its journal. What is left: the log, a checkpoint in the bucket, and an archive there that reaches further,
/// in epochs that only that journal knew. Cut back to the checkpoint it is gone on with, although the epochs are other ones now.
#[test]
fn an_archive_that_outlives_its_journal_is_cut_back_and_gone_on_with() {
    let Some(server) = S3Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 77);
    let redis = RedisServer::start();
    for (name, every) in [("often.toml", "1ms"), ("rarely.toml", "1h")] {
        let text = format!(
            "[store]\nkind = \"redis\"\n[redis]\nurl = \"{}\"\n[checkpoint]\nevery = \"{every}\"\ndir = \"s3://jobs/freshet/one\"\n\
             [archive]\ndir = \"{PLACE}\"\nroll_every = \"100ms\"\nroll_bytes = \"64KiB\"\n",
            redis.url()
        );
        std::fs::write(dir.join(name), text).expect("written");
    }
    let run = |config: &'static str, store: &'static str| {
        ["run", "--config", config, "--input", "log", "--store", store, "--once", "--quiet"]
    };
    let archive = || server.archive(PREFIX).existing().expect("an archive");
    let begun = |epoch| epoch > 40 && server.holds("/manifests/");
    kill_when(server.freshet(dir, &run("often.toml", "lost")), dir, "lost", begun);
    let list = asked(&server, dir, &["checkpoint", "list", "--config", "often.toml", "--json"]);
    let kept = number(&list[0]["epoch"]);
    // It makes no checkpoint, and is ahead of that one.
    let ahead = |epoch| epoch > kept + 20 && archive().through.epoch.0 > kept + 10;
    kill_when(server.freshet(dir, &run("rarely.toml", "lost")), dir, "lost", ahead);
    let before = epochs_of(server.archive(PREFIX));
    let (stay, go) = before.split_at(kept as usize);
    assert!(go.len() > 10);

    std::fs::remove_dir_all(dir.join("lost")).expect("lost");
    redis.ask("FLUSHALL").expect("an answer");
    // Events that were on their way, of the time of the epochs that are lost.
    let seen = read(dir, "log", "interactions");
    let late =
        seen.iter().zip(0..).filter(|(view, _)| number(&view["event_time"]) > stay[stay.len() - 1].now.0);
    let late = late.step_by(5).map(|(view, n)| {
        let mut view = view.clone();
        view["event_id"] = json!(900_000 + n);
        view
    });
    let late: Vec<Json> = late.collect();
    assert!(late.len() > 20);
    add_records(dir, "log", "interactions", "part-00001.jsonl", &late);

    let keys = server.keys();
    let (code, _, err) = server.run(dir, &run("often.toml", "new"));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&format!("`freshet archive truncate {PLACE} --to {kept}`")), "{err}");
    let truncate = ["archive", "truncate", PLACE, "--config", "often.toml"];
    let (code, out, err) = server.run(dir, &truncate);
    assert!(code == Some(1) && err.contains("--yes"), "{err}");
    assert!(out.contains(&format!("epochs {} to {} go", kept + 1, before.len())), "{out}");
    assert_eq!(server.keys(), keys, "who looks changes nothing");
    let said = server.ok(dir, &[&truncate[..], &["--yes"]].concat());
    assert!(said.contains(&format!("the archive ends with epoch {kept} now")), "{said}");
    assert!(epochs_of(server.archive(PREFIX)) == stay, "other epochs than those up to the checkpoint");
    only_named(&server);
    let said = server.ok(dir, &[&truncate[..], &["--yes"]].concat());
    assert!(said.contains("nothing to do"), "{said}");

    server.ok(dir, &run("often.toml", "new"));
    let after = epochs_of(server.archive(PREFIX));
    assert!(after.iter().map(|epoch| epoch.epoch.0).eq(1..=after.len() as u64), "an epoch twice, or none");
    assert!(after.starts_with(stay), "what stayed was changed");
    assert!(!after.starts_with(&before), "they are bound as before: that shows nothing");
    only_named(&server);
    ok(dir, &[&once("log", "whole", "2")[..], &["--archive", "whole-archive"]].concat());
    let events = |epochs: &[ReadEpoch]| {
        let mut events: Vec<String> =
            epochs.iter().flat_map(|epoch| &epoch.records).map(|(_, event)| format!("{event:?}")).collect();
        events.sort_unstable();
        events
    };
    assert!(events(&after) == events(&archived(dir, "whole-archive")), "each row of the log once");
    let report = asked(&server, dir, &["verify", "--config", "often.toml", "--store", "new", "--json"]);
    assert_eq!((&report["holds"], number(&report["epoch"])), (&json!(true), after.len() as u64), "{report}");
}

#[test]
fn a_bucket_of_an_archive_that_is_not_there_is_named_with_the_remedy() {
    let Some(server) = S3Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 76, 100);
    ok(dir, &["run", "--input", "log", "--store", "sound", "--once", "--quiet"]);
    let place = "s3://no-such-bucket/one";
    for (args, expected) in [
        (vec!["archive", "show", place], 1),
        (vec!["archive", "compact", place], 1),
        (vec!["replay", "--archive", place, "--until", "5", "--out", "then"], 1),
        (vec!["run", "--input", "log", "--store", "store", "--once", "--quiet", "--archive", place], 1),
        (vec!["verify", "--store", "sound", "--archive", place], 2),
    ] {
        let (code, _, err) = server.run(dir, &args);
        assert_eq!(code, Some(expected), "{args:?}: {err}");
        assert!(
            err.contains("s3://no-such-bucket/one/commits") && err.contains("NoSuchBucket"),
            "place and cause: {err}"
        );
        assert!(err.contains("see that the bucket exists") && err.contains("AWS_ENDPOINT"), "remedy: {err}");
    }
    let (code, _, err) = server.run(dir, &["archive", "show", "s3://jobs/none"]);
    assert!(code == Some(1) && err.contains("s3://jobs/none: no archive is there"), "{code:?} {err}");
}
