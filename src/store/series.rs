//! Which series of readings a device's channel is.

use crate::model::{Channel, DeviceId};

/// A series of readings: one channel of one device, and apart from it what comes
/// [late](super::late).
///
/// The number is computed, not given out: device × 8 + channel, and 4 more for what comes late. Neighbouring channels and devices
/// have neighbouring numbers, which frames store in one byte. Device numbers are never used
/// again, so series numbers are not either, and a board that takes another's place takes its
/// series with its device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Series(u64);

/// How many bits of a series' number are the channel's.
const CHANNEL_BITS: u32 = 3;

/// Set in the number of a series of late readings.
const LATE: u64 = 4;

const _: () = assert!(Channel::ALL.len() as u64 <= LATE, "channels need more bits");
const _: () = assert!(2 * LATE <= 1 << CHANNEL_BITS, "channels need more bits");

impl Series {
    /// The series of a device's channel.
    pub(super) fn new(device: DeviceId, channel: Channel) -> Self {
        Self(u64::from(device.0) << CHANNEL_BITS | u64::from(channel.index()))
    }

    /// The series of a channel's late readings.
    pub(super) fn late(device: DeviceId, channel: Channel) -> Self {
        Self(Self::new(device, channel).0 | LATE)
    }

    /// All that a channel has.
    pub(super) fn of(device: DeviceId, channel: Channel) -> [Self; 2] {
        [Self::new(device, channel), Self::late(device, channel)]
    }

    /// All that a device has, by number.
    pub(super) fn all(device: DeviceId) -> impl Iterator<Item = Self> {
        let usual = Channel::ALL.map(|channel| Self::new(device, channel));
        usual.into_iter().chain(Channel::ALL.map(|channel| Self::late(device, channel)))
    }

    /// Whether it is one of late readings.
    pub(super) fn is_late(self) -> bool {
        self.0 & LATE != 0
    }

    /// The device and the channel; `None` where the number stands for neither.
    pub(super) fn split(self) -> Option<(DeviceId, Channel)> {
        let device = u32::try_from(self.0 >> CHANNEL_BITS).ok()?;
        let channel = u8::try_from(self.0 & (LATE - 1)).ok()?;
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
            prop_assert!(!series.is_late());
            let late = Series::late(device, channel);
            prop_assert_eq!((late.split(), late.is_late()), (Some((device, channel)), true));
            prop_assert!(Series::all(device).is_sorted());
            prop_assert!(Series::of(device, channel).iter().all(|one| Series::all(device).any(|any| any == *one)));
            prop_assert_eq!(Series::from_number(series.number()), series);
        }

        #[test]
        fn any_number_is_split_or_refused(number: u64) {
            let series = Series::from_number(number);
            if let Some((device, channel)) = series.split() {
                prop_assert!(Series::of(device, channel).contains(&series));
            }
        }
    }
}
