//! The store of a past moment is made again as it was seen then: captured while a service ran, and replayed from its archive.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use freshet_schema::hash;
use serde_json::{Value as Json, json};

use crate::archive::archived;
use crate::harness::{dump, number, ok, ok_json, run, same, videos, wait_for};
use crate::live::ranked_users;
use crate::service::Service;
use crate::world::world;

/// A store as it was seen, with the epoch that it was of.
struct Seen {
    epoch: u64,
    store: String,
    /// What was said of the best video of a user's list: the user, the video, and the words.
    why: (String, String, String),
}

/// The last epoch that the store of a running service has.
fn epoch(dir: &Path) -> u64 {
    number(&ok_json(dir, &["stats", "--json", "--store", "store"])["epoch"])
}

/// Looks at the store of a running service, which goes on meanwhile: what was seen is of one epoch where that was the same before and after.
fn look(dir: &Path, user: u64) -> Seen {
    wait_for("a moment between two epochs", || {
        let before = epoch(dir);
        let list = ok_json(dir, &["feed", &user.to_string(), "--json", "--store", "store"]);
        let (user, video) = (user.to_string(), videos(&list).first()?.to_string());
        let why = ok(dir, &["why", &user, &video, "--json", "--store", "store"]);
        let store = dump(dir, "store");
        (epoch(dir) == before).then_some(Seen { epoch: before, store, why: (user, video, why) })
    })
}

/// Ten moments of a service that takes events in between, two of them behind a resync.
#[test]
fn ten_epochs_of_a_live_run_are_made_again_as_they_were_seen() {
    const SEED: u64 = 71;
    const LOOKS: u64 = 10;
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, SEED, 300);
    // An epoch without events takes so long that there is time to look.
    std::fs::write(dir.join("slow.toml"), "[clock]\ntick_ms = 3000\n").expect("written");
    let input = ["--config", "slow.toml", "--input", "log", "--archive", "archive"];
    let service = Service::launch(dir, &input, Stdio::inherit());
    let users = ranked_users(dir);
    let user = |n: u64| users[usize::try_from(n).expect("small") % 5];
    let mut seen: Vec<Seen> = Vec::new();
    for n in 0..LOOKS {
        let events = 1 + hash::mix(SEED, &[n]) % 4;
        for event in 0..events {
            let who = user(n + event);
            let click = json!({"event_id": 710_000 + n * 10 + event, "user_id": who, "watch_ms": 20_000,
                               "video_id": videos(&service.feed(who))[0], "like": event == 1});
            std::thread::sleep(Duration::from_millis(hash::mix(SEED, &[n, event]) % 200));
            match event + 1 == events {
                true => drop(service.post_and_see(&click, who)),
                false => service.post(&click),
            }
        }
        if n == LOOKS - 2 {
            // Every list anew, in epochs of the moment.
            ok(dir, &["resync", "--store", "store"]);
        }
        seen.push(look(dir, user(n)));
    }
    service.stop();
    let verify = ["verify", "--config", "slow.toml", "--store", "store", "--archive", "archive", "--values"];
    let (code, out, err) = run(dir, &verify);
    assert_eq!(code, Some(0), "{out} {err}");
    let remade = archived(dir, "archive").iter().filter(|epoch| !epoch.remake.is_empty()).count();
    assert!(remade > 0, "the resync is in no epoch of the archive");

    let mut epochs: Vec<u64> = seen.iter().map(|seen| seen.epoch).collect();
    epochs.dedup();
    assert_eq!(epochs.len(), seen.len(), "each of another epoch: {epochs:?}");
    for Seen { epoch, store, why: (user, video, said) } in &seen {
        let (epoch, out) = (epoch.to_string(), format!("then-{epoch}"));
        let replay =
            ["replay", "--config", "slow.toml", "--archive", "archive", "--until", &epoch, "--out", &out];
        let words = ok(dir, &replay);
        assert!(!words.contains("deletes"), "nobody was forgotten: {words}");
        same(store, &dump(dir, &out), &format!("epoch {epoch}, as it was seen and made again"));
        assert_eq!(*said, ok(dir, &["why", user, video, "--json", "--store", &out]));
    }
    // One look without keeping the store.
    let Seen { epoch, why: (user, video, said), .. } = &seen[LOOKS as usize / 2];
    let at = ["--at", &epoch.to_string(), "--config", "slow.toml", "--archive", "archive"];
    assert_eq!(*said, ok(dir, &[&["why", user, video, "--json"], &at[..]].concat()));
    let now = ok(dir, &["why", user, video, "--json", "--store", "store"]);
    assert_ne!(*said, now, "what was said then is said of the list of now");
    let why: Json = serde_json::from_str(said).expect("JSON");
    assert!(number(&why["epoch"]) <= *epoch && why["listed"] == json!(true), "{why}");
}
