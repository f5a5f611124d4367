//! Where records go that cannot be processed: a file always, a Kafka topic where one is named.
//!
//! The topic comes first. The file knows which epochs it has and skips them in a replay; so what it has, the topic has too, and
//! what a crash kept from the file is written to both again. The topic can hold a letter twice that way, with the same
//! identifier; it can lack none.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use freshet_schema::Epoch;
use freshet_schema::dead_letter::DeadLetter;
use freshet_sinks::{DeadLetterFile, DeadLetterTopic};

use crate::config::Config;

/// The file, for whoever takes letters out while others are written.
pub type Shared = Arc<Mutex<DeadLetterFile>>;

/// Both of them.
pub struct DeadLetters {
    file: Shared,
    topic: Option<DeadLetterTopic>,
}

impl DeadLetters {
    /// Opens the file and, where the configuration names one, the topic, which must be there. Brokers that are away are waited
    /// for until `stop`.
    ///
    /// # Errors
    /// Where the file is held or foreign, the client's options are wrong, or the brokers do not have the topic.
    pub fn open(config: &Config, stop: &AtomicBool) -> anyhow::Result<Self> {
        let path = config.store.dead_letters_file();
        let file = DeadLetterFile::open(&path).with_context(|| path.display().to_string())?;
        let topic = match (&config.kafka.dead_letters, config.kafka.connection()) {
            (Some(topic), Some(connection)) => {
                let topic = DeadLetterTopic::open(&connection, topic)?;
                topic.check(stop)?;
                Some(topic)
            }
            _ => None,
        };
        Ok(Self { file: Arc::new(Mutex::new(file)), topic })
    }

    /// The file, to share.
    #[must_use]
    pub fn share(&self) -> Shared {
        Arc::clone(&self.file)
    }

    fn file(&self) -> MutexGuard<'_, DeadLetterFile> {
        // After a panic the file itself knows what it holds.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an epoch's; `false` where it was told to stop before the brokers had them: the epoch is not done then.
    ///
    /// # Errors
    /// Where the disk or the brokers refuse.
    pub fn write(&mut self, epoch: Epoch, letters: &[DeadLetter], stop: &AtomicBool) -> anyhow::Result<bool> {
        if let Some(topic) = &self.topic
            && self.file().marker().is_none_or(|marker| epoch > marker)
            && !topic.publish(epoch, letters, stop)?
        {
            return Ok(false);
        }
        self.file().append(epoch, letters)?;
        Ok(true)
    }

    /// Makes the file durable.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sync(&mut self) -> anyhow::Result<()> {
        Ok(self.file().sync()?)
    }
}
