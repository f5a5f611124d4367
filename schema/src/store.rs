//! Keys and values of the store, as `docs/store.md` promises them to readers in any language.

use std::fmt;

use prost::Message;

use crate::feed::{
    AccountRecord, CohortRecord, DiversityRecord, DroppedRecord, ExperimentsRecord, FeedRecord, HeadsRecord,
    PreferencesRecord, RelatedRecord, TrendingRecord, VideoCard,
};
use crate::hash;
use crate::ids::{UserId, VideoId};

/// The name of the pool and of the new-user list that everybody belongs to.
pub const EVERYONE: &str = "all";

/// A key of the store. Its text form is what is written; keys are ordered by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `feed:{user}` -> [`FeedRecord`]
    Feed(UserId),
    /// `dropped:{user}` -> [`DroppedRecord`]
    Dropped(UserId),
    /// `account:{user}` -> [`AccountRecord`]
    Account(UserId),
    /// `heads:{version}` -> [`HeadsRecord`]
    Heads(u64),
    /// `video:{video}` -> [`VideoCard`]
    Video(VideoId),
    /// `related:{video}` -> [`RelatedRecord`]
    Related(VideoId),
    /// `cohort:{video}` -> [`CohortRecord`]
    Cohort(VideoId),
    /// `preferences:{user}` -> [`PreferencesRecord`]
    Preferences(UserId),
    /// `trending:{group}` -> [`TrendingRecord`]. A group is `all`, `category:NAME`, `hashtag:NAME`, `sound:ID`,
    /// `creator:ID` or `demographic:COUNTRY/AGE/GENDER`.
    Trending(String),
    /// `newuser:{group}` -> [`FeedRecord`]. A group is `all` or `COUNTRY/AGE/GENDER`.
    NewUser(String),
    /// `experiments:all` -> [`ExperimentsRecord`]
    Experiments,
    /// `diversity:all` -> [`DiversityRecord`]
    Diversity,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feed(user) => write!(f, "feed:{user}"),
            Self::Dropped(user) => write!(f, "dropped:{user}"),
            Self::Account(user) => write!(f, "account:{user}"),
            Self::Heads(version) => write!(f, "heads:{version}"),
            Self::Video(video) => write!(f, "video:{video}"),
            Self::Related(video) => write!(f, "related:{video}"),
            Self::Cohort(video) => write!(f, "cohort:{video}"),
            Self::Preferences(user) => write!(f, "preferences:{user}"),
            Self::Trending(group) => write!(f, "trending:{group}"),
            Self::NewUser(group) => write!(f, "newuser:{group}"),
            Self::Experiments => write!(f, "experiments:{EVERYONE}"),
            Self::Diversity => write!(f, "diversity:{EVERYONE}"),
        }
    }
}

impl Key {
    /// The logical shard that the key belongs to: that of its user, video or group. Weights go by their version.
    #[must_use]
    pub fn shard(&self) -> u64 {
        match self {
            Self::Feed(user) | Self::Dropped(user) | Self::Account(user) | Self::Preferences(user) => {
                hash::shard(user.0)
            }
            Self::Video(video) | Self::Related(video) | Self::Cohort(video) => hash::shard(video.0),
            Self::Heads(version) => hash::shard(*version),
            Self::Trending(group) | Self::NewUser(group) => hash::text_shard(group),
            Self::Experiments | Self::Diversity => hash::text_shard(EVERYONE),
        }
    }

    /// Reads a key's text form; `None` where it is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "feed" => rest.parse().ok().map(Self::Feed),
            "dropped" => rest.parse().ok().map(Self::Dropped),
            "account" => rest.parse().ok().map(Self::Account),
            "heads" => rest.parse().ok().map(Self::Heads),
            "video" => rest.parse().ok().map(Self::Video),
            "related" => rest.parse().ok().map(Self::Related),
            "cohort" => rest.parse().ok().map(Self::Cohort),
            "preferences" => rest.parse().ok().map(Self::Preferences),
            "trending" => Some(Self::Trending(rest.to_owned())),
            "newuser" => Some(Self::NewUser(rest.to_owned())),
            "experiments" => (rest == EVERYONE).then_some(Self::Experiments),
            "diversity" => (rest == EVERYONE).then_some(Self::Diversity),
            _ => None,
        }
    }
}

/// A decoded value.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A ranked list.
    Feed(FeedRecord),
    /// What did not make it.
    Dropped(DroppedRecord),
    /// How a list came about.
    Account(AccountRecord),
    /// Weights.
    Heads(HeadsRecord),
    /// A card.
    Video(VideoCard),
    /// What goes with a video.
    Related(RelatedRecord),
    /// A new video's life.
    Cohort(CohortRecord),
    /// What a user asked for.
    Preferences(PreferencesRecord),
    /// A pool.
    Trending(TrendingRecord),
    /// What was counted of experiments.
    Experiments(ExperimentsRecord),
    /// How alike lists are.
    Diversity(DiversityRecord),
}

impl Value {
    /// Decodes the bytes stored under `key`.
    ///
    /// # Errors
    /// Where the bytes are no message of the key's kind.
    pub fn decode(key: &Key, bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Ok(match key {
            Key::Feed(_) | Key::NewUser(_) => Self::Feed(FeedRecord::decode(bytes)?),
            Key::Dropped(_) => Self::Dropped(DroppedRecord::decode(bytes)?),
            Key::Account(_) => Self::Account(AccountRecord::decode(bytes)?),
            Key::Heads(_) => Self::Heads(HeadsRecord::decode(bytes)?),
            Key::Video(_) => Self::Video(VideoCard::decode(bytes)?),
            Key::Related(_) => Self::Related(RelatedRecord::decode(bytes)?),
            Key::Cohort(_) => Self::Cohort(CohortRecord::decode(bytes)?),
            Key::Preferences(_) => Self::Preferences(PreferencesRecord::decode(bytes)?),
            Key::Trending(_) => Self::Trending(TrendingRecord::decode(bytes)?),
            Key::Experiments => Self::Experiments(ExperimentsRecord::decode(bytes)?),
            Key::Diversity => Self::Diversity(DiversityRecord::decode(bytes)?),
        })
    }

    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Feed(m) => m.encode_to_vec(),
            Self::Dropped(m) => m.encode_to_vec(),
            Self::Account(m) => m.encode_to_vec(),
            Self::Heads(m) => m.encode_to_vec(),
            Self::Video(m) => m.encode_to_vec(),
            Self::Related(m) => m.encode_to_vec(),
            Self::Cohort(m) => m.encode_to_vec(),
            Self::Preferences(m) => m.encode_to_vec(),
            Self::Trending(m) => m.encode_to_vec(),
            Self::Experiments(m) => m.encode_to_vec(),
            Self::Diversity(m) => m.encode_to_vec(),
        }
    }
}

/// The demographic group of a profile, `COUNTRY/AGE/GENDER` with `-` for what is not known; [`EVERYONE`] where nothing is.
#[must_use]
pub fn demographic_group(country: Option<&str>, age_band: Option<&str>, gender: Option<&str>) -> String {
    if country.is_none() && age_band.is_none() && gender.is_none() {
        return EVERYONE.to_owned();
    }
    let part = |p: Option<&str>| p.unwrap_or("-").replace('/', "_");
    format!("{}/{}/{}", part(country), part(age_band), part(gender))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What a store holds under a key of ours may be anything.
        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            text in ".{0,40}",
            kind in prop::sample::select(vec![
                "feed:1", "dropped:1", "account:1", "heads:1", "video:1", "related:1", "preferences:1", "trending:all",
                "newuser:all", "experiments:all", "diversity:all",
            ]),
        ) {
            let _ = Key::parse(&text);
            let key = Key::parse(kind).expect("a key");
            if let Ok(value) = Value::decode(&key, &bytes) {
                // What can be read can be written.
                prop_assert!(Value::decode(&key, &value.encode()).is_ok());
            }
        }

        #[test]
        fn keys_come_back(id: u64, group in "[ -~]{0,20}") {
            let user = UserId(id);
            let related = Key::Related(VideoId(id));
            for key in [Key::Feed(user), Key::Heads(id), related, Key::Trending(group.clone()), Key::Experiments, Key::Diversity] {
                prop_assert_eq!(Key::parse(&key.to_string()), Some(key));
            }
        }
    }
}
