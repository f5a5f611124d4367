//! `freshet eval` on worlds of known making: the figures are plausible, complete, and the same however they are computed.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{freshet, ok, ok_json, run};
use crate::world::{add_records, world};

/// The figures of `eval retrieval` without what a run took.
fn figures(dir: &Path, more: &[&str]) -> Json {
    measured(dir, "retrieval", more)
}

fn measured(dir: &Path, what: &str, more: &[&str]) -> Json {
    let mut report = ok_json(dir, &[&["eval", what, "log", "--json", "--quiet"], more].concat());
    let cost = report.as_object_mut().expect("an object").remove("cost").expect("the cost");
    assert!(cost["seconds"].as_f64().is_some_and(|s| s > 0.0), "{cost}");
    assert!(cost["peak_rss_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{cost}");
    report
}

#[test]
fn the_figures_are_complete_and_the_same_for_any_number_of_workers() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 21, 3_000);
    let report = figures(dir, &["--every", "5", "--plot", "plot.svg"]);
    let int = |json: &Json| json.as_u64().unwrap_or_else(|| panic!("{json} is no count"));
    let learned = int(&report["learned"]);
    let (scored, repeats) = (int(&report["scored"]), int(&report["repeats"]));
    assert!(learned >= 3_000, "duplicates and revisions come on top: {report}");
    let warmup = int(&report["protocol"]["warmup_interactions"]);
    assert_eq!(warmup, learned.div_ceil(10));
    assert_eq!(scored + repeats, (warmup..learned).filter(|n| n % 5 == 0).count() as u64);
    assert!(scored > 200 && int(&report["never_seen"]["count"]) < scored / 2, "{report}");
    assert_eq!(report["interrupted"], false);

    for slice in ["all", "fresh", "cold_item", "cold_user"] {
        let part = &report["accuracy"][slice];
        for mode in ["off", "on"] {
            let metric = |name: &str| part["re_ranking"][mode][name].clone();
            if int(&part["scored"]) == 0 {
                assert_eq!(metric("hr_10"), Json::Null);
                continue;
            }
            for name in ["hr_10", "hr_20", "ndcg_10", "ndcg_20", "mrr"] {
                let at =
                    |end: &str| metric(name)[end].as_f64().unwrap_or_else(|| panic!("{slice} {mode} {name}"));
                let (low, value, high) = (at("low"), at("value"), at("high"));
                assert!(0.0 <= low && low <= value && value <= high && high <= 1.0, "{slice} {mode} {name}");
            }
            let value = |name: &str| metric(name)["value"].as_f64().expect("a number");
            assert!(value("hr_10") <= value("hr_20") && value("ndcg_10") <= value("hr_10"));
            // A hit is a candidate.
            let recall = report["candidates"]["recall"].as_f64().expect("a share");
            assert!(slice != "all" || value("hr_20") <= recall, "{report}");
        }
    }
    assert_eq!(int(&report["accuracy"]["all"]["scored"]), scored);
    // 150 videos, of which a user has had some: ten at random would hold the target in far less than one of five.
    assert!(report["accuracy"]["all"]["re_ranking"]["off"]["hr_20"]["low"].as_f64() > Some(0.05), "{report}");
    for mode in ["off", "on"] {
        let lists = &report["lists"][mode];
        for share in ["coverage", "gini", "normalised_entropy", "ild_pairs_known"] {
            assert!(lists[share].as_f64().is_some_and(|x| (0.0..=1.0).contains(&x)), "{share}: {lists}");
        }
        assert!(lists["novelty_bits"].as_f64().is_some_and(|bits| bits > 1.0), "{lists}");
        assert!(lists["ild"].as_f64().is_some_and(|ild| ild > 0.0 && ild < 2.0), "{lists}");
    }
    let bins = report["over_time"]["bins"].as_array().expect("bins");
    assert_eq!(bins.iter().map(|bin| int(&bin["scored"])).sum::<u64>(), scored);
    let plot = std::fs::read_to_string(dir.join("plot.svg")).expect("a plot");
    assert!(plot.starts_with("<svg ") && plot.matches("<circle").count() == 2 * bins.len());

    assert_eq!(figures(dir, &["--every", "5"]), report, "a second time");
    assert_eq!(figures(dir, &["--every", "5", "--workers", "2"]), report, "two workers");
    assert_ne!(figures(dir, &["--every", "5", "--seed", "2"]), report, "another seed");
    assert!(!dir.join("data").exists(), "nothing is stored");

    let text = ok(dir, &["eval", "retrieval", "log", "--every", "5", "--quiet"]);
    for words in ["HR@10", "cold user", "coverage", "ILD", "never seen", "CPU-s"] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    assert_eq!(int(&figures(dir, &["--every", "5", "--limit", "500"])["learned"]), 500);
}

const START: u64 = 1_700_000_000_000;

fn view(n: u64, user: u64, video: u64, time: u64) -> Json {
    json!({ "event_id": n, "event_time": time, "user_id": user, "video_id": video })
}

fn upload(video: u64, time: u64) -> Json {
    json!({ "event_id": video, "event_time": time, "video_id": video, "creator_id": video, "created_at": time,
            "status": "ready" })
}

#[test]
fn what_is_scored_is_never_known_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    // Ten videos; users 1 to 30 each watch 1 and then 2, a second apart, and every video is uploaded at its first view.
    let mut views = Vec::new();
    for user in 1..=30 {
        views.push(view(1, user, 1, START + 10_000 * user));
        views.push(view(2, user, 2, START + 10_000 * user + 1_000));
    }
    // A repeat, and one that nobody has seen.
    views.push(view(3, 30, 1, START + 400_000));
    views.push(view(4, 30, 3, START + 410_000));
    let uploads = [upload(1, START + 10_000), upload(2, START + 11_000), upload(3, START + 410_000)];
    add_records(dir, "log", "interactions", "part-0.jsonl", &views);
    add_records(dir, "log", "uploads", "part-0.jsonl", &uploads);
    let report = figures(dir, &["--every", "1", "--warmup", "0"]);
    assert_eq!(
        (&report["learned"], &report["scored"], &report["repeats"]),
        (&json!(62), &json!(61), &json!(1))
    );
    // The first views of 1, 2 and 3: their uploads come in the same moment and reveal nothing.
    assert_eq!(report["never_seen"]["count"], 3);
    // Everybody else finds what they watch next among two videos, less the one they had.
    let all = &report["accuracy"]["all"];
    // Reading a decimal number back may lose its last bit.
    let is = |json: &Json, share: f64| json.as_f64().is_some_and(|value| (value - share).abs() < 1e-12);
    assert!(is(&all["re_ranking"]["off"]["hr_10"]["value"], 58.0 / 61.0), "{all}");
    assert!(is(&all["re_ranking"]["on"]["hr_10"]["value"], 58.0 / 61.0), "{all}");
    assert!(is(&report["candidates"]["recall"], 58.0 / 61.0), "{report}");
    // Of the 58, half come second to one other or tie with it, half are alone.
    assert!(all["re_ranking"]["off"]["mrr"]["value"].as_f64() > Some(29.0 / 61.0));
    assert_eq!(report["accuracy"]["cold_user"]["scored"], 30);
    // Fewer than ten interactions: the first ten views of 1 and of 2, and the first of 3.
    assert_eq!(report["accuracy"]["cold_item"]["scored"], 21);
    assert_eq!(report["accuracy"]["fresh"]["scored"], 58);
    assert_eq!(report["lists"]["off"]["ild"], Json::Null, "nothing is said of the videos");
}

#[test]
fn the_last_is_held_out_and_the_one_before_does_not_compete() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let views: Vec<Json> = (1..=20u64)
        .flat_map(|user| (1..=5).map(move |n| view(n, user, n, START + 100_000 * n + user)))
        .chain([view(1, 21, 1, START + 1), view(2, 21, 2, START + 2)])
        .collect();
    let uploads: Vec<Json> = (1..=5).map(|video| upload(video, START)).collect();
    add_records(dir, "log", "interactions", "part-0.jsonl", &views);
    add_records(dir, "log", "uploads", "part-0.jsonl", &uploads);
    // Of the last four, two are learned: 2 and 3. The first is not, so that 1 competes; user 21 has nothing to hold out.
    let test = measured(dir, "holdout", &["--events", "4"]);
    assert_eq!((&test["learned"], &test["scored"], &test["repeats"]), (&json!(42), &json!(20), &json!(0)));
    assert_eq!((&test["protocol"]["held_out"], &test["protocol"]["events"]), (&json!("test"), &json!(4)));
    let off = |report: &Json, metric: &str| {
        report["accuracy"]["all"]["re_ranking"]["off"][metric]["value"].as_f64().expect("a number")
    };
    // 5 is ranked against 1 alone, as 4 is the validation's: first or second, or both in the middle.
    assert_eq!(test["candidates"]["mean"], 2.0);
    assert!(off(&test, "hr_10") == 1.0 && off(&test, "mrr") >= 0.5, "{test}");
    let validation = measured(dir, "holdout", &["--events", "4", "--validation"]);
    assert_eq!((&validation["candidates"]["mean"], &validation["scored"]), (&json!(3.0), &json!(20)));
    assert_eq!(validation["protocol"]["held_out"], "validation");
    assert_eq!(measured(dir, "holdout", &["--events", "4", "--workers", "2"]), test, "two workers");
    let (code, _, err) = run(dir, &["eval", "holdout", "log", "--limit", "2", "--quiet"]);
    assert!(code == Some(1) && err.contains("--events") && err.contains("longer log"), "{err}");
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    add_records(dir, "log", "interactions", "part-0.jsonl", &[view(1, 1, 1, START)]);
    add_records(dir, "empty", "uploads", "part-0.jsonl", &[upload(1, START)]);
    let fails = |args: &[&str], code: i32, said: &[&str]| {
        let (ended, out, err) = run(dir, &[&["eval", "retrieval"], args].concat());
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{args:?}: {err}");
        for words in said {
            assert!(err.contains(words), "{args:?} does not say {words}: {err}");
        }
    };
    fails(&["nowhere"], 1, &["nowhere", "no such folder", "freshet import"]);
    fails(&["empty"], 1, &["empty", "no usable interaction"]);
    fails(&["log"], 1, &["nothing was scored", "--every"]);
    fails(&["log", "--plot", "no/where.svg"], 1, &["--plot", "no/where.svg", "folder that exists"]);
    fails(&["log", "--every", "0"], 2, &["--every", "0"]);
    fails(&["log", "--warmup", "1.5"], 2, &["--warmup", "share from 0"]);
    fails(&["log", "--workers", "none"], 2, &["graph.workers", "--workers"]);
}

#[test]
fn an_interrupted_measurement_says_how_far_it_came() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 22, 60_000);
    let mut command = freshet(dir, &["eval", "retrieval", "log", "--every", "1", "--warmup", "0", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    // Scoring each event takes minutes; the first word of it comes after some seconds.
    let mut said = BufReader::new(child.stderr.take().expect("piped"));
    let mut err = String::new();
    while !err.contains("replaying: ") {
        assert!(said.read_line(&mut err).expect("UTF-8") > 0, "it ended early: {err}");
    }
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
    assert!(sent.success());
    said.read_to_string(&mut err).expect("UTF-8");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("interrupted") && err.contains(" events ("), "{err}");
    let report: Json = serde_json::from_slice(&output.stdout).expect("JSON all the same");
    assert_eq!(report["interrupted"], true);
    let learned = report["learned"].as_u64().expect("a count");
    assert!(learned > 0 && learned < 60_000, "{learned}");
    assert!(report["scored"].as_u64().is_some_and(|scored| scored > 0 && scored <= learned));
}

/// Users who finish what is good, and a test file of pairs.
fn tastes(dir: &Path) {
    let views: Vec<Json> = (0..400u64)
        .map(|n| {
            let (user, video) = (1 + n % 20, 1 + (n * 7 + n / 20) % 10);
            // The even videos are watched to the end and sometimes liked, the odd ones are left.
            let watch = if video % 2 == 0 { 10_000 } else { 1_000 + 100 * user };
            json!({ "event_id": n + 1, "event_time": START + 1_000 * n, "user_id": user, "video_id": video,
                    "watch_ms": watch, "duration_ms": 10_000, "like": video % 2 == 0 && n % 3 == 0 })
        })
        .collect();
    let uploads: Vec<Json> = (1..=12).map(|video| upload(video, START)).collect();
    add_records(dir, "log", "interactions", "part-0.jsonl", &views);
    add_records(dir, "log", "uploads", "part-0.jsonl", &uploads);
}

#[test]
fn predictions_are_measured_beside_counting() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    tastes(dir);
    let report = measured(dir, "impressions", &["--plot", "auc.svg"]);
    assert_eq!(
        (&report["learned"], &report["scored"], &report["users"]),
        (&json!(400), &json!(360), &json!(20))
    );
    assert_eq!(
        report["epochs"].as_u64().map(|epochs| epochs >= 360),
        Some(true),
        "one before each: {report}"
    );
    let all = &report["slices"]["all"];
    // Who counts knows an even video from an odd one after its first few views.
    let counted = |report: &Json, label: &str| {
        report["slices"]["all"][label]["item_rate"]["auc"]["value"].as_f64().expect("a number")
    };
    assert!(counted(&report, "complete") > 0.99 && counted(&report, "long_view") > 0.99, "{all}");
    assert!(all["watch_time"]["item_rate"]["xauc"].as_f64() > Some(0.75), "{all}");
    for label in ["long_view", "complete", "like"] {
        assert_eq!(all[label]["scored"], 360);
        for model in ["freshet", "item_rate"] {
            let figures = &all[label][model];
            for measure in ["auc", "gauc", "ndcg_5"] {
                let at = |end: &str| {
                    figures[measure][end]
                        .as_f64()
                        .unwrap_or_else(|| panic!("{label} {model} {measure}: {figures}"))
                };
                let (low, value, high) = (at("low"), at("value"), at("high"));
                assert!(
                    0.0 <= low && low <= value && value <= high && high <= 1.0,
                    "{label} {model} {measure}"
                );
            }
            for measure in ["log_loss", "normalised_entropy"] {
                assert!(
                    figures[measure]["value"].as_f64().is_some_and(|x| x >= 0.0),
                    "{label} {model}: {figures}"
                );
            }
            let bins = figures["calibration"]["bins"].as_array().expect("bins");
            assert_eq!(bins.iter().map(|bin| bin["cases"].as_u64().expect("a count")).sum::<u64>(), 360);
        }
        assert!(all[label]["difference"]["gauc"]["value"].is_number(), "{all}");
    }
    assert!(all["watch_time"]["freshet"]["mae_seconds"]["value"].as_f64().is_some_and(|s| s < 60.0), "{all}");
    // The tenth view of a video comes at its place 90 to 99: of those scored, 60 to 69 are cold.
    assert!(
        report["slices"]["cold_item"]["scored"].as_u64().is_some_and(|n| (50..80).contains(&n)),
        "{report}"
    );
    let plot = std::fs::read_to_string(dir.join("auc.svg")).expect("a plot");
    assert!(plot.starts_with("<svg ") && plot.contains("complete, item rate"), "{plot}");

    assert_eq!(measured(dir, "impressions", &["--workers", "2"]), report, "two workers");
    let late = measured(dir, "impressions", &["--label-delay", "1m", "--refresh", "1m"]);
    assert_eq!(late["protocol"]["label_delay_ms"], 60_000);
    assert!(late["epochs"].as_u64() < Some(40), "a copy serves a minute: {late}");
    assert!(counted(&late, "complete") < counted(&report, "complete"), "who knows later knows less");
    let text = ok(dir, &["eval", "impressions", "log", "--quiet"]);
    for words in
        ["GAUC", "nDCG@5", "LogLoss", "XAUC", "item rate", "tenth 10", "cold item", "events a CPU-second"]
    {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    assert_eq!(measured(dir, "impressions", &["--limit", "100"])["learned"], 100);
}

#[test]
fn labelled_pairs_are_predicted_after_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    tastes(dir);
    // Each of ten users is shown four videos at random; the even ones are liked. One user and one video are new.
    let mut pairs = "item,user,label,propensity\n".to_owned();
    for user in 1..=10 {
        for video in [1, 2, 5, 6] {
            pairs.push_str(&format!("{video},{user},{},0.25\n", u8::from(video % 2 == 0)));
        }
    }
    pairs.push_str("77,99,0,0.25\n2,99,1,0.25\n");
    std::fs::write(dir.join("random.csv"), pairs).expect("room");
    let measure = |more: &[&str]| {
        let args = [&["eval", "pairs", "--train", "log", "--test", "random.csv", "--json", "--quiet"], more]
            .concat();
        let mut report = ok_json(dir, &args);
        report.as_object_mut().expect("an object").remove("cost").expect("the cost");
        report
    };
    let report = measure(&[]);
    assert_eq!(
        (&report["learned"], &report["pairs"], &report["users"]),
        (&json!(400), &json!(42), &json!(11))
    );
    assert_eq!((&report["new_users"]["pairs"], &report["new_videos"]["pairs"]), (&json!(2), &json!(1)));
    assert_eq!(report["scores"].as_object().map(|scores| scores.len()), Some(9));
    let counted = &report["scores"]["complete"]["item_rate"];
    assert_eq!(
        (&counted["gauc"]["value"], &counted["top_choice"]["value"]),
        (&json!(1.0), &json!(1.0)),
        "{report}"
    );
    assert_eq!(
        (&counted["off_policy"]["snips"], &counted["off_policy"]["ips"]),
        (&json!(1.0), &json!(44.0 / 42.0))
    );
    assert_eq!(counted["off_policy"]["enough_for_a_claim"], false);
    for (name, score) in report["scores"].as_object().expect("scores") {
        assert!(score["freshet"]["auc"]["value"].is_number(), "{name}: {score}");
    }
    assert_eq!(measure(&["--workers", "2"]), report, "two workers");
    let text = ok(dir, &["eval", "pairs", "--train", "log", "--test", "random.csv", "--quiet"]);
    for words in ["top choice", "SNIPS", "effective sample", "too few for a claim", "long_view"] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
}

#[test]
fn lists_are_held_against_the_truth_of_a_world() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let measure = |more: &[&str]| {
        let size = ["--users", "60", "--videos", "300", "--events", "2000", "--days", "2", "--every", "1"];
        let mut report = ok_json(dir, &[&["eval", "world", "--json", "--quiet"], &size[..], more].concat());
        report.as_object_mut().expect("an object").remove("cost").expect("the cost");
        report
    };
    let report = measure(&["--plot", "regret.svg"]);
    let groups = report["groups"].as_array().expect("groups");
    let names: Vec<&str> =
        groups.iter().map(|group| group["interactions_so_far"].as_str().expect("a name")).collect();
    assert_eq!(names, ["0", "1-2", "3-5", "6-10", "11-20", "21-50", ">50", "all"]);
    let lists = |group: &Json| group["lists"].as_u64().expect("a count");
    assert_eq!(groups[..7].iter().map(lists).sum::<u64>(), lists(&groups[7]));
    assert_eq!(
        (lists(&groups[7]), &report["users"]),
        (report["lists"].as_u64().expect("a count"), &groups[0]["users"])
    );
    for group in groups.iter().filter(|group| lists(group) > 0) {
        let value = |kind: &str, figure: &str| {
            let estimate = &group["kinds"][kind][figure];
            let at = |end: &str| estimate[end].as_f64().unwrap_or_else(|| panic!("{kind} {figure}: {group}"));
            assert!(
                0.0 <= at("low")
                    && at("low") <= at("value")
                    && at("value") <= at("high")
                    && at("high") <= 1.0
            );
            at("value")
        };
        for figure in ["regret_10", "regret_20"] {
            assert_eq!(value("best", figure), 0.0);
            assert!(value("off", figure) > 0.0 && value("random", figure) > 0.2, "{group}");
            // A list is not the best, and with a few interactions it is better than any.
            let so_far = group["interactions_so_far"].as_str();
            assert!(so_far == Some("0") || value("off", figure) < value("random", figure), "{group}");
        }
        for kind in ["off", "on", "random", "best"] {
            assert!(
                value(kind, "top_categories") <= value("best", "top_categories") + 1e-9,
                "{kind}: {group}"
            );
        }
    }
    let plot = std::fs::read_to_string(dir.join("regret.svg")).expect("a plot");
    assert!(plot.starts_with("<svg ") && plot.contains("interactions of the user so far"), "{plot}");
    assert_eq!(measure(&["--workers", "2"]), report, "two workers");
    assert_ne!(measure(&["--seed", "2"]), report, "another world");
    assert_eq!(measure(&["--limit", "500"])["learned"], 500);
    let text = ok(dir, &["eval", "world", "--users", "20", "--videos", "100", "--events", "300", "--quiet"]);
    for words in ["interactions so far", "regret@10", "top categories", "(random)", "(best)"] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    assert_eq!(std::fs::read_dir(dir).expect("a folder").count(), 1, "only the plot is written");
}

#[test]
fn within_their_first_interactions_the_lists_of_new_users_turn_to_their_tastes() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let top_categories = |more: &[&str]| -> Vec<f64> {
        let size = ["--users", "150", "--videos", "400", "--events", "3500", "--every", "1", "--seed", "3"];
        let report = ok_json(dir, &[&["eval", "world", "--json", "--quiet"], &size[..], more].concat());
        let groups = report["groups"].as_array().expect("groups");
        let share = |group: &Json| group["kinds"]["on"]["top_categories"]["value"].as_f64().expect("a share");
        groups.iter().take(3).map(share).collect()
    };
    // Shares of the first 20 places in the user's true favourites: before any interaction, after 1-2, after 3-5.
    let turned = top_categories(&[]);
    assert!(turned[0] + 0.02 < turned[1] && turned[1] < turned[2], "{turned:?}");
    std::fs::write(dir.join("slow.toml"), "[rerank]\ntaste_boost = 1.0\n").expect("written");
    let slow = top_categories(&["--config", "slow.toml"]);
    assert!(turned[2] > slow[2] + 0.005, "{turned:?}, and without the boost {slow:?}");
}

#[test]
fn mistakes_of_predictions_and_worlds_are_named_with_their_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    add_records(dir, "log", "interactions", "part-0.jsonl", &[view(1, 1, 1, START)]);
    std::fs::write(dir.join("pairs.csv"), "user,item,label\n1,1,1\n").expect("room");
    std::fs::write(dir.join("broken.csv"), "user,item,label\n1,1,1\n1,2,perhaps\n").expect("room");
    let fails = |args: &[&str], code: i32, said: &[&str]| {
        let (ended, out, err) = run(dir, &[&["eval"], args].concat());
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{args:?}: {err}");
        for words in said {
            assert!(err.contains(words), "{args:?} does not say {words}: {err}");
        }
    };
    fails(&["impressions", "nowhere"], 1, &["nowhere", "no such folder"]);
    fails(&["impressions", "log"], 1, &["nothing was scored", "--warmup"]);
    fails(&["impressions", "log", "--label-delay", "soon"], 2, &["--label-delay", "soon", "10m"]);
    fails(&["impressions", "log", "--plot", "no/where.svg"], 1, &["--plot", "folder that exists"]);
    let pairs = |file: &'static str| ["pairs", "--train", "log", "--test", file];
    fails(&pairs("none.csv"), 1, &["none.csv", "cannot be read"]);
    fails(&pairs("broken.csv"), 1, &["broken.csv", "row 2", "column label", "perhaps"]);
    fails(
        &[&pairs("pairs.csv")[..], &["--label", "is_click"]].concat(),
        1,
        &["is_click", "user, item, label", "--label"],
    );
    fails(&["world", "--users", "0"], 1, &["users is 0", "from 1"]);
    fails(&["world", "--every", "0"], 2, &["--every"]);
    fails(
        &["world", "--users", "3", "--videos", "5", "--events", "0", "--quiet"],
        1,
        &["nothing was asked", "--events"],
    );
}

/// Each figure of a summary is the mean of the runs that have it, and so is its difference to the first arm's.
fn are_means_of(runs: &[Json], summary: &Json) {
    let value = |run: &Json, arm: &str, figure: &str| -> Option<f64> {
        let arm = run["arms"].as_array()?.iter().find(|of| of["arm"] == arm)?;
        arm.pointer(&format!("/{}", figure.replace('.', "/")))?.as_f64()
    };
    let mean = |values: Vec<Option<f64>>| {
        let defined: Vec<f64> = values.into_iter().flatten().collect();
        (!defined.is_empty()).then(|| (defined.iter().sum::<f64>() / defined.len() as f64, defined.len()))
    };
    let is = |said: &Json, expected: Option<(f64, usize)>, what: &str| {
        let Some((expected, of)) = expected else { return };
        assert_eq!(said["runs"], of, "{what}: {said}");
        let at = |end: &str| said[end].as_f64();
        assert!(
            at("mean").is_some_and(|mean| (mean - expected).abs() < 1e-9),
            "{what}: {said}, not {expected}"
        );
        assert_eq!(at("low").is_some(), of > 1, "{what}: {said}");
        assert!(at("low") <= at("high") && (of == 1 || at("low") <= at("mean")), "{what}: {said}");
    };
    let first = summary["first"].as_str().expect("an arm");
    let mut looked_at = 0;
    for (arm, figures) in summary["arms"].as_object().expect("arms") {
        for (figure, said) in figures.as_object().expect("figures") {
            let of =
                |arm: &str| -> Vec<Option<f64>> { runs.iter().map(|run| value(run, arm, figure)).collect() };
            is(said, mean(of(arm)), figure);
            let pairs = of(arm).into_iter().zip(of(first));
            let less = mean(pairs.map(|(own, first)| Some(own? - first?)).collect());
            if arm != first {
                is(&said["less_first"], less, figure);
            }
            looked_at += usize::from(mean(of(arm)).is_some_and(|(_, of)| of == runs.len()));
        }
    }
    assert!(looked_at >= 4, "each arm has a mean value in all runs: {summary}");
}

#[test]
fn new_videos_are_followed_through_a_world_that_answers() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let size = ["--users", "40", "--videos", "150", "--events", "500", "--days", "4"];
    let cohorts = [&["eval", "cohorts", "--json", "--quiet"], &size[..]].concat();
    let without_cost = |mut report: Json| {
        report.as_object_mut().expect("an object").remove("workers").expect("their number");
        for arm in report["arms"].as_array_mut().expect("arms") {
            arm.as_object_mut().expect("an object").remove("cost").expect("the cost");
        }
        report
    };
    let measure =
        |workers: &str| without_cost(ok_json(dir, &[&cohorts[..], &["--workers", workers]].concat()));
    let report = measure("1");
    let both = ok_json(dir, &[&cohorts[..], &["--runs", "2", "--plot", "reach.svg"]].concat());
    let runs: Vec<Json> = both["runs"].as_array().expect("runs").iter().cloned().map(without_cost).collect();
    assert_eq!((runs.len(), &runs[0], &runs[1]["world"]["seed"]), (2, &report, &json!(2)));
    are_means_of(&runs, &both["summary"]);
    let plot = std::fs::read_to_string(dir.join("reach.svg")).expect("the plot");
    assert!(plot.starts_with("<svg") && plot.contains("seeds 1 to 2"), "{plot}");
    assert!(["none", "cohorts", "boosting", "followers"].iter().all(|arm| plot.contains(arm)), "{plot}");
    let [none, cohorts, boosting, followers] = &report["arms"].as_array().expect("arms")[..] else {
        panic!("four arms: {report}")
    };
    assert_eq!((&none["arm"], &none["lives"], &none["claimed"]), (&json!("none"), &json!(0), &json!(0)));
    for arm in [cohorts, boosting] {
        let figure = |name: &str| arm[name].as_u64().unwrap_or_else(|| panic!("{name}: {arm}"));
        assert!(figure("lives") > 5 && figure("invited") >= figure("exposed"), "{arm}");
        assert!(figure("exposed") > 0 && figure("claimed") > 0, "{arm}");
    }
    assert_eq!(boosting["verdicts"]["demoted"], 0, "it stops with its first stage: {boosting}");
    assert!(followers["promoted"].as_u64() > Some(0) && followers["lives"] == 0, "{followers}");
    for arm in [none, cohorts, boosting, followers] {
        assert_eq!(arm["impressions"], none["impressions"], "the same users come at the same times");
        let reach = arm["good"]["mean_reach"].as_f64().expect("a share");
        assert!((0.0..=1.0).contains(&reach), "{arm}");
        let by_hour = arm["good"]["mean_reach_by_hour"].as_array().expect("a share an hour");
        let by_hour: Vec<f64> = by_hour.iter().map(|share| share.as_f64().expect("a share")).collect();
        assert!(by_hour.is_sorted() && by_hour.last() == Some(&reach), "{arm}");
    }
    assert_eq!(measure("2"), report, "two workers");
    let (code, _, err) = run(dir, &["eval", "cohorts", "--videos", "1", "--events", "10", "--quiet"]);
    assert!(
        code == Some(1) && err.contains("no new video could be looked at") && err.contains("--videos"),
        "{err}"
    );
}

#[test]
fn exploration_is_held_against_an_oracle() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let size =
        ["--users", "60", "--videos", "300", "--events", "4000", "--days", "2", "--plot", "regret.svg"];
    let measure = |workers: &str| {
        let args = [&["eval", "exploration", "--json", "--quiet", "--workers", workers], &size[..]].concat();
        let mut report = ok_json(dir, &args);
        report.as_object_mut().expect("an object").remove("workers").expect("their number");
        for run in report["runs"].as_array_mut().expect("runs") {
            run.as_object_mut().expect("an object").remove("cost").expect("the cost");
        }
        report
    };
    let report = measure("1");
    let runs = report["runs"].as_array().expect("runs");
    let policies: Vec<&str> = runs.iter().filter_map(|run| run["policy"].as_str()).collect();
    assert_eq!(policies, ["off", "random", "epsilon-greedy", "linucb"]);
    for run in runs {
        for period in ["before", "first_day"] {
            let regret = run["regret"][period]["value"].as_f64().expect("somebody came");
            assert!((0.0..1.0).contains(&regret), "{run}");
        }
        let explored = run["explored"]["impressions"].as_u64().expect("a number");
        assert_eq!(explored == 0, run["policy"] == "off", "{run}");
    }
    assert_eq!(runs[0]["less_off"]["before"]["value"], 0.0);
    assert_eq!(measure("2"), report, "two workers");
    let plot = std::fs::read_to_string(dir.join("regret.svg")).expect("a plot");
    assert!(plot.matches("<polyline").count() == 4 && plot.contains(">linucb</text>"), "{plot}");
    let (code, _, err) = run(dir, &["eval", "exploration", "--days", "1", "--quiet"]);
    assert!(code == Some(1) && err.contains("take at least 2"), "{err}");
}

#[test]
fn experiments_are_held_against_the_truth_of_a_world() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let measure = |workers: &str| {
        let size = [
            "--users",
            "120",
            "--videos",
            "300",
            "--events",
            "3500",
            "--days",
            "2",
            "--runs",
            "1",
            "--copies",
            "6",
            "--min-users",
            "15",
            "--workers",
            workers,
        ];
        let mut report = ok_json(dir, &[&["eval", "experiments", "--json", "--quiet"], &size[..]].concat());
        report.as_object_mut().expect("an object").remove("workers").expect("their number");
        for run in report["runs"].as_array_mut().expect("runs") {
            run.as_object_mut().expect("an object").remove("cost").expect("the cost");
        }
        report
    };
    let report = measure("1");
    assert_eq!(report["same"]["experiments"], 6);
    let run = &report["runs"][0];
    assert!(run["looks"].as_u64() > Some(10) && run["smallest_arm"].as_u64() >= Some(15), "{run}");
    let metrics: Vec<&str> =
        run["planted"].as_array().expect("metrics").iter().filter_map(|m| m["metric"].as_str()).collect();
    assert_eq!(metrics.len(), 9, "{metrics:?}");
    let slots = &run["slots"];
    assert!(slots["decisions"].as_u64() > Some(50), "{slots}");
    assert_eq!(
        slots["claimed"],
        slots["effective"].as_f64() >= Some(1_000.0),
        "no claim below 1,000: {slots}"
    );
    // The graph's own view of all of that arm's draws that were served.
    let view = run["view"].as_array().expect("arms");
    for (arm, targets) in view.iter().zip([&[0, 1, 4][..], &[0, 1]]) {
        let of: Vec<&Json> = arm["off_policy"]
            .as_array()
            .expect("estimates")
            .iter()
            .filter(|of| of["policy"] == "novelty")
            .collect();
        let best: Vec<u64> = of.iter().filter_map(|of| of["best"].as_u64()).collect();
        assert_eq!(best, targets, "{arm}");
        for of in of {
            let (value, low) = (&of["doubly_robust"]["value"], &of["doubly_robust"]["low"]);
            assert!(value.as_f64() >= low.as_f64() && value.as_f64() < Some(1.0), "{of}");
            assert_eq!(of["claimed"], of["effective"].as_f64() >= Some(1_000.0), "{of}");
            assert!(of["places"].as_u64() > Some(50), "{of}");
        }
    }
    assert_eq!(measure("2"), report, "two workers");
    let (code, _, err) = self::run(
        dir,
        &[
            "eval",
            "experiments",
            "--users",
            "10",
            "--videos",
            "50",
            "--events",
            "100",
            "--runs",
            "1",
            "--quiet",
        ],
    );
    assert!(
        code == Some(1) && err.contains("no arm ever had 150 users") && err.contains("--min-users"),
        "{err}"
    );
}

#[test]
fn each_logged_bandit_is_found_in_the_others_log() {
    let shared = crate::harness::root().join("../shared/data/open_bandit_small");
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = run(dir.path(), &["eval", "bandit", "nowhere"]);
    assert!(code == Some(1) && err.contains("random_all_all.parquet"), "{err}");
    if !shared.is_dir() {
        eprintln!("SKIPPED: {} is not there", shared.display());
        return;
    }
    let report = ok_json(dir.path(), &["eval", "bandit", shared.to_str().expect("a path"), "--json"]);
    for direction in report["directions"].as_array().expect("two") {
        assert_eq!(direction["decisions"], 10_000, "{direction}");
        let earned = direction["earned"]["value"].as_f64().expect("a rate");
        assert!((0.002..0.01).contains(&earned), "{direction}");
        for (name, estimate) in direction["estimates"].as_object().expect("three") {
            assert_eq!(estimate["covers"], true, "{name}: {direction}");
        }
    }
}

#[test]
fn attacks_are_held_against_the_truth_of_a_world() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let size =
        ["--users", "100", "--videos", "200", "--events", "2000", "--days", "2", "--attack", "farming=6"];
    let report = ok_json(dir, &[&["eval", "attacks", "--json", "--quiet"], &size[..]].concat());
    let [undamped, damped, honest] = &report["arms"].as_array().expect("arms")[..] else {
        panic!("three arms: {report}")
    };
    for arm in [undamped, damped] {
        let farming = &arm["attacks"][0];
        assert_eq!(
            (&farming["attack"], &farming["accounts"], &farming["videos"]),
            (&json!("farming"), &json!(6), &json!(8))
        );
    }
    assert_eq!(undamped["users_flagged"], 0, "nobody is judged: {undamped}");
    assert_eq!(damped["attacks"][0]["accounts_flagged"], 6, "all of them are found: {damped}");
    assert_eq!(damped["users_flagged"], damped["attackers_among_them"], "and nobody else");
    assert!(damped["attacks"][0]["videos_flagged"].as_u64() > Some(0), "{damped}");
    assert_eq!((&honest["users_flagged"], &honest["attacks"]), (&json!(0), &json!([])), "{honest}");
    assert!(honest["looks"].as_u64() > Some(1_000) && honest["honest_users"].as_u64() > Some(50), "{honest}");
}
