//! The archive in a bucket, against a server that speaks S3: what holds of one in a folder, and what takes the place of its lock.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::archive::{archived, epochs_of, traces_of};
use crate::crash::{eventful, kill_when};
use crate::harness::{number, ok, ok_json, same, videos};
use crate::live::ranked_users;
use crate::s3_server::S3Server;
use crate::service::Service;
use crate::world::world;

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
    let report = asked(&server, dir, &verified);
    assert_eq!((&report["holds"], number(&report["epoch"])), (&json!(true), last), "{report}");

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
        freshet_schema::Event::Interaction(view) => Some(view.user_id.0),
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
