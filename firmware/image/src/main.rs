//! Turns the linker's output into what is written into a board's flash.
//!
//! ```text
//! capteur-image FOLDER CHIP=ELF…
//! ```
//!
//! It says what the images are like, and writes them and `manifest.json` into the folder unless one of
//! them breaks a rule.
//!
//! # Layout
//!
//! - [`program`]: what the linker made: sections and symbols
//! - [`rules`]: what an image must keep to
//! - [`image`]: boot loader, partition table and application in one file
//! - [`boards`]: which boards there are
//! - [`manifest`]: what a package of images says about itself

mod boards;
mod image;
mod manifest;
mod program;
mod rules;

use manifest::{Entry, Manifest};
use program::Program;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("usage: capteur-image FOLDER CHIP=ELF…")]
    Usage,
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("{0}: {1}")]
    Program(PathBuf, object::Error),
    #[error("the image for the {0} can't be made: {1}")]
    Image(String, image::Unfit),
    #[error("the boards with an {0} can't be read: {1}")]
    Boards(String, std::io::Error),
    #[error("the image for the {0} breaks a rule: {1}")]
    Rule(String, rules::Broken),
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match *words {
        [folder, ref programs @ ..] if !programs.is_empty() => pack(Path::new(folder), programs),
        _ => Err(Error::Usage),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capteur-image: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Checks each program, and packs all of them once all are fine.
fn pack(folder: &Path, programs: &[&str]) -> Result<(), Error> {
    let mut packed = Vec::new();
    for program in programs {
        let (chip, path) = program.split_once('=').ok_or(Error::Usage)?;
        let path = Path::new(path);
        let elf = read(path)?;
        let program = Program::read(&elf).map_err(|e| Error::Program(path.to_owned(), e))?;
        let image =
            image::make(chip, &elf).map_err(|error| Error::Image(chip.to_owned(), error))?;
        println!(
            "{chip}: the application takes {} bytes of flash, {} bytes of RAM are left for the stack",
            image.application_len, program.stack
        );
        rules::check(&program, &image).map_err(|broken| Error::Rule(chip.to_owned(), broken))?;
        packed.push((chip, program.version, image));
    }
    fs::create_dir_all(folder).map_err(|e| Error::File(folder.to_owned(), e))?;
    let mut manifest = Manifest::new();
    for (chip, version, image) in packed {
        let boards = boards::of(chip).map_err(|error| Error::Boards(chip.to_owned(), error))?;
        let entry = Entry::new(chip, &version, &image, boards);
        write(&folder.join(&entry.file), &image.bytes)?;
        manifest.images.push(entry);
    }
    write(&folder.join("manifest.json"), manifest.to_json().as_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::File(path.to_owned(), error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::File(path.to_owned(), error))
}
