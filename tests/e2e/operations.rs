//! What an operator is given names what there is: metrics in rules, dashboard, page and `freshet top`; headings; keys; commands.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::broker::Broker;
use crate::harness::{ok, root, wait_for};

use crate::redis_server::RedisServer;
use crate::service::Service;
use crate::world::world;

/// The words of a text that look like metrics of ours.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let ours = words.filter(|word| word.starts_with("freshet_") || word.starts_with("process_"));
    ours.map(|word| word.trim_end_matches("_count").trim_end_matches("_sum").to_owned()).collect()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn exported(service: &Service) -> (BTreeSet<String>, String) {
    let (status, text) = service.get("/metrics");
    assert_eq!(status, 200);
    let text = text.as_str().expect("text").to_owned();
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    (metrics(&samples.join("\n")), text)
}

#[test]
fn every_metric_that_is_named_is_exported() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 41, 900);
    let server = RedisServer::start();
    // What only exists where it is turned on is named, too.
    let all = "[cohorts]\nenabled = true\n[abuse]\nenabled = true\n[diversity]\nplaces = 20\n[checkpoint]\nevery = \"1s\"\n";
    Broker::shared().config_to(&server, dir, "metrics", all);
    ok(dir, &["produce", "log", "--config", "kafka.toml", "--create-topics", "1"]);
    let pipeline = Service::run(dir, &["run", "--config", "kafka.toml", "--quiet"]);
    pipeline.post(&json!({"user_id": 1_000_001, "video_id": 1_000_002, "watch_ms": 9_000, "like": true}));
    pipeline.get("/v1/feed/1000001");
    let named = ["ops/alerts.yml", "ops/grafana-dashboard.json", "docs/operations.md", "pipeline/src/top.rs"];
    wait_for("all metrics", || {
        let (there, _) = exported(&pipeline);
        let missing: Vec<String> = named
            .iter()
            .flat_map(|path| metrics(&file(path)).into_iter().map(move |name| format!("{path}: {name}")))
            .filter(|name| !there.contains(name.split(": ").nth(1).expect("a name")))
            .collect();
        if !missing.is_empty() {
            eprintln!("not exported so far: {missing:?}");
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        missing.is_empty().then_some(())
    });
    // Each has a line that says what it means.
    let (there, text) = exported(&pipeline);
    for name in metrics(&file("ops/grafana-dashboard.json")) {
        assert!(
            there.contains(&name) && text.contains(&format!("# HELP {name} ")),
            "{name} is not described"
        );
    }

    // The gauge of the phase follows the job with the next turn of its meters.
    wait_for("the live phase", || {
        exported(&pipeline).1.contains("freshet_phase{phase=\"live\"} 1").then_some(())
    });
    let address = pipeline.address().to_owned();
    let top = ok(dir, &["top", "--address", &address, "--once", "--every", "200ms"]);
    for part in ["live", "lists a second", "Redis", "answers", "videos", "requests a second"] {
        assert!(top.contains(part), "no {part:?} in\n{top}");
    }
    let reader = Service::run(dir, &["serve", "--config", "kafka.toml"]);
    let top = ok(dir, &["top", "--address", reader.address(), "--once", "--every", "200ms"]);
    assert!(top.contains("serving") && top.contains("memory"), "{top}");
    pipeline.stop();
}

#[test]
fn the_operator_s_files_fit_together() {
    let page = file("docs/operations.md");
    let anchors: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|title| title.to_lowercase().replace(',', "").replace(' ', "-"))
        .collect();
    assert!(anchors.len() >= 10, "the ten most likely troubles: {anchors:?}");
    let rules = file("ops/alerts.yml");
    let runbooks: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.split("docs/operations.md#").nth(1))
        .map(|rest| rest.trim_end_matches('"'))
        .collect();
    assert_eq!(runbooks.len(), rules.matches("- alert:").count(), "a runbook for each alert");
    for anchor in runbooks {
        assert!(anchors.contains(anchor), "docs/operations.md has no heading {anchor}: {anchors:?}");
    }
    let dashboard: Json = serde_json::from_str(&file("ops/grafana-dashboard.json")).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 12));

    // The configuration inside the compose file is right, and so are the units' commands.
    let dir = tempfile::tempdir().expect("a folder");
    let compose = file("ops/compose.yml");
    let inside = compose.split("content: |\n").nth(1).expect("a configuration");
    let config: String = inside
        .lines()
        .take_while(|line| line.starts_with("      "))
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    std::fs::write(
        dir.path().join("freshet.toml"),
        config.replace("token_env = \"FRESHET_TOKEN\"", "token = \"t\""),
    )
    .expect("written");
    ok(dir.path(), &["check", "--config", "freshet.toml"]);
    let commands = ok(dir.path(), &["--help"]);
    for unit in ["ops/freshet.service", "ops/freshet-serve.service"] {
        for line in file(unit).lines().filter(|line| line.starts_with("Exec")) {
            let command =
                line.split("/freshet ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a command");
            assert!(commands.contains(&format!("\n  {command} ")), "{unit}: {line}");
        }
    }
}

/// With the labels that the metrics have: a rule that joins series of different labels never fires.
#[test]
fn the_alert_rules_fire_when_they_should() {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let promtool = target.join("promtool/usr/bin/promtool");
    if !promtool.exists() {
        eprintln!("skipped: promtool is not there; `make test` fetches it");
        return;
    }
    let out = std::process::Command::new(promtool)
        .args(["test", "rules", "ops/alerts.test.yml"])
        .current_dir(root())
        .output()
        .expect("promtool runs");
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    for rule in file("ops/alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = format!("alertname: {rule}\n        exp_alerts:\n");
        assert!(
            file("ops/alerts.test.yml").contains(&fires),
            "ops/alerts.test.yml does not make {rule} fire"
        );
    }
}
