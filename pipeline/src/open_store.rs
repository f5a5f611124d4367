//! Opens the store that the configuration names.

use std::sync::Arc;

use anyhow::Context;
use freshet_sinks::{Embedded, EmbeddedOptions, FeedStore, Redis};

use crate::config::{Config, StoreKind};

/// Opens the store, to be written (after a claim) or read. An embedded store's folder must be there; a server is not asked yet.
///
/// # Errors
/// Where the embedded store cannot be opened, or an address cannot be used.
pub fn open_store(config: &Config) -> anyhow::Result<Arc<dyn FeedStore>> {
    Ok(match config.store.kind {
        StoreKind::Embedded => {
            let options = EmbeddedOptions {
                cache_bytes: config.store.cache_bytes,
                write_buffer_bytes: config.store.write_buffer_bytes,
                ..EmbeddedOptions::default()
            };
            Arc::new(Embedded::open(&config.store.kv_dir(), options)?)
        }
        StoreKind::Redis => Arc::new(Redis::open(config.redis.options()).context("[redis]")?),
    })
}
