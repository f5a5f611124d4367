//! An attacked world: who attacks is found, listed, explained and withheld, and the state is what a batch job makes of the log without
//! them; from a running service, from a checkpoint, and with another number of workers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::harness::{dump, number, ok, ok_json, same};
use crate::service::Service;
use crate::world::read;

fn numbers(of: &Json, key: &str) -> BTreeSet<u64> {
    of.as_array().expect("a list").iter().map(|one| number(&one[key])).collect()
}

/// The accounts that attack, and the videos that it is done for.
fn truth(dir: &Path) -> [BTreeSet<u64>; 2] {
    let text = fs::read_to_string(dir.join("log/truth/attacks.jsonl")).expect("the truth");
    let attacks: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(attacks.len(), 2, "{text}");
    ["users", "videos"].map(|key| {
        let ids = attacks.iter().flat_map(|attack| attack[key].as_array().expect("a list"));
        ids.map(|id| id.as_u64().expect("a number")).collect()
    })
}

#[test]
fn attackers_are_listed_and_withheld() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let said = ok(
        dir,
        &[
            "generate", "--users", "150", "--videos", "200", "--events", "5000", "--days", "8", "--seed",
            "3", "--out", "log", "--truth", "--attack", "bots=5", "--attack", "ring=12",
        ],
    );
    assert!(said.contains("attack bots: 5 accounts") && said.contains("attack ring: 12 accounts"), "{said}");
    let [attackers, promoted] = truth(dir);
    assert!(read(dir, "log", "interactions").len() > 6_000);
    fs::write(
        dir.join("guarded.toml"),
        "[abuse]\nenabled = true\nwindow = \"7d\"\n\n[feed]\nenabled = false\n",
    )
    .expect("written");
    let run = |store: &str, workers: &str| {
        let archive = format!("{store}-archive");
        ok(
            dir,
            &[
                "run",
                "--config",
                "guarded.toml",
                "--input",
                "log",
                "--store",
                store,
                "--archive",
                &archive,
                "--workers",
                workers,
                "--once",
            ],
        )
    };
    run("store", "1");
    let suspects =
        ok_json(dir, &["abuse", "--config", "guarded.toml", "--store", "store", "--offline", "--json"]);
    let flagged: Vec<&Json> = suspects["users"]
        .as_array()
        .expect("users")
        .iter()
        .filter(|user| user["flagged"] == json!(true))
        .collect();
    let flagged: BTreeSet<u64> = flagged.iter().map(|user| number(&user["user_id"])).collect();
    assert!(flagged.is_subset(&attackers), "nobody else: {flagged:?}");
    assert!(flagged.len() * 10 >= attackers.len() * 8, "of {attackers:?} only {flagged:?}");
    let videos = numbers(&suspects["videos"], "video_id");
    assert!(videos.is_subset(&promoted) && videos.len() >= 4, "{videos:?} of {promoted:?}");
    let text = ok(dir, &["abuse", "--config", "guarded.toml", "--store", "store", "--offline"]);
    let said = format!("{0} users are suspected, {0} of them flagged", flagged.len());
    assert!(text.contains(&said), "{text}");

    // The state is that of the log without them, and says so; so is that of two workers, to the byte.
    let report = ok_json(
        dir,
        &["verify", "--config", "guarded.toml", "--store", "store", "--archive", "store-archive", "--json"],
    );
    assert_eq!(report["holds"], json!(true), "{report}");
    run("two", "2");
    same(&dump(dir, "store"), &dump(dir, "two"), "two workers");

    let service =
        Service::launch(dir, &["--input", "log", "--config", "guarded.toml"], std::process::Stdio::inherit());
    let live = ok_json(dir, &["abuse", "--config", "guarded.toml", "--store", "store", "--json"]);
    assert_eq!(live["users"], suspects["users"], "a service that goes on from there knows the same");
    drop(service);
}
