//! The ladder from opening to a running store, whatever the files are like.

use super::{
    builder::{Builder, Lineage},
    engine::Engine,
    error::StoreError,
    folder::{self, Folder, Purpose},
    format, sanitise,
};
use crate::model::Timestamp;
use std::{path::Path, sync::Arc, time::Duration};

/// Opens the database of the store in the folder `path`, creating it where there is none.
pub(super) fn open(path: &Path, commit_interval: Duration) -> Result<Engine, StoreError> {
    let folder = Arc::new(Folder::lock(path)?);
    folder.finish_swap()?;
    if !folder::exists(folder.database())? {
        let aside = folder.place_aside(Purpose::Replaced, Timestamp::MIN)?;
        Builder::start(&folder, Lineage::New)?.finish()?.swap(&aside)?;
    }
    if format::check(folder.database())? != format::Found::Current {
        format::write(folder.database())?;
    }
    sanitise::sanitise(folder.database())?;
    Engine::open(folder, commit_interval)
}
