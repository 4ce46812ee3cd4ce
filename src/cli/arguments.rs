//! What can be said on the command line.
//!
//! # Layout
//!
//! - [`flash`]: arguments of `capteur flash` and `capteur firmware`

pub mod flash;

use crate::{
    export::Format,
    model::{Channel, DeviceKey, Timestamp},
};
use capteur_protocol::Name;
use clap::{Args, Parser, Subcommand};
use flash::{FirmwareCommand, FlashArguments};
use std::{path::PathBuf, time::Duration};

/// The hub your ESP32s come home to: MQTT broker, store, API and live page in one program.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Exit status: 0 when all went well, 64 for bad arguments or settings, 1 for anything else.

Settings come from the built-in defaults, then /etc/capteur/config.toml or --config FILE, then the
environment: CAPTEUR_HTTP__LISTEN=127.0.0.1:8080 sets `listen` of `[http]`. `capteur config print`
shows them all."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the hub: broker, session logic, store, API and page.
    ///
    /// This is what systemd runs. Ctrl-C and SIGTERM stop it cleanly: connections are told, the
    /// store is flushed. Logs go to the standard error.
    Serve(ServeArguments),
    /// Try the hub with simulated boards on this machine alone.
    ///
    /// Nothing is kept: the store is in a temporary folder. The ports are 1883 and 8080, or any
    /// free ones where those are taken. The boards run the real firmware's logic.
    Demo(DemoArguments),
    /// Run simulated boards against any hub.
    ///
    /// The boards run the real firmware's logic with simulated pins: a daylight curve with clouds,
    /// and presses at random moments.
    Simulate(SimulateArguments),
    /// Copy the whole store into one file, which restore makes a store of.
    ///
    /// Devices, readings and logs, with checksums. A hub may run on the store, and goes on: the copy
    /// is taken from it. The file is read back and checked before it gets its name. It holds the
    /// boards' session ids: keep it as you keep a password.
    Backup(BackupArguments),
    /// Make the store what a backup says. No hub may run on it.
    ///
    /// The backup is checked to its end first. What the store was is kept beside it, in a folder
    /// named replaced-TIME. A backup of an older version is brought up to date.
    Restore(RestoreArguments),
    /// Copy the database into a new one without what is no longer needed. No hub may run on it.
    ///
    /// The files of a store do not shrink when readings are forgotten: their room is used again,
    /// and this gives it back to the system. There has to be room for the copy.
    Compact {
        /// Read the settings from FILE in the place of /etc/capteur/config.toml.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print single readings as a table: CSV, JSON, or JSON by the line.
    ///
    /// The columns are time, mac, name, channel and value; the rows come by the devices' names, then
    /// by channel, then by time. A hub may run on the store.
    Export(ExportArguments),
    /// Write firmware and settings into an ESP32 on USB: Wi-Fi, hub, name.
    ///
    /// Finds the board, picks the image for its chip, writes what is not there yet, and compares the
    /// flash with it. A board that is written again keeps its settings, but for those that are
    /// given. The hub's key for it is made from `device_key` of `[mqtt]`, if that is set.
    ///
    /// The Wi-Fi's password is never an argument, which others could see: it comes from
    /// --wifi-password-file, else from `CAPTEUR_WIFI_PASSWORD`, else it is asked for.
    ///
    /// Where a hub runs on this machine, and the board looks for it, this waits up to a minute for
    /// the board to come online.
    ///
    /// A dry run touches no board, unless --port names one to be asked. Without --chip, it is for
    /// every image there is. The file with the settings holds the Wi-Fi's password.
    #[command(after_help = "\
Examples:
  capteur flash --wifi 'my network' --name kitchen      the board on USB; asks for the password
  capteur flash --name hall                             another name, everything else as it is
  capteur flash --wifi 'my network' --dry-run --output files

Exit status: 0 when the board is written (online or not), 64 for bad arguments or settings, 1 for
anything else.")]
    Flash(Box<FlashArguments>),
    /// The images that there are for boards.
    #[command(subcommand)]
    Firmware(FirmwareCommand),
    /// Check or print the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Arguments of `capteur serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Read the settings from FILE in the place of /etc/capteur/config.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Once all listeners are up, write their addresses to FILE as JSON:
    /// {"mqtt":"127.0.0.1:40001","http":"127.0.0.1:40002"}.
    #[arg(long, value_name = "FILE")]
    pub addresses_file: Option<PathBuf>,
}

/// Arguments of `capteur demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How many boards to simulate (1 to 10000).
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = boards)]
    pub devices: usize,
}

/// Arguments of `capteur simulate`.
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// The hub's MQTT address.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub broker: String,
    /// How many boards to simulate (1 to 10000).
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = boards)]
    pub devices: usize,
    /// The name that the first board wishes for, as if it had been flashed with it; given again:
    /// the next board's, too.
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<Name>,
    /// Seconds between two light readings of a board.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub interval: Duration,
    /// Makes MAC addresses, light and presses repeatable.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The hub's `mqtt.device_key`, which gives each board its key. In the environment it stays out of
    /// the list of processes.
    #[arg(long, value_name = "SECRET", default_value = "", hide_default_value = true)]
    #[arg(env = "CAPTEUR_MQTT__DEVICE_KEY", hide_env_values = true)]
    pub device_key: String,
    /// Switch all boards on at once, as after a power cut, and not one after the other.
    #[arg(long)]
    pub at_once: bool,
    /// Cut the boards' connections at random moments.
    #[arg(long)]
    pub flaky: bool,
}

/// Arguments of `capteur backup`.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// Where the backup goes; - is the standard output (with --verify: input).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace FILE where it exists.
    #[arg(long, conflicts_with = "verify")]
    pub force: bool,
    /// Check the backup in FILE and say what it holds, instead of making one.
    #[arg(long)]
    pub verify: bool,
    /// Read the settings from FILE in the place of /etc/capteur/config.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `capteur restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read the settings from FILE in the place of /etc/capteur/config.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `capteur export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Only readings from this time on: RFC 3339, such as 2026-11-22T14:05:27Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only readings before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Only this channel: led, button or photoresistor.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<Channel>,
    /// Only this device, by its name or its MAC address.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceKey>,
    /// How the table looks: csv, json or ndjson.
    #[arg(long, value_name = "FORMAT", default_value_t)]
    pub format: Format,
    /// Write to FILE in the place of the standard output.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Read the settings from FILE in the place of /etc/capteur/config.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `capteur config check` and `capteur config print`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the settings are good: exit status 0, or 64 with the key that is not.
    Check {
        /// Read the settings from FILE in the place of /etc/capteur/config.toml.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the effective settings as TOML.
    Print {
        /// Read the settings from FILE in the place of /etc/capteur/config.toml.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && matches!(port.parse::<u16>(), Ok(1..)) => {
            Ok(text.to_owned())
        }
        _ => Err("not a host and a port, such as raspberrypi.local:1883".to_owned()),
    }
}

fn boards(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(boards) if (1..=10_000).contains(&boards) => Ok(boards),
        _ => Err("not a whole number from 1 to 10000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds from 0.01 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_broker_without_a_host_or_a_port_is_refused() {
        for text in ["raspberrypi.local:1883", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(host_and_port(text).as_deref(), Ok(text));
        }
        for text in ["", "localhost", ":1883", "localhost:", "localhost:mqtt", "localhost:0"] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }
}
