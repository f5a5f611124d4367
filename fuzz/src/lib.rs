//! What is fuzzed: a function of bytes for each target, which panics where what reads them is wrong, and says whether they were taken. The fuzzer
//! calls them with bytes of its own, and `make test` with those of `fuzz/corpus` (pipeline/tests/job/corpus.rs).
//!
//! What is read under a checksum is fuzzed twice: as it comes, and as a payload whose checksum is right. A fuzzer does not guess one.

use freshet_archive::sealed;
use freshet_pipeline::checkpoint::{Manifest, blocks};
use freshet_schema::store::{Key, Value};
use freshet_schema::{EventKind, wire};
use freshet_sources::journal;
use freshet_sources::log::{decode_json, encode_line};
use freshet_sources::validate::{Limits, validate};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A target: whether the bytes were taken for what they should be.
pub type Target = fn(&[u8]) -> bool;

/// All, by the name of their folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 6] = [
    ("checkpoint_blocks", checkpoint_blocks),
    ("checkpoint_manifest", checkpoint_manifest),
    ("event_json", event_json),
    ("event_protobuf", event_protobuf),
    ("journal", journal_entries),
    ("store_value", store_value),
];

/// A record as JSON, as the source takes it: decoded and validated as each kind. What is an event can be written, and read again as it was.
pub fn event_json(bytes: &[u8]) -> bool {
    let limits = Limits::default();
    let mut taken = false;
    for kind in EventKind::ALL {
        let Ok(event) = decode_json(kind, bytes) else { continue };
        assert_eq!(event.kind(), kind);
        // What is no number may be decoded, and has no JSON form; validation keeps it out.
        if validate(&event, &limits).is_err() {
            continue;
        }
        let mut line = Vec::new();
        encode_line(&event, &mut line).expect("what is valid has a JSON form");
        assert_eq!(decode_json(kind, &line), Ok(event));
        taken = true;
    }
    taken
}

/// A record in Protobuf; the first byte says of which kind it is.
pub fn event_protobuf(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else { return false };
    let kind = EventKind::ALL[usize::from(*kind) % EventKind::ALL.len()];
    let Ok(event) = wire::decode(kind, bytes) else { return false };
    assert_eq!(event.kind(), kind);
    assert!(wire::decode(kind, &wire::encode(&event)).is_ok());
    drop(validate(&event, &Limits::default()));
    true
}

/// What a store holds: a key's text up to the first line break, then its value.
pub fn store_value(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(key), Some(value)) = (parts.next(), parts.next()) else { return false };
    let Some(key) = std::str::from_utf8(key).ok().and_then(Key::parse) else { return false };
    assert_eq!(Key::parse(&key.to_string()), Some(key.clone()));
    let Ok(value) = Value::decode(&key, value) else { return false };
    assert!(Value::decode(&key, &value.encode()).is_ok());
    true
}

/// The file of a journal; and a journal of one frame with this payload.
pub fn journal_entries(bytes: &[u8]) -> bool {
    const HEAD: &[u8] = b"FRESHETJ\x01\0\0\0";
    if let Ok(length) = u32::try_from(bytes.len())
        && length > 0
    {
        let checksum = xxh3_64_with_seed(bytes, u64::from(length)).to_le_bytes();
        let frame = [&length.to_le_bytes()[..], &checksum[..], bytes].concat();
        let once = journal::entries(&[HEAD, &frame[..]].concat());
        // A frame that is whole counts, with a torn one behind it (unless that holds a whole one), and twice where it lies twice.
        if let Ok(torn) = journal::entries(&[HEAD, &frame[..], &frame[..frame.len() - 1]].concat()) {
            assert_eq!(once.as_ref(), Ok(&torn));
        }
        let twice = journal::entries(&[HEAD, &frame[..], &frame[..]].concat());
        assert_eq!(once.is_ok(), twice.is_ok());
        if let (Ok(once), Ok(twice)) = (once, twice) {
            assert_eq!([&once[..], &once[..]].concat(), twice);
        }
    }
    journal::entries(bytes).is_ok_and(|entries| !entries.is_empty())
}

/// The manifest of a checkpoint; and one with this text under a seal that is right.
pub fn checkpoint_manifest(bytes: &[u8]) -> bool {
    let again = |manifest: &Manifest| {
        assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(manifest));
    };
    if let Ok(text) = serde_json::from_slice::<serde_json::Value>(bytes)
        && let Ok(manifest) = Manifest::decode(&sealed::encode(&text))
    {
        again(&manifest);
    }
    Manifest::decode(bytes).inspect(again).is_ok()
}

/// The file of a cut; and one of a block with this payload, whose first four bytes say how long its rows are.
pub fn checkpoint_blocks(bytes: &[u8]) -> bool {
    let read = |file: &[u8]| {
        let places = blocks::places(file)?;
        places.iter().try_for_each(|place| blocks::rows(file, place).map(drop))?;
        Ok::<bool, String>(!places.is_empty())
    };
    if let Some((raw, payload)) = bytes.split_first_chunk::<4>()
        && let Ok(length) = u32::try_from(payload.len())
    {
        let (shard, rows) = (7u16, 1u64);
        let checksum = xxh3_64_with_seed(payload, u64::from(shard));
        let mut file = blocks::head();
        file.extend_from_slice(&shard.to_le_bytes());
        file.extend_from_slice(&rows.to_le_bytes());
        file.extend_from_slice(raw);
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&checksum.to_le_bytes());
        file.extend_from_slice(payload);
        drop(read(&file));
    }
    read(bytes).unwrap_or(false)
}
