//! Videos and rows for the tests of the rules.

use std::sync::Arc;

use freshet_learning::Quantised;
use freshet_schema::event::{Interaction, Origin};
use freshet_schema::{EventId, Millis, UserId, VideoId, hash};

use crate::content::{Content, Facet};
use crate::params::Params;
use crate::row::{Group, Row, View};

/// How somebody took a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Watched,
    Skipped,
    Disliked,
}

/// A vector at an angle in degrees: the cosine of two is that of their difference, also over each prefix.
pub(crate) fn angle(degrees: f32) -> Quantised {
    let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
    Quantised::of(&std::array::from_fn(|at| if at % 2 == 0 { cos } else { sin }))
}

/// A video that is nothing but its vector.
pub(crate) fn content_at(video: u64, degrees: f32) -> Content {
    Content { known: true, space: 1, vector: angle(degrees), ..Content::unknown(video) }
}

/// A video without a vector; creator and category 0 are none.
pub(crate) fn content(video: u64, creator: u64, category: u64, tags: &[&str]) -> Content {
    let mut facets: Vec<(Facet, Arc<str>)> =
        tags.iter().map(|tag| (Facet::Hashtag(hash::text(tag)), (*tag).into())).collect();
    if creator != 0 {
        facets.push((Facet::Creator(creator), creator.to_string().into()));
    }
    if category != 0 {
        facets.push((Facet::Category(category), category.to_string().into()));
    }
    Content { known: true, ready: true, creator, category, facets, ..Content::unknown(video) }
}

/// A row of somebody who took `content` so at `time`.
pub(crate) fn row(content: Content, time: u64, signal: Signal) -> Row {
    let event = Interaction {
        event_id: EventId(time),
        user_id: UserId(1),
        video_id: VideoId(content.video),
        event_time: Millis(time),
        watch_ms: Some(if signal == Signal::Skipped { 500 } else { 20_000 }),
        duration_ms: Some(20_000),
        skip: Some(signal == Signal::Skipped),
        dislike: signal == Signal::Disliked,
        ..Interaction::default()
    };
    let view = View::new(&event, Origin::default());
    Row::new(&view, Arc::new(content), Group::default(), |_| 100, &Params::default().interest)
}
