//! Boot loader, partition table and application in one file.

use espflash::{
    flasher::{FlashData, FlashMode, FlashSettings, FlashSize},
    image_format::{Segment, idf::IdfBootloaderFormat},
    target::{Chip, XtalFrequency},
};
use std::{ops::Range, path::Path};

/// Two slots for the application, and the settings.
const PARTITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../esp32/partitions.csv");

/// Which slot a fresh board starts from.
const SLOT: &str = "ota_0";

/// Which partition holds the settings.
const CONFIG: &str = "config";

/// What flash that was never written reads as.
const ERASED: u8 = 0xFF;

/// What is written into a board's flash, from its first byte on.
pub(crate) struct Image {
    /// The chip's name, as `esp32c3`.
    pub(crate) chip: String,
    /// The bytes of the application alone.
    pub(crate) application_len: usize,
    /// Where the settings of the board belong.
    pub(crate) config: Range<u32>,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

/// Why a program is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("there is no such chip")]
    Chip,
    #[error("the partition table has no `{CONFIG}`")]
    Config,
    #[error("{0}")]
    Format(#[from] espflash::Error),
}

/// Makes the image of a program.
pub(crate) fn make(chip: &str, elf: &[u8]) -> Result<Image, Unfit> {
    let kind: Chip = chip.parse().map_err(|_| Unfit::Chip)?;
    // Every flash chip can be read in this mode.
    let settings = FlashSettings::new(Some(FlashMode::Dio), Some(FlashSize::_4Mb), None);
    let data = FlashData::new(settings, 0, None, kind, crystal(kind));
    let format =
        IdfBootloaderFormat::new(elf, &data, Some(Path::new(PARTITIONS)), None, None, Some(SLOT))?;
    let application = format.clone().ota_segments().next();
    let application_len = application.map_or(0, |segment| segment.data().len());
    let table = format.partition_table();
    let config = table.find(CONFIG).ok_or(Unfit::Config)?;
    let config = config.offset()..config.offset() + config.size();
    Ok(Image {
        chip: chip.to_owned(),
        application_len,
        config,
        bytes: merged(format.flash_segments()),
    })
}

/// The crystal of the chip's usual modules: those of the ESP32-C2 have one of 26 MHz.
fn crystal(chip: Chip) -> XtalFrequency {
    match chip {
        Chip::Esp32c2 => XtalFrequency::_26Mhz,
        chip => chip.default_xtal_frequency(),
    }
}

/// Puts each segment at its address.
fn merged<'a>(segments: impl Iterator<Item = Segment<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in segments {
        let start = segment.addr as usize;
        let end = start + segment.data().len();
        if bytes.len() < end {
            bytes.resize(end, ERASED);
        }
        bytes[start..end].copy_from_slice(segment.data());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_lie_at_their_addresses_whatever_their_order() {
        let segments = [Segment::new(4, &[4, 5]), Segment::new(1, &[1, 2])];
        assert_eq!(merged(segments.into_iter()), [ERASED, 1, 2, ERASED, 4, 5]);
    }
}
