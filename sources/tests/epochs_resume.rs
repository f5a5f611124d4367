//! A source that goes on behind a checkpoint gives the epochs that it would have given anyway, in every format, with the old journal,
//! a trimmed one and a new one; and it finds what does not belong together.

use std::fs;
use std::path::Path;

use freshet_schema::dead_letter::DeadLetter;
use freshet_schema::{Event, EventId, Interaction, Millis, UserId, VideoId};
use freshet_sources::epochs::{
    Binding, EpochSource, Record, Resume, SourceConfig, SourceError, Step, SystemClock,
};
use freshet_sources::log::{Format, LogWriter};

const T0: u64 = 1_600_000_000_000;

type Cut = (Binding, Vec<Record>, Vec<DeadLetter>);

fn config(dir: &Path, journal: &str) -> SourceConfig {
    SourceConfig {
        replay_epoch_ms: 1000,
        max_event_time: Some(Millis(T0 + 10_000_000)),
        ..SourceConfig::new(dir.join("log"), dir.join(journal))
    }
}

fn open(dir: &Path, journal: &str, resume: Option<Resume>) -> Result<EpochSource, SourceError> {
    EpochSource::open_at(config(dir, journal), Box::<SystemClock>::default(), resume)
}

/// All epochs to the end, each with where the source stood behind it.
fn run(source: &mut EpochSource) -> Vec<(Cut, Resume)> {
    let mut epochs = Vec::new();
    while let Step::Batch(batch) = source.next().expect("a readable log") {
        epochs.push(((batch.binding, batch.records, batch.dead_letters), source.resume()));
    }
    epochs
}

/// Two streams of events, some of them late and some too far ahead; more than fit into one batch of a Parquet file.
fn write(dir: &Path, format: Format) {
    let mut log = LogWriter::create(&dir.join("log"), format).expect("a new log");
    for n in 0..2600u64 {
        let event = Interaction {
            event_id: EventId(n),
            event_time: Millis(match n % 50 {
                7 => T0 + 99_000_000,
                8 => T0,
                _ => T0 + n * 10,
            }),
            user_id: UserId(n % 7),
            video_id: VideoId(n % 11),
            ..Interaction::default()
        };
        log.write(&Event::Interaction(event)).expect("written");
    }
    for n in 0..40u64 {
        let upload = freshet_schema::Upload {
            event_id: EventId(n),
            event_time: Millis(T0 + n * 500),
            video_id: VideoId(n % 11),
            ..freshet_schema::Upload::default()
        };
        log.write(&Event::Upload(upload)).expect("written");
    }
    log.finish().expect("a whole log");
    if format == Format::Jsonl {
        // Blank lines, a line that is no event, and no newline at the end.
        let path = dir.join("log/interactions/part-00000.jsonl");
        let text = fs::read_to_string(&path).expect("a log");
        let lines: Vec<&str> = text.lines().collect();
        let mixed: Vec<String> =
            lines.chunks(100).map(|chunk| format!("{}\n\n  \nno event", chunk.join("\n"))).collect();
        fs::write(&path, mixed.join("\n")).expect("written");
    }
}

#[test]
fn behind_a_checkpoint_come_the_same_epochs() {
    for format in [Format::Jsonl, Format::JsonlGz, Format::JsonlZst, Format::Parquet] {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        write(dir, format);
        let whole = run(&mut open(dir, "journal", None).expect("a log"));
        assert!(whole.len() > 20, "{} epochs", whole.len());
        let rest = |k: usize| -> Vec<&Cut> { whole[k + 1..].iter().map(|(cut, _)| cut).collect() };
        for k in [0, 1, whole.len() / 2, whole.len() - 2, whole.len() - 1] {
            let at = whole[k].1.clone();
            for journal in ["journal".to_owned(), format!("new-{k}")] {
                let mut source = open(dir, &journal, Some(at.clone())).expect("they belong together");
                assert_eq!(
                    source.last_bound(),
                    Some(if journal == "journal" { whole[whole.len() - 1].0.0.epoch } else { at.base.epoch })
                );
                let again = run(&mut source);
                let cuts: Vec<&Cut> = again.iter().map(|(cut, _)| cut).collect();
                assert!(cuts == rest(k), "{format:?}: {journal} behind {}", at.base.epoch);
                // And where it stands is the same, too: the next checkpoint is.
                assert!(
                    again.iter().map(|(_, at)| at).eq(whole[k + 1..].iter().map(|(_, at)| at)),
                    "{format:?}"
                );
            }
        }
        // A journal that was trimmed at an earlier checkpoint serves for a later one and not for one before.
        let (early, late) = (whole[4].1.clone(), whole[9].1.clone());
        let mut source = open(dir, "journal", Some(late.clone())).expect("they belong together");
        source.trim(&early).expect("a journal");
        drop(source);
        let cuts: Vec<Cut> = run(&mut open(dir, "journal", Some(late)).expect("they belong together"))
            .into_iter()
            .map(|(c, _)| c)
            .collect();
        assert!(cuts.iter().eq(rest(9)), "{format:?}: a trimmed journal");
        let error = open(dir, "journal", Some(whole[3].1.clone())).err().expect("too early").to_string();
        assert!(error.contains("journal") && error.contains("epoch 4"), "{error}");
        let error = open(dir, "journal", None).err().expect("no checkpoint").to_string();
        assert!(error.contains("checkpoint.dir"), "{error}");
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    for format in [Format::Jsonl, Format::JsonlGz, Format::JsonlZst, Format::Parquet] {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        write(dir, format);
        let whole = run(&mut open(dir, "journal", None).expect("a log"));
        let at = whole[whole.len() / 2].1.clone();
        let refused = |journal: &str, resume: Resume| {
            open(dir, journal, Some(resume)).err().unwrap_or_else(|| panic!("{format:?}")).to_string()
        };
        let mut other = at.clone();
        other.base.now = other.base.now.plus(1);
        assert!(refused("journal", other).contains("different runs"));
        let mut other = at.clone();
        other.base.partitions[0].checksum ^= 1;
        assert!(refused("journal", other.clone()).contains("different runs"));
        // Without a journal to compare with it is the file that disagrees.
        assert!(refused("new", other).contains("checksum differs"));
        let mut other = at.clone();
        other.base.epoch = freshet_schema::Epoch(9999);
        assert!(refused("journal", other).contains("different runs"));
        let mut other = at.clone();
        other.base.partitions[0].name = "interactions/gone.jsonl".to_owned();
        assert!(refused("newer", other).contains("gone"));
        let changed = SourceConfig { replay_epoch_ms: 999, ..config(dir, "newest") };
        let error = EpochSource::open_at(changed, Box::<SystemClock>::default(), Some(at.clone())).err();
        assert!(error.expect("another width").to_string().contains("replay_epoch_ms"));

        // The consumed part of a file is checked, behind a checkpoint as well.
        let path = fs::read_dir(dir.join("log/interactions"))
            .expect("a log")
            .flatten()
            .next()
            .expect("a file")
            .path();
        let bytes = fs::read(&path).expect("a file");
        let mut shorter = bytes.clone();
        shorter.truncate(bytes.len() / 3);
        fs::write(&path, &shorter).expect("written");
        let error = refused("journal", at.clone());
        assert!(error.contains(&path.display().to_string()), "{error}");
        let mut flipped = bytes.clone();
        flipped[20] ^= 1;
        fs::write(&path, &flipped).expect("written");
        let error = refused("journal", at.clone());
        assert!(error.contains(&path.display().to_string()), "{error}");
        fs::write(&path, &bytes).expect("written");
        open(dir, "journal", Some(at)).expect("as it was");
    }
}
