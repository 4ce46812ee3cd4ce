//! `capteur serve`: the hub under a service manager.

use super::CliError;
use crate::{
    clock::{HubClock, Linux},
    config::Settings,
    hub::{self, Listeners, Platform},
    supervisor::Supervisor,
};
use std::{future::Future, path::PathBuf, sync::Arc};
use tracing::info;

pub(super) async fn run(
    settings: Settings,
    addresses_file: Option<PathBuf>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), CliError> {
    let listeners = Listeners::bind(&settings)?;
    let addresses = listeners.addresses().map_err(CliError::io("a listener has no address"))?;
    info!(address = %addresses.mqtt, "listening for MQTT");
    info!(address = %addresses.http, "listening for HTTP");
    if let Some(path) = addresses_file {
        addresses.write(&path).map_err(CliError::io(format!("can't write {}", path.display())))?;
    }
    hub::run(settings, listeners, platform(), stop).await.map_err(CliError::from)
}

/// The machine's own clock and randomness, and the service manager that started us.
pub(super) fn platform() -> Platform {
    Platform {
        clock: Arc::new(HubClock::new(Linux::new())),
        entropy: Box::new(random),
        supervisor: Supervisor::from_environment(),
    }
}

/// A random number from the system.
fn random() -> u32 {
    #[expect(clippy::expect_used, reason = "no system that runs us lacks randomness: getrandom(2)")]
    getrandom::u32().expect("the system gives random numbers")
}
