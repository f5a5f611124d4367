//! The fuzz targets over the corpus that is kept with them: formats of this release are taken, and nothing panics. `make fuzz` goes on from there.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

#[test]
fn the_corpus_is_read_as_what_it_is() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").join("fuzz/corpus");
    let mut folders: Vec<String> = fs::read_dir(&corpus)
        .expect("a corpus")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    folders.sort();
    assert_eq!(folders, targets::TARGETS.map(|(name, _)| name), "a folder for each target");
    for (name, target) in targets::TARGETS {
        let mut taken = 0;
        for file in fs::read_dir(corpus.join(name)).expect("a folder").flatten() {
            let bytes = fs::read(file.path()).expect("a file");
            // What a name calls broken must not be taken; everything else must be.
            let broken = file.file_name().to_string_lossy().starts_with("broken-");
            assert_eq!(target(&bytes), !broken, "{}", file.path().display());
            taken += usize::from(!broken);
            // As a crash or a disk may leave it.
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
                target(&bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                target(&changed);
            }
        }
        assert!(
            taken > 0,
            "nothing of {name} is taken: was its format changed? Add what it is now, and keep what it was"
        );
    }
}
