//! What is written into a board, down to the byte.

use super::{package::Image, wishes};
use capteur_protocol::{Config, Mac, config::PARTITION_LEN};
use std::fmt;

/// What flash that was never written reads as.
const ERASED: u8 = 0xFF;

/// What is written into a board's flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    image: &'a Image,
    bytes: Vec<u8>,
    mac: Option<Mac>,
    config: Config,
    partition: Vec<u8>,
}

/// Why a board can't be written so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The firmware does not know where this kind of board has its pins.
    #[error(
        "the firmware for the {chip} does not know the board {board}: --board takes one of {known}"
    )]
    Board {
        /// The kind of board.
        board: String,
        /// The chip of the image.
        chip: String,
        /// The kinds that it knows.
        known: String,
    },
    /// The board has less flash than is written to.
    #[error("the board has {found} bytes of flash; the firmware needs {needed}")]
    Flash {
        /// What it has, in bytes.
        found: u32,
        /// What is written to, in bytes.
        needed: u32,
    },
}

impl<'a> Plan<'a> {
    /// Plans to write an image, whose file holds `bytes`, and settings into the board with this
    /// MAC, where it is known.
    ///
    /// # Errors
    ///
    /// [`PlanError::Board`]
    pub fn new(
        image: &'a Image,
        bytes: Vec<u8>,
        mac: Option<Mac>,
        config: Config,
    ) -> Result<Self, PlanError> {
        if let Some(board) = &config.board
            && !image.boards.iter().any(|known| known == board.as_str())
        {
            return Err(PlanError::Board {
                board: board.to_string(),
                chip: image.chip.clone(),
                known: image.boards.join(", "),
            });
        }
        // Settings always fit into their sector (`ENCODED_MAX`), and every manifest has one for them.
        let mut partition = config.encode().to_vec();
        partition.resize(PARTITION_LEN, ERASED);
        Ok(Self { image, bytes, mac, config, partition })
    }

    /// The image.
    pub fn image(&self) -> &Image {
        self.image
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The settings as they lie in their partition.
    pub fn partition(&self) -> &[u8] {
        &self.partition
    }

    /// What is written where: the image, then the settings.
    pub fn segments(&self) -> [(u32, &[u8]); 2] {
        [(self.image.offset, &self.bytes), (self.image.config_offset, &self.partition)]
    }

    /// The commands of the program `espflash` that write the same from two files.
    pub fn commands(&self, image_file: &str, config_file: &str) -> [String; 2] {
        let command = |offset: u32, file: &str| {
            format!("espflash write-bin --chip {} {offset:#x} {file}", self.image.chip)
        };
        [command(self.image.offset, image_file), command(self.image.config_offset, config_file)]
    }
}

impl Image {
    /// Checks that all that it speaks of is in this many bytes of flash.
    ///
    /// # Errors
    ///
    /// [`PlanError::Flash`]
    pub fn fits(&self, flash: u32) -> Result<(), PlanError> {
        // Neither sum overflows: the manifest was checked.
        let needed = (self.offset + self.size).max(self.config_offset + self.config_size);
        if needed <= flash { Ok(()) } else { Err(PlanError::Flash { found: flash, needed }) }
    }
}

/// The plan in words, a line each.
impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Image { chip, version, .. } = self.image;
        match self.mac {
            Some(mac) => writeln!(f, "{chip} {mac}: firmware {version}")?,
            None => writeln!(f, "{chip}: firmware {version}")?,
        }
        let mut line = |what: &str, text: &str| writeln!(f, "  {what:<14} {text}");
        match &self.config.board {
            Some(board) => line("board", board.as_str())?,
            None => line("board", &format!("{} (the usual one)", self.image.default_board))?,
        }
        for (what, text) in wishes::describe(&self.config) {
            line(what, &text)?;
        }
        let parts = ["boot loader, partitions, application", "settings"];
        for ((offset, bytes), what) in self.segments().into_iter().zip(parts) {
            line("writes", &format!("{} bytes at {offset:#x}: {what}", bytes.len()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::{package, wishes::tests::config as any_config};
    use proptest::prelude::*;

    fn config(board: Option<&str>) -> Config {
        Config {
            ssid: Some("my network".parse().unwrap()),
            passphrase: Some("its password".parse().unwrap()),
            board: board.map(|name| name.parse().unwrap()),
            ..Config::default()
        }
    }

    #[test]
    fn a_plan_says_what_it_writes_and_keeps_secrets() {
        let image = package::tests::image("esp32c3", b"image");
        let mac = "61:EC:ED:3B:25:B1".parse().ok();
        let plan = Plan::new(&image, b"image".to_vec(), mac, config(None)).unwrap();
        let said = plan.to_string();
        for part in [
            "esp32c3 61:EC:ED:3B:25:B1: firmware 1.2.3",
            "esp32c3-two (the usual one)",
            "my network (with its password)",
            "capteur.local",
            "5 bytes at 0x0",
            "4096 bytes at 0x3d0000",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("its password\n") && !said.contains("key: "), "{said}");
    }

    #[test]
    fn the_settings_lie_at_their_offset_and_fill_a_sector() {
        let image = package::tests::image("esp32c3", b"image");
        let plan = Plan::new(&image, b"image".to_vec(), None, config(Some("esp32c3-one"))).unwrap();
        let [first, second] = plan.segments();
        assert_eq!(first, (0, &b"image"[..]));
        assert_eq!((second.0, second.1.len()), (0x3D_0000, 4096));
        assert_eq!(Config::decode(second.1).unwrap().as_ref(), Some(plan.config()));
        assert_eq!(
            plan.commands("a.bin", "b.bin"),
            [
                "espflash write-bin --chip esp32c3 0x0 a.bin",
                "espflash write-bin --chip esp32c3 0x3d0000 b.bin"
            ]
        );
    }

    #[test]
    fn a_board_that_the_firmware_does_not_know_is_refused_with_those_that_it_does() {
        let image = package::tests::image("esp32c3", b"image");
        let said =
            Plan::new(&image, b"image".to_vec(), None, config(Some("esp32c6-one"))).unwrap_err();
        let said = said.to_string();
        assert!(said.contains("esp32c6-one") && said.contains("--board"), "{said}");
        assert!(said.contains("esp32c3-one, esp32c3-two"), "{said}");
    }

    #[test]
    fn a_flash_that_is_too_small_is_refused() {
        let image = package::tests::image("esp32c3", b"image");
        assert_eq!(image.fits(4 * 1024 * 1024), Ok(()));
        let found = 2 * 1024 * 1024;
        assert_eq!(image.fits(found), Err(PlanError::Flash { found, needed: 0x3D_4000 }));
    }

    proptest! {
        #[test]
        fn the_firmware_reads_what_is_planned(mut config in any_config()) {
            config.board = None;
            let image = package::tests::image("esp32c3", b"image");
            let plan = Plan::new(&image, b"image".to_vec(), None, config.clone()).unwrap();
            prop_assert_eq!(plan.partition().len(), PARTITION_LEN);
            prop_assert_eq!(Config::decode(plan.partition()), Ok(Some(config)));
        }
    }
}
