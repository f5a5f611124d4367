//! Takes rows out of files.
//!
//! A file that holds rows of the subject is written again without them; what stays keeps its epoch, partition and offset. The deletes
//! themselves stay, as they must: they hold for what comes after them. A page that was served to somebody else loses the place of a
//! forgotten video, and is gone where it had no other.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use freshet_schema::event::Target;
use freshet_schema::{Delete, Epoch, Event, EventKind};

use crate::columns::Table;
use crate::compact::{content, open};
use crate::encode;
use crate::error::ArchiveError;
use crate::folder::{Folder, NewFile};
use crate::manifest::{FileEntry, Forgotten, Manifest};
use crate::rows::{self, Batches, numbers};

/// New files that wait in memory for a commit, in bytes.
const AT_ONCE: u64 = 256 << 20;

/// A delete, and the epoch that counted it.
#[derive(Clone, Debug, PartialEq)]
pub struct Forgetting {
    /// The delete.
    pub delete: Delete,
    /// The epoch. Rows of later ones stay: the graph refuses by itself what is covered and comes after the delete.
    pub epoch: Epoch,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Stays,
    Goes,
    Becomes(Box<Event>),
}

impl Forgetting {
    /// Whether the delete takes this event out as a whole.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        self.judge(event) == Verdict::Goes
    }

    fn judge(&self, event: &Event) -> Verdict {
        let covered = event.event_time() <= self.delete.event_time;
        let goes = match (self.delete.target, event) {
            (Target::Interaction { user_id, target_event_id }, Event::Interaction(view)) => {
                view.user_id == user_id && view.event_id == target_event_id
            }
            (Target::User { user_id }, Event::Interaction(view)) => view.user_id == user_id && covered,
            (Target::User { user_id }, Event::User(user)) => user.user_id == user_id && covered,
            (Target::User { user_id }, Event::Follow(follow)) => follow.user_id == user_id && covered,
            (Target::User { user_id }, Event::Served(page)) => page.user_id == user_id && covered,
            (Target::Video { video_id }, Event::Interaction(view)) => view.video_id == video_id && covered,
            (Target::Video { video_id }, Event::Upload(upload)) => upload.video_id == video_id && covered,
            (Target::Video { video_id }, Event::Served(page)) if covered => {
                let mut page = page.clone();
                let before = page.items.len();
                page.items.retain(|item| item.video_id != video_id);
                match page.items.len() {
                    left if left == before => return Verdict::Stays,
                    0 => true,
                    _ => return Verdict::Becomes(Box::new(Event::Served(page))),
                }
            }
            _ => false,
        };
        if goes { Verdict::Goes } else { Verdict::Stays }
    }

    /// The column of a stream that says whether a row may be one of the subject's, and the number to look for; none where no row is.
    fn column(&self, kind: EventKind) -> Option<(&'static [&'static str], u64)> {
        match (self.delete.target, kind) {
            (_, EventKind::Deletes) => None,
            (Target::User { user_id } | Target::Interaction { user_id, .. }, EventKind::Interactions)
            | (Target::User { user_id }, EventKind::Users | EventKind::Follows | EventKind::Served) => {
                Some((&["user_id"], user_id.0))
            }
            (Target::Video { video_id }, EventKind::Interactions | EventKind::Uploads) => {
                Some((&["video_id"], video_id.0))
            }
            (Target::Video { video_id }, EventKind::Served) => Some((&["items", "video_id"], video_id.0)),
            _ => None,
        }
    }
}

/// Whether a batch of such a column holds a number.
fn holds(batch: &RecordBatch, path: &[&str], wanted: u64) -> Result<bool, String> {
    let &[list, member] = path else {
        return Ok(numbers(batch, path.first().copied().unwrap_or_default())?.contains(&wanted));
    };
    let lists = batch.column_by_name(list).and_then(|column| column.as_list_opt::<i32>());
    let values = lists.ok_or_else(|| format!("it has no lists {list}"))?.values();
    let members = values.as_struct_opt().and_then(|values| values.column_by_name(member));
    let members = members.and_then(|column| column.as_primitive_opt::<UInt64Type>());
    Ok(members.ok_or_else(|| format!("its {list} have no numbers {member}"))?.values().contains(&wanted))
}

/// Takes the rows that a delete covers out of the archive, and gives the manifest that says so.
///
/// # Errors
/// Of the disk, or a file that is not what was written. What was committed until then is out; the same again does the rest, with the
/// manifest that the folder has then.
pub fn forget(
    folder: &Folder,
    manifest: &Manifest,
    forgetting: &Forgetting,
) -> Result<(Manifest, Forgotten), ArchiveError> {
    let mut next = manifest.clone();
    let (mut new, mut replaced) = (Vec::new(), Vec::new());
    let Delete { event_id, event_time, target, .. } = forgetting.delete;
    // What an attempt that failed took out, it took out for this delete.
    let before =
        manifest.forgotten.last().filter(|last| last.event_id == event_id).map_or(0, |last| last.rows);
    let mut forgotten = Forgotten { event_id, event_time, target, epoch: forgetting.epoch, rows: before };
    let streams = manifest.files.iter().filter(|file| file.first_epoch <= forgetting.epoch);
    for file in streams {
        let Table::Stream(kind) = file.table else { continue };
        let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&file.path), what };
        if !may_hold(folder, file, kind, forgetting)? {
            continue;
        }
        let mut lines = Vec::new();
        let (mut first_epoch, mut last_epoch) = (None, Epoch(0));
        let mut touched = 0;
        for batch in open(folder, file)? {
            for (epoch, origin, event) in rows::records(kind, &batch.map_err(damaged)?).map_err(damaged)? {
                let event = match forgetting.judge(&event) {
                    Verdict::Stays => event,
                    _ if epoch > forgetting.epoch => event,
                    Verdict::Becomes(event) => {
                        touched += 1;
                        *event
                    }
                    Verdict::Goes => {
                        touched += 1;
                        continue;
                    }
                };
                first_epoch.get_or_insert(epoch);
                last_epoch = epoch;
                encode::stream_line(&event, epoch, origin, &mut lines).map_err(|e| damaged(e.to_string()))?;
            }
        }
        if touched == 0 {
            continue;
        }
        forgotten.rows += touched;
        replaced.push(file.path.clone());
        if let Some(first_epoch) = first_epoch {
            let batches = encode::batches(file.table, &lines).map_err(damaged)?;
            let (bytes, rows) = encode::file(file.table, batches.into_iter().map(Ok)).map_err(damaged)?;
            let (number, table, day) = (folder.number(&next), file.table, file.day);
            new.push(NewFile { number, table, day, bytes, rows, first_epoch, last_epoch });
        }
        if new.iter().map(|file| file.bytes.len() as u64).sum::<u64>() > AT_ONCE {
            // Whoever reads meanwhile sees that rows are gone.
            next = folder.commit(saying(next, &forgotten), &new, &replaced)?;
            new.clear();
            replaced.clear();
        }
    }
    let next = folder.commit(saying(next, &forgotten), &new, &replaced)?;
    // A commit may leave a replaced file for the next start, and so may a compaction before, or a forget that failed here; now they
    // must be gone, as they hold what is forgotten.
    folder.clean(&next)?;
    Ok((next, forgotten))
}

/// The manifest with what was taken out so far.
fn saying(mut manifest: Manifest, forgotten: &Forgotten) -> Manifest {
    match manifest.forgotten.last_mut().filter(|last| last.event_id == forgotten.event_id) {
        Some(last) => last.clone_from(forgotten),
        None => manifest.forgotten.push(forgotten.clone()),
    }
    manifest
}

/// Whether a file may hold a row of the subject: a look at the identifiers alone.
fn may_hold(
    folder: &Folder,
    file: &FileEntry,
    kind: EventKind,
    forgetting: &Forgetting,
) -> Result<bool, ArchiveError> {
    let Some((path, wanted)) = forgetting.column(kind) else { return Ok(false) };
    let damaged = |what| ArchiveError::Damaged { path: folder.dir().join(&file.path), what };
    for batch in Batches::column(content(folder, file)?, path).map_err(damaged)? {
        if holds(&batch.map_err(damaged)?, path, wanted).map_err(damaged)? {
            return Ok(true);
        }
    }
    Ok(false)
}
