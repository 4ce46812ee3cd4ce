//! Sees to it that exactly one chip is chosen, turns its board files into code, and reads the
//! settings that are to be built in.

#![expect(clippy::expect_used, clippy::panic, reason = "how a build script says what is wrong")]

use capteur_protocol::Config;
use std::{
    env,
    fmt::{Display, Write as _},
    fs,
    path::Path,
    str::FromStr,
};
use toml::{Table, Value};

fn main() {
    let chip = chip();
    println!("cargo::rerun-if-changed=boards");
    let mut boards: Vec<Board> = fs::read_dir("boards")
        .expect("boards/ can be read")
        .map(|entry| entry.expect("boards/ can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| Board::read(&path))
        .filter(|board| board.chip == chip)
        .collect();
    boards.sort_by(|a, b| a.name.cmp(&b.name));
    let defaults = boards.iter().filter(|board| board.default).count();
    assert!(defaults == 1, "boards/: {chip} needs one board with `default = true`, not {defaults}");
    let config = config();
    if let Some(board) = &config.board {
        let known: Vec<_> = boards.iter().map(|board| board.name.as_str()).collect();
        assert!(known.contains(&board.as_str()), "CAPTEUR_BOARD is none of {known:?}");
    }
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    fs::write(out.join("boards.rs"), code(&chip, &boards)).expect("OUT_DIR can be written");
    fs::write(out.join("config.bin"), config.encode()).expect("OUT_DIR can be written");
}

/// The settings of the environment: for a board that finds none in its flash.
fn config() -> Config {
    Config {
        ssid: setting("CAPTEUR_WIFI"),
        passphrase: setting("CAPTEUR_WIFI_PASSWORD"),
        host: setting("CAPTEUR_HUB"),
        port: setting("CAPTEUR_HUB_PORT"),
        board: setting("CAPTEUR_BOARD"),
        ..Config::default()
    }
}

fn setting<T: FromStr<Err: Display>>(key: &str) -> Option<T> {
    println!("cargo::rerun-if-env-changed={key}");
    let text = env::var(key).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{key} {error}")))
}

/// The one chip of the enabled features.
fn chip() -> String {
    let chips: Vec<String> = env::vars()
        .filter_map(|(key, _)| key.strip_prefix("CARGO_FEATURE_").map(str::to_lowercase))
        .filter(|feature| feature.starts_with("esp32"))
        .collect();
    match <[String; 1]>::try_from(chips) {
        Ok([chip]) => chip,
        Err(chips) => panic!("choose exactly one chip, as with `cargo c3`; chosen: {chips:?}"),
    }
}

/// What a board file says.
struct Board {
    name: String,
    chip: String,
    default: bool,
    led: (i64, &'static str),
    button: (i64, &'static str),
    light: i64,
    /// Pins that the board itself wants low.
    low: Vec<i64>,
    /// The greatest power of the radio, in dBm.
    dbm: Option<f64>,
}

impl Board {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let table: Table = text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let part = |key: &str| -> &Table {
            let part = table.get(key).and_then(Value::as_table);
            part.unwrap_or_else(|| panic!("{}: `{key}` is missing", path.display()))
        };
        let gpio = |key: &str| -> i64 {
            let gpio = part(key).get("gpio").and_then(Value::as_integer);
            gpio.unwrap_or_else(|| panic!("{}: `{key}.gpio` is not a number", path.display()))
        };
        let polarity = |key: &str, active: &str| match part(key).get(active).and_then(Value::as_str)
        {
            Some("high") => "ActiveHigh",
            Some("low") => "ActiveLow",
            _ => panic!("{}: `{key}.{active}` is not \"high\" or \"low\"", path.display()),
        };
        let low = |low: &Value| -> Vec<i64> {
            let gpios = low.clone().try_into();
            gpios.unwrap_or_else(|_| panic!("{}: `low` is not of numbers", path.display()))
        };
        let dbm = |dbm: &Value| {
            let known = dbm.as_float().filter(|dbm| (2.0..=20.0).contains(dbm));
            known.unwrap_or_else(|| panic!("{}: `dbm` is not 2.0 to 20.0", path.display()))
        };
        let chip = table.get("chip").and_then(Value::as_str);
        Self {
            name: path.file_stem().expect("it has an extension").to_string_lossy().into_owned(),
            chip: chip.unwrap_or_else(|| panic!("{}: no `chip`", path.display())).to_owned(),
            default: table.get("default").and_then(Value::as_bool).unwrap_or(false),
            led: (gpio("led"), polarity("led", "on")),
            button: (gpio("button"), polarity("button", "pressed")),
            light: gpio("light"),
            low: table.get("low").map(low).unwrap_or_default(),
            dbm: table.get("dbm").map(dbm),
        }
    }
}

/// A type for the pin of the photoresistor on any of the boards, and a macro that hands out a board's
/// pins and puts those low that the board itself wants so. A pin that the chip does not have, that is
/// in use twice, or that can't measure does not compile.
fn code(chip: &str, boards: &[Board]) -> String {
    let mut code = String::new();
    let default = boards.iter().find(|board| board.default).map_or("", |board| &board.name);
    let _ = writeln!(
        code,
        "/// The chip that this image is for.\npub(crate) const CHIP: &str = {chip:?};"
    );
    let project = format!("capteur-{chip}");
    let _ = writeln!(code, "/// What the application descriptor calls this image.");
    let _ = writeln!(code, "pub(crate) const PROJECT: &str = {project:?};");
    let _ = writeln!(code, "/// What a board is taken for unless the settings name it.");
    let _ = writeln!(code, "pub(crate) const DEFAULT: &str = {default:?};");
    let names: Vec<_> = boards.iter().map(|board| board.name.as_str()).collect();
    let _ = writeln!(
        code,
        "/// The boards of this chip.\npub(crate) const NAMES: &[&str] = &{names:?};"
    );

    let mut lights: Vec<_> = boards.iter().map(|board| board.light).collect();
    lights.sort_unstable();
    lights.dedup();
    let pins: Vec<_> = lights.iter().map(|gpio| format!("GPIO{gpio}")).collect();
    let _ = writeln!(code, "crate::light::analog_pin!({});", pins.join(", "));

    let _ = writeln!(code, "macro_rules! parts {{\n    ($peripherals:ident, $name:expr) => {{");
    let _ = writeln!(code, "        match $name {{");
    for Board { name, led, button, light, low, dbm, .. } in boards {
        let _ = writeln!(code, "            {name:?} => {{");
        for gpio in low {
            // A pin stays as it is when its driver goes.
            let _ = writeln!(
                code,
                "                let _ = esp_hal::gpio::Output::new(
                    $peripherals.GPIO{gpio},
                    esp_hal::gpio::Level::Low,
                    esp_hal::gpio::OutputConfig::default(),
                );"
            );
        }
        let dbm = dbm.map_or("$crate::wifi::DBM".to_owned(), |dbm| format!("{dbm:?}"));
        let _ = writeln!(
            code,
            "                Some($crate::board::Parts {{
                led: esp_hal::gpio::Pin::degrade($peripherals.GPIO{}),
                led_polarity: capteur_node::Polarity::{},
                button: esp_hal::gpio::Pin::degrade($peripherals.GPIO{}),
                button_polarity: capteur_node::Polarity::{},
                light: $crate::board::LightPin::GPIO{light}($peripherals.GPIO{light}),
                dbm: {dbm},
            }}) }},",
            led.0, led.1, button.0, button.1
        );
    }
    let _ =
        writeln!(code, "            _ => None,\n        }}\n    }};\n}}\npub(crate) use parts;");
    code
}
