//! The table of pairs of videos.

use freshet_operators::coengage::Relation;
use freshet_operators::look::Record;

use super::column::{Column, ColumnType, Rows, Value, column};
use super::list::Moment;

pub const CO_ENGAGEMENT: &[Column] = &[
    column("video_id", ColumnType::Id, "the first video"),
    column("with_video_id", ColumnType::Id, "the second video"),
    column(
        "relation",
        ColumnType::Text,
        "`next`: the second was the next positive after the first; `with`: both were within `coengagement.window` places of each other",
    ),
    column("weight", ColumnType::Real, "number of such pairs, decayed by `coengagement.half_life`"),
];

pub fn co_engagement(record: Record<'_>, _: &Moment, rows: &mut Rows<'_>) -> bool {
    let Record::Pair(pair) = record else { return true };
    let relation = match pair.relation {
        Relation::Next => "next",
        Relation::With => "with",
    };
    rows.row(&[Value::Id(pair.seed), Value::Id(pair.video), Value::text(relation), Value::Real(pair.weight)])
}
