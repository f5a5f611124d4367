//! A running `freshet run` with its feed server on a free port of the loopback.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::http::Client;
use crate::process;
use crate::world::Worlds;

/// The name of the feed server's thread. It takes the posted events too: what a read costs is therefore measured against a
/// phase with the same events and without reads.
const SERVER_THREAD: &str = "feed-server";

/// See the module; the process ends with the value.
pub struct Service {
    child: Child,
    /// Kept open: what the service still says must not meet a closed pipe.
    out: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Service {
    /// Starts it and waits until the log is replayed.
    pub fn start(worlds: &Worlds, config: &Path, log: &Path, store: &Path) -> anyhow::Result<Self> {
        let mut command = worlds.freshet("run");
        command.arg("--input").arg(log);
        Self::spawn(command, config, store)
    }

    /// Starts one that reads what its configuration says, and waits until the backlog is read.
    pub fn of_topics(worlds: &Worlds, config: &Path, store: &Path) -> anyhow::Result<Self> {
        Self::spawn(worlds.freshet("run"), config, store)
    }

    fn spawn(mut command: Command, config: &Path, store: &Path) -> anyhow::Result<Self> {
        command.args(["--quiet", "--listen", "127.0.0.1:0"]).arg("--config").arg(config);
        command.arg("--store").arg(store).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let out = child.stdout.take().context("the service's output")?;
        // From here on the process ends with the value, also where it says nothing.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut service = Self { child, out: BufReader::new(out), address: nowhere };
        let mut line = String::new();
        while service.out.read_line(&mut line)? > 0 {
            if let Some(rest) = line.strip_prefix("serving on http://") {
                let address = rest.split('/').next().unwrap_or_default();
                service.address =
                    address.parse().with_context(|| format!("the service's address {address:?}"))?;
                return Ok(service);
            }
            line.clear();
        }
        bail!("{command:?} ended before it served: {}", service.child.wait()?)
    }

    /// A connection to it.
    pub fn connect(&self) -> anyhow::Result<Client> {
        Client::connect(self.address)
    }

    /// Its metrics.
    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        let answer = self.connect()?.send("GET", "/metrics", &[], b"")?;
        Ok(Metrics(String::from_utf8(answer.body).context("/metrics")?))
    }

    /// CPU seconds so far of the whole process.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        process::cpu_of(self.child.id())
    }

    /// CPU seconds so far of the thread that answers requests.
    pub fn server_cpu(&self) -> anyhow::Result<f64> {
        process::threads_cpu(self.child.id(), SERVER_THREAD)
    }

    /// Waits until it rests: less than a twentieth of a core for a second. What it read is put in order behind its back.
    pub fn settle(&self) -> anyhow::Result<()> {
        for _ in 0..120 {
            let before = self.cpu()?;
            std::thread::sleep(Duration::from_secs(1));
            if self.cpu()? - before < 0.05 {
                return Ok(());
            }
        }
        bail!("two minutes went by, and the service still works on what it read")
    }

    /// Waits until `enough` of the metrics holds.
    pub fn wait_for(&self, enough: impl Fn(&Metrics) -> bool) -> anyhow::Result<Metrics> {
        for _ in 0..600 {
            let metrics = self.metrics()?;
            if enough(&metrics) {
                return Ok(metrics);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("a minute went by, and the service's metrics do not show what was waited for")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The store is thrown away with it, so a clean end is worth nothing; one that has ended already is no error.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The text of `/metrics`.
pub struct Metrics(String);

impl Metrics {
    /// The value of a series, written with its labels as the text has it; 0 where it is absent.
    pub fn get(&self, series: &str) -> f64 {
        self.find(|name| name == series).map(|(_, value)| value).next().unwrap_or(0.0)
    }

    /// Values of a gauge by its only label.
    pub fn by_label(&self, name: &str) -> Vec<(String, f64)> {
        let labelled = self.find(|series| series.split_once('{').is_some_and(|(n, _)| n == name));
        labelled
            .map(|(series, value)| (series.split('"').nth(1).unwrap_or_default().to_owned(), value))
            .collect()
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .filter(move |(series, _)| wanted(series))
            .filter_map(|(series, value)| Some((series, value.parse().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_name_and_label() {
        let text = "# TYPE a gauge\na{state=\"x\"} 3\na{state=\"y\"} 4\n\nab 5\nq{quantile=\"0.99\"} 0.25\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.by_label("a"), [("x".to_owned(), 3.0), ("y".to_owned(), 4.0)]);
        assert_eq!(
            (metrics.get("ab"), metrics.get("q{quantile=\"0.99\"}"), metrics.get("none")),
            (5.0, 0.25, 0.0)
        );
    }
}
