//! A job of several processes: the same bytes, and what happens when one of them is lost.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::crash::{epoch, eventful};
use crate::harness::{dump, freshet, number, ok, ok_json, replay, run, same, wait_for};
use crate::redis::{configure, dump_redis, ranked_users_of};
use crate::redis_server::{RedisServer, free_port};
use crate::service::{Guard, Service, gone};
use crate::world::world;

/// The children of a supervisor, by their number in the job.
pub fn children(of: u32) -> BTreeMap<usize, u32> {
    let mut children = BTreeMap::new();
    for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        let Ok(words) = std::fs::read(process.path().join("cmdline")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        let words: Vec<String> =
            words.split(|byte| *byte == 0).map(|w| String::from_utf8_lossy(w).into()).collect();
        let number =
            words.iter().position(|word| word == "--child").and_then(|at| words.get(at + 1)?.parse().ok());
        if let (Some(number), true) = (number, parent == Some(of)) {
            children.insert(number, pid);
        }
    }
    children
}

/// Kills a process by its number.
pub fn kill(pid: u32) {
    assert!(signal(pid, "KILL"), "process {pid} was gone");
}

/// Sends a signal to a process; whether it was still there.
pub fn signal(pid: u32, name: &str) -> bool {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    sent.expect("kill runs").success()
}

/// Adds lines to the configuration beside the log.
fn configure_more(dir: &Path, more: &str) {
    let text = std::fs::read_to_string(dir.join("redis.toml")).expect("written before");
    std::fs::write(dir.join("redis.toml"), text + more).expect("written");
}

const QUICK: &str = "[supervisor]\nbackoff = \"10ms\"\n[checkpoint]\nevery = \"1s\"\n";

#[test]
fn processes_leave_the_bytes_that_one_leaves() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 71);
    let expected = replay(dir, "log", "one", "1");
    let letters = |store: &str| std::fs::read(dir.join(store).join("dead-letters.jsonl")).expect("a file");
    for (store, processes, workers) in [("two", "2", "1"), ("four", "2", "2"), ("three", "3", "1")] {
        let args = ["run", "--input", "log", "--store", store, "--once", "--quiet"];
        ok(dir, &[&args[..], &["--processes", processes, "--workers", workers]].concat());
        same(&expected, &dump(dir, store), &format!("one process and {processes} of {workers} workers"));
        assert!(letters("one") == letters(store), "{store}");
        let made = ok_json(dir, &["checkpoint", "list", "--store", store, "--json"]);
        let total = number(&json!(processes)) * number(&json!(workers));
        assert_eq!(made[0]["workers"], total, "{made}");
        // One process goes on from what several kept, and the other way around.
        same(&expected, &replay(dir, "log", store, "1"), "one process over the checkpoint of several");
    }
    ok(dir, &["run", "--input", "log", "--store", "one", "--once", "--quiet", "--processes", "2"]);
    same(&expected, &dump(dir, "one"), "two processes over the checkpoint of one");
}

/// Each of three processes is killed once, and the supervisor begins the job again each time.
#[test]
fn a_lost_process_begins_the_job_again_and_no_byte_changes() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    eventful(dir, 72);
    let expected = replay(dir, "log", "whole", "1");
    let last = number(&ok_json(dir, &["stats", "--json", "--store", "whole"])["epoch"]);
    let server = RedisServer::start();
    configure(dir, &server);
    configure_more(dir, QUICK);
    let args = ["run", "--config", "redis.toml", "--once", "--quiet", "--processes", "3", "--workers", "1"];
    let mut command = freshet(dir, &args);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut supervisor = Guard(child);
    let mut said = supervisor.0.stderr.take().expect("piped");
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).expect("UTF-8");
        text
    });
    for (part, victim) in [(2, 1), (5, 0), (8, 2)] {
        wait_for("the epoch to kill at", || {
            assert!(supervisor.0.try_wait().expect("our child").is_none(), "it ended before {part}/10");
            epoch(dir, "store").filter(|epoch| *epoch >= last * part / 10)
        });
        let before = children(supervisor.0.id());
        assert_eq!(before.len(), 3, "{before:?}");
        kill(before[&victim]);
        wait_for("new processes", || {
            let now = children(supervisor.0.id());
            (now.len() == 3 && now.values().all(|pid| !before.values().any(|old| old == pid))).then_some(())
        });
    }
    assert_eq!(supervisor.wait().code(), Some(0));
    let said = reading.join().expect("read");
    same(&expected, &dump_redis(dir), "three processes, each killed once");
    for number in 1..=3 {
        assert!(said.contains(&format!("restarts={number} ")), "{said}");
    }
    for part in ["process 1 was ended by signal 9", "process 2 was ended by signal 9", "[1] ", "[2] "] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_row_of_losses_has_an_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 73, 900);
    let config =
        "[input]\ndir = \"log\"\n[store]\ndir = \"store\"\n[supervisor]\nrestarts = 1\nbackoff = \"10ms\"\n";
    std::fs::write(dir.join("one.toml"), config).expect("written");
    let args = ["run", "--config", "one.toml", "--listen", "127.0.0.1:0", "--quiet", "--processes", "1"];
    let mut command = freshet(dir, &args);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut supervisor = Guard(child);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let pid = wait_for("a process", || {
            children(supervisor.0.id()).get(&0).copied().filter(|pid| !seen.contains(pid))
        });
        wait_for("its control socket", || epoch(dir, "store"));
        kill(pid);
        seen.push(pid);
    }
    assert_eq!(supervisor.wait().code(), Some(1));
    let mut said = String::new();
    supervisor.0.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
    assert!(
        said.contains("error: process 0 was ended by signal 9, and 1 restarts in a row did not help"),
        "{said}"
    );
    assert!(said.contains("supervisor.restarts"), "{said}");

    // What fails before it ever ran is not tried again.
    std::fs::write(dir.join("bad.toml"), "[input]\ndir = \"log\"\n[store]\ndir = \"/dev/null/x\"\n")
        .expect("written");
    let (code, _, err) = run(dir, &["run", "--config", "bad.toml", "--once", "--quiet", "--processes", "2"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("store.dir") && err.contains("exit code 1") && !err.contains("restarts="), "{err}");
}

#[test]
fn a_service_of_two_processes_serves_is_begun_again_and_ends_well() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 74, 400);
    let server = RedisServer::start();
    configure(dir, &server);
    configure_more(dir, QUICK);
    // The same port after a restart.
    let place = format!("127.0.0.1:{}", free_port());
    let args = ["run", "--config", "redis.toml", "--quiet", "--processes", "2", "--listen", &place];
    let service = Service::run(dir, &args);
    let health = service.found("/healthz");
    assert_eq!(health, json!({"status": "ok", "restarts": 0, "processes": 2}));
    let user = ranked_users_of(&dump_redis(dir))[0];
    let event = |id: u64| json!({"event_id": id, "user_id": user, "video_id": 1_000_002, "watch_ms": 9_000, "like": true});
    service.post_and_see(&event(5_000_001), user);

    let before = children(service.id());
    kill(before[&1]);
    // The process of before answers until it notices, and then nobody does: only what is answered counts.
    wait_for("a restart", || {
        let (status, health) = service.try_get("/healthz")?;
        (status == 200 && health["restarts"] == 1).then_some(())?;
        service.try_get("/readyz").filter(|(status, _)| *status == 200)
    });
    let metrics = service.get("/metrics").1;
    let metrics = metrics.as_str().expect("text");
    assert!(
        metrics.contains("\nfreshet_restarts 1") && metrics.contains("\nfreshet_processes 2"),
        "{metrics}"
    );
    service.post_and_see(&event(5_000_002), user);
    let after = children(service.id());
    assert!(before.values().all(|pid| gone(*pid)) && after.len() == 2, "{before:?} {after:?}");
    service.stop();
    assert!(after.values().all(|pid| gone(*pid)), "{after:?}");
}

#[test]
fn no_process_outlives_its_supervisor() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 75, 100);
    let args = [
        "run",
        "--input",
        "log",
        "--store",
        "store",
        "--listen",
        "127.0.0.1:0",
        "--quiet",
        "--processes",
        "2",
    ];
    let service = Service::run(dir, &args);
    let before = children(service.id());
    assert_eq!(before.len(), 2);
    service.kill();
    wait_for("the end of its children", || before.values().all(|pid| gone(*pid)).then_some(()));
    // They ended well, with a checkpoint.
    let made = ok_json(dir, &["checkpoint", "list", "--store", "store", "--json"]);
    assert!(made.as_array().is_some_and(|made| !made.is_empty()), "{made}");
}

/// Three machines, which are three folders of this one.
struct Machines {
    dir: tempfile::TempDir,
}

impl Machines {
    fn new(seed: u64, more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for machine in ["m0", "m1", "m2"] {
            std::fs::create_dir(dir.path().join(machine)).expect("a folder");
            let config = format!(
                "[input]\ndir = \"log\"\n[store]\ndir = \"store\"\n[server]\nlisten = \"127.0.0.1:0\"\n{more}"
            );
            std::fs::write(dir.path().join(machine).join("c.toml"), config).expect("written");
        }
        let machines = Self { dir };
        let hosts: String = (0..3).map(|_| format!("127.0.0.1:{}\n", free_port())).collect();
        for machine in 0..3 {
            std::fs::write(machines.folder(machine).join("hosts"), &hosts).expect("written");
        }
        eventful(&machines.folder(0), seed);
        machines
    }

    fn folder(&self, machine: usize) -> PathBuf {
        self.dir.path().join(format!("m{machine}"))
    }

    fn start(&self, machine: usize, more: &[&str]) -> Guard {
        let number = machine.to_string();
        let args = ["run", "--config", "c.toml", "--quiet", "--hosts", "hosts", "--process", &number];
        let mut command = freshet(&self.folder(machine), &[&args[..], more].concat());
        Guard(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs"))
    }
}

fn said(process: &mut Guard) -> String {
    let mut text = String::new();
    process.0.stderr.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
    text
}

#[test]
fn machines_leave_the_bytes_that_one_leaves_and_end_together() {
    let machines = Machines::new(76, QUICK);
    let first = machines.folder(0);
    let expected = replay(&first, "log", "whole", "1");
    let mut all: Vec<Guard> = [2, 0, 1].map(|machine| machines.start(machine, &["--once"])).into();
    for process in &mut all {
        let ended = process.wait();
        assert_eq!(ended.code(), Some(0), "{}", said(process));
    }
    same(&expected, &dump(&first, "store"), "one machine and three");
    assert!(!machines.folder(1).join("store").exists(), "only the first machine has a store");

    // A service that is asked to end on any machine ends on all of them.
    let mut all: Vec<Guard> = (0..3).map(|machine| machines.start(machine, &[])).collect();
    wait_for("the service", || epoch(&first, "store").filter(|epoch| *epoch > 0));
    // A machine's process that is killed comes back, and with it the job.
    let before: Vec<_> = all.iter().map(|machine| children(machine.0.id())).collect();
    kill(before[2][&2]);
    wait_for("all again", || {
        let began: Vec<_> = all.iter().map(|machine| children(machine.0.id())).collect();
        let fresh = began.iter().zip(&before).all(|(now, before)| now.len() == 1 && now != before);
        (fresh && epoch(&first, "store").is_some_and(|epoch| epoch > 0)).then_some(())
    });
    all[1].signal("TERM");
    for process in &mut all {
        let ended = process.wait();
        assert_eq!(ended.code(), Some(0), "{}", said(process));
    }
}

#[test]
fn machines_that_do_not_fit_say_why() {
    let machines = Machines::new(77, "[cluster]\nwait = \"10s\"\n[supervisor]\nrestarts = 0\n");
    // Nobody else comes.
    let mut alone = machines.start(1, &["--once"]);
    assert_eq!(alone.wait().code(), Some(1));
    let err = said(&mut alone);
    assert!(err.contains("process 0 (127.0.0.1:") && err.contains("process 2 (127.0.0.1:"), "{err}");
    // One with other parameters.
    let mut first = machines.start(0, &["--once"]);
    let other = machines.folder(1).join("c.toml");
    let text = std::fs::read_to_string(&other).expect("written above");
    std::fs::write(&other, format!("{text}[feed]\nlength = 7\n")).expect("written");
    let mut second = machines.start(1, &["--once"]);
    assert_eq!(second.wait().code(), Some(1));
    let err = said(&mut second);
    assert!(err.contains("process 0 (127.0.0.1:") && err.contains("configuration or release"), "{err}");
    assert_eq!(first.wait().code(), Some(1), "it waited in vain");

    let refused = |args: &[&str], parts: &[&str]| {
        let (code, _, err) = run(&machines.folder(0), args);
        assert_eq!(code, Some(2), "{err}");
        parts.iter().for_each(|part| assert!(err.contains(part), "no {part:?} in {err}"));
    };
    std::fs::write(machines.folder(0).join("bad"), "one:1\ntwo\n").expect("written");
    refused(&["run", "--hosts", "bad", "--process", "0"], &["bad:2", "\"two\"", "HOST:PORT"]);
    refused(&["run", "--hosts", "hosts", "--process", "3"], &["--process", "3 processes, from 0 to 2"]);
    refused(&["run", "--hosts", "hosts"], &["--process"]);
    refused(&["run", "--processes", "0"], &["1..=64"]);
}
