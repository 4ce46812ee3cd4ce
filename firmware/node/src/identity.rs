//! Who a board says it is.

use crate::settings::Settings;
use capteur_protocol::{config::BoardKey, mac::MAC_LEN};
use core::fmt::{self, Write as _};
use heapless::String;

/// The digits of a key.
const KEY_LEN: usize = 64;

/// What a board shows when it connects.
pub(crate) struct Identity {
    mac: String<MAC_LEN>,
    password: Option<String<KEY_LEN>>,
}

impl Identity {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut mac = String::new();
        // Can't fail: a MAC is printed in exactly that many bytes.
        let _ = write!(mac, "{}", settings.mac);
        Self { mac, password: settings.key.map(BoardKey::to_hex) }
    }

    /// The MQTT client id: the MAC, so that the broker ends a forgotten connection.
    pub(crate) fn client_id(&self) -> &str {
        &self.mac
    }

    /// User name and password, for a board that has a key.
    pub(crate) fn credentials(&self) -> Option<(&str, &[u8])> {
        self.password.as_ref().map(|password| (self.mac.as_str(), password.as_bytes()))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.mac)
    }
}
