//! A world with deletes and late uploads is what its archive says; and each view's planted fault is found, named, and laid to no other view.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use freshet_operators::content::Facet;
use freshet_schema::Event;
use freshet_sinks::{Embedded, EmbeddedOptions};
use freshet_sources::generate::{World, generate};
use serde_json::json;

use super::*;
use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::job;
use crate::progress::{Progress, RunOptions};

fn config(dir: &Path) -> Config {
    let path = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "[input]\ndir = {:?}\nfollow = false\n[store]\ndir = {:?}\n[archive]\ndir = {:?}\nroll_bytes = \"64KiB\"\n\
         [early]\nmax_wait = \"7d\"\n",
        path("log"),
        path("store"),
        path("archive")
    );
    let mut config = Config::resolve("test.toml", &text, &[], &|_| None).expect("a configuration");
    // Lists are no view that is verified, and most of the work.
    config.params.feed.enabled = false;
    config
}

fn add(dir: &Path, stream: &str, records: &[serde_json::Value]) {
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    let folder = dir.join("log").join(stream);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("part-00001.jsonl"), text).expect("written");
}

/// The state and the past of a world: with deletes of each kind, a user who comes back, an upload that comes after the first views, and
/// one that never comes.
fn world(dir: &Path) -> (Config, Kept, Past) {
    let world = World { days: 2, ..World::new(40, 60, 900, 11) };
    generate(&world, &dir.join("log"), &mut |_, _| {}).expect("a world");
    let text = std::fs::read_to_string(dir.join("log/interactions/part-00000.jsonl")).expect("a log");
    let views: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let at = |n: usize| &views[n];
    let number = |value: &serde_json::Value| {
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("a number")
    };
    let time = |n: usize| number(&at(n)["event_time"]);
    // The clock goes on to the last event of any stream, and windows end by it.
    let mut last = 0;
    for stream in ["uploads", "users", "follows", "deletes", "interactions"] {
        let text = std::fs::read_to_string(dir.join("log").join(stream).join("part-00000.jsonl"));
        for line in text.unwrap_or_default().lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            last = last.max(number(&event["event_time"]));
        }
    }
    add(
        dir,
        "deletes",
        &[
            json!({"event_id": 1, "event_time": time(500), "target": "interaction", "user_id": at(100)["user_id"],
                   "target_event_id": at(100)["event_id"]}),
            json!({"event_id": 2, "event_time": time(600), "target": "video", "video_id": at(200)["video_id"]}),
            json!({"event_id": 3, "event_time": time(700), "target": "user", "user_id": at(300)["user_id"]}),
        ],
    );
    let view = |id: u64, time: u64, video: u64| {
        json!({"event_id": id, "event_time": time, "user_id": at(5)["user_id"], "video_id": video,
               "watch_ms": 9_000, "duration_ms": 10_000, "like": true})
    };
    add(dir, "interactions", &[view(7_000_001, time(400), 987_654), view(7_000_002, last - 60_000, 987_655)]);
    add(
        dir,
        "uploads",
        &[
            json!({"event_id": 7_000_003, "event_time": time(400) + 1_800_000, "video_id": 987_654, "creator_id": 5,
                 "created_at": 1_600_000_000_000u64, "duration_ms": 10_000, "category": "late", "status": "ready"}),
        ],
    );
    let config = config(dir);
    std::fs::create_dir_all(&config.store.dir).expect("a folder");
    let store =
        Arc::new(Embedded::open(&config.store.kv_dir(), EmbeddedOptions::default()).expect("a store"));
    let options = RunOptions { once: true, progress: Arc::new(Progress::default()), seat: None };
    job::run(&config, store, options, Arc::new(AtomicBool::new(false))).expect("a run");
    let (kept, past) = state(&config);
    (config, kept, past)
}

fn state(config: &Config) -> (Kept, Past) {
    let checkpoints = Checkpoints::open(&config.checkpoint.dir, 1).expect("a folder");
    let (epoch, manifest) = checkpoints.manifests().expect("readable").remove(0);
    let manifest = manifest.expect("usable");
    let loaded = checkpoints.load(&manifest).expect("a folder").expect("whole");
    let restored = Restored::open(epoch, manifest.input.base.now, Box::new(loaded)).expect("restored");
    let kept = Kept::read(&Arc::new(restored)).expect("readable");
    let archive = config.archive.dir.clone().expect("an archive");
    let version = kept.published.as_ref().map(|published| published.version);
    let past = read(&config.params, archive.as_ref(), epoch, version, &mut |_, _| {}).expect("readable");
    (kept, past)
}

/// A view's name, a fault in it, and a part of the key that must be named.
type Fault = (&'static str, fn(&mut Kept), &'static str);

const FAULTS: &[Fault] = &[
    ("rows", |kept| person(kept).rows[0].weight += 1, "user "),
    ("rows", |kept| drop(person(kept).rows.pop()), "event "),
    ("deletes", |kept| assert!(kept.forgotten_events.pop_first().is_some()), "event "),
    ("deletes", |kept| *kept.forgotten_users.values_mut().next().expect("one") += 1, "user "),
    ("profiles", |kept| "xx".clone_into(&mut person(kept).profile.as_mut().expect("one").1), ""),
    (
        "follows",
        |kept| {
            let mut people = kept.people.values_mut();
            let follows = people.find_map(|p| p.follows.values_mut().next());
            follows.expect("a follow").1 ^= true;
        },
        "",
    ),
    ("interests", |kept| person(kept).edges.0 += 1, "user "),
    (
        "videos",
        |kept| {
            let video = kept.videos.values_mut().next().expect("a video");
            let mut content = (*video.content).clone();
            content.vector.0[7] = content.vector.0[7].wrapping_add(1);
            video.content = Arc::new(content);
        },
        "video ",
    ),
    ("early", |kept| assert!(kept.early.pop_first().is_some()), "which came in epoch"),
    ("recent_sums", |kept| first(&mut kept.recent_sums).0[1].likes += 1, "video "),
    ("video_sums", |kept| first(&mut kept.video_sums).0[1].watch_ms += 1, "video "),
    ("windows", |kept| first(&mut kept.waiting).views -= 1, "leaving at "),
    (
        "popularity",
        |kept| {
            let demographic = |key: &&mut (u64, Facet, u32)| matches!(key.1, Facet::Demographic(_));
            let key = *kept
                .popularity
                .keys()
                .copied()
                .collect::<Vec<_>>()
                .iter_mut()
                .find(demographic)
                .expect("one");
            *kept.popularity.get_mut(&key).expect("it is there") += 1;
        },
        "Demographic",
    ),
    ("attention", |kept| *first(&mut kept.attention[1]) += 1, "quick"),
    ("attention", |kept| *last(&mut kept.quick) += 1, "video "),
    ("creator_sums", |kept| last(&mut kept.unpublished_creators).comments += 1, "creator "),
    ("cohort_sums", |kept| last(&mut kept.unpublished_cohorts).shares += 1, ""),
    ("watched_parts", |kept| *last(&mut kept.unpublished_watched) += 1, "watched"),
    ("co_engagement", |kept| last(&mut kept.pairs)[1] += 1, "after video"),
    ("published", |kept| *first(&mut kept.creator_scores) += 1_000, "score of creator"),
    (
        "published",
        |kept| kept.published.as_mut().expect("a publication").skip_below[3] += 10,
        "skip thresholds",
    ),
    (
        "published",
        |kept| kept.published.as_mut().expect("a publication").everyone.watched += 0.001,
        "baseline of all",
    ),
    ("published", |kept| kept.published.as_mut().expect("a publication").heads = Arc::default(), "heads"),
    ("published", |kept| kept.published.as_mut().expect("a publication").topics = Arc::default(), "topics"),
];

fn person(kept: &mut Kept) -> &mut freshet_operators::checkpoint::kept::KeptPerson {
    let mut people = kept.people.values_mut();
    people.find(|person| person.rows.len() > 3 && person.profile.is_some()).expect("somebody")
}

fn first<K: Ord, V>(map: &mut std::collections::BTreeMap<K, V>) -> &mut V {
    map.values_mut().next().expect("a row")
}

fn last<K: Ord, V>(map: &mut std::collections::BTreeMap<K, V>) -> &mut V {
    map.values_mut().next_back().expect("a row")
}

#[test]
fn a_world_is_what_its_archive_says_and_each_fault_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, kept, past) = world(dir.path());
    let views = compare(&kept, &past, &config.params, &[]);
    for view in &views {
        assert_eq!(view.different, 0, "{}: {:?}", view.name, view.differences);
        assert!(view.kept > 0, "{}: nothing to compare shows nothing", view.name);
    }
    assert_eq!(views.len(), VIEWS.len());
    let only = compare(&kept, &past, &config.params, &["video_sums".to_owned()]);
    assert_eq!(only.iter().map(|view| view.name).collect::<Vec<_>>(), ["video_sums"]);

    for view in VIEWS {
        assert!(FAULTS.iter().any(|(name, ..)| *name == view.name), "{} has no fault", view.name);
    }
    for (n, (name, plant, key)) in FAULTS.iter().enumerate() {
        let (mut kept, _) = state(&config);
        plant(&mut kept);
        let views = compare(&kept, &past, &config.params, &[]);
        let found: Vec<_> = views.iter().filter(|view| view.different > 0).collect();
        assert_eq!(found.iter().map(|view| view.name).collect::<Vec<_>>(), [*name], "fault {n}");
        // A threshold differs from its inputs and from what the archive recorded.
        assert!((1..=2).contains(&found[0].different), "fault {n}: {:?}", found[0].differences);
        let difference = &found[0].differences[0];
        assert!(difference.key.contains(key), "fault {n}: {difference:?}");
        assert!(difference.kept != difference.expected);
    }
}

#[test]
fn a_row_that_the_archive_lacks_or_alters_is_named_in_every_view_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, kept, _) = world(dir.path());
    let folder =
        Arc::new(Folder::open(config.archive.dir.as_ref().expect("one").as_ref()).expect("a folder"));
    let manifest = folder.existing().expect("a manifest");
    let version = kept.published.as_ref().map(|published| published.version);
    let mut past = Past::new(&config.params, version);
    let mut reader = freshet_archive::Reader::new(folder, &manifest, None);
    let mut altered = None;
    while let Some(mut epoch) = reader.next().expect("readable") {
        for (_, event) in &mut epoch.records {
            if let Event::Interaction(view) = event
                && altered.is_none()
                && epoch.epoch > Epoch(40)
                && !view.like
                && view.watch_ms.is_some()
            {
                view.like = true;
                altered = Some(view.clone());
            }
        }
        past.epoch(&epoch);
    }
    past.end();
    let altered = altered.expect("an interaction");
    let views = compare(&kept, &past, &config.params, &[]);
    let different: Vec<_> = views.iter().filter(|view| view.different > 0).map(|view| view.name).collect();
    assert_eq!(different[0], "rows", "{different:?}");
    assert!(different.contains(&"video_sums"), "{different:?}");
    let key = &views[0].differences[0].key;
    assert!(key.contains(&format!("event {}", altered.event_id)), "{key}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(dir.path());
    let until = Epoch(u64::MAX - 1);
    let archive = dir.path().join("archive");
    Folder::open(&archive)
        .expect("a folder")
        .commit(freshet_archive::Manifest::beginning(freshet_archive::Mark::default()), &[], &[])
        .expect("committed");
    let refused = |archive: &Path| {
        let read = read(&config.params, archive, until, None, &mut |_, _| {});
        format!("{:#}", read.err().expect("a refusal"))
    };
    assert!(refused(&archive).contains("older copy"), "{}", refused(&archive));
    let none = dir.path().join("none");
    assert!(refused(&none).contains("no archive is there"), "{}", refused(&none));
    let late = dir.path().join("late");
    let mark = freshet_archive::Mark { epoch: Epoch(7), ..freshet_archive::Mark::default() };
    let begun = freshet_archive::Manifest::beginning(mark);
    Folder::open(&late).expect("a folder").commit(begun, &[], &[]).expect("committed");
    assert!(refused(&late).contains("begun behind epoch 7"), "{}", refused(&late));
}
