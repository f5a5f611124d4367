//! `freshet run`. The tests below `whole` need the dataflow.

use crate::support::{run_in, world};

#[test]
fn a_mistyped_input_is_named_and_nothing_is_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, out, err) = run_in(dir.path(), &["run", "--input", "lgo", "--store", "store", "--once"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("input.dir = \"lgo\"") && err.contains("freshet generate"), "{err}");
    assert!(!dir.path().join("lgo").exists() && !dir.path().join("store").exists());
}

#[test]
fn beyond_loopback_a_token_is_required() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = run_in(dir.path(), &["run", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, 2);
    assert!(err.contains("--listen: server.listen = \"0.0.0.0:0\"") && err.contains("token_env"), "{err}");
}

#[test]
fn wrong_flags_are_told_like_wrong_keys() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = run_in(dir.path(), &["run", "--workers", "0", "--listen", "here"]);
    assert_eq!(code, 2);
    assert!(err.contains("--workers: graph.workers = 0: out of range"), "{err}");
    assert!(err.contains("--listen: server.listen = here") && err.contains("2 mistakes"), "{err}");
}

#[test]
fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    world(dir.path(), 50);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, _, err) =
        run_in(dir.path(), &["run", "--input", "log", "--store", "store", "--listen", &address]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(&address) && err.contains("--listen"), "{err}");
    assert!(!dir.path().join("store/control.sock").exists(), "the control socket is taken away");
}

/// With the whole pipeline behind the command.
mod whole {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use serde_json::Value;

    use crate::support::{Service, ok, run_in, world};

    const ONCE: [&str; 7] = ["run", "--input", "log", "--store", "store", "--once", "--quiet"];

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A user that has a list, from the dump.
    fn a_user(dir: &Path) -> String {
        let dump = ok(dir, &["dump", "--store", "store"]);
        let line = dump.lines().find(|line| line.starts_with("{\"key\":\"feed:")).expect("a list");
        json(line)["value"]["user_id"].as_str().expect("a decimal string").to_owned()
    }

    #[test]
    fn a_log_becomes_lists_that_can_be_read_and_explained() {
        let dir = tempfile::tempdir().expect("a folder");
        world(dir.path(), 2_000);
        ok(dir.path(), &ONCE);
        let user = a_user(dir.path());
        let list = json(&ok(dir.path(), &["feed", &user, "--store", "store", "--json"]));
        let video = list["items"][0]["video_id"].as_str().expect("an item").to_owned();
        let table = ok(dir.path(), &["feed", &user, "--store", "store", "--limit", "3"]);
        assert!(table.contains(&video) && table.lines().count() <= 5, "{table}");
        let why = json(&ok(dir.path(), &["why", &user, &video, "--store", "store", "--json"]));
        assert_eq!((why["listed"].as_bool(), why["rank"].as_u64()), (Some(true), Some(1)), "{why}");
        assert!(ok(dir.path(), &["why", &user, &video, "--store", "store"]).contains("brought by"));
        let unknown =
            json(&ok(dir.path(), &["why", &user, "18446744073709551615", "--store", "store", "--json"]));
        assert_eq!(unknown["stage"], "unknown_video");
        let stats = json(&ok(dir.path(), &["stats", "--store", "store", "--json"]));
        assert_eq!(stats["phase"], "stopped");
        assert!(stats["entries"]["feed"].as_u64() > Some(0), "{stats}");
        let trending = json(&ok(dir.path(), &["trending", "--store", "store", "--json"]));
        assert!(!trending["items"].as_array().expect("items").is_empty());
        let popular = trending["items"].as_array().expect("items").iter();
        let popular = popular.map(|item| item["video_id"].as_str().expect("a number").to_owned());
        let mut related = popular
            .map(|video| json(&ok(dir.path(), &["related", &video, "--store", "store", "--json"])))
            .skip_while(|record| record["items"].as_array().expect("items").is_empty());
        let related = related.next().expect("something is related to what is trending");
        let video = related["video_id"].as_str().expect("a number");
        let table = ok(dir.path(), &["related", video, "--store", "store"]);
        assert!(table.contains("co_engaged") || table.contains("similar"), "{table}");
    }

    #[test]
    fn the_number_of_workers_changes_no_byte() {
        let dumps: Vec<String> = ["1", "2", "4"]
            .iter()
            .map(|workers| {
                let dir = tempfile::tempdir().expect("a folder");
                world(dir.path(), 1_000);
                ok(dir.path(), &[&ONCE[..], &["--workers", workers]].concat());
                ok(dir.path(), &["dump", "--store", "store"])
            })
            .collect();
        assert!(!dumps[0].is_empty());
        assert!(dumps[0] == dumps[1] && dumps[0] == dumps[2], "the dumps differ");
    }

    #[test]
    fn running_again_over_a_drained_log_changes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        world(dir.path(), 500);
        ok(dir.path(), &ONCE);
        let first = ok(dir.path(), &["dump", "--store", "store"]);
        ok(dir.path(), &ONCE);
        assert!(!first.is_empty() && first == ok(dir.path(), &["dump", "--store", "store"]));
    }

    #[test]
    fn a_service_closes_the_loop_and_ends_cleanly() {
        let dir = tempfile::tempdir().expect("a folder");
        world(dir.path(), 500);
        let service = Service::start(dir.path(), &["--quiet"]);
        assert_eq!(service.get("/healthz").0, 200);
        assert_eq!(service.get("/readyz").0, 200);

        // The commands go through the control socket while the service holds the store.
        let stats = json(&ok(dir.path(), &["stats", "--store", "store", "--json"]));
        assert_eq!(stats["phase"], "live");
        assert!(stats["service"].as_str().is_some_and(|path| path.ends_with(".sock")), "{stats}");
        let user = a_user(dir.path());
        let before = json(&ok(dir.path(), &["feed", &user, "--store", "store", "--json"]));
        let (code, _, err) = run_in(dir.path(), &ONCE);
        assert_eq!(code, 1, "a second process must not take the store");
        assert!(err.contains("store") && err.contains("stop"), "{err}");

        // A click changes the list.
        let video = before["items"][0]["video_id"].as_str().expect("an item");
        let click =
            format!("{{\"user_id\":\"{user}\",\"video_id\":\"{video}\",\"watch_ms\":60000,\"like\":true}}");
        let (status, body) = service.post("/v1/events", &click);
        assert_eq!(status, 202, "{body}");
        let since = Instant::now();
        let after = loop {
            let list = json(&ok(dir.path(), &["feed", &user, "--store", "store", "--json"]));
            if list["epoch"].as_u64() > before["epoch"].as_u64() {
                break list;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "the click changed nothing within a minute");
            std::thread::sleep(Duration::from_millis(20));
        };
        let ids = |list: &Value| -> Vec<String> {
            let items = list["items"].as_array().expect("items");
            items.iter().map(|item| item["video_id"].as_str().expect("an id").to_owned()).collect()
        };
        assert!(!ids(&after).contains(&video.to_owned()), "what was watched does not come back");

        let status = service.stop("INT");
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(!dir.path().join("store/control.sock").exists());

        // The click is in the log: a new start still knows it.
        let service = Service::start(dir.path(), &["--quiet"]);
        let again = json(&ok(dir.path(), &["feed", &user, "--store", "store", "--json"]));
        assert!(!ids(&again).contains(&video.to_owned()));
        assert_eq!(service.stop("TERM").code(), Some(0));
    }
}
