//! `GET /v1/video/{id}`: the card of a video, whatever its status.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use freshet_schema::VideoId;
use freshet_schema::feed::VideoCard;

use crate::negotiate::{Path, id};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::view::card;

pub(crate) async fn get(
    State(state): State<Arc<ServerState>>,
    Path(video): Path<String>,
) -> Result<Json<VideoCard>, Problem> {
    let video: VideoId = id("video", &video)?;
    card(&*state.store, video)?.map(Json).ok_or_else(|| unknown(video))
}

/// No upload of this video has been seen.
pub(crate) fn unknown(video: VideoId) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown-video",
        "The video is not known",
        format!("no upload of video {video} has reached the store, or it was deleted"),
    )
}
