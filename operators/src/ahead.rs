//! Memory is asked for before it is read.
//!
//! A list is made of a thousand videos that are anywhere in memory, and what it costs is mostly waiting for them. A processor looks
//! ahead by itself, but not as far as the next candidate but one. It is told here what will be read soon, and goes on with what it
//! has; where nothing is gained nothing is lost either, and no result depends on it.

use std::slice::from_ref;

use prefetch_index::prefetch_index;

use crate::content::Content;

/// What will be read so many candidates later is asked for: time for it to come, and no more on its way than a processor keeps note of.
pub const AHEAD: usize = 8;

const CACHE_LINE: usize = 64;

/// The cache line that a value begins in.
pub fn value<T>(value: &T) {
    prefetch_index(from_ref(value), 0);
}

/// The cache lines of some values, none of which is larger than one.
pub fn values<T>(values: &[T]) {
    let step = const {
        assert!(size_of::<T>() <= CACHE_LINE, "lines within a value would be left out");
        CACHE_LINE / size_of::<T>()
    };
    for n in (0..values.len()).step_by(step) {
        prefetch_index(values, n);
    }
}

/// What of a content is its own: all but what it points to.
pub fn content(content: &Content) {
    value(&content.video);
    value(&content.facets);
    value(&content.vector);
    value(&content.category);
    value(&content.twin);
}

/// What a content points to, as far as it is read for a candidate: this reads where that is.
pub fn pointed_to(content: &Content) {
    values(&content.facets);
    values(&*content.vector.0);
}
