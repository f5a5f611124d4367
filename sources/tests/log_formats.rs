//! A log in every format: what is written is read again, and no bytes end the reader.

use std::fs;
use std::path::Path;

use freshet_schema::dead_letter::{Reason, Stage};
use freshet_schema::event::{FollowAction, ServedItem, Status, Target};
use freshet_schema::*;
use freshet_sources::log::{
    Extent, Format, Item, LogError, LogWriter, Partition, PartitionReader, discover, encode_line,
};
use freshet_sources::validate::Limits;
use proptest::prelude::*;

fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for i in 0..40u64 {
        let time = Millis(1_600_000_000_000 + i);
        events.push(Event::Interaction(Interaction {
            event_id: EventId(u64::MAX - i),
            event_time: time,
            user_id: UserId(i % 3),
            video_id: VideoId(1 << 63 | i),
            watch_ms: (i % 2 == 0).then_some(i * 100),
            like: i % 5 == 0,
            skip: (i % 3 == 0).then_some(i % 2 == 0),
            device: (i % 4 == 0).then(|| "péče\n\"".to_owned()),
            ..Interaction::default()
        }));
    }
    events.push(Event::User(User {
        event_id: EventId(1),
        event_time: Millis(5),
        user_id: UserId(7),
        country: Some("CZ".into()),
        preferences: vec!["cats".into(), String::new()],
        ..User::default()
    }));
    events.push(Event::Upload(Upload {
        event_id: EventId(2),
        revision: 3,
        caption: "a\tb \u{1f600}".into(),
        hashtags: vec!["x".into()],
        content_embedding: Some(vec![0.1, -1.5e-30, f32::MAX, 3.402_823e-7]),
        embedding_space: Some("clip".into()),
        status: Status::Ready,
        ..Upload::default()
    }));
    events.push(Event::Upload(Upload::default()));
    events.push(Event::Follow(Follow { action: FollowAction::Unfollow, ..Follow::default() }));
    let targets = [
        Target::Interaction { user_id: UserId(1), target_event_id: EventId(u64::MAX) },
        Target::Video { video_id: VideoId(4) },
        Target::User { user_id: UserId(u64::MAX) },
    ];
    events.extend(targets.map(|target| {
        Event::Delete(Delete { event_id: EventId(9), revision: 0, event_time: Millis(3), target })
    }));
    let item = |p| ServedItem {
        video_id: VideoId(u64::MAX),
        position: 2,
        propensity: p,
        slot_policy: "rank".into(),
        drawn: if p < 1.0 { 7 } else { 0 },
    };
    events.push(Event::Served(Served { items: vec![item(0.1), item(1.0)], ..Served::default() }));
    events.push(Event::Served(Served::default()));
    events
}

fn write(dir: &Path, format: Format, events: &[Event]) {
    let mut writer = LogWriter::create(dir, format).unwrap();
    events.iter().for_each(|event| writer.write(event).unwrap());
    let summary = writer.finish().unwrap();
    assert_eq!(summary.total(), events.len() as u64);
    for file in &summary.files {
        assert_eq!(file.bytes, fs::metadata(&file.path).unwrap().len());
    }
}

fn read(partition: &Partition, number: u32, limits: &Limits) -> Vec<Item> {
    let mut reader = PartitionReader::open(partition.clone(), number, limits.clone()).unwrap();
    let mut items = Vec::new();
    while let Some(item) = reader.next(Extent::ALL).unwrap() {
        items.push(item);
    }
    items
}

fn read_all(dir: &Path) -> Vec<Item> {
    let partitions = discover(dir).unwrap();
    (0..).zip(&partitions).flat_map(|(n, p)| read(p, n, &Limits::default())).collect()
}

#[test]
fn every_format_carries_every_kind_and_the_same_events_give_the_same_bytes() {
    let mut expected = events();
    expected.sort_by_key(Event::kind);
    for format in Format::ALL {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(one.path(), format, &events());
        write(two.path(), format, &events());
        let read: Vec<Event> = read_all(one.path()).into_iter().map(|item| item.decoded.unwrap()).collect();
        assert_eq!(read, expected, "{format}");
        for partition in discover(one.path()).unwrap() {
            let other = fs::read(two.path().join(&partition.name)).unwrap();
            assert!(fs::read(&partition.path).unwrap() == other, "{} differs", partition.name);
        }
        let left = fs::read_dir(one.path().join("users")).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }
}

#[test]
fn offsets_are_bytes_in_plain_lines_and_records_elsewhere() {
    for format in Format::ALL {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), format, &events());
        let partition = discover(dir.path()).unwrap().remove(3);
        assert_eq!(partition.kind, EventKind::Interactions);
        let items = read(&partition, 3, &Limits::default());
        let mut at = 0;
        for (i, item) in items.iter().enumerate() {
            assert_eq!((item.origin.partition, item.origin.offset), (3, at));
            at = item.next_offset;
            assert!(format == Format::Jsonl || at == i as u64 + 1);
        }
        if format == Format::Jsonl {
            assert_eq!(at, fs::metadata(&partition.path).unwrap().len());
        }
    }
}

#[test]
fn folders_that_are_no_log_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(discover(&missing), Err(LogError::NoSuchLog(_))));
    let empty = discover(dir.path()).unwrap_err().to_string();
    assert!(empty.contains("no part files") && empty.contains("part-*"), "{empty}");
    write(dir.path(), Format::Jsonl, &events());
    let again = LogWriter::create(dir.path(), Format::Parquet).err().unwrap().to_string();
    assert!(again.contains("users/part-00000.jsonl") && again.contains("new folder"), "{again}");
    fs::write(dir.path().join("users/.hidden"), "").unwrap();
    fs::write(dir.path().join("users/part-1.jsonl.tmp"), "").unwrap();
    assert_eq!(discover(dir.path()).unwrap().len(), 6);
    fs::write(dir.path().join("users/part-1.csv"), "").unwrap();
    let stray = discover(dir.path()).unwrap_err().to_string();
    assert!(stray.contains("part-1.csv") && stray.contains(".parquet"), "{stray}");
}

#[test]
fn an_unfinished_log_leaves_no_part_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::create(dir.path(), Format::JsonlZst).unwrap();
    writer.write(&events()[0]).unwrap();
    drop(writer);
    assert!(matches!(discover(dir.path()), Err(LogError::Empty(_))));
    assert_eq!(fs::read_dir(dir.path().join("interactions")).unwrap().count(), 0);
}

#[test]
fn bad_lines_are_set_aside_and_the_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"event_id":1,"event_time":1600000000000,"user_id":2,"video_id":3,"#;
    let mut text = Vec::new();
    text.extend(format!("{good}\"watch_ms\":5}}\n\n  \r\n").bytes());
    text.extend(format!("{good}\"watch_ms\":999999999999}}\n").bytes());
    text.extend(format!("{good}\"device\":\"{}\"}}\r\n", "x".repeat(3000)).bytes());
    text.extend(b"\xff\xfe\n");
    text.extend(format!("{good}\"like\":true}}").bytes());
    let path = dir.path().join("interactions/part-a.jsonl");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &text).unwrap();
    let partition = discover(dir.path()).unwrap().remove(0);
    let items = read(&partition, 0, &Limits { record_bytes: 1000, ..Limits::default() });
    let outcome: Vec<_> =
        items.iter().map(|i| i.decoded.as_ref().map(|_| ()).map_err(|d| (d.stage, d.reason))).collect();
    let expected = [
        Ok(()),
        Err((Stage::Validate, Reason::InvalidValue)),
        Err((Stage::Decode, Reason::TooLong)),
        Err((Stage::Decode, Reason::NotUtf8)),
        Ok(()),
    ];
    assert_eq!(outcome, expected);
    let letter = items[3].decoded.as_ref().unwrap_err();
    assert_eq!((letter.raw.as_str(), letter.raw_base64), ("//4=", true));
    assert_eq!(letter.file, "interactions/part-a.jsonl");
    let at = usize::try_from(letter.offset).unwrap();
    assert_eq!(&text[at..at + 2], b"\xff\xfe");
}

#[test]
fn a_file_that_breaks_off_gives_what_it_can_and_one_dead_letter() {
    // Many events, so that the compressed files have several blocks.
    let many: Vec<Event> = (0..60_000u64)
        .map(|i| {
            let id = hash::mix(1, &[i]);
            Event::Follow(Follow { event_id: EventId(id), user_id: UserId(id), ..Follow::default() })
        })
        .collect();
    for format in [Format::JsonlGz, Format::JsonlZst, Format::Parquet] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), format, &many);
        let partition = discover(dir.path()).unwrap().remove(0);
        let bytes = fs::read(&partition.path).unwrap();
        fs::write(&partition.path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        let items = read(&partition, 0, &Limits::default());
        let (last, readable) = items.split_last().unwrap();
        assert_eq!(last.decoded.as_ref().unwrap_err().reason, Reason::BrokenFile, "{format}");
        for (item, event) in readable.iter().zip(&many) {
            assert_eq!(item.decoded.as_ref().unwrap(), event);
        }
        // A Parquet file without its end has no schema.
        assert!(format == Format::Parquet || readable.len() > 1000, "{format}: {}", readable.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_end_the_reader(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        which in 0usize..4,
        kind in 0usize..6,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(EventKind::ALL[kind].folder());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("part-0.{}", Format::ALL[which])), &bytes).unwrap();
        read_all(dir.path());
    }

    #[test]
    fn mutated_files_are_read_to_an_end(
        which in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), Format::ALL[which], &events());
        for partition in discover(dir.path()).unwrap() {
            let mut bytes = fs::read(&partition.path).unwrap();
            for (index, value) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *value;
            }
            fs::write(&partition.path, bytes).unwrap();
        }
        for item in read_all(dir.path()) {
            if let Err(letter) = item.decoded {
                prop_assert!(!letter.detail.is_empty());
            }
        }
    }

    #[test]
    fn mutated_lines_cost_only_themselves(change in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut line = Vec::new();
        let all = events();
        encode_line(&all[0], &mut line).unwrap();
        let at = change.index(line.len() - 1);
        let mut text = line.clone();
        text[at] = value;
        text.extend_from_slice(&line);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("interactions")).unwrap();
        fs::write(dir.path().join("interactions/part-0.jsonl"), &text).unwrap();
        let items = read_all(dir.path());
        prop_assert_eq!(items.last().unwrap().decoded.as_ref(), Ok(&all[0]));
        prop_assert!(items.len() <= 3);
    }
}
