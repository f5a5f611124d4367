//! The form of manifests: JSON, because people and other programs read it, and behind it one line with the checksum of the text before.
//!
//! The manifest of an archive and that of a checkpoint have it. A file that is not whole, or that somebody changed, is told from one of
//! another release, which says its own form first.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

const TAIL: usize = "xxh3 0123456789abcdef\n".len();

/// What every form begins to be read by.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// A checksum as it is written.
#[must_use]
pub fn checksum_text(checksum: u64) -> String {
    format!("{checksum:016x}")
}

fn tail(text: &[u8]) -> String {
    format!("xxh3 {}\n", checksum_text(xxh3_64(text)))
}

/// The text of a file.
///
/// # Panics
/// Where the value has no JSON form: it is made of numbers and texts.
#[must_use]
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("numbers and texts have a JSON form");
    text.push(b'\n');
    let tail = tail(&text);
    text.extend_from_slice(tail.as_bytes());
    text
}

/// Reads the text of a file, whose field `format` must be this one.
///
/// # Errors
/// What is wrong with it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], form: u32) -> Result<T, String> {
    let (text, found) = bytes.split_at(bytes.len().saturating_sub(TAIL));
    if found != tail(text).as_bytes() {
        return Err("its checksum does not match: it is not whole, or was changed".to_owned());
    }
    // The form first: of another one nothing else is known.
    let Head { format } = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if format != form {
        return Err(format!(
            "it has format {format}, and this release reads {form}: start the release that wrote it"
        ));
    }
    serde_json::from_slice(text).map_err(|e| e.to_string())
}
