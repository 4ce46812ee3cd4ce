//! From power-on to `main`, and the ways out.

use crate::uart::Uart;
use core::{arch::asm, fmt::Write as _, panic::PanicInfo};

// QEMU jumps to `_start` with nothing set up: a stack, zeros where statics expect them (RAM is zero at
// first, but a reset keeps it), and somewhere for a trap to end.
core::arch::global_asm!(
    r"
    .section .init
    .global _start
_start:
    la sp, _stack_top
    la t0, _bss_start
    la t1, _bss_end
1:  bgeu t0, t1, 2f
    sw zero, 0(t0)
    addi t0, t0, 4
    j 1b
2:  la t0, _trap
    csrw mtvec, t0
    call {main}
    .align 2
_trap:
    call {trap}
",
    main = sym crate::main,
    trap = sym trap,
);

/// A trap is a mistake of this program: interrupts are never taken.
extern "C" fn trap() -> ! {
    let (cause, at): (usize, usize);
    // SAFETY: reads two registers, which changes nothing.
    unsafe {
        asm!("csrr {}, mcause", out(reg) cause, options(nomem, nostack));
        asm!("csrr {}, mepc", out(reg) at, options(nomem, nostack));
    }
    panic!("trap {cause:#x} at {at:#x}");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The port can't fail.
    let _ = writeln!(Uart, "{info}");
    exit_with_failure()
}

/// Ends QEMU with status 1.
fn exit_with_failure() -> ! {
    /// The machine's "test finisher" (`sifive_test`), and its word for failure with a status of 1.
    const FINISHER: *mut u32 = 0x0010_0000 as *mut u32;
    const FAILED: u32 = 0x3333 | (1 << 16);
    // SAFETY: the machine has this register at this address, and no memory of ours is there.
    unsafe { FINISHER.write_volatile(FAILED) };
    loop {
        core::hint::spin_loop();
    }
}
