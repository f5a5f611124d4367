//! SQL against a running pipeline: look-ups, a scan, sums over the archive, and what analysts cost those who only watch videos.
//!
//! `freshet-sql` is a process of its own, and is asked as an analyst asks: statements on its standard input, answers on its standard output,
//! one after the other. What DuckDB takes for the same sums over the same Parquet files stands beside, where a Python has it
//! (`--python`); both with one thread, and both must say the same.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use freshet_schema::hash;
use serde_json::Value as Json;

use crate::Bench;
use crate::freshness;
use crate::pace::Latencies;
use crate::poster::{DEMO, demo_service};
use crate::process;
use crate::report::{Figure, Report, Target};
use crate::service::Service;
use crate::state::link;
use crate::world::{FIRST_VIDEO, Size};

const GROUP: &str = "sql";

/// State without lists: none of the tables that are asked for needs them.
const SETTINGS: &str = "[clock]\nreplay_epoch_ms = \"20m\"\ntick_ms = 3600000\n\n[feed]\nenabled = false\n\n[checkpoint]\nevery = \"1h\"\n\n\
                        [sql]\ntimeout = \"10m\"\n\n[log]\nfilter = \"warn\"\n\n[archive]\n";
const LOOKUPS: u64 = 1_000;
/// Each of the others is asked so often, and the middle one counts.
const ASKED: usize = 5;

const SCAN: &str = "select count(*) as n, sum(views) as views, sum(watch_ms) as watch_ms, sum(likes) as likes, avg(watched_part) as part from video_stats";

/// The same sums for both engines: ours over the tables, DuckDB's over the files.
struct Sums {
    name: &'static str,
    ours: &'static str,
    duckdb: &'static str,
}

const SUMS: [Sums; 2] = [
    Sums {
        name: "users, views and watch time by day",
        ours: "select count(*) as days, cast(sum(n) as bigint) as n, cast(sum(u) as bigint) as u, cast(sum(w) as bigint) as w from (select day, \
               count(*) as n, count(distinct user_id) as u, sum(watch_ms) as w from history.interactions group by day) d",
        duckdb: "select count(*) as days, cast(sum(n) as bigint) as n, cast(sum(u) as bigint) as u, cast(sum(w) as bigint) as w from (select \
                 event_time // 86400000 as day, count(*) as n, count(distinct user_id) as u, sum(watch_ms) as w from files group by day) d",
    },
    Sums {
        name: "the interactions that count, by revision",
        ours: "select count(*) as n, cast(sum(watch_ms) as bigint) as w, cast(sum(case when liked then 1 else 0 end) as bigint) as l from \
               (select *, row_number() over (partition by user_id, event_id order by revision desc, input_partition, input_offset) as place \
               from history.interactions) i where place = 1",
        duckdb: "select count(*) as n, cast(sum(watch_ms) as bigint) as w, cast(sum(case when \"like\" then 1 else 0 end) as bigint) as l from \
                 (select *, row_number() over (partition by user_id, event_id order by coalesce(revision, 0) desc, partition, \"offset\") as place \
                 from files) i where place = 1",
    },
];

/// Asks DuckDB; standard input: {"files": [...], "sql": [...], "times": n}. CPU of the process but for the first answer, which warms up.
const DUCKDB: &str = "
import json, resource, sys, time
import duckdb
asked = json.load(sys.stdin)
connection = duckdb.connect()
connection.execute('set threads = 1')
connection.execute('set preserve_insertion_order = false')
names = ', '.join(\"'\" + name.replace(\"'\", \"''\") + \"'\" for name in asked['files'])
connection.execute(f'create view files as select * from read_parquet([{names}], hive_partitioning = false)')
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
answers = []
for sql in asked['sql']:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    row = dict(zip(names, cursor.fetchone()))
    before, walls = cpu(), []
    for _ in range(asked['times']):
        began = time.perf_counter()
        connection.execute(sql).fetchall()
        walls.append(time.perf_counter() - began)
    answers.append({'row': row, 'cpu': (cpu() - before) / asked['times'], 'wall': sorted(walls)[len(walls) // 2]})
print(json.dumps({'version': duckdb.__version__, 'answers': answers}))
";

/// A prompt that is asked by a program.
struct Analyst {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Analyst {
    fn start(binary: &Path, store: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.args(["--format", "json", "--timeout", "600", "--store"]).arg(store);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| {
            format!("{}: build it with `cargo build --release -p freshet-sql`", binary.display())
        })?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("its output")?);
        Ok(Self { child, input, output })
    }

    /// The one row of a query, and how long it took. What is wrong with a query is said on standard error.
    fn ask(&mut self, sql: &str) -> anyhow::Result<(Json, Duration)> {
        let input = self.input.as_mut().context("its input is open")?;
        let began = Instant::now();
        // The second statement ends the wait for an answer that does not come.
        writeln!(input, "{sql};\nselect 'end' as ended;")?;
        let answer = self.line()?;
        let took = began.elapsed();
        ensure!(!answer["ended"].is_string(), "no row came: {sql}");
        let end = self.line()?;
        ensure!(end["ended"].is_string(), "more than one row came: {sql}");
        Ok((answer, took))
    }

    fn line(&mut self) -> anyhow::Result<Json> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "freshet-sql ended");
        Ok(serde_json::from_str(&line)?)
    }

    fn cpu(&self) -> anyhow::Result<f64> {
        process::cpu_of(self.child.id())
    }
}

impl Drop for Analyst {
    fn drop(&mut self) {
        // Its input ends, and so does it; one that has ended already is no error.
        drop(self.input.take());
        drop(self.child.wait());
    }
}

/// How long each of some queries takes, and the CPU of each.
fn timed(analyst: &mut Analyst, sql: &str) -> anyhow::Result<(Json, f64, f64)> {
    let (row, _) = analyst.ask(sql)?;
    let before = analyst.cpu()?;
    let mut walls = Vec::new();
    for _ in 0..ASKED {
        walls.push(analyst.ask(sql)?.1.as_secs_f64());
    }
    walls.sort_by(f64::total_cmp);
    Ok((row, walls[ASKED / 2], (analyst.cpu()? - before) / ASKED as f64))
}

/// Measures look-ups, scan and sums at 1M interactions, 100k videos and 50k users; then the freshness beside four analysts.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let size =
        Size { users: bench.scaled(50_000), videos: bench.scaled(100_000), events: bench.scaled(1_000_000) };
    let binary = bench.worlds.beside("freshet-sql");
    let scratch = bench.worlds.scratch()?;
    let (store, log) = (scratch.path().join("store"), scratch.path().join("log"));
    let archive = scratch.path().join("archive");
    link(&bench.worlds.log(size)?, &log)?;
    let config = scratch.path().join("sql.toml");
    fs::write(&config, format!("{SETTINGS}dir = {:?}\n", archive.display().to_string()))?;
    let service = Service::start(&bench.worlds, &config, &log, &store)?;
    // A checkpoint is made when the archive has everything up to it.
    let mut now = bench.worlds.freshet("checkpoint");
    let made = now
        .arg("now")
        .arg("--config")
        .arg(&config)
        .arg("--store")
        .arg(&store)
        .stdout(Stdio::null())
        .status()?;
    ensure!(made.success(), "{now:?} ended with {made}");
    service.settle()?;

    let mut analyst = Analyst::start(&binary, &store)?;
    let mut latencies = Latencies::default();
    let lookups = bench.scaled(LOOKUPS).max(50);
    let lookup = |n: u64| {
        let video = FIRST_VIDEO + hash::mix(11, &[n]) % size.videos;
        format!("select count(*) as spans, sum(views) as views from video_stats where video_id = {video}")
    };
    for n in 0..lookups {
        let (_, took) = analyst.ask(&lookup(n))?;
        // The first few are the engine's own warming up.
        if n >= 20 {
            latencies.add(took);
        }
    }
    let spans = service.metrics()?.get("freshet_sql_rows_total{table=\"video_stats\"}");
    ensure!(spans <= lookups as f64 * 4.0, "{spans} rows were sent for {lookups} look-ups of at most four");
    let note = format!("{size}; {lookups} look-ups of video_stats by video_id, planning included");
    report.add([
        Figure::new(GROUP, "look-up by key, p50", latencies.quantile_ms(0.5), "ms", Target::None).note(note),
        Figure::new(GROUP, "look-up by key, p99", latencies.quantile_ms(0.99), "ms", Target::AtMost(5.0))
            .note("wall time; each is a snapshot of the running pipeline"),
    ])?;
    let (row, wall, cpu) = timed(&mut analyst, SCAN)?;
    report.add([Figure::new(GROUP, "full scan of video_stats", wall * 1e3, "ms", Target::AtMost(300.0))
        .note(format!("{} rows; {cpu:.3} CPU-s of freshet-sql", row["n"]))])?;
    report.add(sums(bench, &mut analyst, &archive)?)?;
    drop((analyst, service));
    for rate in EVENTS_PER_SECOND {
        report.add(beside_analysts(bench, &binary, rate)?)?;
    }
    Ok(())
}

/// The files of the interactions that the archive's manifest names.
fn files(archive: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let text = fs::read_to_string(archive.join("manifest.json"))?;
    let (json, _checksum) = text.rsplit_once("xxh3 ").context("the manifest's last line")?;
    let manifest: Json = serde_json::from_str(json)?;
    let files = manifest["files"].as_array().context("its files")?.iter();
    let named = files.filter(|file| file["table"] == "interactions").filter_map(|file| file["path"].as_str());
    Ok(named.map(|path| archive.join(path)).collect())
}

fn sums(bench: &Bench, analyst: &mut Analyst, archive: &Path) -> anyhow::Result<Vec<Figure>> {
    let files = files(archive)?;
    let bytes: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum();
    let about = format!("{} files, {:.1} MB", files.len(), bytes as f64 / 1e6);
    let asked = serde_json::json!({"files": files, "sql": SUMS.map(|sums| sums.duckdb), "times": ASKED});
    let duckdb = ask_duckdb(&bench.python, &asked)?;
    let mut figures = Vec::new();
    for (place, sums) in SUMS.iter().enumerate() {
        let (row, wall, cpu) = timed(analyst, sums.ours)?;
        let name = |what: &str| format!("{}, {what}", sums.name);
        figures.push(
            Figure::new(GROUP, name("CPU"), cpu, "CPU-s", Target::None)
                .note(format!("{about}; {:.0} ms by the clock; {row}", wall * 1e3)),
        );
        let Some(duckdb) = &duckdb else { continue };
        let theirs = &duckdb["answers"][place];
        ensure!(theirs["row"] == row, "DuckDB says {}, and freshet-sql {row}", theirs["row"]);
        let number = |key: &str| theirs[key].as_f64().with_context(|| format!("{key} of DuckDB"));
        let version = duckdb["version"].as_str().unwrap_or_default();
        figures.push(Figure::new(GROUP, name("DuckDB"), number("cpu")?, "CPU-s", Target::None).note(
            format!("{version}, one thread; {:.0} ms by the clock; the same answer", number("wall")? * 1e3),
        ));
        figures.push(Figure::new(GROUP, name("to DuckDB"), cpu / number("cpu")?, "ratio", Target::None));
    }
    Ok(figures)
}

/// What DuckDB answers; nothing where there is no Python that has it, which is said on standard error.
fn ask_duckdb(python: &Path, asked: &Json) -> anyhow::Result<Option<Json>> {
    let has = Command::new(python).args(["-c", "import duckdb"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        eprintln!(
            "--python {}: it has no duckdb, so nothing is compared with (python3 -m venv V; V/bin/pip install duckdb; --python V/bin/python3)",
            python.display()
        );
        return Ok(None);
    }
    let mut command = Command::new(python);
    let mut child = command.args(["-c", DUCKDB]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("its input")?.write_all(asked.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "DuckDB ended with {}", output.status);
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}

/// What four analysts ask again and again.
const ANALYSTS: [&str; 4] = [
    "select count(*) as n, avg(s.watched_part) as part from video_stats s join videos v on v.video_id = s.video_id where v.ready",
    "select sum(likes) as likes from video_stats where video_id = 1000000042",
    "select count(*) as n, max(interactions) as most from users where likes > 0",
    "select count(*) as n, sum(score) as score from feeds where user_id = 1000042",
];
/// The rate of the target; and a quarter of it, which leaves some of a core to a processor that makes fewer than 1,000 lists a second:
/// where it has none to spare events queue, and a ratio of queues says nothing.
const EVENTS_PER_SECOND: [f64; 2] = [250.0, 1_000.0];

fn beside_analysts(bench: &Bench, binary: &Path, rate: f64) -> anyhow::Result<Vec<Figure>> {
    let (service, scratch) = demo_service(bench)?;
    let store = scratch.path().join("store");
    let time = Duration::from_secs_f64(20.0 * bench.scale.max(0.1));
    let mut alone = freshness::latencies(&service, rate, time)?;
    let over = AtomicBool::new(false);
    let (mut beside, asked) = std::thread::scope(|scope| {
        let analysts: Vec<_> = ANALYSTS
            .iter()
            .map(|sql| {
                let (over, store) = (&over, &store);
                scope.spawn(move || -> anyhow::Result<u64> {
                    let mut analyst = Analyst::start(binary, store)?;
                    let mut asked = 0;
                    while !over.load(Ordering::Relaxed) {
                        analyst.ask(sql)?;
                        asked += 1;
                    }
                    Ok(asked)
                })
            })
            .collect();
        let beside = freshness::latencies(&service, rate, time);
        over.store(true, Ordering::Relaxed);
        let mut asked = 0;
        for analyst in analysts {
            asked += analyst.join().map_err(|_| anyhow::anyhow!("an analyst panicked"))??;
        }
        anyhow::Ok((beside?, asked))
    })?;
    let (alone_p99, beside_p99) = (alone.quantile_ms(0.99), beside.quantile_ms(0.99));
    let workload = format!("{DEMO}; {rate} events/s for {:.0} s", time.as_secs_f64());
    let at = |what: &str| format!("{what}, at {rate} events/s");
    Ok(vec![
        Figure::new(GROUP, at("POST to new list without analysts, p99"), alone_p99, "ms", Target::None).note(workload),
        Figure::new(GROUP, at("beside four analysts, p99"), beside_p99, "ms", Target::None).note(format!(
            "{asked} queries meanwhile: two scans, two look-ups, each in a process of its own; p50 {:.1} and {:.1} ms",
            alone.quantile_ms(0.5),
            beside.quantile_ms(0.5)
        )),
        Figure::new(GROUP, at("freshness beside analysts to without"), beside_p99 / alone_p99, "ratio", Target::AtMost(1.5)),
    ])
}
