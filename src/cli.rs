//! The commands, their arguments and their exit statuses.
//!
//! # Layout
//!
//! - [`arguments`]: what can be said on the command line
//! - `serve`: the hub under a service manager
//! - `demo`: the hub with simulated boards, for the first minute
//! - `backup`: the whole store to and from one file, and compacting it
//! - `export`: readings as a table
//! - `flash`: firmware and settings into a board on USB
//! - `firmware`: the images that there are for boards
//! - `source`, `remote`: the store's content, from itself or from the hub that has it open
//! - `owner`: whose the files of a store are
//! - `logging`: what is logged, and where to

pub mod arguments;
mod backup;
mod demo;
mod export;
mod firmware;
mod flash;
mod logging;
mod owner;
mod remote;
mod serve;
mod source;

use crate::{
    config::{LogLevel, Settings, SettingsError},
    hub::HubError,
    model::{DeviceKey, MasterKey},
    simulate::{self, Options},
    store::{StoreError, backup::BackupError, offline::OfflineError},
};
use arguments::{Arguments, Command, ConfigCommand, SimulateArguments, flash::FirmwareCommand};
use clap::Parser;
use flash::FlashError;
use remote::RemoteError;
use std::{
    ffi::OsString,
    future::Future,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Bad arguments or settings: `EX_USAGE` of `sysexits.h`.
const EXIT_USAGE: u8 = 64;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Flash(#[from] FlashError),
    #[error(
        "a hub runs on the store in {path}: stop it first (systemctl stop capteur), and start it \
         again afterwards"
    )]
    HubRuns { path: PathBuf },
    #[error(
        "there is no store in {path}: name it by the setting `store.path`, or by STATE_DIRECTORY \
         (that of the service is in /var/lib/capteur)"
    )]
    NoStore { path: PathBuf },
    #[error("no device is called {0}")]
    UnknownDevice(DeviceKey),
    #[error("--from is later than --to")]
    TimesReversed,
    #[error("--name is given {names} times, for {devices} boards (--devices)")]
    TooManyNames { names: usize, devices: usize },
    #[error("interrupted")]
    Interrupted,
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
}

impl CliError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) | Self::TimesReversed | Self::TooManyNames { .. } => {
                ExitCode::from(EXIT_USAGE)
            }
            Self::Flash(error) if error.is_usage() => ExitCode::from(EXIT_USAGE),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Runs the command that the arguments name. Exit status: 0, 64 for bad arguments or settings, 1
/// for anything else.
#[expect(clippy::print_stderr, reason = "the command's own messages")]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(refused) => {
            // Help and version are refusals too, on the standard output. Nothing is left to be done
            // where that is closed.
            let _ = refused.print();
            return if refused.use_stderr() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match dispatch(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capteur: {error}");
            error.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve(arguments) => {
            let settings = load(arguments.config.as_deref())?;
            logging::start(settings.log.level);
            raise_file_limit();
            block_on(async { serve::run(settings, arguments.addresses_file, stop_signal()?).await })
        }
        Command::Demo(arguments) => {
            raise_file_limit();
            block_on(async { demo::run(arguments, stop_signal()?).await })
        }
        Command::Simulate(arguments) => {
            logging::start(LogLevel::Info);
            raise_file_limit();
            block_on(async { simulate_boards(arguments, stop_signal()?).await })
        }
        Command::Backup(arguments) if arguments.verify => backup::verify(&arguments.file),
        Command::Backup(arguments) => {
            let settings = load(arguments.config.as_deref())?;
            logging::start(LogLevel::Warn);
            block_on(async { backup::save(settings, arguments, stop_signal()?).await })
        }
        Command::Restore(arguments) => {
            let settings = load(arguments.config.as_deref())?;
            logging::start(LogLevel::Warn);
            backup::restore(&settings, &arguments)
        }
        Command::Compact { config } => {
            let settings = load(config.as_deref())?;
            logging::start(LogLevel::Warn);
            backup::compact(&settings)
        }
        Command::Export(arguments) => {
            let settings = load(arguments.config.as_deref())?;
            logging::start(LogLevel::Warn);
            block_on(async { export::run(settings, arguments, stop_signal()?).await })
        }
        Command::Flash(arguments) => {
            let settings = load(arguments.config.as_deref())?;
            logging::start(LogLevel::Warn);
            flash::run(&settings, &arguments)
        }
        Command::Firmware(FirmwareCommand::List { images, config }) => {
            firmware::list(&load(config.as_deref())?, images.as_deref())
        }
        Command::Config(ConfigCommand::Check { config }) => {
            load(config.as_deref())?;
            Ok(())
        }
        Command::Config(ConfigCommand::Print { config }) => {
            let settings = load(config.as_deref())?;
            print(&settings.to_toml())
        }
    }
}

fn load(file: Option<&Path>) -> Result<Settings, SettingsError> {
    // A variable that is not Unicode can't be one of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Settings::load(file, environment)
}

async fn simulate_boards(
    arguments: SimulateArguments,
    stop: impl Future<Output = ()>,
) -> Result<(), CliError> {
    let (names, devices) = (arguments.names, arguments.devices);
    if names.len() > devices {
        return Err(CliError::TooManyNames { names: names.len(), devices });
    }
    let mut options = Options::new(arguments.broker, devices);
    options.names = names;
    options.interval = arguments.interval;
    options.seed = arguments.seed;
    options.device_key = MasterKey::new(&arguments.device_key);
    options.cut_every = arguments.flaky.then_some(Options::FLAKY);
    if arguments.at_once {
        options.power_on = Duration::ZERO;
    }
    simulate::run(options, stop).await.map_err(CliError::io("can't run the boards"))
}

/// Writes to the standard output, which may be closed or full.
fn print(text: &str) -> Result<(), CliError> {
    use std::io::Write;
    io::stdout().write_all(text.as_bytes()).map_err(CliError::io("can't write"))
}

/// Writes to the standard error.
#[expect(clippy::print_stderr, reason = "the command's own messages")]
fn print_error(text: &str) {
    eprint!("{text}");
}

fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::io("can't start the runtime"))?
        .block_on(work)
}

/// Lets this process open as many files as the system permits: each board is a socket, and most
/// shells begin with 1,024.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("can't raise the limit of open files: {error}");
    }
}

/// Listens for Ctrl-C and SIGTERM from now on: before anybody can know that we are there. The
/// future ends at the first.
fn stop_signal() -> Result<impl Future<Output = ()> + Send, CliError> {
    let listen = |kind| signal(kind).map_err(CliError::io("can't listen for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
