//! What is logged, and where to.

use crate::config::LogLevel;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to the standard error; a panic is logged with its place.
///
/// What our libraries say is logged from `warn` on only, since it speaks of other things than a
/// person who runs the hub does; what simulated boards say of their network, and what espflash
/// advises, not at all, nor what rumqttd's router does, whose spans would cost time on every message.
pub(super) fn start(level: LogLevel) {
    let level = level.as_str();
    let filter = format!("warn,rumqttd=off,capteur_node=error,espflash=error,capteur={level}");
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal stamps each line itself.
    let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().try_init()
    } else {
        log.try_init()
    };
    if let Err(error) = started {
        tracing::debug!("logging was started before: {error}");
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}
