//! `capteur firmware`: the images that there are for boards.

use super::{CliError, flash::FlashError, print};
use crate::{
    config::Settings,
    firmware::{Image, Package},
};
use std::{fmt::Write as _, path::Path};

/// How much of a SHA-256 people compare by eye, in digits.
const DIGITS: usize = 12;

/// `capteur firmware list`
pub(super) fn list(settings: &Settings, folder: Option<&Path>) -> Result<(), CliError> {
    let package = Package::find(folder, &settings.firmware.path).map_err(FlashError::from)?;
    let faults: Vec<_> = package.images().iter().map(|image| package.read(image).err()).collect();
    let rows = package.images().iter().zip(&faults);
    let mut text = format!("{}\n", package.folder().display());
    text += &table(rows.map(|(image, fault)| (image, fault.is_none())));
    print(&text)?;
    match faults.into_iter().flatten().next() {
        Some(fault) => Err(FlashError::from(fault).into()),
        None => Ok(()),
    }
}

fn table<'a>(images: impl Iterator<Item = (&'a Image, bool)>) -> String {
    let mut text = line(["CHIP", "VERSION", "SIZE", "SHA-256", "WHOLE", "BOARDS"]);
    for (image, whole) in images {
        let star = |board: &String| {
            format!("{board}{}", if *board == image.default_board { "*" } else { "" })
        };
        let boards: Vec<_> = image.boards.iter().map(star).collect();
        text += &line([
            &image.chip,
            &image.version,
            &image.size.to_string(),
            image.sha256.get(..DIGITS).unwrap_or_default(),
            if whole { "yes" } else { "no" },
            &boards.join(", "),
        ]);
    }
    text
}

fn line([chip, version, size, sha256, whole, boards]: [&str; 6]) -> String {
    let mut line = String::new();
    // A `String` takes everything.
    let _ = writeln!(
        line,
        "{chip:<9} {version:<12} {size:>8}  {sha256:<DIGITS$}  {whole:<5}  {boards}"
    );
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::package::tests::image;

    #[test]
    fn an_image_is_a_line_that_marks_the_usual_board() {
        let text = table([(&image("esp32c3", b"image"), false)].into_iter());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "CHIP      VERSION          SIZE  SHA-256       WHOLE  BOARDS",
                "esp32c3   1.2.3               5  6105d6cc76af  no     esp32c3-one, esp32c3-two*",
            ]
        );
    }
}
