//! The button, without its bounces.

use crate::fault::Fault;
use capteur_protocol::config::Polarity;
use embassy_time::{Duration, Instant, Timer};
use embedded_hal::digital::InputPin;
use embedded_hal_async::digital::Wait;

#[derive(Debug)]
pub(crate) struct Button<B> {
    pin: B,
    polarity: Polarity,
    debounce: Duration,
    pressed: bool,
    /// When a level that differs from `pressed` will have stood long enough to be looked at.
    settles_at: Option<Instant>,
}

impl<B: InputPin + Wait> Button<B> {
    pub(crate) fn new(pin: B, polarity: Polarity, debounce: Duration) -> Self {
        Self { pin, polarity, debounce, pressed: false, settles_at: None }
    }

    /// Whether the button counts as pressed.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// Takes the pin's level as it is now.
    pub(crate) fn sample(&mut self) -> Result<(), Fault> {
        let low = self.pin.is_low().map_err(|_| Fault::Pin)?;
        self.pressed = low == (self.polarity == Polarity::ActiveLow);
        self.settles_at = None;
        Ok(())
    }

    /// Waits until [`is_pressed`](Self::is_pressed) has changed.
    ///
    /// Waits for a level, not an edge: what happened while nobody was waiting is not missed. Can be
    /// cancelled: a wait for the level to settle goes on where it was.
    pub(crate) async fn changed(&mut self) -> Result<(), Fault> {
        loop {
            let settles_at = if let Some(at) = self.settles_at {
                at
            } else {
                self.opposite_level().await?;
                let at = Instant::now() + self.debounce;
                self.settles_at = Some(at);
                at
            };
            Timer::at(settles_at).await;
            let before = self.pressed;
            self.sample()?;
            if self.pressed != before {
                return Ok(());
            }
        }
    }

    async fn opposite_level(&mut self) -> Result<(), Fault> {
        if self.pressed == (self.polarity == Polarity::ActiveLow) {
            self.pin.wait_for_high().await
        } else {
            self.pin.wait_for_low().await
        }
        .map_err(|_| Fault::Pin)
    }
}
