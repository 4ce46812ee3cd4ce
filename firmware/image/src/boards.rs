//! The board files of the chips: `firmware/esp32/boards`.

use std::{fs, io, path::Path};
use toml::{Table, Value};

/// One file for each board, named after it.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../esp32/boards");

/// The boards of a chip.
pub(crate) struct Boards {
    /// All of them, in order.
    pub(crate) names: Vec<String>,
    /// The one that a board is taken for unless it says otherwise.
    pub(crate) default: String,
}

/// Finds the boards of a chip. What the files hold was checked when its image was built.
pub(crate) fn of(chip: &str) -> io::Result<Boards> {
    let mut boards = Boards { names: Vec::new(), default: String::new() };
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        let table = read(&path)?;
        if table.get("chip").and_then(Value::as_str) != Some(chip) {
            continue;
        }
        if table.contains_key("default") {
            boards.default.clone_from(&name);
        }
        boards.names.push(name);
    }
    boards.names.sort();
    Ok(boards)
}

fn read(path: &Path) -> io::Result<Table> {
    fs::read_to_string(path)?.parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chip_that_is_built_has_boards_and_one_of_them_by_default() {
        for chip in ["esp32c2", "esp32c3", "esp32c5", "esp32c6"] {
            let boards = of(chip).unwrap();
            assert!(boards.names.contains(&boards.default), "{chip}");
        }
        assert!(of("esp32c3").unwrap().names.contains(&"xiao-esp32c3".to_owned()));
        assert!(of("z80").unwrap().names.is_empty());
    }
}
