//! `GET /v1/cohorts/{video}`: the life of a new video, stage by stage, the same as `freshet cohort` shows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use freshet_schema::feed::{CohortAudience, CohortRecord, CohortStage, CohortState, CohortVerdict};
use freshet_schema::ids::decimal;
use freshet_schema::store::Key;
use freshet_schema::{Millis, VideoId};
use serde::Serialize;

use crate::negotiate::{Path, id};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::view::{card, read, rfc3339};

/// The life of a new video.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Life {
    /// The video.
    #[serde(with = "decimal")]
    pub video_id: u64,
    /// The epoch of the last change.
    pub epoch: u64,
    /// Its clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The same as text.
    pub as_of: String,
    /// `shown`, `graduated` or `ended`.
    pub state: &'static str,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When the stage under way is judged or topped up at the latest.
    pub judged_at_ms: Option<u64>,
    /// In words.
    pub explanation: String,
    /// From the first.
    pub stages: Vec<Stage>,
}

/// A stage of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// From 1.
    pub number: u32,
    /// `sample` or `similar`.
    pub audience: &'static str,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Users that it should have.
    pub wanted: u32,
    /// Users who were invited.
    pub invited: u32,
    /// Those who were shown the video.
    pub exposed: u32,
    /// How often they watched it.
    pub watched: u32,
    /// How often they finished it or reacted.
    pub engaged: u32,
    /// How often more users were invited.
    pub top_ups: u32,
    /// First and last place of a list that it may claim, from 1.
    pub slots: [u32; 2],
    /// How it did; `None` while it is under way.
    pub judged: Option<Judgement>,
}

/// How a stage did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Watched part, share that finished, share that skipped fast.
    pub averages: [f32; 3],
    /// The same of the video's category and duration class.
    pub baselines: [f32; 3],
    /// Each as a multiple of its baseline, shrunk toward 1.
    pub ratios: [f32; 3],
    /// Their weighted sum.
    pub performance: f32,
    /// What it was compared with.
    pub threshold: f32,
    /// `promoted`, `graduated`, `demoted`, `ended` or `unreached`.
    pub verdict: &'static str,
}

impl From<&CohortRecord> for Life {
    fn from(record: &CohortRecord) -> Self {
        Self {
            video_id: record.video_id,
            epoch: record.epoch,
            now_ms: record.now_ms,
            as_of: rfc3339(Millis(record.now_ms)),
            state: match record.state() {
                CohortState::Unspecified => "unspecified",
                CohortState::Shown => "shown",
                CohortState::Graduated => "graduated",
                CohortState::Ended => "ended",
            },
            began_ms: record.began_ms,
            judged_at_ms: (record.judged_at_ms > 0).then_some(record.judged_at_ms),
            explanation: explain(record),
            stages: record.stages.iter().map(Stage::from).collect(),
        }
    }
}

impl From<&CohortStage> for Stage {
    fn from(stage: &CohortStage) -> Self {
        let judged = (stage.judged_ms > 0).then(|| Judgement {
            at_ms: stage.judged_ms,
            averages: [stage.watched_part, stage.completion, stage.skips],
            baselines: [stage.baseline_watched_part, stage.baseline_completion, stage.baseline_skips],
            ratios: [stage.watch_ratio, stage.completion_ratio, stage.skip_ratio],
            performance: stage.performance,
            threshold: stage.threshold,
            verdict: verdict(stage.verdict()),
        });
        Self {
            number: stage.number,
            audience: match stage.audience() {
                CohortAudience::Unspecified => "unspecified",
                CohortAudience::Sample => "sample",
                CohortAudience::Similar => "similar",
            },
            began_ms: stage.began_ms,
            wanted: stage.wanted,
            invited: stage.invited,
            exposed: stage.exposed,
            watched: stage.watched,
            engaged: stage.engaged,
            top_ups: stage.top_ups,
            slots: [stage.first_slot, stage.last_slot],
            judged,
        }
    }
}

fn verdict(verdict: CohortVerdict) -> &'static str {
    match verdict {
        CohortVerdict::Unspecified => "unspecified",
        CohortVerdict::Promoted => "promoted",
        CohortVerdict::Graduated => "graduated",
        CohortVerdict::Demoted => "demoted",
        CohortVerdict::Ended => "ended",
        CohortVerdict::Unreached => "unreached",
    }
}

/// How the life stands, in a sentence.
fn explain(record: &CohortRecord) -> String {
    let Some(last) = record.stages.last() else {
        return "Nothing is written down of its stages.".to_owned();
    };
    let number = last.number;
    match (record.state(), last.verdict()) {
        (CohortState::Shown, _) => format!(
            "Stage {number} is under way: {} of {} users were shown the video, and watched it {} times.",
            last.exposed, last.wanted, last.watched
        ),
        (CohortState::Graduated, _) => format!(
            "It was above the threshold in its stage {number} as well, and is on its own now, as any other video."
        ),
        (_, CohortVerdict::Unreached) => {
            format!("In its stage {number} nobody watched it, so no more users are invited.")
        }
        _ => format!(
            "In its stage {number} it was not above the threshold ({:.3} against {:.3}), and the next cohort would have \
             been too small.",
            last.performance, last.threshold
        ),
    }
}

pub(crate) async fn get(
    State(state): State<Arc<ServerState>>,
    Path(video): Path<String>,
) -> Result<Json<Life>, Problem> {
    let video: VideoId = id("video", &video)?;
    let store = &*state.store;
    let record: Option<CohortRecord> = read(store, &Key::Cohort(video))?;
    match record {
        Some(record) => Ok(Json(Life::from(&record))),
        None if card(store, video)?.is_none() => Err(crate::video::unknown(video)),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no-cohort",
            "The video has no cohort",
            format!("{NONE} (video {video})"),
        )),
    }
}

/// Why a known video may have no life.
pub const NONE: &str = "no users were invited for the video: cohorts.enabled is false, it was older than cohorts.max_age when it \
                        became ready, it waits for its turn, or its life was over longer than cohorts.keep ago";
