//! A real `redis-server` on a free port of this machine, ended by its process id.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A port of 127.0.0.1 that nobody listens on and that stays free for who restarts on it: below those that Linux gives to
/// `bind` with port 0 and to outgoing connections, and given out once only by this program.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FROM: u16 = 12_000;
    const PORTS: u16 = 20_000;
    // Test programs that run side by side begin at different places.
    let begin = (u64::from(std::process::id()) * 7_919 % u64::from(PORTS)) as u16;
    (0..PORTS)
        .map(|_| FROM + (begin + NEXT.fetch_add(1, Relaxed) % PORTS) % PORTS)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of 20,000 ports is free")
}

/// See the module.
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one that keeps nothing.
    pub fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// Starts one that keeps what was synced, each second.
    pub fn durable() -> Self {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"])
    }

    /// As [`RedisServer::durable`], with what another one has left in a folder.
    pub fn over(folder: &Path) -> Self {
        Self::begin(&["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"], || {
            let copy = tempfile::tempdir().unwrap();
            let from = folder.join(".");
            assert!(Command::new("cp").arg("-a").arg(from).arg(copy.path()).status().unwrap().success());
            copy
        })
    }

    /// Where it keeps what it has.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts one with more arguments.
    pub fn with(arguments: &[&str]) -> Self {
        Self::begin(arguments, || tempfile::tempdir().unwrap())
    }

    fn begin(arguments: &[&str], folder: impl Fn() -> TempDir) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            let folder = folder();
            let mut server = Self { folder, port: free_port(), arguments: arguments.clone(), child: None };
            if server.spawn() {
                return server;
            }
        }
        panic!("redis-server does not start on any port");
    }

    fn spawn(&mut self) -> bool {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .args(["--daemonize", "no", "--logfile", "server.log"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is missing: install Debian's package redis-server");
        self.child = Some(child);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            if self
                .ask("PING")
                .is_some_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not answer on port {}", self.port);
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Sends a command of plain words and returns the beginning of the answer.
    pub fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Ends it at once, as `kill -9` does. What it keeps on disk stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on its port, with what is on its disk.
    pub fn restart(&mut self) {
        self.kill();
        let begin = Instant::now();
        while !self.spawn() {
            assert!(begin.elapsed() < Duration::from_secs(20), "the port {} is taken", self.port);
        }
    }

    /// Stops it from answering without ending it, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
