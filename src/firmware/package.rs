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
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// An image whose file holds these bytes.
    pub(crate) fn entry(chip: &str, bytes: &[u8]) -> Value {
        json!({
            "chip": chip, "version": "1.2.3", "file": format!("capteur-{chip}-1.2.3.bin"),
            "offset": 0, "size": bytes.len(), "sha256": hexadecimal(&Sha256::digest(bytes)),
            "application_size": bytes.len(), "config_offset": 0x3D_0000, "config_size": 0x4000,
            "boards": [format!("{chip}-one"), format!("{chip}-two")],
            "default_board": format!("{chip}-two"),
        })
    }

    /// The image that such an entry describes.
    pub(crate) fn image(chip: &str, bytes: &[u8]) -> Image {
        serde_json::from_value(entry(chip, bytes)).unwrap()
    }

    fn package(images: &Value) -> (tempfile::TempDir, Result<Package, PackageError>) {
        let folder = tempfile::tempdir().unwrap();
        let manifest = json!({"manifest": 1, "images": images, "more": "is passed over"});
        fs::write(folder.path().join(MANIFEST), manifest.to_string()).unwrap();
        let package = Package::open(folder.path());
        (folder, package)
    }

    #[test]
    fn a_package_is_read_as_it_was_packed() {
        let (folder, package) = package(&json!([entry("esp32c6", b"six"), entry("esp32c3", b"3")]));
        let package = package.unwrap();
        let chips: Vec<_> = package.images().iter().map(|image| image.chip.as_str()).collect();
        assert_eq!(chips, ["esp32c3", "esp32c6"]);
        let image = package.image("esp32c6").unwrap();
        fs::write(folder.path().join(&image.file), b"six").unwrap();
        assert_eq!(package.read(image).unwrap(), b"six");
        let said = package.image("esp32").unwrap_err().to_string();
        assert!(said.contains("the esp32 in") && said.contains("esp32c3, esp32c6"), "{said}");
    }

    #[test]
    fn a_file_that_is_not_that_of_the_manifest_is_refused() {
        let (folder, package) = package(&json!([entry("esp32c3", b"image")]));
        let package = package.unwrap();
        let image = &package.images()[0];
        let read = || package.read(image).unwrap_err().to_string();
        let path = folder.path().join(&image.file);
        assert!(read().contains(&*path.to_string_lossy()));
        fs::write(&path, b"imag").unwrap();
        assert!(read().contains("it has 4 bytes, not 5"), "{}", read());
        fs::write(&path, b"imagf").unwrap();
        assert!(read().contains("SHA-256"), "{}", read());
    }

    #[test]
    fn what_is_wrong_in_a_manifest_is_named_with_its_field() {
        for (field, value) in [
            ("chip", json!("")),
            ("chip", json!(3)),
            ("file", json!("../image.bin")),
            ("file", json!("/etc/passwd")),
            ("file", json!("..")),
            ("sha256", json!("12ab")),
            ("offset", json!(1)),
            ("offset", json!(-4096)),
            ("size", json!(0xFFFF_FFFF_u32)),
            ("config_offset", json!(0x3D_0001)),
            ("config_offset", json!(0)),
            ("config_size", json!(4095)),
            ("config_size", json!(0xFFFF_F000_u32)),
            ("boards", json!(["Not A Board"])),
            ("default_board", json!("another")),
        ] {
            let mut entry = entry("esp32c3", b"image");
            if field == "size" {
                entry["offset"] = json!(4096);
            }
            entry[field] = value;
            let (_, package) = package(&json!([entry]));
            let said = package.unwrap_err().to_string();
            let named = format!("manifest.json: `images[0].{field}`");
            assert!(said.contains(&named), "{field}: {said}");
        }
        let (_, twice) = package(&json!([entry("esp32c3", b"1"), entry("esp32c3", b"2")]));
        assert!(twice.unwrap_err().to_string().contains("two for the esp32c3"));
        let mut lacking = entry("esp32c3", b"1");
        lacking.as_object_mut().unwrap().remove("sha256");
        let (_, lacking) = package(&json!([lacking]));
        assert!(lacking.unwrap_err().to_string().contains("sha256"));
    }

    #[test]
    fn a_manifest_of_another_version_is_refused_as_such() {
        let said = parse(r#"{"manifest": 2, "images": "elsewhere"}"#).unwrap_err();
        assert_eq!(said, Fault::Version(2));
        assert!(matches!(parse("{}"), Err(Fault::Field(..))));
    }

    #[test]
    fn a_package_is_found_where_the_program_was_installed_or_built() {
        let places = |program: &str| usual_folders(Some(Path::new(program)));
        assert_eq!(places("/usr/bin/capteur")[0], Path::new("/usr/share/capteur/firmware"));
        assert!(places("/repo/target/release/capteur").contains(&"/repo/target/firmware".into()));
        assert!(places("/opt/capteur/capteur").contains(&"/opt/capteur/firmware".into()));
        assert_eq!(usual_folders(None), [Path::new(SYSTEM_FOLDER)]);
    }

    #[test]
    fn a_folder_that_was_named_is_the_only_one_that_is_looked_into() {
        let empty = tempfile::tempdir().unwrap();
        let (full, _) = package(&json!([entry("esp32c3", b"image")]));
        for (named, setting) in [(Some(empty.path()), full.path()), (None, empty.path())] {
            let said = Package::find(named, setting).unwrap_err();
            assert!(
                matches!(&said, PackageError::Missing { folders } if folders == &[empty.path()])
            );
        }
        assert!(Package::find(Some(full.path()), empty.path()).is_ok());
        assert!(Package::find(None, full.path()).is_ok());
    }
}
