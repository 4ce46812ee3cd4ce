//! How the chip does: what started it, and what it has left.

use esp_hal::{rtc_cntl, system::Cpu};

/// Why the chip last started, in a word.
///
/// The numbers are those of the chips' ROM, and mean the same on each chip that has them
/// (`rtc_get_reset_reason`, in the "reset and clock" chapter of the reference manuals).
pub(crate) fn reset_reason() -> &'static str {
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
