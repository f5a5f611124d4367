//! The reading commands: through the control socket while a service holds the store, by themselves afterwards.

use serde_json::Value as Json;

use crate::harness::{dump, number, ok_json, records, run, same, videos};
use crate::live::ranked_users;
use crate::service::Service;
use crate::world::world;

/// What HTTP and the command line must agree on, of a list.
fn essence(list: &Json) -> (u64, String, Vec<(u64, String)>) {
    let items = list["items"].as_array().expect("items").iter();
    let items = items.map(|item| (number(&item["video_id"]), item["score"].to_string())).collect();
    (number(&list["epoch"]), list["algorithm"].to_string(), items)
}

#[test]
fn commands_and_http_agree_while_a_service_runs_and_after_it_ended() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 15, 1_200);
    let service = Service::start(dir);
    let stats = ok_json(dir, &["stats", "--json", "--store", "store", "--count"]);
    assert_eq!(stats["phase"], "live", "{stats}");
    // What reading costs, and what the job, is told apart by the names of threads.
    let threads = service.threads();
    for name in ["feed-server", "job", "sink", "event-log"] {
        assert_eq!(threads.iter().filter(|thread| *thread == name).count(), 1, "{name}: {threads:?}");
    }
    assert!(stats["service"].as_str().is_some_and(|path| path.ends_with(".sock")), "{stats}");
    let users = ranked_users(dir);
    let mut lists = Vec::new();
    for user in [users[0], users[3], 999_999_999_999] {
        let (name, http) = (user.to_string(), service.feed(user));
        let list = ok_json(dir, &["feed", &name, "--json", "--store", "store"]);
        assert_eq!(essence(&list), essence(&http), "user {user}");
        let video = videos(&list)[1];
        let (code, out, err) = run(dir, &["why", &name, &video.to_string(), "--json", "--store", "store"]);
        assert_eq!(code, Some(0), "{err}");
        let why: Json = serde_json::from_str(&out).expect("JSON");
        let asked = service.found(&format!("/v1/why/{user}/{video}"));
        assert_eq!(
            (&why["rank"], &why["of"], &why["epoch"]),
            (&asked["rank"], &asked["of"], &asked["epoch"])
        );
        // Digit by digit: both write the shortest form of a 32-bit number.
        let texts = |item: &Json| [&item["score"], &item["parts"]].map(Json::to_string);
        assert_eq!(texts(&why["item"]), texts(&asked));
        lists.push((name, list));
    }
    let held = dump(dir, "store");
    let by_kind =
        |kind: &str| held.lines().filter(|l| l.starts_with(&format!("{{\"key\":\"{kind}:"))).count();
    for (kind, count) in stats["entries"].as_object().expect("entries") {
        assert_eq!(number(count), by_kind(kind) as u64, "{kind}");
    }
    assert_eq!(records(&held).len(), held.lines().count(), "each key once");
    let (code, _, err) = run(dir, &["run", "--input", "log", "--store", "store", "--once", "--quiet"]);
    assert_eq!(code, Some(1), "two processes must not hold one store");
    assert!(err.contains("store"), "{err}");
    service.stop();

    same(&held, &dump(dir, "store"), "through the socket and from the store itself");
    let stats = ok_json(dir, &["stats", "--json", "--store", "store"]);
    assert_eq!((&stats["phase"], &stats["service"]), (&Json::from("stopped"), &Json::Null), "{stats}");
    for (name, list) in &lists {
        assert_eq!(ok_json(dir, &["feed", name, "--json", "--store", "store"]), *list);
    }
}
