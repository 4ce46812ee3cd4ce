//! `capteur export`: readings as a table.

use super::{CliError, arguments::ExportArguments, owner, remote::Download, source::Source};
use crate::{
    config::Settings,
    export::{Export, Selection, Subject},
    model::{DeviceKey, Timestamp},
};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    fs::{self, File},
    future::Future,
    io::{self, Write},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

pub(super) async fn run(
    settings: Settings,
    arguments: ExportArguments,
    stop: impl Future<Output = ()>,
) -> Result<(), CliError> {
    if arguments.from.zip(arguments.to).is_some_and(|(from, to)| from > to) {
        return Err(CliError::TimesReversed);
    }
    let mut output = Output::open(arguments.output.clone())?;
    match Source::open(&settings).await? {
        Source::Hub(address) => {
            let mut download = Download::start(address, &path(&arguments)).await?;
            let written = async {
                while let Some(piece) = download.next().await {
                    output.write(&piece?)?;
                }
                Ok(())
            };
            until(stop, written).await?;
        }
        Source::Store(store, devices) => {
            let subjects = devices.iter().map(Subject::from);
            let subjects: Vec<_> = match &arguments.device {
                Some(key) => subjects.filter(|subject| subject.is(key)).collect(),
                None => subjects.collect(),
            };
            let known = arguments.device.filter(|_| subjects.is_empty());
            let selection = Selection {
                from: arguments.from.unwrap_or(Timestamp::MIN),
                to: arguments.to.unwrap_or(Timestamp::MAX),
                channel: arguments.channel,
                format: arguments.format,
            };
            let mut export = Export::new(store.clone(), subjects, selection);
            let written = async {
                if let Some(key) = known {
                    return Err(CliError::UnknownDevice(key));
                }
                while let Some(piece) = export.next().await {
                    output.write(&piece?)?;
                }
                Ok(())
            };
            let written = until(stop, written).await;
            let closed = store.close().await;
            owner::hand_over(&settings.store.path);
            written?;
            closed?;
        }
    }
    output.finish()
}

async fn until(
    stop: impl Future<Output = ()>,
    written: impl Future<Output = Result<(), CliError>>,
) -> Result<(), CliError> {
    tokio::select! {
        written = written => written,
        () = stop => Err(CliError::Interrupted),
    }
}

/// The call of the API that exports the same.
fn path(arguments: &ExportArguments) -> String {
    let ExportArguments { from, to, channel, device, format, .. } = arguments;
    let mut path = format!("/api/v1/export?format={format}");
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            path.extend(["&", name, "="]);
            path.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
        }
    };
    add("from", from.map(|at| at.millis().to_string()));
    add("to", to.map(|at| at.millis().to_string()));
    add("channel", channel.map(|channel| channel.to_string()));
    add("device", device.as_ref().map(DeviceKey::to_string));
    path
}

/// Where the table goes: a file is there as a whole or not at all.
enum Output {
    Stdout(io::Stdout),
    /// A pipe or a device, which can't be replaced as a whole.
    Device(File, PathBuf),
    File(NamedTempFile, PathBuf),
}

impl Output {
    fn open(path: Option<PathBuf>) -> Result<Self, CliError> {
        let Some(path) = path.filter(|path| path != Path::new("-")) else {
            return Ok(Self::Stdout(io::stdout()));
        };
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            let device = File::options().write(true).open(&path).map_err(cant_write(&path))?;
            return Ok(Self::Device(device, path));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        Ok(Self::File(file.map_err(cant_write(&path))?, path))
    }

    fn write(&mut self, piece: &Bytes) -> Result<(), CliError> {
        match self {
            Self::Stdout(out) => out.write_all(piece).map_err(CliError::io("can't write")),
            Self::Device(device, path) => device.write_all(piece).map_err(cant_write(path)),
            Self::File(file, path) => file.write_all(piece).map_err(cant_write(path)),
        }
    }

    fn finish(self) -> Result<(), CliError> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(CliError::io("can't write")),
            Self::Device(mut device, path) => device.flush().map_err(cant_write(&path)),
            Self::File(file, path) => {
                file.as_file().sync_all().map_err(cant_write(&path))?;
                file.persist(&path).map_err(|error| cant_write(&path)(error.error))?;
                Ok(())
            }
        }
    }
}

fn cant_write(path: &Path) -> impl FnOnce(io::Error) -> CliError + use<> {
    CliError::io(format!("can't write {}", path.display()))
}
