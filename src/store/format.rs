//! The file `FORMAT`, which says who wrote the database, and that it was finished.
//!
//! sled 0.34 opens a folder of sled 1.0 as a new and empty store, and the other way round: so the
//! file is read before sled is let in.
//!
//! ```text
//! engine: sled
//! version: 0.34.7
//! schema: 3
//! ```
//!
//! | schema | what it brought |
//! | --- | --- |
//! | 1 | records, logs and readings in frames |
//! | 2 | sealed chunks, series and rollups beside them; what schema 1 has is read as it is |
//! | 3 | wishes for names in device records, and log lines about them; all else is as before |

use super::{error::StoreError, folder};
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// The file's name in the folder of the database.
const FILE: &str = "FORMAT";
/// The file while it is written.
const FILE_NEW: &str = "FORMAT.new";
/// The oldest schema that is read.
const SCHEMA_MIN: u32 = 1;

/// Who wrote the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    engine: &'static str,
    version: &'static str,
    schema: u32,
}

impl Format {
    /// Counts the changes of keys and bodies that an older version could not read.
    pub(super) const SCHEMA: u32 = 3;

    /// What this version writes.
    pub(super) const CURRENT: Self =
        Self { engine: "sled", version: "0.34.7", schema: Self::SCHEMA };
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, schema {}", self.engine, self.version, self.schema)
    }
}

/// What the file of a database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// This version's schema.
    Current,
    /// An older schema that this version reads: after a good open the file is to be written anew.
    Older,
    /// Nothing that could be relied on, and why.
    Nothing(String),
}

/// Reads the format of the database in this folder.
///
/// # Errors
///
/// [`StoreError::Format`] for a database of another engine, another version of it or a newer
/// schema, [`StoreError::Io`] where the system refuses.
pub(super) fn check(database: &Path) -> Result<Found, StoreError> {
    let file = database.join(FILE);
    match fs::read(&file) {
        Ok(bytes) => compare(database, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Found::Nothing(format!("{FILE} is missing")))
        }
        Err(error) => Err(StoreError::io(&file)(error)),
    }
}

fn compare(database: &Path, bytes: &[u8]) -> Result<Found, StoreError> {
    let Some((engine, version, schema)) = str::from_utf8(bytes).ok().and_then(parse) else {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]);
        return Ok(Found::Nothing(format!("{FILE} makes no sense: {text:?}")));
    };
    let current = Format::CURRENT;
    if (engine, version) == (current.engine, current.version) {
        if schema == current.schema {
            return Ok(Found::Current);
        }
        if (SCHEMA_MIN..current.schema).contains(&schema) {
            return Ok(Found::Older);
        }
    }
    Err(StoreError::Format {
        path: database.to_owned(),
        found: format!("{engine} {version}, schema {schema}"),
        expected: current.to_string(),
    })
}

/// Engine, version and schema.
fn parse(text: &str) -> Option<(&str, &str, u32)> {
    let mut lines = text.lines();
    let mut field = |name: &str| {
        lines.next()?.strip_prefix(name)?.strip_prefix(": ").filter(|value| !value.is_empty())
    };
    Some((field("engine")?, field("version")?, field("schema")?.parse().ok()?))
}

/// Whether the database in this folder has the file: one without was not finished.
pub(super) fn is_there(database: &Path) -> Result<bool, StoreError> {
    folder::exists(&database.join(FILE))
}

/// Removes the file, so that what is left is no finished database.
pub(super) fn remove(database: &Path) -> Result<(), StoreError> {
    let file = database.join(FILE);
    match fs::remove_file(&file) {
        Ok(()) => folder::sync(database),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(&file)(error)),
    }
}

/// Writes this version's format.
pub(super) fn write(database: &Path) -> Result<(), StoreError> {
    let Format { engine, version, schema } = Format::CURRENT;
    let text = format!("engine: {engine}\nversion: {version}\nschema: {schema}\n");
    let new = database.join(FILE_NEW);
    let mut file = File::create(&new).map_err(StoreError::io(&new))?;
    file.write_all(text.as_bytes()).map_err(StoreError::io(&new))?;
    file.sync_all().map_err(StoreError::io(&new))?;
    fs::rename(&new, database.join(FILE)).map_err(StoreError::io(&new))?;
    folder::sync(database)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_accepted_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NEW), "half").unwrap();
        assert!(!is_there(dir.path()).unwrap());
        write(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(text, "engine: sled\nversion: 0.34.7\nschema: 3\n");
        assert_eq!(check(dir.path()).unwrap(), Found::Current);
        assert!(is_there(dir.path()).unwrap());
        remove(dir.path()).unwrap();
        remove(dir.path()).unwrap();
        assert!(!is_there(dir.path()).unwrap());
    }

    #[test]
    fn an_older_schema_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for schema in [1, 2] {
            let text = format!("engine: sled\nversion: 0.34.7\nschema: {schema}\n");
            fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(check(dir.path()).unwrap(), Found::Older);
        }
    }

    #[test]
    fn another_engine_version_or_newer_schema_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (text, found) in [
            ("engine: sled\nversion: 1.0.0\nschema: 1\n", "sled 1.0.0, schema 1"),
            ("engine: sled\nversion: 0.34.7\nschema: 4\n", "sled 0.34.7, schema 4"),
            ("engine: sled\nversion: 0.34.7\nschema: 0\n", "sled 0.34.7, schema 0"),
            ("engine: redb\nversion: 2\nschema: 1\nmore: 3\n", "redb 2, schema 1"),
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = check(dir.path()).unwrap_err();
            assert!(matches!(error, StoreError::Format { .. }), "{error}");
            assert!(error.to_string().contains(found), "{error}");
            assert!(error.to_string().contains("sled 0.34.7, schema 3"), "{error}");
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_or_is_missing_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(check(dir.path()).unwrap(), Found::Nothing(_)));
        for bytes in
            [&b""[..], b"engine: sled\n", b"\xff\xfe", b"engine: sled\nversion: \nschema: 1"]
        {
            fs::write(dir.path().join(FILE), bytes).unwrap();
            assert!(matches!(check(dir.path()).unwrap(), Found::Nothing(_)));
        }
    }
}
