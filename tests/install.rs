//! `scripts/install` puts everything where the unit looks for it, and keeps the owner's settings.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path, process::Command};

const BINARY: &str = env!("CARGO_BIN_EXE_capteur");

fn install(destination: &Path, images: &Path) -> bool {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install"))
        .env("DESTDIR", destination)
        .env("CAPTEUR_BINARY", BINARY)
        .env("CAPTEUR_IMAGES", images)
        .status()
        .unwrap()
        .success()
}

#[test]
fn an_installation_is_complete_and_an_upgrade_keeps_the_settings() {
    let destination = tempfile::tempdir().unwrap();
    let below = |path: &str| destination.path().join(path);
    let none = Path::new("/nonexistent");
    assert!(install(destination.path(), none), "images for boards may come later");

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
    assert!(install(destination.path(), none), "an upgrade");
    assert_eq!(fs::read_to_string(&settings).unwrap(), "[log]\nlevel = \"warn\"\n");

    fs::write(&settings, "[log]\nlevel = \"loud\"\n").unwrap();
    assert!(!install(destination.path(), none), "settings that the new version can't read stop it");
}

#[test]
fn the_images_for_boards_are_installed_where_the_program_finds_them() {
    let destination = tempfile::tempdir().unwrap();
    let images = tempfile::tempdir().unwrap();
    let manifest = images.path().join("manifest.json");
    let package = |file: &str| {
        fs::write(images.path().join(file), b"image").unwrap();
        let sha256 = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";
        let json = format!(
            r#"{{"manifest": 1, "images": [{{
                "chip": "esp32c3", "version": "1.2.3", "file": "{file}", "offset": 0, "size": 5,
                "sha256": "{sha256}", "application_size": 5, "config_offset": 4096,
                "config_size": 4096, "boards": ["one"], "default_board": "one"}}]}}"#
        );
        fs::write(&manifest, json).unwrap();
    };
    let list = || {
        let mut command = Command::new(destination.path().join("usr/bin/capteur"));
        let output = command.args(["firmware", "list", "--config", "/dev/null"]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    package("old.bin");
    assert!(install(destination.path(), images.path()));
    assert!(list().contains("esp32c3"));

    fs::remove_file(images.path().join("old.bin")).unwrap();
    package("new.bin");
    assert!(install(destination.path(), images.path()), "an upgrade");
    list();
    let installed = destination.path().join("usr/share/capteur/firmware");
    assert!(installed.join("new.bin").exists() && !installed.join("old.bin").exists());

    fs::write(images.path().join("new.bin"), b"damaged").unwrap();
    assert!(!install(destination.path(), images.path()), "damaged images stop it");
    assert!(installed.join("new.bin").exists(), "and what was there stays");
}
