//! A feed server over a small made-up world, and a client that speaks just enough HTTP/1.1 to see every byte of an answer.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod adds_up;
pub mod explained;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use freshet_feed_server::{Clock, ServerState, serve};
use freshet_schema::event::{Interaction, Status};
use freshet_schema::feed::{
    Arm, CohortAudience, CohortRecord, CohortStage, CohortState, CohortVerdict, DrawSums, Dropped,
    DroppedRecord, Experiment, ExperimentsRecord, FeedItem, FeedRecord, MetricSums, PreferencesRecord,
    RelatedItem, RelatedRecord, ScoreParts, SlotPolicy, Source, Stage, TrendingItem, TrendingRecord,
    VideoCard,
};
use freshet_schema::store::{EVERYONE, Key, Value};
use freshet_schema::{Epoch, Millis, UserId, VideoId};
use freshet_sinks::{Commit, EventLog, FeedStore, Memory};
use serde_json::Value as Json;

/// 2022-09-20T12:00:00Z: the world's time stands still.
pub const NOW: u64 = 1_663_675_200_000;

struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        Millis(NOW)
    }
}

/// A running server; ends with the test.
pub struct Server {
    pub address: SocketAddr,
    pub store: Arc<Memory>,
    pub folder: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server; `adapt` changes the state before.
    pub fn start(store: Memory, adapt: impl FnOnce(&mut ServerState)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(store);
        let mut state = ServerState::new(store.clone(), Arc::new(Still));
        state.events = Some(Arc::new(EventLog::open(folder.path()).unwrap()));
        adapt(&mut state);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, state, async { drop(stopped.await) }).await;
            });
        });
        Self { address: told.recv().unwrap(), store, folder, stop: Some(stop), thread: Some(thread) }
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"")
    }

    pub fn post(&self, body: &str) -> Answer {
        self.ask("POST", "/v1/events", &[("content-type", "application/json")], body.as_bytes())
    }

    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, method, target, headers, body)
    }

    /// The lines of a stream's live file.
    pub fn log(&self, kind: &str) -> Vec<Json> {
        let path = self.folder.path().join(kind).join("part-live.jsonl");
        std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Stops the server and waits for its end.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Checks that this is a well-formed problem of a status and returns its detail.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        for member in ["type", "title", "detail", "instance"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {body}");
        }
        body["detail"].as_str().unwrap().to_owned()
    }
}

/// Sends one request over its own connection.
pub fn ask(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        request.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() || method == "POST" {
        request.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    request.extend(b"\r\n");
    request.extend(body);
    raw(address, &request)
}

/// Sends bytes as they are and reads the answer to its end.
pub fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end =
        bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {bytes:?}"));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
        .collect();
    Answer { status, headers, body: bytes[end + 4..].to_vec() }
}

const CATEGORIES: [&str; 6] = ["music", "travel", "food", "sports", "animals", "how-to"];
const CAPTIONS: [&str; 8] = [
    "Sunrise over the harbour, one long take",
    "Three-minute noodles that taste like an hour of work",
    "The dog who waits for the 18:04 tram",
    "How to sharpen a kitchen knife on a mug",
    "Street drummer, Lisbon, in the rain",
    "First free solo of the season – do not try this",
    "Every bird in this park, ranked by attitude",
    "周末去爬山:从清晨到日落的一天",
];

/// A video's card; every 17th video is not ready.
pub fn video(id: u64) -> VideoCard {
    let at = usize::try_from(id).unwrap();
    VideoCard {
        video_id: id,
        creator_id: 9_000_000_000_000_000_000 + id % 9,
        created_at_ms: NOW - id * 3_600_000,
        duration_ms: 8_000 + id * 1_370 % 70_000,
        caption: CAPTIONS[at % 8].to_owned(),
        hashtags: vec![CATEGORIES[at % 6].to_owned(), format!("tag{}", id % 5)],
        sound_id: id % 4,
        category: CATEGORIES[at % 6].to_owned(),
        status: if id.is_multiple_of(17) { Status::Processing } else { Status::Ready }.as_str().to_owned(),
    }
}

pub fn item(id: u64, score: f32) -> FeedItem {
    let sources = match id % 3 {
        0 => vec![Source::Hashtag.into(), Source::Trending.into()],
        1 => vec![Source::Followed.into()],
        _ => vec![Source::Trending.into()],
    };
    let parts = ScoreParts { similarity: score, quality: 1.2, creator: 0.9, freshness: 0.95 };
    let moved_by = if id.is_multiple_of(7) { "category_cap" } else { "" }.to_owned();
    FeedItem {
        video_id: id,
        score: score * 1.026,
        sources,
        parts: Some(parts),
        moved_by,
        ..FeedItem::default()
    }
}

pub fn list(user: u64, epoch: u64, ids: impl IntoIterator<Item = u64>) -> FeedRecord {
    let items = ids.into_iter().zip(0u16..).map(|(id, at)| item(id, 0.98 - f32::from(at) * 0.006)).collect();
    FeedRecord {
        user_id: user,
        epoch,
        now_ms: NOW,
        algorithm: "heads-1".to_owned(),
        items,
        group: EVERYONE.to_owned(),
        ..FeedRecord::default()
    }
}

/// An experiment of two arms, in which likes differ.
fn experiments() -> ExperimentsRecord {
    // Each of 500 users had four places drawn from two candidates, and watched the best of them to the end.
    let half = |half: u32| DrawSums {
        policy: SlotPolicy::Novelty.into(),
        best: 0,
        half,
        users: 500,
        places: 2_000,
        earned: 1_000,
        weights: 2_000_000_000,
        weighted: 1_000_000_000,
        products: [
            2_000_000_000_000_000,
            8_000,
            8_000_000_000,
            4_000_000_000,
            8_000_000_000_000_000,
            4_000_000_000_000_000,
            2_000_000_000_000_000,
        ]
        .into_iter()
        .flat_map(|sum| [0, sum])
        .collect(),
    };
    let arm = |name: &str, likes: i64| {
        let sums = MetricSums { name: "likes".to_owned(), users: 2_000, sum: likes, ..MetricSums::default() };
        let metrics = vec![MetricSums { squares_low: likes as u64, ..sums }];
        Arm {
            name: name.to_owned(),
            share: 0.5,
            sets: vec!["ranking.watch = 0.5".to_owned()],
            users: 2_000,
            metrics,
            draws: (0..2).map(half).collect(),
        }
    };
    let arms = vec![arm("control", 1_000), arm("calm", 1_400)];
    let experiment =
        Experiment { name: "x".to_owned(), share: 0.5, since_ms: NOW, alpha: 0.05, min_users: 500, arms };
    ExperimentsRecord { epoch: 5, now_ms: NOW, experiments: vec![experiment] }
}

pub fn put(store: &dyn FeedStore, epoch: u64, values: Vec<(Key, Option<Value>)>) {
    let mut changes: Vec<_> =
        values.into_iter().map(|(key, value)| (key, value.map(|v| v.encode()))).collect();
    changes.sort_by_key(|(key, _)| key.to_string());
    assert!(store.commit(&Commit { epoch: Epoch(epoch), changes }).unwrap());
}

/// Epoch 5: 120 videos; users 1 and 2 with lists of 40 and 3, user 3 with one that has accounts; new-user lists for everybody and for `DE/18-24/-`;
/// trending with videos 120 down to 60, of which some are in the lists.
pub fn world() -> Memory {
    let store = Memory::new();
    let mut values: Vec<(Key, Option<Value>)> =
        (1..=120).map(|id| (Key::Video(VideoId(id)), Some(Value::Video(video(id))))).collect();
    let new_user = |ids: std::ops::RangeInclusive<u64>| {
        Some(Value::Feed(FeedRecord { algorithm: "new-user-1".to_owned(), ..list(0, 5, ids) }))
    };
    let dropped = [(50, Stage::Watched), (51, Stage::CategoryCap), (52, Stage::Length)]
        .map(|(video_id, stage)| Dropped { video_id, stage: stage.into() });
    let dropped = DroppedRecord { user_id: 1, epoch: 5, items: dropped.to_vec() };
    let pool = |group: &str, ids: &[u64]| {
        let items = ids.iter().map(|id| TrendingItem { video_id: *id, score: 20.5 }).collect();
        Some(Value::Trending(TrendingRecord { group: group.to_owned(), epoch: 5, now_ms: NOW, items }))
    };
    let (explained, accounts) = explained::explained(5, NOW);
    let all: Vec<u64> = (60..=120).rev().chain([3, 4]).collect();
    let related = |ids: &[u64]| {
        let item = |id: &u64| {
            let source = if id.is_multiple_of(2) { Source::CoEngaged } else { Source::Similar };
            RelatedItem { video_id: *id, sources: vec![source.into()] }
        };
        let items = ids.iter().map(item).collect();
        Some(Value::Related(RelatedRecord { video_id: 7, epoch: 5, now_ms: NOW, items }))
    };
    let preferences = PreferencesRecord { user_id: 1, hashtags: vec!["tag3".to_owned(), "food".to_owned()] };
    let stage = CohortStage {
        number: 1,
        audience: CohortAudience::Sample.into(),
        began_ms: NOW - 7_200_000,
        judged_ms: NOW - 3_600_000,
        wanted: 500,
        invited: 480,
        exposed: 300,
        watched: 250,
        performance: 1.424,
        threshold: 1.2,
        first_slot: 5,
        last_slot: 20,
        verdict: CohortVerdict::Promoted.into(),
        ..CohortStage::default()
    };
    let next = CohortStage {
        number: 2,
        audience: CohortAudience::Similar.into(),
        began_ms: NOW - 3_600_000,
        judged_ms: 0,
        verdict: 0,
        wanted: 1000,
        ..stage
    };
    let life = CohortRecord {
        video_id: 7,
        epoch: 5,
        now_ms: NOW,
        state: CohortState::Shown.into(),
        began_ms: NOW - 7_200_000,
        judged_at_ms: NOW + 1,
        stages: vec![stage, next],
    };
    values.extend([
        (Key::Cohort(VideoId(7)), Some(Value::Cohort(life))),
        (Key::Experiments, Some(Value::Experiments(experiments()))),
        // 17 is not ready and 500 was deleted.
        (Key::Related(VideoId(7)), related(&[9, 17, 12, 500, 8, 13, 10])),
        (Key::Preferences(UserId(1)), Some(Value::Preferences(preferences))),
        (Key::Feed(UserId(1)), Some(Value::Feed(list(1, 5, 1..=40)))),
        (Key::Feed(UserId(2)), Some(Value::Feed(list(2, 5, [5, 6, 8])))),
        (Key::Dropped(UserId(1)), Some(Value::Dropped(dropped))),
        (Key::Feed(UserId(explained::USER)), Some(Value::Feed(explained))),
        (Key::Account(UserId(explained::USER)), Some(Value::Account(accounts))),
        (Key::Heads(7), Some(Value::Heads(explained::heads()))),
        (Key::NewUser(EVERYONE.to_owned()), new_user(70..=90)),
        (Key::NewUser("DE/18-24/-".to_owned()), new_user(100..=110)),
        (Key::Trending(EVERYONE.to_owned()), pool(EVERYONE, &all)),
        (Key::Trending("hashtag:köln & co".to_owned()), pool("hashtag:köln & co", &[7, 9])),
    ]);
    put(&store, 5, values);
    store
}

/// A stand-in for the pipeline: follows the live interactions of an event log and remakes the list of whoever acted, the
/// videos of other categories than the watched one first. Ends when `stop` is set.
pub fn fake_pipeline(
    folder: std::path::PathBuf,
    store: Arc<Memory>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let path = folder.join("interactions").join("part-live.jsonl");
        let mut done = 0;
        let mut epoch = 5;
        while !stop.load(Ordering::Relaxed) {
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().skip(done) {
                let event: Interaction = serde_json::from_str(line).unwrap();
                epoch += 1;
                done += 1;
                let watched = event.video_id.0;
                let ids = (1..=120).filter(|id| id % 6 != watched % 6 && !id.is_multiple_of(17)).take(40);
                let record = list(event.user_id.0, epoch, ids);
                put(&*store, epoch, vec![(Key::Feed(event.user_id), Some(Value::Feed(record)))]);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    })
}
