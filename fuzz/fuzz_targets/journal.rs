//! The file of a journal.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    freshet_fuzz::journal_entries(bytes);
});
