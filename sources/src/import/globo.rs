//! Globo.com (2017): clicks on news, with sessions, to the millisecond. Not video, and there is nothing but the click: no
//! dwell, no reaction, no negative. It is here as a real load with short-lived items.
//!
//! `device`, `os` and `country` keep the publisher's codes. Not carried: environment, region, referrer, word counts.

use super::catalogue::Catalogue;
use super::field::{Field, Refusal};
use super::shape::{Shape, may, need};
use super::sort::Seen;

pub(super) const SHAPES: &[Shape] = &[
    Shape::new(
        "articles_metadata.csv",
        &[need(&["article_id"]), need(&["category_id"]), may(&["created_at_ts"]), may(&["publisher_id"])],
        article,
    )
    .note("the publisher is the creator"),
    Shape::new(
        "clicks",
        &[
            need(&["user_id"]),
            need(&["click_article_id"]),
            need(&["click_timestamp"]),
            may(&["session_id"]),
            may(&["click_deviceGroup"]),
            may(&["click_os"]),
            may(&["click_country"]),
        ],
        click,
    )
    .note("news, not video: a click and nothing else"),
];

fn article(catalogue: &mut Catalogue, fields: &[Field<'_>], _: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [article, category, created, publisher] = fields else {
        unreachable!("a field for each column of the shape")
    };
    let (id, created_at, creator) = (article.need_id()?, created.scaled(1.0)?, publisher.id()?);
    let details = catalogue.details(id);
    details.category = category.words().map(|c| c.into_owned());
    details.created_at = created_at;
    details.creator = creator;
    Ok(())
}

fn click(_: &mut Catalogue, fields: &[Field<'_>], out: &mut Vec<Seen>) -> Result<(), Refusal> {
    let [user, article, time, session, device, os, country] = fields else {
        unreachable!("a field for each column of the shape")
    };
    let code = |field: &Field<'_>| -> Result<u16, Refusal> {
        let code = field.scaled(1.0)?.unwrap_or(0);
        u16::try_from(code).map_err(|_| {
            Refusal::new("out_of_range", format!("column {} holds {code}, expected a code", field.column))
        })
    };
    out.push(Seen {
        user: user.need_id()?,
        video: article.need_id()?,
        time: time.need_time(1.0)?,
        session: session.id()?.unwrap_or(0),
        device: code(device)?,
        os: code(os)?,
        country: code(country)?,
        ..Seen::default()
    });
    Ok(())
}
