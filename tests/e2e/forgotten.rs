//! What is forgotten of a video or an interaction while the service runs: rows, values of the store, and what is said of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use freshet_archive::ReadEpoch;
use freshet_schema::Event;
use serde_json::{Value as Json, json};

use crate::archive::archived;
use crate::harness::{dump, number, ok, ok_json, records, videos};
use crate::live::ranked_users;
use crate::service::Service;
use crate::world::world;

/// Rows that name a video; the places of a page are one.
fn rows_of_video(epochs: &[ReadEpoch], video: u64) -> BTreeMap<&'static str, usize> {
    let mut rows = BTreeMap::new();
    for (_, event) in epochs.iter().flat_map(|epoch| &epoch.records) {
        let names = match event {
            Event::Interaction(view) => view.video_id.0 == video,
            Event::Upload(upload) => upload.video_id.0 == video,
            Event::Served(page) => page.items.iter().any(|item| item.video_id.0 == video),
            Event::User(_) | Event::Follow(_) | Event::Delete(_) => false,
        };
        if names {
            *rows.entry(event.kind().folder()).or_default() += 1;
        }
    }
    rows
}

/// Values that name a video among their items, by kind of key.
fn values_naming(dump: &str, video: u64) -> BTreeMap<String, u64> {
    let mut naming = BTreeMap::new();
    for (key, value) in records(dump) {
        if videos(&value).contains(&video) {
            *naming.entry(key.split(':').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    naming
}

fn forget(dir: &Path, who: &[&str]) -> Json {
    let folders = ["--config", "cohorts.toml", "--store", "store", "--input", "log", "--archive", "archive"];
    let certificate = ok_json(dir, &[&["forget", "--json"], who, &folders[..]].concat());
    assert_eq!(certificate["verify"]["holds"], json!(true), "{certificate}");
    certificate
}

#[test]
fn a_forgotten_video_and_a_forgotten_interaction_are_nowhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 72, 700);
    std::fs::write(dir.join("cohorts.toml"), "[cohorts]\nenabled = true\nsize = 20\nfloor = 4\n")
        .expect("written");
    let input = ["--config", "cohorts.toml", "--input", "log", "--archive", "archive"];
    let service = Service::launch(dir, &input, Stdio::inherit());
    let user = ranked_users(dir)[0];
    // Pages with it are served, and become rows.
    let offered = videos(&service.feed(user));
    let (clicked, video) = (offered[0], offered[1]);
    let click =
        |id: u64, video: u64| json!({"event_id": id, "user_id": user, "video_id": video, "watch_ms": 30_000});
    service.post_and_see(&click(720_001, clicked), user);
    service.post_and_see(&click(720_002, offered[2]), user);
    ok(dir, &["checkpoint", "now", "--store", "store"]);
    let before = archived(dir, "archive");
    let rows = rows_of_video(&before, video);
    assert!(rows["uploads"] > 0 && rows["served"] > 0, "{rows:?}");
    let then = values_naming(&dump(dir, "store"), video);
    for kind in ["feed", "account", "dropped"] {
        assert!(then.contains_key(kind), "no value of {kind}: names it: {then:?}");
    }

    // An interaction goes with its row, and the list is that of one who never watched it.
    let of_interaction = |epochs: &[ReadEpoch]| {
        let is_it = |event: &Event| matches!(event, Event::Interaction(view) if view.event_id.0 == 720_001);
        epochs.iter().flat_map(|epoch| &epoch.records).filter(|(_, event)| is_it(event)).count()
    };
    assert_eq!(of_interaction(&before), 1);
    let certificate = forget(dir, &["--interaction", "720001", "--user", &user.to_string()]);
    assert_eq!(
        (number(&certificate["archive"]["rows"]), &certificate["values"]),
        (1, &Json::Null),
        "{certificate}"
    );
    let left = archived(dir, "archive");
    assert_eq!(of_interaction(&left), 0);
    let interactions = |epochs: &[ReadEpoch]| {
        let of = |event: &Event| matches!(event, Event::Interaction(view) if view.user_id.0 == user);
        epochs.iter().flat_map(|epoch| &epoch.records).filter(|(_, event)| of(event)).count()
    };
    assert_eq!(interactions(&left) + 1, interactions(&before), "the user's other rows stay");
    assert!(videos(&service.feed(user)).contains(&clicked), "the video is one to be offered again");

    // A video: no row, no page's place, no list.
    let certificate = forget(dir, &["--video", &video.to_string()]);
    let gone = json!({ format!("video:{video}"): "gone", format!("related:{video}"): "gone", format!("cohort:{video}"): "gone" });
    assert_eq!(certificate["store"], gone);
    assert!(number(&certificate["archive"]["rows"]) >= rows.values().sum::<usize>() as u64, "{certificate}");
    assert_eq!(rows_of_video(&archived(dir, "archive"), video), BTreeMap::new());
    // The certificate says of the store what a look at all of it says.
    let naming: BTreeMap<String, u64> =
        serde_json::from_value(certificate["values"]["naming"].clone()).expect("kinds");
    assert_eq!(naming, values_naming(&dump(dir, "store"), video));
    assert!(naming.keys().all(|kind| kind == "dropped"), "a list, account or pool names it: {naming:?}");
    ok(dir, &["resync", "--store", "store"]);
    assert_eq!(values_naming(&dump(dir, "store"), video), BTreeMap::new(), "after all lists were made anew");

    // A replay says on which side of the moment the deletes are.
    let epoch = number(&certificate["epoch"]);
    let replay = |until: u64, out: &str| {
        let until = until.to_string();
        ok(
            dir,
            &["replay", "--config", "cohorts.toml", "--archive", "archive", "--until", &until, "--out", out],
        )
    };
    let words = replay(epoch, "then");
    assert!(words.contains("2 deletes had come by then") && !words.contains("came later"), "{words}");
    let words = replay(epoch - 1, "before");
    assert!(
        words.contains("1 deletes came later") && words.contains("1 deletes had come by then"),
        "{words}"
    );
    service.stop();
}
