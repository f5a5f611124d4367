//! Tsinghua ShortVideo (WWW 2025): one file in which each row is an impression together with its video's and its user's
//! attributes. Read under the publisher's names and under those of the published sample.
//!
//! Not carried: `click` and `effective_view` (implied by the watch time), `collect` (no such signal), the author's
//! followers (they must never move a score), the user's city and phone.

use super::catalogue::Catalogue;
use super::field::{Field, Refusal};
use super::shape::{Shape, may, need};
use super::sort::{self, Seen};

pub(super) const SHAPES: &[Shape] = &[Shape::new(
    "interaction.csv",
    &[
        need(&["user_id"]),
        need(&["pid"]),
        need(&["exposed_time"]),
        may(&["watch_time", "watch_time_s"]),
        may(&["duration", "duration_s"]),
        may(&["cvm_like", "like"]),
        may(&["hate"]),
        may(&["forward"]),
        may(&["comment"]),
        may(&["follow"]),
        may(&["author_id"]),
        may(&["title"]),
        may(&["tag_name", "tags"]),
        may(&["categories", "root_id", "category_id"]),
        may(&["age"]),
        may(&["gender"]),
    ],
    row,
)
.note("the upload is known from the first row that shows the video")];

fn row(catalogue: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [
        user,
        video,
        time,
        watch,
        duration,
        like,
        hate,
        forward,
        comment,
        follow,
        author,
        title,
        tags,
        categories,
        age,
        gender,
    ] = fields
    else {
        unreachable!("a field for each column of the shape")
    };
    let mut seen = Seen {
        user: user.need_id()?,
        video: video.need_id()?,
        time: time.need_time(1000.0)?,
        duration_ms: duration.span(1000.0)?.unwrap_or(0),
        ..Seen::default()
    };
    if let Some(ms) = watch.span(1000.0)? {
        seen.watch_ms = ms;
        seen.flags |= sort::WATCHED;
    }
    seen.react(sort::LIKE, like.flag()?);
    seen.react(sort::DISLIKE, hate.flag()?);
    seen.react(sort::SHARE, forward.flag()?);
    seen.react(sort::COMMENT, comment.flag()?);
    seen.react(sort::FOLLOW, follow.flag()?);
    let creator = author.id()?;
    if catalogue.is_new(seen.video) {
        let details = catalogue.details(seen.video);
        details.creator = creator;
        details.caption = title.words().unwrap_or_default().into_owned();
        details.hashtags = tags.list(false);
        details.categories = categories.list(false);
        details.categories.retain(|c| c != "Unknown");
    }
    let age = age.scaled(1.0)?;
    let gender = gender.words();
    if age.is_some() || gender.is_some() {
        let profile = catalogue.user(seen.user);
        profile.age_band = profile.age_band.or(age.map(age_band));
        if profile.gender.is_none() {
            profile.gender = gender.map(|g| match g.as_ref() {
                "M" => "male".to_owned(),
                "F" => "female".to_owned(),
                other => other.to_owned(),
            });
        }
    }
    out.push(seen);
    Ok(())
}

fn age_band(years: u64) -> &'static str {
    match years {
        0..=17 => "0-17",
        18..=24 => "18-24",
        25..=34 => "25-34",
        35..=44 => "35-44",
        45..=54 => "45-54",
        _ => "55+",
    }
}
