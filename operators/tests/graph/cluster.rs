//! A graph over several processes, which are threads here that talk over real connections.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use freshet_operators::cluster::{Cluster, Events, Lost, Member, Plan, form};
use freshet_operators::params::Params;
use freshet_operators::runtime::{Durable, EpochInput, Job, Output, start_durable};
use freshet_schema::{Epoch, Millis};

use crate::world;

/// Processes, and workers of each.
#[derive(Clone, Copy, Debug)]
pub struct Layout(pub usize, pub usize);

impl From<usize> for Layout {
    fn from(workers: usize) -> Self {
        Self(1, workers)
    }
}

impl From<(usize, usize)> for Layout {
    fn from((processes, workers): (usize, usize)) -> Self {
        Self(processes, workers)
    }
}

/// A job, and what is to be waited for behind it.
pub struct Running {
    pub job: Job,
    pub outputs: Receiver<Output>,
    /// Of all processes.
    pub workers: usize,
    pub others: Vec<JoinHandle<Result<(), String>>>,
}

const PATIENCE: Duration = Duration::from_secs(120);

fn plans(Layout(processes, workers): Layout) -> Vec<(TcpListener, Plan)> {
    let listeners: Vec<_> =
        (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let place = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
    let addresses: Vec<String> = listeners.iter().map(place).collect();
    let plan =
        |process| Plan { process, addresses: addresses.clone(), workers, fingerprint: 1, wait: PATIENCE };
    listeners.into_iter().enumerate().map(|(process, listener)| (listener, plan(process))).collect()
}

fn nobody_is_lost() -> Lost {
    // A panic in a thread of the link would go unseen.
    Arc::new(|what| {
        eprintln!("{what}");
        std::process::abort();
    })
}

/// Starts a job as it is laid out.
pub fn launch(layout: Layout, params: &Params, durable: Durable) -> Running {
    let Layout(processes, workers) = layout;
    if processes == 1 {
        let (job, outputs) = start_durable(workers, params, false, durable).expect("workers start");
        return Running { job, outputs, workers, others: Vec::new() };
    }
    let mut plans = plans(layout).into_iter();
    let (listener, first) = plans.next().expect("a process");
    let serve = |(listener, plan): (TcpListener, Plan)| {
        let params = params.clone();
        std::thread::spawn(move || {
            let formed = form(&listener, plan, &AtomicBool::new(false)).expect("a cluster");
            Member::new(formed, PATIENCE, nobody_is_lost()).expect("a member").serve(&params)
        })
    };
    let others = plans.map(serve).collect();
    let formed = form(&listener, first, &AtomicBool::new(false)).expect("a cluster");
    let events = Events { lost: nobody_is_lost(), stop: Arc::new(|| ()) };
    let cluster = Cluster::new(formed, PATIENCE, &events).expect("connections");
    let (job, outputs) = cluster.start(params, durable).expect("workers start");
    assert_eq!(job.peers(), processes * workers);
    Running { job, outputs, workers: job_workers(layout), others }
}

fn job_workers(Layout(processes, workers): Layout) -> usize {
    processes * workers
}

/// A job that is dropped before it begins sends the others home.
#[test]
fn who_waits_for_a_start_that_never_comes_ends_well() {
    let mut plans = plans(Layout(2, 1)).into_iter();
    let (listener, first) = plans.next().expect("a process");
    let (far, second) = plans.next().expect("a process");
    let other = std::thread::spawn(move || {
        let formed = form(&far, second, &AtomicBool::new(false)).expect("a cluster");
        Member::new(formed, PATIENCE, nobody_is_lost()).expect("a member").serve(&world::params())
    });
    let formed = form(&listener, first, &AtomicBool::new(false)).expect("a cluster");
    let events = Events { lost: nobody_is_lost(), stop: Arc::new(|| ()) };
    drop(Cluster::new(formed, PATIENCE, &events).expect("connections"));
    assert_eq!(other.join().expect("no panic"), Ok(()));
}

/// A process that stops to speak, or goes, is noticed by the first one, and asks to end reach it.
#[test]
fn a_lost_process_is_told_of_and_so_is_one_that_is_asked_to_end() {
    let mut plans = plans(Layout(3, 1)).into_iter();
    let (listener, first) = plans.next().expect("a process");
    let (gone, silent) = (channel::<()>(), channel::<()>());
    let mut ways = vec![gone.1, silent.1];
    let others: Vec<_> = plans
        .map(|(far, plan)| {
            let way = ways.remove(0);
            std::thread::spawn(move || {
                let speaks = plan.process == 1;
                let formed = form(&far, plan, &AtomicBool::new(false)).expect("a cluster");
                if speaks {
                    let member = Member::new(formed, PATIENCE, Arc::new(|_| ())).expect("a member");
                    member.stopper()();
                    let _ = way.recv();
                    // As a killed process: all of its connections close. The link's threads have copies of theirs.
                    drop(member);
                } else {
                    let _ = way.recv();
                    drop(formed);
                }
            })
        })
        .collect();
    let formed = form(&listener, first, &AtomicBool::new(false)).expect("a cluster");
    let (lost, losses) = channel();
    let stops = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&stops);
    let events = Events {
        lost: Arc::new(move |what| drop(lost.send(what.to_owned()))),
        stop: Arc::new(move || {
            counted.fetch_add(1, SeqCst);
        }),
    };
    let cluster = Cluster::new(formed, Duration::from_secs(3), &events).expect("connections");
    // The third process never speaks.
    let what = losses.recv_timeout(PATIENCE).expect("a loss");
    assert!(what.starts_with("process 2 (127.0.0.1:") && what.contains("silent for too long"), "{what}");
    assert_eq!(stops.load(SeqCst), 1);
    drop((gone.0, silent.0));
    others.into_iter().for_each(|other| other.join().expect("no panic"));
    drop(cluster);
}

/// What an epoch's records are is known to the first process alone; the others still take their share of the work.
#[test]
fn all_processes_say_that_an_epoch_is_closed() {
    let running = launch(Layout(2, 2), &world::params(), Durable::default());
    let empty = |epoch| EpochInput {
        epoch: Epoch(epoch),
        now: Millis(1_000_000 + epoch),
        records: Vec::new(),
        asks: Vec::new(),
        probes: Vec::new(),
        remake: Vec::new(),
    };
    (1..4).for_each(|epoch| running.job.send(empty(epoch)).expect("workers live"));
    running.job.check().expect("workers live");
    running.job.finish().expect("workers end well");
    let mut closed = [0; 4];
    let mut sized = [false; 4];
    for output in running.outputs {
        match output {
            Output::Closed(worker, epoch) => closed[worker] = closed[worker].max(epoch.0),
            Output::Sizes(worker, sizes) => sized[worker] = sizes.iter().any(|(name, _)| *name == "users"),
            _ => {}
        }
    }
    assert!(
        closed.iter().all(|epoch| *epoch > 3) && sized.iter().all(|sized| *sized),
        "{closed:?} {sized:?}"
    );
    running.others.into_iter().for_each(|other| assert_eq!(other.join().expect("no panic"), Ok(())));
}
