//! Records that could not be processed, into a topic: the value is the record's own bytes, so that it can be mended and sent
//! again with the usual tools; where it came from and what is wrong with it stand in the headers.
//!
//! The key and the header `freshet-id` name the record's place (`kafka:TOPIC/P@OFFSET`): a dead letter that is written again
//! after a crash has the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use base64::Engine as _;
use freshet_kafka::{ConnectError, Connection, DeliveryError, Publisher, SendError, Ticket};
use freshet_schema::Epoch;
use freshet_schema::dead_letter::DeadLetter;

/// Longest value: with its headers it must stay below what brokers take by default, 1 MB.
const LONGEST: usize = 512 << 10;
/// How long brokers may take to say what topics they have.
const ANSWER: Duration = Duration::from_secs(5);
/// How often one who waits looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// A topic of dead letters.
#[derive(Debug)]
pub struct DeadLetterTopic {
    publisher: Publisher,
    topic: String,
}

/// Dead letters that are not in the topic.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterTopicError {
    /// Given up by the client.
    #[error(
        "kafka.dead_letters: {0}; make the topic, let the user write to it, or remove the key (the file in store.dir has every \
         dead letter)"
    )]
    Delivery(#[from] DeliveryError),
    /// Not even taken.
    #[error("kafka.dead_letters: {0}; remove the key, or see what the client says")]
    Send(#[from] SendError),
    /// The brokers know no such topic.
    #[error(
        "kafka.dead_letters = {topic:?}: the brokers do not have this topic, or not for this user; make it, correct the name, or remove the key (the \
         file in store.dir has every dead letter)"
    )]
    Missing {
        /// Its name.
        topic: String,
    },
}

impl DeadLetterTopic {
    /// Makes a writer that connects in the background.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open(connection: &Connection, topic: &str) -> Result<Self, ConnectError> {
        Ok(Self { publisher: Publisher::new("dead letters", connection, None)?, topic: topic.to_owned() })
    }

    /// Asks the brokers whether the topic is there: better now than at the first bad record. Brokers that are away are asked
    /// again until `stop`.
    ///
    /// # Errors
    /// Where they do not have it.
    pub fn check(&self, stop: &AtomicBool) -> Result<(), DeadLetterTopicError> {
        while !stop.load(Ordering::Relaxed) {
            match self.publisher.has_topic(&self.topic, ANSWER) {
                Some(true) => return Ok(()),
                Some(false) => return Err(DeadLetterTopicError::Missing { topic: self.topic.clone() }),
                None => std::thread::sleep(LOOK),
            }
        }
        Ok(())
    }

    /// Writes an epoch's dead letters and waits until all in-sync replicas have them, however long the brokers are away.
    /// `false`: told to stop before that.
    ///
    /// # Errors
    /// Where the brokers refuse for good.
    pub fn publish(
        &self,
        epoch: Epoch,
        letters: &[DeadLetter],
        stop: &AtomicBool,
    ) -> Result<bool, DeadLetterTopicError> {
        if letters.is_empty() {
            return Ok(true);
        }
        let (sender, answer) = channel();
        let ticket = Ticket::new(letters.len(), move |result| drop(sender.send(result)));
        for letter in letters {
            let record = Record::of(epoch, letter);
            loop {
                match self.publisher.send(&self.topic, &record.id, &record.value, &record.headers(), &ticket)
                {
                    Ok(()) => break,
                    Err(SendError::Full) if stop.load(Ordering::Relaxed) => return Ok(false),
                    Err(SendError::Full) => std::thread::sleep(LOOK),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(result) => return Ok(result.map(|()| true)?),
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Ok(false),
                Err(RecvTimeoutError::Timeout) => {}
                // The ticket is kept until it has answered.
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
    }
}

/// A dead letter as a record.
struct Record {
    id: String,
    value: Vec<u8>,
    fields: Vec<(&'static str, String)>,
}

impl Record {
    fn of(epoch: Epoch, letter: &DeadLetter) -> Self {
        let raw = match letter.raw_base64 {
            // What we encoded ourselves decodes; whatever else it is, it goes as it is.
            true => base64::engine::general_purpose::STANDARD
                .decode(&letter.raw)
                .unwrap_or_else(|_| letter.raw.clone().into_bytes()),
            false => letter.raw.clone().into_bytes(),
        };
        let id = format!("{}@{}", letter.file, letter.offset);
        let mut fields = vec![
            ("freshet-id", id.clone()),
            ("freshet-source", letter.file.clone()),
            ("freshet-offset", letter.offset.to_string()),
            ("freshet-stage", letter.stage.as_str().to_owned()),
            ("freshet-reason", letter.reason.as_str().to_owned()),
            ("freshet-detail", letter.detail.clone()),
            ("freshet-epoch", epoch.to_string()),
            ("freshet-bytes", raw.len().to_string()),
        ];
        if let Some((topic, partition)) = letter.file.strip_prefix("kafka:").and_then(|n| n.rsplit_once('/'))
        {
            fields.push(("freshet-topic", topic.to_owned()));
            fields.push(("freshet-partition", partition.to_owned()));
        }
        let value = raw[..raw.len().min(LONGEST)].to_vec();
        Self { id, value, fields }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::dead_letter::{Reason, Stage};

    use super::*;

    fn letter(file: &str, raw: &[u8]) -> DeadLetter {
        let (raw, raw_base64) = match std::str::from_utf8(raw) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (base64::engine::general_purpose::STANDARD.encode(raw), true),
        };
        DeadLetter {
            file: file.to_owned(),
            offset: 17,
            stage: Stage::Decode,
            reason: Reason::NotJson,
            detail: "expected value".to_owned(),
            raw,
            raw_base64,
        }
    }

    #[test]
    fn the_value_is_the_records_own_bytes_and_the_headers_say_where_it_was() {
        let record = Record::of(Epoch(5), &letter("kafka:freshet.users/3", b"\xff\x00{"));
        assert_eq!(
            (record.id.as_str(), record.value.as_slice()),
            ("kafka:freshet.users/3@17", &b"\xff\x00{"[..])
        );
        let headers = record.headers();
        for expected in [
            ("freshet-topic", "freshet.users"),
            ("freshet-partition", "3"),
            ("freshet-offset", "17"),
            ("freshet-stage", "decode"),
            ("freshet-reason", "not_json"),
            ("freshet-epoch", "5"),
        ] {
            assert!(headers.contains(&expected), "{expected:?} in {headers:?}");
        }
        let record = Record::of(Epoch(5), &letter("users/part-0.jsonl", &vec![b'x'; LONGEST + 1]));
        assert_eq!(record.value.len(), LONGEST);
        assert!(record.headers().contains(&("freshet-bytes", "524289")));
        assert!(record.headers().iter().all(|(name, _)| *name != "freshet-topic"));
    }
}
