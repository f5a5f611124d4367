//! Experiments from outside: lists, pages' names of arms, explanations and the sums of arms, the same for any number of workers and
//! over a restart that adds an experiment or takes all of them away.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::harness::{dump, number, ok, ok_json, records, run, same};
use crate::world::{add_deletes, add_pages, world};

const WEIGHTS: &str = r#"
[[experiment]]
name = "weights"
share = 0.8
since = 2020-01-01
min_users = 5
[[experiment.arm]]
name = "control"
[[experiment.arm]]
name = "calm"
set = { ranking.fast_skip = 3.0, ranking.watch = 0.0 }
"#;
const SAME: &str = r#"
[[experiment]]
name = "same"
share = 1
since = 2020-01-01
[[experiment.arm]]
name = "a"
[[experiment.arm]]
name = "b"
"#;

fn replay(dir: &Path, config: &str, log: &str, store: &str, workers: &str) -> String {
    let args = [
        "run",
        "--config",
        config,
        "--input",
        log,
        "--store",
        store,
        "--workers",
        workers,
        "--once",
        "--quiet",
    ];
    ok(dir, &args);
    dump(dir, store)
}

#[test]
fn arms_are_in_lists_explanations_and_sums() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 41, 2_500);
    add_pages(dir, "log");
    add_deletes(dir, "log");
    let often = "[score]\npublish_every = \"10m\"\n";
    std::fs::write(dir.join("one.toml"), format!("{often}{WEIGHTS}")).expect("written");
    std::fs::write(dir.join("two.toml"), format!("{often}{WEIGHTS}{SAME}")).expect("written");
    std::fs::write(dir.join("none.toml"), often).expect("written");
    let expected = replay(dir, "one.toml", "log", "one", "1");
    same(&expected, &replay(dir, "one.toml", "log", "four", "4"), "one worker and four");
    let plain = records(&replay(dir, "none.toml", "log", "none", "2"));
    let stored = records(&expected);

    // Everybody's list names the arm, and only the lists of arms that set something are others.
    let arms = |list: &Json| {
        list["arms"]
            .as_array()
            .map(|arms| arms.iter().map(|a| a.as_str().unwrap_or("").to_owned()).collect::<Vec<_>>())
    };
    let lists: Vec<(&String, &Json)> = stored.iter().filter(|(key, _)| key.starts_with("feed:")).collect();
    let of = |name: &str| lists.iter().filter(|(_, list)| arms(list) == Some(vec![name.to_owned()])).count();
    let (control, calm) = (of("weights/control"), of("weights/calm"));
    assert!(
        control > 5 && calm > 5 && control + calm < lists.len(),
        "{control} and {calm} of {}",
        lists.len()
    );
    assert!(!plain.contains_key("experiments:all"), "without experiments nothing is counted");

    let (key, list) =
        lists.iter().find(|(_, list)| arms(list) == Some(vec!["weights/calm".to_owned()])).expect("one");
    let user = key["feed:".len()..].to_owned();
    let video = list["items"][0]["video_id"]
        .as_str()
        .map_or_else(|| list["items"][0]["video_id"].to_string(), str::to_owned);
    let why = ok_json(dir, &["why", &user, &video, "--store", "one", "--json"]);
    assert_eq!(why["arms"], json!(["weights/calm"]), "{why}");
    let objectives = why["account"]["estimate"]["objectives"].as_array().expect("objectives").clone();
    let weight =
        |name: &str| objectives.iter().find(|o| o["name"] == name).and_then(|o| o["weight"].as_f64());
    assert_eq!(
        (weight("watch"), weight("fast_skip")),
        (Some(0.0), Some(-3.0)),
        "the arm's own: {objectives:?}"
    );
    assert!(ok(dir, &["why", &user, &video, "--store", "one"]).contains("experiments  weights/calm"));

    let told = ok_json(dir, &["experiment", "--store", "one", "--json"]);
    let experiment = &told["experiments"][0];
    let users = |arm: usize| number(&experiment["arms"][arm]["users"]);
    assert!(users(0) > 5 && users(1) > 5, "{told}");
    assert_eq!(experiment["arms"][1]["sets"].as_array().map(Vec::len), Some(2));
    let metric = |name: &str| {
        let metrics = experiment["arms"][1]["metrics"].as_array().expect("metrics");
        metrics
            .iter()
            .find(|metric| metric["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {told}"))
            .clone()
    };
    assert!(
        metric("watch_ms")["mean"].as_f64() > Some(0.0) && metric("pages")["mean"].as_f64() > Some(0.0),
        "{told}"
    );
    assert!(metric("completion")["mean"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
    let text = ok(dir, &["experiment", "weights", "--store", "one"]);
    assert!(text.contains("experiment weights: 80 % of all users") && text.contains("watch_ms"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    let (code, _, err) = run(dir, &["experiment", "wights", "--store", "one"]);
    assert!(code == Some(1) && err.contains("there are: weights"), "{err}");
    let (code, _, err) = run(dir, &["experiment", "--store", "none"]);
    assert!(code == Some(1) && err.contains("[[experiment]]"), "{err}");
}

#[test]
fn an_experiment_is_added_to_a_job_and_taken_away_without_a_rebuild() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 42, 1_500);
    add_pages(dir, "log");
    std::fs::write(dir.join("one.toml"), WEIGHTS).expect("written");
    std::fs::write(dir.join("two.toml"), format!("{WEIGHTS}{SAME}")).expect("written");
    std::fs::write(dir.join("none.toml"), "").expect("written");
    let names = |store: &str| -> Vec<String> {
        let told = ok_json(dir, &["experiment", "--store", store, "--json"]);
        let experiments = told["experiments"].as_array().expect("a list");
        experiments.iter().map(|of| of["name"].as_str().expect("a name").to_owned()).collect()
    };
    replay(dir, "one.toml", "log", "store", "1");
    assert_eq!(names("store"), ["weights"]);
    // What comes later passes a publication.
    let later = |n: u64| {
        let views = crate::world::read(dir, "log", "interactions");
        let mut view = views.into_iter().max_by_key(|view| number(&view["event_time"])).expect("a view");
        view["event_time"] = json!(number(&view["event_time"]) + n * 7_200_000);
        view["event_id"] = json!(9_000_000 + n);
        crate::world::add_records(dir, "log", "interactions", &format!("part-9000{n}.jsonl"), &[view]);
    };
    later(1);
    let (code, _, said) = run(
        dir,
        &["run", "--config", "two.toml", "--input", "log", "--store", "store", "--workers", "2", "--once"],
    );
    assert!(code == Some(0) && said.contains("going on from a checkpoint"), "{said}");
    assert_eq!(names("store"), ["weights", "same"]);
    // The added experiment counts what was counted before it was configured, from its `since` on.
    let told = ok_json(dir, &["experiment", "same", "--store", "store", "--json"]);
    let users: u64 = told["experiments"][0]["arms"]
        .as_array()
        .expect("arms")
        .iter()
        .map(|arm| number(&arm["users"]))
        .sum();
    assert!(users > 20, "{told}");
    later(2);
    let (code, _, said) =
        run(dir, &["run", "--config", "none.toml", "--input", "log", "--store", "store", "--once"]);
    assert!(code == Some(0) && said.contains("going on from a checkpoint"), "{said}");
    let (code, _, err) = run(dir, &["experiment", "--store", "store"]);
    assert!(code == Some(1) && err.contains("there are no experiments"), "{err}");
}
