//! Brokers and options: where to connect, and everything that is librdkafka's to know (TLS, SASL, timeouts).
//!
//! Options are passed through as they are written. A few are not the user's to set, because a promise hangs on them: an
//! automatic commit or a reset to the latest offset would lose records without a word, fewer acknowledgements would make
//! "202 Accepted" a lie. Those are refused by name.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;

/// Options that Freshet sets itself, and why.
const OWN: [(&str, &str); 12] = [
    ("bootstrap.servers", "it is kafka.brokers"),
    ("metadata.broker.list", "it is kafka.brokers"),
    ("group.id", "it is kafka.group"),
    ("auto.offset.reset", "where reading goes on is in the journal"),
    ("enable.auto.commit", "where reading goes on is in the journal"),
    ("enable.auto.offset.store", "where reading goes on is in the journal"),
    ("enable.partition.eof", "the end of a backlog is known by it"),
    ("statistics.interval.ms", "the metrics are made from it"),
    ("acks", "an event counts as taken when all in-sync replicas have it"),
    ("enable.idempotence", "an event is written once although it is sent twice"),
    ("partitioner", "a user's events must be in one partition, whoever writes them"),
    ("message.timeout.ms", "how long a caller waits is decided where the caller is"),
];

/// How to reach a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `HOST:PORT` of one broker or several, with commas between them.
    pub brokers: String,
    /// librdkafka's properties.
    pub options: BTreeMap<String, String>,
}

/// A client that cannot be made. Nothing was sent yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// An option that is not the user's to set.
    #[error("kafka.options: {key:?} is set by Freshet: {why}; leave it out")]
    Own {
        /// The property.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// librdkafka does not take an option.
    #[error(
        "kafka.options: {key:?} = {value:?}: {what}; the properties are listed in librdkafka's CONFIGURATION.md"
    )]
    Option {
        /// The property.
        key: String,
        /// Its value; `...` where it may be a secret.
        value: String,
        /// Why, in librdkafka's words.
        what: String,
    },
    /// librdkafka does not take them together.
    #[error("kafka.options: {0}; compare with librdkafka's CONFIGURATION.md")]
    Create(String),
}

impl Connection {
    /// Refuses options that are not the user's to set.
    ///
    /// # Errors
    /// [`ConnectError::Own`].
    pub fn check(&self) -> Result<(), ConnectError> {
        match OWN.iter().find(|(key, _)| self.options.contains_key(*key)) {
            Some((key, why)) => Err(ConnectError::Own { key: (*key).to_owned(), why }),
            None => Ok(()),
        }
    }

    /// Makes a client of any kind; `own` are the properties that its use calls for.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn client<C, T>(&self, own: &[(&str, &str)], context: C) -> Result<T, ConnectError>
    where
        C: rdkafka::ClientContext,
        T: FromClientConfigAndContext<C>,
    {
        self.check()?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "freshet");
        for (key, value) in own {
            config.set(*key, *value);
        }
        // Where both say something, the user knows the cluster better.
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config.create_with_context(context).map_err(|error| match error {
            KafkaError::ClientConfig(_, what, key, value) => ConnectError::Option {
                value: if is_secret(&key) { "...".to_owned() } else { value },
                key,
                what,
            },
            other => ConnectError::Create(other.to_string()),
        })
    }
}

/// Whether an option's value must not be shown.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    ["password", "secret", "key.pem", "token", "oauthbearer.config"].iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ears;
    use rdkafka::consumer::BaseConsumer;

    fn made(options: &[(&str, &str)]) -> Result<(), String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let connection =
            Connection { brokers: "127.0.0.1:1".to_owned(), options: options.iter().map(owned).collect() };
        let made: Result<BaseConsumer<Ears>, _> = connection.client(&[], Ears::new("test", "127.0.0.1:1"));
        made.map(drop).map_err(|e| e.to_string())
    }

    #[test]
    fn options_are_passed_on_and_mistakes_named() {
        assert_eq!(made(&[("client.rack", "a")]), Ok(()));
        let error = made(&[("acks", "0")]).unwrap_err();
        assert!(error.contains("\"acks\"") && error.contains("in-sync"), "{error}");
        let error = made(&[("sesion.timeout.ms", "5")]).unwrap_err();
        assert!(error.contains("sesion.timeout.ms"), "{error}");
        let error = made(&[("socket.timeout.ms", "x")]).unwrap_err();
        assert!(error.contains("socket.timeout.ms") && error.contains("\"x\""), "{error}");
    }

    #[test]
    fn tls_and_scram_are_built_in() {
        assert_eq!(made(&[("security.protocol", "ssl")]), Ok(()));
        assert_eq!(made(&[("sasl.mechanism", "SCRAM-SHA-512")]), Ok(()));
        let error =
            made(&[("security.protocol", "ssl"), ("ssl.ca.location", "/no/such/authority.pem")]).unwrap_err();
        assert!(error.contains("ssl.ca.location failed"), "{error}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(is_secret("sasl.password") && is_secret("ssl.key.pem") && !is_secret("sasl.username"));
    }
}
