//! The binaries and what they print.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// The longest that anything may take. Reached only by what hangs.
pub const PATIENCE: Duration = Duration::from_secs(300);

fn freshet_binary() -> PathBuf {
    let named = std::env::var_os("FRESHET_BIN").map(PathBuf::from);
    let path =
        named.unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_freshet-sql")).with_file_name("freshet"));
    assert!(path.is_file(), "{} is missing: cargo build --workspace makes it", path.display());
    path
}

/// A command line in `dir` with nothing inherited that could change its answer.
pub fn command(program: &Path, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).args(args);
    command.env_remove("RUST_LOG").env_remove("COLUMNS").env("NO_COLOR", "1");
    command.env("FRESHET_BIN", freshet_binary());
    command
}

/// `freshet` in `dir`.
pub fn freshet(dir: &Path, args: &[&str]) -> Command {
    command(&freshet_binary(), dir, args)
}

/// `freshet-sql` in `dir`.
pub fn sql(dir: &Path, args: &[&str]) -> Command {
    command(Path::new(env!("CARGO_BIN_EXE_freshet-sql")), dir, args)
}

/// Runs to the end; exit code, standard output, standard error.
pub fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// As [`run`]; must succeed.
#[track_caller]
pub fn ok(command: Command) -> String {
    let shown = format!("{command:?}");
    let (code, out, err) = run(command);
    assert_eq!(code, Some(0), "{shown}\n{out}\n{err}");
    out
}

/// The rows of a query over the service of `DIR/store`, as JSON objects. `freshet-sql` gives way to whatever else runs, so it has time.
#[track_caller]
pub fn rows(dir: &Path, query: &str) -> Vec<Json> {
    let patience = PATIENCE.as_secs().to_string();
    lines(&ok(sql(dir, &["--store", "store", "--timeout", &patience, "--format", "json", "-c", query])))
}

/// JSON lines.
pub fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

/// The one value of the one row.
#[track_caller]
pub fn value(dir: &Path, query: &str) -> i64 {
    let rows = rows(dir, query);
    let [Json::Object(row)] = &rows[..] else { panic!("{query}: {rows:?}") };
    let values: Vec<&Json> = row.values().collect();
    let [value] = &values[..] else { panic!("{query}: {rows:?}") };
    value.as_i64().unwrap_or_else(|| panic!("{query}: {rows:?}"))
}

/// Makes `DIR/log`.
pub fn world(dir: &Path, seed: u64, events: u64) {
    let (seed, events) = (seed.to_string(), events.to_string());
    let args = [
        "generate", "--users", "60", "--videos", "120", "--events", &events, "--seed", &seed, "--out", "log",
    ];
    ok(freshet(dir, &args));
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

/// A process that does not outlive its test: killed by its number when dropped.
pub struct Guard(pub Child);

impl Guard {
    /// Ends it as an operator does, and expects a clean end.
    #[track_caller]
    pub fn stop(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        let status = wait_for("the end of the process", || self.0.try_wait().expect("our child"));
        assert_eq!(status.code(), Some(0), "a clean end");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Only what a failed assertion left running; of a process that is gone there is nothing to say.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a command and waits for its first line.
pub fn start(mut command: Command) -> (Guard, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let out = child.stdout.take().expect("piped");
    let guard = Guard(child);
    let mut lines = BufReader::new(out).lines();
    let line = lines.next().expect("a line before the end").expect("UTF-8");
    // Whatever else it says must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (guard, line)
}

/// A service over `DIR/log` and `DIR/store`, ready.
pub struct Service {
    process: Guard,
    address: String,
}

impl Service {
    /// Starts it with more arguments.
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let args =
            [&["run", "--input", "log", "--store", "store", "--listen", "127.0.0.1:0", "--quiet"], more]
                .concat();
        let (process, line) = start(freshet(dir, &args));
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        let service = Self { process, address };
        wait_for("readyz", || (service.get("/readyz").0 == 200).then_some(()));
        service
    }

    /// Ends it.
    #[track_caller]
    pub fn stop(self) {
        self.process.stop();
    }

    /// `GET PATH`: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: sql\r\nconnection: close\r\n\r\n"))
    }

    /// Posts an event, which must be taken.
    #[track_caller]
    pub fn post(&self, event: &Json) {
        let body = event.to_string();
        let (status, answer) = self.ask(&format!(
            "POST /v1/events HTTP/1.1\r\nhost: sql\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert!((200..300).contains(&status), "{event}: {status} {answer}");
    }

    fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the service listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// A number of `/metrics`, 0 where it is not there.
    pub fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse::<f64>().expect("a number") as u64)
    }
}
