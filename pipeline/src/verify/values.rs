//! The store against the archive: every value made again from the archived events, by a graph that begins with nothing, and compared.
//!
//! Lists, pools and records are choices that were made at many epochs, each from what was published then; plain code that made
//! them again would be the graph once more. What can be proved is that they are a function of the events: not of which run made
//! them, from which checkpoint, on how many workers, or with what before it in a store. So the archive is replayed up to the epoch of
//! the store, on one worker, and both are dumped: a fault of a restart, a rescale, a resync or a delete shows as another value. Where rows
//! were taken out of the archive by a forget, there is nothing to compare with.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::Path;

use anyhow::{Context, bail};
use freshet_archive::Folder;
use freshet_schema::Epoch;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::compare::Difference;
use super::report::{SHOWN, ViewReport};
use crate::config::Config;
use crate::replay::Until;
use crate::view::View;

/// Views by the kind of their keys; what has another name is of another release.
const KINDS: [(&str, &str); 12] = [
    ("account", "accounts"),
    ("cohort", "lives"),
    ("diversity", "diversity"),
    ("dropped", "dropped"),
    ("experiments", "experiments"),
    ("feed", "lists"),
    ("heads", "weights"),
    ("newuser", "new_user_lists"),
    ("preferences", "preferences"),
    ("related", "related"),
    ("trending", "pools"),
    ("video", "cards"),
];

/// A line of a dump.
#[derive(Deserialize)]
struct Line {
    key: String,
    #[serde(rename = "value")]
    _value: IgnoredAny,
}

/// Compares the store that a configuration names, as of one epoch, with what the archive says; that epoch, and a report by kind
/// of value. `settle` is called when the store was read: behind it the archive must hold that epoch.
///
/// # Errors
/// Where either cannot be read, where the archive does not reach so far, and where rows were taken out of it since: what they
/// had led to is history, and would differ.
pub fn values(
    config: &Config,
    archive: &Path,
    settle: impl FnOnce() -> anyhow::Result<()>,
    progress: &mut dyn FnMut(Epoch),
) -> anyhow::Result<(Epoch, Vec<ViewReport>)> {
    let folder = tempfile::Builder::new()
        .prefix("freshet-verify-")
        .tempdir()
        .context("a folder for two dumps (TMPDIR)")?;
    let [kept, expected] = ["kept", "expected"].map(|name| folder.path().join(name));
    let dump = |view: &mut View, path: &Path| -> anyhow::Result<Option<u64>> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(view.dump(&mut BufWriter::new(file))?.epoch)
    };
    let mut view = View::open(config)?;
    let Some(epoch) = dump(&mut view, &kept)?.map(Epoch) else {
        bail!(
            "store.dir = {:?}: nothing was committed to the store yet",
            config.store.dir.display().to_string()
        );
    };
    drop(view);
    settle()?;
    let manifest = Folder::open(archive)?.existing()?;
    let forgotten = manifest.forgotten.iter().filter(|delete| delete.rows > 0).count();
    if forgotten > 0 {
        bail!(
            "{}: the rows of {forgotten} deletes were taken out of the archive: values that were made before are history, and what is \
             left cannot make them again; verify without --values",
            archive.display()
        );
    }
    let mut alone = config.clone();
    alone.graph.workers = 1;
    let (mut again, _) = View::open_past(&alone, archive, Until::Epoch(epoch), progress)?;
    dump(&mut again, &expected)?;
    let open = |path: &Path| -> anyhow::Result<_> {
        Ok(BufReader::new(File::open(path).with_context(|| path.display().to_string())?).lines())
    };
    Ok((epoch, compare(open(&kept)?, open(&expected)?)?))
}

/// Goes through two dumps, both in the order of keys.
fn compare(
    mut kept: impl Iterator<Item = io::Result<String>>,
    mut expected: impl Iterator<Item = io::Result<String>>,
) -> anyhow::Result<Vec<ViewReport>> {
    let mut reports: Vec<ViewReport> =
        KINDS.iter().map(|(_, name)| ViewReport { name, ..ViewReport::default() }).collect();
    let next =
        |lines: &mut dyn Iterator<Item = io::Result<String>>| -> anyhow::Result<Option<(String, String)>> {
            let Some(line) = lines.next().transpose().context("a dump")? else { return Ok(None) };
            let Line { key, .. } = serde_json::from_str(&line).context("a line of a dump")?;
            Ok(Some((key, line)))
        };
    let (mut here, mut there) = (next(&mut kept)?, next(&mut expected)?);
    loop {
        let order = match (&here, &there) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((here, _)), Some((there, _))) => here.cmp(there),
        };
        let own = if order == Ordering::Greater { None } else { here.take() };
        let other = if order == Ordering::Less { None } else { there.take() };
        let Some((key, _)) = own.as_ref().or(other.as_ref()) else { break };
        let kind = key.split(':').next().unwrap_or_default();
        let Some(at) = KINDS.iter().position(|(known, _)| *known == kind) else {
            bail!("{key}: a kind of value that this release does not know");
        };
        let report = &mut reports[at];
        report.kept += u64::from(own.is_some());
        report.expected += u64::from(other.is_some());
        if own != other {
            report.different += 1;
            if report.differences.len() < SHOWN {
                let key = key.clone();
                let text = |side: Option<(String, String)>| side.map(|(_, line)| line);
                report.differences.push(Difference {
                    key,
                    kept: text(own.clone()),
                    expected: text(other.clone()),
                });
            }
        }
        if own.is_some() {
            here = next(&mut kept)?;
        }
        if other.is_some() {
            there = next(&mut expected)?;
        }
    }
    reports.retain(|report| report.kept + report.expected > 0);
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[(&str, u64)]) -> Vec<io::Result<String>> {
        of.iter().map(|(key, n)| Ok(format!("{{\"key\":\"{key}\",\"value\":{{\"n\":{n}}}}}"))).collect()
    }

    #[test]
    fn each_kind_is_compared_key_by_key() {
        let kept = lines(&[("feed:1", 1), ("feed:2", 2), ("feed:3", 3), ("video:7", 7)]);
        let expected = lines(&[("feed:2", 2), ("feed:3", 4), ("trending:all", 5), ("video:7", 7)]);
        let reports = compare(kept.into_iter(), expected.into_iter()).expect("two dumps");
        let of: Vec<_> = reports.iter().map(|r| (r.name, r.kept, r.expected, r.different)).collect();
        assert_eq!(of, [("lists", 3, 2, 2), ("pools", 0, 1, 1), ("cards", 1, 1, 0)]);
        let keys: Vec<&str> = reports[0].differences.iter().map(|d| d.key.as_str()).collect();
        assert_eq!(keys, ["feed:1", "feed:3"]);
        assert!(reports[0].differences[0].expected.is_none() && reports[1].differences[0].kept.is_none());
        assert!(reports[0].differences[1].expected.as_ref().is_some_and(|line| line.contains("\"n\":4")));
    }

    #[test]
    fn what_is_no_dump_is_an_error() {
        let unknown = lines(&[("strange:1", 1)]);
        assert!(compare(unknown.into_iter(), std::iter::empty()).is_err());
        assert!(compare([Ok("{".to_owned())].into_iter(), std::iter::empty()).is_err());
        assert!(compare([Err(io::Error::other("gone"))].into_iter(), std::iter::empty()).is_err());
    }
}
