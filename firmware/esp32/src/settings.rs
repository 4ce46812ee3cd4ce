//! What was written into the board's flash, or built in.

use capteur_protocol::{Config, config};
use esp_bootloader_esp_idf::partitions::{self, PARTITION_TABLE_MAX_LEN, PartitionEntry};
use esp_hal::peripherals::FLASH;
use esp_storage::FlashStorage;

/// The settings of the environment at build time; the build script has checked them.
static BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/config.bin"));

/// The partition's name in `partitions.csv`.
const LABEL: &[u8] = b"config";

/// The table's word for "data": the type of a partition that an application may use as it likes.
const DATA: u8 = 1;

/// The settings in force: those in flash, and what they leave open as it was built in.
///
/// Flash that can't be read, or holds something else, is said so in the log and counts as empty:
/// a board that was given its settings at build time has no use for it.
pub(crate) fn load(flash: FLASH<'static>) -> Config {
    let written = match read(flash) {
        Ok(Some(config)) => config,
        Ok(None) => {
            log::info!("no settings were written into the flash");
            Config::default()
        }
        Err(fault) => {
            log::error!("the settings in flash can't be used: {fault:?}");
            Config::default()
        }
    };
    let built_in = Config::decode(BUILT_IN).ok().flatten().unwrap_or_default();
    joined(written, built_in)
}

/// Why there are no settings in flash.
#[derive(Debug)]
#[expect(dead_code, reason = "the log shows what is in it")]
enum Fault {
    /// The partition table can't be read, or the partition.
    Flash(partitions::Error),
    /// There is no such partition.
    NoPartition,
    /// What is in it are no settings.
    Config(config::ConfigError),
}

fn read(flash: FLASH<'static>) -> Result<Option<Config>, Fault> {
    let mut flash = FlashStorage::new(flash);
    let mut table = [0; PARTITION_TABLE_MAX_LEN];
    let table = partitions::read_partition_table(&mut flash, &mut table).map_err(Fault::Flash)?;
    let partition = table.iter().find(holds_settings).ok_or(Fault::NoPartition)?;
    let mut bytes = [0; config::ENCODED_MAX];
    partition.as_flash_region(&mut flash).read(0, &mut bytes).map_err(Fault::Flash)?;
    Config::decode(&bytes).map_err(Fault::Config)
}

fn holds_settings(partition: &PartitionEntry) -> bool {
    let label = partition.label().strip_prefix(LABEL);
    partition.raw_type() == DATA && label.is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

/// The first settings, with the second in their gaps.
fn joined(first: Config, second: Config) -> Config {
    Config {
        // A password belongs to its network.
        passphrase: if first.ssid.is_some() { first.passphrase } else { second.passphrase },
        ssid: first.ssid.or(second.ssid),
        host: first.host.or(second.host),
        port: first.port.or(second.port),
        key: first.key.or(second.key),
        name: first.name.or(second.name),
        interval: first.interval.or(second.interval),
        board: first.board.or(second.board),
        led: first.led.or(second.led),
        button: first.button.or(second.button),
        calibration: first.calibration.or(second.calibration),
    }
}
