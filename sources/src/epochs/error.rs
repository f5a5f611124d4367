//! What ends a source. A bad record is none of these.

use std::path::PathBuf;

use crate::journal::JournalError;
use crate::kafka::KafkaError;
use crate::log::LogError;

/// A source that cannot go on. Each message names file, place and remedy.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The journal was begun with another kind of input.
    #[error(
        "{journal}: this journal was begun over {then}, and input.source is {now:?} now; set it back, \
         or start with a new journal and a new store",
        journal = journal.display()
    )]
    OtherInput {
        /// The journal.
        journal: PathBuf,
        /// A partition that it has consumed.
        then: String,
        /// What is to be read now.
        now: &'static str,
    },
    /// A setting that makes no sense.
    #[error("{key} = {value}: {remedy}")]
    Config {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        remedy: String,
    },
    /// A setting differs from the one that the journal was made with.
    #[error(
        "{journal}: {key} was {journalled} when this journal was begun and is {given} now; set it back, \
         or start with a new journal and a new store",
        journal = journal.display()
    )]
    Changed {
        /// The journal.
        journal: PathBuf,
        /// The setting.
        key: &'static str,
        /// Its value then.
        journalled: String,
        /// Its value now.
        given: String,
    },
    /// A file that the journal names is gone.
    #[error(
        "{path}: gone, but the journal {journal} has consumed it; put it back, \
         or start with a new journal and a new store",
        path = path.display(), journal = journal.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The journal.
        journal: PathBuf,
    },
    /// What was consumed of a file is not what it was.
    #[error(
        "{path}: changed before offset {offset}: {what}; put the file back as it was, \
         or start with a new journal and a new store",
        path = path.display()
    )]
    PrefixChanged {
        /// The file.
        path: PathBuf,
        /// The journalled offset at which it shows.
        offset: u64,
        /// How it shows.
        what: &'static str,
    },
    /// The journal's entries contradict each other.
    #[error(
        "{journal}: {what}; restore the file from a copy, or start with a new journal and a new store",
        journal = journal.display()
    )]
    Inconsistent {
        /// The journal.
        journal: PathBuf,
        /// How.
        what: String,
    },
}

impl SourceError {
    /// Whether it is no failure, but the answer to a request to end.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Kafka(error) if error.is_stop())
    }
}
