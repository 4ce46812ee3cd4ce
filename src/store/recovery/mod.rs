//! The ladder from opening to a running store, whatever the files are like.
//!
//! 1. The folder is locked, and a swap of databases that was interrupted is finished.
//! 2. `FORMAT` says whether this version may touch the database at all.
//! 3. What can be put right in sled's files is put right (see [`sanitise`]), and what sled would
//!    destroy is copied ([`tail`]).
//! 4. sled opens them, and what the hub needs to know is read; a panic counts as an error.
//! 5. Where that fails for damage, all whole values are searched for in the files, byte by byte
//!    ([`carve`]), and in the newest backup; where that is not whole, in older ones too. A
//!    consistent choice of them ([`cover`], [`rebuild`]) becomes a new database, and the damaged
//!    one is set aside with a report, `RECOVERY.json`. It is never deleted.
//! 6. The new database is opened. Where nothing was found, it is an empty one.
//!
//! sled's snapshots are a shortcut only, and dropping them would often make a damaged database
//! open: with holes, and without a word. So a whole snapshot stays, and step 5 follows step 4.
//!
//! A database that opens may meet the damage later, in a query. Then [`watched`] leaves a note in
//! its folder, `REPAIR`, that sends the next opening to step 5.
//!
//! # What comes of what
//!
//! | damage | outcome |
//! | --- | --- |
//! | `snap.*` missing, half or flipped, `snap.*.generating` left over | opens, nothing lost |
//! | `conf` half, flipped or missing | opens, nothing lost |
//! | `LOCK` missing | opens, nothing lost |
//! | `FORMAT` missing or unreadable | recovered, nothing lost |
//! | `CLOSED` missing or unreadable | opens, nothing lost |
//! | `FORMAT` of another engine or a newer schema | refused, nothing touched |
//! | `db` with flipped bits or zeros, cut, or overwritten | opens where only what is no longer in use is damaged; else recovered: what was whole, and the rest from the backup |
//! | the last few KiB of the `db` of a hub that was killed, or any of its end cut off | opens as after a power cut, without the newest commits: nothing tells the two apart |
//! | `db` missing or empty, or the whole folder `sled` | recovered from the newest backup; without one, empty |
//! | a backup cut or damaged | its whole values are used, and those of the next older one |
//! | no room for the new database | refused, nothing touched; so are a folder that can't be written and one in use |
//! | the medium can't read a sector | as if there were zeros |
//!
//! What a recovery can't know: values that were deleted by retention may come back until it deletes
//! them again, and so may a device that was removed, if its tombstone is lost. Readings that left no
//! trace are not counted as lost; the report has the time of the newest that is there.
//!
//! # Layout
//!
//! - `tail`: what sled would cut off the log
//! - `carve`: whole values in damaged files
//! - `inventory`: the newest of each
//! - `cover`: which readings are in which chunks
//! - `rebuild`, `sums`: the new database
//! - `report`: what was done and lost

mod carve;
mod cover;
mod inventory;
mod rebuild;
mod report;
mod sums;
mod tail;
#[cfg(test)]
mod tests;

pub use report::Recovery;
pub(super) use tail::closed;

use super::{
    backup,
    builder::{Builder, Lineage},
    engine::{self, Engine, Medium},
    envelope,
    error::StoreError,
    folder::{self, Folder, Purpose},
    format::{self, Found},
    key,
    record::{self, SeriesRecord},
    sanitise,
};
use crate::model::Timestamp;
use carve::Sources;
use inventory::Inventory;
use report::Findings;
use rustix::io::Errno;
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The note in the folder of a database that it is to be rebuilt.
const REPAIR: &str = "REPAIR";
/// What the names of backups end with.
const BACKUP: &str = "capteur";
/// How many times what its values take a new database may take on the medium while it is built.
const GROWTH: u64 = 3;
/// What a new database takes at least, in bytes.
const ROOM_MIN: u64 = 8 << 20;

/// An open store.
#[derive(Debug)]
pub(super) struct Opened<T> {
    pub(super) engine: Arc<Engine>,
    /// What was read from it.
    pub(super) content: T,
    /// The latest recovery whose damaged database is still there.
    pub(super) recovery: Option<Recovery>,
    /// Whether that was just now.
    pub(super) recovered: bool,
}

/// Opens the database of the store in the folder `path`, creating it where there is none, and has
/// `read` read what it needs to; where either fails for damage, the store is recovered and both
/// are done once more. Blocks.
///
/// # Errors
///
/// [`StoreError::Locked`], [`StoreError::Format`], [`StoreError::NoRoom`] and [`StoreError::Io`],
/// none of which a recovery could help; [`StoreError::Damaged`] if even the new database fails.
pub(super) fn open<T>(
    path: &Path,
    reclaim_interval: Duration,
    now: Timestamp,
    read: impl FnMut(&Arc<Engine>) -> Result<T, StoreError>,
) -> Result<Opened<T>, StoreError> {
    let folder = Arc::new(Folder::lock(path)?);
    folder.finish_swap()?;
    open_in(&folder, reclaim_interval, now, read)
}

/// As [`open`], in a folder that is locked already.
pub(super) fn open_in<T>(
    folder: &Arc<Folder>,
    reclaim_interval: Duration,
    now: Timestamp,
    mut read: impl FnMut(&Arc<Engine>) -> Result<T, StoreError>,
) -> Result<Opened<T>, StoreError> {
    let mut recovered = false;
    let (engine, content) = match attempt(folder, reclaim_interval, &mut read) {
        Err(error) if is_damage(&error) => {
            recover(folder, &reason(&error), now)?;
            recovered = true;
            attempt(folder, reclaim_interval, &mut read)?
        }
        opened => opened?,
    };
    Ok(Opened { engine, content, recovery: Recovery::last(folder.path()), recovered })
}

/// Has the database in this folder rebuilt when it is opened next.
///
/// # Errors
///
/// [`StoreError::Io`] where the system refuses.
pub(super) fn request(database: &Path, reason: &str) -> Result<(), StoreError> {
    let path = database.join(REPAIR);
    let mut file = File::create(&path).map_err(StoreError::io(&path))?;
    file.write_all(reason.as_bytes()).map_err(StoreError::io(&path))?;
    file.sync_all().map_err(StoreError::io(&path))?;
    folder::sync(database)
}

/// Runs what may meet a damaged log, while the store is in use: a panic becomes an error, and
/// where it is damage, the database is rebuilt when it is opened next.
pub(super) fn watched<T>(
    database: &Path,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let result = engine::caught(database, run);
    if let Err(error) = &result
        && is_damage(error)
    {
        tracing::error!("the store is rebuilt at the next start: {error}");
        if let Err(error) = request(database, &reason(error)) {
            tracing::error!("that can't be noted: {error}");
        }
    }
    result
}

/// Steps 2 to 4.
fn attempt<T>(
    folder: &Arc<Folder>,
    reclaim_interval: Duration,
    read: &mut impl FnMut(&Arc<Engine>) -> Result<T, StoreError>,
) -> Result<(Arc<Engine>, T), StoreError> {
    let database = folder.database();
    if !has_files(database)? {
        if was_there(folder)? {
            return Err(damaged(database, "it is missing"));
        }
        create(folder)?;
    }
    let format = format::check(database)?;
    if let Found::Nothing(why) = &format {
        return Err(damaged(database, why));
    }
    let repair = database.join(REPAIR);
    match fs::read(&repair) {
        Ok(why) => return Err(damaged(database, &String::from_utf8_lossy(&why))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io(&repair)(error)),
    }
    let db = database.join("db");
    match fs::metadata(&db) {
        Ok(data) if data.len() > 0 => {}
        // sled would begin anew.
        Ok(_) => return Err(damaged(database, "the file db is empty")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(database, "the file db is missing"));
        }
        Err(error) => return Err(StoreError::io(&db)(error)),
    }
    sanitise::sanitise(database)?;
    if let Some(why) = tail::reopened(database)? {
        return Err(damaged(database, &why));
    }
    tail::save(database)?;
    let engine = Arc::new(Engine::open(Arc::clone(folder), reclaim_interval)?);
    let content = engine::caught(database, || {
        let last_frame = check_frames(&engine)?;
        if let Some(why) = tail::check(database, last_frame)? {
            return Err(damaged(database, &why));
        }
        if engine.get(&key::lineage())?.is_none() {
            let (key, value) = record::lineage(super::builder::draw()?)?;
            engine.apply(vec![(key, Some(value))])?;
        }
        read(&engine)
    })?;
    if format == Found::Older {
        format::write(database)?;
    }
    Ok((engine, content))
}

/// Looks for a frame that is missing between two that are there, since they are dropped from the
/// front only; returns the last that there ever was.
fn check_frames(engine: &Engine) -> Result<u64, StoreError> {
    let mut before = None;
    let mut missing = 0;
    engine.scan(&[key::FRAME], &[key::FRAME + 1], |key, _| {
        let sequence = key::sequence_of(key);
        if let (Some(before), Some(sequence)) = (before, sequence) {
            missing += sequence.saturating_sub(before).saturating_sub(1);
        }
        before = sequence.or(before);
        true
    })?;
    if missing > 0 {
        return Err(damaged(engine.path(), &format!("{missing} of its frames are missing")));
    }
    let mut last = before.unwrap_or(0);
    engine.scan(&[key::SERIES], &[key::SERIES + 1], |key, value| {
        let sealed = record::open::<SeriesRecord>(key, value).map_or(0, |record| record.sealed);
        last = last.max(sealed);
        true
    })?;
    Ok(last)
}

/// Whether a folder has any file that a store which was only just begun would not have.
fn has_files(database: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(database) {
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(database)(error)),
    }
}

/// Whether the folder of the store shows that there was a database once.
fn was_there(folder: &Folder) -> Result<bool, StoreError> {
    let path = folder.path();
    let set_aside = fs::read_dir(path).map_err(StoreError::io(path))?.any(|entry| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(folder::DAMAGED) || name.starts_with(folder::REPLACED)
        })
    });
    Ok(set_aside || !backups(folder)?.is_empty())
}

/// Begins a new store.
fn create(folder: &Folder) -> Result<(), StoreError> {
    let database = folder.database();
    if folder::exists(database)? {
        // It is empty, and a rename does not replace it everywhere.
        fs::remove_dir(database).map_err(StoreError::io(database))?;
    }
    Builder::start(folder, Lineage::New)?.finish()?.swap(database)
}

/// The backups beside the database, newest first.
fn backups(folder: &Folder) -> Result<Vec<PathBuf>, StoreError> {
    let mut backups = carve::files(&folder.backups())?;
    backups.retain(|path| path.extension() == Some(OsStr::new(BACKUP)));
    // Their names end with their times.
    let time = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        name.rsplit('-').next().unwrap_or_default().to_owned()
    };
    backups.sort_by_cached_key(time);
    backups.reverse();
    Ok(backups)
}

/// Step 5.
fn recover(folder: &Folder, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    let database = folder.database();
    tracing::error!(path = %database.display(), "the store is damaged and is being recovered: {reason}");
    if !folder::exists(database)? {
        fs::create_dir(database).map_err(StoreError::io(database))?;
    }
    // Whatever happens from here on, sled doesn't touch it again.
    request(database, reason)?;
    let mut inventory = Inventory::default();
    let mut sources = Sources::default();
    let mut files = carve::files(&database.join("blobs"))?;
    files.extend(tail::saved(database)?);
    files.extend(Some(database.join("db")).filter(|path| path.is_file()));
    for path in files {
        sources.search(&path, |place, value| inventory.add(place, value))?;
    }
    let backup = add_backups(folder, &mut inventory, &mut sources)?;
    let needed = inventory.bytes().saturating_mul(GROWTH).saturating_add(ROOM_MIN);
    let free = folder.free_bytes()?;
    if free < needed {
        return Err(StoreError::NoRoom { path: folder.path().to_owned(), needed, free });
    }
    let mut builder = Builder::start(folder, Lineage::Kept)?;
    let mut findings = Findings::default();
    rebuild::write(inventory, &sources, &mut builder, &mut findings)?;
    let built = builder.finish()?;
    let aside = folder.place_aside(Purpose::Damaged, now)?;
    let report = findings.report(now, reason.to_owned(), &aside, backup);
    report.write(database)?;
    built.swap(&aside)?;
    tracing::error!("{report}");
    Ok(())
}

/// Adds what the newest backup has, and older ones where that is not whole; returns the name of
/// the newest.
fn add_backups(
    folder: &Folder,
    inventory: &mut Inventory,
    sources: &mut Sources,
) -> Result<Option<String>, StoreError> {
    let mut newest = None;
    for path in backups(folder)? {
        let mut lineage = None;
        let lineage_key = key::lineage();
        Sources::default().search(&path, |_, value| {
            if envelope::parse(value).is_ok_and(|(key, ..)| key == lineage_key) {
                lineage = record::open::<u128>(&lineage_key, value).ok();
            }
        })?;
        if inventory.lineage.is_some() && inventory.lineage != lineage {
            tracing::warn!(path = %path.display(), "a backup of another store is not used");
            continue;
        }
        let found = sources.search(&path, |place, value| inventory.add(place, value))?;
        if found.values > 0 && newest.is_none() {
            newest = path.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        match backup::file::check_file(&path) {
            Ok(_) => break,
            Err(error) => tracing::warn!("a backup is not whole: {error}"),
        }
    }
    Ok(newest)
}

fn damaged(database: &Path, detail: &str) -> StoreError {
    StoreError::Damaged { path: database.to_owned(), detail: detail.to_owned() }
}

/// What was found, for the report, which says where by itself.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Damaged { detail, .. } => detail.clone(),
        error => error.to_string(),
    }
}

/// Whether a recovery may help: the files are not what they were, or the medium can't read them.
/// It can't where the system refuses, for rights, room or its own limits.
fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged { .. } => true,
        StoreError::Io { source, .. } => {
            match source.raw_os_error().map(Errno::from_raw_os_error) {
                // The medium, or a file of sled that is missing or is something else.
                Some(error) => {
                    [Errno::IO, Errno::NOENT, Errno::ISDIR, Errno::NOTDIR].contains(&error)
                }
                // Of sled itself, or a file that is too short.
                None => matches!(
                    source.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::Other
                ),
            }
        }
        _ => false,
    }
}
