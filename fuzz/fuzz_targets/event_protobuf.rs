//! A record in Protobuf; the first byte says of which kind it is.
#![no_main]

use freshet_schema::{EventKind, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let kind = EventKind::ALL[usize::from(*kind) % EventKind::ALL.len()];
    if let Ok(event) = wire::decode(kind, bytes) {
        assert_eq!(event.kind(), kind);
        assert!(wire::decode(kind, &wire::encode(&event)).is_ok());
    }
});
