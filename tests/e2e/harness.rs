//! The binary and what it prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value as Json;

/// The longest that anything may take. Reached only by what hangs.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// The binary of the profile that the tests were built with, or `FRESHET_BIN`. Cargo tells a test the path of binaries of
/// its own package only. `cargo test --workspace` has built this one; where it is missing or old it is built here, with the same
/// features of what it depends on.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("FRESHET_BIN") {
            return PathBuf::from(path);
        }
        let test = std::env::current_exe().expect("a test has a path");
        let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
        let path = profile.join("freshet");
        let built = path.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        if built < newest_source(&root()) {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(root()).args([
                "build",
                "--quiet",
                "--workspace",
                "--bin",
                "freshet",
                "--target-dir",
            ]);
            cargo.arg(profile.parent().expect("target/PROFILE"));
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.status().expect("cargo runs").success(), "the binary cannot be built");
        }
        path
    })
}

/// When the last source of the binary changed.
fn newest_source(dir: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(dir).expect("a readable folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            let apart = ["target", "sql", "tests", "benches", "docs", "data", "data-sample", "scripts"];
            if !name.starts_with('.') && !apart.contains(&&*name) {
                newest = newest.max(newest_source(&path));
            }
        } else if [".rs", ".toml", ".proto", ".html", ".json", ".lock"].iter().any(|end| name.ends_with(end))
        {
            newest = newest.max(entry.metadata().and_then(|m| m.modified()).expect("a time"));
        }
    }
    newest
}

/// A command line in `dir` with nothing inherited that could change its answer.
pub fn freshet(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(dir).args(args);
    command.env_remove("RUST_LOG").env_remove("COLUMNS").env("NO_COLOR", "1");
    command
}

/// Runs to the end; exit code, standard output, standard error.
pub fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = freshet(dir, args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// As [`run`]; must succeed.
#[track_caller]
pub fn ok(dir: &Path, args: &[&str]) -> String {
    let (code, out, err) = run(dir, args);
    assert_eq!(code, Some(0), "freshet {args:?}\n{out}\n{err}");
    out
}

/// As [`ok`], for what prints JSON.
#[track_caller]
pub fn ok_json(dir: &Path, args: &[&str]) -> Json {
    let text = ok(dir, args);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("freshet {args:?}: {error}: {text}"))
}

/// Checkpoints so seldom that a test sees none but that of a clean end, however slow the machine is: two of them trim the journal,
/// and then a run cannot begin without its store.
pub const SELDOM: &str = "[checkpoint]\nevery = \"1h\"\n";

/// The arguments of a run over `DIR/LOG` into `DIR/STORE` that ends when the log is drained.
pub fn once<'a>(log: &'a str, store: &'a str, workers: &'a str) -> Vec<&'a str> {
    vec!["run", "--input", log, "--store", store, "--workers", workers, "--once", "--quiet"]
}

/// Runs a log to its end with some workers and dumps the store.
#[track_caller]
pub fn replay(dir: &Path, log: &str, store: &str, workers: &str) -> String {
    ok(dir, &once(log, store, workers));
    dump(dir, store)
}

/// The whole store as text.
#[track_caller]
pub fn dump(dir: &Path, store: &str) -> String {
    ok(dir, &["dump", "--store", store])
}

/// A dump by key.
pub fn records(dump: &str) -> BTreeMap<String, Json> {
    dump.lines()
        .map(|line| {
            let mut line: Json = serde_json::from_str(line).expect("a dump is JSON lines");
            (line["key"].as_str().expect("a key").to_owned(), line["value"].take())
        })
        .collect()
}

/// The videos of a list, a pool or a page, in order.
pub fn videos(list: &Json) -> Vec<u64> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| number(&item["video_id"])).collect()
}

/// An identifier, written as text or as a number.
#[track_caller]
pub fn number(json: &Json) -> u64 {
    let parsed = json.as_u64().or_else(|| json.as_str().and_then(|text| text.parse().ok()));
    parsed.unwrap_or_else(|| panic!("{json} is no identifier"))
}

/// Fails with the first line in which two dumps differ. `assert_eq!` would print megabytes.
#[track_caller]
pub fn same(left: &str, right: &str, what: &str) {
    assert!(!left.is_empty(), "{what}: an empty dump shows nothing");
    if left == right {
        return;
    }
    let at = left.lines().zip(right.lines()).position(|(a, b)| a != b);
    let (mut a, mut b) = (left.lines(), right.lines());
    let at = at.unwrap_or_else(|| a.by_ref().count().min(b.by_ref().count()));
    let show =
        |text: &str| -> String { text.lines().nth(at).unwrap_or("(the end)").chars().take(900).collect() };
    panic!("{what}: line {} differs\n--- one\n{}\n--- other\n{}", at + 1, show(left), show(right));
}

/// Asks until the answer is there; fails after [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(since.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
