//! The data representations of section 1.5, read from a slice.

use super::Reason;

/// Reads from the front of a slice; whatever is missing or wrong is [`Reason::MALFORMED`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Reason::MALFORMED)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Reason::MALFORMED)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Reason> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Reason> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Reason> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable byte integer (section 1.5.5): at most four bytes, in the shortest form.
    pub(crate) fn varint(&mut self) -> Result<u32, Reason> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(Reason::MALFORMED) } else { Ok(value) };
            }
        }
        Err(Reason::MALFORMED)
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], Reason> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 string (section 1.5.4), which never contains U+0000.
    pub(crate) fn string(&mut self) -> Result<&'a str, Reason> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| Reason::MALFORMED)?;
        if text.contains('\0') { Err(Reason::MALFORMED) } else { Ok(text) }
    }

    /// A packet identifier (section 2.2.1), which is never 0.
    pub(crate) fn packet_id(&mut self) -> Result<u16, Reason> {
        match self.u16()? {
            0 => Err(Reason::PROTOCOL_ERROR),
            id => Ok(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_has_at_most_four_bytes_in_the_shortest_form() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0x7f]).varint(), Ok(268_435_455));
        assert_eq!(Reader::new(&[0x80, 0x80, 0x80, 0x80, 1]).varint(), Err(Reason::MALFORMED));
        assert_eq!(Reader::new(&[0x81, 0x00]).varint(), Err(Reason::MALFORMED));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(Reason::MALFORMED));
    }

    #[test]
    fn a_string_is_utf8_without_the_null_character() {
        assert_eq!(Reader::new(b"\0\x02\xc3\xa9").string(), Ok("é"));
        assert_eq!(Reader::new(b"\0\x01\xc3").string(), Err(Reason::MALFORMED));
        assert_eq!(Reader::new(b"\0\x01\0").string(), Err(Reason::MALFORMED));
        assert_eq!(Reader::new(b"\xff\xffabc").string(), Err(Reason::MALFORMED));
    }
}
