//! The `capteur` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    capteur::cli::run(std::env::args_os())
}
