use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow::ipc::reader::StreamReader;
use freshet_operators::params::Params;
use freshet_operators::runtime::{EpochInput, Job, Output, start};
use freshet_schema::event::{Event, Origin};
use freshet_schema::feed::{FeedItem, FeedRecord};
use freshet_schema::store::{Key, Value};
use freshet_schema::tables::{
    Answer, FRAME_ARROW, FRAME_END, FRAME_ERROR, Payload, Request, Scan, SnapshotInfo, SnapshotRequest,
};
use freshet_schema::{Epoch, EventId, Interaction, Millis, UserId, VideoId};
use freshet_sinks::{Commit, Embedded, EmbeddedOptions, FeedStore};

use super::column::{ColumnType, schema};
use super::list::{TABLES, describe};
use super::service::Report;
use super::snapshot::{Limits, Source};
use super::{TableServer, serve};

/// A graph with a thread that takes what it says, a store, and the socket.
struct World {
    job: Option<Job>,
    sink: Option<JoinHandle<()>>,
    store: Arc<Embedded>,
    _server: TableServer,
    dir: tempfile::TempDir,
}

impl World {
    fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (job, outputs) = start(2, &Params::default(), false).expect("workers start");
        let sink = std::thread::spawn(move || {
            for output in outputs {
                if let Output::Looked(look, epoch) = output {
                    look.passed(epoch.0);
                }
            }
        });
        let store =
            Arc::new(Embedded::open(&dir.path().join("kv"), EmbeddedOptions::default()).expect("a store"));
        let looker = job.looker().expect("one process has all of the state");
        let source = Source {
            looker: Box::new(move || Ok(looker.clone())),
            store: Arc::clone(&store) as Arc<dyn FeedStore>,
            dead_letters: dir.path().join("dead.jsonl"),
            archive: None,
            report: Box::new(|| Report::stopped(0, 0)),
            limits,
        };
        let server = serve(source, &dir.path().join("t.sock")).expect("it listens");
        Self { job: Some(job), sink: Some(sink), store, _server: server, dir }
    }

    /// Sends an epoch in which `user` watches some videos.
    fn watch(&self, epoch: u64, user: u64, videos: &[u64]) {
        let event = |(at, video): (usize, &u64)| {
            let offset = epoch * 1_000 + at as u64;
            let event = Interaction {
                event_id: EventId(offset),
                event_time: Millis(1_700_000_000_000 + offset),
                user_id: UserId(user),
                video_id: VideoId(*video),
                watch_ms: Some(5_000),
                duration_ms: Some(10_000),
                like: at == 0,
                ..Interaction::default()
            };
            (Origin { partition: 0, offset }, Event::Interaction(event))
        };
        let input = EpochInput {
            epoch: Epoch(epoch),
            now: Millis(1_700_000_000_000 + (epoch + 1) * 1_000),
            records: videos.iter().enumerate().map(event).collect(),
            asks: Vec::new(),
            probes: Vec::new(),
            remake: Vec::new(),
        };
        self.job.as_ref().expect("it runs").send(input).expect("workers live");
    }

    /// Writes a list of these videos.
    fn list(&self, epoch: u64, user: u64, videos: &[u64]) {
        let items = videos.iter().map(|video| FeedItem { video_id: *video, ..FeedItem::default() }).collect();
        let list = FeedRecord { user_id: user, epoch, items, ..FeedRecord::default() };
        let changes = vec![(Key::Feed(UserId(user)), Some(Value::Feed(list).encode()))];
        assert!(self.store.commit(&Commit { epoch: Epoch(epoch), changes }).expect("it is written"));
    }

    fn connect(&self) -> Client {
        Client(BufReader::new(UnixStream::connect(self.dir.path().join("t.sock")).expect("it answers")))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.job.take().map(Job::finish) {
            panic!("{error}");
        }
        if let Some(sink) = self.sink.take() {
            sink.join().expect("the sink ends well");
        }
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn say(&mut self, line: &str) -> Answer {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).expect("sent");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("an answer");
        serde_json::from_str(&answer).expect("of the protocol")
    }

    fn ask(&mut self, request: &Request) -> Answer {
        self.say(&serde_json::to_string(request).expect("JSON"))
    }

    fn snapshot(&mut self, scans: Vec<Scan>) -> SnapshotInfo {
        match self.ask(&Request::Snapshot(SnapshotRequest { scans })) {
            Answer::Ok(Payload::Snapshot(info)) => info,
            other => panic!("{other:?}"),
        }
    }

    /// The batches of a scan, or why they end.
    fn scan(&mut self, id: u64, scan: usize) -> Result<Vec<arrow::array::RecordBatch>, String> {
        assert_eq!(self.ask(&Request::Scan { id, scan }), Answer::Ok(Payload::Rows));
        let mut stream = Vec::new();
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).expect("a frame");
            let mut bytes = vec![0; u32::from_le_bytes(head[1..].try_into().expect("four")) as usize];
            self.0.read_exact(&mut bytes).expect("a frame");
            match head[0] {
                FRAME_ARROW => stream.extend(bytes),
                FRAME_END => break,
                FRAME_ERROR => return Err(String::from_utf8(bytes).expect("a text")),
                other => panic!("a frame of the kind {other}"),
            }
        }
        let batches = StreamReader::try_new(&stream[..], None).expect("an Arrow stream");
        Ok(batches.collect::<Result<_, _>>().expect("whole batches"))
    }
}

fn wide() -> Limits {
    Limits { timeout: Duration::from_secs(60), max_snapshots: 8 }
}

fn scan(table: &str, columns: &[&str], keys: Option<&[u64]>) -> Scan {
    Scan {
        table: table.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        keys: keys.map(<[u64]>::to_vec),
        limit: None,
    }
}

fn error(answer: Answer) -> String {
    match answer {
        Answer::Error(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tables_are_well_formed_and_described() {
    let names: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(names.len(), TABLES.len());
    let described = describe();
    for table in TABLES {
        let columns: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(columns.len(), table.columns.len(), "{}", table.name);
        if let Some(key) = table.key {
            let place = table.place(key).expect("a key is a column");
            assert_eq!(table.columns[place].kind, ColumnType::Id, "{}", table.name);
        }
        assert!(described.contains(&format!("### {}\n", table.name)));
        assert_eq!(schema(table.columns).fields().len(), table.columns.len());
    }
}

#[test]
fn docs_have_every_table_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let docs = std::fs::read_to_string(&path).expect("docs/sql.md");
    assert!(
        docs.contains(describe().trim_end()),
        "docs/sql.md does not have the tables as they are: put the output of `freshet tables --markdown` there"
    );
}

#[test]
fn every_table_is_read_whole_at_one_epoch() {
    let world = World::new(wide());
    world.watch(1, 7, &[10, 11]);
    world.watch(2, 8, &[10]);
    world.list(2, 7, &[30, 31]);
    let scans: Vec<Scan> = TABLES
        .iter()
        .map(|table| scan(table.name, &table.columns.iter().map(|c| c.name).collect::<Vec<_>>(), None))
        .collect();
    let mut client = world.connect();
    let info = client.snapshot(scans);
    assert_eq!((info.epoch, info.now_ms), (2, 1_700_000_003_000));
    // What comes later does not show.
    world.watch(3, 9, &[12]);
    world.list(3, 9, &[30]);
    for (at, table) in TABLES.iter().enumerate() {
        let batches = client.scan(info.id, at).expect("rows");
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        for batch in &batches {
            assert_eq!(batch.schema(), schema(table.columns), "{}", table.name);
        }
        let expected = match table.name {
            "users" => Some(2),
            "interactions" => Some(3),
            "sessions" => Some(2),
            // Two videos in four spans.
            "video_stats" => Some(8),
            "feeds" => Some(2),
            "freshness" | "snapshot" => Some(1),
            _ => None,
        };
        assert!(expected.is_none_or(|expected| expected == rows), "{}: {rows} rows", table.name);
        assert!(client.scan(info.id, at).expect_err("once").contains("read already"));
    }
}

#[test]
fn keys_limits_and_columns_go_down_to_what_is_sent() {
    let world = World::new(wide());
    for user in 1..=50 {
        world.watch(user, user, &[user, user + 1, user + 2]);
        world.list(user, user, &[1, 2]);
    }
    let mut client = world.connect();
    let mut some = scan("users", &["interactions", "user_id"], Some(&[40, 3, 3, 99]));
    let feeds = scan("feeds", &["user_id", "place"], Some(&[3]));
    let few = Scan { limit: Some(5), ..scan("interactions", &[], None) };
    let info = client.snapshot(vec![some.clone(), feeds, few]);
    let batches = client.scan(info.id, 0).expect("rows");
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    let users: BTreeSet<u64> =
        batch.column(1).as_primitive::<UInt64Type>().values().iter().copied().collect();
    assert_eq!(users, BTreeSet::from([3, 40]));
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values()[..], [3, 3]);
    assert_eq!(client.scan(info.id, 1).expect("rows").iter().map(|b| b.num_rows()).sum::<usize>(), 2);
    let few = client.scan(info.id, 2).expect("rows");
    assert_eq!(few.iter().map(|batch| (batch.num_rows(), batch.num_columns())).collect::<Vec<_>>(), [(5, 0)]);

    some.keys = Some((0..=10_000).collect());
    assert!(error(client.ask(&Request::Snapshot(SnapshotRequest { scans: vec![some] }))).contains("10000"));
}

#[test]
fn what_cannot_be_had_is_said_and_the_connection_goes_on() {
    let world = World::new(Limits { max_snapshots: 1, ..wide() });
    let mut client = world.connect();
    let mut refused = |scan: Scan, why: &str| {
        let answer = error(client.ask(&Request::Snapshot(SnapshotRequest { scans: vec![scan] })));
        assert!(answer.contains(why), "{answer}");
    };
    refused(scan("cats", &[], None), "no table \"cats\"");
    refused(scan("users", &["age"], None), "users has no column \"age\"");
    refused(scan("trending", &["pool"], Some(&[1])), "cannot be looked up");
    assert!(error(client.say("what?")).contains("no request of this protocol"));

    client.snapshot(vec![scan("snapshot", &["epoch"], None)]);
    let mut other = world.connect();
    let full = Request::Snapshot(SnapshotRequest::default());
    assert!(error(other.ask(&full)).contains("sql.max_snapshots"));
    // Whoever asks again lets go of the first; whoever goes does, too.
    client.snapshot(Vec::new());
    drop(client);
    let since = Instant::now();
    while !matches!(other.ask(&full), Answer::Ok(_)) {
        assert!(since.elapsed() < Duration::from_secs(30), "a snapshot outlives its client");
    }
}

#[test]
fn a_snapshot_that_lives_too_long_is_let_go_of() {
    let world = World::new(Limits { timeout: Duration::from_millis(100), ..wide() });
    world.watch(1, 1, &[1]);
    let mut client = world.connect();
    let id = client.snapshot(vec![scan("users", &["user_id"], None)]).id;
    let mut other = world.connect();
    let since = Instant::now();
    // The service closes the connection that held it.
    let mut rest = Vec::new();
    assert_eq!(client.0.read_to_end(&mut rest).expect("the end"), 0);
    assert!(since.elapsed() < Duration::from_secs(30));
    assert!(other.scan(id, 0).expect_err("it is over").contains("sql.timeout"));
}

#[test]
fn the_socket_is_the_owners_alone_and_goes_with_the_service() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(wide());
    let path = world.dir.path().join("t.sock");
    let mode = path.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(world);
    assert!(!path.exists());
}
