//! What the board's logic reports to, and how the chip does.

use crate::{board, watchdog::Watchdog, wifi};
use capteur_node::{Phase, Supervisor};
use capteur_protocol::Info;
use embassy_time::Instant;
use esp_hal::{rtc_cntl, system::Cpu};

/// Feeds the watchdog with the logic's progress, writes its turns into the log, and tells the hub how
/// the chip does.
pub(crate) struct Vitals {
    watchdog: &'static Watchdog,
    /// Asked for once: it is that of the last start.
    reset: &'static str,
}

impl Vitals {
    pub(crate) fn new(watchdog: &'static Watchdog) -> Self {
        Self { watchdog, reset: reset_reason() }
    }
}

impl Supervisor for Vitals {
    fn phase(&mut self, phase: Phase<'_>) {
        match phase {
            Phase::Online(name) => log::info!("online as {name}"),
            phase => log::debug!("{phase:?}"),
        }
    }

    fn progress(&mut self) {
        self.watchdog.feed();
    }

    fn info(&mut self) -> Option<Info> {
        Some(Info {
            firmware: env!("CARGO_PKG_VERSION").parse().ok(),
            chip: board::CHIP.parse().ok(),
            reset: self.reset.parse().ok(),
            rssi: wifi::signal(),
            uptime_s: Instant::now().as_secs().try_into().ok(),
            free_heap: esp_alloc::HEAP.free().try_into().ok(),
            ..Info::default()
        })
    }
}

/// Why the chip last started, in a word.
///
/// The numbers are those of the chips' ROM, and mean the same on each chip that has them
/// (`rtc_get_reset_reason`, in the "reset and clock" chapter of the reference manuals).
fn reset_reason() -> &'static str {
    match rtc_cntl::reset_reason(Cpu::current()).map(|reason| reason as usize) {
        Some(0x01) => "power-on",
        Some(0x03 | 0x0C) => "software",
        Some(0x05) => "deep-sleep",
        Some(0x07 | 0x08 | 0x09 | 0x0B | 0x0D | 0x10 | 0x11 | 0x12) => "watchdog",
        Some(0x0F) => "brown-out",
        Some(0x13 | 0x17 | 0x19) => "glitch",
        Some(0x14) => "efuse",
        Some(0x15 | 0x16) => "usb",
        Some(0x18) => "jtag",
        Some(0x1A) => "lockup",
        _ => "unknown",
    }
}
