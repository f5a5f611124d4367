//! Takes records out of a plain part file without moving anything: their lines become blanks of the same length, which are no records.
//!
//! Offsets stay what they were; the checksum of what was consumed does not. So finding the lines, and what the checksum will be, is one
//! step, and blanking them another: whoever keeps the checksum writes down both in between.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use freshet_schema::{Event, EventKind};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::decode::decode_json;
use super::error::LogError;
use super::lines::{Extent, Line, Lines};

/// Lines that are to be blanked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Where each begins, and its length without the line feed.
    pub spans: Vec<(u64, u64)>,
    /// Checksum of what was consumed, as the file is now.
    pub before: u64,
    /// The same when they are blanked.
    pub after: u64,
}

/// Finds the records that `goes` picks among the first `consumed` bytes of a file of JSON lines with records of at most `most` bytes.
///
/// # Errors
/// [`LogError::Io`].
pub fn find(
    path: &Path,
    kind: EventKind,
    consumed: u64,
    most: usize,
    goes: impl Fn(&Event) -> bool,
) -> Result<Scrub, LogError> {
    let failed = |e| LogError::io("read", path, e);
    let mut lines = Lines::new(File::open(path).map_err(failed)?, most);
    let extent = Extent { length: consumed, ends: true };
    let mut scrub = Scrub::default();
    let mut chained = 0;
    while let Some((start, line)) = lines.next(extent).map_err(failed)? {
        let whole = lines.position() - start;
        match line {
            Line::Whole(range) => {
                let length = range.len() as u64;
                let mut bytes = lines.bytes(range).to_vec();
                if decode_json(kind, &bytes).is_ok_and(|event| goes(&event)) {
                    scrub.spans.push((start, length));
                    bytes.fill(b' ');
                }
                if whole > length {
                    bytes.push(b'\n');
                }
                chained = xxh3_64_with_seed(&bytes, chained);
            }
            // Nobody could read it, so it was never counted; its bytes are needed for the chain.
            Line::TooLong { .. } => {
                let mut bytes = vec![0; usize::try_from(whole).unwrap_or(usize::MAX)];
                lines.input().read_exact_at(&mut bytes, start).map_err(failed)?;
                chained = xxh3_64_with_seed(&bytes, chained);
            }
        }
    }
    (scrub.before, scrub.after) = (lines.checksum(), chained);
    Ok(scrub)
}

/// Blanks the lines and makes that durable. Once more does no harm.
///
/// # Errors
/// [`LogError::Io`].
pub fn blank(path: &Path, scrub: &Scrub) -> Result<(), LogError> {
    let write = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        for (start, length) in &scrub.spans {
            let blanks = vec![b' '; usize::try_from(*length).unwrap_or(usize::MAX)];
            file.write_all_at(&blanks, *start)?;
        }
        file.sync_all()
    };
    write().map_err(|e| LogError::io("blank lines of", path, e))
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Partition, PartitionReader};
    use super::*;
    use crate::validate::Limits;

    #[test]
    fn blanked_lines_are_no_records_and_the_checksum_is_foretold() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part-live.jsonl");
        let line = |id: u64, user: u64| {
            format!("{{\"event_id\":{id},\"event_time\":1,\"user_id\":{user},\"video_id\":3}}\n")
        };
        let text = format!("{}not json\n{}\n{}{}", line(1, 7), line(2, 8), line(3, 7), line(4, 7).trim_end());
        std::fs::write(&path, &text).unwrap();
        let of = |kind: EventKind| {
            let partition =
                Partition { name: "p".to_owned(), kind, format: Format::Jsonl, path: path.clone() };
            PartitionReader::open(partition, 0, Limits::default()).unwrap()
        };
        let consumed = text.len() as u64;
        let most = Limits::default().record_bytes;
        let user_7 = |event: &Event| matches!(event, Event::Interaction(view) if view.user_id.0 == 7);
        let found = find(&path, EventKind::Interactions, consumed, most, user_7).unwrap();
        assert_eq!(found.spans.len(), 3);
        assert_eq!(of(EventKind::Interactions).skip(consumed).unwrap(), (consumed, found.before));
        for _ in 0..2 {
            blank(&path, &found).unwrap();
            assert_eq!(of(EventKind::Interactions).skip(consumed).unwrap(), (consumed, found.after));
        }
        let mut reader = of(EventKind::Interactions);
        let mut users = Vec::new();
        while let Some(item) = reader.next(Extent::ALL).unwrap() {
            if let Ok(Event::Interaction(view)) = item.decoded {
                users.push((view.user_id.0, item.origin.offset));
            }
        }
        let second = line(1, 7).len() + "not json\n".len();
        assert_eq!(users, [(8, second as u64)]);
        let again = find(&path, EventKind::Interactions, consumed, most, user_7).unwrap();
        assert_eq!((again.spans.len(), again.before, again.after), (0, found.after, found.after));
    }
}
