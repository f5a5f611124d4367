//! What a store holds: a key's text up to the first line break, then its value.
#![no_main]

use freshet_schema::store::{Key, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(key), Some(value)) = (parts.next(), parts.next()) else { return };
    let Some(key) = std::str::from_utf8(key).ok().and_then(Key::parse) else { return };
    assert_eq!(Key::parse(&key.to_string()), Some(key.clone()));
    if let Ok(value) = Value::decode(&key, value) {
        assert!(Value::decode(&key, &value.encode()).is_ok());
    }
});
