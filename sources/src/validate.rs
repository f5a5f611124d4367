//! Judges a decoded record: the rules of its kind, and the clock's.
//!
//! The limits are generous: they keep out what would harm everybody else (a caption of a gigabyte, an infinite vector,
//! a watch time of a century), not what is merely odd. They are part of what an epoch's content depends on, so the
//! journal holds them.

use freshet_schema::dead_letter::Reason;
use freshet_schema::{Delete, Event, Follow, Interaction, Millis, Served, Upload, User};
use serde::{Deserialize, Serialize};

/// 2000-01-01: no short video is older.
pub const DEFAULT_MIN_EVENT_TIME: Millis = Millis(946_684_800_000);

/// What a record may hold at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one record as JSON.
    pub record_bytes: usize,
    /// Watch time and duration in milliseconds.
    pub duration_ms: u64,
    /// Hashtags of a video, preferences of a user.
    pub hashtags: usize,
    /// Bytes of one hashtag and of every other short text (category, country, device, ...).
    pub name_bytes: usize,
    /// Bytes of a caption.
    pub caption_bytes: usize,
    /// Numbers of a content vector.
    pub embedding_dims: usize,
    /// Items of a served page.
    pub served_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 1 << 20,
            duration_ms: 7 * 24 * 3_600_000,
            hashtags: 100,
            name_bytes: 200,
            caption_bytes: 10_000,
            embedding_dims: 4096,
            served_items: 1000,
        }
    }
}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// The label.
    pub reason: Reason,
    /// In words; names the field, the value and the bound.
    pub detail: String,
}

/// Which times are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockRule {
    /// A finite log is replayed: nothing beyond the end of the world that was fixed at the first start.
    Replay {
        /// The latest admitted event time.
        max_event_time: Millis,
    },
    /// Records arrive as they happen: nothing much ahead of the epoch's clock.
    Live {
        /// The epoch's `now`.
        now: Millis,
        /// How far ahead of it a client's clock may run, in milliseconds.
        max_future_skew_ms: u64,
    },
}

/// Checks a record against the rules of its kind. Identifiers may be any number; the times are [`check_clock`]'s.
///
/// # Errors
/// The first rule that is broken.
pub fn validate(event: &Event, limits: &Limits) -> Result<(), Rejection> {
    match event {
        Event::User(e) => user(e, limits),
        Event::Upload(e) => upload(e, limits),
        Event::Follow(Follow { .. }) | Event::Delete(Delete { .. }) => Ok(()),
        Event::Interaction(e) => interaction(e, limits),
        Event::Served(e) => served(e, limits),
    }
}

/// Checks a record's time. Live, a time exactly `max_future_skew_ms` ahead still passes.
///
/// # Errors
/// [`Reason::TooOld`] or [`Reason::TooFarAhead`].
pub fn check_clock(event_time: Millis, min_event_time: Millis, rule: ClockRule) -> Result<(), Rejection> {
    let reject = |reason, detail| Err(Rejection { reason, detail });
    if event_time < min_event_time {
        return reject(
            Reason::TooOld,
            format!("event_time: {event_time} is before min_event_time {min_event_time}"),
        );
    }
    match rule {
        ClockRule::Replay { max_event_time } if event_time > max_event_time => reject(
            Reason::TooFarAhead,
            format!("event_time: {event_time} is after max_event_time {max_event_time}"),
        ),
        ClockRule::Live { now, max_future_skew_ms } if event_time > now.plus(max_future_skew_ms) => reject(
            Reason::TooFarAhead,
            format!(
                "event_time: {event_time} is more than max_future_skew_ms {max_future_skew_ms} after now {now}"
            ),
        ),
        _ => Ok(()),
    }
}

#[cold]
fn invalid(detail: String) -> Result<(), Rejection> {
    Err(Rejection { reason: Reason::InvalidValue, detail })
}

fn at_most(field: &str, value: u64, most: u64, unit: &str) -> Result<(), Rejection> {
    if value > most {
        invalid(format!("{field}: {value} {unit}; at most {most} are allowed"))
    } else {
        Ok(())
    }
}

fn length(field: &str, text: &str, most: usize) -> Result<(), Rejection> {
    at_most(field, text.len() as u64, most as u64, "bytes")
}

fn name(field: &str, text: Option<&str>, limits: &Limits) -> Result<(), Rejection> {
    text.map_or(Ok(()), |text| length(field, text, limits.name_bytes))
}

fn names(field: &str, list: &[String], limits: &Limits) -> Result<(), Rejection> {
    at_most(field, list.len() as u64, limits.hashtags as u64, "entries")?;
    list.iter().try_for_each(|text| length(field, text, limits.name_bytes))
}

fn user(e: &User, limits: &Limits) -> Result<(), Rejection> {
    name("country", e.country.as_deref(), limits)?;
    name("age_band", e.age_band.as_deref(), limits)?;
    name("gender", e.gender.as_deref(), limits)?;
    names("preferences", &e.preferences, limits)
}

fn upload(e: &Upload, limits: &Limits) -> Result<(), Rejection> {
    at_most("duration_ms", e.duration_ms, limits.duration_ms, "ms")?;
    length("caption", &e.caption, limits.caption_bytes)?;
    names("hashtags", &e.hashtags, limits)?;
    name("category", e.category.as_deref(), limits)?;
    name("embedding_space", e.embedding_space.as_deref(), limits)?;
    let Some(vector) = &e.content_embedding else { return Ok(()) };
    if vector.is_empty() {
        return invalid("content_embedding: empty; leave the field out instead".to_owned());
    }
    at_most("content_embedding", vector.len() as u64, limits.embedding_dims as u64, "numbers")?;
    if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
        return invalid(format!("content_embedding[{at}]: beyond the range of a 32-bit float"));
    }
    if vector.iter().all(|x| *x == 0.0) {
        return invalid(
            "content_embedding: all zero, which has no direction; leave the field out".to_owned(),
        );
    }
    if e.embedding_space.as_deref().is_none_or(str::is_empty) {
        return invalid("embedding_space: required beside content_embedding; name the model".to_owned());
    }
    Ok(())
}

fn interaction(e: &Interaction, limits: &Limits) -> Result<(), Rejection> {
    at_most("watch_ms", e.watch_ms.unwrap_or(0), limits.duration_ms, "ms")?;
    at_most("duration_ms", e.duration_ms.unwrap_or(0), limits.duration_ms, "ms")?;
    if e.like && e.dislike {
        return invalid("like, dislike: both true; a change of mind is a higher revision".to_owned());
    }
    name("device", e.device.as_deref(), limits)?;
    name("os", e.os.as_deref(), limits)?;
    name("country", e.country.as_deref(), limits)?;
    name("network", e.network.as_deref(), limits)
}

fn served(e: &Served, limits: &Limits) -> Result<(), Rejection> {
    at_most("items", e.items.len() as u64, limits.served_items as u64, "entries")?;
    for (i, item) in e.items.iter().enumerate() {
        if !(item.propensity > 0.0 && item.propensity <= 1.0) {
            return invalid(format!("items[{i}].propensity: {} is not in (0, 1]", item.propensity));
        }
        name("items.slot_policy", Some(&item.slot_policy), limits)?;
    }
    names("arms", &e.arms, limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::event::ServedItem;

    #[track_caller]
    fn refused(event: Event, detail: &str) {
        let rejection = validate(&event, &Limits::default()).expect_err("a rule is broken");
        assert_eq!(rejection.reason, Reason::InvalidValue);
        assert!(rejection.detail.contains(detail), "{rejection} does not name {detail}");
    }

    #[test]
    fn each_rule_of_an_upload() {
        let ok = Upload {
            content_embedding: Some(vec![0.0, 1.0]),
            embedding_space: Some("clip".into()),
            ..Upload::default()
        };
        assert_eq!(validate(&Event::Upload(ok.clone()), &Limits::default()), Ok(()));
        let with = |change: fn(&mut Upload)| {
            let mut upload = ok.clone();
            change(&mut upload);
            Event::Upload(upload)
        };
        refused(with(|u| u.duration_ms = 8 * 86_400_000), "duration_ms");
        refused(with(|u| u.caption = "x".repeat(10_001)), "caption");
        refused(with(|u| u.hashtags = vec!["x".repeat(201)]), "hashtags");
        refused(with(|u| u.hashtags = vec![String::new(); 101]), "hashtags");
        refused(with(|u| u.content_embedding = Some(vec![])), "content_embedding");
        refused(with(|u| u.content_embedding = Some(vec![1.0; 4097])), "content_embedding");
        refused(with(|u| u.content_embedding = Some(vec![0.5, f32::INFINITY])), "content_embedding[1]");
        refused(with(|u| u.content_embedding = Some(vec![0.0, -0.0])), "content_embedding");
        refused(with(|u| u.embedding_space = None), "embedding_space");
    }

    #[test]
    fn each_rule_of_the_other_kinds() {
        let view = Interaction::default;
        refused(Event::Interaction(Interaction { watch_ms: Some(604_800_001), ..view() }), "watch_ms");
        refused(Event::Interaction(Interaction { duration_ms: Some(604_800_001), ..view() }), "duration_ms");
        refused(Event::Interaction(Interaction { like: true, dislike: true, ..view() }), "dislike");
        refused(Event::Interaction(Interaction { os: Some("x".repeat(201)), ..view() }), "os");
        refused(
            Event::User(User { preferences: vec![String::new(); 101], ..User::default() }),
            "preferences",
        );
        for propensity in [0.0, -0.5, 1.5, f32::NAN] {
            let items = vec![ServedItem { propensity, ..ServedItem::default() }];
            refused(Event::Served(Served { items, ..Served::default() }), "items[0].propensity");
        }
        let items = vec![ServedItem { propensity: 1.0, ..ServedItem::default() }; 1001];
        refused(Event::Served(Served { items, ..Served::default() }), "items");
        let arms = vec!["x".repeat(201)];
        refused(Event::Served(Served { arms, ..Served::default() }), "arms");
    }

    #[test]
    fn the_clock_admits_its_bounds_and_nothing_beyond() {
        let reason = |t, rule| check_clock(Millis(t), Millis(100), rule).err().map(|r| r.reason);
        let replay = ClockRule::Replay { max_event_time: Millis(200) };
        assert_eq!(
            [99, 100, 200, 201].map(|t| reason(t, replay)),
            [Some(Reason::TooOld), None, None, Some(Reason::TooFarAhead)]
        );
        let live = ClockRule::Live { now: Millis(1000), max_future_skew_ms: 10 };
        assert_eq!(
            [99, 1010, 1011].map(|t| reason(t, live)),
            [Some(Reason::TooOld), None, Some(Reason::TooFarAhead)]
        );
        let end = ClockRule::Live { now: Millis(u64::MAX), max_future_skew_ms: 10 };
        assert_eq!(reason(u64::MAX, end), None);
    }
}
