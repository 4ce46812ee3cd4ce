//! `scripts/install` puts everything where the unit looks for it, and keeps the owner's settings.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path, process::Command};

const BINARY: &str = env!("CARGO_BIN_EXE_capteur");

fn install(destination: &Path) -> bool {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install"))
        .env("DESTDIR", destination)
        .env("CAPTEUR_BINARY", BINARY)
        .status()
        .unwrap()
        .success()
}

#[test]
fn an_installation_is_complete_and_an_upgrade_keeps_the_settings() {
    let destination = tempfile::tempdir().unwrap();
    let below = |path: &str| destination.path().join(path);
    assert!(install(destination.path()));

    let unit = fs::read_to_string(below("etc/systemd/system/capteur.service")).unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let program = command.split(' ').next().unwrap().trim_start_matches('/');
    let version = Command::new(below(program)).arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"capteur "));

    // The settings that are put there change nothing: every key is a comment.
    let settings = below("etc/capteur/config.toml");
    let print = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["config", "print"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    assert_eq!(print(&["--config", settings.to_str().unwrap()]), print(&["--config", "/dev/null"]));

    fs::write(&settings, "[log]\nlevel = \"warn\"\n").unwrap();
    assert!(install(destination.path()), "an upgrade");
    assert_eq!(fs::read_to_string(&settings).unwrap(), "[log]\nlevel = \"warn\"\n");

    fs::write(&settings, "[log]\nlevel = \"loud\"\n").unwrap();
    assert!(!install(destination.path()), "settings that the new version can't read stop it");
}
