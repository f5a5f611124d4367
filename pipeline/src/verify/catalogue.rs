//! What is kept of videos.

use std::collections::BTreeMap;

use freshet_operators::checkpoint::kept::{Kept, KeptVideo};
use freshet_operators::params::Params;
use freshet_schema::Upload;
use freshet_schema::feed::VideoCard;
use freshet_schema::store::Value;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::compare::with;
use super::past::{Known, Past};
use super::report::ViewReport;

/// The catalogue.
pub fn videos(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let expected = past.videos.iter().map(|(video, Known { order, content, upload })| {
        let order = (order.0, order.1, order.2, order.3.0);
        let card = card(upload).into();
        (*video, KeptVideo { order, content: std::sync::Arc::clone(content), card })
    });
    with(&kept.videos, &expected.collect(), |video| format!("video {video}"), show)
}

/// What feed servers read of a video.
fn card(upload: &Upload) -> Vec<u8> {
    Value::Video(VideoCard {
        video_id: upload.video_id.0,
        creator_id: upload.creator_id.0,
        created_at_ms: upload.created_at.0,
        duration_ms: upload.duration_ms,
        caption: upload.caption.clone(),
        hashtags: upload.hashtags.clone(),
        sound_id: upload.sound_id.map_or(0, |sound| sound.0),
        category: upload.category.clone().unwrap_or_default(),
        status: upload.status.as_str().to_owned(),
    })
    .encode()
}

fn show(video: &KeptVideo) -> String {
    let mut content = serde_json::to_value(&*video.content).unwrap_or_default();
    let vector = content["vector"].take();
    content["vector"] = json!(format!("xxh3 {:016x}", xxh3_64(vector.to_string().as_bytes())));
    let card = format!("{:016x}", xxh3_64(&video.card));
    json!({ "order": video.order, "content": content, "card": card }).to_string()
}

/// Interactions that wait for their upload.
pub fn early(kept: &Kept, past: &Past, _params: &Params) -> ViewReport {
    let expected: BTreeMap<_, _> =
        past.early.values().flatten().map(|(key, waiting)| (*key, *waiting)).collect();
    with(
        &kept.early,
        &expected,
        |(epoch, event, user, ..)| format!("event {event} of user {user}, which came in epoch {epoch}"),
        |(arrived, view)| format!("waits since {arrived}: {view:?}"),
    )
}
