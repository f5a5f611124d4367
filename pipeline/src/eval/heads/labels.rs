//! What an impression came to, as the field names it. The names and limits are those of KuaiRand's and ShortVideo's papers:
//! a long view is a whole play or 18 seconds.

use freshet_operators::probe::Heads;
use freshet_schema::Interaction;

/// A view is long from this play on, in milliseconds, where the video is longer.
pub const LONG_VIEW_MS: u64 = 18_000;

/// The labels of an impression; `None` where the record does not say enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Played for at least min(duration, [`LONG_VIEW_MS`]).
    pub long_view: Option<bool>,
    /// Played for at least the duration.
    pub complete: Option<bool>,
    /// Liked.
    pub like: bool,
    /// Time watched in milliseconds.
    pub watch_ms: Option<u64>,
}

impl Labels {
    /// The labels of a view; `duration_ms` is the upload's, for records without one. A duration of 0 is unknown.
    #[must_use]
    pub fn of(view: &Interaction, duration_ms: Option<u64>) -> Self {
        let known = |ms: &u64| *ms > 0;
        let duration = view.duration_ms.filter(known).or(duration_ms.filter(known));
        let played = |least: fn(u64) -> u64| Some(view.watch_ms? >= least(duration?));
        Self {
            long_view: played(|duration| duration.min(LONG_VIEW_MS)),
            complete: played(|duration| duration),
            like: view.like,
            watch_ms: view.watch_ms,
        }
    }
}

/// A prediction that is compared with a label of yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// See [`Labels::long_view`].
    LongView,
    /// See [`Labels::complete`].
    Complete,
    /// See [`Labels::like`].
    Like,
}

impl Head {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::LongView, Self::Complete, Self::Like];

    /// As in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LongView => "long_view",
            Self::Complete => "complete",
            Self::Like => "like",
        }
    }

    /// What was predicted.
    #[must_use]
    pub fn predicted(self, heads: &Heads) -> f32 {
        match self {
            Self::LongView => heads.long_view,
            Self::Complete => heads.completion,
            Self::Like => heads.like,
        }
    }

    /// What was true, where it is known.
    #[must_use]
    pub fn label(self, labels: &Labels) -> Option<bool> {
        match self {
            Self::LongView => labels.long_view,
            Self::Complete => labels.complete,
            Self::Like => Some(labels.like),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(
        watch_ms: Option<u64>,
        duration_ms: Option<u64>,
        upload: Option<u64>,
    ) -> (Option<bool>, Option<bool>) {
        let labels = Labels::of(&Interaction { watch_ms, duration_ms, ..Interaction::default() }, upload);
        (labels.long_view, labels.complete)
    }

    #[test]
    fn a_long_view_is_a_whole_play_or_18_seconds() {
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(labels(Some(10_000), Some(10_000), None), (yes, yes));
        assert_eq!(labels(Some(9_999), Some(10_000), None), (no, no));
        assert_eq!(labels(Some(18_000), Some(60_000), None), (yes, no));
        assert_eq!(labels(Some(17_999), Some(60_000), None), (no, no));
        assert_eq!(labels(Some(5), Some(0), Some(5)), (yes, yes), "the upload's duration stands in");
        assert_eq!(labels(Some(5), Some(9), Some(5)), (no, no), "the player's own comes first");
        assert_eq!(labels(Some(5), None, Some(0)), (None, None));
        assert_eq!(labels(None, Some(5), None), (None, None));
    }
}
