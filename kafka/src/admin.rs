//! Makes topics, for demos and tests. A service never makes a topic: how many partitions, replicas and days it has is the
//! operator's to decide.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use crate::{ConnectError, Connection, Ears};

/// Topics that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The brokers did not answer or refused all.
    #[error("{brokers}: topics cannot be made: {what}; check kafka.brokers and that a broker runs there")]
    Request {
        /// Which brokers.
        brokers: String,
        /// Why.
        what: String,
    },
    /// One topic was refused.
    #[error("the topic {topic} cannot be made: {code}; make it with the cluster's own tools")]
    Topic {
        /// Which.
        topic: String,
        /// Why.
        code: RDKafkaErrorCode,
    },
}

/// Makes topics with this many partitions and the cluster's default replication; those that exist are left as they are.
///
/// # Errors
/// [`AdminError`].
pub fn create_topics<'a>(
    connection: &Connection,
    topics: impl IntoIterator<Item = &'a str>,
    partitions: i32,
) -> Result<(), AdminError> {
    let request = |what: String| AdminError::Request { brokers: connection.brokers.clone(), what };
    let admin: AdminClient<Ears> = connection.client(&[], Ears::new("topics", &connection.brokers))?;
    let topics: Vec<NewTopic<'_>> =
        topics.into_iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1))).collect();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(20)));
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().map_err(|e| request(e.to_string()))?;
    let made =
        runtime.block_on(admin.create_topics(&topics, &options)).map_err(|e| request(e.to_string()))?;
    for result in made {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(AdminError::Topic { topic, code }),
        }
    }
    Ok(())
}
