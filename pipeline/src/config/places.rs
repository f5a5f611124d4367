//! Which of the places may be a bucket: only that of the checkpoints. An address in another key would make a folder named `s3:`.

use std::path::Path;

use freshet_archive::objects::SCHEME;
use freshet_archive::{Bucket, BucketError};

use super::Config;

/// Checks the keys that name a place.
pub fn check(config: &Config, wrong: &mut dyn FnMut(&str, String, String, &str)) {
    let archive = config.archive.dir.as_deref().map(Path::new);
    let folders = [
        ("input.dir", Some(config.input.dir.as_path())),
        ("store.dir", Some(config.store.dir.as_path())),
        ("journal.dir", Some(config.journal.dir.as_path())),
        ("archive.dir", archive),
    ];
    for (key, place) in folders {
        if let Some(url) = place.and_then(address) {
            wrong(
                key,
                format!("{url:?}"),
                "it must be a folder of this machine".to_owned(),
                "name a folder; only checkpoint.dir may be a bucket",
            );
        }
    }
    if let Some(url) = address(&config.checkpoint.dir) {
        // As the error has it, without what might be a secret.
        let Err(BucketError::Address { url, mut what }) = Bucket::parse(url) else { return };
        if !url.starts_with(SCHEME) {
            what = "of the object stores only S3 and what speaks like it is known".to_owned();
        }
        wrong("checkpoint.dir", format!("{url:?}"), what, "write s3://BUCKET/PREFIX, or name a folder");
    }
}

/// What begins as `SCHEME://` does.
fn address(place: &Path) -> Option<&str> {
    let text = place.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    let word = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    word.then_some(text)
}
