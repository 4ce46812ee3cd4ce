//! Where settings come from: the built-in defaults, a file, the environment.

use super::{Adoption, Settings};
use capteur_protocol::Name;
use config::{Config, Environment, File, FileFormat, Value, ValueKind};
use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
};

/// Every key with its default and a comment, as TOML.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The settings file that is read where no other is named, if it exists.
pub const SYSTEM_FILE: &str = "/etc/capteur/config.toml";

/// The variables of the settings that are lists.
const LISTS: [&str; 2] = ["CAPTEUR_HTTP__HOSTS", "CAPTEUR_MDNS__INTERFACES"];

/// What the names of the environment's variables begin with.
const PREFIX: &str = "CAPTEUR_";

/// The longest name of the hub: a label has at most 63 bytes (RFC 1035, section 2.3.4), of which
/// some are for the number behind a name that another machine has too.
const HOST_LABEL_MAX: usize = 59;

/// A source of settings, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The defaults that are built in.
    Defaults,
    /// A file.
    File(PathBuf),
    /// The environment.
    Environment,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("the built-in defaults"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment => f.write_str("the environment"),
        }
    }
}

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("can't read the settings file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// A source is not TOML.
    #[error("{place} is not valid TOML: {message}")]
    Syntax {
        /// Which source.
        place: Place,
        /// Where and why.
        message: String,
    },
    /// A key that no setting has.
    #[error("unknown setting `{key}` in {place}{}", suggest(.suggestion.as_deref()))]
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// Which source has it.
        place: Place,
        /// A key that looks like it.
        suggestion: Option<String>,
    },
    /// A value that the setting can't have.
    #[error("bad value for `{key}` in {place}: {message}")]
    BadValue {
        /// The key, with its section.
        key: String,
        /// Which source set it last.
        place: Place,
        /// What is wrong with it.
        message: String,
    },
}

fn suggest(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

impl Settings {
    /// The built-in defaults, whatever this machine's own settings are.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], if this program was built with defaults that it can't read itself.
    pub fn defaults() -> Result<Self, SettingsError> {
        Self::of(&[Layer::from_toml(Place::Defaults, DEFAULTS)?], None)
    }

    /// Reads the settings: defaults, then `file` (or [`SYSTEM_FILE`] if that exists), then those
    /// of the `environment`'s variables that are named `CAPTEUR_SECTION__KEY`.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], which names the key and the source.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut layers = vec![Layer::from_toml(Place::Defaults, DEFAULTS)?];
        let system_file = Path::new(SYSTEM_FILE);
        if let Some(path) = file.or_else(|| system_file.exists().then_some(system_file)) {
            let text = std::fs::read_to_string(path)
                .map_err(|error| SettingsError::Unreadable { path: path.to_owned(), error })?;
            layers.push(Layer::from_toml(Place::File(path.to_owned()), &text)?);
        }
        let mut state_directory = None;
        let mut variables = HashMap::new();
        for (name, value) in environment {
            if name == "STATE_DIRECTORY" {
                state_directory = Some(value);
            } else if name.starts_with(PREFIX) && name.contains("__") {
                variables.insert(name, value);
            }
        }
        layers.push(Layer::from_environment(variables)?);
        Self::of(&layers, state_directory)
    }

    fn of(layers: &[Layer], state_directory: Option<String>) -> Result<Self, SettingsError> {
        let mut settings = merge(layers)?;
        if settings.store.path.as_os_str().is_empty() {
            settings.store.path = state_directory.map_or_else(
                || PathBuf::from("capteur-data"),
                // systemd lists several folders with `:` between; ours is the only one.
                |list| PathBuf::from(list.split(':').next().unwrap_or_default()),
            );
        }
        Ok(settings)
    }

    /// The settings as TOML. Secrets are masked.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

/// One source of settings, read.
struct Layer {
    place: Place,
    config: Config,
}

impl Layer {
    fn from_toml(place: Place, text: &str) -> Result<Self, SettingsError> {
        let config =
            Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build().map_err(
                |error| SettingsError::Syntax { place: place.clone(), message: error.to_string() },
            )?;
        Ok(Self { place, config })
    }

    fn from_environment(variables: HashMap<String, String>) -> Result<Self, SettingsError> {
        let (lists, texts): (HashMap<_, _>, HashMap<_, _>) =
            variables.into_iter().partition(|(name, _): &(String, _)| {
                LISTS.iter().any(|list| name.eq_ignore_ascii_case(list))
            });
        let source = |variables| {
            Environment::with_prefix(PREFIX.trim_end_matches('_'))
                .prefix_separator("_")
                .separator("__")
                .source(Some(variables))
        };
        // Parsing makes numbers of what looks like one, and a secret of digits would lose its zeros:
        // texts stay texts until their setting's type is known.
        let lists = source(lists).try_parsing(true).list_separator(",");
        let config =
            Config::builder().add_source(source(texts)).add_source(lists).build().map_err(
                |error| SettingsError::Syntax {
                    place: Place::Environment,
                    message: error.to_string(),
                },
            )?;
        Ok(Self { place: Place::Environment, config })
    }

    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        collect_keys("", &self.config.cache, &mut keys);
        keys
    }
}

/// The full names of all leaves below `value`; an empty section counts as a leaf.
fn collect_keys(path: &str, value: &Value, keys: &mut Vec<String>) {
    match &value.kind {
        ValueKind::Table(table) if path.is_empty() || !table.is_empty() => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect_keys(&path, value, keys);
            }
        }
        _ => keys.push(path.to_owned()),
    }
}

fn merge(layers: &[Layer]) -> Result<Settings, SettingsError> {
    let known = layers[0].keys();
    let is_section = |key: &str| {
        known.iter().any(|k| k.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    };
    for layer in &layers[1..] {
        // An empty section is no mistake.
        if let Some(key) = layer.keys().into_iter().find(|k| !known.contains(k) && !is_section(k)) {
            let suggestion = closest(&key, &known);
            return Err(SettingsError::UnknownKey { key, place: layer.place.clone(), suggestion });
        }
    }
    // Who set a key last is who is to be told of a bad value.
    let place = |key: &str| {
        let sets = |layer: &&Layer| layer.keys().iter().any(|k| k == key || k.starts_with(key));
        layers.iter().rev().find(sets).map_or(Place::Defaults, |layer| layer.place.clone())
    };
    let bad =
        |key: String, message: String| SettingsError::BadValue { place: place(&key), key, message };
    let merged = layers
        .iter()
        .fold(Config::builder(), |builder, layer| builder.add_source(layer.config.clone()))
        .build()
        .map_err(|error| bad(String::new(), error.to_string()))?;
    let settings: Settings = serde_path_to_error::deserialize(merged)
        .map_err(|error| bad(error.path().to_string(), error.inner().to_string()))?;
    match fault(&settings) {
        None => Ok(settings),
        Some((key, message)) => Err(bad(key.to_owned(), message)),
    }
}

/// The first value that has the right type and is wrong all the same.
fn fault(settings: &Settings) -> Option<(&'static str, String)> {
    let between = |key, value: u64, low: u64, high: u64| {
        (!(low..=high).contains(&value))
            .then(|| (key, format!("{value} is not between {low} and {high}")))
    };
    let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let mqtt = &settings.mqtt;
    between("mqtt.max_connections", size(mqtt.max_connections), 1, 1_000_000)
        .or_else(|| between("mqtt.max_packet_bytes", size(mqtt.max_packet_bytes), 256, 262_144))
        .or_else(|| between("mqtt.connect_timeout_ms", mqtt.connect_timeout_ms, 10, 600_000))
        .or_else(|| between("mqtt.write_timeout_ms", mqtt.write_timeout_ms, 10, 600_000))
        .or_else(|| {
            between("mqtt.max_queued_messages", size(mqtt.max_queued_messages), 1, 1_000_000)
        })
        .or_else(|| {
            let name = &settings.mdns.name;
            (!name.is_empty() && !is_host_label(name)).then(|| {
                let rule = format!(
                    "{name:?} is not one label of at most {HOST_LABEL_MAX} letters, digits and \
                     inner `-`"
                );
                ("mdns.name", rule)
            })
        })
        .or_else(|| between("store.flush_ms", settings.store.flush_ms, 10, 60_000))
        .or_else(|| between("store.min_free_mb", settings.store.min_free_mb, 0, 1_000_000))
        .or_else(|| between("store.backup.keep", settings.store.backup.keep.into(), 1, 100))
        .or_else(|| between("store.backup.hour", settings.store.backup.hour.into(), 0, 23))
        .or_else(|| {
            let timeout = settings.commands.confirm_timeout_ms;
            between("commands.confirm_timeout_ms", timeout, 10, 600_000)
        })
        .or_else(|| {
            // Ten digits are room for any number of devices.
            let longest = format!("{}0123456789", settings.devices.name_prefix);
            let error = longest.parse::<Name>().err()?;
            Some(("devices.name_prefix", format!("with a number behind it, {error}")))
        })
        .or_else(|| {
            (settings.devices.adoption == Adoption::Approve).then(|| {
                let message = "\"approve\" comes with a later version; \
                               \"open\" and \"closed\" work";
                ("devices.adoption", message.to_owned())
            })
        })
        .or_else(|| {
            settings.auth.required.then(|| {
                let message = "access tokens come with a later version; until then only `false` \
                               works, and the HTTP port must be kept from people you don't trust";
                ("auth.required", message.to_owned())
            })
        })
}

/// Whether `text` is a label of a host name (RFC 1123, section 2.1) with room for a number.
fn is_host_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= HOST_LABEL_MAX
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && edge(bytes.first())
        && edge(bytes.last())
}

/// The known key that is most like `key`, if one is.
fn closest(key: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests;
