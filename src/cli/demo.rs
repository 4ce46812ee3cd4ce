//! `capteur demo`: the hub with simulated boards, for the first minute.

use super::{CliError, arguments::DemoArguments, logging, print, serve};
use crate::{
    config::{LogLevel, Settings},
    hub::{self, Listeners},
    simulate::{Fleet, Options},
};
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::net::TcpListener;

pub(super) async fn run(
    arguments: DemoArguments,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), CliError> {
    // What is set on this machine, for a hub that is installed here, is not for a first try.
    let mut settings = Settings::defaults()?;
    logging::start(LogLevel::Warn);
    let store = tempfile::tempdir().map_err(CliError::io("can't make a temporary folder"))?;
    settings.store.path = store.path().join("store");
    settings.store.backup.enabled = false;
    let listeners = Listeners {
        mqtt: listen_nearby("mqtt.listen", settings.mqtt.listen.port())?,
        http: listen_nearby("http.listen", settings.http.listen.port())?,
    };
    let addresses = listeners.addresses().map_err(CliError::io("a listener has no address"))?;
    settings.mqtt.listen = addresses.mqtt;
    settings.http.listen = addresses.http;
    print(&format!(
        "Capteur demo: {} simulated boards and a store that is deleted at the end.\n\
         \n    The page:  http://{}/\n    MQTT:      {}\n\nCtrl-C stops it.\n",
        arguments.devices, addresses.http, addresses.mqtt
    ))?;

    let boards = Fleet::start(Options::new(addresses.mqtt.to_string(), arguments.devices))
        .map_err(CliError::io("can't run the boards"))?;
    // The boards go first: there is no point in their finding out that the hub has gone.
    let stop = async {
        stop.await;
        boards.stop().await;
    };
    hub::run(settings, listeners, serve::platform(), stop).await.map_err(CliError::from)
}

/// Listens on this machine alone: on the usual port, or on any free one where that is taken.
fn listen_nearby(key: &'static str, port: u16) -> Result<TcpListener, CliError> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(hub::listen(key, at(port)).or_else(|_| hub::listen(key, at(0)))?)
}
