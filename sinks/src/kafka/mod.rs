//! Outputs to Kafka: posted events and handed-out pages ([`KafkaEventLog`]), and records that could not be processed
//! ([`DeadLetterTopic`]). Both are at-least-once with identifiers that a second writing has too, so that whoever reads can
//! count each once, as the pipeline does with events.

mod dead_letters;
mod events;

pub use dead_letters::{DeadLetterTopic, DeadLetterTopicError};
pub use events::KafkaEventLog;
