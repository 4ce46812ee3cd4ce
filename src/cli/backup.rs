//! `capteur backup`, `capteur restore` and `capteur compact`: the whole store at once.

use super::{
    CliError,
    arguments::{BackupArguments, RestoreArguments},
    owner, print, print_error,
    remote::Download,
    source::{self, Pieces, Source},
};
use crate::{
    config::Settings,
    model::{Clock, SystemClock},
    store::{
        StoreError,
        backup::{self, BackupError, Checked, file},
        offline::{self, OfflineError, Restored},
    },
};
use std::{
    fmt::Write as _,
    future::Future,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use tokio::task;

/// Where a backup goes.
enum Target {
    /// To the standard output.
    Stdout,
    /// To a file, which may replace one of that name.
    File { path: PathBuf, replace: bool },
}

impl Target {
    /// Writes a backup and checks it.
    fn save(&self, source: impl Read) -> Result<Checked, BackupError> {
        match self {
            Self::File { path, replace } => file::save(source, path, *replace),
            Self::Stdout => {
                let out = io::stdout().lock();
                backup::check(Tee { source, out }, "what was written")
            }
        }
    }

    /// Says what was written, not in between.
    fn report(&self, checked: &Checked) -> Result<(), CliError> {
        match self {
            Self::File { path, .. } => print(&format!("{}: {}", path.display(), describe(checked))),
            Self::Stdout => {
                print_error(&describe(checked));
                Ok(())
            }
        }
    }
}

/// Passes on what is read.
struct Tee<R, W> {
    source: R,
    out: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.out.write_all(&buffer[..count])?;
        if count == 0 {
            self.out.flush()?;
        }
        Ok(count)
    }
}

/// `capteur backup --verify FILE`.
pub(super) fn verify(path: &Path) -> Result<(), CliError> {
    let checked = if path == Path::new("-") {
        backup::check(io::stdin().lock(), "the standard input")?
    } else {
        file::check_file(path)?
    };
    print(&format!("{}: {}", path.display(), describe(&checked)))
}

/// `capteur backup FILE`: of the store, or of the hub that has it open.
pub(super) async fn save(
    settings: Settings,
    arguments: BackupArguments,
    stop: impl Future<Output = ()>,
) -> Result<(), CliError> {
    let BackupArguments { file: path, force, .. } = arguments;
    let target = if path == Path::new("-") {
        Target::Stdout
    } else {
        // Before a copy of gigabytes.
        if !force && path.exists() {
            return Err(BackupError::Exists { name: path.display().to_string() }.into());
        }
        Target::File { path, replace: force }
    };
    let checked = match Source::open(&settings).await? {
        Source::Hub(address) => {
            let (pieces, fetch) = Pieces::of(Download::start(address, "/api/v1/backup").await?);
            let saved = task::spawn_blocking(move || (target.save(pieces), target));
            tokio::select! {
                // Where it ends here, the pieces end as well: what was written is not whole, and
                // goes.
                () = stop => return Err(CliError::Interrupted),
                (saved, ()) = async { tokio::join!(saved, fetch) } => saved,
            }
        }
        Source::Store(store, _) => {
            let backup = store.backup(SystemClock.now()).await?;
            let saved = task::spawn_blocking(move || (target.save(backup), target));
            let saved = tokio::select! {
                saved = saved => Some(saved),
                () = stop => None,
            };
            // Ends a copy that is under way.
            let closed = store.close().await;
            owner::hand_over(&settings.store.path);
            let saved = saved.ok_or(CliError::Interrupted)?;
            closed?;
            saved
        }
    };
    let (checked, target) =
        checked.map_err(|error| CliError::io("can't write the backup")(error.into()))?;
    target.report(&checked?)
}

/// `capteur restore FILE`.
pub(super) fn restore(settings: &Settings, arguments: &RestoreArguments) -> Result<(), CliError> {
    let path = &settings.store.path;
    let restored = offline::restore(path, &arguments.file, SystemClock.now());
    owner::hand_over(path);
    let Restored { backup, replaced } = restored.map_err(|error| offline_error(error, path))?;
    let mut text = format!("restored into {}: {}", path.display(), describe(&backup));
    // Writing to a string can't fail.
    let _ = match replaced {
        Some(old) => writeln!(
            text,
            "what was there before is in {}: delete it when you no longer need it",
            old.display()
        ),
        None => writeln!(text, "there was no store before"),
    };
    print(&text)
}

/// `capteur compact`.
pub(super) fn compact(settings: &Settings) -> Result<(), CliError> {
    let path = &settings.store.path;
    source::must_exist(path)?;
    let compacted = offline::compact(path, SystemClock.now());
    owner::hand_over(path);
    let done = compacted.map_err(|error| offline_error(error, path))?;
    let won = done.before.saturating_sub(done.after);
    let mut text = format!(
        "{} values; the database had {} bytes and has {}: {won} bytes won\n",
        done.values, done.before, done.after
    );
    if let Some(old) = done.kept {
        let _ = writeln!(
            text,
            "{} damaged values were left out; the old database is kept in {}",
            done.damaged,
            old.display()
        );
    }
    print(&text)
}

fn offline_error(error: OfflineError, path: &Path) -> CliError {
    match error {
        OfflineError::Store(StoreError::Locked { .. }) => {
            CliError::HubRuns { path: path.to_owned() }
        }
        error => error.into(),
    }
}

/// What a backup holds, for people.
fn describe(checked: &Checked) -> String {
    let Checked { header, holding, bytes } = checked;
    let mut text = format!(
        "{bytes} bytes, made {} by version {}\n{} devices, {} readings, {} lines of log\n",
        header.created, header.version, holding.devices, holding.readings, holding.log_lines
    );
    if let Some((first, last)) = holding.span {
        let _ = writeln!(text, "readings from {first} to {last}");
    }
    text
}
