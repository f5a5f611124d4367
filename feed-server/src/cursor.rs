//! The cursor of an infinite scroll.
//!
//! The server keeps no session: the cursor carries what was handed out, so any server over the same store can go on, and
//! a restart breaks no scroll. It remembers the last identifiers (500 by default) as fingerprints and, for chains that
//! are longer than that, how far each list was read.
//!
//! Bytes: version, then LEB128 numbers (items handed out, list floor, trending floor, number of fingerprints,
//! fingerprints from oldest to newest), then four bytes of checksum; all in base64url. The checksum is seeded with the
//! user, so that a cursor that was cut, edited or used for somebody else is an error and not a strange page. It is no
//! signature: who forges one changes his own pages only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freshet_schema::hash::mix;
use freshet_schema::{UserId, VideoId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// A cursor of 500 identifiers has at most 4,050 characters; this leaves room for a larger configured memory.
const MAX_TEXT: usize = 60_000;

/// Nobody scrolls further; a forged number beyond it could overflow a position.
const MAX_HANDED_OUT: u64 = 1 << 40;

/// Identifiers below this stand for themselves; larger ones are hashed into the upper half of 40 bits. A collision (one
/// in 10^9 for 500 hashed ones) hides an item from one scroll; it can never repeat one.
const PLAIN: u64 = 1 << 39;

/// What a cursor remembers of an identifier: at most 40 bits.
#[must_use]
pub fn fingerprint(video: VideoId) -> u64 {
    if video.0 < PLAIN { video.0 } else { PLAIN | (mix(0xc0_4507, &[video.0]) >> 25) }
}

/// Where a scroll stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Items handed out so far along the chain.
    pub handed_out: u64,
    /// How far the user's list was read, as a rank. Counts only once identifiers have been forgotten.
    pub list_floor: u64,
    /// How far trending was read, likewise.
    pub trending_floor: u64,
    /// Fingerprints of what was handed out last, oldest first.
    pub memory: Vec<u64>,
}

/// Why a cursor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorError {
    /// Not base64url, or too long.
    NotText,
    /// Of a release with another form.
    Version(u8),
    /// Cut, edited, or another user's.
    Changed,
}

impl std::fmt::Display for CursorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotText => f.write_str("it is not base64url text of a cursor's length"),
            Self::Version(version) => write!(f, "its version is {version}, this server knows {VERSION}"),
            Self::Changed => f.write_str("it was cut, changed, or made for another user"),
        }
    }
}

impl Cursor {
    /// Whether something was handed out that the memory no longer holds.
    #[must_use]
    pub fn has_forgotten(&self) -> bool {
        self.handed_out > self.memory.len() as u64
    }

    /// The text for `?cursor=`.
    #[must_use]
    pub fn encode(&self, user: UserId) -> String {
        let mut bytes = vec![VERSION];
        for number in [self.handed_out, self.list_floor, self.trending_floor, self.memory.len() as u64] {
            put(&mut bytes, number);
        }
        for print in &self.memory {
            put(&mut bytes, *print);
        }
        let sum = checksum(&bytes, user);
        bytes.extend(sum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor that [`Cursor::encode`] made for this user.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(text: &str, user: UserId) -> Result<Self, CursorError> {
        if text.len() > MAX_TEXT {
            return Err(CursorError::NotText);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::NotText)?;
        match bytes.first() {
            None => return Err(CursorError::NotText),
            Some(&VERSION) => {}
            Some(&other) => return Err(CursorError::Version(other)),
        }
        let end = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(CursorError::Changed)?;
        let (body, sum) = bytes.split_at(end);
        if body.is_empty() || sum != checksum(body, user) {
            return Err(CursorError::Changed);
        }
        let mut rest = &body[1..];
        let mut number = || take(&mut rest).ok_or(CursorError::Changed);
        let (handed_out, list_floor, trending_floor) = (number()?, number()?, number()?);
        let count = number()?;
        // Each fingerprint takes a byte at least: a larger count is a lie, and must not make a larger allocation.
        if count > body.len() as u64 {
            return Err(CursorError::Changed);
        }
        let memory = (0..count).map(|_| number()).collect::<Result<Vec<_>, _>>()?;
        if !rest.is_empty() || handed_out < count || handed_out > MAX_HANDED_OUT {
            return Err(CursorError::Changed);
        }
        Ok(Self { handed_out, list_floor, trending_floor, memory })
    }
}

fn checksum(bytes: &[u8], user: UserId) -> [u8; CHECKSUM_BYTES] {
    let hash = xxh3_64_with_seed(bytes, user.0).to_le_bytes();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        number |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part)?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_for_its_user_only(
            memory in prop::collection::vec(any::<u64>(), 0..600), more in 0..MAX_HANDED_OUT / 2,
            list_floor: u64, trending_floor: u64, user: u64, other: u64,
        ) {
            let handed_out = memory.len() as u64 + more;
            let cursor = Cursor { handed_out, list_floor, trending_floor, memory };
            let text = cursor.encode(UserId(user));
            prop_assert_eq!(Cursor::decode(&text, UserId(user)), Ok(cursor));
            if user != other {
                prop_assert_eq!(Cursor::decode(&text, UserId(other)), Err(CursorError::Changed));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,200}", user: u64) {
            prop_assert!(Cursor::decode(&text, UserId(user)).is_err());
        }

        /// Bytes with a right version and checksum: the numbers themselves are hostile.
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..80), user: u64) {
            let mut bytes = vec![VERSION];
            bytes.extend(body);
            let sum = checksum(&bytes, UserId(user));
            bytes.extend(sum);
            let _ = Cursor::decode(&URL_SAFE_NO_PAD.encode(&bytes), UserId(user));
            let _ = Cursor::decode(&URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() / 2]), UserId(user));
        }

        #[test]
        fn a_changed_character_is_noticed(memory in prop::collection::vec(any::<u64>(), 1..50), at: prop::sample::Index) {
            let cursor = Cursor { handed_out: memory.len() as u64, memory, ..Cursor::default() };
            let mut text = cursor.encode(UserId(1)).into_bytes();
            let at = at.index(text.len());
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            prop_assert!(Cursor::decode(std::str::from_utf8(&text).unwrap(), UserId(1)).is_err());
        }
    }

    #[test]
    fn five_hundred_identifiers_fit_a_url() {
        let memory = (0..500).map(|n| fingerprint(VideoId(u64::MAX - n))).collect();
        let cursor = Cursor { handed_out: 500, list_floor: 100, trending_floor: 400, memory };
        let length = cursor.encode(UserId(u64::MAX)).len();
        assert!(length < 4_100, "{length}");
    }

    #[test]
    fn a_forged_position_is_refused() {
        let forged = Cursor { handed_out: u64::MAX, list_floor: u64::MAX, ..Cursor::default() };
        assert_eq!(Cursor::decode(&forged.encode(UserId(1)), UserId(1)), Err(CursorError::Changed));
    }

    #[test]
    fn another_version_says_so() {
        let text = URL_SAFE_NO_PAD.encode([9, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Cursor::decode(&text, UserId(1)), Err(CursorError::Version(9)));
    }
}
