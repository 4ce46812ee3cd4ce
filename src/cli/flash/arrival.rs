//! A board's coming online, seen from the hub that runs on this machine.

use super::{address, local_name};
use crate::{
    addresses::Addresses,
    cli::{
        CliError, print, print_error,
        remote::{self, Download, RemoteError},
    },
    config::Settings,
};
use capteur_protocol::{Config, Mac};
use serde_json::Value;
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _, UdpSocket},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a board may take to start, find its Wi-Fi and its hub, and join.
const WAIT: Duration = Duration::from_mins(1);

/// How often the hub is asked.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the hub may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most of an answer that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// A board that is to come online at this machine's hub.
pub(super) struct Arrival {
    hub: SocketAddr,
    device: String,
    /// When it joined last before.
    joined_at: Value,
}

/// Whether a board with these settings looks for its hub on this machine.
pub(super) fn looks_here(config: &Config, settings: &Settings) -> bool {
    let host = config.host();
    if local_name(settings).is_some_and(|name| name == host) {
        return true;
    }
    // An address can be listened on only where it is one's own.
    let addresses = (host, 0).to_socket_addrs();
    addresses.is_ok_and(|mut list| list.any(|address| UdpSocket::bind(address).is_ok()))
}

impl Arrival {
    /// Looks how the hub of this machine knows the board, before it starts. `None` where no hub runs.
    pub(super) async fn expect(settings: &Settings, mac: Mac) -> Option<Self> {
        // Others may not read the folder of the service's store; then its port has to do.
        let hub = remote::hub_of(&settings.store.path).unwrap_or_else(|_| {
            Addresses { mqtt: settings.mqtt.listen, http: settings.http.listen }.http_from_here()
        });
        let health = timeout(PATIENCE, get(hub, "/api/v1/health")).await.ok()?.ok()?;
        health["status"].as_str()?;
        let device = format!("/api/v1/devices/{mac}");
        // A board that is new has not joined.
        let known = timeout(PATIENCE, get(hub, &device)).await.ok()?.unwrap_or_default();
        Some(Self { hub, device, joined_at: known["joined_at"].clone() })
    }

    /// Waits until the board has joined anew and is online, and says so; or what to look at.
    pub(super) async fn wait(self, config: &Config) -> Result<(), CliError> {
        print_error("waiting for the board to come online (Ctrl-C: do not wait)\n");
        match timeout_at(Instant::now() + WAIT, self.online()).await {
            Ok(name) => print(&format!("{name} is online: http://{}/\n", self.hub)),
            Err(_) => print(&missing(config)),
        }
    }

    /// The name under which it has come online.
    async fn online(&self) -> String {
        loop {
            // A hub that restarts meanwhile is asked again.
            if let Ok(device) = get(self.hub, &self.device).await
                && device["state"] == "online"
                && device["joined_at"] != self.joined_at
                && let Some(name) = device["name"].as_str()
            {
                return name.to_owned();
            }
            sleep(PAUSE).await;
        }
    }
}

fn missing(config: &Config) -> String {
    let ssid = config.ssid.as_ref().map_or("its Wi-Fi", |ssid| ssid.as_str());
    format!(
        "The board is not online yet. It may still come; if it does not:\n\
         - {ssid} has to be a 2.4 GHz network, and within reach;\n\
         - its password has to be right: `capteur flash` again with CAPTEUR_WIFI_PASSWORD sets it;\n\
         - {} has to be this machine as seen from that network, with no firewall between: `--hub` \
         takes its IPv4 address as well.\n",
        address(config)
    )
}

async fn get(hub: SocketAddr, path: &str) -> Result<Value, RemoteError> {
    let mut download = Download::start(hub, path).await?;
    let mut body = Vec::new();
    while let Some(piece) = download.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > ANSWER_MAX {
            break;
        }
    }
    serde_json::from_slice(&body)
        .map_err(|error| RemoteError::Unreachable { address: hub, error: io::Error::other(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(host: Option<&str>) -> Config {
        Config {
            ssid: "my network".parse().ok(),
            host: host.map(|host| host.parse().unwrap()),
            ..Config::default()
        }
    }

    #[test]
    fn a_board_looks_here_by_default_and_at_addresses_of_this_machine() {
        let settings = Settings::defaults().unwrap();
        for host in [None, Some("capteur.local"), Some("127.0.0.1"), Some("localhost")] {
            assert!(looks_here(&config(host), &settings), "{host:?}");
        }
        // TEST-NET-1 (RFC 5737) is nobody's.
        assert!(!looks_here(&config(Some("192.0.2.1")), &settings));
        assert!(!looks_here(&config(Some("no.such.host.invalid")), &settings));
    }

    #[test]
    fn what_to_look_at_names_network_and_hub() {
        let said = missing(&config(Some("192.0.2.1")));
        assert!(said.contains("my network") && said.contains("192.0.2.1:1883"), "{said}");
    }
}
