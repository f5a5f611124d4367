//! History from an archive in a bucket, against a server that speaks S3.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;

use crate::harness::{freshet, lines, ok, run, sql, wait_for, world};

const PLACE: &str = "s3://jobs/freshet/one";

/// A server with an empty bucket `jobs`; it ends with its value.
struct Server {
    script: Child,
    port: u16,
}

impl Server {
    /// None, said loudly, where it cannot be had.
    fn start() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
        let target = Path::new(env!("CARGO_BIN_EXE_freshet-sql")).ancestors().nth(2).map(PathBuf::from);
        let script = |word: &str| {
            let mut command = Command::new("sh");
            command.arg(root.join("scripts/s3.sh")).arg(word);
            command.env("S3_VENV", target.as_deref().expect("target/PROFILE/BINARY").join("s3"));
            command
        };
        let fetched = script("fetch").output().expect("sh runs");
        if !fetched.status.success() {
            let why = String::from_utf8_lossy(&fetched.stderr);
            eprintln!("SKIPPED, history in a bucket is not tested against a server: {why}");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
        let port = free.expect("a free port").port();
        let mut leash = script("leash");
        leash.arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::null());
        let server = Self { script: leash.spawn().expect("sh runs"), port };
        wait_for("the bucket", || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            let head = "host: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close";
            stream.write_all(format!("PUT /jobs HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        });
        Some(server)
    }

    /// Says in a command's environment how to reach it.
    fn reached(&self, mut command: Command) -> Command {
        command.env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)).env("AWS_ALLOW_HTTP", "true");
        command
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "hush")
            .env("AWS_REGION", "us-east-1");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its standard input ends the script and the server.
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}

#[test]
fn history_in_a_bucket_is_that_of_a_folder_whatever_happens_to_its_files() {
    let Some(server) = Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    world(dir, 25, 900);
    let text = "[archive]\nroll_every = \"100ms\"\nroll_bytes = \"64KiB\"\ncompact = false\n";
    std::fs::write(dir.join("small.toml"), text).expect("written");
    for (store, archive) in [("local", "archive"), ("store", PLACE)] {
        let args = ["run", "--config", "small.toml", "--input", "log", "--once", "--quiet", "--store", store];
        ok(server.reached(freshet(dir, &[&args[..], &["--archive", archive]].concat())));
    }
    let queries = [
        "select count(*) as n, sum(watch_ms) as watched, count(distinct user_id) as users, max(epoch) as epoch, \
         sum(input_offset) as offsets from history.interactions where watch_ms > 0",
        "select day, count(*) as n from history.interactions where epoch > 20 group by day order by day",
        "select count(*) as n from history.current_interactions",
        "select table_name, rows, through_epoch from history.coverage order by table_name",
    ];
    let offline = ["--offline", "--store", "store", "--format", "json", "--archive"];
    let asked = |archive: &str| -> Vec<Json> {
        let mut args = [&offline[..], &[archive]].concat();
        queries.iter().for_each(|query| args.extend(["-c", query]));
        lines(&ok(server.reached(sql(dir, &args))))
    };
    let expected = asked("archive");
    assert!(expected[0]["n"].as_i64().is_some_and(|n| n > 500), "{expected:?}");
    assert_eq!(asked(PLACE), expected);

    // One process goes on asking while all of its files are replaced.
    let mut asking = server.reached(sql(dir, &[&offline[..], &[PLACE]].concat()));
    let mut child = asking.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("piped");
    let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut ask = |query: &str| -> Json {
        input.write_all(format!("{query};\n").as_bytes()).expect("it reads");
        serde_json::from_str(&answers.next().expect("an answer").expect("UTF-8")).expect("a row")
    };
    let files = "select sum(files) as n from history.coverage";
    let before = ask(files);
    assert_eq!(ask(queries[0]), expected[0]);
    let said = ok(server.reached(freshet(dir, &["archive", "compact", PLACE])));
    assert!(said.contains("files before"), "{said}");
    assert!(ask(files)["n"].as_i64() < before["n"].as_i64(), "nothing was put together: {before}");
    assert_eq!(ask(queries[0]), expected[0]);
    drop(input);
    assert!(child.wait().expect("our child").success());

    let none = [&offline[..], &["s3://no-such-bucket/one", "-c", queries[0]]].concat();
    let (code, _, err) = run(server.reached(sql(dir, &none)));
    assert!(code == Some(1) && err.contains("NoSuchBucket") && err.contains("see that the bucket"), "{err}");
}
