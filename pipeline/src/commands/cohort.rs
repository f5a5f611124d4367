//! `freshet cohort`: the life of a new video, drawn for a terminal of 80 columns.

use std::io::{Write, stdout};

use anyhow::bail;
use clap::Args;
use freshet_feed_server::cohorts::{Judgement, Life, NONE, Stage};
use freshet_schema::VideoId;
use freshet_schema::store::{Key, Value};

use super::StoreArgs;
use super::read::card;
use crate::table::{printable, shorten, wrap};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Columns of a bar.
const BAR: usize = 40;

/// Draw the life of a new video: the cohorts that it was shown to, and what came of each
///
/// A bar is as long as the cohort should be large, beside the largest of the life: `#` were shown the video, `+` were invited, `.` are
/// not found yet.
#[derive(Debug, Args)]
#[command(name = "cohort")]
#[command(
    after_long_help = "Examples:\n  freshet cohort 4242 --store data/store\n  freshet cohort 4242 --json | jq '.stages[].judged.performance'"
)]
pub struct ShowCohort {
    /// The video's number
    #[arg(value_name = "VIDEO")]
    video: VideoId,
    #[command(flatten)]
    store: StoreArgs,
}

impl ShowCohort {
    pub fn run(self) -> anyhow::Result<()> {
        let video = self.video;
        let mut view = self.store.open()?;
        let Some(shown) = card(&mut view, video)? else {
            bail!("video {video}: no upload of it is in the store, or it was deleted");
        };
        let Some(Value::Cohort(record)) = view.get(&Key::Cohort(video))? else {
            bail!("video {video}: {NONE}");
        };
        let life = Life::from(&record);
        let mut out = stdout().lock();
        if self.store.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&life)?)?);
        }
        writeln!(out, "video {video}  {}\n", shorten(&printable(&shown.caption), 56))?;
        Ok(write!(out, "{}", drawn(&life))?)
    }
}

/// All stages, and how the life stands.
fn drawn(life: &Life) -> String {
    let largest = life.stages.iter().map(|stage| stage.wanted).max().unwrap_or(1).max(1);
    let mut text = String::new();
    for stage in &life.stages {
        text.push_str(&one(stage, largest, life));
    }
    text.push_str(wrap(&life.explanation, WIDTH).trim_end());
    text.push('\n');
    text.push_str(&format!("epoch {}, as of {}\n", life.epoch, life.as_of));
    text
}

fn one(stage: &Stage, largest: u32, life: &Life) -> String {
    let whom = if stage.audience == "similar" { "like those who engaged" } else { "sampled" };
    let [first, last] = stage.slots;
    let columns = |users: u32| (u64::from(users) * BAR as u64).div_ceil(u64::from(largest)) as usize;
    let length = columns(stage.wanted).max(1);
    let shown = columns(stage.exposed).min(length);
    let invited = columns(stage.invited).clamp(shown, length);
    let bar: String = (0..length)
        .map(|at| {
            if at < shown {
                '#'
            } else if at < invited {
                '+'
            } else {
                '.'
            }
        })
        .collect();
    let mut text = format!("stage {}  {whom}, places {first} to {last}\n  |{bar}|\n", stage.number);
    text.push_str(&format!(
        "  {} wanted, {} invited, {} shown it, {} watched, {} engaged",
        stage.wanted, stage.invited, stage.exposed, stage.watched, stage.engaged
    ));
    if stage.top_ups > 0 {
        text.push_str(&format!(", topped up {}x", stage.top_ups));
    }
    text.push('\n');
    match &stage.judged {
        Some(judged) => text.push_str(&numbers(stage, judged)),
        None => {
            let left = life.judged_at_ms.unwrap_or(0).saturating_sub(life.now_ms);
            text.push_str(&format!("  under way, to be judged within {}\n\n", minutes(left)));
        }
    }
    text
}

fn numbers(stage: &Stage, judged: &Judgement) -> String {
    let of = |n: usize| {
        let (own, base, ratio) = (judged.averages[n], judged.baselines[n], judged.ratios[n]);
        format!("{own:.3}/{base:.3}: {ratio:.2}x")
    };
    let sign = if judged.performance > judged.threshold { '>' } else { '<' };
    let sign = if judged.performance == judged.threshold { '=' } else { sign };
    format!(
        "  watch {}  finish {}  skip {}\n  performance {:.3} {sign} {:.3} after {}: {}\n\n",
        of(0),
        of(1),
        of(2),
        judged.performance,
        judged.threshold,
        minutes(judged.at_ms.saturating_sub(stage.began_ms)),
        judged.verdict
    )
}

fn minutes(ms: u64) -> String {
    let minutes = ms.div_ceil(60_000);
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h {} min", minutes / 60, minutes % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_schema::feed::{CohortAudience, CohortRecord, CohortStage, CohortState, CohortVerdict};

    #[test]
    fn a_life_is_drawn_stage_by_stage() {
        let first = CohortStage {
            number: 1,
            audience: CohortAudience::Sample.into(),
            began_ms: 60_000,
            judged_ms: 3_660_000,
            wanted: 500,
            invited: 480,
            exposed: 300,
            watched: 250,
            engaged: 90,
            top_ups: 1,
            first_slot: 5,
            last_slot: 20,
            watched_part: 0.8,
            completion: 0.6,
            skips: 0.1,
            baseline_watched_part: 0.4,
            baseline_completion: 0.3,
            baseline_skips: 0.2,
            watch_ratio: 1.93,
            completion_ratio: 1.9,
            skip_ratio: 0.54,
            performance: 1.424,
            threshold: 1.2,
            verdict: CohortVerdict::Promoted.into(),
        };
        let second = CohortStage {
            number: 2,
            audience: CohortAudience::Similar.into(),
            began_ms: 3_660_000,
            wanted: 1000,
            invited: 600,
            exposed: 150,
            first_slot: 1,
            last_slot: 10,
            ..CohortStage::default()
        };
        let record = CohortRecord {
            video_id: 7,
            epoch: 9,
            now_ms: 4_000_000,
            state: CohortState::Shown.into(),
            began_ms: 60_000,
            judged_at_ms: 7_260_000,
            stages: vec![first, second],
        };
        let text = drawn(&Life::from(&record));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let expected = "\
stage 1  sampled, places 5 to 20
  |############++++++++|
  500 wanted, 480 invited, 300 shown it, 250 watched, 90 engaged, topped up 1x
  watch 0.800/0.400: 1.93x  finish 0.600/0.300: 1.90x  skip 0.100/0.200: 0.54x
  performance 1.424 > 1.200 after 60 min: promoted

stage 2  like those who engaged, places 1 to 10
  |######++++++++++++++++++................|
  1000 wanted, 600 invited, 150 shown it, 0 watched, 0 engaged
  under way, to be judged within 55 min

Stage 2 is under way: 150 of 1000 users were shown the video, and watched it 0
times.
epoch 9, as of 1970-01-01T01:06:40.000Z
";
        assert_eq!(text, expected);
    }
}
