//! The tables: their names, columns, and what they are made of.

use std::fmt::Write;

use freshet_operators::look::{Kind, Record};
use freshet_schema::tables::{ColumnInfo, TableInfo};

use super::column::{Column, Rows, type_name};
use super::{history_rows, pairs, service, stats, stored, suspects, users, videos};

/// The moment that a snapshot is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The epoch; 0 before the first one.
    pub epoch: u64,
    /// The pipeline's clock of that epoch, in milliseconds since 1970.
    pub now: u64,
}

/// Makes rows of a record; whether more are wanted.
pub type ToRows = fn(Record<'_>, &Moment, &mut Rows<'_>) -> bool;

/// What a table is made of.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// Of records of the state.
    State(&'static [Kind], ToRows),
    /// Of the lists in the store.
    Feeds,
    /// Of the file of dead letters.
    DeadLetters,
    /// Of the job's own numbers.
    Freshness,
    /// Of the moment itself.
    Moment,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// The column whose values can be looked up.
    pub key: Option<&'static str>,
    /// Its columns, in order.
    pub columns: &'static [Column],
    /// What it is made of.
    pub origin: Origin,
}

/// All tables, in the order in which they are described.
pub const TABLES: &[Table] = &[
    Table {
        name: "videos",
        about: "The latest upload of each video that is not deleted.",
        key: Some("video_id"),
        columns: videos::VIDEOS,
        origin: Origin::State(&[Kind::Videos], videos::videos),
    },
    Table {
        name: "users",
        about: "Users of whom an interaction counts, or a profile or follow is known.",
        key: Some("user_id"),
        columns: users::USERS,
        origin: Origin::State(&[Kind::People], users::users),
    },
    Table {
        name: "interactions",
        about: "The interactions that count, as they were joined and judged. All sums are made of them, but for those that are withheld: \
                what flagged users did (`[abuse]`) stands here and is in no sum.",
        key: Some("user_id"),
        columns: history_rows::INTERACTIONS,
        origin: Origin::State(&[Kind::People], history_rows::interactions),
    },
    Table {
        name: "sessions",
        about: "Sittings: a user's interactions without a pause longer than `interest.session_gap`.",
        key: Some("user_id"),
        columns: history_rows::SESSIONS,
        origin: Origin::State(&[Kind::People], history_rows::sessions),
    },
    Table {
        name: "video_stats",
        about: "Sums of a video's interactions over a span of time: one row a video and span in which it has any. What is withheld \
                (`[abuse]`) is left out.",
        key: Some("video_id"),
        columns: stats::VIDEO_STATS,
        origin: Origin::State(&[Kind::RecentSums, Kind::LastingSums], stats::video_stats),
    },
    Table {
        name: "video_scores",
        about: "What the ranking goes by, video by video, at the snapshot's time.",
        key: Some("video_id"),
        columns: videos::VIDEO_SCORES,
        origin: Origin::State(&[Kind::Standings], videos::video_scores),
    },
    Table {
        name: "creators",
        about: "Sums over all interactions with a creator's videos but for those that are withheld (`[abuse]`), and the score, as of the \
                last publication (`score.publish_every`).",
        key: Some("creator_id"),
        columns: stats::CREATORS,
        origin: Origin::State(&[Kind::Creators], stats::creators),
    },
    Table {
        name: "user_interests",
        about: "What a user's lasting interest is made of: topics (trained ones, or categories) with their shares.",
        key: Some("user_id"),
        columns: users::USER_INTERESTS,
        origin: Origin::State(&[Kind::People], users::user_interests),
    },
    Table {
        name: "user_facets",
        about: "A user's affinity to hashtags, sounds, creators, categories and topics.",
        key: Some("user_id"),
        columns: users::USER_FACETS,
        origin: Origin::State(&[Kind::People], users::user_facets),
    },
    Table {
        name: "trending",
        about: "The pools: the best videos of everybody, of a hashtag, a sound, a creator, a category or a demographic \
                group, as they were published (`feed.pools_every`).",
        key: None,
        columns: videos::TRENDING,
        origin: Origin::State(&[Kind::Pools], videos::trending),
    },
    Table {
        name: "co_engagement",
        about: "Pairs of videos that the same people cared for, with what is left of them by decay.",
        key: Some("video_id"),
        columns: pairs::CO_ENGAGEMENT,
        origin: Origin::State(&[Kind::Pairs], pairs::co_engagement),
    },
    Table {
        name: "suspect_users",
        about: "Users of whom abuse is suspected, with the numbers of the last publication (`[abuse]`).",
        key: Some("user_id"),
        columns: suspects::SUSPECT_USERS,
        origin: Origin::State(&[Kind::SuspectUsers], suspects::suspect_users),
    },
    Table {
        name: "suspect_videos",
        about: "Videos of which abuse is suspected, with the numbers of the last publication (`[abuse]`).",
        key: Some("video_id"),
        columns: suspects::SUSPECT_VIDEOS,
        origin: Origin::State(&[Kind::SuspectVideos], suspects::suspect_videos),
    },
    Table {
        name: "feeds",
        about: "Users' lists as the store has them: one row a place.",
        key: Some("user_id"),
        columns: stored::FEEDS,
        origin: Origin::Feeds,
    },
    Table {
        name: "topics",
        about: "The topics of the last publication, by embedding space.",
        key: None,
        columns: videos::TOPICS,
        origin: Origin::State(&[Kind::Published], videos::topics),
    },
    Table {
        name: "dead_letters",
        about: "Records that could not be processed, up to the snapshot's epoch.",
        key: None,
        columns: stored::DEAD_LETTERS,
        origin: Origin::DeadLetters,
    },
    Table {
        name: "freshness",
        about: "How far the job is: one row. Beside the snapshot's epoch and clock, what the job says when it is asked.",
        key: None,
        columns: service::FRESHNESS,
        origin: Origin::Freshness,
    },
    Table {
        name: "state_size",
        about: "What each piece of lasting state holds on each worker.",
        key: None,
        columns: service::STATE_SIZE,
        origin: Origin::State(&[Kind::Sizes], service::state_size),
    },
    Table {
        name: "snapshot",
        about: "The moment that the query reads: one row. `freshet_epoch()` is its epoch.",
        key: None,
        columns: service::SNAPSHOT,
        origin: Origin::Moment,
    },
];

/// The table of a name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    /// The place of a column.
    #[must_use]
    pub fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// Whether it needs to know what the store held at the epoch.
    #[must_use]
    pub fn waits_for_store(&self) -> bool {
        matches!(self.origin, Origin::Feeds | Origin::DeadLetters)
    }
}

/// All tables, for whoever asks for them.
#[must_use]
pub fn infos() -> Vec<TableInfo> {
    let column = |column: &Column| ColumnInfo {
        name: column.name.to_owned(),
        kind: column.kind,
        nullable: column.nullable,
        about: column.about.to_owned(),
    };
    let table = |table: &Table| TableInfo {
        name: table.name.to_owned(),
        about: table.about.to_owned(),
        key: table.key.map(str::to_owned),
        columns: table.columns.iter().map(column).collect(),
    };
    TABLES.iter().map(table).collect()
}

/// All tables in Markdown, as docs/sql.md has them.
#[must_use]
pub fn describe() -> String {
    let mut text = String::new();
    for table in TABLES {
        let key = table.key.map_or(String::new(), |key| format!(" Looked up by `{key}`."));
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "### {}\n\n{}{key}\n\n| column | type | |\n|---|---|---|\n",
            table.name, table.about
        );
        for column in table.columns {
            let null = if column.nullable { ", may be null" } else { "" };
            let _ =
                writeln!(text, "| `{}` | {}{null} | {} |", column.name, type_name(column.kind), column.about);
        }
        text.push('\n');
    }
    text
}
