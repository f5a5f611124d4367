//! KuaiRand (CIKM 2022): logs, video features, user features. The logs have like *and* dislike, comment, forward and
//! follow, and the watch time; they have no position, no session and no skip, and none is made up.
//!
//! Not carried: `is_click` and `long_view` (implied by the watch time), stays on profiles and in comments, `tab`. Users
//! come without country, age and gender, so their profiles are empty.

use super::catalogue::Catalogue;
use super::field::{Field, Refusal};
use super::shape::{Shape, may, need};
use super::sort::{self, Seen};

pub(super) const SHAPES: &[Shape] = &[
    Shape::new(
        "video_features_basic",
        &[
            need(&["video_id"]),
            need(&["author_id"]),
            need(&["upload_dt"]),
            may(&["video_duration"]),
            may(&["music_id"]),
            may(&["tag"]),
        ],
        video,
    )
    .note("the tags, which are numbers, serve as hashtags, and the first as the category; status is taken as ready"),
    Shape::unused(
        "video_features_statistic",
        &[need(&["video_id"]), need(&["counts"]), need(&["show_cnt"])],
        "aggregates over the whole set: using them would show the future to the past",
    ),
    Shape::new("user_features", &[need(&["user_id"]), need(&["user_active_degree"])], user)
        .note("no country, age or gender: the profiles are empty"),
    Shape::new(
        "log_standard, log_random",
        &[
            need(&["user_id"]),
            need(&["video_id"]),
            need(&["time_ms"]),
            may(&["play_time_ms"]),
            may(&["duration_ms"]),
            may(&["is_like"]),
            may(&["is_hate"]),
            may(&["is_forward"]),
            may(&["is_comment"]),
            may(&["is_follow"]),
            may(&["label"]),
        ],
        log,
    )
    .note("a label column (1 like, 0 hate) stands for is_like and is_hate where both are missing"),
    Shape::new("positives", &[need(&["user"]), need(&["item"])], super::untimed_pair).untimed().remapped(),
];

fn video(catalogue: &mut Catalogue, fields: &[Field<'_>], _: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [video, author, uploaded, duration, music, tag] = fields else {
        unreachable!("a field for each column of the shape")
    };
    let (id, duration, creator, sound) = (video.need_id()?, duration.span(1.0)?, author.id()?, music.id()?);
    catalogue.duration(id, duration);
    let details = catalogue.details(id);
    details.creator = creator;
    details.created_at = uploaded.china_day();
    details.sound = sound;
    details.hashtags = tag.list(true);
    details.category = details.hashtags.first().cloned();
    Ok(())
}

/// Also the user features of KuaiRec, which has the same columns here.
pub(super) fn user(
    catalogue: &mut Catalogue,
    fields: &[Field<'_>],
    _: &mut Vec<Seen>,
) -> Result<(), Refusal> {
    let id = fields[0].need_id()?;
    catalogue.user(id);
    Ok(())
}

fn log(_: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [user, video, time, watch, duration, like, hate, forward, comment, follow, label] = fields else {
        unreachable!("a field for each column of the shape")
    };
    let mut seen = Seen {
        user: user.need_id()?,
        video: video.need_id()?,
        time: time.need_time(1.0)?,
        duration_ms: duration.span(1.0)?.unwrap_or(0),
        ..Seen::default()
    };
    if let Some(ms) = watch.span(1.0)? {
        seen.watch_ms = ms;
        seen.flags |= sort::WATCHED;
    }
    if like.column.is_empty() && hate.column.is_empty() {
        let label = label.flag()?;
        seen.react(sort::LIKE, label);
        seen.react(sort::DISLIKE, label.map(|liked| !liked));
    } else {
        seen.react(sort::LIKE, like.flag()?);
        seen.react(sort::DISLIKE, hate.flag()?);
    }
    seen.react(sort::SHARE, forward.flag()?);
    seen.react(sort::COMMENT, comment.flag()?);
    seen.react(sort::FOLLOW, follow.flag()?);
    out.push(seen);
    Ok(())
}
