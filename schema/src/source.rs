//! The names of candidate sources, as lists, answers and metrics give them.

use crate::feed::Source;

impl Source {
    /// The name without the enumeration's prefix. A number of a newer schema is `unspecified`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Followed => "followed",
            Self::Hashtag => "hashtag",
            Self::Sound => "sound",
            Self::Trending => "trending",
            Self::Demographic => "demographic",
            Self::Exploration => "exploration",
            Self::Next => "next",
            Self::CoEngaged => "co_engaged",
            Self::Similar => "similar",
            Self::Cohort => "cohort",
        }
    }
}
