//! Backups on a disk.

use super::{
    error::BackupError,
    reader::{Checked, check},
};
use crate::model::Timestamp;
use rustix::fs::{Advice, fadvise};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// What the names of backups end with.
const SUFFIX: &str = ".capteur";

/// What the names of files end with that are not finished.
const UNFINISHED: &str = ".part";

/// How many bytes are written before they are synced.
const SYNC_EVERY_BYTES: u64 = 8 << 20;

/// Checks the backup in a file.
///
/// # Errors
///
/// [`BackupError`], with the file and the place of the fault.
pub fn check_file(path: &Path) -> Result<Checked, BackupError> {
    let name = path.display();
    check(File::open(path).map_err(BackupError::io(&name))?, name.to_string())
}

/// Writes a backup to a file, reads it back from the medium and checks it: then it is there as a
/// whole, under its name, and survives a power cut; or it is not there. A file that has the name
/// already is replaced as a whole too, if `replace` says so.
///
/// # Errors
///
/// [`BackupError::Exists`]; [`BackupError::NoFile`] for a folder or a device; [`BackupError::Io`] for what `source` or the system refuses; and
/// whatever is found when it is checked.
pub fn save(mut source: impl Read, path: &Path, replace: bool) -> Result<Checked, BackupError> {
    let name = path.display();
    let exists = || BackupError::Exists { name: name.to_string() };
    match fs::metadata(path) {
        // A device, such as /dev/null, would be replaced by a file.
        Ok(there) if !there.is_file() => {
            return Err(BackupError::NoFile { name: name.to_string() });
        }
        Ok(_) if !replace => return Err(exists()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(BackupError::io(&name)(error)),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new()
        .prefix(".capteur-")
        .suffix(UNFINISHED)
        .tempfile_in(folder)
        .map_err(BackupError::io(&folder.display()))?;
    copy(&mut source, new.as_file_mut()).map_err(BackupError::io(&name))?;
    let checked = read_back(&new, path)?;
    if replace {
        new.persist(path).map_err(|error| BackupError::io(&name)(error.error))?;
    } else {
        new.persist_noclobber(path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists(),
            _ => BackupError::io(&name)(error.error),
        })?;
    }
    sync_folder(folder)?;
    Ok(checked)
}

/// Copies all, and has it on the medium bit by bit: one sync of it all would hold up the commits of
/// the hub for as long as that takes.
fn copy(source: &mut impl Read, file: &mut File) -> io::Result<()> {
    loop {
        let copied = io::copy(&mut source.by_ref().take(SYNC_EVERY_BYTES), file)?;
        if copied == 0 {
            return Ok(());
        }
        file.sync_data()?;
    }
}

/// Makes a file durable and checks it as the medium has it, not as memory does.
fn read_back(file: &NamedTempFile, path: &Path) -> Result<Checked, BackupError> {
    let name = path.display();
    file.as_file().sync_all().map_err(BackupError::io(&name))?;
    // A system that keeps it in memory all the same makes the check weaker, not wrong.
    let _ = fadvise(file.as_file(), 0, None, Advice::DontNeed);
    check(file.reopen().map_err(BackupError::io(&name))?, name.to_string())
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(BackupError::io(&folder.display()))
}

/// The name of a backup that was made at this time: it sorts and reads as the time does.
pub fn name(of: &str, created: Timestamp) -> String {
    format!("{of}-{}{SUFFIX}", stamp(created))
}

/// A time in a name: `20261122T140527Z`.
pub fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    let digits: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{digits}Z")
}

/// The time in a name that [`name`] has made.
pub fn time_of(of: &str, name: &str) -> Option<Timestamp> {
    let stamp = name.strip_prefix(of)?.strip_prefix('-')?.strip_suffix(SUFFIX)?;
    let field = |from, to| stamp.get(from..to);
    let (date, time) = (
        [field(0, 4)?, field(4, 6)?, field(6, 8)?].join("-"),
        [field(9, 11)?, field(11, 13)?, field(13, 15)?].join(":"),
    );
    let at: Timestamp = format!("{date}T{time}Z").parse().ok()?;
    (self::stamp(at) == stamp).then_some(at)
}

/// The backups in a folder with names that [`name`] has made, oldest first; none where there is no
/// such folder.
///
/// # Errors
///
/// [`BackupError::Io`].
pub fn list(folder: &Path, of: &str) -> Result<Vec<(Timestamp, PathBuf)>, BackupError> {
    let refused = || BackupError::io(&folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(refused())?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(refused())?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Some(at) = time_of(of, &name) {
            found.push((at, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Deletes a backup.
///
/// # Errors
///
/// [`BackupError::Io`].
pub fn delete(path: &Path) -> Result<(), BackupError> {
    fs::remove_file(path).map_err(BackupError::io(&path.display()))
}

/// Deletes what a backup that was cut off by a power cut has left in a folder of backups.
///
/// # Errors
///
/// [`BackupError::Io`].
pub fn sweep(folder: &Path) -> Result<(), BackupError> {
    let refused = || BackupError::io(&folder.display());
    for entry in fs::read_dir(folder).map_err(refused())? {
        let entry = entry.map_err(refused())?;
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(entry.path()).map_err(refused())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_tells_its_time_to_the_second(seconds in 0..253_402_300_799_i64) {
            let at = Timestamp::from_millis(seconds * 1000);
            let name = name("capteur", at);
            prop_assert_eq!(time_of("capteur", &name), Some(at));
            prop_assert_eq!(time_of("other", &name), None);
        }

        #[test]
        fn any_other_name_is_told_apart(text in "\\PC{0,40}") {
            if let Some(at) = time_of("capteur", &text) {
                prop_assert_eq!(name("capteur", at), text);
            }
        }
    }

    #[test]
    fn a_name_is_readable() {
        let at = "2026-11-22T14:05:27.999Z".parse().unwrap();
        assert_eq!(name("capteur", at), "capteur-20261122T140527Z.capteur");
        for other in
            ["capteur-20261322T140527Z.capteur", "capteur-20261122 140527Z.capteur", ".capteur"]
        {
            assert_eq!(time_of("capteur", other), None, "{other}");
        }
    }
}
