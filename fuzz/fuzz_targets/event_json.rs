//! A record as JSON, of each kind: it is an event that can be written and read again, or an error.
#![no_main]

use freshet_schema::{Delete, Follow, Interaction, Served, Upload, User};
use libfuzzer_sys::fuzz_target;

fn both_ways<E: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<E>(bytes)
        && let Ok(text) = serde_json::to_vec(&event)
    {
        assert_eq!(serde_json::from_slice::<E>(&text).ok(), Some(event));
    }
}

fuzz_target!(|bytes: &[u8]| {
    both_ways::<Interaction>(bytes);
    both_ways::<Upload>(bytes);
    both_ways::<User>(bytes);
    both_ways::<Follow>(bytes);
    both_ways::<Delete>(bytes);
    both_ways::<Served>(bytes);
});
