//! What is logged, and where to.

use crate::config::LogLevel;
use std::io::IsTerminal;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Starts logging to the standard error; a panic is logged with its place.
///
/// What our libraries say is logged from `warn` on only, since it speaks of other things than a
/// person who runs the hub does; what simulated boards say of their network, and what espflash
/// advises, not at all, nor what rumqttd's router does, whose spans would cost time on every message.
pub(super) fn start(level: LogLevel) {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("rumqttd", LevelFilter::OFF)
        .with_target("capteur_node", LevelFilter::ERROR)
        .with_target("espflash", LevelFilter::ERROR)
        .with_target("capteur", threshold(level));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal stamps each line itself.
    let lines = if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().boxed()
    } else {
        lines.boxed()
    };
    let started = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    if let Err(error) = started {
        tracing::debug!("logging was started before: {error}");
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// The level of the settings as the library has it.
const fn threshold(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
