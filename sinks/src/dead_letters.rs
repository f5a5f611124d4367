//! Dead letters as JSON lines, appended in one batch an epoch.
//!
//! A restarted pipeline replays epochs that it has handled before, and meets their bad records again. So every line says
//! which epoch it belongs to, the file skips epochs that it holds, and the marker needs no file of its own: it is the
//! last line's epoch. A crash can leave half a batch; each line therefore also says which of how many it is, and a batch
//! without its last line is cut off at the next opening and written again by the replay.

use std::path::Path;

use base64::Engine as _;
use freshet_schema::Epoch;
use freshet_schema::dead_letter::DeadLetter;
use serde::{Deserialize, Serialize};

use crate::lines::LineFile;
pub use crate::lines::LineFileError;
use crate::mention::Mention;

/// One line of the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    epoch: Epoch,
    /// Which of the epoch's dead letters, from 1.
    number: u64,
    /// How many the epoch has.
    of: u64,
    #[serde(flatten)]
    letter: &'a DeadLetter,
}

/// A line that was read.
#[derive(Debug, Serialize, Deserialize)]
struct Owned {
    epoch: Epoch,
    number: u64,
    of: u64,
    #[serde(flatten)]
    letter: DeadLetter,
}

/// What the recovery reads of a line.
#[derive(Debug, Deserialize)]
struct Place {
    epoch: Epoch,
    number: u64,
    of: u64,
}

/// A file of dead letters.
#[derive(Debug)]
pub struct DeadLetterFile {
    lines: LineFile,
    marker: Option<Epoch>,
}

impl DeadLetterFile {
    /// Opens or creates the file, cuts off what a crash left half written and finds the last epoch.
    ///
    /// # Errors
    /// Where another process holds the file, it cannot be read and written, or its last line is none of ours.
    pub fn open(path: &Path) -> Result<Self, LineFileError> {
        let mut lines = LineFile::open(path)?;
        let mut end = lines.length();
        let mut whole = end;
        let mut marker = None;
        while let Some((begin, line)) = lines.line_before(end)? {
            let place: Place = serde_json::from_slice(&line).map_err(|error| LineFileError::Foreign {
                path: path.to_owned(),
                offset: end,
                detail: format!("no dead letter with epoch, number and of: {error}"),
            })?;
            if whole == end && place.number >= place.of {
                marker = Some(place.epoch);
                break;
            }
            // Inside the torn batch: walk back to its first line.
            end = begin;
            if place.number <= 1 {
                whole = begin;
            }
        }
        if marker.is_none() {
            whole = 0;
        }
        if whole < lines.length() {
            lines.truncate(whole)?;
        }
        Ok(Self { lines, marker })
    }

    /// Appends an epoch's dead letters. `false`: the file has this epoch or a later one; nothing was written.
    /// Without letters nothing is written either, and the answer is `true`.
    ///
    /// # Errors
    /// Where the file cannot be written; nothing of the batch is in it then.
    pub fn append(&mut self, epoch: Epoch, letters: &[DeadLetter]) -> Result<bool, LineFileError> {
        if self.marker.is_some_and(|marker| epoch <= marker) {
            return Ok(false);
        }
        if letters.is_empty() {
            return Ok(true);
        }
        let mut batch = Vec::new();
        let of = letters.len() as u64;
        for (number, letter) in (1..).zip(letters) {
            serde_json::to_writer(&mut batch, &Line { epoch, number, of, letter }).map_err(|error| {
                LineFileError::Io {
                    path: self.lines.path().to_owned(),
                    action: "encode a line of",
                    source: error.into(),
                }
            })?;
            batch.push(b'\n');
        }
        self.lines.append(&batch)?;
        self.marker = Some(epoch);
        Ok(true)
    }

    /// Takes the record's bytes and all that was said of them out of the letters that mention all of these identifiers ([`Mention`]).
    /// What stays says that there was a letter, and where. Everything keeps its place. Gives how many letters it were.
    ///
    /// # Errors
    /// Where the file cannot be read or written. The same again does the rest.
    pub fn redact(&mut self, mentions: &[Mention]) -> Result<u64, LineFileError> {
        let mut redacted = 0;
        let mut end = self.lines.length();
        while let Some((begin, line)) = self.lines.line_before(end)? {
            let length = line.len();
            end = begin;
            let Ok(mut letter) = serde_json::from_slice::<Owned>(&line) else { continue };
            let base64 = &base64::engine::general_purpose::STANDARD;
            let bytes = match letter.letter.raw_base64 {
                true => base64.decode(&letter.letter.raw).unwrap_or_default(),
                false => letter.letter.raw.clone().into_bytes(),
            };
            let said = &letter.letter.detail;
            if !mentions.iter().all(|mention| mention.is_in(&bytes) || mention.is_said(said)) {
                continue;
            }
            letter.letter =
                DeadLetter { detail: String::new(), raw: String::new(), raw_base64: false, ..letter.letter };
            let failed = |error: serde_json::Error| LineFileError::Io {
                path: self.lines.path().to_owned(),
                action: "encode a line of",
                source: error.into(),
            };
            let mut shorter = serde_json::to_vec(&letter).map_err(failed)?;
            // Spaces before the line feed are no part of the JSON.
            shorter.resize(length - 1, b' ');
            shorter.push(b'\n');
            self.lines.overwrite(begin, &shorter)?;
            redacted += 1;
        }
        self.lines.sync()?;
        Ok(redacted)
    }

    /// The last epoch that has dead letters here.
    #[must_use]
    pub fn marker(&self) -> Option<Epoch> {
        self.marker
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// Where the disk fails; the file takes no more lines then.
    pub fn sync(&mut self) -> Result<(), LineFileError> {
        self.lines.sync()
    }
}

#[cfg(test)]
mod tests {
    use freshet_schema::dead_letter::{Reason, Stage};

    use super::*;

    fn letter(offset: u64) -> DeadLetter {
        DeadLetter {
            file: "interactions/part-0.jsonl".to_owned(),
            offset,
            stage: Stage::Decode,
            reason: Reason::NotJson,
            detail: "expected value".to_owned(),
            raw: "{\"line\n".repeat(usize::try_from(offset % 5).unwrap()),
            raw_base64: false,
        }
    }

    #[test]
    fn a_replay_doubles_nothing_wherever_the_crash_fell() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let epochs: [(u64, u64); 4] = [(2, 1), (3, 3), (7, 2), (8, 40)];
        let replay = |file: &mut DeadLetterFile| {
            for (epoch, count) in epochs {
                let letters: Vec<_> = (0..count).map(|n| letter(epoch * 100 + n)).collect();
                file.append(Epoch(epoch), &letters).unwrap();
            }
        };
        replay(&mut DeadLetterFile::open(&path).unwrap());
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 46);
        for cut in (0..=whole.len()).rev().step_by(7) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut file = DeadLetterFile::open(&path).unwrap();
            replay(&mut file);
            assert_eq!(file.marker(), Some(Epoch(8)));
            drop(file);
            assert!(std::fs::read(&path).unwrap() == whole, "cut at byte {cut}");
        }
    }

    #[test]
    fn who_is_forgotten_is_in_no_letter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let of = |raw: &str, detail: &str, raw_base64: bool| DeadLetter {
            raw: raw.to_owned(),
            detail: detail.to_owned(),
            raw_base64,
            ..letter(0)
        };
        let encoded = base64::engine::general_purpose::STANDARD.encode(b"\xff user 42 \xff");
        let letters = [
            of("{\"user_id\":\"42\",", "EOF", false),
            of("{\"user_id\":142,\"x\":421", "expected value at line 1 column 42", false),
            of(&encoded, "not UTF-8", true),
            of("{", "user_id: 42 is too much", false),
        ];
        let mut file = DeadLetterFile::open(&path).unwrap();
        file.append(Epoch(3), &letters).unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        let user = |number| Mention { number, fields: &["user_id"] };
        assert_eq!(file.redact(&[user(42)]).unwrap(), 3);
        assert_eq!(file.redact(&[user(42)]).unwrap(), 0, "nothing is left");
        assert_eq!(file.redact(&[user(142), user(9)]).unwrap(), 0, "both must be mentioned");
        let after = std::fs::read_to_string(&path).unwrap();
        assert_eq!(after.len(), before.len());
        assert_eq!(after.lines().nth(1), before.lines().nth(1));
        for line in after.lines() {
            let read: Owned = serde_json::from_str(line).unwrap();
            assert_eq!(
                (read.epoch, read.of, read.letter.file.as_str()),
                (Epoch(3), 4, "interactions/part-0.jsonl")
            );
        }
        assert!(file.append(Epoch(4), &letters).unwrap());
        drop(file);
        assert_eq!(DeadLetterFile::open(&path).unwrap().marker(), Some(Epoch(4)));
    }

    #[test]
    fn an_epoch_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = DeadLetterFile::open(&folder.path().join("dead.jsonl")).unwrap();
        assert!(file.append(Epoch(4), &[letter(1)]).unwrap());
        assert!(!file.append(Epoch(4), &[letter(1)]).unwrap());
        assert!(!file.append(Epoch(3), &[letter(1)]).unwrap());
        assert!(file.append(Epoch(5), &[]).unwrap());
        assert_eq!(file.marker(), Some(Epoch(4)));
        file.sync().unwrap();
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        std::fs::write(&path, "{\"epoch\":1,\"number\":1,\"of\":1}\nnotes of mine\n").unwrap();
        let error = DeadLetterFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("dead.jsonl") && error.contains("byte 44"), "{error}");
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("mine\n"));
    }
}
