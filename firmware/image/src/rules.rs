//! What an image must keep to.

use crate::{image::Image, program::Program};

/// The most flash that the application may take, in bytes: less than a third of its slot, so that
/// what is to come finds room.
const APPLICATION_MAX: usize = 700 * 1024;

/// The same for chips whose radio library is larger by itself.
const APPLICATION_MAX_WIFI_6: usize = 800 * 1024;

/// The least RAM that must be left for the stack, in bytes.
const STACK_MIN: u64 = 64 * 1024;

/// A rule that is broken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the application takes {0} bytes of flash; {1} are allowed")]
    Application(usize, usize),
    #[error("{0} bytes are left for the stack; {STACK_MIN} are wanted")]
    Stack(u64),
    #[error("the application descriptor is missing")]
    Descriptor,
    #[error("its program is {0}")]
    Chip(String),
    #[error("C++ has come in: `{0}`")]
    Cpp(String),
}

/// Finds the first rule that is broken.
pub(crate) fn check(program: &Program, image: &Image) -> Result<(), Broken> {
    let most = application_max(&image.chip);
    if image.application_len > most {
        return Err(Broken::Application(image.application_len, most));
    }
    if program.stack < STACK_MIN {
        return Err(Broken::Stack(program.stack));
    }
    if program.descriptor == 0 {
        return Err(Broken::Descriptor);
    }
    if program.project != format!("capteur-{}", image.chip) {
        return Err(Broken::Chip(program.project.clone()));
    }
    program.cpp.as_ref().map_or(Ok(()), |name| Err(Broken::Cpp(name.clone())))
}

fn application_max(chip: &str) -> usize {
    match chip {
        "esp32c5" | "esp32c6" => APPLICATION_MAX_WIFI_6,
        _ => APPLICATION_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        Program {
            stack: STACK_MIN,
            descriptor: 256,
            version: "1.2.3".into(),
            project: "capteur-esp32c3".into(),
            cpp: None,
        }
    }

    fn image(application_len: usize) -> Image {
        Image { chip: "esp32c3".into(), application_len, config: 0..0, bytes: Vec::new() }
    }

    #[test]
    fn what_is_just_within_bounds_is_fine() {
        assert_eq!(check(&program(), &image(APPLICATION_MAX)), Ok(()));
    }

    #[test]
    fn each_rule_is_kept() {
        let size = APPLICATION_MAX + 1;
        let broken = Broken::Application(size, APPLICATION_MAX);
        assert_eq!(check(&program(), &image(size)), Err(broken));
        let check = |program| check(&program, &image(1));
        let stack = STACK_MIN - 1;
        assert_eq!(check(Program { stack, ..program() }), Err(Broken::Stack(stack)));
        assert_eq!(check(Program { descriptor: 0, ..program() }), Err(Broken::Descriptor));
        let project = "capteur-esp32c2".to_owned();
        let broken = Broken::Chip(project.clone());
        assert_eq!(check(Program { project, ..program() }), Err(broken));
        let cpp = Program { cpp: Some("_Znwj".into()), ..program() };
        assert_eq!(check(cpp), Err(Broken::Cpp("_Znwj".into())));
    }
}
