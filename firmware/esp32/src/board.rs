//! Which pins the LED, the button and the photoresistor of a board are on.
//!
//! The boards are the files in `boards/`; the build script turns those of the chip into code. One
//! image serves them all: the settings name the board.

use capteur_node::Polarity;
use esp_hal::gpio::{AnyPin, Input, InputConfig, Level, Output, OutputConfig, Pull};

include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// The pins of a board, and how the parts on them are wired.
pub(crate) struct Parts {
    /// The LED's pin.
    pub(crate) led: AnyPin<'static>,
    /// The level at which the LED shines.
    pub(crate) led_polarity: Polarity,
    /// The button's pin.
    pub(crate) button: AnyPin<'static>,
    /// The level that means "pressed".
    pub(crate) button_polarity: Polarity,
    /// The photoresistor's pin.
    pub(crate) light: LightPin,
    /// The greatest power of the radio, in dBm.
    pub(crate) dbm: f32,
}

/// The LED's driver; the LED is off.
pub(crate) fn led(pin: AnyPin<'static>, polarity: Polarity) -> Output<'static> {
    let off = match polarity {
        Polarity::ActiveHigh => Level::Low,
        Polarity::ActiveLow => Level::High,
    };
    Output::new(pin, off, OutputConfig::default())
}

/// The button's driver, with the pull of the chip against the level of a press.
pub(crate) fn button(pin: AnyPin<'static>, polarity: Polarity) -> Input<'static> {
    let pull = match polarity {
        Polarity::ActiveHigh => Pull::Down,
        Polarity::ActiveLow => Pull::Up,
    };
    Input::new(pin, InputConfig::default().with_pull(pull))
}
