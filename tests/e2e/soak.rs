//! The whole chain under load while its processes, Redis and the broker are killed by a seeded schedule. In the end the store
//! holds, byte for byte, what a run leaves that nobody interrupted; each record that the broker took was counted once; and the next
//! event reaches its list. No reader sees a list go back meanwhile. The short form is a test like any other; `make soak` runs the
//! long one, in which the job stands still for ten minutes, too, while the load goes on; its second half is quiet and shows whether
//! memory grows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use freshet_kafka::{Connection, Publisher, Ticket};
use freshet_schema::Event;
use serde_json::{Value as Json, json};

use crate::archive::archived;
use crate::broker::{Broker, STREAMS};
use crate::cluster::{children, kill, signal};
use crate::harness::{PATIENCE, number, ok, ok_json, same, videos, wait_for};
use crate::lists_reader::ListsReader;
use crate::redis::ranked_users_of;
use crate::redis_server::{RedisServer, free_port};
use crate::service::Service;
use crate::world::{read, world};

/// The longest that the chain may take from a kill until it is ready again. A debug build beside a broker on two cores takes a fifth
/// of it; what hangs takes for ever.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// By so many bytes more than its state the job may grow in the quiet. Checkpoints come and go in it, by some tens of MiB; a leak of half a KiB an
/// interaction would be more.
const NO_STATE: i64 = 48 << 20;
/// By so many bytes the job may grow while it works off what came as it stood still.
const GROWS: u64 = 400 << 20;
/// A burst that is worked off is one of which so few records are left: the load goes on.
const FEW: f64 = 100.0;
/// ... for so long.
const SETTLED: Duration = Duration::from_secs(5);
/// The first event id of the load, and that of what comes after it: no generated world has such.
const LOAD: u64 = 7_000_000_000;
const AFTER: u64 = 8_000_000_000;

struct Plan {
    /// Kills, at least.
    kills: u64,
    /// How long something is killed now and then.
    hurt: Duration,
    /// How long the job then stands still, while the load goes on.
    held: Duration,
    /// How long nothing happens afterwards.
    quiet: Duration,
    /// The longest pause between two kills.
    pause: Duration,
    seed: u64,
    /// Batches of interactions a second, of ten each.
    batches: u64,
    processes: usize,
}

/// A few numbers from a seed: which is killed next, and when.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's constants; the upper half of the bits.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_minute_of_kills_changes_no_byte() {
    soak(&Plan {
        kills: 10,
        hurt: Duration::from_secs(40),
        held: Duration::from_secs(3),
        quiet: Duration::from_secs(4),
        pause: Duration::from_secs(4),
        seed: 80,
        batches: 5,
        processes: 2,
    });
}

/// `SOAK_MINUTES` (40: more than a hundred kills, and a pause of ten minutes), `SOAK_SEED` (1), `SOAK_PROCESSES` (1).
#[test]
#[ignore = "takes an hour: make soak"]
fn a_long_soak() {
    let number = |name: &str, otherwise: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} = {text:?} is no whole number")),
        Err(_) => otherwise,
    };
    let minutes = number("SOAK_MINUTES", 40);
    let half = Duration::from_secs(minutes * 30);
    soak(&Plan {
        kills: (minutes * 100).div_ceil(40).max(4),
        hurt: half,
        held: half / 2,
        quiet: half,
        pause: Duration::from_secs(15),
        seed: number("SOAK_SEED", 1),
        batches: 20,
        processes: usize::try_from(number("SOAK_PROCESSES", 1)).expect("a small number"),
    });
}

fn copy_folder(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success(), "{} cannot be copied", from.display());
}

/// Writes a configuration; `more` are lines of `[clock]`, then other sections.
fn configure(dir: &Path, name: &str, (store, more): (&str, &str), broker: &Broker, server: &RedisServer) {
    let topics: String = STREAMS.iter().map(|stream| format!("{stream} = \"soak.{stream}\"\n")).collect();
    let text = format!(
        "[input]\nsource = \"kafka\"\n[kafka]\nbrokers = \"{}\"\n{topics}[store]\ndir = \"{store}\"\nkind = \"redis\"\n\
         [redis]\nurl = \"{}\"\n[checkpoint]\nevery = \"2s\"\nkeep = 1000\n[clock]\nreplay_epoch_ms = \"20m\"\nlive = \"shifted\"\n{more}\
         [supervisor]\nrestarts = 100000\nbackoff = \"20ms\"\nmax_backoff = \"1s\"\n",
        broker.address(),
        server.url()
    );
    std::fs::write(dir.join(name), text).expect("written");
}

fn soak(plan: &Plan) {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let mut broker = Broker::start();
    let mut server = RedisServer::durable();
    configure(dir, "soak.toml", ("store", "[archive]\ndir = \"archive\"\n"), &broker, &server);
    world(dir, plan.seed, 400);
    ok(dir, &["produce", "log", "--config", "soak.toml", "--create-topics", "2"]);
    ok(dir, &["run", "--config", "soak.toml", "--once", "--quiet"]);
    let ranked = ranked_users_of(&ok(dir, &["dump", "--config", "soak.toml"]));
    let refused = dead_letters(dir);
    // Everything as it is before the first kill: what the uninterrupted run begins with.
    server.kill();
    copy_folder(server.folder(), &dir.join("redis-before"));
    copy_folder(&dir.join("store"), &dir.join("whole"));
    server.restart();

    let place = format!("127.0.0.1:{}", free_port());
    let processes = plan.processes.to_string();
    let args = ["run", "--config", "soak.toml", "--quiet", "--listen", &place, "--processes", &processes];
    let service = Service::run(dir, &args);
    let load = Load::start(dir, &broker.connection(), plan);
    let watch = Watch::start(service.id());
    let reader = ListsReader::start(&server.url(), &ranked[..8]);
    let (kills, slowest) = hurt(plan, &service, &mut server, &mut broker);
    let (grown, worked_off) = hold(plan.held, &service, &watch);
    let calm = Calm::over(plan.quiet, &service, &watch, &load);
    let curve = watch.end();
    let sent = load.end();
    wait_for("all that was sent", || {
        std::thread::sleep(Duration::from_millis(200));
        (lag(&service)? == 0.0).then_some(())
    });
    a_click_reaches_its_list(&service, ranked[0]);
    let lists = reader.end();
    let restarts = number(&service.found("/healthz")["restarts"]);
    service.stop();
    // The gauges are of a second ago: what was not read yet is bound and stored now.
    ok(dir, &["run", "--config", "soak.toml", "--once", "--quiet"]);
    let killed = ok(dir, &["dump", "--config", "soak.toml"]);

    println!("{sent} interactions, {restarts} restarts, killed: {kills:?}");
    println!("ready again after at most {slowest:?}; {lists}");
    println!(
        "stood still for {:?}: {:.1} MiB more until that was worked off, {worked_off:?} later",
        plan.held,
        mib(grown)
    );
    show(&curve);
    println!("{calm}");
    // A few seconds say nothing of memory.
    let leaked = calm.beside_state();
    assert!(
        plan.quiet < Duration::from_secs(60) || leaked < NO_STATE,
        "{leaked} bytes more that are no state"
    );
    assert!(grown < GROWS, "{grown} bytes more after the job stood still");
    assert!(kills.values().sum::<u64>() >= plan.kills, "fewer than {} kills: {kills:?}", plan.kills);
    assert!(slowest < READY_WITHIN, "ready again only {slowest:?} after a kill");
    assert!(lists.read > 100 && lists.newer > 10, "a reader that saw nothing new proves nothing: {lists}");
    for victim in ["process", "redis", "broker"] {
        assert!(kills.get(victim).is_some_and(|count| *count > 0), "no {victim} was killed: {kills:?}");
    }
    assert!(restarts >= kills["process"], "{restarts} restarts and {kills:?}");
    let consumed = ok_json(dir, &["checkpoint", "list", "--config", "soak.toml", "--json"]);
    assert!(consumed.as_array().is_some_and(|made| made.len() > 3), "{consumed}");

    assert_eq!(dead_letters(dir), refused, "records that were refused");
    each_record_is_counted_once(dir, &broker, sent);

    // The same epochs once more, in one process that nobody hurts.
    std::fs::remove_dir_all(dir.join("whole/journal")).expect("removed");
    copy_folder(&dir.join("store/journal"), &dir.join("whole/journal"));
    let whole = RedisServer::over(&dir.join("redis-before"));
    // Behind the journal's epochs it would bind more of its own, to catch up with the clock: a publication may be due by then.
    configure(dir, "whole.toml", ("whole", "max_now_step = \"1d\"\ntick_ms = 3_600_000\n"), &broker, &whole);
    ok(dir, &["run", "--config", "whole.toml", "--once", "--quiet"]);
    let last = |config| number(&ok_json(dir, &["stats", "--json", "--config", config])["epoch"]);
    assert_eq!(last("whole.toml"), last("soak.toml"), "the same epochs");
    same(&ok(dir, &["dump", "--config", "whole.toml"]), &killed, "uninterrupted and killed");
}

/// Of what the load sent, all is in the topic; of what is in the topic, each record is in the archive once; and what the job has counted is
/// what follows from the archive alone. None of this looks at the journal.
fn each_record_is_counted_once(dir: &Path, broker: &Broker, sent: u64) {
    let topic = broker.read("soak.interactions");
    let id = |record: &crate::broker::Record| -> u64 {
        let value = record.value.as_deref().expect("a record has a value");
        number(&serde_json::from_slice::<Json>(value).expect("JSON")["event_id"])
    };
    let taken: BTreeSet<u64> = topic.iter().map(id).filter(|id| (LOAD..AFTER).contains(id)).collect();
    assert!(taken.iter().copied().eq(LOAD..LOAD + sent), "{} of {sent} ids are in the topic", taken.len());

    let mut in_topic: Vec<(u64, u64)> =
        topic.iter().map(|record| (id(record), record.offset as u64)).collect();
    let of = |(origin, event): &(freshet_schema::event::Origin, Event)| match event {
        Event::Interaction(view) => Some((view.event_id.0, origin.offset)),
        _ => None,
    };
    let epochs = archived(dir, "archive");
    let mut counted: Vec<(u64, u64)> =
        epochs.iter().flat_map(|epoch| epoch.records.iter().filter_map(of)).collect();
    in_topic.sort_unstable();
    counted.sort_unstable();
    assert_eq!(in_topic.len(), counted.len(), "records in the topic, and counted");
    let differs = in_topic.iter().zip(&counted).find(|(a, b)| a != b);
    assert!(differs.is_none(), "id and offset, in the topic and counted: {differs:?}");

    let report = ok_json(dir, &["verify", "--config", "soak.toml", "--json"]);
    assert_eq!(report["holds"], json!(true), "{report}");
}

/// What the chain was told when all was over.
fn a_click_reaches_its_list(service: &Service, user: u64) {
    // A page alone: the server fills a list that is short from the group's, which what was watched is part of.
    let page = format!("/v1/feed/{user}?limit=20");
    let before = service.found(&page);
    let video = videos(&before)[0];
    let click =
        json!({"event_id": AFTER, "user_id": user, "video_id": video, "watch_ms": 60_000, "like": true});
    service.post(&click);
    let mut after = Json::Null;
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let got = service.try_get(&page);
        after = got.filter(|(status, _)| *status == 200).map_or(after, |(_, feed)| feed);
        if !after.is_null() && !videos(&after).contains(&video) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{video} was clicked and is still in the list of {user}\nbefore: {before}\nafter: {after}");
}

/// Records that were refused so far.
fn dead_letters(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("store/dead-letters.jsonl")).map_or(0, |text| text.lines().count())
}

/// Kills something now and then; how often what was killed, and the longest time from a kill until the chain was ready again.
fn hurt(
    plan: &Plan,
    service: &Service,
    server: &mut RedisServer,
    broker: &mut Broker,
) -> (BTreeMap<&'static str, u64>, Duration) {
    let mut draw = Draw(plan.seed);
    let mut kills = BTreeMap::new();
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for turn in 0.. {
        // However slow the machine is; each kind is among the first four.
        if began.elapsed() > plan.hurt && turn >= plan.kills {
            break;
        }
        let pause = plan.pause.as_millis() as u64;
        std::thread::sleep(Duration::from_millis(pause / 4 + draw.below(pause * 3 / 4)));
        // Each kind early on, then as it comes.
        let victim = match turn {
            0 => "process",
            1 => "redis",
            2 => "broker",
            3 => "emptied redis",
            _ => ["process", "process", "process", "process", "process", "redis", "emptied redis", "broker"]
                [draw.below(8) as usize],
        };
        // Between two attempts there are no processes, or not all; and the next kill is to meet the next attempt.
        let all = || Some(children(service.id())).filter(|all| all.len() == plan.processes);
        let before: Vec<u32> = wait_for("all processes", all).into_values().collect();
        let killed = Instant::now();
        match victim {
            "process" => {
                kill(before[draw.below(before.len() as u64) as usize]);
                wait_for("new processes", || {
                    all().filter(|now| now.values().all(|pid| !before.contains(pid)))
                });
            }
            "broker" => {
                broker.kill();
                broker.start_again();
            }
            "redis" => server.restart(),
            _ => {
                server.kill();
                std::fs::remove_dir_all(server.folder().join("appendonlydir")).expect("what it had");
                server.restart();
            }
        }
        wait_for("the service after a kill", || {
            std::thread::sleep(Duration::from_millis(20));
            service.try_get("/readyz").is_some_and(|(status, _)| status == 200).then_some(())
        });
        slowest = slowest.max(killed.elapsed());
        *kills.entry(victim).or_default() += 1;
    }
    (kills, slowest)
}

/// Has all processes of the job stand still for some time, as where a machine is suspended. By how many bytes they grew at most until they
/// had worked off what came meanwhile, and how long that took.
fn hold(time: Duration, service: &Service, watch: &Watch) -> (u64, Duration) {
    let pids: Vec<u32> = children(service.id()).into_values().collect();
    let before: u64 = pids.iter().filter_map(|pid| resident(*pid)).sum();
    let from = watch.samples();
    let stopped = pids.iter().filter(|pid| signal(**pid, "STOP")).count();
    assert_eq!(stopped, pids.len(), "a process went before it was stopped");
    std::thread::sleep(time);
    let since = Instant::now();
    // Whoever goes on first may find the other lost, and the supervisor then ends it.
    for pid in &pids {
        let _ = signal(*pid, "CONT");
    }
    // The gauges are of a second ago, and the first of them of before it stood still: it has worked off what came when they stay low.
    let mut behind = since;
    while behind.elapsed() < SETTLED {
        if lag(service).is_none_or(|lag| lag > FEW) {
            behind = Instant::now();
        }
        assert!(
            since.elapsed() < time * 4 + Duration::from_secs(120),
            "not worked off after {:?}",
            since.elapsed()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let samples = watch.samples.lock().expect("no panic");
    let most = samples[from..].iter().map(|(_, bytes)| *bytes).max().unwrap_or(before);
    (most.saturating_sub(before), behind - since)
}

/// Records that are not read yet, and epochs that are not committed; `None` where nobody can say.
fn lag(service: &Service) -> Option<f64> {
    let (status, text) = service.try_get("/metrics")?;
    let text = text.as_str().filter(|_| status == 200)?.to_owned();
    let sum = |name: &str| -> f64 {
        let of = text.lines().filter(|line| line.starts_with(name));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    text.contains("freshet_input_lag_records").then(|| {
        sum("freshet_input_lag_records")
            + sum("freshet_in_flight_epochs")
            + sum("freshet_store_slices_to_remake")
    })
}

/// Interactions that are sent all the while, whatever is down.
struct Load {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(dir: &Path, connection: &Connection, plan: &Plan) -> Self {
        let ids = |stream: &str, field: &str| -> Vec<u64> {
            read(dir, "log", stream).iter().map(|record| number(&record[field])).collect()
        };
        // Every second video: whoever had watched all of them would have no list of their own.
        let videos: BTreeSet<u64> = ids("uploads", "video_id").into_iter().collect();
        let videos: Vec<u64> = videos.into_iter().step_by(2).collect();
        let users = ids("users", "user_id");
        assert!(users.len() > 50 && videos.len() > 50);
        // The world's time goes on from where its log ends.
        let last = ids("interactions", "event_time").into_iter().max().expect("interactions");
        let began = Instant::now();
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts) = (Arc::clone(&over), Arc::clone(&sent));
        let connection = connection.clone();
        let (mut draw, pause) = (Draw(plan.seed + 1), Duration::from_millis(1_000 / plan.batches));
        let thread = std::thread::spawn(move || {
            let publisher = Publisher::new("load", &connection, None).expect("a client");
            while !ends.load(Relaxed) {
                let (sender, answer) = std::sync::mpsc::channel();
                let ticket = Ticket::new(10, move |result| drop(sender.send(result)));
                for _ in 0..10 {
                    let number = counts.fetch_add(1, Relaxed);
                    let now = last + began.elapsed().as_millis() as u64;
                    let (user, video) = (
                        users[draw.below(users.len() as u64) as usize],
                        videos[draw.below(videos.len() as u64) as usize],
                    );
                    let (watch, like) = (draw.below(30_000), draw.below(4) == 0);
                    let record = format!(
                        "{{\"event_id\":{},\"event_time\":{now},\"user_id\":{user},\"video_id\":{video},\"watch_ms\":{watch},\
                         \"like\":{like}}}",
                        LOAD + number
                    );
                    let key = user.to_string();
                    publisher.send("soak.interactions", &key, record.as_bytes(), &[], &ticket).expect("room");
                }
                answer.recv().expect("an answer").expect("acknowledged");
                std::thread::sleep(pause);
            }
        });
        Self { over, sent, thread }
    }

    fn end(self) -> u64 {
        self.over.store(true, Relaxed);
        self.thread.join().expect("everything was acknowledged");
        self.sent.load(Relaxed)
    }
}

/// Memory of the job's processes, by time.
struct Watch {
    over: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<(Duration, u64)>>>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(supervisor: u32) -> Self {
        let (over, samples) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ends, into) = (Arc::clone(&over), Arc::clone(&samples));
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            while !ends.load(Relaxed) {
                let resident: u64 = children(supervisor).into_values().filter_map(resident).sum();
                into.lock().expect("no panic").push((began.elapsed(), resident));
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Self { over, samples, thread }
    }

    fn samples(&self) -> usize {
        self.samples.lock().expect("no panic").len()
    }

    /// Of the samples from this one on.
    fn median(&self, from: usize) -> u64 {
        let samples = self.samples.lock().expect("no panic");
        let mut bytes: Vec<u64> =
            samples[from.min(samples.len())..].iter().map(|(_, bytes)| *bytes).collect();
        bytes.sort_unstable();
        bytes.get(bytes.len() / 2).copied().unwrap_or_default()
    }

    fn end(self) -> Vec<(Duration, u64)> {
        self.over.store(true, Relaxed);
        self.thread.join().expect("no panic");
        self.samples.lock().expect("no panic").clone()
    }
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/status"))).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Prints some twenty points of the curve.
fn show(curve: &[(Duration, u64)]) {
    for (at, bytes) in curve.iter().step_by((curve.len() / 20).max(1)) {
        println!("{:>6} s {:>8.1} MiB resident", at.as_secs(), mib(*bytes));
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What came to the job's memory while nobody hurt it, behind a quarter of that time: all that it had kept, and each piece of its state.
struct Calm {
    time: Duration,
    interactions: u64,
    /// The median of a tenth of the time, at its beginning and at its end: memory comes and goes with each checkpoint.
    resident: [u64; 2],
    /// `freshet_state_bytes` by its label, before and after.
    state: [BTreeMap<String, u64>; 2],
}

impl Calm {
    fn over(quiet: Duration, service: &Service, watch: &Watch, load: &Load) -> Self {
        std::thread::sleep(quiet / 4);
        let (tenth, from) = (quiet / 10, watch.samples());
        let (since, sent) = (Instant::now(), load.sent.load(Relaxed));
        let before = states(service);
        std::thread::sleep(tenth);
        let first = watch.median(from);
        std::thread::sleep((quiet * 3 / 4).saturating_sub(tenth * 2));
        let to = watch.samples();
        std::thread::sleep(tenth);
        Self {
            interactions: load.sent.load(Relaxed) - sent,
            resident: [first, watch.median(to)],
            state: [before, states(service)],
            time: since.elapsed(),
        }
    }

    fn state(&self, n: usize) -> u64 {
        self.state[n].values().sum()
    }

    /// What came to the resident memory and is no state.
    fn beside_state(&self) -> i64 {
        let came = |[before, after]: [u64; 2]| after as i64 - before as i64;
        came(self.resident) - came([self.state(0), self.state(1)])
    }
}

impl std::fmt::Display for Calm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, last] = self.resident.map(mib);
        let (seconds, interactions) = (self.time.as_secs(), self.interactions);
        writeln!(
            f,
            "nothing killed, {seconds} s, {interactions} interactions: {first:.1} MiB resident, then {last:.1} MiB;"
        )?;
        write!(f, "the state {:.1} MiB, then {:.1} MiB", mib(self.state(0)), mib(self.state(1)))?;
        for (name, after) in &self.state[1] {
            let before = self.state[0].get(name).copied().unwrap_or_default();
            if after.abs_diff(before) >= 100 << 10 {
                write!(f, "\n{name:>24} {:>8.2} {:>8.2} MiB", mib(before), mib(*after))?;
            }
        }
        Ok(())
    }
}

/// `freshet_state_bytes`, by state.
fn states(service: &Service) -> BTreeMap<String, u64> {
    let text = wait_for("the metrics", || {
        let (status, text) = service.try_get("/metrics")?;
        text.as_str().filter(|_| status == 200).map(str::to_owned)
    });
    let of =
        text.lines().filter_map(|line| line.strip_prefix("freshet_state_bytes{state=\"")?.split_once("\"} "));
    of.map(|(name, bytes)| (name.to_owned(), bytes.parse::<f64>().expect("a gauge is a number") as u64))
        .collect()
}

/// What a schedule is drawn from gives the same again.
#[test]
fn a_schedule_is_repeatable() {
    let drawn = |seed| {
        let mut draw = Draw(seed);
        (0..100).map(|_| draw.below(8)).collect::<Vec<u64>>()
    };
    assert_eq!(drawn(3), drawn(3));
    assert_ne!(drawn(3), drawn(4));
    assert!((0..8).all(|n| drawn(3).contains(&n)));
}
