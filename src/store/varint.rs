//! Varints of Protocol Buffers, signed ones in zigzag: how bodies write their numbers.

use super::error::Corrupt;
use integer_encoding::VarInt;

/// Appends a number.
pub(super) fn push<V: VarInt>(body: &mut Vec<u8>, number: V) {
    let at = body.len();
    body.resize(at + number.required_space(), 0);
    number.encode_var(&mut body[at..]);
}

/// Takes a number from the front.
pub(super) fn pull<V: VarInt>(rest: &mut &[u8]) -> Result<V, Corrupt> {
    let (number, len) = V::decode_var(rest).ok_or(Corrupt::Body)?;
    *rest = &rest[len..];
    Ok(number)
}
