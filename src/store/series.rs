//! Which series of readings a device's channel is.

use crate::model::{Channel, DeviceId};

/// A series of readings: one channel of one device.
///
/// The number is computed, not given out: device × 8 + channel. Neighbouring channels and devices
/// have neighbouring numbers, which frames store in one byte. Device numbers are never used
/// again, so series numbers are not either, and a board that takes another's place takes its
/// series with its device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Series(u64);

/// How many bits of a series' number are the channel's.
const CHANNEL_BITS: u32 = 3;

const _: () = assert!(Channel::ALL.len() <= 1 << CHANNEL_BITS, "channels need more bits");

impl Series {
    /// The series of a device's channel.
    pub(super) fn new(device: DeviceId, channel: Channel) -> Self {
        Self(u64::from(device.0) << CHANNEL_BITS | u64::from(channel.index()))
    }

    /// The device and the channel; `None` where the number stands for neither.
    pub(super) fn split(self) -> Option<(DeviceId, Channel)> {
        let device = u32::try_from(self.0 >> CHANNEL_BITS).ok()?;
        let channel = u8::try_from(self.0 & ((1 << CHANNEL_BITS) - 1)).ok()?;
        Some((DeviceId(device), Channel::from_index(channel)?))
    }

    /// The number.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// The series with this number.
    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_series_tells_its_device_and_channel(id: u32, channel in 0..3usize) {
            let (device, channel) = (DeviceId(id), Channel::ALL[channel]);
            let series = Series::new(device, channel);
            prop_assert_eq!(series.split(), Some((device, channel)));
            prop_assert_eq!(Series::from_number(series.number()), series);
        }

        #[test]
        fn any_number_is_split_or_refused(number: u64) {
            let series = Series::from_number(number);
            if let Some((device, channel)) = series.split() {
                prop_assert_eq!(Series::new(device, channel), series);
            }
        }
    }
}
