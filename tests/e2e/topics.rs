//! Topics: trained on a log, taken by a job, and what is said where they do not fit.

use std::path::Path;

use crate::harness::{ok, ok_json, once, replay, run, same};
use crate::world::world;

fn configure(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("written");
}

#[test]
fn trained_topics_make_the_long_term_vector_whatever_the_workers() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 31, 1_500);
    let train = ["train", "topics", "log", "--topics", "6", "--out", "topics.json"];
    let table = ok(dir, &train);
    assert_eq!(table.lines().count(), 7, "a head and six topics:\n{table}");
    let told = ok_json(dir, &[&train[..], &["--json"]].concat());
    let topics = told["topics"].as_array().expect("topics");
    let videos: u64 = topics.iter().filter_map(|topic| topic["videos"].as_u64()).sum();
    assert!(videos > 100, "most videos have a topic: {told}");
    for topic in topics {
        let (facet, name) = (&topic["facets"][0], &topic["space"]);
        assert!(facet["percent"].as_u64() > Some(20), "a topic's videos have something in common: {topic}");
        assert!(name.as_str().is_some_and(|name| table.contains(name)), "{topic}");
    }
    let first = std::fs::read(dir.join("topics.json")).expect("the file");
    ok(dir, &train);
    assert!(first == std::fs::read(dir.join("topics.json")).expect("the file"), "trained again, the same");

    configure(dir, "trained.toml", "[interest]\ntopics = \"topics.json\"\n");
    let with = |store: &'static str, workers: &'static str| {
        ok(dir, &[&once("log", store, workers)[..], &["--config", "trained.toml"]].concat());
        crate::harness::dump(dir, store)
    };
    let one = with("one", "1");
    same(&one, &with("two", "2"), "two workers");
    assert_ne!(one, replay(dir, "log", "plain", "1"), "categories stand in where no topics are trained");
}

#[test]
fn topics_that_do_not_fit_are_refused_with_the_key_and_the_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 32, 100);
    let refused = |config: &str, words: &[&str]| {
        configure(dir, "c.toml", config);
        let (code, out, err) = run(dir, &["check", "--config", "c.toml"]);
        assert_eq!(code, Some(2), "{out}{err}");
        for word in ["c.toml:2", "interest.topics", "freshet train topics"].iter().chain(words) {
            assert!(err.contains(word), "{word} is missing: {err}");
        }
    };
    refused("[interest]\ntopics = \"none.json\"\n", &["none.json", "cannot be read"]);
    configure(dir, "bad.json", "{\"format\": 1}");
    refused("[interest]\ntopics = \"bad.json\"\n", &["missing field"]);
    ok(dir, &["train", "topics", "log", "--topics", "3", "--out", "topics.json"]);
    refused("[interest]\ntopics = \"topics.json\"\n[graph]\nseed = 5\n", &["graph.seed = 5"]);
    // The file that a configuration names may be the one to make.
    configure(dir, "c.toml", "[interest]\ntopics = \"new.json\"\n[graph]\nseed = 5\n");
    ok(dir, &["train", "topics", "log", "--topics", "3", "--out", "new.json", "--config", "c.toml"]);
    ok(dir, &["check", "--config", "c.toml"]);
    let (code, _, err) = run(dir, &["train", "topics", "log", "--out", "no/such/folder/t.json"]);
    assert!(code == Some(1) && err.contains("no/such/folder") && err.contains("--out"), "{err}");
}
