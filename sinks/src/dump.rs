//! The whole store as text. Two stores are equal when their dumps are: keys come in the order of their bytes, and each
//! value is decoded, so that a difference can be read.

use std::io::{self, Write};

use freshet_schema::store::{Key, Value};
use serde::{Serialize, Serializer};

use crate::store::{FeedStore, StoreError};

/// Entries read at once.
const PAGE: usize = 256;

/// Why a dump broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output failed.
    #[error("cannot write the dump: {0}")]
    Write(#[from] io::Error),
}

#[derive(Serialize)]
struct Line {
    #[serde(serialize_with = "key_text")]
    key: Key,
    value: Value,
}

fn key_text<S: Serializer>(key: &Key, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(key)
}

/// Writes the store as JSON lines `{"key":"feed:1","value":{...}}` in the order of keys; returns how many. It reads page
/// by page: a store that is written meanwhile can show two epochs in one dump.
///
/// # Errors
/// Where the store cannot be read, a value cannot be decoded, or the output fails.
pub fn dump(store: &dyn FeedStore, out: &mut dyn Write) -> Result<u64, DumpError> {
    let mut count = 0;
    for page in store.pages("", PAGE) {
        for (key, bytes) in page? {
            let value = Value::decode(&key, &bytes)
                .map_err(|source| StoreError::Value { key: key.to_string(), source })?;
            serde_json::to_writer(&mut *out, &Line { key, value }).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
            count += 1;
        }
    }
    out.flush()?;
    Ok(count)
}
