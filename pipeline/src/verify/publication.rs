//! The last publication, from its inputs.
//!
//! Baselines, thresholds and scores follow from the sums as they were then, which are the arrangements as they are now (they change with a
//! publication only, and are themselves compared with the rows, together with what came since). Topics follow from the catalogue as
//! it was in that epoch; where a video was forgotten since, the archive cannot say how that was, and they are left out until the next
//! publication. The heads follow from what they learned from, which is taken as given. That the archive recorded the thresholds
//! that were published is compared as well, as all later rows are judged by them.

use std::collections::BTreeMap;

use freshet_operators::checkpoint::kept::Kept;
use freshet_operators::content::DURATION_CLASSES;
use freshet_operators::params::Params;
use freshet_operators::score;
use freshet_operators::sums::Sums;
use freshet_operators::users::INITIAL_SKIP_BELOW;

use super::compare::with;
use super::past::Past;
use super::report::ViewReport;
use super::sums::plus;

/// Fewest views of a duration class from which its threshold is read.
const ENOUGH: i64 = 100;

/// See the module.
pub fn published(kept: &Kept, past: &Past, params: &Params) -> ViewReport {
    let name = |part: &String| part.clone();
    let Some(published) = &kept.published else {
        let none = BTreeMap::new();
        let expected = past.publication.iter().map(|(version, _)| (format!("version {version}"), ()));
        return with(&none, &expected.collect(), name, |()| "a publication".to_owned());
    };
    let mut held: BTreeMap<String, String> = BTreeMap::new();
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    let mut both = |part: String, here: String, there: String| {
        held.insert(part.clone(), here);
        expected.insert(part, there);
    };

    let mut total = Sums::default();
    kept.cohort_sums.values().for_each(|sums| plus(&mut total, sums));
    let everyone = score::rates(&total).rounded();
    both("baseline of all".to_owned(), format!("{:?}", published.everyone), format!("{everyone:?}"));
    let thresholds = thresholds(&kept.watched_parts, params.score.skip_share);
    both("skip thresholds".to_owned(), format!("{:?}", published.skip_below), format!("{thresholds:?}"));
    let recorded = past.publication.as_ref();
    both(
        "skip thresholds in the archive".to_owned(),
        format!("version {}: {:?}", published.version, published.skip_below),
        recorded
            .map_or_else(|| "none".to_owned(), |(version, below)| format!("version {version}: {below:?}")),
    );
    if let Some((now, themes)) = &past.themes {
        if let Some(themes) = themes {
            let topics = params.interest.trained().with(themes);
            both("topics".to_owned(), digest(&*published.topics), digest(&topics));
        }
        let heads = kept.hours.solve(published.version, *now, &params.learning);
        both("heads".to_owned(), digest(&*published.heads), digest(&heads));
    }
    let rest = with(&held, &expected, name, Clone::clone);

    let baselines = kept.cohort_sums.iter().map(|(cohort, sums)| (*cohort, score::rates(sums).rounded()));
    let baselines = with(
        &published.cohorts,
        &baselines.collect(),
        |cohort| format!("baseline of {cohort:?}"),
        |rates| format!("{rates:?}"),
    );
    let scores = kept.creator_sums.iter();
    let scores = scores.map(|(creator, sums)| (*creator, score::creator(sums, &everyone, &params.score)));
    let scores = with(
        &kept.creator_scores,
        &scores.collect(),
        |creator| format!("score of creator {creator}"),
        |score| format!("{score} millionths"),
    );
    rest.and(baselines).and(scores)
}

/// By duration class, the watched part in per mille under which `share` of the views lie, in steps of ten.
fn thresholds(watched: &BTreeMap<(u8, u8), i64>, share: f64) -> [u64; DURATION_CLASSES] {
    let mut thresholds = INITIAL_SKIP_BELOW;
    for (class, threshold) in thresholds.iter_mut().enumerate() {
        let own = || watched.iter().filter(|((of, _), _)| usize::from(*of) == class);
        let views: i64 = own().map(|(_, views)| views).sum();
        if views < ENOUGH {
            continue;
        }
        let wanted = (views as f64 * share).round() as i64;
        let mut below = 0;
        let reached = own().find(|(_, views)| {
            below += **views;
            below >= wanted
        });
        if let Some(((_, part), _)) = reached {
            *threshold = (u64::from(*part) + 1) * 10;
        }
    }
    thresholds
}

/// Something long, as a checksum of its JSON form.
fn digest(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    format!("{} bytes, xxh3 {:016x}", json.len(), xxhash_rust::xxh3::xxh3_64(&json))
}
