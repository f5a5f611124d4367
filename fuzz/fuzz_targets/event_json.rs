//! A record as JSON, of each kind, through the source's decoder and validation.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    freshet_fuzz::event_json(bytes);
});
