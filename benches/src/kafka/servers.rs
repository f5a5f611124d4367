//! A real broker and a real Redis server on free ports of the loopback, ended by their process ids with their values.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use freshet_kafka::rdkafka::ClientConfig;
use freshet_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use crate::process;

/// A Java virtual machine takes some seconds, and more where Maven has to fetch it first.
const PATIENCE: Duration = Duration::from_secs(180);
/// Another process may take a port between the look and the start.
const ATTEMPTS: usize = 5;

/// A port that nobody listens on.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr())?.port())
}

/// A process that ends with its value.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // `kafka.sh` ends its broker when its standard input does; it has nothing to lose, and one that has ended is no error.
        match self.0.stdin.take() {
            Some(leash) => drop(leash),
            None => drop(self.0.kill()),
        }
        drop(self.0.wait());
    }
}

/// One node of Apache Kafka, as `scripts/kafka.sh` sets it up.
pub struct Broker {
    script: Guard,
    dir: TempDir,
    port: u16,
}

impl Broker {
    /// Starts one that keeps its topics in a folder of its own under `scratch`, and waits until it answers.
    pub fn start(scratch: &Path) -> anyhow::Result<Self> {
        let kafka = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka.sh");
        let dir = tempfile::Builder::new().prefix("broker-").tempdir_in(scratch)?;
        let said = dir.path().join("said");
        let port = free_port()?;
        let mut command = Command::new("sh");
        command.arg(kafka).arg("leash").arg(dir.path()).args([port.to_string(), free_port()?.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(fs::File::create(&said)?);
        let script = Guard(command.spawn().with_context(|| format!("{command:?}"))?);
        let mut broker = Self { script, dir, port };
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.address())
            // It says of each attempt that nobody listens yet.
            .set("log_level", "0")
            .create()?;
        let since = Instant::now();
        while consumer.fetch_metadata(None, Duration::from_secs(1)).is_err() {
            let ended = broker.script.0.try_wait()?;
            if ended.is_some() || since.elapsed() > PATIENCE {
                let why = fs::read_to_string(&said).unwrap_or_default();
                bail!("the Kafka broker did not start (`make test` installs what it needs): {why}");
            }
        }
        Ok(broker)
    }

    /// `HOST:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let pid = fs::read_to_string(self.dir.path().join("pid")).context("the broker's process id")?;
        process::cpu_of(pid.trim().parse().context("the broker's process id")?)
    }
}

/// A `redis-server` that keeps nothing on disk.
pub struct RedisServer {
    process: Guard,
    port: u16,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub fn start(scratch: &Path) -> anyhow::Result<Self> {
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            let mut command = Command::new("redis-server");
            command.args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ]);
            command.arg("--dir").arg(scratch).stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn().context("redis-server: install Debian's package redis-server")?;
            let mut server = Self { process: Guard(child), port };
            let since = Instant::now();
            while server.process.0.try_wait()?.is_none() {
                let ping =
                    server.connect().and_then(|mut to| Ok(redis::cmd("PING").query::<String>(&mut to)?));
                if ping.is_ok() {
                    return Ok(server);
                }
                ensure!(since.elapsed() < PATIENCE, "redis-server does not answer on port {port}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        bail!("redis-server ended at once on each of {ATTEMPTS} free ports: start it by hand to see why")
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A connection to it.
    pub fn connect(&self) -> anyhow::Result<redis::Connection> {
        let connection =
            redis::Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(5))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(connection)
    }

    /// Forgets everything.
    pub fn clear(&self) -> anyhow::Result<()> {
        Ok(redis::cmd("FLUSHALL").query(&mut self.connect()?)?)
    }

    /// How many keys it holds.
    pub fn keys(&self) -> anyhow::Result<u64> {
        Ok(redis::cmd("DBSIZE").query(&mut self.connect()?)?)
    }

    /// How many of them are users' lists.
    pub fn lists(&self) -> anyhow::Result<usize> {
        let mut to = self.connect()?;
        let lists = redis::Commands::scan_match::<_, String>(&mut to, "feed:*")?;
        Ok(lists.filter_map(Result::ok).count())
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        process::cpu_of(self.process.0.id())
    }
}
