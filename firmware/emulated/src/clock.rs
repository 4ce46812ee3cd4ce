//! The machine's clock, and how the program sleeps.

use core::{
    arch::asm,
    task::{Context, Poll, Waker},
};
use embassy_time_driver::{Driver, TICK_HZ};

/// The clock of the RISC-V "core-local interruptor", 64 bits in two halves: 10 MHz in QEMU.
const MTIME: *const u32 = 0x0200_BFF8 as *const u32;
/// When its interrupt becomes pending, for the one hart there is.
const MTIMECMP: *mut u32 = 0x0200_4000 as *mut u32;
const HZ: u64 = 10_000_000;

/// How long the program sleeps while nothing is ready.
const DOZE: u64 = HZ / 1_000;

struct Clock;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

impl Driver for Clock {
    fn now(&self) -> u64 {
        mtime() / (HZ / TICK_HZ)
    }

    /// Everything is looked at after each doze, so nobody needs to be woken.
    fn schedule_wake(&self, _at: u64, _waker: &Waker) {}
}

fn mtime() -> u64 {
    loop {
        // SAFETY: the machine has these registers at these addresses, and no memory of ours is there.
        let (high, low, again) = unsafe {
            (MTIME.add(1).read_volatile(), MTIME.read_volatile(), MTIME.add(1).read_volatile())
        };
        if high == again {
            return (u64::from(high) << 32) | u64::from(low);
        }
    }
}

/// Runs one future for ever: polls it, and sleeps for a millisecond.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = core::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        doze();
    }
}

/// Leaves the host's processor alone for a while.
fn doze() {
    /// The timer's bit in `mie`.
    const MTIE: usize = 1 << 7;
    let [a, b, c, d, high @ ..] = (mtime() + DOZE).to_le_bytes();
    let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(high));
    // SAFETY: the machine has this register at this address, and no memory of ours is there. The
    // interrupt becomes pending, which ends the wait, but is not taken: `mstatus.MIE` is never set.
    unsafe {
        // Never a moment in between that lies in the past (RISC-V privileged architecture, 3.2.1).
        MTIMECMP.write_volatile(u32::MAX);
        MTIMECMP.add(1).write_volatile(high);
        MTIMECMP.write_volatile(low);
        asm!("csrs mie, {}", "wfi", in(reg) MTIE, options(nomem, nostack));
    }
}

/// There is one hart, and it takes no interrupts: it is always alone.
struct Alone;

critical_section::set_impl!(Alone);

// SAFETY: nothing else runs that could come between.
unsafe impl critical_section::Impl for Alone {
    unsafe fn acquire() {}
    unsafe fn release((): ()) {}
}
