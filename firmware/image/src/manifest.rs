//! What a package of images says about itself: `manifest.json`.

use crate::{boards::Boards, image::Image};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

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
    /// Where in the flash the settings of the board belong, and how much room they have.
    config_offset: u32,
    config_size: u32,
    /// The boards that it knows.
    boards: Vec<String>,
    /// The one that it takes a board for whose settings name none.
    default_board: String,
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
    pub(crate) fn new(chip: &str, version: &str, image: &Image, boards: Boards) -> Self {
        let mut sha256 = String::new();
        for byte in Sha256::digest(&image.bytes) {
            // A `String` takes everything.
            let _ = write!(sha256, "{byte:02x}");
        }
        Self {
            chip: chip.to_owned(),
            version: version.to_owned(),
            file: format!("capteur-{chip}-{version}.bin"),
            offset: 0,
            size: image.bytes.len(),
            sha256,
            application_size: image.application_len,
            config_offset: image.config.start,
            config_size: image.config.end - image.config.start,
            boards: boards.names,
            default_board: boards.default,
        }
    }
}
