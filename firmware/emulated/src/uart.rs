//! The serial port: the log goes out, and keys come in.

use core::fmt;

/// A 16550 as QEMU has it: what is written goes out at once.
const DATA: *mut u8 = 0x1000_0000 as *mut u8;
/// Its line status register, whose lowest bit says that a byte has come in.
const STATUS: *const u8 = 0x1000_0005 as *const u8;

/// The serial port.
pub(crate) struct Uart;

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the machine has this register at this address, and no memory of ours is there.
            unsafe { DATA.write_volatile(byte) };
        }
        Ok(())
    }
}

/// The next byte that has come in.
pub(crate) fn key() -> Option<u8> {
    // SAFETY: the machine has these registers at these addresses, and no memory of ours is there.
    unsafe { (STATUS.read_volatile() & 1 != 0).then(|| DATA.read_volatile()) }
}

/// Starts the log.
pub(crate) fn start_log() {
    static LOG: Log = Log;
    // Fails only where there is a logger already.
    let _ = log::set_logger(&LOG);
    log::set_max_level(log::LevelFilter::Info);
}

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        use fmt::Write as _;
        // The port can't fail.
        let _ = writeln!(Uart, "{:5} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}
