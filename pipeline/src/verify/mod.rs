//! Proof that the maintained state is what a batch job computes from the events.
//!
//! A checkpoint of epoch T says what the graph holds at the end of T; the archive holds the events of all epochs up to T, each epoch's
//! clock, and what was published in it. [`past`] goes through the archive once with plain maps and says which rows count; every
//! view is then a sum over those rows ([`sums`], [`pairs`]), or the latest of something ([`people`], [`catalogue`]), or a published version that follows
//! from sums ([`publication`]). None of it uses the operators: what they share with them is what a row *is* (how an interaction is judged, how a
//! video is embedded, when a window ends), as a view's definition says it. [`compare`] tells the differences in full.
//!
//! What cannot be found wrong this way: trained topics and centroids, what the heads learn from, and what is withheld for abuse, are taken as given (the heads
//! themselves are solved again from it); lists, pools and related videos, which are choices made at earlier epochs, are compared
//! only if asked for, by [`values()`], which replays the archive; and interest vectors and facets are not in a checkpoint, as they follow from the rows and the edges of their windows, which
//! are.

mod catalogue;
mod compare;
mod pairs;
mod past;
mod people;
mod publication;
mod report;
mod sums;
mod values;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use freshet_archive::{Folder, ReadError};
use freshet_operators::checkpoint::Restored;
use freshet_operators::checkpoint::kept::Kept;
use freshet_operators::params::Params;
use freshet_schema::Epoch;
use freshet_schema::event::Target;

use crate::checkpoint::{Loaded, Manifest};

pub use compare::Difference;
pub use past::Past;
pub use report::{Report, ViewReport};
pub use values::values;

/// A view that is verified.
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub about: &'static str,
    check: fn(&Kept, &Past, &Params) -> ViewReport,
}

/// All views, in the order in which they follow from each other: the first that differs is the one to look at.
pub const VIEWS: &[View] = &[
    View {
        name: "rows",
        about: "counted interactions, each as it was joined and judged",
        check: people::rows,
    },
    View { name: "deletes", about: "what was forgotten, and up to when", check: people::deletes },
    View { name: "profiles", about: "demographic group and hashtags asked for", check: people::profiles },
    View { name: "follows", about: "whom each user follows", check: people::follows },
    View {
        name: "interests",
        about: "which rows the interest vectors and facets are made of",
        check: people::edges,
    },
    View {
        name: "videos",
        about: "the catalogue: each video's latest version, vector and card",
        check: catalogue::videos,
    },
    View { name: "early", about: "interactions that wait for their upload", check: catalogue::early },
    View { name: "recent_sums", about: "each video's last hour and day", check: sums::recent },
    View { name: "video_sums", about: "each video's last week and all time", check: sums::lasting },
    View { name: "windows", about: "sums that wait to leave a window", check: sums::waiting },
    View { name: "popularity", about: "decayed attention by video and group", check: sums::popularity },
    View { name: "attention", about: "quick attention by video, and everybody's", check: sums::attention },
    View { name: "creator_sums", about: "all time by creator", check: sums::creators },
    View { name: "cohort_sums", about: "all time by cohort", check: sums::cohorts },
    View { name: "watched_parts", about: "how much is watched, by duration", check: sums::watched },
    View { name: "co_engagement", about: "videos that the same people cared for", check: pairs::pairs },
    View {
        name: "published",
        about: "baselines, creator scores, skip thresholds, topics and heads from their inputs",
        check: publication::published,
    },
];

/// Compares a checkpoint with the archive. `wanted` names the views, all where it is empty; `progress` is told the epoch that was
/// read last.
///
/// # Errors
/// Where the archive does not hold every epoch up to the checkpoint's, or either cannot be read; what differs is no error.
pub fn verify(
    params: &Params,
    archive: &Path,
    checkpoint: (Manifest, Loaded),
    wanted: &[String],
    progress: &mut dyn FnMut(Epoch, Epoch),
) -> anyhow::Result<Report> {
    if let Some(unknown) = wanted.iter().find(|name| VIEWS.iter().all(|view| view.name != **name)) {
        let names: Vec<&str> = VIEWS.iter().map(|view| view.name).collect();
        bail!("--view {unknown:?}: there is no such view; there are {}", names.join(", "));
    }
    let (manifest, loaded) = checkpoint;
    let (epoch, now) = (manifest.epoch, manifest.input.base.now);
    let restored = Restored::open(epoch, now, Box::new(loaded)).context("the checkpoint")?;
    let kept = Kept::read(&Arc::new(restored)).context("the checkpoint")?;
    let last_version = kept.published.as_ref().map(|published| published.version);
    let mut past = read(params, archive, epoch, last_version, progress)?;
    past.withheld.clone_from(&kept.withheld);
    if past.now != now.0 {
        bail!(
            "{}: its epoch {epoch} is of another run: its clock was {}, and the checkpoint's {now}",
            archive.display(),
            past.now
        );
    }
    let views = compare(&kept, &past, params, wanted);
    let published = views.iter().any(|view| view.name == "published");
    let left_out = published.then(|| past.left_out()).flatten();
    Ok(Report {
        epoch,
        now,
        records: past.records,
        forgotten: past.forgotten,
        left_out,
        views,
        values_of: None,
    })
}

/// Compares the views.
fn compare(kept: &Kept, past: &Past, params: &Params, wanted: &[String]) -> Vec<ViewReport> {
    let chosen = VIEWS.iter().filter(|view| wanted.is_empty() || wanted.iter().any(|name| name == view.name));
    chosen.map(|view| ViewReport { name: view.name, ..(view.check)(kept, past, params) }).collect()
}

/// Reads the archive up to an epoch, again from its beginning where somebody was forgotten meanwhile.
fn read(
    params: &Params,
    archive: &Path,
    until: Epoch,
    last_version: Option<u64>,
    progress: &mut dyn FnMut(Epoch, Epoch),
) -> anyhow::Result<Past> {
    const ATTEMPTS: usize = 5;
    let folder = Arc::new(Folder::open(archive)?);
    for _ in 0..ATTEMPTS {
        let manifest = folder.existing()?;
        if manifest.begins_behind > Epoch(0) {
            bail!(
                "{}: the archive was begun behind epoch {}, and what came before is not in it: there is nothing to compare the \
                 checkpoint with. An archive that is written from the first epoch on can be verified",
                archive.display(),
                manifest.begins_behind
            );
        }
        if manifest.through.epoch < until {
            bail!(
                "{}: the archive holds the epochs up to {}, and the checkpoint is of epoch {until}: it is of another run, or an \
                 older copy",
                archive.display(),
                manifest.through.epoch
            );
        }
        let mut past = Past::new(params, last_version);
        let carried_out = || manifest.forgotten.iter().filter(|f| f.epoch <= until);
        past.forgotten = carried_out().count() as u64;
        let videos = carried_out().filter(|f| f.rows > 0 && matches!(f.target, Target::Video { .. }));
        past.video_forgotten = videos.map(|f| f.epoch).max().unwrap_or_default();
        let mut reader = freshet_archive::Reader::new(Arc::clone(&folder), &manifest, Some(until));
        loop {
            match reader.next() {
                Ok(Some(epoch)) => {
                    progress(epoch.epoch, until);
                    past.epoch(&epoch);
                }
                Ok(None) => {
                    past.end();
                    return Ok(past);
                }
                Err(ReadError::Changed) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    bail!("{}: rows were taken out of the archive each time it was read; try again", archive.display())
}

#[cfg(test)]
mod tests;
