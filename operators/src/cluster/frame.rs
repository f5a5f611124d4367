//! Messages on a connection between two processes: four bytes of length, the lower first, and the message in postcard's form.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message in bytes. Far above what an epoch's changes or a shard of a cut have; what claims more is none of ours.
pub const MOST: u32 = 1 << 30;

/// Writes a message.
///
/// # Errors
/// Of the connection; and where the message is too long.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(|error| invalid(error.to_string()))?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= MOST);
    let length = length.ok_or_else(|| invalid(format!("a message of {} bytes is too long", bytes.len())))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads a message of at most `most` bytes. Memory is taken as the bytes come, whatever the length claims.
///
/// # Errors
/// Of the connection; and where the bytes are no message.
pub fn read<M: DeserializeOwned>(from: &mut impl Read, most: u32) -> io::Result<M> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > most {
        return Err(invalid(format!("a message claims {length} bytes, more than {most}")));
    }
    let mut bytes = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&bytes).map_err(|error| invalid(format!("a message cannot be read: {error}")))
}

/// What a person is told of a connection that broke.
#[must_use]
pub fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it was silent for too long".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_comes_back() {
        let mut bytes = Vec::new();
        write(&mut bytes, &(7u64, "seven".to_owned())).unwrap();
        write(&mut bytes, &vec![1u8; 300]).unwrap();
        let mut from = &bytes[..];
        assert_eq!(read::<(u64, String)>(&mut from, 100).unwrap(), (7, "seven".to_owned()));
        let error = read::<Vec<u8>>(&mut from, 100).unwrap_err();
        assert!(error.to_string().contains("302"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<super::super::wire::FromMember>(&mut &bytes[..], MOST);
            let _ = read::<super::super::wire::ToMember>(&mut &bytes[..], MOST);
            let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
            framed.extend(&bytes);
            let _ = read::<super::super::wire::FromMember>(&mut &framed[..], MOST);
            let _ = read::<super::super::wire::ToMember>(&mut &framed[..], MOST);
        }
    }
}
