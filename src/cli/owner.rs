//! Whose the files of a store are.
//!
//! The service runs as a user of its own; a person runs commands on its store as root. What root
//! creates there has to be the service's, or the hub can't open it.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, lchown},
    path::Path,
};

/// Gives everything in the folder of a store to the owner of that folder.
pub(super) fn hand_over(store: &Path) {
    let given = fs::metadata(store).and_then(|folder| give(store, folder.uid(), folder.gid()));
    if let Err(error) = given {
        tracing::warn!("some files in {} have another owner: {error}", store.display());
    }
}

fn give(folder: &Path, user: u32, group: u32) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        if (data.uid(), data.gid()) != (user, group) {
            lchown(entry.path(), Some(user), Some(group))?;
        }
        if data.is_dir() {
            give(&entry.path(), user, group)?;
        }
    }
    Ok(())
}
