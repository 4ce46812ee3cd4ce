//! What a package of images says about itself: `manifest.json`.

use crate::image::Image;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A package of images.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    /// The version of this format.
    manifest: u32,
    /// One for each chip.
    pub(crate) images: Vec<Entry>,
}

/// An image: a file that is written into a board's flash from `offset` on.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    chip: String,
    /// The firmware's version.
    version: String,
    /// Its name, beside the manifest.
    pub(crate) file: String,
    /// Where in the flash it belongs.
    offset: u32,
    /// In bytes.
    size: usize,
    /// Of the file, in hexadecimal digits.
    sha256: String,
    /// Of `size`, what the application takes.
    application_size: usize,
}

impl Manifest {
    pub(crate) fn new() -> Self {
        Self { manifest: 1, images: Vec::new() }
    }

    pub(crate) fn to_json(&self) -> String {
        // Strings and numbers alone: it can't fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl Entry {
    pub(crate) fn new(chip: &str, version: &str, image: &Image) -> Self {
        let digest = Sha256::digest(&image.bytes);
        Self {
            chip: chip.to_owned(),
            version: version.to_owned(),
            file: format!("capteur-{chip}-{version}.bin"),
            offset: 0,
            size: image.bytes.len(),
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            application_size: image.application_len,
        }
    }
}
