//! Decisions, as functions of facts already read.

use std::collections::BTreeSet;

use freshet_schema::{Epoch, Generation};

use super::{Listed, Manifest};

/// What the folder of the manifests holds, or one of them.
#[derive(Debug)]
pub struct Candidate<T> {
    /// Its epoch, from its name.
    pub epoch: Epoch,
    /// What was read of it, or why it cannot be used.
    pub read: Result<T, String>,
}

/// What a start goes on from.
#[derive(Debug)]
pub enum Choice<T> {
    /// There are no checkpoints.
    None,
    /// This one. Those that were passed over, with why.
    From(T, Vec<(Epoch, String)>),
    /// There are some, and none can be used.
    Refuse(Vec<(Epoch, String)>),
}

/// The newest that can be used. `candidates` gives them newest first, and is asked no further than needed.
pub fn choose<T>(candidates: impl Iterator<Item = Candidate<T>>) -> Choice<T> {
    let mut passed = Vec::new();
    for candidate in candidates {
        match candidate.read {
            Ok(manifest) => return Choice::From(manifest, passed),
            Err(why) => passed.push((candidate.epoch, why)),
        }
    }
    if passed.is_empty() { Choice::None } else { Choice::Refuse(passed) }
}

/// Refuses what a run made after a newer one had taken over: a later epoch than a checkpoint of that one. The run could not take it
/// back, and its epochs are not those of the job. `manifests` are newest first.
pub fn refuse_taken_over(manifests: &mut [Listed]) {
    let mut newest = Generation(0);
    for (_, read) in manifests.iter_mut().rev() {
        match read {
            Ok(manifest) if manifest.generation < newest => {
                *read = Err(format!(
                    "run {} made it after run {newest} had taken over the job",
                    manifest.generation
                ));
            }
            Ok(manifest) => newest = manifest.generation,
            Err(_) => {}
        }
    }
}

/// Whether the store reaches as far as it did when the checkpoint was made: what it lost since would not be written again.
///
/// # Errors
/// How far it is behind.
pub fn store_reaches(manifest: &Manifest, marker: Option<Epoch>) -> Result<(), String> {
    if marker >= manifest.store_marker {
        return Ok(());
    }
    let at = |epoch: Option<Epoch>| epoch.map_or("empty".to_owned(), |epoch| format!("at epoch {epoch}"));
    Err(format!(
        "the store was {} when it was made and is {} now: it is another store, or an older copy",
        at(manifest.store_marker),
        at(marker)
    ))
}

/// The generation of a new run: behind all that are known.
#[must_use]
pub fn next_generation(claimed: impl Iterator<Item = Generation>) -> Generation {
    Generation(claimed.map(|generation| generation.0).max().unwrap_or(0) + 1)
}

/// A newer run than `mine`, if there is one.
#[must_use]
pub fn newer(claimed: impl Iterator<Item = Generation>, mine: Generation) -> Option<Generation> {
    claimed.max().filter(|newest| *newest > mine)
}

/// The manifests to delete: all but the newest `keep`. What cannot be used does not count, and stays for whoever wants to
/// know why, until those that count are newer.
#[must_use]
pub fn superfluous(valid: &BTreeSet<Epoch>, all: &BTreeSet<Epoch>, keep: usize) -> Vec<Epoch> {
    // The oldest of those that are kept; with fewer nothing is superfluous.
    let Some(oldest) = keep.checked_sub(1).and_then(|newer| valid.iter().rev().nth(newer)) else {
        return Vec::new();
    };
    all.iter().filter(|epoch| *epoch < oldest).copied().collect()
}

/// A folder of data: generation and epoch.
#[must_use]
pub fn folder_name(generation: Generation, epoch: Epoch) -> String {
    format!("{:010}-{:020}", generation.0, epoch.0)
}

/// What [`folder_name`] was made of.
#[must_use]
pub fn folder_of(name: &str) -> Option<(Generation, Epoch)> {
    let (generation, epoch) = name.split_once('-')?;
    Some((Generation(generation.parse().ok()?), Epoch(epoch.parse().ok()?)))
}

/// The folders of data that no manifest names: those of this run, which writes none meanwhile, and of older ones.
#[must_use]
pub fn unreachable(folders: &[String], named: &BTreeSet<String>, mine: Generation) -> Vec<String> {
    let ours = |name: &String| folder_of(name).is_some_and(|(generation, _)| generation <= mine);
    folders.iter().filter(|name| ours(name) && !named.contains(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::*;

    fn epochs(epochs: &[u64]) -> BTreeSet<Epoch> {
        epochs.iter().map(|epoch| Epoch(*epoch)).collect()
    }

    #[test]
    fn the_newest_that_can_be_used_is_chosen() {
        let candidate = |epoch, read: Result<u8, &str>| Candidate {
            epoch: Epoch(epoch),
            read: read.map_err(str::to_owned),
        };
        let found = choose([candidate(9, Err("torn")), candidate(7, Ok(7)), candidate(5, Ok(5))].into_iter());
        assert!(matches!(found, Choice::From(7, passed) if passed == [(Epoch(9), "torn".to_owned())]));
        assert!(matches!(choose(std::iter::empty::<Candidate<u8>>()), Choice::None));
        let found = choose([candidate(9, Err("a")), candidate(7, Err("b"))].into_iter());
        assert!(matches!(found, Choice::Refuse(why) if why.len() == 2));
    }

    #[test]
    fn what_was_made_after_a_takeover_is_refused() {
        let made = |generation, epoch| (Epoch(epoch), Ok(manifest(generation, epoch)));
        let torn = (Epoch(8), Err("torn".to_owned()));
        let mut listed = [made(1, 9), torn, made(2, 7), made(2, 6), made(1, 5)];
        refuse_taken_over(&mut listed);
        let said: Vec<_> = listed.iter().map(|(_, read)| read.as_ref().err().map(String::as_str)).collect();
        let late = "run 1 made it after run 2 had taken over the job";
        assert_eq!(said, [Some(late), Some("torn"), None, None, None]);
    }

    #[test]
    fn a_store_that_fell_back_is_refused() {
        let mut of = manifest(1, 9);
        assert_eq!(store_reaches(&of, None), Ok(()));
        of.store_marker = Some(Epoch(8));
        assert_eq!(store_reaches(&of, Some(Epoch(8))), Ok(()));
        assert_eq!(store_reaches(&of, Some(Epoch(12))), Ok(()));
        assert!(store_reaches(&of, Some(Epoch(7))).unwrap_err().contains("at epoch 7 now"));
        assert!(store_reaches(&of, None).unwrap_err().contains("empty now"));
    }

    #[test]
    fn generations_grow_and_the_greatest_owns_the_job() {
        let claimed = || [3, 1].into_iter().map(Generation);
        assert_eq!(next_generation(claimed()), Generation(4));
        assert_eq!(next_generation(std::iter::empty()), Generation(1));
        assert_eq!(newer(claimed(), Generation(2)), Some(Generation(3)));
        assert_eq!(newer(claimed(), Generation(3)), None);
    }

    #[test]
    fn what_is_kept_can_be_used() {
        // 8 is damaged: 9 and 7 are kept, and 8 between them.
        assert_eq!(
            superfluous(&epochs(&[2, 5, 7, 9]), &epochs(&[1, 2, 5, 7, 8, 9]), 2),
            [1, 2, 5].map(Epoch)
        );
        assert_eq!(superfluous(&epochs(&[9]), &epochs(&[7, 8, 9]), 2), []);
        assert_eq!(superfluous(&epochs(&[]), &epochs(&[7, 8]), 2), []);
    }

    #[test]
    fn only_what_nobody_names_or_writes_is_deleted() {
        let name = |generation, epoch| folder_name(Generation(generation), Epoch(epoch));
        let folders = [name(1, 5), name(2, 7), name(2, 9), name(3, 9), "notes".to_owned()];
        let named = [name(1, 5)].into();
        assert_eq!(unreachable(&folders, &named, Generation(2)), [name(2, 7), name(2, 9)]);
    }
}
