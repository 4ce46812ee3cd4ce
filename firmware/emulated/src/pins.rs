//! An LED that shows in the log, a button that the serial port presses, and a made-up sensor.

use crate::uart;
use capteur_node::LightSensor;
use capteur_protocol::Percent;
use core::{convert::Infallible, future::poll_fn, task::Poll};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use embedded_hal_async::digital::Wait;

/// An LED that shines at the high level.
pub(crate) struct Led;

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        log::info!("the LED is off");
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        log::info!("the LED is on");
        Ok(())
    }
}

/// A button, low while it is pressed: `p` on the serial port presses it, `r` releases it.
#[derive(Default)]
pub(crate) struct Button {
    pressed: bool,
}

impl Button {
    fn look(&mut self) -> bool {
        while let Some(key) = uart::key() {
            match key {
                b'p' => self.pressed = true,
                b'r' => self.pressed = false,
                _ => {}
            }
        }
        self.pressed
    }

    async fn becomes(&mut self, pressed: bool) -> Result<(), Infallible> {
        poll_fn(|_| if self.look() == pressed { Poll::Ready(Ok(())) } else { Poll::Pending }).await
    }
}

impl ErrorType for Button {
    type Error = Infallible;
}

impl InputPin for Button {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(!self.look())
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(self.look())
    }
}

impl Wait for Button {
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
        let pressed = self.look();
        self.becomes(!pressed).await
    }
}

/// A sensor whose readings go up by one percent each, and from 100 to 0: a reading that is missing
/// or there twice can be told.
#[derive(Default)]
pub(crate) struct Ramp {
    next: u8,
}

impl LightSensor for Ramp {
    type Error = Infallible;

    async fn percent(&mut self) -> Result<Percent, Infallible> {
        let level = Percent::new(self.next).expect("it is 100 at most");
        log::info!("the light is {level}");
        self.next = if self.next >= 100 { 0 } else { self.next + 1 };
        Ok(level)
    }
}
