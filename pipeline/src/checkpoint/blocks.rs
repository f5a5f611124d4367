//! The file of a cut: a head and frames `{shard u16, rows u64, raw length u32, length u32, xxh3 u64, payload}`, little-endian; a
//! payload is a run of rows, compressed. A worker that restores reads its own shards' frames and passes over the others.

use freshet_operators::checkpoint::Block;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const MAGIC: &[u8; 8] = b"FRESHETC";
const HEAD: usize = 12;
const FRAME: usize = 26;
/// The quickest: rows shrink to about a third, and what is saved beyond is not worth the processor.
const LEVEL: i32 = 1;
/// Bytes of rows to one of a payload, at most: zstd makes blocks of 128 KiB, and none is smaller than four bytes. Room for a block is made by
/// what its frame says, and a frame's head has no checksum of its own.
const SHRUNK: usize = 128 << 10 >> 2;

/// How every file begins.
#[must_use]
pub fn head() -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&super::manifest::FORMAT.to_le_bytes());
    head
}

/// The frame of a block.
///
/// # Errors
/// Where the compressor finds no memory.
pub fn frame(block: &Block) -> std::io::Result<Vec<u8>> {
    let payload = zstd::bulk::compress(&block.bytes, LEVEL)?;
    let too_long = |_| std::io::Error::other("a block of 4 GiB");
    let raw = u32::try_from(block.bytes.len()).map_err(too_long)?;
    let length = u32::try_from(payload.len()).map_err(too_long)?;
    let shard = u16::try_from(block.shard).map_err(too_long)?;
    let mut frame = Vec::with_capacity(FRAME + payload.len());
    frame.extend_from_slice(&shard.to_le_bytes());
    frame.extend_from_slice(&block.rows.to_le_bytes());
    frame.extend_from_slice(&raw.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&xxh3_64_with_seed(&payload, u64::from(shard)).to_le_bytes());
    frame.extend_from_slice(&payload);
    Ok(frame)
}

/// Where a block lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its logical shard.
    pub shard: u64,
    /// Its rows.
    pub rows: u64,
    raw: usize,
    payload: std::ops::Range<usize>,
}

/// The blocks of a file.
///
/// # Errors
/// What is wrong with it, and where.
pub fn places(bytes: &[u8]) -> Result<Vec<Place>, String> {
    if bytes.get(..HEAD) != Some(&head()[..]) {
        return Err("it does not begin as a file of this format does".to_owned());
    }
    let number = |at: usize, size: usize| {
        let mut le = [0; 8];
        le[..size].copy_from_slice(&bytes[at..at + size]);
        u64::from_le_bytes(le)
    };
    let mut places = Vec::new();
    let mut at = HEAD;
    while at < bytes.len() {
        let damaged = |what: &str| format!("the block at byte {at} {what}");
        if bytes.len() - at < FRAME {
            return Err(damaged("is cut off"));
        }
        let (shard, rows) = (number(at, 2), number(at + 2, 8));
        let (raw, length, checksum) = (number(at + 10, 4), number(at + 14, 4), number(at + 18, 8));
        let begin = at + FRAME;
        let payload =
            usize::try_from(length).ok().and_then(|length| bytes.get(begin..begin.checked_add(length)?));
        let payload = payload.ok_or_else(|| damaged("is cut off"))?;
        if xxh3_64_with_seed(payload, shard) != checksum {
            return Err(damaged("has another checksum"));
        }
        let payload = begin..begin + payload.len();
        at = payload.end;
        let raw = usize::try_from(raw).map_err(|e| e.to_string())?;
        if raw > payload.len().saturating_mul(SHRUNK) {
            return Err(format!(
                "the block at byte {} names {raw} bytes of rows, more than it can hold",
                begin - FRAME
            ));
        }
        places.push(Place { shard, rows, raw, payload });
    }
    Ok(places)
}

/// The rows of a block.
///
/// # Errors
/// Where they cannot be decompressed.
pub fn rows(bytes: &[u8], place: &Place) -> Result<Vec<u8>, String> {
    let rows = zstd::bulk::decompress(&bytes[place.payload.clone()], place.raw).map_err(|e| e.to_string())?;
    if rows.len() == place.raw { Ok(rows) } else { Err(format!("{} of {} bytes", rows.len(), place.raw)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file() -> Vec<u8> {
        let block = |shard, text: &str| Block { cut: "c", shard, rows: 2, bytes: text.as_bytes().to_vec() };
        let mut file = head();
        file.extend(frame(&block(3, "rows rows rows")).unwrap());
        file.extend(frame(&block(64, "")).unwrap());
        file
    }

    #[test]
    fn blocks_are_read_again_and_damage_is_found() {
        let file = file();
        let found = places(&file).unwrap();
        let all: Vec<_> = found.iter().map(|p| (p.shard, p.rows, rows(&file, p).unwrap())).collect();
        assert_eq!(all, [(3, 2, b"rows rows rows".to_vec()), (64, 2, Vec::new())]);
        for at in HEAD..file.len() {
            let whole = at == HEAD + FRAME + found[0].payload.len();
            assert_eq!(places(&file[..at]).is_ok(), at == HEAD || whole, "cut at {at}");
        }
        for at in [0, 9, HEAD, HEAD + FRAME + 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(places(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn room_is_made_for_what_a_block_can_hold_and_no_more() {
        let same = Block { cut: "c", shard: 1, rows: 1, bytes: vec![0; 32 << 20] };
        let mut file = [head(), frame(&same).unwrap()].concat();
        assert!(file.len() < 8 << 10, "{} bytes", file.len());
        let found = places(&file).unwrap();
        assert_eq!(rows(&file, &found[0]).unwrap(), same.bytes, "the most that it shrinks");
        file[HEAD + 10..HEAD + 14].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = places(&file).unwrap_err();
        assert!(error.contains("byte 12") && error.contains("4294967295"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = file();
            bytes.extend(tail);
            for place in places(&bytes).unwrap_or_default() {
                let _ = rows(&bytes, &place);
            }
        }
    }
}
