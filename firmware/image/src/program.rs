//! What the linker made: sections and symbols.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::ops::Range;

/// The section with the application descriptor (ESP-IDF, `esp_app_desc_t`).
const DESCRIPTOR: &str = ".flash.appdesc";

/// Where in it the version and the project's name are: texts that end with a zero.
const VERSION: Range<usize> = 16..48;
const PROJECT: Range<usize> = 48..80;

/// What matters about a program.
pub(crate) struct Program {
    /// Bytes of RAM that are left for the stack.
    pub(crate) stack: u64,
    /// Bytes of the application descriptor, which the boot loader looks for.
    pub(crate) descriptor: usize,
    /// The version that the descriptor names.
    pub(crate) version: String,
    /// The project that it names: `capteur-` and the chip.
    pub(crate) project: String,
    /// A symbol of the C++ runtime, if there is one.
    pub(crate) cpp: Option<String>,
}

impl Program {
    /// Reads an ELF file.
    pub(crate) fn read(elf: &[u8]) -> object::Result<Self> {
        let file = object::File::parse(elf)?;
        let descriptor = file.section_by_name(DESCRIPTOR).map(|section| section.data());
        let descriptor = descriptor.transpose()?.unwrap_or_default();
        let cpp = file.symbols().filter_map(|symbol| symbol.name().ok()).find(|name| is_cpp(name));
        Ok(Self {
            stack: file.section_by_name(".stack").map_or(0, |section| section.size()),
            descriptor: descriptor.len(),
            version: text(descriptor, VERSION),
            project: text(descriptor, PROJECT),
            cpp: cpp.map(str::to_owned),
        })
    }
}

fn text(descriptor: &[u8], field: Range<usize>) -> String {
    let field = descriptor.get(field).unwrap_or_default();
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Whether only C++ makes such a symbol: its runtime, and everything that is mangled as the Itanium
/// C++ ABI wants it. Rust's older mangling borrows that shape, and ends in a hash.
fn is_cpp(name: &str) -> bool {
    let rust = name
        .rsplit_once("17h")
        .is_some_and(|(_, hash)| hash.strip_suffix('E').is_some_and(|hash| hash.len() == 16));
    name.starts_with("__cxa_") || name.starts_with("__gxx_") || (name.starts_with("_Z") && !rust)
}

#[cfg(test)]
mod tests {
    use super::{PROJECT, VERSION, is_cpp, text};

    #[test]
    fn version_and_project_are_read_from_the_descriptor() {
        let mut descriptor = [0; 256];
        descriptor[16..21].copy_from_slice(b"1.2.3");
        descriptor[48..55].copy_from_slice(b"capteur");
        assert_eq!(text(&descriptor, VERSION), "1.2.3");
        assert_eq!(text(&descriptor, PROJECT), "capteur");
        assert_eq!(text(&[], VERSION), "");
    }

    #[test]
    fn the_runtime_and_the_mangling_of_cpp_are_known() {
        for name in ["__cxa_throw", "__gxx_personality_v0", "_Znwj", "_ZNSt6vectorIiE4pushEi"] {
            assert!(is_cpp(name), "{name}");
        }
    }

    #[test]
    fn rust_and_c_are_not_taken_for_cpp() {
        for name in ["main", "_RNvC7capteur4main", "_ZN4core3fmt5write17h0123456789abcdefE", "_zoo"]
        {
            assert!(!is_cpp(name), "{name}");
        }
    }
}
