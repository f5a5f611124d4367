//! Tables of who and what is suspected of abuse.

use std::borrow::Cow;

use freshet_operators::abuse::{FULL, Signals};
use freshet_operators::look::{Record, SuspectLook};

use super::column::{Column, ColumnType, Rows, Value, column};
use super::list::Moment;

pub const SUSPECT_USERS: &[Column] = &[
    column("user_id", ColumnType::Id, "the user"),
    column("flagged", ColumnType::Flag, "enough for a flag: what they do counts for nobody else"),
    column("signals", ColumnType::Texts, "`bot`, `farming`, `coordinated`"),
    column("interactions", ColumnType::Count, "interactions within `abuse.window`"),
    column("engaged", ColumnType::Count, "of those, with a like, a share, a comment or a follow"),
    column("unwatched", ColumnType::Count, "of those, without watching"),
    column("skipped", ColumnType::Count, "interactions skipped fast"),
    column("per_minute", ColumnType::Count, "engagements of the busiest minute"),
    column("together", ColumnType::Count, "videos in whose bursts they were with the same others"),
];

pub fn suspect_users(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Suspect(SuspectLook::User(user, numbers, flagged)) = record else { return true };
    let count = |n: u32| Value::Count(n.into());
    rows.row(&[
        Value::Id(user),
        Value::Flag(flagged),
        signals(numbers.signals),
        count(numbers.rows),
        count(numbers.engaged),
        count(numbers.unwatched),
        count(numbers.skipped),
        count(numbers.per_minute),
        count(numbers.together),
    ])
}

pub const SUSPECT_VIDEOS: &[Column] = &[
    column("video_id", ColumnType::Id, "the video"),
    column("factor", ColumnType::Real, "factor on its score, in [0, 1]; 1 where it is not flagged"),
    column("signals", ColumnType::Texts, "`bot`, `farming`, `coordinated`"),
    column("engaged", ColumnType::Count, "engagements within `abuse.window`"),
    column("engagers", ColumnType::Count, "users who engaged"),
    column("bots", ColumnType::Count, "of those, with the signal `bot`"),
    column("farmers", ColumnType::Count, "of those, with the signal `farming`"),
    column("coordinated", ColumnType::Count, "of those, with the signal `coordinated`"),
    column("burst", ColumnType::Count, "users of the burst with the most that are in lockstep"),
    column("last_at", ColumnType::Time, "the last engagement that speaks against it, UTC"),
];

pub fn suspect_videos(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Suspect(SuspectLook::Video(video, numbers, factor)) = record else { return true };
    let count = |n: u32| Value::Count(n.into());
    let [bots, farmers, coordinated] = numbers.suspects;
    rows.row(&[
        Value::Id(video),
        Value::Real(f64::from(factor) / f64::from(FULL)),
        signals(numbers.signals),
        count(numbers.engaged),
        count(numbers.engagers),
        count(bots),
        count(farmers),
        count(coordinated),
        count(numbers.burst[0]),
        Value::Time(numbers.last),
    ])
}

fn signals(signals: Signals) -> Value<'static> {
    let names = Signals::ALL.iter().filter(|(signal, _)| signals.has(*signal));
    Value::Texts(names.map(|(_, name)| Cow::Borrowed(*name)).collect())
}
