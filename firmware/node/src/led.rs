//! The LED, and whether it shines.

use crate::fault::Fault;
use capteur_protocol::config::Polarity;
use embedded_hal::digital::{OutputPin, PinState};

#[derive(Debug)]
pub(crate) struct Led<L> {
    pin: L,
    polarity: Polarity,
    on: bool,
}

impl<L: OutputPin> Led<L> {
    pub(crate) fn new(pin: L, polarity: Polarity) -> Self {
        Self { pin, polarity, on: false }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    pub(crate) fn set(&mut self, on: bool) -> Result<(), Fault> {
        let high = on == (self.polarity == Polarity::ActiveHigh);
        self.pin.set_state(PinState::from(high)).map_err(|_| Fault::Pin)?;
        self.on = on;
        Ok(())
    }
}
