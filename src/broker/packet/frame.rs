//! The fixed header (section 2.1): where a packet ends.

use super::Reason;

/// One whole control packet in the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// The packet type (section 2.1.2), 0 to 15.
    pub(crate) kind: u8,
    /// The flags of the fixed header (section 2.1.3).
    pub(crate) flags: u8,
    /// Variable header and payload.
    pub(crate) body: &'a [u8],
    /// The length of the whole packet.
    pub(crate) len: usize,
}

impl<'a> Frame<'a> {
    /// Finds the packet at the front of `input`; `None` while it is incomplete.
    ///
    /// The length is refused as soon as it is known, so a hostile one never makes us buffer more
    /// than `max` bytes.
    pub(crate) fn first(input: &'a [u8], max: usize) -> Result<Option<Self>, Reason> {
        let Some((&head, rest)) = input.split_first() else {
            return Ok(None);
        };
        let mut remaining = 0;
        for (index, byte) in rest.iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 != 0 {
                continue;
            }
            if *byte == 0 && index > 0 {
                return Err(Reason::MALFORMED);
            }
            let start = index + 2;
            let len = start + remaining;
            if len > max {
                return Err(Reason::PACKET_TOO_LARGE);
            }
            return Ok(input.get(start..len).map(|body| Self {
                kind: head >> 4,
                flags: head & 0x0f,
                body,
                len,
            }));
        }
        if rest.len() >= 4 { Err(Reason::MALFORMED) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_found_only_when_it_is_whole() {
        let input = [0x30, 0x03, 1, 2, 3, 0xc0, 0x00];
        for end in 0..5 {
            assert!(Frame::first(&input[..end], 100).unwrap().is_none());
        }
        let frame = Frame::first(&input, 100).unwrap().unwrap();
        assert_eq!((frame.kind, frame.flags, frame.body, frame.len), (3, 0, &input[2..5], 5));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_the_body_arrives() {
        assert_eq!(Frame::first(&[0x30, 0xff, 0x7f], 100).unwrap_err(), Reason::PACKET_TOO_LARGE);
        assert_eq!(
            Frame::first(&[0x30, 0xff, 0xff, 0xff, 0xff], 100).unwrap_err(),
            Reason::MALFORMED
        );
        assert!(Frame::first(&[0x30, 0xff, 0xff, 0xff], 100).unwrap().is_none());
    }
}
