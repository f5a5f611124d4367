//! The checksum of what was consumed of a Kafka partition: a chain over all records in the upper half, a hash of the last one
//! in the lower. The journal has one number for it, as for a file.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// After a record: the checksum that the binding holds.
pub(super) fn after(before: u64, offset: u64, value: Option<&[u8]>) -> u64 {
    let last = last_of(offset, value);
    let chain = xxh3_64_with_seed(&last.to_le_bytes(), before >> 32);
    (chain & 0xffff_ffff_0000_0000) | u64::from(last)
}

/// The hash of one record.
pub(super) fn last_of(offset: u64, value: Option<&[u8]>) -> u32 {
    // A record without a value is another one than one with an empty value.
    let hash = match value {
        Some(bytes) => xxh3_64_with_seed(bytes, offset),
        None => xxh3_64_with_seed(b"none", !offset),
    };
    u32::try_from(hash >> 32).expect("the upper half of 64 bits has 32")
}

/// The half that is the last record's.
pub(super) fn last(checksum: u64) -> u32 {
    u32::try_from(checksum & 0xffff_ffff).expect("the lower half of 64 bits has 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_changes_it_and_the_last_one_can_be_known_alone() {
        let first = after(0, 0, Some(b"a"));
        let both = after(first, 1, Some(b"b"));
        assert_eq!(last(both), last_of(1, Some(b"b")));
        // Another beginning, another offset, no value: another number.
        assert_ne!(both, after(after(0, 0, Some(b"x")), 1, Some(b"b")));
        assert_ne!(both, after(first, 2, Some(b"b")));
        assert_ne!(after(0, 0, None), after(0, 0, Some(b"")));
        assert_eq!(both >> 32, after(first, 1, Some(b"b")) >> 32);
    }
}
