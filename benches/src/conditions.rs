//! Under which conditions a figure holds: without them it is no figure.

use std::fmt;
use std::fs;
use std::process::Command;

use freshet_operators::params::Params;
use serde::Serialize;

use crate::memory;

/// Machine, build and settings.
#[derive(Debug, Serialize)]
pub struct Conditions {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    /// See [`memory::dependent_read_ns`].
    memory_read_ns: f64,
    load: String,
    rustc: String,
    revision: String,
    dims: [usize; 4],
    quotas: [usize; 7],
    scale: f64,
}

impl Conditions {
    /// Those of this moment.
    ///
    /// # Errors
    /// Where the system does not say what CPU was used.
    pub fn now(scale: f64) -> anyhow::Result<Self> {
        let candidates = Params::default().candidates;
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            memory_read_ns: memory::dependent_read_ns()?,
            load: load(),
            rustc: output("rustc", &["--version"]),
            revision: output("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            dims: DIMS,
            quotas: [
                candidates.followed,
                candidates.hashtags,
                candidates.sounds,
                candidates.trending,
                candidates.next,
                candidates.co_engaged,
                candidates.similar,
            ],
            scale,
        })
    }
}

/// Numbers in the short-, mid- and long-term interest vector and in the content vector.
const DIMS: [usize; 4] = [
    freshet_learning::SHORT_DIMS,
    freshet_learning::MID_DIMS,
    freshet_learning::LONG_DIMS,
    freshet_learning::CONTENT_DIMS,
];

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "cpu        {}, {} cores, {} MiB; load average {}",
            self.cpu, self.cores, self.memory_mib, self.load
        )?;
        writeln!(f, "memory     {:.0} ns for a dependent read at random in 64 MiB", self.memory_read_ns)?;
        writeln!(f, "build      {}, revision {}", self.rustc, self.revision)?;
        let [short, mid, long, content] = self.dims;
        writeln!(f, "vectors    short {short}, mid {mid}, long {long}, content {content}")?;
        let [followed, hashtags, sounds, trending, next, co_engaged, similar] = self.quotas;
        writeln!(
            f,
            "candidates followed {followed}, hashtags {hashtags}, sounds {sounds}, trending {trending}, next {next}, co-engaged {co_engaged}, similar {similar}"
        )?;
        if self.scale < 1.0 {
            writeln!(
                f,
                "scale      {}: a trial of the benchmark; these figures are not comparable",
                self.scale
            )?;
        }
        Ok(())
    }
}

/// The load averages of 1, 5 and 15 minutes.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
