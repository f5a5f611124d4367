//! CPU and memory of processes and threads, from `/proc`.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Clock ticks a second in `/proc/*/stat`: `USER_HZ`, which is 100 on every Linux that Rust supports.
const TICKS: f64 = 100.0;
/// How often a running child's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a finished process took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// CPU seconds of all its threads, user and system.
    pub cpu: f64,
    /// Seconds by the clock on the wall.
    pub wall: f64,
    /// Most resident memory in bytes.
    pub peak_rss: u64,
}

/// Runs a command to its end. Nothing else may end a child of this process meanwhile: the CPU time is read from the sum
/// over children, which is exact to a tick even for a process that is gone.
pub fn run(command: &mut Command) -> anyhow::Result<Cost> {
    let before = children_cpu()?;
    let begin = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let mut peak_rss = 0;
    let status = loop {
        peak_rss = peak_rss.max(peak_memory(child.id()));
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    let wall = begin.elapsed().as_secs_f64();
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(Cost { cpu: children_cpu()? - before, wall, peak_rss })
}

/// CPU seconds that this process took so far.
pub fn own_cpu() -> anyhow::Result<f64> {
    stat_seconds("/proc/self/stat", 11)
}

/// CPU seconds of all children of this process that ended.
fn children_cpu() -> anyhow::Result<f64> {
    stat_seconds("/proc/self/stat", 13)
}

/// CPU seconds that a running process took so far.
pub fn cpu_of(process: u32) -> anyhow::Result<f64> {
    stat_seconds(&format!("/proc/{process}/stat"), 11)
}

/// CPU seconds of the threads of a process whose name is `name`, exact to the nanosecond.
pub fn threads_cpu(process: u32, name: &str) -> anyhow::Result<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task")).context("the threads of a process")? {
        let task = task?.path();
        // A thread may end between the listing and the look.
        let (Ok(thread), Ok(times)) =
            (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat")))
        else {
            continue;
        };
        if thread.trim() == name {
            nanoseconds += times.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Most resident memory of a process so far, in bytes; 0 where it is gone.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// The sum of two neighbouring fields of a `stat` file, the first at this place after the command's name.
fn stat_seconds(file: &str, first: usize) -> anyhow::Result<f64> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    // The name may hold spaces and parentheses; what follows the last one does not.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks =
        rest.split_whitespace().skip(first).take(2).map(|n| n.parse::<u64>().unwrap_or(0)).sum::<u64>();
    Ok(ticks as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_in_the_cpu_time_and_a_childs_in_its_cost() {
        let before = own_cpu().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(3) && own_cpu().unwrap() < before + 0.05 {
            std::hint::black_box((0..100_000u64).sum::<u64>());
        }
        assert!(own_cpu().unwrap() >= before + 0.05);
        let cost = run(Command::new("sh").args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]))
            .unwrap();
        assert!(cost.cpu > 0.0 && cost.peak_rss > 0, "{cost:?}");
        assert!(run(Command::new("sh").args(["-c", "exit 3"])).is_err());
    }
}
