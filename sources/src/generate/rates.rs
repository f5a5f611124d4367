//! How often what happens in the generated world. Figures are from the public aggregates of KuaiRand-27K (322,278,385
//! impressions of 27,285 users, 2022-04-08 to 2022-05-08) where those say something, and from the Tsinghua ShortVideo
//! sample (19,358 impressions) for the reactions, which the aggregates leave out. What no source gives is chosen so that
//! each case that a pipeline must handle occurs, and stays rare.

use freshet_schema::fixed::OCTAVE;

/// One day in milliseconds.
pub(super) const DAY: u64 = 86_400_000;
/// One hour in milliseconds.
pub(super) const HOUR: u64 = 3_600_000;
/// One minute in milliseconds.
pub(super) const MINUTE: u64 = 60_000;

/// Sessions of a user in 31 days: 150.2 on average, so 4.84 a day, in hundredths.
pub(super) const SESSIONS_PER_DAY_100: u64 = 484;
/// Impressions of a user: median 8,594, so 57 a session; the most that a session holds here on average.
pub(super) const SESSION_MOST: u64 = 57;
/// Where few events are asked for, sessions become shorter before they become fewer, down to this.
pub(super) const SESSION_LEAST: u64 = 8;

/// Exposures by hour of the day (UTC+8), in thousands.
pub(super) const HOURS: [u64; 24] = [
    10_625, 6_463, 4_132, 2_911, 2_617, 3_693, 6_874, 9_969, 11_545, 12_947, 14_427, 15_442, 17_029, 17_132,
    15_455, 15_768, 16_594, 17_526, 18_845, 19_871, 21_315, 22_117, 21_859, 17_123,
];

/// Popularity falls with the rank to the power of 1.1, among all videos and within each category. After taste and novelty
/// have had their part, the most exposed 1 % of the videos get a quarter to a half of the exposures; KuaiRand-27K has 44 %.
pub(super) const ZIPF_TENTHS: i64 = 11;

/// Median duration 25.9 s: log2 of it in milliseconds.
pub(super) const DURATION_CENTRE: i64 = 1466 * OCTAVE / 100;
/// A video lasts at least and at most this long, in milliseconds.
pub(super) const DURATION_RANGE: (u64, u64) = (3_000, 600_000);

/// Reactions in parts per million, at a match of nothing and added at a full match (by its square). ShortVideo has 1.87 %
/// likes, 0.23 % comments, 0.39 % follows, 0.27 % forwards over all impressions. It has no dislike; KuaiRand's explicit
/// sample has one for four likes.
pub(super) const LIKE: (u64, u64) = (1_500, 66_000);
pub(super) const COMMENT: (u64, u64) = (400, 7_800);
pub(super) const FOLLOW: (u64, u64) = (300, 14_000);
pub(super) const SHARE: (u64, u64) = (300, 9_500);
/// Dislikes, at a match of nothing; none at a full match.
pub(super) const DISLIKE: u64 = 8_000;

/// Skipped fast, in parts per million: at a match of nothing, and how much less at a full match. The median play of
/// KuaiRand-27K is 2.9 s of 25.9 s, and 38 % of the impressions count as clicked.
pub(super) const SKIP: (u64, u64) = (800_000, 650_000);
/// Watched to the end where not skipped, for a match of nothing and added at a full match; halved for long videos.
pub(super) const FINISH: (u64, u64) = (120_000, 560_000);
/// Of those, played again.
pub(super) const REWATCH: u64 = 140_000;

/// Where an impression comes from, in parts per million; the rest is taste.
pub(super) const FROM_POPULAR: u64 = 350_000;
pub(super) const FROM_FRESH: u64 = 80_000;
pub(super) const FROM_FOLLOWED: u64 = 60_000;
/// Shown before its upload was recorded, as caches at the edge do.
pub(super) const BEFORE_UPLOAD: u64 = 1_000;

/// Events that arrive late: 1 %, by up to four hours; most of those by minutes.
pub(super) const LATE: u64 = 10_000;
pub(super) const LATEST: u64 = 4 * HOUR;
/// Events that arrive twice: 0.5 %, within a minute.
pub(super) const DUPLICATE: u64 = 5_000;
/// Likes that are taken back, by a higher revision within a day.
pub(super) const UNLIKE: u64 = 30_000;
/// Interactions that are deleted within two days.
pub(super) const DELETE_INTERACTION: u64 = 500;
/// Videos that are deleted.
pub(super) const DELETE_VIDEO: u64 = 1_000;
/// Users that leave and have themselves deleted.
pub(super) const DELETE_USER: u64 = 3_000;

/// Videos that are there when the log begins; the others come while it runs.
pub(super) const UPLOADED_BEFORE: u64 = 600_000;
/// How far back the first were published.
pub(super) const CATALOGUE_AGE: u64 = 30 * DAY;
/// Uploads that fail, and such as are taken down later.
pub(super) const FAILED: u64 = 10_000;
pub(super) const REMOVED: u64 = 10_000;

/// Users that join while the log runs.
pub(super) const JOIN_LATER: u64 = 100_000;
/// Per session: a changed profile, and the end of a follow.
pub(super) const NEW_PROFILE: u64 = 2_000;
pub(super) const UNFOLLOW: u64 = 20_000;
/// Missing in a profile.
pub(super) const NO_COUNTRY: u64 = 100_000;
pub(super) const NO_AGE: u64 = 150_000;
pub(super) const NO_GENDER: u64 = 200_000;
/// Users who said what they like.
pub(super) const HAS_PREFERENCES: u64 = 300_000;
/// Users whose client reports skips and rewatches itself; for the others they are derived.
pub(super) const NEW_CLIENT: u64 = 700_000;

/// Every so often one of a user's favourite categories gives way to another.
pub(super) const DRIFT: u64 = 4 * DAY;
