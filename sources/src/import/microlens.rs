//! MicroLens (2023): pairs of users and items, titles, categories. There is no watch time, no duration and no reaction
//! column at all. A pair stands for a public comment (that is how the set was collected), so `comment` is derived.

use super::catalogue::Catalogue;
use super::field::{Field, Refusal};
use super::shape::{Headless, SEQUENCE, Shape, need};
use super::sort::{self, Seen};

pub(super) const SHAPES: &[Shape] = &[
    Shape::new("titles", &[need(&["item"]), need(&["title"])], title)
        .headless(Headless::NumberAndText)
        .note("hashtags are what stands behind each # of a title (derived)"),
    Shape::new("tags", &[need(&["video_id"]), need(&["tag"])], tag).note("the tag is the category"),
    Shape::unused(
        "likes_and_views.txt",
        &[need(&["item"]), need(&["likes"]), need(&["views"])],
        "totals without a time: using them would show the future to the past",
    )
    .headless(Headless::Numbers),
    Shape::new("pairs.csv", &[need(&["user"]), need(&["item"]), need(&["timestamp"])], pair),
    Shape::new("pairs.tsv", &[], sequence).headless(Headless::Sequence).untimed(),
    Shape::new("pairs", &[need(&["user"]), need(&["item"])], untimed).untimed(),
];

/// A hashtag is at most this long, in bytes: what is longer is the rest of a title behind a stray `#`.
const LONGEST_TAG: usize = 120;

fn title(catalogue: &mut Catalogue, fields: &[Field<'_>], _: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [item, title] = fields else { unreachable!("a field for each column of the shape") };
    let details = catalogue.details(item.need_id()?);
    details.caption = title.words().unwrap_or_default().into_owned();
    let mut tags = Vec::<String>::new();
    for tag in details.caption.split('#').skip(1).map(str::trim) {
        if !tag.is_empty() && tag.len() <= LONGEST_TAG && !tags.iter().any(|t| t == tag) {
            tags.push(tag.to_owned());
        }
    }
    details.hashtags = tags;
    details.hashtags_derived = true;
    Ok(())
}

fn tag(catalogue: &mut Catalogue, fields: &[Field<'_>], _: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [video, tag] = fields else { unreachable!("a field for each column of the shape") };
    let id = video.need_id()?;
    catalogue.details(id).category = tag.words().map(|t| t.into_owned());
    Ok(())
}

fn commented(user: u64, video: u64, time: u64) -> Seen {
    let mut seen = Seen { user, video, time, flags: sort::COMMENT_DERIVED, ..Seen::default() };
    seen.react(sort::COMMENT, Some(true));
    seen
}

fn pair(_: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [user, item, time] = fields else { unreachable!("a field for each column of the shape") };
    out.push(commented(user.need_id()?, item.need_id()?, time.need_time(1.0)?));
    Ok(())
}

fn untimed(catalogue: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [user, item] = fields else { unreachable!("a field for each column of the shape") };
    let (user, item) = (user.need_id()?, item.need_id()?);
    let mut seen = commented(user, item, catalogue.derived_time(user));
    seen.flags |= sort::TIME_DERIVED;
    out.push(seen);
    Ok(())
}

fn sequence(catalogue: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let user = fields[0].need_id()?;
    let mut items = Vec::new();
    for field in &fields[1..] {
        let Some(words) = field.words() else { continue };
        for word in words.split([' ', ',']).filter(|w| !w.is_empty()) {
            let item = word.parse::<u64>().map_err(|_| {
                Refusal::new("not_an_id", format!("the list of items holds {word:?}, expected whole numbers"))
            })?;
            items.push(item);
        }
    }
    if fields.get(SEQUENCE - 1).is_some_and(|last| last.words().is_some()) {
        return Err(Refusal::new("too_long", format!("the row has more than {} columns", SEQUENCE - 1)));
    }
    if items.is_empty() {
        return Err(Refusal::new("missing_id", format!("user {user} has no items")));
    }
    for item in items {
        let mut seen = commented(user, item, catalogue.derived_time(user));
        seen.flags |= sort::TIME_DERIVED;
        out.push(seen);
    }
    Ok(())
}
