//! What every value is wrapped in, so that it can be told whole from damaged, and found again in
//! a file whose index is lost.
//!
//! `E5 1C 'C' 'S' | length u32 LE | key length u8 | key | version u8 | body | CRC-32 u32 LE`
//!
//! The length counts the whole envelope; the checksum (CRC-32 of IEEE 802.3) covers all before
//! it. The version is that of the body, whose meaning the key's first byte says.

use super::error::{Corrupt, StoreError};

/// The largest envelope in bytes.
///
/// sled packs up to 17 values into a node, and a node above 128 KiB (a quarter of a segment)
/// becomes a file of its own that is rewritten at every change.
pub(super) const MAX: usize = 6 * 1024;

/// How much an envelope adds to key and body, in bytes.
pub(super) const OVERHEAD: usize = MAGIC.len() + 4 + 1 + 1 + 4;

/// How much of an envelope has to be read to know its length, in bytes.
pub(super) const FRONT_LEN: usize = MAGIC.len() + 4;

/// What an envelope begins with.
pub(super) const MAGIC: [u8; 4] = [0xE5, 0x1C, b'C', b'S'];

/// Wraps a body. `what` names it in the error where it is too large.
pub(super) fn seal(
    key: &[u8],
    version: u8,
    body: &[u8],
    what: &'static str,
) -> Result<Vec<u8>, StoreError> {
    let len = OVERHEAD + key.len() + body.len();
    let too_large = || StoreError::TooLarge { what, len, max: MAX };
    let key_len = u8::try_from(key.len()).map_err(|_| too_large())?;
    let whole_len = u32::try_from(len).ok().filter(|_| len <= MAX).ok_or_else(too_large)?;
    let mut value = Vec::with_capacity(len);
    value.extend(MAGIC);
    value.extend(whole_len.to_le_bytes());
    value.push(key_len);
    value.extend(key);
    value.push(version);
    value.extend(body);
    value.extend(crc32fast::hash(&value).to_le_bytes());
    Ok(value)
}

/// Unwraps the value of `key`: the version and the body.
pub(super) fn open<'a>(key: &[u8], value: &'a [u8]) -> Result<(u8, &'a [u8]), Corrupt> {
    let (found, version, body) = parse(value)?;
    if found == key { Ok((version, body)) } else { Err(Corrupt::Key) }
}

/// Unwraps a value whose body has to be of this version.
pub(super) fn open_version<'a>(
    key: &[u8],
    version: u8,
    value: &'a [u8],
) -> Result<&'a [u8], Corrupt> {
    match open(key, value)? {
        (found, body) if found == version => Ok(body),
        (found, _) => Err(Corrupt::Version(found)),
    }
}

/// The length of the envelope that begins with these bytes; `None` where none does.
pub(super) fn len_of(front: &[u8]) -> Option<usize> {
    let len = front.strip_prefix(&MAGIC)?.first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    (OVERHEAD..=MAX).contains(&len).then_some(len)
}

/// The key, the version and the body of an envelope.
pub(super) fn parse(value: &[u8]) -> Result<(&[u8], u8, &[u8]), Corrupt> {
    let (whole, checksum) = value.split_last_chunk().ok_or(Corrupt::Envelope)?;
    let rest = whole.strip_prefix(&MAGIC).ok_or(Corrupt::Envelope)?;
    let (len, rest) = rest.split_first_chunk().ok_or(Corrupt::Envelope)?;
    if usize::try_from(u32::from_le_bytes(*len)) != Ok(value.len()) {
        return Err(Corrupt::Envelope);
    }
    if crc32fast::hash(whole) != u32::from_le_bytes(*checksum) {
        return Err(Corrupt::Checksum);
    }
    let (&key_len, rest) = rest.split_first().ok_or(Corrupt::Envelope)?;
    let (key, rest) = rest.split_at_checked(usize::from(key_len)).ok_or(Corrupt::Envelope)?;
    let (&version, body) = rest.split_first().ok_or(Corrupt::Envelope)?;
    Ok((key, version, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn what_is_sealed_opens_under_its_own_key_only(
            key in vec(any::<u8>(), 0..40),
            other in vec(any::<u8>(), 0..40),
            version: u8,
            body in vec(any::<u8>(), 0..5000),
        ) {
            let value = seal(&key, version, &body, "a test").unwrap();
            prop_assert_eq!(value.len(), OVERHEAD + key.len() + body.len());
            prop_assert_eq!(open(&key, &value), Ok((version, &body[..])));
            if other != key {
                prop_assert_eq!(open(&other, &value), Err(Corrupt::Key));
            }
        }

        #[test]
        fn any_flipped_bit_is_noticed(
            body in vec(any::<u8>(), 0..200),
            at: prop::sample::Index,
            bit in 0..8,
        ) {
            let mut value = seal(b"key", 1, &body, "a test").unwrap();
            let at = at.index(value.len());
            value[at] ^= 1u8 << bit;
            prop_assert!(open(b"key", &value).is_err());
        }

        #[test]
        fn any_cut_is_noticed(body in vec(any::<u8>(), 0..200), at: prop::sample::Index) {
            let value = seal(b"key", 1, &body, "a test").unwrap();
            prop_assert!(open(b"key", &value[..at.index(value.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in vec(any::<u8>(), 0..300)) {
            let _ = open(b"key", &value);
            let mut value = [&MAGIC, &value[..]].concat();
            let _ = open(b"key", &value);
            // Past the length and the checksum as well.
            if value.len() >= 12 {
                let len = value.len();
                value[4..8].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
                let crc = crc32fast::hash(&value[..len - 4]);
                value[len - 4..].copy_from_slice(&crc.to_le_bytes());
                let _ = open(b"key", &value);
            }
        }
    }

    #[test]
    fn a_value_above_the_limit_is_refused() {
        let room = MAX - OVERHEAD - 3;
        assert!(seal(b"key", 1, &vec![0; room], "a test").is_ok());
        let error = seal(b"key", 1, &vec![0; room + 1], "a test").unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { len, .. } if len == MAX + 1));
        assert!(seal(&[0; 256], 1, &[], "a test").is_err());
    }
}
