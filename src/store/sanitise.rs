//! What has to be put right in sled's files before sled 0.34.7 may open them.
//!
//! sled writes `snap.<lsn>.generating` and renames it, but takes the half file of a power cut for
//! the newest snapshot at the next open, and refuses the database for ever (sled issues 1527 and
//! 1533). A snapshot is a shortcut only: without one, sled reads its log from the start. `conf`
//! is written without a sync, so that a power cut in the first seconds of a database may leave it
//! torn; but all of its content is constant.

use super::{error::StoreError, folder};
use std::{fs, io, path::Path};

/// What sled 0.34 writes into `conf` for the settings that [`engine`](super::engine) gives it,
/// without the checksum that follows.
const CONF: &str = "segment_size: 524288\nuse_compression: false\nversion: 0.34\n";

/// Puts right what can be put right in the folder of a database that no process has open.
pub(super) fn sanitise(database: &Path) -> Result<(), StoreError> {
    drop_bad_snapshots(database)?;
    rewrite_bad_conf(database)
}

fn drop_bad_snapshots(database: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(database).map_err(StoreError::io(database))? {
        let name = entry.map_err(StoreError::io(database))?.file_name();
        let text = name.to_string_lossy();
        if !text.starts_with("snap.") {
            continue;
        }
        let path = database.join(&name);
        let whole = !text.ends_with(".generating")
            && is_whole_snapshot(&fs::read(&path).map_err(StoreError::io(&path))?);
        if !whole {
            tracing::warn!(path = %path.display(), "dropping a snapshot that was not finished");
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
    }
    Ok(())
}

/// Whether a snapshot ends as sled ends it: length u64, then CRC-32 of what is before both.
fn is_whole_snapshot(bytes: &[u8]) -> bool {
    let Some((rest, checksum)) = bytes.split_last_chunk() else { return false };
    let Some((body, len)) = rest.split_last_chunk() else { return false };
    usize::try_from(u64::from_le_bytes(*len)) == Ok(body.len())
        && !body.is_empty()
        && crc32fast::hash(body) == u32::from_le_bytes(*checksum)
}

fn rewrite_bad_conf(database: &Path) -> Result<(), StoreError> {
    let path = database.join("conf");
    let found = match fs::read(&path) {
        Ok(found) => found,
        // sled writes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io(&path)(error)),
    };
    let whole = found.split_last_chunk().is_some_and(|(body, checksum)| {
        !body.is_empty() && crc32fast::hash(body) == u32::from_le_bytes(*checksum)
    });
    // A whole one with other settings is another version's: sled says so.
    if whole {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "rewriting sled's settings, which are damaged");
    let new = database.join("conf.new");
    fs::write(&new, conf()).map_err(StoreError::io(&new))?;
    folder::sync(&new)?;
    fs::rename(&new, &path).map_err(StoreError::io(&path))?;
    folder::sync(database)
}

/// `conf` as sled writes it.
fn conf() -> Vec<u8> {
    let checksum = crc32fast::hash(CONF.as_bytes()).to_le_bytes();
    [CONF.as_bytes(), &checksum].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_that_sled_wrote_are_kept_and_damaged_ones_dropped() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..2u8 {
            let db = sled::open(dir.path()).unwrap();
            db.insert([round], b"x").unwrap();
            db.flush().unwrap();
        }
        drop(sled::open(dir.path()).unwrap());
        let snapshots = || -> Vec<_> {
            fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap."))
                .collect()
        };
        let [good] = &snapshots()[..] else { panic!("{:?}", snapshots()) };
        let bytes = fs::read(good).unwrap();
        fs::write(dir.path().join("snap.FF.generating"), &bytes).unwrap();
        fs::write(dir.path().join("snap.FE"), &bytes[..bytes.len() / 2]).unwrap();
        fs::write(dir.path().join("snap.FD"), []).unwrap();
        fs::write(dir.path().join("snap.FC"), [0; 12]).unwrap();
        sanitise(dir.path()).unwrap();
        assert_eq!(&snapshots(), std::slice::from_ref(good));
    }

    #[test]
    fn a_damaged_conf_is_rewritten_to_the_byte() {
        let dir = tempfile::tempdir().unwrap();
        drop(sled::open(dir.path()).unwrap());
        let path = dir.path().join("conf");
        let good = fs::read(&path).unwrap();
        assert_eq!(conf(), good);
        let flipped = || {
            let mut bytes = good.clone();
            bytes[3] ^= 1;
            bytes
        };
        for bytes in [Vec::new(), vec![0; 4], vec![0; 100], good[..9].to_vec(), flipped()] {
            fs::write(&path, bytes).unwrap();
            sanitise(dir.path()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), good);
        }
    }

    #[test]
    fn a_whole_conf_with_other_settings_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let body = CONF.replace("0.34", "0.35");
        let other = [body.as_bytes(), &crc32fast::hash(body.as_bytes()).to_le_bytes()].concat();
        fs::write(dir.path().join("conf"), &other).unwrap();
        sanitise(dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("conf")).unwrap(), other);
    }
}
