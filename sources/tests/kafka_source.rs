//! Epochs from topics, against librdkafka's mock broker: slow and failing requests, brokers that come and go, restarts at any
//! moment. The real broker's turn is in the end-to-end tests.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use freshet_kafka::rdkafka::mocking::MockCluster;
use freshet_kafka::rdkafka::producer::DefaultProducerContext;
use freshet_kafka::rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use freshet_kafka::{Connection, Payload, Publisher, Ticket, Topics};
use freshet_schema::EventKind;
use freshet_sources::epochs::{Binding, EpochSource, Phase, SourceConfig, SourceError, Step};
use freshet_sources::kafka::{KafkaConfig, KafkaError};

const T0: u64 = 1_600_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    dir: tempfile::TempDir,
}

impl Mock {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("users", partitions, 1).unwrap();
        cluster.create_topic("views", partitions, 1).unwrap();
        Self { cluster, dir: tempfile::tempdir().unwrap() }
    }

    fn connection(&self) -> Connection {
        Connection { brokers: self.cluster.bootstrap_servers(), ..Connection::default() }
    }

    fn config(&self, journal: &str, follow: bool) -> SourceConfig {
        let topics = [(EventKind::Users, "users".to_owned()), (EventKind::Interactions, "views".to_owned())];
        let kafka = KafkaConfig::new(self.connection(), Topics::new(topics));
        let kafka = KafkaConfig { payloads: Payload::Json.into(), ..kafka };
        let config = SourceConfig::new("", self.dir.path().join(journal));
        SourceConfig { kafka: Some(kafka), follow, replay_epoch_ms: 1_000, ..config }
    }

    fn open(&self, journal: &str, follow: bool) -> EpochSource {
        EpochSource::open(self.config(journal, follow)).unwrap()
    }

    fn write(&self, topic: &str, records: &[(u64, String)]) {
        let publisher = Publisher::new("test", &self.connection(), Some(PATIENCE)).unwrap();
        let (sender, answer) = channel();
        let ticket = Ticket::new(records.len(), move |result| drop(sender.send(result)));
        for (key, value) in records {
            publisher.send(topic, &key.to_string(), value.as_bytes(), &[], &ticket).unwrap();
        }
        answer.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

fn users(from: u64, to: u64) -> Vec<(u64, String)> {
    let record = |id: u64| format!(r#"{{"event_id":{id},"event_time":{},"user_id":{id}}}"#, T0 + id * 700);
    (from..to).map(|id| (id, record(id))).collect()
}

fn views(from: u64, to: u64) -> Vec<(u64, String)> {
    // Every seventh is late, every eleventh no event.
    let record = |id: u64| match id {
        _ if id.is_multiple_of(11) => "poison".to_owned(),
        _ => {
            let at = T0 + if id.is_multiple_of(7) { 0 } else { id * 310 };
            format!(r#"{{"event_id":{id},"event_time":{at},"user_id":{},"video_id":1}}"#, id % 5)
        }
    };
    (from..to).map(|id| (id % 5, record(id))).collect()
}

type Cut = (Binding, Vec<u64>, Vec<u64>);

/// Some epochs, waiting for what is on its way; all of them where there are no more than `most`.
fn take(source: &mut EpochSource, most: usize) -> Vec<Cut> {
    let (mut cuts, since) = (Vec::new(), Instant::now());
    while cuts.len() < most {
        match source.next().unwrap() {
            Step::Batch(batch) => {
                let ids = batch.records.iter().map(|record| record.event.event_id().0).collect();
                let refused = batch.dead_letters.iter().map(|letter| letter.offset).collect();
                cuts.push((batch.binding, ids, refused));
            }
            Step::Idle => std::thread::sleep(source.idle_for()),
            Step::Drained => break,
        }
        assert!(since.elapsed() < PATIENCE, "stuck after {} epochs: {:?}", cuts.len(), source.status());
    }
    cuts
}

fn all(source: &mut EpochSource) -> Vec<Cut> {
    take(source, usize::MAX)
}

#[test]
fn slow_and_failing_brokers_move_no_boundary() {
    let mock = Mock::new(3);
    mock.write("users", &users(1, 30));
    mock.write("views", &views(1, 200));
    let expected = all(&mut mock.open("quick", false));
    assert!(expected.len() > 20, "{} epochs", expected.len());
    let records: usize = expected.iter().map(|(_, ids, refused)| ids.len() + refused.len()).sum();
    assert_eq!(records, 29 + 199);
    assert_eq!(expected.iter().map(|(_, _, refused)| refused.len()).sum::<usize>(), 18);

    for broker in [1, 2] {
        mock.cluster.broker_round_trip_time(broker, Duration::from_millis(15)).unwrap();
    }
    assert_eq!(all(&mut mock.open("slow", false)), expected);

    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    mock.cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 12]);
    assert_eq!(all(&mut mock.open("failing", false)), expected);
}

#[test]
fn a_restart_at_any_moment_gives_the_same_epochs() {
    let mock = Mock::new(2);
    mock.write("users", &users(1, 20));
    mock.write("views", &views(1, 120));
    let expected = all(&mut mock.open("whole", false));
    for cut in [1, 5, expected.len() - 1, expected.len()] {
        let journal = format!("cut-{cut}");
        assert_eq!(take(&mut mock.open(&journal, false), cut), expected[..cut]);
        assert_eq!(all(&mut mock.open(&journal, false)), expected, "after {cut} epochs");
    }
    // What came later goes on behind.
    mock.write("users", &users(1_000, 1_003));
    let more = all(&mut mock.open("whole", false));
    assert_eq!(more[..expected.len()], expected);
    let ids: Vec<u64> = more[expected.len()..].iter().flat_map(|(_, ids, _)| ids.clone()).collect();
    assert_eq!(ids, [1_000, 1_001, 1_002]);
}

#[test]
fn a_broker_that_goes_away_is_waited_for_without_keeping_the_caller() {
    let mock = Mock::new(1);
    mock.write("users", &users(1, 5));
    let mut source = mock.open("journal", true);
    let mut seen = 0;
    let mut read_until = |source: &mut EpochSource, wanted: usize| {
        let since = Instant::now();
        while seen < wanted {
            match source.next().unwrap() {
                Step::Batch(batch) => seen += batch.records.len(),
                Step::Idle => std::thread::sleep(source.idle_for()),
                Step::Drained => panic!("a followed topic does not end"),
            }
            assert!(since.elapsed() < PATIENCE, "{seen} of {wanted}");
        }
    };
    read_until(&mut source, 4);
    let went_live = Instant::now();
    while source.progress().phase != Phase::Live {
        drop(source.next().unwrap());
        assert!(went_live.elapsed() < PATIENCE);
    }
    for broker in [1, 2] {
        mock.cluster.broker_down(broker).unwrap();
    }
    let since = Instant::now();
    for _ in 0..50 {
        drop(source.next().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(since.elapsed() < Duration::from_secs(20), "no call waits for a broker");
    for broker in [1, 2] {
        mock.cluster.broker_up(broker).unwrap();
    }
    mock.write("users", &users(5, 9));
    read_until(&mut source, 8);
    assert_eq!(
        source.status().iter().map(|partition| partition.name.to_string()).collect::<Vec<_>>(),
        ["kafka:users/0", "kafka:views/0"]
    );
}

#[test]
fn a_stop_ends_the_wait_for_brokers() {
    let dir = tempfile::tempdir().unwrap();
    let connection = Connection { brokers: "127.0.0.1:9".to_owned(), ..Connection::default() };
    let kafka = KafkaConfig::new(connection, Topics::new([(EventKind::Users, "users".to_owned())]));
    let stop = std::sync::Arc::clone(&kafka.stop);
    let path: &Path = dir.path();
    let config = SourceConfig { kafka: Some(kafka), ..SourceConfig::new("", path.join("journal")) };
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let error = EpochSource::open(config).err().expect("nobody answers");
    assert!(matches!(error, SourceError::Kafka(KafkaError::Stopped(_))) && error.is_stop(), "{error}");
    stopper.join().unwrap();
}
