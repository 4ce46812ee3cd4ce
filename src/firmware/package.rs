//! A folder of images and what its manifest says of them.

use capteur_protocol::config::{BoardName, PARTITION_LEN};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// The manifest's name in its folder.
const MANIFEST: &str = "manifest.json";

/// The version of the manifest's format that is known.
const VERSION: u64 = 1;

/// The unit in which flash is erased, in bytes: everything begins at one of these.
const SECTOR: u32 = 4096;

/// Where a package is whose machine has one for everybody.
const SYSTEM_FOLDER: &str = "/usr/share/capteur/firmware";

/// Images, one for each chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    folder: PathBuf,
    images: Vec<Image>,
}

/// An image, as the manifest describes it: a file that is written into a board's flash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Image {
    /// The chip that it is for, as `esp32c3`.
    pub chip: String,
    /// The firmware's version.
    pub version: String,
    /// The file's name, beside the manifest.
    pub file: String,
    /// Where in the flash it belongs: a whole number of sectors.
    pub offset: u32,
    /// Its length, in bytes.
    pub size: u32,
    /// Of the file, in hexadecimal digits.
    pub sha256: String,
    /// Of the size, what the application takes, in bytes.
    pub application_size: u32,
    /// Where in the flash the board's settings belong: a whole number of sectors.
    pub config_offset: u32,
    /// How much room they have, in bytes: at least one sector.
    pub config_size: u32,
    /// The kinds of board that it knows.
    pub boards: Vec<String>,
    /// The kind that it takes a board for whose settings name none.
    pub default_board: String,
}

/// Why there is no image to be had.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// No package was named, and none is where one is looked for.
    #[error(
        "there is no package of images in {}: `scripts/firmware release` makes one; another place \
         is named by --images or by the setting `firmware.path`",
        .folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing {
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// A file can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// The manifest is of a version that this program doesn't know.
    #[error("{}: `manifest` is {found}; this version of capteur knows {VERSION}", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The manifest says what can't be.
    #[error("{}: `{field}`: {message}", path.display())]
    Field {
        /// The manifest.
        path: PathBuf,
        /// Where in it.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// The file is not as long as the manifest says.
    #[error("{} is not the file of the manifest: it has {found} bytes, not {expected}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its length, in bytes.
        found: usize,
        /// What `size` says.
        expected: u32,
    },
    /// The file has another content than the manifest says.
    #[error("{} is not the file of the manifest: its SHA-256 is not `sha256`", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
    },
    /// There is none for this chip.
    #[error("there is no image for the {chip} in {}: only for {known}", folder.display())]
    Chip {
        /// The chip.
        chip: String,
        /// Where there is none.
        folder: PathBuf,
        /// The chips that there are images for.
        known: String,
    },
}

impl Package {
    /// Opens the package in the first of these that is given: `named`, the setting `firmware.path`
    /// unless it is empty, and wherever one is looked for.
    ///
    /// # Errors
    ///
    /// [`PackageError`], which names the file and the field.
    pub fn find(named: Option<&Path>, setting: &Path) -> Result<Self, PackageError> {
        let setting = (!setting.as_os_str().is_empty()).then_some(setting);
        if let Some(folder) = named.or(setting) {
            return Self::open(folder);
        }
        let folders = usual_folders(env::current_exe().ok().as_deref());
        match folders.iter().find(|folder| folder.join(MANIFEST).exists()) {
            Some(folder) => Self::open(folder),
            None => Err(PackageError::Missing { folders }),
        }
    }

    /// Opens the package in a folder.
    ///
    /// # Errors
    ///
    /// [`PackageError`], which names the file and the field.
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        let path = folder.join(MANIFEST);
        let json = match fs::read_to_string(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(PackageError::Missing { folders: vec![folder.to_owned()] });
            }
            Err(error) => return Err(PackageError::Unreadable { path, error }),
        };
        match parse(&json) {
            Ok(images) => Ok(Self { folder: folder.to_owned(), images }),
            Err(Fault::Version(found)) => Err(PackageError::Version { path, found }),
            Err(Fault::Field(field, message)) => Err(PackageError::Field { path, field, message }),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The images, by chip.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The image for a chip.
    ///
    /// # Errors
    ///
    /// [`PackageError::Chip`].
    pub fn image(&self, chip: &str) -> Result<&Image, PackageError> {
        self.images.iter().find(|image| image.chip == chip).ok_or_else(|| PackageError::Chip {
            chip: chip.to_owned(),
            folder: self.folder.clone(),
            known: self.images.iter().map(|i| i.chip.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Reads the file of an image of this package: it is the one that the manifest speaks of.
    ///
    /// # Errors
    ///
    /// [`PackageError`]
    pub fn read(&self, image: &Image) -> Result<Vec<u8>, PackageError> {
        let path = self.folder.join(&image.file);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return Err(PackageError::Unreadable { path, error }),
        };
        if u32::try_from(bytes.len()) != Ok(image.size) {
            return Err(PackageError::Size { path, found: bytes.len(), expected: image.size });
        }
        if hexadecimal(&Sha256::digest(&bytes)) != image.sha256 {
            return Err(PackageError::Checksum { path });
        }
        Ok(bytes)
    }
}

/// Where a package is looked for: where the program was installed to, beside it, where a checkout
/// builds one, and where the system has one.
fn usual_folders(program: Option<&Path>) -> Vec<PathBuf> {
    let beside = program.and_then(Path::parent);
    let above = beside.and_then(Path::parent);
    let folders = [
        above.map(|folder| folder.join("share/capteur/firmware")),
        beside.map(|folder| folder.join("firmware")),
        above.map(|folder| folder.join("firmware")),
        Some(SYSTEM_FOLDER.into()),
    ];
    let mut folders: Vec<_> = folders.into_iter().flatten().collect();
    folders.dedup();
    folders
}

/// What is wrong with a manifest.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Version(u64),
    Field(String, String),
}

fn parse(json: &str) -> Result<Vec<Image>, Fault> {
    #[derive(Deserialize)]
    struct Versioned {
        manifest: u64,
    }
    #[derive(Deserialize)]
    struct Manifest {
        images: Vec<Image>,
    }
    // What another version holds is not ours to judge.
    let Versioned { manifest } = read(json)?;
    if manifest != VERSION {
        return Err(Fault::Version(manifest));
    }
    let Manifest { mut images } = read(json)?;
    for (index, image) in images.iter_mut().enumerate() {
        image.sha256.make_ascii_lowercase();
        if let Some((field, message)) = fault(image) {
            return Err(Fault::Field(format!("images[{index}].{field}"), message));
        }
    }
    images.sort_by(|a, b| a.chip.cmp(&b.chip));
    match images.windows(2).find(|pair| pair[0].chip == pair[1].chip) {
        Some(pair) => Err(Fault::Field("images".into(), format!("two for the {}", pair[0].chip))),
        None => Ok(images),
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| Fault::Field(error.path().to_string(), error.inner().to_string()))
}

/// The first field that has the right type and is wrong all the same.
fn fault(image: &Image) -> Option<(&'static str, String)> {
    let bad = |field, message: &str| Some((field, message.to_owned()));
    if image.chip.is_empty() {
        return bad("chip", "is empty");
    }
    // A manifest speaks of what is beside it, and of nothing else.
    if Path::new(&image.file).file_name() != Some(image.file.as_ref()) {
        return bad("file", "is not the name of a file beside the manifest");
    }
    if image.sha256.len() != 64 || !image.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return bad("sha256", "is not 64 hexadecimal digits");
    }
    for (field, offset) in [("offset", image.offset), ("config_offset", image.config_offset)] {
        if !offset.is_multiple_of(SECTOR) {
            return bad(field, "is not at the beginning of a sector of 4096 bytes");
        }
    }
    let Some(end) = image.offset.checked_add(image.size) else {
        return bad("size", "reaches behind the end of the flash");
    };
    if (image.config_size as usize) < PARTITION_LEN {
        return bad("config_size", "is less than a sector of 4096 bytes");
    }
    let Some(config_end) = image.config_offset.checked_add(image.config_size) else {
        return bad("config_size", "reaches behind the end of the flash");
    };
    if image.offset < config_end && image.config_offset < end {
        return bad("config_offset", "lies within the image");
    }
    if let Some(board) = image.boards.iter().find(|board| board.parse::<BoardName>().is_err()) {
        return Some(("boards", format!("{board:?} is not the name of a kind of board")));
    }
    if !image.boards.contains(&image.default_board) {
        return bad("default_board", "is not among `boards`");
    }
    None
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // A `String` takes everything.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
pub(crate) mod tests;
