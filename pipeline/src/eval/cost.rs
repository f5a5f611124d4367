//! What the process takes, from `/proc`; unknown on systems without it.

use std::fs;
use std::time::Instant;

/// Clock ticks a second in `/proc/self/stat`: `USER_HZ`, which is 100 on every Linux that Rust supports.
const TICKS: f64 = 100.0;

/// A stopwatch for wall and CPU time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    begin: Instant,
    cpu: Option<f64>,
}

/// What something took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Seconds by the clock on the wall.
    pub seconds: f64,
    /// CPU seconds of all threads, user and system.
    pub cpu_seconds: Option<f64>,
    /// Most resident memory of the process so far, in bytes.
    pub peak_rss_bytes: Option<u64>,
}

impl Stopwatch {
    /// Starts.
    #[must_use]
    pub fn start() -> Self {
        Self { begin: Instant::now(), cpu: own_cpu() }
    }

    /// What was taken since the start.
    #[must_use]
    pub fn stop(&self) -> Cost {
        let cpu_seconds = own_cpu().zip(self.cpu).map(|(now, before)| now - before);
        Cost { seconds: self.begin.elapsed().as_secs_f64(), cpu_seconds, peak_rss_bytes: peak_rss() }
    }
}

fn own_cpu() -> Option<f64> {
    cpu_seconds(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// User and system time of a `stat` line. The command's name may hold spaces and parentheses; what follows the last one
/// does not.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / TICKS)
}

fn peak_rss() -> Option<u64> {
    peak_bytes(&fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read() {
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 1 0 100";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("12 (a"), None);
        assert_eq!(peak_bytes("VmPeak:\t 9 kB\nVmHWM:\t   2 kB\n"), Some(2048));
        assert_eq!(peak_bytes("nothing"), None);
    }
}
