//! Arguments of `capteur flash` and `capteur firmware`.

use crate::firmware::{HubAddress, Wishes};
use capteur_protocol::{
    Mac, Name,
    config::{BoardName, Calibration, Interval, Polarity, Ssid},
};
use clap::{Args, Subcommand};
use std::{path::PathBuf, str::FromStr};

/// Arguments of `capteur flash`.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct FlashArguments {
    /// The serial port of the board; by default the only one on USB that a board may be on.
    #[arg(long, value_name = "PORT")]
    pub port: Option<PathBuf>,
    /// Do not touch the lines that reset a board: you hold BOOT and press RESET yourself, before and
    /// after.
    #[arg(long)]
    pub no_reset: bool,
    /// How fast to write, in bits a second; 115200 works with every cable.
    #[arg(long, value_name = "BAUD", default_value_t = 460_800, value_parser = baud)]
    pub baud: u32,
    /// The chip, such as esp32c3. Only needed where there is no board to ask.
    #[arg(long, value_name = "CHIP", value_parser = chip)]
    pub chip: Option<String>,
    /// The kind of board, which says where its pins are: see `capteur firmware list`.
    #[arg(long, value_name = "BOARD", value_parser = text::<BoardName>)]
    pub board: Option<BoardName>,

    /// The Wi-Fi that the board joins (2.4 GHz).
    #[arg(long, value_name = "NAME", env = "CAPTEUR_WIFI", value_parser = text::<Ssid>)]
    pub wifi: Option<Ssid>,
    /// Read the Wi-Fi's password from FILE; - is the standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "wifi_open")]
    pub wifi_password_file: Option<PathBuf>,
    /// The Wi-Fi has no password.
    #[arg(long)]
    pub wifi_open: bool,
    /// Where the board looks for its hub: a name or an IPv4 address [default: the
    /// `name` of `[mdns]`, so capteur.local].
    #[arg(long, value_name = "HOST[:PORT]")]
    pub hub: Option<HubAddress>,
    /// The name that the board would like to be given.
    #[arg(long, value_name = "NAME", value_parser = text::<Name>)]
    pub name: Option<Name>,
    /// Seconds between two light readings (0.1 to 3600).
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    pub interval: Option<Interval>,
    /// The level of its pin at which the LED shines: high or low.
    #[arg(long, value_name = "LEVEL", value_parser = polarity)]
    pub led: Option<Polarity>,
    /// The level of its pin while the button is pressed: high or low.
    #[arg(long, value_name = "LEVEL", value_parser = polarity)]
    pub button: Option<Polarity>,
    /// What the photoresistor's pin gives in the dark and in bright light, in millivolts.
    #[arg(long, value_name = "DARK:BRIGHT", value_parser = calibration)]
    pub calibration: Option<Calibration>,
    /// Forget the settings that the board has.
    #[arg(long)]
    pub forget: bool,

    /// Write nothing: put the files into a folder, and say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Where the files of a dry run go.
    #[arg(long, value_name = "FOLDER", default_value = ".", requires = "dry_run")]
    pub output: PathBuf,
    /// The MAC of the board that a dry run is for: its key depends on it.
    #[arg(long, value_name = "MAC", requires = "dry_run", conflicts_with = "port")]
    pub mac: Option<Mac>,
    /// Do not wait for the board to come online.
    #[arg(long)]
    pub no_wait: bool,
    /// The folder with the images, in the place of `path` of `[firmware]`.
    #[arg(long, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
    /// Read the settings from FILE in the place of /etc/capteur/config.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl FlashArguments {
    /// What is wanted of the board's settings, but for the Wi-Fi, whose password is not an argument.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            wifi: None,
            hub: self.hub.clone(),
            name: self.name.clone(),
            interval: self.interval,
            board: self.board.clone(),
            led: self.led,
            button: self.button,
            calibration: self.calibration,
        }
    }
}

/// `capteur firmware …`.
#[derive(Debug, Subcommand)]
pub enum FirmwareCommand {
    /// List the images that `capteur flash` can write, and check that they are whole.
    ///
    /// The kind of board with a star is the one that a board is taken for unless --board says
    /// otherwise. Exit status 1 where an image is not whole.
    List {
        /// The folder with the images, in the place of `path` of `[firmware]`.
        #[arg(long, value_name = "FOLDER")]
        images: Option<PathBuf>,
        /// Read the settings from FILE in the place of /etc/capteur/config.toml.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

fn text<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn baud(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(baud) if (9_600..=3_000_000).contains(&baud) => Ok(baud),
        _ => Err("not a whole number from 9600 to 3000000".to_owned()),
    }
}

/// Whatever people write: ESP32-C3 is esp32c3.
fn chip(text: &str) -> Result<String, String> {
    let chip = text.to_ascii_lowercase().replace('-', "");
    if chip.starts_with("esp") { Ok(chip) } else { Err("not a chip, such as esp32c3".to_owned()) }
}

fn interval(text: &str) -> Result<Interval, String> {
    let refused = || "not a number of seconds from 0.1 to 3600".to_owned();
    let seconds: f64 = text.parse().map_err(|_| refused())?;
    if !(0.1..=3600.0).contains(&seconds) {
        return Err(refused());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 100 and 3,600,000"
    )]
    let millis = (seconds * 1000.0).round() as u32;
    Interval::from_millis(millis).map_err(|_| refused())
}

fn polarity(text: &str) -> Result<Polarity, String> {
    match text {
        "high" => Ok(Polarity::ActiveHigh),
        "low" => Ok(Polarity::ActiveLow),
        _ => Err("neither high nor low".to_owned()),
    }
}

fn calibration(text: &str) -> Result<Calibration, String> {
    let levels = text
        .split_once(':')
        .and_then(|(dark, bright)| Calibration::new(dark.parse().ok()?, bright.parse().ok()?).ok());
    levels.ok_or_else(|| "not two different numbers of millivolts, such as 3100:150".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::{Arguments, Command};
    use clap::Parser;

    fn parse(arguments: &str) -> Result<FlashArguments, String> {
        let words = ["capteur", "flash"].into_iter().chain(arguments.split_whitespace());
        match Arguments::try_parse_from(words).map_err(|refused| refused.to_string())?.command {
            Command::Flash(flash) => Ok(*flash),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wishes_come_from_the_command_line() {
        let wishes = parse(
            "--hub 192.168.1.5:1884 --name kitchen --interval 0.25 --board xiao-esp32c3 --led low \
             --button high --calibration 3100:150",
        )
        .unwrap()
        .wishes();
        assert_eq!(wishes.hub.unwrap().to_string(), "192.168.1.5:1884");
        assert_eq!(wishes.name.unwrap().as_str(), "kitchen");
        assert_eq!(wishes.interval.unwrap().as_millis(), 250);
        assert_eq!(wishes.board.unwrap().as_str(), "xiao-esp32c3");
        assert_eq!(wishes.led, Some(Polarity::ActiveLow));
        assert_eq!(wishes.button, Some(Polarity::ActiveHigh));
        assert_eq!(wishes.calibration, Calibration::new(3100, 150).ok());
        assert_eq!(parse("").unwrap().wishes(), Wishes::default());
    }

    #[test]
    fn a_bad_value_is_refused_with_its_option() {
        for (option, value) in [
            ("--wifi", "a-name-that-is-longer-than-32-bytes"),
            ("--hub", "::1"),
            ("--name", "a;b"),
            ("--interval", "0.01"),
            ("--interval", "nan"),
            ("--board", "XIAO"),
            ("--led", "on"),
            ("--button", "1"),
            ("--calibration", "100:100"),
            ("--calibration", "100"),
            ("--chip", "z80"),
            ("--baud", "300"),
        ] {
            let said = parse(&format!("{option} {value}")).unwrap_err();
            assert!(said.contains(option) && said.contains(value), "{said}");
        }
        let said = parse("--dry-run --mac 61:EC").unwrap_err();
        assert!(said.contains("--mac"), "{said}");
    }

    #[test]
    fn a_chip_may_be_written_as_people_write_it() {
        for text in ["esp32c3", "ESP32-C3", "esp32-c3"] {
            assert_eq!(chip(text).as_deref(), Ok("esp32c3"));
        }
    }

    #[test]
    fn files_and_a_mac_are_for_dry_runs() {
        for arguments in ["--output /tmp", "--mac 61:EC:ED:3B:25:B1"] {
            assert!(parse(arguments).unwrap_err().contains("--dry-run"));
            assert!(parse(&format!("{arguments} --dry-run")).is_ok());
        }
    }
}
