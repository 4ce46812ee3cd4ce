//! What would be written into a board, as files.

use super::{FlashArguments, FlashError, Secret, config};
use crate::{
    cli::{CliError, print, print_error},
    config::Settings,
    firmware::{Image, Package, Plan},
};
use capteur_protocol::Config;
use std::{fs, io::Write as _, path::Path};
use tempfile::NamedTempFile;

/// For each image that may be meant, where no board is there to be asked.
pub(super) fn without_board(
    settings: &Settings,
    arguments: &FlashArguments,
    package: &Package,
    secret: Secret,
) -> Result<(), CliError> {
    let images = meant(package, arguments)?;
    if settings.mqtt.device_key.is_some() && arguments.mac.is_none() {
        print_error("`mqtt.device_key` is set: without --mac there is no key for the board\n");
    }
    let config = config(settings, arguments, Config::default(), secret, arguments.mac)?;
    for image in images {
        let bytes = package.read(image).map_err(FlashError::from)?;
        let plan = Plan::new(image, bytes, arguments.mac, config.clone());
        write(&plan.map_err(FlashError::from)?, arguments)?;
    }
    Ok(())
}

/// The image for the chip, those that know the board, or all of them.
fn meant<'a>(
    package: &'a Package,
    arguments: &FlashArguments,
) -> Result<Vec<&'a Image>, FlashError> {
    if let Some(chip) = &arguments.chip {
        return Ok(vec![package.image(chip)?]);
    }
    let Some(board) = &arguments.board else { return Ok(package.images().iter().collect()) };
    let has_it = |image: &&Image| image.boards.iter().any(|known| known == board.as_str());
    let images: Vec<_> = package.images().iter().filter(has_it).collect();
    if images.is_empty() {
        let all: Vec<_> = package.images().iter().flat_map(|i| &i.boards).cloned().collect();
        let (board, known) = (board.to_string(), all.join(", "));
        return Err(FlashError::UnknownBoard { board, known });
    }
    Ok(images)
}

/// Writes the two files of a plan, and says what they are for.
pub(super) fn write(plan: &Plan<'_>, arguments: &FlashArguments) -> Result<(), CliError> {
    let folder = &arguments.output;
    let Image { chip, file, .. } = plan.image();
    let image = folder.join(file);
    let config = folder.join(format!("capteur-{chip}-config.bin"));
    let [(_, bytes), (_, partition)] = plan.segments();
    fs::create_dir_all(folder).map_err(cant_write(folder))?;
    put(&image, bytes, 0o644).map_err(cant_write(&image))?;
    // It holds the password of the Wi-Fi, and the board's key.
    put(&config, partition, 0o600).map_err(cant_write(&config))?;
    let [first, second] = plan.commands(&quoted(&image), &quoted(&config));
    print(&format!("{plan}  {first}\n  {second}\n"))
}

/// Writes a file as a whole or not at all.
fn put(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.persist(path)?;
    Ok(())
}

fn cant_write(path: &Path) -> impl FnOnce(std::io::Error) -> CliError + use<> {
    CliError::io(format!("can't write {}", path.display()))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_a_path_in_one_piece() {
        assert_eq!(quoted(Path::new("./capteur-esp32c3-0.1.0.bin")), "./capteur-esp32c3-0.1.0.bin");
        assert_eq!(quoted(Path::new("my files/it's.bin")), r"'my files/it'\''s.bin'");
    }
}
