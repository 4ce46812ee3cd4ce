//! Restarts the chip when the board's logic no longer gets anywhere.

use core::cell::RefCell;
use esp_hal::{
    peripherals::RTC_TIMER,
    rtc_cntl::{Rtc, RwdtStage},
    time::Duration,
};

/// Three times as long as the logic is quiet at most while all is well.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The watchdog of the chip's real-time part, which runs on when everything else hangs.
///
/// Nothing feeds it by the clock: it is fed when the logic says that it has got somewhere.
pub(crate) struct Watchdog(RefCell<Rtc<'static>>);

impl Watchdog {
    /// Lets it loose.
    pub(crate) fn start(timer: RTC_TIMER<'static>) -> Self {
        let mut rtc = Rtc::new(timer);
        rtc.rwdt.set_timeout(RwdtStage::Stage0, TIMEOUT);
        rtc.rwdt.enable();
        Self(RefCell::new(rtc))
    }

    /// Puts the restart off.
    pub(crate) fn feed(&self) {
        // All is on one executor, and nothing here waits: it is never borrowed twice.
        if let Ok(mut rtc) = self.0.try_borrow_mut() {
            rtc.rwdt.feed();
        }
    }
}
