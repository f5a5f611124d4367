//! A real Kafka broker: one KRaft node on a loopback port, started by `scripts/kafka.sh` and ended with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use freshet_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use freshet_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use freshet_kafka::rdkafka::error::KafkaError;
use freshet_kafka::rdkafka::message::{Headers, Message};
use freshet_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use freshet_kafka::rdkafka::{Offset, TopicPartitionList};
use freshet_kafka::{Connection, Ears, Publisher, Ticket, create_topics};

use crate::authority::authority;
use crate::harness::{root, wait_for};
use crate::redis_server::{RedisServer, free_port};
use crate::service::{Guard, gone};

/// The streams, as topics are named after them.
pub const STREAMS: [&str; 6] = ["users", "uploads", "follows", "interactions", "deletes", "served"];
const ANSWER: Duration = Duration::from_secs(20);

/// A broker. It ends when this is dropped, and at the latest with the process that started it.
pub struct Broker {
    dir: PathBuf,
    ports: (u16, u16),
    tls: Option<Tls>,
    script: Option<Guard>,
}

/// Where a broker speaks TLS beside its plain port.
pub struct Tls {
    /// Holds `own-ca.pem`, and `own-client.pem` with `own-client.key`.
    pub dir: PathBuf,
    /// For clients that have a certificate.
    pub certified: u16,
    /// For the user `freshet`, password `hush-hush`, by SCRAM.
    pub scram: u16,
}

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// A header that must be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        &found.unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers)).1
    }
}

impl Broker {
    /// One for all tests that do not hurt it: each has topics of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A new one.
    pub fn start() -> Self {
        Self::new(None)
    }

    /// A new one that speaks TLS as well, with a certificate of an authority that it makes in `dir`.
    pub fn with_tls(dir: &Path) -> Self {
        authority(dir, "own");
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("openssl made it");
        let both = read("own-server.key") + &read("own-server.pem");
        std::fs::write(dir.join("own-server-both.pem"), both).expect("written");
        Self::new(Some(Tls { dir: dir.to_owned(), certified: free_port(), scram: free_port() }))
    }

    fn new(tls: Option<Tls>) -> Self {
        let dir = tempfile::Builder::new().prefix("freshet-broker-").tempdir().expect("a folder").keep();
        let mut broker = Self { dir, ports: (free_port(), free_port()), tls, script: None };
        broker.start_again();
        broker
    }

    /// Of one that was started [`Broker::with_tls`].
    pub fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("started with TLS")
    }

    /// Starts it over what it has, and waits until it answers.
    pub fn start_again(&mut self) {
        let mut command = Command::new("sh");
        command.arg(root().join("scripts/kafka.sh")).arg("leash").arg(&self.dir);
        command.args([self.ports.0.to_string(), self.ports.1.to_string()]);
        command.env("KAFKA_JARS", jars()).env("KAFKA_EPHEMERAL", "yes");
        if let Some(Tls { dir, certified, scram }) = &self.tls {
            let file = |name: &str| dir.join(name).display().to_string();
            let (both, ca) = (file("own-server-both.pem"), file("own-ca.pem"));
            command.env("KAFKA_TLS", format!("{both} {ca} {certified} {scram}"));
        }
        let log = std::fs::File::create(self.dir.join("log")).expect("a file for what the broker says");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut script = Guard(command.spawn().expect("sh runs"));
        let consumer: BaseConsumer<Ears> = self.client(&[]);
        let since = Instant::now();
        while consumer.fetch_metadata(None, Duration::from_secs(1)).is_err() {
            let ended = script.0.try_wait().expect("our child");
            let said = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "the broker ended: {}", said());
            assert!(since.elapsed() < Duration::from_secs(90), "the broker does not answer: {}", said());
        }
        self.script = Some(script);
    }

    /// Ends the broker's process by its number, as a crash does. What it has stays for [`Broker::start_again`].
    pub fn kill(&mut self) {
        let pid = std::fs::read_to_string(self.dir.join("pid")).expect("its process id");
        // The script would take the folder along if it saw the end: it goes first.
        if let Some(mut script) = self.script.take() {
            script.signal("KILL");
            script.wait();
        }
        let sent = Command::new("kill").args(["-KILL", pid.trim()]).status().expect("kill runs");
        assert!(sent.success(), "the broker was gone already");
        let pid = pid.trim().parse().expect("a number");
        wait_for("the broker's end", || gone(pid).then_some(()));
    }

    /// `HOST:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.0)
    }

    pub fn connection(&self) -> Connection {
        Connection { brokers: self.address(), ..Connection::default() }
    }

    /// A configuration that reads topics `PREFIX.STREAM`; `more` are further lines of `[kafka]` and other sections.
    pub fn config(&self, dir: &Path, prefix: &str, more: &str) {
        self.config_at(self.ports.0, dir, prefix, more);
    }

    /// The same with lists on Redis.
    pub fn config_to(&self, server: &RedisServer, dir: &Path, prefix: &str, more: &str) {
        let redis = format!(
            "[store]\ndir = \"store\"\nkind = \"redis\"\n[redis]\nurl = \"{}\"\n[server]\nlisten = \"127.0.0.1:0\"\n{more}",
            server.url()
        );
        self.config(dir, prefix, &redis);
    }

    /// The same as [`Self::config`], over another port of the broker.
    pub fn config_at(&self, port: u16, dir: &Path, prefix: &str, more: &str) {
        let topics: String =
            STREAMS.iter().map(|stream| format!("{stream} = \"{prefix}.{stream}\"\n")).collect();
        let text = format!(
            "[input]\nsource = \"kafka\"\n[clock]\nlive = \"shifted\"\n[kafka]\nbrokers = \"127.0.0.1:{port}\"\n{topics}{more}",
        );
        std::fs::write(dir.join("kafka.toml"), text).expect("written");
    }

    pub fn create(&self, topic: &str, partitions: i32) {
        create_topics(&self.connection(), [topic], partitions).expect("the topic is made");
    }

    pub fn delete(&self, topic: &str) {
        let done = block_on(self.admin().delete_topics(&[topic], &AdminOptions::new()));
        assert!(done.expect("an answer")[0].is_ok());
        let consumer: BaseConsumer<Ears> = self.client(&[]);
        wait_for("the topic to be gone", || {
            let metadata = consumer.fetch_metadata(None, ANSWER).ok()?;
            metadata.topics().iter().all(|t| t.name() != topic).then_some(())
        });
    }

    pub fn add_partitions(&self, topic: &str, count: usize) {
        let more = NewPartitions::new(topic, count);
        let done = block_on(self.admin().create_partitions(&[more], &AdminOptions::new()));
        assert!(done.expect("an answer")[0].is_ok());
    }

    /// Removes all records before an offset, as retention does.
    pub fn truncate(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).expect("removed");
    }

    /// Writes records and waits for the acknowledgement.
    pub fn write(&self, topic: &str, records: &[(&str, &[u8])]) {
        let publisher = Publisher::new("test", &self.connection(), Some(ANSWER)).expect("a client");
        let (sender, answer) = channel();
        let ticket = Ticket::new(records.len(), move |result| drop(sender.send(result)));
        for (key, value) in records {
            publisher.send(topic, key, value, &[], &ticket).expect("room for it");
        }
        answer.recv().expect("an answer").expect("acknowledged");
    }

    /// Writes records as one transaction. Its marker lies behind them, where no reader sees it.
    pub fn write_transaction(&self, topic: &str, records: &[(&str, &[u8])]) {
        let mut config = freshet_kafka::rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("transactional.id", topic);
        let producer: BaseProducer = config.create().expect("a client");
        producer.init_transactions(ANSWER).expect("a coordinator");
        producer.begin_transaction().expect("begun");
        for (key, value) in records {
            let record = BaseRecord::to(topic).key(*key).payload(*value);
            producer.send(record).map_err(|(error, _)| error).expect("room for it");
        }
        producer.commit_transaction(ANSWER).expect("committed");
    }

    /// All records of a topic, by partition and offset.
    pub fn read(&self, topic: &str) -> Vec<Record> {
        let own = [("group.id", "reader"), ("enable.partition.eof", "true"), ("enable.auto.commit", "false")];
        let consumer: BaseConsumer<Ears> = self.client(&own);
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER).expect("an answer");
        let mut list = TopicPartitionList::new();
        let partitions = metadata.topics()[0].partitions().len();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        let (mut records, mut ends) = (Vec::new(), 0);
        while ends < partitions {
            match consumer.poll(ANSWER).expect("a record or an end") {
                Err(KafkaError::PartitionEOF(_)) => ends += 1,
                Err(error) => panic!("{topic}: {error}"),
                Ok(message) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let headers = message.headers().map(|headers| {
                        let of =
                            headers.iter().map(|h| (h.key.to_owned(), h.value.map(text).unwrap_or_default()));
                        of.collect()
                    });
                    records.push(Record {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().map(text),
                        value: message.payload().map(<[u8]>::to_vec),
                        headers: headers.unwrap_or_default(),
                    });
                }
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    fn admin(&self) -> AdminClient<Ears> {
        let address = self.address();
        self.connection().client(&[], Ears::new("test", &address)).expect("a client")
    }

    fn client(&self, own: &[(&str, &str)]) -> BaseConsumer<Ears> {
        // A consumer without what the source promises: made here, not by `Connection`, which refuses these options.
        let mut config = freshet_kafka::rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        for (key, value) in own {
            config.set(*key, *value);
        }
        config.create_with_context(Ears::new("test", &self.address())).expect("a client")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut script) = self.script.take() {
            // The end of its standard input ends the script and the broker.
            drop(script.0.stdin.take());
            drop(script.0.wait());
        } else {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// The broker's jars, fetched where they are missing.
fn jars() -> &'static Path {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    JARS.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        let target = test.ancestors().nth(3).expect("target/PROFILE/deps/TEST");
        let jars = target.join("kafka");
        let mut command = Command::new("sh");
        command.arg(root().join("scripts/kafka.sh")).arg("jars").env("KAFKA_JARS", &jars);
        let output = command.output().expect("sh runs");
        assert!(
            output.status.success(),
            "the Kafka broker of the tests cannot be had: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        jars
    })
}
