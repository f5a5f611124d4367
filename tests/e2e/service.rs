//! A running service, and just enough HTTP to talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::harness::{freshet, number, videos, wait_for};

/// A process that does not outlive its test: killed by its number when dropped.
pub struct Guard(pub Child);

impl Guard {
    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill runs");
        assert!(sent.success(), "SIG{name} reached nobody");
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the end of the process", || self.0.try_wait().expect("our child"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Only what a failed assertion left running; of a process that is gone there is nothing to say.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether a process has ended; who nobody waits for may still be listed.
pub fn gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    !stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

/// A service over `DIR/log` and `DIR/store`.
pub struct Service {
    process: Guard,
    address: String,
    dir: PathBuf,
}

impl Service {
    /// Starts it and waits until it is ready.
    pub fn start(dir: &Path) -> Self {
        Self::launch(dir, &["--input", "log"], Stdio::inherit())
    }

    /// Starts it with an input of its own and waits until it is ready.
    pub fn launch(dir: &Path, input: &[&str], stderr: Stdio) -> Self {
        let args = [&["run", "--store", "store", "--listen", "127.0.0.1:0", "--quiet"], input].concat();
        let service = Self::spawn_with(dir, &args, stderr);
        wait_for("readyz", || (service.get("/readyz").0 == 200).then_some(()));
        service
    }

    /// Starts a command that serves and waits until it is ready.
    pub fn run(dir: &Path, args: &[&str]) -> Self {
        let service = Self::spawn(dir, args);
        wait_for("readyz", || (service.get("/readyz").0 == 200).then_some(()));
        service
    }

    /// Starts a command that serves and waits until it listens.
    pub fn spawn(dir: &Path, args: &[&str]) -> Self {
        Self::spawn_with(dir, args, Stdio::inherit())
    }

    fn spawn_with(dir: &Path, args: &[&str], stderr: Stdio) -> Self {
        Self::of(dir, freshet(dir, args), stderr)
    }

    /// Starts a command line that serves and waits until it is ready.
    pub fn begin(dir: &Path, command: Command, stderr: Stdio) -> Self {
        let service = Self::of(dir, command, stderr);
        wait_for("readyz", || (service.get("/readyz").0 == 200).then_some(()));
        service
    }

    fn of(dir: &Path, mut command: Command, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary runs");
        let out = child.stdout.take().expect("piped");
        let process = Guard(child);
        let mut lines = BufReader::new(out).lines();
        let line = lines.next().expect("a line before the end").expect("UTF-8");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address, dir: dir.to_owned() }
    }

    /// Ends it as an operator does, and expects a clean end.
    #[track_caller]
    pub fn stop(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.wait().code(), Some(0), "a clean end");
        assert!(!self.dir.join("store/control.sock").exists(), "the control socket is taken away");
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it and says how it ended.
    #[track_caller]
    pub fn end(mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }

    /// Waits until it ends by itself; its exit code, and what it said on a standard error that was piped.
    #[track_caller]
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = self.process.wait();
        let mut said = String::new();
        let stderr = self.process.0.stderr.take().expect("piped");
        BufReader::new(stderr).read_to_string(&mut said).expect("UTF-8");
        (status.code(), said)
    }

    /// Ends it as a power cut does.
    #[track_caller]
    pub fn kill(mut self) {
        self.process.signal("KILL");
        assert_eq!(self.process.wait().code(), None, "it ended before it was killed");
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// `GET PATH`: status and body, where somebody answers.
    pub fn try_get(&self, path: &str) -> Option<(u16, Json)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: e2e\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Some((status, serde_json::from_str(body).unwrap_or_else(|_| Json::String(body.to_owned()))))
    }

    /// Sends it a signal such as `STOP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// The most memory that it has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.0.id());
        let status = std::fs::read_to_string(path).expect("a running process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// The names of its threads, as Linux shows them.
    pub fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.0.id())).expect("its threads");
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        // A thread may end between the listing and the look.
        tasks.flatten().filter_map(|task| name(task).ok()).map(|name| name.trim().to_owned()).collect()
    }

    /// `GET PATH`: status and body.
    pub fn get(&self, path: &str) -> (u16, Json) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: e2e\r\nconnection: close\r\n\r\n"))
    }

    /// `GET PATH`, which must be there.
    #[track_caller]
    pub fn found(&self, path: &str) -> Json {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The user's first hundred.
    #[track_caller]
    pub fn feed(&self, user: u64) -> Json {
        self.found(&format!("/v1/feed/{user}?limit=100"))
    }

    /// Posts an event, which must be taken.
    #[track_caller]
    pub fn post(&self, event: &Json) {
        let (status, answer) = self.try_post(event);
        assert_eq!(status, 202, "{event}: {answer}");
        assert_eq!(answer["accepted"], 1);
    }

    /// Posts an event: status and body.
    pub fn try_post(&self, event: &Json) -> (u16, Json) {
        let body = event.to_string();
        self.ask(&format!(
            "POST /v1/events HTTP/1.1\r\nhost: e2e\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Posts an event and waits until the user's list is one of a later epoch.
    #[track_caller]
    pub fn post_and_see(&self, event: &Json, user: u64) -> Json {
        let before = number(&self.feed(user)["epoch"]);
        self.post(event);
        wait_for("a new list", || Some(self.feed(user)).filter(|feed| number(&feed["epoch"]) > before))
    }

    /// Follows a cursor chain to its end. Places must count up.
    #[track_caller]
    pub fn scroll(&self, user: u64, limit: usize) -> Vec<u64> {
        let mut all = Vec::new();
        let mut path = format!("/v1/feed/{user}?limit={limit}");
        loop {
            let page = self.found(&path);
            for item in page["items"].as_array().expect("items") {
                assert_eq!(item["position"], json!(all.len()), "{path}");
                all.push(number(&item["video_id"]));
            }
            let Some(cursor) = page["next_cursor"].as_str() else {
                assert!(page["next_cursor"].is_null(), "the end is null: {page}");
                return all;
            };
            assert!(!videos(&page).is_empty(), "a chain that goes on hands something out");
            path = format!("/v1/feed/{user}?limit={limit}&cursor={cursor}");
        }
    }

    /// Sends a request as it stands: status and body.
    pub fn ask(&self, request: &str) -> (u16, Json) {
        let mut stream = TcpStream::connect(&self.address).expect("the service listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8(answer).expect("UTF-8");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        // Not all that is said is JSON (`/readyz` is text).
        (status, serde_json::from_str(body).unwrap_or_else(|_| Json::String(body.to_owned())))
    }
}
