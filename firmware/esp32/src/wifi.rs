//! The station: joins the Wi-Fi network and comes back to it.

use capteur_protocol::config::{Passphrase, Ssid};
use core::sync::atomic::{AtomicI8, Ordering};
use embassy_time::{Duration, Timer, with_timeout};
use esp_hal::rng::Rng;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ControllerConfig, WifiController, WifiError,
    sta::StationConfig,
};

/// How long joining may take: a scan of all channels and the handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// About the first pause after a failure; each failure in a row doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// About the longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The greatest power that the radio sends with, in dBm, unless the board is better off with another.
/// Left alone, the driver takes 5, with which a board is heard in the next room and no further; with
/// 16 and more some boards fail to join.
pub(crate) const DBM: f32 = 15.0;

/// From one look at the signal to the next.
const LOOK: Duration = Duration::from_secs(10);

/// The signal's strength in dBm, or 0 while there is none.
static SIGNAL: AtomicI8 = AtomicI8::new(0);

/// The strength of the access point's signal in dBm, a few seconds old at most; `None` outside the
/// network.
pub(crate) fn signal() -> Option<i8> {
    Some(SIGNAL.load(Ordering::Relaxed)).filter(|dbm| *dbm != 0)
}

/// Starts the radio for a network: WPA2 or better, or an open one where there is no password. It sends
/// with at most `dbm`.
pub(crate) fn start(
    radio: esp_hal::peripherals::WIFI<'static>,
    name: &Ssid,
    password: Option<&Passphrase>,
    dbm: f32,
) -> Result<WifiController<'static>, WifiError> {
    let authentication = match password {
        Some(password) => AuthenticationMethodConfig::Wpa2Personal(password.as_str().try_into()?),
        None => AuthenticationMethodConfig::Open,
    };
    let station = StationConfig::default()
        .with_ssid(name.as_str().try_into()?)
        .with_authentication(authentication);
    let config = ControllerConfig::default().with_initial_config(Config::Station(station));
    let mut controller = WifiController::new(radio, config)?;
    // In quarters of a dBm. The build script keeps it within 2 to 20 dBm.
    #[expect(clippy::cast_possible_truncation, reason = "80 at most")]
    controller.set_max_tx_power((dbm * 4.0) as i8)?;
    Ok(controller)
}

/// Joins the network, and again whenever it is lost. Never returns.
#[embassy_executor::task]
pub(crate) async fn stay(mut controller: WifiController<'static>) -> ! {
    let mut pause = PAUSE_MIN;
    loop {
        match with_timeout(CONNECT_TIMEOUT, controller.connect_async()).await {
            Ok(Ok(network)) => {
                log::info!("joined the network {:?} on channel {}", network.ssid, network.channel);
                pause = PAUSE_MIN;
                watch(&controller).await;
                SIGNAL.store(0, Ordering::Relaxed);
            }
            Ok(Err(error)) => log::warn!("the network can't be joined: {error:?}"),
            Err(_) => {
                log::warn!("the network can't be joined: no answer");
                // What it says does not matter: the next attempt starts afresh.
                let _ = with_timeout(CONNECT_TIMEOUT, controller.disconnect_async()).await;
            }
        }
        Timer::after(jittered(pause)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Keeps an eye on the signal until the network is lost.
async fn watch(controller: &WifiController<'static>) {
    loop {
        if let Ok(dbm) = controller.rssi() {
            SIGNAL.store(i8::try_from(dbm).unwrap_or(i8::MIN), Ordering::Relaxed);
        }
        // What is lost between two waits shows at the start of the next one.
        match with_timeout(LOOK, controller.wait_for_disconnect_async()).await {
            Ok(Ok(lost)) => return log::warn!("the network is lost: {:?}", lost.reason),
            Ok(Err(error)) => return log::warn!("the network is lost: {error:?}"),
            Err(_) => {}
        }
    }
}

/// Something from the upper half of a pause: boards that lost a network together should not all
/// come back to it at once.
fn jittered(pause: Duration) -> Duration {
    let half = pause.as_ticks() / 2;
    Duration::from_ticks(half + u64::from(Rng::new().random()) % (half + 1))
}
