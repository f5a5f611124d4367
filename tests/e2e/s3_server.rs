//! A server that speaks S3 on a loopback port: `scripts/s3.sh` installs and starts it, and it ends with its value.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use freshet_archive::{Bucket, Folder};
use object_store::aws::AmazonS3Builder;

use crate::harness::{freshet, root, wait_for};
use crate::redis_server::free_port;
use crate::service::Guard;

/// See the module.
pub struct S3Server {
    port: u16,
    script: Guard,
}

impl S3Server {
    /// Starts one with an empty bucket `jobs`. None, said loudly, where it cannot be had.
    pub fn start() -> Option<Self> {
        let venv = installed()?;
        let port = free_port();
        let mut command = Command::new("sh");
        command.arg(root().join("scripts/s3.sh")).arg("leash").arg(port.to_string()).env("S3_VENV", venv);
        let script = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("sh runs");
        let server = Self { port, script: Guard(script) };
        wait_for("the bucket", || server.ask("PUT /jobs"));
        Some(server)
    }

    /// Nobody is asked for a signature there.
    fn ask(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = "host: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close";
        stream.write_all(format!("{request} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    }

    /// Whether there is an object whose key has this in it.
    pub fn holds(&self, part: &str) -> bool {
        self.listed("").is_some_and(|keys| keys.iter().any(|key| key.contains(part)))
    }

    /// All keys, in their order.
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map_or(String::new(), |key| format!("&start-after={key}"));
            let more = self.listed(&after).expect("the server answers");
            if more.is_empty() {
                return keys;
            }
            keys.extend(more);
        }
    }

    /// Keys, as many as the server tells at once.
    fn listed(&self, after: &str) -> Option<Vec<String>> {
        let answer = self.ask(&format!("GET /jobs?list-type=2{after}"))?;
        let key = |text: &str| text.split('<').next().map(str::to_owned);
        Some(answer.split("<Key>").skip(1).filter_map(key).collect())
    }

    /// The archive below a prefix of the bucket, as this process reads it.
    pub fn archive(&self, prefix: &str) -> Folder {
        let store = AmazonS3Builder::new()
            .with_bucket_name("jobs")
            .with_region("us-east-1")
            .with_endpoint(format!("http://127.0.0.1:{}", self.port))
            .with_allow_http(true)
            .with_access_key_id("key")
            .with_secret_access_key("hushhush")
            .build();
        let store = Arc::new(store.expect("a client"));
        let bucket = Bucket::over(store, prefix.into(), &format!("s3://jobs/{prefix}"));
        Folder::over(Arc::new(bucket.expect("a runtime")))
    }

    /// A command line whose environment says how to reach the server.
    pub fn freshet(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = freshet(dir, args);
        command.env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)).env("AWS_ALLOW_HTTP", "true");
        command
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "hushhush")
            .env("AWS_REGION", "us-east-1");
        command
    }

    /// As `harness::run`.
    pub fn run(&self, dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.freshet(dir, args).output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (out, err) = (text(stdout), text(stderr));
        assert!(!out.contains("hushhush") && !err.contains("hushhush"), "a secret is told: {out}{err}");
        (status.code(), out, err)
    }

    /// As `harness::ok`.
    #[track_caller]
    pub fn ok(&self, dir: &Path, args: &[&str]) -> String {
        let (code, out, err) = self.run(dir, args);
        assert_eq!(code, Some(0), "freshet {args:?}\n{out}\n{err}");
        out + &err
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // The end of its standard input ends the script and the server.
        drop(self.script.0.stdin.take());
        drop(self.script.0.wait());
    }
}

/// Where the server is installed, if it can be.
fn installed() -> Option<&'static Path> {
    static VENV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let test = std::env::current_exe().expect("a test has a path");
        let venv = test.ancestors().nth(3).expect("target/PROFILE/deps/TEST").join("s3");
        let mut command = Command::new("sh");
        command.arg(root().join("scripts/s3.sh")).arg("fetch").env("S3_VENV", &venv);
        let output = command.output().expect("sh runs");
        if !output.status.success() {
            eprintln!(
                "SKIPPED, checkpoints and archive in a bucket are not tested against a server: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        output.status.success().then_some(venv)
    };
    VENV.get_or_init(install).as_deref()
}
