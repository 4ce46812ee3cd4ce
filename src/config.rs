//! Settings: what they are, where they come from, and why a bad one is refused.

mod load;

pub use load::{DEFAULTS, Place, SYSTEM_FILE, SettingsError};

use crate::model::MasterKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{net::SocketAddr, path::PathBuf};

/// All settings of the hub. `config/default.toml` says what each means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The MQTT server.
    pub mqtt: Mqtt,
    /// The API and the page.
    pub http: Http,
    /// What the hub is called on the network.
    pub mdns: Mdns,
    /// Where and how devices and readings are kept.
    pub store: Store,
    /// How devices are named and let in.
    pub devices: Devices,
    /// Orders to devices.
    pub commands: Commands,
    /// Who may use the API.
    pub auth: Auth,
    /// What boards are written with.
    pub firmware: Firmware,
    /// What is logged.
    pub log: Log,
}

/// `[mqtt]`: the MQTT server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Where to listen. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// What a client without credentials may do.
    pub anonymous: Anonymous,
    /// What boards' keys are derived from; `None` where boards need none.
    #[serde(deserialize_with = "master_key", serialize_with = "masked")]
    pub device_key: Option<MasterKey>,
    /// The most clients that are connected at once.
    pub max_connections: usize,
    /// The largest packet that is taken in, in bytes.
    pub max_packet_bytes: usize,
    /// How long a new connection has to send its CONNECT, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a client may leave its receive window full, in milliseconds.
    pub write_timeout_ms: u64,
    /// The longest time that the session of an absent client is kept, in seconds.
    pub max_session_expiry_s: u32,
    /// The most messages that wait for one client; the oldest at QoS 0 goes first.
    pub max_queued_messages: usize,
    /// The most messages retained, over all topics.
    pub max_retained: usize,
}

/// What is shown in the place of a secret.
const MASK: &str = "********";

/// An empty text is no key; and what was printed may come back as a settings file, whose mask
/// everybody knows.
fn master_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MasterKey>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        MASK => Err(D::Error::custom("this is what is printed in the place of a secret")),
        secret => Ok(MasterKey::new(secret)),
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn masked<S: Serializer>(secret: &Option<MasterKey>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if secret.is_some() { MASK } else { "" })
}

/// What a client without credentials may do on the MQTT port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Be a device: publish what devices publish, hear what is addressed to it.
    Device,
    /// Everything, as a general-purpose broker.
    Full,
    /// Nothing: it is refused.
    None,
}

/// `[http]`: the API and the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to listen. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Host names, beside IP addresses, `localhost` and `*.local`, under which the hub is called.
    pub hosts: Vec<String>,
}

/// `[mdns]`: what the hub is called on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mdns {
    /// The host name without `.local`; empty where the hub says nothing.
    pub name: String,
    /// The interfaces on which it is said; empty for all that boards may come from.
    pub interfaces: Vec<String>,
}

/// `[store]`: where and how devices and readings are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The folder of the store.
    pub path: PathBuf,
    /// The longest time that a QoS 0 reading waits for a commit, in milliseconds.
    pub flush_ms: u64,
    /// Where the file system has less room than this, in MB, readings are not recorded.
    pub min_free_mb: u64,
    /// How long what is kept.
    pub retention: Retention,
    /// The nightly backup.
    pub backup: Backup,
}

/// `[store.retention]`: how long what is kept. 0 is without a limit; a MB is a million bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// How long single readings are kept, in days.
    pub raw_days: u32,
    /// How long summaries of a minute are kept, in days.
    pub minute_days: u32,
    /// How long summaries of an hour are kept, in days.
    pub hour_days: u32,
    /// How long lines of the devices' logs are kept, in days.
    pub log_days: u32,
    /// The most that single readings may take, in MB.
    pub raw_mb: u64,
    /// The most that summaries of a minute may take, in MB.
    pub minute_mb: u64,
    /// The most that summaries of an hour may take, in MB.
    pub hour_mb: u64,
    /// The most that the devices' logs may take, in MB.
    pub log_mb: u64,
    /// The most that all of these may take together, in MB; 0 is a fifth of the file system.
    pub total_mb: u64,
}

/// `[store.backup]`: the nightly backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Whether there is one.
    pub enabled: bool,
    /// How many are kept.
    pub keep: u32,
    /// The hour of the day, in UTC, in which it is made.
    pub hour: u32,
}

/// `[devices]`: how devices are named and let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// What default names begin with; a number follows.
    pub name_prefix: String,
    /// What happens to a newcomer.
    pub adoption: Adoption,
}

/// What happens to a device that the hub has never heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Adoption {
    /// It gets a name at once.
    Open,
    /// It waits until a person accepts it.
    Approve,
    /// It is ignored.
    Closed,
}

/// `[commands]`: orders to devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    /// How long a device has to confirm an order, in milliseconds.
    pub confirm_timeout_ms: u64,
}

/// `[auth]`: who may use the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Whether calls need a token.
    pub required: bool,
}

/// `[firmware]`: what boards are written with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// The folder of the images; empty: where they are usually.
    pub path: PathBuf,
}

/// `[log]`: what is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least important level that is logged.
    pub level: LogLevel,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The hub can't do its work.
    Error,
    /// Something is wrong, and the hub goes on.
    Warn,
    /// What a person who runs the hub wants to know.
    Info,
    /// What a person who looks for a fault wants to know; may show session ids.
    Debug,
    /// Everything.
    Trace,
}
