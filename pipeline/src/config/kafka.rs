//! `[kafka]`: which cluster, which topics, and what is passed on to the client.

use std::collections::BTreeMap;

use freshet_kafka::{Connection, Payload, Payloads, Topics};
use freshet_schema::EventKind;

/// `[kafka]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `HOST:PORT` of one broker or several, with commas between them.
    pub brokers: Option<String>,
    /// The topic of each stream, in the order of [`EventKind::ALL`]; a stream without one is not there.
    pub topics: [Option<String>; 6],
    /// How values are written.
    pub payload: Payload,
    /// Streams whose values are written in another way: stream to format.
    pub formats: BTreeMap<String, String>,
    /// The group that consumed offsets are committed to, for monitoring.
    pub group: Option<String>,
    /// Bytes fetched ahead of the dataflow, for each partition.
    pub fetch_ahead: u64,
    /// Where records go that cannot be processed, beside the local file.
    pub dead_letters: Option<String>,
    /// How long `POST /v1/events` waits for the brokers' acknowledgement, in milliseconds.
    pub ack_timeout_ms: u64,
    /// Properties of the client.
    pub options: BTreeMap<String, String>,
    /// Properties of the client that stand in environment variables: property to variable.
    pub options_env: BTreeMap<String, String>,
    /// What those variables held.
    pub(super) from_env: BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: None,
            topics: EventKind::ALL.map(|kind| Some(format!("freshet.{}", kind.folder()))),
            payload: Payload::Json,
            formats: BTreeMap::new(),
            group: None,
            fetch_ahead: 16 << 20,
            dead_letters: None,
            ack_timeout_ms: 10_000,
            options: BTreeMap::new(),
            options_env: BTreeMap::new(),
            from_env: BTreeMap::new(),
        }
    }
}

impl Kafka {
    /// How to reach the cluster; `None` where no brokers are named.
    #[must_use]
    pub fn connection(&self) -> Option<Connection> {
        let options = self.options.iter().chain(&self.from_env);
        let options = options.map(|(key, value)| (key.clone(), value.clone())).collect();
        Some(Connection { brokers: self.brokers.clone()?, options })
    }

    /// The topics.
    #[must_use]
    pub fn topics(&self) -> Topics {
        let named = EventKind::ALL.into_iter().zip(&self.topics);
        Topics::new(named.filter_map(|(kind, topic)| Some((kind, topic.clone()?))))
    }

    /// How the values of each stream are written. What is no stream or no format was refused when the configuration was read.
    #[must_use]
    pub fn payloads(&self) -> Payloads {
        let own = EventKind::ALL.into_iter().filter_map(|kind| {
            let format = self.formats.get(kind.folder())?;
            Some((kind, format.parse().ok()?))
        });
        Payloads::new(self.payload, own)
    }

    /// The topic of a stream, to be set.
    pub(super) fn topic(&mut self, kind: EventKind) -> &mut Option<String> {
        let at = EventKind::ALL.iter().position(|other| *other == kind);
        &mut self.topics[at.expect("ALL has every kind")]
    }
}
