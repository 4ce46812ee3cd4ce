//! Packages, whole and damaged.

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
        assert!(matches!(&said, PackageError::Missing { folders } if folders == &[empty.path()]));
    }
    assert!(Package::find(Some(full.path()), empty.path()).is_ok());
    assert!(Package::find(None, full.path()).is_ok());
}
