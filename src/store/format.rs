//! The file `FORMAT`, which says who wrote the store.
//!
//! sled 0.34 opens a folder of sled 1.0 as a new and empty store, and the other way round: so the
//! file is read before sled is let in.
//!
//! ```text
//! engine: sled
//! version: 0.34.7
//! schema: 1
//! ```

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

/// Who wrote the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    engine: &'static str,
    version: &'static str,
    schema: u32,
}

impl Format {
    /// Counts the changes of keys and bodies that an older version could not read; each comes with
    /// a migration.
    pub(super) const SCHEMA: u32 = 1;

    /// What this version reads and writes.
    pub(super) const CURRENT: Self =
        Self { engine: "sled", version: "0.34.7", schema: Self::SCHEMA };
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, schema {}", self.engine, self.version, self.schema)
    }
}

/// Checks the format of the database in this folder, and writes it where there is none yet.
///
/// # Errors
///
/// [`StoreError::Format`] for a database of another version or that has no `FORMAT` file,
/// [`StoreError::Damaged`] for a file that makes no sense.
pub(super) fn check(database: &Path) -> Result<(), StoreError> {
    let file = database.join(FILE);
    match fs::read(&file) {
        Ok(bytes) => compare(database, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(name) = any_file(database)? {
                return Err(StoreError::Format {
                    path: database.to_owned(),
                    found: format!(
                        "of an unknown program ({} is there, {FILE} is not)",
                        name.display()
                    ),
                    expected: Format::CURRENT.to_string(),
                });
            }
            write(database)
        }
        Err(error) => Err(StoreError::io(&file)(error)),
    }
}

fn compare(database: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let path = || database.to_owned();
    let damaged = || StoreError::Damaged {
        path: path(),
        detail: format!("{FILE} makes no sense: {:?}", String::from_utf8_lossy(bytes)),
    };
    let text = str::from_utf8(bytes).map_err(|_| damaged())?;
    let mut lines = text.lines();
    let mut field = |name: &str| {
        lines.next()?.strip_prefix(name)?.strip_prefix(": ").filter(|value| !value.is_empty())
    };
    let (Some(engine), Some(version), Some(schema)) =
        (field("engine"), field("version"), field("schema"))
    else {
        return Err(damaged());
    };
    let schema: u32 = schema.parse().map_err(|_| damaged())?;
    let current = Format::CURRENT;
    if (engine, version, schema) == (current.engine, current.version, current.schema) {
        return Ok(());
    }
    Err(StoreError::Format {
        path: path(),
        found: format!("{engine} {version}, schema {schema}"),
        expected: current.to_string(),
    })
}

/// The name of some file in the folder that a half-made store would not have.
fn any_file(database: &Path) -> Result<Option<std::ffi::OsString>, StoreError> {
    for entry in fs::read_dir(database).map_err(StoreError::io(database))? {
        let name = entry.map_err(StoreError::io(database))?.file_name();
        if name != FILE_NEW {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn write(database: &Path) -> Result<(), StoreError> {
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
    fn a_new_folder_gets_a_format_that_is_accepted_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NEW), "half").unwrap();
        check(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(text, "engine: sled\nversion: 0.34.7\nschema: 1\n");
        check(dir.path()).unwrap();
    }

    #[test]
    fn another_engine_version_or_schema_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (text, found) in [
            ("engine: sled\nversion: 1.0.0\nschema: 1\n", "sled 1.0.0, schema 1"),
            ("engine: sled\nversion: 0.34.7\nschema: 2\n", "sled 0.34.7, schema 2"),
            ("engine: redb\nversion: 2\nschema: 1\nmore: 3\n", "redb 2, schema 1"),
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = check(dir.path()).unwrap_err();
            assert!(matches!(error, StoreError::Format { .. }), "{error}");
            assert!(error.to_string().contains(found), "{error}");
            assert!(error.to_string().contains("sled 0.34.7, schema 1"), "{error}");
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        for bytes in
            [&b""[..], b"engine: sled\n", b"\xff\xfe", b"engine: sled\nversion: \nschema: 1"]
        {
            fs::write(dir.path().join(FILE), bytes).unwrap();
            let error = check(dir.path()).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn a_database_without_a_format_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("db"), "x").unwrap();
        let error = check(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Format { .. }), "{error}");
        assert!(!dir.path().join(FILE).exists());
    }
}
