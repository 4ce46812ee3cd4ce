//! Settings from files and from the environment, good and bad.

use super::*;
use crate::{
    config::{Anonymous, LogLevel},
    model::MasterKey,
};
use std::io::Write;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let mut settings = tempfile::NamedTempFile::new().unwrap();
    settings.write_all(file.as_bytes()).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Settings::load(Some(settings.path()), environment)
}

fn message(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = load("", &[]).unwrap();
    assert_eq!(Settings::defaults().unwrap(), settings);
    assert_eq!(settings.mqtt.listen.to_string(), "0.0.0.0:1883");
    assert_eq!(settings.http.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.mqtt.anonymous, Anonymous::Device);
    assert_eq!(format!("{}.local", settings.mdns.name), capteur_protocol::config::DEFAULT_HOST);
    assert!(settings.mdns.interfaces.is_empty());
    assert_eq!(settings.store.path, Path::new("capteur-data"));
    assert_eq!(settings.store.flush_ms, 1000);
    assert_eq!(settings.store.retention.raw_days, 30);
    assert_eq!(settings.store.retention.minute_days, 730);
    assert_eq!(settings.store.retention.hour_days, 0);
    assert!(settings.store.backup.enabled && settings.store.backup.keep == 2);
    assert_eq!(settings.devices.name_prefix, "capteur");
    assert_eq!(settings.commands.confirm_timeout_ms, 2000);
    assert!(!settings.auth.required, "until access tokens land");
}

#[test]
fn later_sources_win() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[store]\nflush_ms = 50\n";
    let environment = [
        ("CAPTEUR_HTTP__LISTEN", "127.0.0.1:2"),
        ("CAPTEUR_HTTP__HOSTS", "hub.example,hub.lan"),
        ("CAPTEUR_MDNS__INTERFACES", "eth0,wlan0"),
        ("CAPTEUR_LOG__LEVEL", "debug"),
        ("CAPTEUR_DEVICES__NAME_PREFIX", "007"),
        ("CAPTEUR_STORE__BACKUP__ENABLED", "false"),
        ("CAPTEUR_BIN", "not a setting: it has no section"),
        ("STATE_DIRECTORY", "/var/lib/capteur"),
    ];
    let settings = load(file, &environment).unwrap();
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:2");
    assert_eq!(settings.http.hosts, ["hub.example", "hub.lan"]);
    assert_eq!(settings.store.flush_ms, 50);
    assert_eq!(settings.mdns.interfaces, ["eth0", "wlan0"]);
    assert_eq!(settings.log.level, LogLevel::Debug);
    assert_eq!(settings.devices.name_prefix, "007");
    assert!(!settings.store.backup.enabled);
    assert_eq!(settings.store.path, Path::new("/var/lib/capteur"));
}

#[test]
fn an_unknown_key_is_named_with_its_source_and_a_suggestion() {
    let said = message("[mqtt]\nlisen = \"127.0.0.1:1\"\n", &[]);
    assert!(said.contains("`mqtt.lisen`") && said.contains("`mqtt.listen`"), "{said}");
    let said = message("", &[("CAPTEUR_STORE__FLUSHMS", "1")]);
    assert!(said.contains("`store.flushms`") && said.contains("environment"), "{said}");
    assert!(message("colour = 1\n", &[]).contains("`colour`"));
}

#[test]
fn a_bad_value_is_named_with_its_key_and_source() {
    for (file, key) in [
        ("[mqtt]\nlisten = \"here\"\n", "`mqtt.listen`"),
        ("[mqtt]\nanonymous = \"some\"\n", "`mqtt.anonymous`"),
        ("[mqtt]\nmax_connections = \"many\"\n", "`mqtt.max_connections`"),
        ("[mqtt]\nmax_connections = -1\n", "`mqtt.max_connections`"),
        ("[mdns]\nname = \"my hub\"\n", "`mdns.name`"),
        ("[mdns]\nname = \"capteur.local\"\n", "`mdns.name`"),
        ("[mdns]\nname = \"-hub\"\n", "`mdns.name`"),
        ("[mdns]\nname = \"hub-\"\n", "`mdns.name`"),
        ("[mdns]\nname = \"küche\"\n", "`mdns.name`"),
        ("[mdns]\ninterfaces = 1\n", "`mdns.interfaces`"),
        ("[store]\nflush_ms = 0\n", "`store.flush_ms`"),
        ("[store.retention]\nraw_days = -1\n", "`store.retention.raw_days`"),
        ("[store.backup]\nkeep = 0\n", "`store.backup.keep`"),
        ("[store.backup]\nhour = 24\n", "`store.backup.hour`"),
        ("[devices]\nname_prefix = \"a;b\"\n", "`devices.name_prefix`"),
        ("[devices]\nname_prefix = \"a-prefix-that-is-too-long\"\n", "`devices.name_prefix`"),
        ("[devices]\nadoption = \"approve\"\n", "`devices.adoption`"),
        ("[log]\nlevel = \"loud\"\n", "`log.level`"),
        ("[auth]\nrequired = true\n", "`auth.required`"),
        ("http = 1\n", "`http`"),
    ] {
        let said = message(file, &[]);
        assert!(said.contains(key) && !said.contains("defaults"), "{file}: {said}");
    }
    let said = message("", &[("CAPTEUR_MQTT__LISTEN", "1883")]);
    assert!(said.contains("`mqtt.listen`") && said.contains("environment"), "{said}");
}

#[test]
fn the_hubs_name_may_be_any_label_or_none() {
    for name in ["", "a", "0", "Capteur-2", &"x".repeat(59)] {
        let settings = load(&format!("[mdns]\nname = \"{name}\"\n"), &[]).unwrap();
        assert_eq!(settings.mdns.name, name);
    }
    assert!(message(&format!("[mdns]\nname = \"{}\"\n", "x".repeat(60)), &[]).contains("59"));
}

#[test]
fn what_is_not_toml_is_refused_with_the_line() {
    let said = message("[mqtt]\nlisten = \n", &[]);
    assert!(said.contains("not valid TOML") && said.contains("line 2"), "{said}");
    let missing = Settings::load(Some(Path::new("/no/such/file.toml")), []).unwrap_err();
    assert!(missing.to_string().contains("/no/such/file.toml"));
}

#[test]
fn a_secret_is_taken_as_it_is_and_never_shown() {
    assert_eq!(load("", &[]).unwrap().mqtt.device_key, None);
    let secret = MasterKey::new("00123456789012345678");
    let settings = load("", &[("CAPTEUR_MQTT__DEVICE_KEY", "00123456789012345678")]).unwrap();
    assert_eq!(settings.mqtt.device_key, secret);
    let settings = load("[mqtt]\ndevice_key = \"00123456789012345678\"\n", &[]).unwrap();
    assert_eq!(settings.mqtt.device_key, secret);
    assert!(!settings.to_toml().contains("0123"), "{}", settings.to_toml());
    let said = message(&settings.to_toml(), &[]);
    assert!(said.contains("`mqtt.device_key`") && said.contains("secret"), "{said}");
    assert!(!format!("{settings:?}").contains("0123"));
    let said = message("[mqtt]\ndevice_key = [\"0123456\"]\n", &[]);
    assert!(said.contains("`mqtt.device_key`"), "{said}");
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let settings = load("[http]\nhosts = [\"hub.lan\"]\n", &[]).unwrap();
    assert_eq!(load(&settings.to_toml(), &[]).unwrap(), settings);
}
