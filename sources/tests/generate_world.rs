//! The generated world: the same for the same seed, as lively as the public figures say, and with every accident that the
//! pipeline must handle.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use freshet_schema::event::{FollowAction, Status, Target};
use freshet_schema::{Delete, EventKind, Follow, Interaction, Millis, Upload, User};
use freshet_sources::generate::{Attack, AttackKind, GenerateError, Report, World, generate};
use freshet_sources::validate::{Limits, validate};
use proptest::prelude::*;
use serde::de::DeserializeOwned;

fn write(world: &World, dir: &Path) -> Report {
    generate(world, dir, &mut |_, _| {}).expect("the world can be made")
}

/// All files under a folder.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("it lies within").display().to_string();
                found.insert(name, fs::read(path).expect("readable"));
            }
        }
    }
    found
}

fn made(world: &World) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(world, &dir.path().join("log"));
    files(&dir.path().join("log"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_seed_is_a_world(users in 1u64..40, videos in 1u64..60, events in 0u64..600, seed in any::<u64>()) {
        let world = World { truth: true, ..World::new(users, videos, events, seed) };
        let one = made(&world);
        prop_assert_eq!(&one, &made(&world));
        let other = World { seed: seed ^ 1, ..world };
        prop_assert_ne!(&one, &made(&other));
    }
}

/// A world of middling size, made once for all tests that count.
struct Made {
    report: Report,
    uploads: Vec<Upload>,
    users: Vec<User>,
    follows: Vec<Follow>,
    interactions: Vec<Interaction>,
    deletes: Vec<Delete>,
    truth: Vec<serde_json::Value>,
    span: (Millis, Millis),
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    fn read<T: DeserializeOwned>(path: &Path) -> Vec<T> {
        let text = fs::read_to_string(path).expect("this kind was written");
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let world = World { truth: true, ..World::new(1_000, 2_000, 60_000, 7) };
    let report = write(&world, dir.path());
    let part = |kind: EventKind| dir.path().join(kind.folder()).join("part-00000.jsonl");
    Made {
        report,
        uploads: read(&part(EventKind::Uploads)),
        users: read(&part(EventKind::Users)),
        follows: read(&part(EventKind::Follows)),
        interactions: read(&part(EventKind::Interactions)),
        deletes: read(&part(EventKind::Deletes)),
        truth: read(&dir.path().join("truth/users.jsonl")),
        span: (world.start, world.start.plus(world.days * 86_400_000)),
    }
});

/// Each interaction once, as first written.
fn distinct() -> Vec<&'static Interaction> {
    let mut seen = HashSet::new();
    MADE.interactions.iter().filter(|i| i.revision == 0 && seen.insert((i.user_id, i.event_id))).collect()
}

/// Share of the distinct interactions, in parts per million.
fn ppm(which: impl Fn(&Interaction) -> bool) -> u64 {
    let all = distinct();
    all.iter().filter(|i| which(i)).count() as u64 * 1_000_000 / all.len() as u64
}

fn assert_within(what: &str, value: u64, low: u64, high: u64) {
    assert!((low..=high).contains(&value), "{what}: {value} is not within {low} and {high}\n{}", MADE.report);
}

#[test]
fn every_record_is_valid() {
    let limits = Limits::default();
    let check =
        |event: freshet_schema::Event| validate(&event, &limits).expect("the generator makes valid records");
    MADE.uploads.iter().cloned().for_each(|e| check(freshet_schema::Event::Upload(e)));
    MADE.users.iter().cloned().for_each(|e| check(freshet_schema::Event::User(e)));
    MADE.interactions.iter().cloned().for_each(|e| check(freshet_schema::Event::Interaction(e)));
    MADE.deletes.iter().cloned().for_each(|e| check(freshet_schema::Event::Delete(e)));
}

#[test]
fn as_many_events_as_asked_for() {
    assert_eq!(distinct().len(), 60_000);
    assert_eq!(MADE.report.behaviour.impressions, 60_000);
    let b = &MADE.report.behaviour;
    assert_eq!(MADE.interactions.len() as u64, b.impressions + b.duplicates + b.revisions);
    assert_eq!(MADE.uploads.iter().map(|u| u.video_id).collect::<HashSet<_>>().len(), 2_000);
    assert_eq!(MADE.report.written(EventKind::Interactions), MADE.interactions.len() as u64);
}

#[test]
fn base_rates_are_those_of_the_sources() {
    // ShortVideo: 1.87 % likes, 0.23 % comments, 0.39 % follows, 0.27 % shares. Half to twice of it.
    assert_within("likes", ppm(|i| i.like), 12_000, 30_000);
    assert_within("comments", ppm(|i| i.comment), 1_200, 4_600);
    assert_within("follows", ppm(|i| i.follow), 2_000, 7_800);
    assert_within("shares", ppm(|i| i.share), 1_400, 5_400);
    assert_within("dislikes", ppm(|i| i.dislike), 2_000, 8_000);
    // KuaiRand-27K: 38 % clicked, so about half flicked away; a median play of 2.9 s.
    let b = &MADE.report.behaviour;
    assert_within("skips", b.skips * 1_000_000 / b.impressions, 400_000, 620_000);
    let mut watched: Vec<_> = distinct().iter().filter_map(|i| i.watch_ms).collect();
    watched.sort_unstable();
    assert_within("median play", watched[watched.len() / 2], 1_500, 6_000);
    let mut durations: Vec<_> = MADE.uploads.iter().map(|u| u.duration_ms).collect();
    durations.sort_unstable();
    assert_within("median duration", durations[durations.len() / 2], 22_000, 30_000);
    // The most exposed 1 % of the videos have 44 % of the exposures there; a feed after taste spreads them more.
    let mut views = HashMap::<_, u64>::new();
    distinct().iter().for_each(|i| *views.entry(i.video_id).or_default() += 1);
    let mut views: Vec<_> = views.into_values().collect();
    views.sort_unstable_by(|a, b| b.cmp(a));
    assert_within("top percent", views[..20].iter().sum::<u64>() * 100 / 60_000, 12, 50);
    // The night is quiet: 4.1 % of the exposures are between 2 and 6 o'clock in UTC+8.
    let night = |i: &Interaction| (2..6).contains(&((i.event_time.0 / 3_600_000 + 8) % 24));
    assert_within("night", ppm(night), 25_000, 60_000);
}

#[test]
fn taste_is_what_moves_people() {
    let b = &MADE.report.behaviour;
    assert!(b.completions > b.rewatches && b.rewatches > 0);
    let category: HashMap<_, _> = MADE.uploads.iter().map(|u| (u.video_id, u.category.as_deref())).collect();
    let favourite: HashSet<(u64, &str)> = MADE
        .truth
        .iter()
        .flat_map(|user| {
            let id = user["user_id"].as_u64().expect("an identifier");
            let periods = user["periods"].as_array().expect("periods");
            periods.iter().flat_map(move |p| {
                p["categories"].as_object().expect("shares").keys().map(move |c| (id, c.as_str()))
            })
        })
        .collect();
    let suits =
        |i: &Interaction| category[&i.video_id].is_some_and(|c| favourite.contains(&(i.user_id.0, c)));
    let rate = |suited: bool| {
        let (mut likes, mut all) = (0u64, 0u64);
        for i in distinct().iter().filter(|i| suits(i) == suited) {
            likes += u64::from(i.like);
            all += 1;
        }
        likes * 1_000_000 / all
    };
    assert!(rate(true) > 3 * rate(false), "liked {} against {} ppm", rate(true), rate(false));
    assert!(MADE.truth.iter().any(|u| u["periods"].as_array().is_some_and(|p| p.len() > 1)), "tastes drift");
}

#[test]
fn accidents_happen_at_their_rates() {
    let (mut newest, mut late) = (0, 0u64);
    for i in &MADE.interactions {
        late += u64::from(i.revision == 0 && i.event_time.0 + 60_000 <= newest);
        newest = newest.max(i.event_time.0);
    }
    assert_within("late", late * 1_000_000 / 60_000, 6_000, 14_000);
    let b = &MADE.report.behaviour;
    assert_within("duplicates", b.duplicates * 1_000_000 / b.impressions, 3_500, 6_500);
    let revised: Vec<_> = MADE.interactions.iter().filter(|i| i.revision == 1).collect();
    assert_eq!(revised.len() as u64, b.revisions);
    assert!(!revised.is_empty() && revised.iter().all(|i| !i.like));
    // Duplicates are the same to the last field.
    let mut first = HashMap::new();
    for i in MADE.interactions.iter().filter(|i| i.revision == 0) {
        assert_eq!(*first.entry((i.user_id, i.event_id)).or_insert(i), i);
    }
    let uploaded: HashMap<_, _> = MADE.uploads.iter().rev().map(|u| (u.video_id, u.event_time)).collect();
    let early = distinct().iter().filter(|i| i.event_time < uploaded[&i.video_id]).count();
    assert_within("before the upload", early as u64, 5, 200);
    for (what, count) in [
        (
            "interactions",
            MADE.deletes.iter().filter(|d| matches!(d.target, Target::Interaction { .. })).count(),
        ),
        ("videos", MADE.deletes.iter().filter(|d| matches!(d.target, Target::Video { .. })).count()),
        ("users", MADE.deletes.iter().filter(|d| matches!(d.target, Target::User { .. })).count()),
    ] {
        assert!(count > 0, "no {what} are deleted");
    }
    for status in [Status::Processing, Status::Ready, Status::Failed, Status::Removed] {
        assert!(MADE.uploads.iter().any(|u| u.status == status), "no upload is {status:?}");
    }
    assert!(MADE.follows.iter().any(|f| f.action == FollowAction::Unfollow));
}

#[test]
fn streams_other_than_the_late_are_in_order() {
    assert!(MADE.uploads.is_sorted_by_key(|u| u.event_time));
    assert!(MADE.users.is_sorted_by_key(|u| u.event_time));
    assert!(MADE.follows.is_sorted_by_key(|f| f.event_time));
    assert!(MADE.deletes.is_sorted_by_key(|d| d.event_time));
    let (start, end) = MADE.span;
    assert!(MADE.interactions.iter().all(|i| i.event_time >= start && i.event_time <= end.plus(86_400_000)));
}

#[test]
fn profiles_have_gaps_and_captions_have_words() {
    let known = |f: fn(&User) -> bool| MADE.users.iter().filter(|u| f(u)).count() * 100 / MADE.users.len();
    assert!((80..98).contains(&known(|u| u.country.is_some())));
    assert!((75..95).contains(&known(|u| u.age_band.is_some())));
    assert!((70..90).contains(&known(|u| u.gender.is_some())));
    assert!((15..45).contains(&known(|u| !u.preferences.is_empty())));
    assert!(
        MADE.uploads
            .iter()
            .all(|u| u.caption.len() > 8 && !u.caption.contains("{}") && !u.hashtags.is_empty())
    );
    let categories: BTreeSet<_> = MADE.uploads.iter().filter_map(|u| u.category.as_deref()).collect();
    assert!(categories.len() >= 35, "{} categories", categories.len());
}

#[test]
fn small_worlds_and_wrong_arguments() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let report = write(&World::new(1, 1, 50, 3), &dir.path().join("one"));
    assert_eq!(report.behaviour.impressions, 50);
    let wrong = generate(&World::new(0, 1, 1, 1), &dir.path().join("none"), &mut |_, _| {});
    let error = wrong.expect_err("a world without users");
    assert!(matches!(error, GenerateError::Argument { name: "users", .. }));
    assert!(error.to_string().contains("users is 0"));
    assert!(!dir.path().join("none").exists(), "nothing is written for wrong arguments");
    let again = generate(&World::new(1, 1, 1, 1), &dir.path().join("one"), &mut |_, _| {});
    assert!(matches!(again, Err(GenerateError::Log(_))), "a log is not written into another");
}

fn attacked() -> (World, World) {
    let world = World { truth: true, days: 6, ..World::new(60, 80, 2_000, 11) };
    let attacks = AttackKind::ALL.map(Attack::new).to_vec();
    (world.clone(), World { attacks, ..world })
}

#[test]
fn an_attack_changes_nothing_of_what_the_others_do() {
    let (honest, attacked) = attacked();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let report = write(&attacked, &dir.path().join("log"));
    let (with, without) = (files(&dir.path().join("log")), made(&honest));
    assert_eq!(with, made(&attacked), "the same arguments give the same bytes");
    assert_eq!(report.attacks.len(), 4);
    let users: HashSet<u64> = report.attacks.iter().flat_map(|attack| attack.users.clone()).collect();
    let videos: HashSet<u64> = report.attacks.iter().flat_map(|attack| attack.videos.clone()).collect();
    assert_eq!(users.len(), 5 + 5 + 12 + 4, "each account is of one attack");
    let theirs = |line: &serde_json::Value| {
        let is = |key: &str, of: &HashSet<u64>| line[key].as_u64().is_some_and(|id| of.contains(&id));
        is("user_id", &users) || (line.get("user_id").is_none() && is("video_id", &videos))
    };
    let lines = |bytes: &[u8]| -> Vec<serde_json::Value> {
        let text = std::str::from_utf8(bytes).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let mut found = 0;
    for (name, bytes) in &with {
        if name == "truth/attacks.jsonl" {
            assert_eq!(lines(bytes).len(), 4);
            continue;
        }
        let all = lines(bytes);
        found += all.iter().filter(|line| theirs(line) && line.get("watch_ms").is_some()).count() as u64;
        let rest: Vec<_> = all.into_iter().filter(|line| !theirs(line)).collect();
        assert_eq!(rest, lines(&without[name]), "{name}");
    }
    assert_eq!(found, report.attacks.iter().map(|attack| attack.interactions).sum::<u64>());
}

/// Each kind leaves the trace that it is known for.
#[test]
fn attackers_do_what_is_said_of_them() {
    let (_, world) = attacked();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let report = write(&world, &dir.path().join("log"));
    let path = dir.path().join("log").join(EventKind::Interactions.folder()).join("part-00000.jsonl");
    let text = fs::read_to_string(path).expect("interactions");
    let views: Vec<Interaction> =
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    for attack in &report.attacks {
        let own: Vec<&Interaction> =
            views.iter().filter(|view| attack.users.contains(&view.user_id.0)).collect();
        let promoted = |view: &Interaction| attack.videos.contains(&view.video_id.0);
        let liked = own.iter().filter(|view| view.like && promoted(view)).count();
        assert!(liked > 40, "{}: {liked} likes", attack.attack.as_str());
        match attack.attack {
            AttackKind::Bots => {
                let unwatched = |view: &&&Interaction| view.like && view.watch_ms < Some(1_000);
                assert_eq!(own.iter().filter(unwatched).count(), liked);
            }
            AttackKind::Farming | AttackKind::SpamUploads => {
                assert!(own.iter().all(|view| view.skip == Some(false) && promoted(view)));
                assert!(liked * 10 > own.len() * 9);
            }
            AttackKind::Ring => {
                assert!(liked * 5 < own.len(), "most of what they do is there to hide behind");
                let mut times: Vec<(u64, u64)> =
                    own.iter().filter(|v| promoted(v)).map(|v| (v.video_id.0, v.event_time.0)).collect();
                times.sort_unstable();
                let near = |pair: &[(u64, u64)]| pair[0].0 == pair[1].0 && pair[1].1 - pair[0].1 < 240_000;
                assert!(times.windows(2).filter(|pair| near(pair)).count() * 10 > times.len() * 8);
            }
        }
    }
}
