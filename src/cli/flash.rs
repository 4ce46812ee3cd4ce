//! `capteur flash`: firmware and settings into a board on USB.
//!
//! # Layout
//!
//! - `wifi`: which network the board joins, and with what password
//! - `dry_run`: the same into files
//! - `arrival`: the board's coming online

mod arrival;
mod dry_run;
mod wifi;

use super::{CliError, arguments::flash::FlashArguments, block_on, print, print_error};
use crate::{
    config::Settings,
    firmware::{
        Board, BoardError, Link, Package, PackageError, Plan, PlanError, Port, PortError, Step,
    },
};
use arrival::Arrival;
use capteur_protocol::{
    Config, Mac,
    config::{DEFAULT_HOST, DEFAULT_PORT, PARTITION_LEN},
};
use std::{
    env,
    io::{self, IsTerminal as _},
};
use wifi::{Secret, Terminal, WifiError};

/// How much of a board's partition is read, in bytes: settings never take more.
#[expect(clippy::cast_possible_truncation, reason = "a sector of flash")]
const SETTINGS_LEN: u32 = PARTITION_LEN as u32;

/// Why a board was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlashError {
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("--chip: {0}")]
    UnknownChip(PackageError),
    #[error("--chip: the board is an {found}, not an {wanted}")]
    OtherChip { found: String, wanted: String },
    #[error("--board: no image knows the board {board}; known are {known}")]
    UnknownBoard { board: String, known: String },
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error(transparent)]
    Wifi(#[from] WifiError),
}

impl FlashError {
    /// Whether other arguments or settings would do.
    pub(super) fn is_usage(&self) -> bool {
        match self {
            Self::UnknownChip(_) | Self::OtherChip { .. } | Self::UnknownBoard { .. } => true,
            Self::Package(error) => matches!(error, PackageError::Missing { .. }),
            Self::Plan(error) => matches!(error, PlanError::Board { .. }),
            Self::Port(error) => matches!(error, PortError::Missing(_)),
            Self::Wifi(error) => error.is_usage(),
            Self::Board(_) => false,
        }
    }
}

/// `capteur flash`
pub(super) fn run(settings: &Settings, arguments: &FlashArguments) -> Result<(), CliError> {
    // Whatever can be wrong without a board is found before one is touched.
    let package = Package::find(arguments.images.as_deref(), &settings.firmware.path)
        .map_err(FlashError::from)?;
    if let Some(chip) = &arguments.chip {
        package.image(chip).map_err(FlashError::UnknownChip)?;
    }
    let secret = Secret::given(arguments, env::var_os(wifi::PASSWORD).as_deref())?;
    if arguments.dry_run && arguments.port.is_none() {
        return dry_run::without_board(settings, arguments, &package, secret);
    }

    let port = Port::find(arguments.port.as_deref()).map_err(FlashError::from)?;
    print_error(&format!("board on {port}\n"));
    let link = Link { reset: !arguments.no_reset, baud: arguments.baud };
    let mut board = Board::connect(&port, link).map_err(FlashError::from)?;
    let plan = match plan(settings, arguments, &package, &mut board, secret) {
        Ok(plan) if !arguments.dry_run => plan,
        planned => {
            let done = planned.map_err(CliError::from).and_then(|p| dry_run::write(&p, arguments));
            // The board goes on as it was; what went wrong before matters more.
            return done.and(board.release().map_err(FlashError::from).map_err(CliError::from));
        }
    };
    print(&plan.to_string())?;
    let arrival = if arguments.no_wait || !arrival::looks_here(plan.config(), settings) {
        None
    } else {
        block_on(async { Ok(Arrival::expect(settings, board.mac()).await) })?
    };
    write(&mut board, &plan, arguments.no_reset)?;
    match arrival {
        Some(arrival) => block_on(arrival.wait(plan.config())),
        None => print(&format!("It looks for its hub at {}.\n", address(plan.config()))),
    }
}

/// What is to be written into a board that answers.
fn plan<'a>(
    settings: &Settings,
    arguments: &FlashArguments,
    package: &'a Package,
    board: &mut Board,
    secret: Secret,
) -> Result<Plan<'a>, FlashError> {
    if let Some(wanted) = arguments.chip.as_ref().filter(|wanted| *wanted != board.chip()) {
        let (found, wanted) = (board.chip().to_owned(), wanted.clone());
        return Err(FlashError::OtherChip { found, wanted });
    }
    let image = package.image(board.chip())?;
    let bytes = package.read(image)?;
    image.fits(board.flash())?;
    let found = if arguments.forget {
        Config::default()
    } else {
        read(&board.read(image.config_offset, SETTINGS_LEN)?)
    };
    let mac = Some(board.mac());
    let config = config(settings, arguments, found, secret, mac)?;
    Ok(Plan::new(image, bytes, mac, config)?)
}

/// What the settings become of a board that has `found`, and this MAC where it is known.
fn config(
    settings: &Settings,
    arguments: &FlashArguments,
    found: Config,
    secret: Secret,
    mac: Option<Mac>,
) -> Result<Config, FlashError> {
    let mut wishes = arguments.wishes();
    wishes.wifi = wifi::choose(arguments.wifi.clone(), secret, &found, &mut Terminal)?;
    let usual = format!("{DEFAULT_HOST}:{DEFAULT_PORT}");
    if wishes.hub.is_none() && found.host.is_none() {
        // A board that is told nothing looks for the usual name and port, which this hub may not have.
        wishes.hub =
            local_hub(settings).filter(|hub| *hub != usual).and_then(|hub| hub.parse().ok());
    }
    let master = settings.mqtt.device_key.as_ref();
    Ok(wishes.over(found, master.zip(mac).map(|(master, mac)| master.board_key(mac))))
}

/// The name by which multicast DNS finds the hub of this machine, if it does.
fn local_name(settings: &Settings) -> Option<String> {
    let name = &settings.mdns.name;
    (!name.is_empty()).then(|| format!("{name}.local").to_ascii_lowercase())
}

/// Where multicast DNS finds the hub of this machine, if it does.
fn local_hub(settings: &Settings) -> Option<String> {
    let port = match settings.mqtt.listen.port() {
        0 => DEFAULT_PORT,
        port => port,
    };
    local_name(settings).map(|name| format!("{name}:{port}"))
}

/// The settings in what a board has in their place.
fn read(partition: &[u8]) -> Config {
    match Config::decode(partition) {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => {
            print_error(&format!("the board's settings are replaced: {error}\n"));
            Config::default()
        }
    }
}

/// Where a board with these settings looks for its hub.
fn address(config: &Config) -> String {
    format!("{}:{}", config.host(), config.port())
}

fn write(board: &mut Board, plan: &Plan<'_>, no_reset: bool) -> Result<(), CliError> {
    let terminal = io::stderr().is_terminal();
    let mut changed = false;
    let written = board.write(plan, &mut |step| {
        changed |= matches!(step, Step::Done { unchanged: false });
        if terminal {
            print_error(&progress(step));
        }
    });
    if terminal {
        print_error("\r\x1b[K");
    }
    written.map_err(FlashError::from)?;
    print(if changed { "Written and checked.\n" } else { "The board has all of it already.\n" })?;
    if no_reset { print("Press its RESET button now: it starts.\n") } else { Ok(()) }
}

/// A line that takes the place of the last one.
fn progress(step: Step) -> String {
    match step {
        Step::Writing { offset, done, total } => {
            format!("\r\x1b[Kwriting at {offset:#x}: {} %", done * 100 / total.max(1))
        }
        Step::Checking => "\r\x1b[Kchecking".to_owned(),
        Step::Done { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_line_that_is_written_over() {
        let writing = |done, total| progress(Step::Writing { offset: 0x10000, done, total });
        assert_eq!(writing(1, 3), "\r\x1b[Kwriting at 0x10000: 33 %");
        assert!(writing(0, 0).ends_with(" 0 %"));
        assert!(!progress(Step::Checking).contains('\n'));
    }

    #[test]
    fn a_board_is_told_name_and_port_of_a_hub_that_has_unusual_ones() {
        let arguments = FlashArguments::default();
        let told = |name: &str, port: u16, found: Option<&str>| {
            let mut settings = Settings::defaults().unwrap();
            settings.mdns.name = name.into();
            settings.mqtt.listen.set_port(port);
            let host = found.map(|host| host.parse().unwrap());
            let found = Config { ssid: "home".parse().ok(), host, ..Config::default() };
            let config = config(&settings, &arguments, found, Secret::Unsaid, None).unwrap();
            config.host.as_ref().map(|host| format!("{host}:{}", config.port()))
        };
        assert_eq!(told("capteur", 1883, None), None);
        assert_eq!(told("capteur", 0, None), None);
        assert_eq!(told("", 1884, None), None);
        assert_eq!(told("House", 1883, None).as_deref(), Some("house.local:1883"));
        assert_eq!(told("capteur", 1884, None).as_deref(), Some("capteur.local:1884"));
        assert_eq!(told("house", 1884, Some("192.0.2.1")).as_deref(), Some("192.0.2.1:1883"));
    }

    #[test]
    fn settings_that_can_not_be_read_are_none() {
        let config =
            Config { led: None, name: Some("kitchen".parse().unwrap()), ..Config::default() };
        let mut partition = config.encode().to_vec();
        assert_eq!(read(&partition), config);
        partition[12] ^= 1;
        assert_eq!(read(&partition), Config::default());
        assert_eq!(read(&[0xFF; 64]), Config::default());
    }
}
