//! Feed reads at 2,000 requests a second beside a pipeline at 500 events a second, on the world of `make demo`.
//!
//! What a request costs is the CPU of the server's thread in a phase with reads, less that of a phase with the same events
//! and without. The Protobuf answer is the stored list; the JSON answer is a page of ten, with the cards, that goes to the
//! served log (whose writer is another thread). Beside them stands what a bare socket takes for the same bytes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::bare;
use crate::http::Client;
use crate::pace::{Latencies, Pace};
use crate::poster::{DEMO, EVENTS_PER_SECOND, demo_service, draw_user, post_batches};
use crate::report::{Figure, Report, Target};
use crate::service::Service;

const GROUP: &str = "reads";

const READS_PER_SECOND: f64 = 2_000.0;
const READERS: usize = 8;

/// What is read.
#[derive(Clone, Copy)]
struct Format {
    name: &'static str,
    accept: &'static str,
    query: &'static str,
    cpu: Target,
    note: &'static str,
}

const FORMATS: [Format; 2] = [
    Format {
        name: "Protobuf",
        accept: "application/x-protobuf",
        query: "",
        cpu: Target::AtMost(10.0),
        note: "the whole stored list",
    },
    Format {
        name: "JSON",
        accept: "application/json",
        query: "?limit=10",
        cpu: Target::None,
        note: "a page of 10 with cards, written to the served log",
    },
];

/// Measures ten seconds without reads and ten for each format.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (service, _scratch) = demo_service(bench)?;
    let time = Duration::from_secs_f64(10.0 * bench.scale.max(0.1));
    let server_cpu = || service.server_cpu();
    // Caches and the allocator settle first.
    phase(&service, time.mul_f64(0.3), None, &server_cpu)?;
    let idle = phase(&service, time, None, &server_cpu)?;
    for format in FORMATS {
        let mut busy = phase(&service, time, Some((service.address, format)), &server_cpu)?;
        let requests = busy.latencies.len() as f64;
        let micros = (busy.cpu_per_second - idle.cpu_per_second) * busy.seconds / requests * 1e6;
        let name = |what: &str| format!("{}, {what}", format.name);
        let workload =
            format!("{READS_PER_SECOND}/s on {READERS} connections, open loop; {EVENTS_PER_SECOND} events/s");
        report.add([
            Figure::new(GROUP, name("p50"), busy.latencies.quantile_ms(0.5), "ms", Target::None)
                .note(format!("{requests} requests, {workload}; {}", format.note)),
            Figure::new(GROUP, name("p99"), busy.latencies.quantile_ms(0.99), "ms", Target::AtMost(5.0))
                .note(format!("{:.0} B a body", busy.body_bytes as f64 / requests)),
            Figure::new(GROUP, name("server CPU a request"), micros, "us", format.cpu)
                .note(format!("the server's thread: {:.1} ms/s without reads", idle.cpu_per_second * 1e3)),
        ])?;
        let length = busy.body_bytes / busy.latencies.len().max(1) as u64;
        let address = bare::start(usize::try_from(length)?)?;
        let bare = phase(&service, time, Some((address, format)), &bare::cpu)?;
        let micros = bare.cpu_per_second * bare.seconds / bare.latencies.len() as f64 * 1e6;
        let note = format!("CPU of a blocking read and a write of {length} B a request, under the same load");
        report.add([Figure::new(GROUP, name("of a bare socket"), micros, "us", Target::None).note(note)])?;
    }
    Ok(())
}

/// What one phase showed.
struct Phase {
    latencies: Latencies,
    body_bytes: u64,
    seconds: f64,
    /// CPU of the measured threads a second.
    cpu_per_second: f64,
}

/// Events to the service and, where asked for, reads from a server, for some time; `cpu` tells the CPU seconds of the
/// threads that are measured.
fn phase(
    service: &Service,
    time: Duration,
    reads: Option<(SocketAddr, Format)>,
    cpu: &dyn Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<Phase> {
    let clients = reads.iter().flat_map(|(server, _)| (0..READERS).map(|_| Client::connect(*server)));
    let mut clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
    let mut poster = service.connect()?;
    let before = cpu()?;
    let start = Instant::now() + Duration::from_millis(20);
    let (latencies, body_bytes) = std::thread::scope(|scope| {
        let posting =
            scope.spawn(move || post_batches(&mut poster, 0..DEMO.users, start, EVENTS_PER_SECOND, time));
        let mut readers = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            let Some((_, format)) = reads else { break };
            let pace = Pace::shared(start, READS_PER_SECOND, number, READERS);
            readers.push(scope.spawn(move || read(client, pace, time, format, number as u64)));
        }
        let (mut latencies, mut body_bytes) = (Latencies::default(), 0);
        for reader in readers {
            let (own, bytes) = reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            latencies.join(own);
            body_bytes += bytes;
        }
        posting.join().map_err(|_| anyhow::anyhow!("the poster panicked"))??;
        anyhow::Ok((latencies, body_bytes))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_per_second = (cpu()? - before) / seconds;
    Ok(Phase { latencies, body_bytes, seconds, cpu_per_second })
}

/// One reader's requests: users drawn by hash; returns the latencies and the bytes of all bodies.
fn read(
    client: &mut Client,
    pace: Pace,
    time: Duration,
    format: Format,
    number: u64,
) -> anyhow::Result<(Latencies, u64)> {
    let (mut latencies, mut bytes) = (Latencies::default(), 0);
    for n in 0..pace.count(time) {
        let user = draw_user(n * READERS as u64 + number, 0..DEMO.users);
        let path = format!("/v1/feed/{user}{}", format.query);
        let due = pace.wait(n);
        let answer = client.send("GET", &path, &[("accept", format.accept)], b"")?;
        latencies.add(due.elapsed());
        bytes += answer.body.len() as u64;
    }
    Ok((latencies, bytes))
}
