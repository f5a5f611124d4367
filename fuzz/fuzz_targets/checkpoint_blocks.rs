//! The file of a checkpoint's cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    freshet_fuzz::checkpoint_blocks(bytes);
});
