//! The programs in `docs/store.md` that read a list from Redis print what the page says.

use std::path::Path;
use std::process::{Command, Stdio};

use freshet_schema::feed::{FeedItem, FeedRecord, VideoCard};
use freshet_schema::store::{Key, Value};
use freshet_schema::{Epoch, UserId, VideoId};
use freshet_sinks::{Claim, Commit, FeedStore, Redis, RedisOptions};

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The first fenced block of a language after the page's section on Redis began.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/store.md")).unwrap();
    let section = page.split("## On a Redis or Valkey server").nth(1).expect("the section");
    let begin = section.find(&format!("```{language}\n")).expect("a block") + language.len() + 4;
    section[begin..begin + section[begin..].find("```").unwrap()].to_owned()
}

/// A server with one list of forty, and two cards for the first three.
fn filled() -> RedisServer {
    let server = RedisServer::start();
    let store = Redis::open(RedisOptions::at(&server.url())).unwrap();
    store.claim(&Claim::default()).unwrap();
    let items =
        std::iter::once(u64::MAX).chain(2..41).map(|video_id| FeedItem { video_id, ..FeedItem::default() });
    let list = FeedRecord {
        user_id: 17,
        epoch: 5,
        algorithm: "heads-1".to_owned(),
        items: items.collect(),
        ..FeedRecord::default()
    };
    let card = |video_id: u64, caption: &str| {
        let card = VideoCard { video_id, caption: caption.to_owned(), ..VideoCard::default() };
        (Key::Video(VideoId(video_id)), Some(Value::Video(card).encode()))
    };
    let mut changes = vec![
        (Key::Feed(UserId(17)), Some(Value::Feed(list).encode())),
        card(u64::MAX, "one, \"quoted\""),
        card(2, "two"),
    ];
    changes.sort_by_key(|(key, _)| key.to_string());
    store.commit(&Commit { epoch: Epoch(5), changes }).unwrap();
    server
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn python_reads_a_list() {
    let imports = ["-c", "import redis, google.protobuf"];
    let python =
        ["python3", "/usr/bin/python3"].into_iter().find(|p| succeeds(Command::new(p).args(imports)));
    let (Some(python), true) = (python, succeeds(Command::new("protoc").arg("--version"))) else {
        eprintln!(
            "SKIPPED: Python's reader was not run: install python3-redis, python3-protobuf, protobuf-compiler"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let proto = Path::new(ROOT).join("schema/proto");
    let mut protoc = Command::new("protoc");
    protoc.arg("-I").arg(&proto).arg(format!("--python_out={}", folder.path().display())).arg("feed.proto");
    assert!(protoc.status().unwrap().success());
    std::fs::write(folder.path().join("read.py"), block("python")).unwrap();
    let server = filled();
    let out = printed(Command::new(python).current_dir(&folder).args(["read.py", &server.url(), "17"]));
    assert_eq!(out, format!("{}\n", block("text").lines().next().unwrap()));
    let none = printed(Command::new(python).current_dir(&folder).args(["read.py", &server.url(), "4242"]));
    assert!(none.trim_start().starts_with("epoch 0 0 items: []"), "{none}");
}

#[test]
fn node_reads_a_list() {
    if !succeeds(Command::new("npm").arg("--version")) {
        eprintln!("SKIPPED: Node's reader was not run: install nodejs and npm");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let packages = r#"{"private": true, "dependencies": {"redis": "5.8.2", "protobufjs": "7.5.4"}}"#;
    std::fs::write(folder.path().join("package.json"), packages).unwrap();
    let mut install = Command::new("npm");
    install.current_dir(&folder).args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
    let output = install.output().unwrap();
    assert!(output.status.success(), "npm install: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::copy(Path::new(ROOT).join("schema/proto/feed.proto"), folder.path().join("feed.proto")).unwrap();
    std::fs::write(folder.path().join("read.js"), block("js")).unwrap();
    let server = filled();
    let out = printed(Command::new("node").current_dir(&folder).args(["read.js", &server.url(), "17"]));
    assert_eq!(out, format!("{}\n", block("text").lines().nth(1).unwrap()));
    let none = printed(Command::new("node").current_dir(&folder).args(["read.js", &server.url(), "4242"]));
    assert!(none.trim_start().starts_with("epoch 0 0 items: []"), "{none}");
}
