//! A life as the store shows it.

use freshet_schema::feed;

use super::life::{Audience, Judged, Life, Stage, Verdict};
use super::measure::Measured;
use super::part::Part;
use crate::params::Cohorts;

/// The record of a life that changed last at (epoch, clock).
#[must_use]
pub fn record(video: u64, (epoch, now): (u64, u64), life: &Life, cohorts: &Cohorts) -> feed::CohortRecord {
    let state = match (&life.stage, life.judged.last()) {
        (Some(_), _) => feed::CohortState::Shown,
        (None, Some(Judged { verdict: Verdict::Graduated, .. })) => feed::CohortState::Graduated,
        (None, _) => feed::CohortState::Ended,
    };
    let judged = life.judged.iter().map(judged);
    feed::CohortRecord {
        video_id: video,
        epoch,
        now_ms: now,
        state: state as i32,
        began_ms: life.began,
        judged_at_ms: life.stage.as_ref().map_or(0, |stage| stage.until),
        stages: judged.chain(life.stage.as_ref().map(|stage| under_way(stage, cohorts))).collect(),
    }
}

fn audience(audience: Audience) -> i32 {
    let audience = match audience {
        Audience::Sample => feed::CohortAudience::Sample,
        Audience::Similar => feed::CohortAudience::Similar,
    };
    audience as i32
}

fn verdict(verdict: Verdict) -> i32 {
    let verdict = match verdict {
        Verdict::Promoted => feed::CohortVerdict::Promoted,
        Verdict::Graduated => feed::CohortVerdict::Graduated,
        Verdict::Demoted => feed::CohortVerdict::Demoted,
        Verdict::Ended => feed::CohortVerdict::Ended,
        Verdict::Unreached => feed::CohortVerdict::Unreached,
    };
    verdict as i32
}

fn under_way(stage: &Stage, cohorts: &Cohorts) -> feed::CohortStage {
    let slots = stage.slots(cohorts);
    feed::CohortStage {
        number: stage.number,
        audience: audience(stage.audience),
        began_ms: stage.began,
        top_ups: stage.top_ups,
        wanted: stage.wanted,
        ..counted(&stage.part, slots)
    }
}

fn judged(judged: &Judged) -> feed::CohortStage {
    let Measured { own, baseline, ratios, performance } = judged.measured;
    let part = |per_mille: i64| per_mille as f32 / 1e3;
    let ratio = |millionths: i64| millionths as f32 / 1e6;
    feed::CohortStage {
        number: judged.number,
        audience: audience(judged.audience),
        began_ms: judged.began,
        judged_ms: judged.at,
        top_ups: judged.top_ups,
        wanted: judged.wanted,
        watched_part: part(own[0]),
        completion: part(own[1]),
        skips: part(own[2]),
        baseline_watched_part: part(baseline[0]),
        baseline_completion: part(baseline[1]),
        baseline_skips: part(baseline[2]),
        watch_ratio: ratio(ratios[0]),
        completion_ratio: ratio(ratios[1]),
        skip_ratio: ratio(ratios[2]),
        performance: ratio(performance),
        threshold: ratio(judged.threshold),
        verdict: verdict(judged.verdict),
        ..counted(&judged.part, judged.slots)
    }
}

fn counted(part: &Part, slots: [usize; 2]) -> feed::CohortStage {
    let count = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
    let [first_slot, last_slot] = slots.map(|slot| slot as u32);
    feed::CohortStage {
        invited: count(part.invited),
        exposed: count(part.exposed),
        watched: count(part.watched),
        engaged: count(part.engaged),
        first_slot,
        last_slot,
        ..feed::CohortStage::default()
    }
}
