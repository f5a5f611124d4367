//! How the processes of a cluster find each other.
//!
//! Each listens at its address; of two the later one connects. Between each two is a connection for the dataflow, and between the
//! first and each other one more, the link ([`super`]). A connection begins with a greeting in which both say what they are: a
//! process with other parameters would compute other lists, and is refused with the reason. Timely has a way to connect of its own; it
//! waits for ever, and says nothing about whom it waits for.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::frame;

/// Begins each greeting.
const MAGIC: u64 = 0x6672_6573_6865_7431;
/// Time between two attempts.
const AGAIN: Duration = Duration::from_millis(50);
/// How long one step of a greeting may take.
const STEP: Duration = Duration::from_secs(10);
/// The longest greeting or answer in bytes.
const LONGEST: u32 = 1 << 12;

/// Who this process is, and who the others are.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of this process, from 0.
    pub process: usize,
    /// `HOST:PORT` of each process.
    pub addresses: Vec<String>,
    /// Worker threads of each process.
    pub workers: usize,
    /// What all must agree on, as a hash: parameters and release.
    pub fingerprint: u64,
    /// How long to wait for the others.
    pub wait: Duration,
}

/// Connections to all others.
#[derive(Debug)]
pub struct Formed {
    /// Who this process is, and who the others are.
    pub plan: Plan,
    /// For the dataflow, by process; none to itself.
    pub(super) data: Vec<Option<TcpStream>>,
    /// For everything else, by process.
    pub(super) links: Vec<Option<TcpStream>>,
}

/// The processes did not come together.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// Told to stop.
    #[error("told to stop before all processes were there")]
    Stopped,
    /// Some did not come.
    #[error(
        "after {} s these processes of the cluster are not there: {missing}; start each of them with the same hosts file, \
         and see that their ports can be reached",
        waited.as_secs()
    )]
    Late {
        /// How long was waited.
        waited: Duration,
        /// Which.
        missing: String,
    },
    /// Another process will not have this one.
    #[error("process {process} ({address}) refuses this one: {why}")]
    Refused {
        /// Which.
        process: usize,
        /// Its address.
        address: String,
        /// Why.
        why: String,
    },
    /// The network.
    #[error("the cluster's connections: {0}")]
    Io(#[from] io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Data,
    Link,
}

#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    magic: u64,
    from: u64,
    to: u64,
    processes: u64,
    workers: u64,
    fingerprint: u64,
    kind: Kind,
}

impl Greeting {
    fn of(plan: &Plan, to: usize, kind: Kind) -> Self {
        Self {
            magic: MAGIC,
            from: plan.process as u64,
            to: to as u64,
            processes: plan.addresses.len() as u64,
            workers: plan.workers as u64,
            fingerprint: plan.fingerprint,
            kind,
        }
    }

    /// Why a process with this plan does not talk to the one that greets.
    fn refusal(&self, plan: &Plan) -> Option<String> {
        let (here, processes) = (plan.process as u64, plan.addresses.len() as u64);
        if self.processes != processes {
            return Some(format!("it has {processes} processes in its hosts file, not {}", self.processes));
        }
        if self.to != here {
            return Some(format!("it is process {here}, not {}: the hosts files differ", self.to));
        }
        if self.from <= here || self.from >= processes {
            return Some(format!("process {} does not connect to process {here}", self.from));
        }
        if self.workers != plan.workers as u64 {
            let (ours, theirs) = (plan.workers, self.workers);
            return Some(format!("it has graph.workers = {ours}, not {theirs}: give all processes the same"));
        }
        (self.fingerprint != plan.fingerprint).then(|| {
            "its configuration or release is another one: give all processes the same file and binary"
                .to_owned()
        })
    }
}

impl Plan {
    fn place(&self, process: usize) -> String {
        format!("process {process} ({})", self.addresses[process])
    }
}

/// Connects to all others, which do the same. `stop` ends the wait.
///
/// # Errors
/// [`FormError`].
pub fn form(listener: &TcpListener, plan: Plan, stop: &AtomicBool) -> Result<Formed, FormError> {
    let processes = plan.addresses.len();
    let none = || (0..processes).map(|_| None).collect::<Vec<Option<TcpStream>>>();
    let mut formed = Formed { data: none(), links: none(), plan };
    let plan = formed.plan.clone();
    let began = Instant::now();
    listener.set_nonblocking(true)?;
    let mut silent = Vec::new();
    loop {
        accept(listener, &mut silent)?;
        for (stream, greeting) in greetings(&mut silent, &plan) {
            let from = greeting.from as usize;
            let place = if greeting.kind == Kind::Link { &mut formed.links } else { &mut formed.data };
            // A process that came before and was begun again: what it had is dead.
            place[from] = Some(stream);
        }
        for to in 0..plan.process {
            for kind in [Kind::Data, Kind::Link] {
                let place = if kind == Kind::Link { &mut formed.links } else { &mut formed.data };
                if place[to].is_none() && (kind == Kind::Data || to == 0) {
                    place[to] = connect(&plan, to, kind)?;
                }
            }
        }
        let here = plan.process;
        let linked = |process: usize| formed.links[process].is_some() || (here != 0 && process != 0);
        let there = |process: usize| formed.data[process].is_some() && linked(process);
        let missing: Vec<usize> = (0..processes).filter(|other| *other != here && !there(*other)).collect();
        if missing.is_empty() {
            return Ok(formed);
        }
        if stop.load(Relaxed) {
            return Err(FormError::Stopped);
        }
        if began.elapsed() > plan.wait {
            let missing: Vec<String> = missing.into_iter().map(|process| plan.place(process)).collect();
            return Err(FormError::Late { waited: plan.wait, missing: missing.join(", ") });
        }
        std::thread::sleep(AGAIN);
    }
}

/// A connection that has not greeted yet, and since when it is there.
type Silent = (Instant, TcpStream);

/// Takes in whoever knocks.
fn accept(listener: &TcpListener, silent: &mut Vec<Silent>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                silent.push((Instant::now(), stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Whoever knocked is gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Those that have greeted meanwhile and belong here. Whoever else speaks is sent away, and so is in the end whoever says nothing, as one
/// does who only looks whether the port is open; nobody waits for that one.
fn greetings(silent: &mut Vec<Silent>, plan: &Plan) -> Vec<(TcpStream, Greeting)> {
    let mut here = Vec::new();
    for (since, stream) in std::mem::take(silent) {
        match stream.peek(&mut [0]) {
            Ok(1..) => here.extend(greeted(&stream, plan).map(|greeting| (stream, greeting))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && since.elapsed() < STEP => {
                silent.push((since, stream));
            }
            // It closed, or has been silent for too long.
            Ok(_) | Err(_) => {}
        }
    }
    here
}

fn greeted(stream: &TcpStream, plan: &Plan) -> Option<Greeting> {
    prepare(stream).ok()?;
    let mut both = stream;
    let greeting: Greeting = frame::read(&mut both, LONGEST).ok().filter(|g: &Greeting| g.magic == MAGIC)?;
    let refusal = greeting.refusal(plan);
    frame::write(&mut both, &refusal).ok()?;
    if refusal.is_some() {
        let _ = stream.shutdown(Shutdown::Write);
        return None;
    }
    Some(greeting)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))
}

/// `None`: it is not there yet.
fn connect(plan: &Plan, to: usize, kind: Kind) -> Result<Option<TcpStream>, FormError> {
    let address = &plan.addresses[to];
    // A name may be known only once its machine is up.
    let Some(place) = address.to_socket_addrs().ok().and_then(|mut places| places.next()) else {
        return Ok(None);
    };
    let Ok(stream) = TcpStream::connect_timeout(&place, Duration::from_secs(2)) else { return Ok(None) };
    let answer = prepare(&stream).and_then(|()| {
        let mut both = &stream;
        frame::write(&mut both, &Greeting::of(plan, to, kind))?;
        frame::read::<Option<String>>(&mut both, LONGEST)
    });
    match answer {
        Ok(None) => Ok(Some(stream)),
        Ok(Some(why)) => Err(FormError::Refused { process: to, address: address.clone(), why }),
        // It went while it was asked.
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(wait: Duration, processes: usize) -> Vec<(TcpListener, Plan)> {
        let listeners: Vec<_> = (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<String> = listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
        let plan = |process| Plan { process, addresses: addresses.clone(), workers: 2, fingerprint: 7, wait };
        listeners.into_iter().enumerate().map(|(process, l)| (l, plan(process))).collect()
    }

    fn together(plans: Vec<(TcpListener, Plan)>) -> Vec<Result<Formed, FormError>> {
        let run =
            |(listener, plan)| std::thread::spawn(move || form(&listener, plan, &AtomicBool::new(false)));
        let threads: Vec<_> = plans.into_iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }

    #[test]
    fn three_find_each_other() {
        for (here, formed) in together(plans(Duration::from_secs(60), 3)).into_iter().enumerate() {
            let formed = formed.unwrap();
            let there = |of: &[Option<TcpStream>]| of.iter().map(Option::is_some).collect::<Vec<bool>>();
            assert_eq!(there(&formed.data), [here != 0, here != 1, here != 2]);
            let links = if here == 0 { [false, true, true] } else { [true, false, false] };
            assert_eq!(there(&formed.links), links);
        }
    }

    #[test]
    fn one_with_other_parameters_is_refused_and_says_so() {
        let mut plans = plans(Duration::from_millis(500), 2);
        plans[1].1.fingerprint = 8;
        let mut formed = together(plans);
        let refused = formed.pop().unwrap().unwrap_err().to_string();
        assert!(refused.contains("process 0 (127.0.0.1:") && refused.contains("configuration"), "{refused}");
        let late = formed.pop().unwrap().unwrap_err().to_string();
        assert!(late.contains("process 1 (127.0.0.1:"), "{late}");
    }

    #[test]
    fn hosts_files_that_differ_are_told_apart() {
        let (_, plan) = plans(Duration::ZERO, 3).remove(1);
        let greeting = |change: fn(&mut Greeting)| {
            let mut greeting = Greeting::of(&Plan { process: 2, ..plan.clone() }, 1, Kind::Data);
            change(&mut greeting);
            greeting.refusal(&plan).unwrap_or_default()
        };
        assert_eq!(greeting(|_| {}), "");
        assert!(greeting(|g| g.processes = 4).contains("3 processes"));
        assert!(greeting(|g| g.to = 0).contains("it is process 1, not 0"));
        assert!(greeting(|g| g.from = 0).contains("process 0 does not connect"));
        assert!(greeting(|g| g.workers = 1).contains("graph.workers = 2, not 1"));
    }

    #[test]
    fn nobody_waits_for_one_that_says_nothing() {
        let plans = plans(Duration::from_secs(60), 2);
        let knock = |(listener, _): &(TcpListener, Plan)| TcpStream::connect(listener.local_addr().unwrap());
        let strangers: Vec<TcpStream> = plans.iter().map(|plan| knock(plan).unwrap()).collect();
        let began = Instant::now();
        assert!(together(plans).iter().all(Result::is_ok));
        assert!(began.elapsed() < STEP, "as long as a step of a greeting may take: {:?}", began.elapsed());
        drop(strangers);
    }

    #[test]
    fn strangers_are_sent_away_and_a_stop_is_heard() {
        let (listener, plan) = plans(Duration::from_secs(60), 2).remove(0);
        let place = listener.local_addr().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let forming = scope.spawn(|| form(&listener, plan, &stop));
            let mut stranger = TcpStream::connect(place).unwrap();
            io::Write::write_all(&mut stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
            assert_eq!(io::Read::read(&mut stranger, &mut [0; 8]).unwrap_or(0), 0, "no answer");
            stop.store(true, Relaxed);
            assert!(matches!(forming.join().unwrap(), Err(FormError::Stopped)));
        });
    }
}
