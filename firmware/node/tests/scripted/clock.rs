//! The time driver: time stands still until every task waits for it.
//!
//! Each test runs on a thread of its own and has a clock of its own.

use embassy_time::Instant;
use embassy_time_driver::Driver;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    task::Waker,
};

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    static TIMERS: RefCell<BTreeMap<u64, Vec<Waker>>> = const { RefCell::new(BTreeMap::new()) };
}

struct VirtualTime;

impl Driver for VirtualTime {
    fn now(&self) -> u64 {
        NOW.get()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        TIMERS.with_borrow_mut(|timers| timers.entry(at).or_default().push(waker.clone()));
    }
}

embassy_time_driver::time_driver_impl!(static DRIVER: VirtualTime = VirtualTime);

/// Sets the time, before anybody has looked at it.
pub(crate) fn begin_at(ms: u64) {
    NOW.set(embassy_time::Duration::from_millis(ms).as_ticks());
}

/// Moves time on to the next moment that somebody waits for, and wakes them. False if nobody waits.
pub(crate) fn advance() -> bool {
    let next = TIMERS.with_borrow_mut(BTreeMap::pop_first);
    let Some((at, wakers)) = next else { return false };
    NOW.set(NOW.get().max(at));
    wakers.into_iter().for_each(Waker::wake);
    true
}

/// The virtual time since the test began, in milliseconds.
pub(crate) fn now_ms() -> u64 {
    Instant::now().as_millis()
}
