//! KuaiRec (CIKM 2022): matrices with watch time and duration, item categories, captions, daily item features. It has no
//! like, dislike, share, comment or follow whatever, and none is made up.
//!
//! Not carried: `watch_ratio` (it is the quotient of the two durations), the daily counters of the items.

use super::catalogue::Catalogue;
use super::field::{Field, Refusal};
use super::kuairand;
use super::shape::{Shape, may, need};
use super::sort::{self, Seen};

pub(super) const SHAPES: &[Shape] = &[
    Shape::new(
        "kuairec_caption_category.csv",
        &[
            need(&["video_id"]),
            need(&["caption"]),
            need(&["first_level_category_name"]),
            may(&["topic_tag"]),
            may(&["manual_cover_text"]),
        ],
        captions,
    ),
    Shape::new(
        "item_daily_features.csv",
        &[
            need(&["video_id"]),
            need(&["author_id"]),
            need(&["upload_dt"]),
            may(&["video_duration"]),
            may(&["music_id"]),
            may(&["video_tag_name"]),
        ],
        daily,
    )
    .note("of each video the first day counts; the counters are aggregates and not used"),
    Shape::new("item_categories.csv", &[need(&["video_id"]), need(&["feat"])], categories).note(
        "the first category is taken; all of them serve as hashtags where there are no topic tags (derived)",
    ),
    Shape::unused(
        "social_network.csv",
        &[need(&["user_id"]), need(&["friend_list"])],
        "friendships of users are no follows of creators",
    ),
    Shape::new("user_features.csv", &[need(&["user_id"]), need(&["user_active_degree"])], kuairand::user)
        .note("no country, age or gender: the profiles are empty"),
    Shape::new(
        "small_matrix.csv, big_matrix.csv",
        &[
            need(&["user_id"]),
            need(&["video_id"]),
            need(&["timestamp"]),
            need(&["play_duration"]),
            may(&["video_duration"]),
        ],
        matrix,
    ),
    Shape::new("positives", &[need(&["user"]), need(&["item"])], super::untimed_pair).untimed().remapped(),
];

fn known(field: &Field<'_>) -> Option<String> {
    field.words().filter(|text| text != "UNKNOWN").map(|text| text.into_owned())
}

fn captions(catalogue: &mut Catalogue, fields: &[Field<'_>], _: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [video, caption, category, topics, cover] = fields else {
        unreachable!("a field for each column of the shape")
    };
    let details = catalogue.details(video.need_id()?);
    details.caption = known(caption).or_else(|| known(cover)).unwrap_or_default();
    details.category = known(category);
    details.hashtags = topics.list(false);
    Ok(())
}

fn daily(catalogue: &mut Catalogue, fields: &[Field<'_>], _: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [video, author, uploaded, duration, music, tag] = fields else {
        unreachable!("a field for each column of the shape")
    };
    let (id, duration, creator, sound) = (video.need_id()?, duration.span(1.0)?, author.id()?, music.id()?);
    catalogue.duration(id, duration);
    let details = catalogue.details(id);
    details.creator = details.creator.or(creator);
    details.created_at = details.created_at.or_else(|| uploaded.china_day());
    details.sound = details.sound.or(sound);
    details.category = details.category.take().or_else(|| known(tag));
    Ok(())
}

fn categories(catalogue: &mut Catalogue, fields: &[Field<'_>], _: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [video, feat] = fields else { unreachable!("a field for each column of the shape") };
    let (id, numbers) = (video.need_id()?, feat.list(true));
    let details = catalogue.details(id);
    details.category = details.category.take().or_else(|| numbers.first().cloned());
    if details.hashtags.is_empty() {
        details.hashtags = numbers;
        details.hashtags_derived = true;
    }
    Ok(())
}

fn matrix(_: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [user, video, time, watch, duration] = fields else {
        unreachable!("a field for each column of the shape")
    };
    let mut seen = Seen {
        user: user.need_id()?,
        video: video.need_id()?,
        // In seconds with a fraction; small_matrix.csv has rows without.
        time: time.need_time(1000.0)?,
        duration_ms: duration.span(1.0)?.unwrap_or(0),
        ..Seen::default()
    };
    if let Some(ms) = watch.span(1.0)? {
        seen.watch_ms = ms;
        seen.flags |= sort::WATCHED;
    }
    out.push(seen);
    Ok(())
}
