//! Which of the places may be a bucket: those of the checkpoints and of the archive. An address in another key would make a folder named
//! `s3:`.

use std::path::Path;

use freshet_archive::objects::SCHEME;
use freshet_archive::{Bucket, BucketError};

use super::Config;

/// Checks the keys that name a place.
pub fn check(config: &Config, wrong: &mut dyn FnMut(&str, String, String, &str)) {
    let folders = [
        ("input.dir", &config.input.dir),
        ("store.dir", &config.store.dir),
        ("journal.dir", &config.journal.dir),
    ];
    for (key, place) in folders {
        if let Some(url) = address(place) {
            wrong(
                key,
                format!("{url:?}"),
                "it must be a folder of this machine".to_owned(),
                "name a folder; only checkpoint.dir and archive.dir may be a bucket",
            );
        }
    }
    let archive = config.archive.dir.as_deref().map(Path::new);
    for (key, place) in [("checkpoint.dir", Some(&*config.checkpoint.dir)), ("archive.dir", archive)] {
        let Some(url) = place.and_then(address) else { continue };
        // As the error has it, without what might be a secret.
        let Err(BucketError::Address { url, mut what }) = Bucket::parse(url) else { continue };
        if !url.starts_with(SCHEME) {
            what = "of the object stores only S3 and what speaks like it is known".to_owned();
        }
        wrong(key, format!("{url:?}"), what, "write s3://BUCKET/PREFIX, or name a folder");
    }
}

/// What begins as `SCHEME://` does.
fn address(place: &Path) -> Option<&str> {
    let text = place.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    let word = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    word.then_some(text)
}
