//! LED, button and photoresistor.

use super::{
    board::{Shared, State},
    daylight::Daylight,
};
use capteur_node::LightSensor;
use capteur_protocol::Percent;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use embedded_hal_async::digital::Wait;
use std::{convert::Infallible, sync::Arc, time::Instant};
use tokio::sync::watch;

/// An LED whose state can be seen from outside.
pub(super) struct LedPin {
    pub(super) state: watch::Sender<State>,
    pub(super) shared: Arc<Shared>,
}

impl LedPin {
    fn set(&self, on: bool) {
        self.shared.led_writes.add();
        self.state.send_if_modified(|state| std::mem::replace(&mut state.led, on) != on);
    }
}

impl ErrorType for LedPin {
    type Error = Infallible;
}

impl OutputPin for LedPin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set(true);
        Ok(())
    }
}

/// A button between pin and ground, with a pull-up: low while it is pressed.
pub(super) struct ButtonPin {
    pub(super) pressed: watch::Receiver<bool>,
}

impl ButtonPin {
    async fn becomes(&mut self, pressed: bool) -> Result<(), Infallible> {
        if self.pressed.wait_for(|now| *now == pressed).await.is_err() {
            // Nobody is left who could press it.
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl ErrorType for ButtonPin {
    type Error = Infallible;
}

impl InputPin for ButtonPin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(!*self.pressed.borrow())
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(*self.pressed.borrow())
    }
}

impl Wait for ButtonPin {
    async fn wait_for_high(&mut self) -> Result<(), Infallible> {
        self.becomes(false).await
    }

    async fn wait_for_low(&mut self) -> Result<(), Infallible> {
        self.becomes(true).await
    }

    async fn wait_for_rising_edge(&mut self) -> Result<(), Infallible> {
        self.becomes(true).await?;
        self.becomes(false).await
    }

    async fn wait_for_falling_edge(&mut self) -> Result<(), Infallible> {
        self.becomes(false).await?;
        self.becomes(true).await
    }

    async fn wait_for_any_edge(&mut self) -> Result<(), Infallible> {
        let pressed = *self.pressed.borrow();
        self.becomes(!pressed).await
    }
}

/// A photoresistor that sees the daylight, or what a test holds over it.
pub(super) struct Photoresistor {
    pub(super) daylight: Daylight,
    pub(super) since: Instant,
    pub(super) shared: Arc<Shared>,
}

impl LightSensor for Photoresistor {
    type Error = Infallible;

    async fn percent(&mut self) -> Result<Percent, Infallible> {
        self.shared.readings.add();
        Ok(self.shared.light().unwrap_or_else(|| self.daylight.level(self.since.elapsed())))
    }
}
