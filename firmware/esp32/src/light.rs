//! The photoresistor, read by the chip's analog-digital converter.

use crate::board::{Channel, LightPin};
use capteur_node::LightSensor;
use capteur_protocol::{Percent, config::Calibration};
use core::convert::Infallible;
use embassy_futures::yield_now;
use esp_hal::{
    Blocking,
    analog::adc::{Adc, AdcConfig},
    peripherals::ADC1,
};

/// How the converter's steps become millivolts: by the curve or the line that Espressif burned into
/// the chip.
#[cfg(any(feature = "esp32c3", feature = "esp32c5", feature = "esp32c6", feature = "esp32s3"))]
pub(crate) type Scale = esp_hal::analog::adc::AdcCalCurve<ADC1<'static>>;
#[cfg(any(feature = "esp32c2", feature = "esp32", feature = "esp32s2"))]
pub(crate) type Scale = esp_hal::analog::adc::AdcCalLine<ADC1<'static>>;

/// The converter: ADC1 of each chip, since the radio takes ADC2 where there is one.
pub(crate) type Converter = Adc<'static, ADC1<'static>, Blocking>;

/// What a photoresistor of 5 to 10 kΩ above a resistor of 10 kΩ gives, about.
pub(crate) const CALIBRATION: Calibration = match Calibration::new(100, 2_400) {
    Ok(calibration) => calibration,
    Err(_) => unreachable!(),
};

/// Readings that are averaged for one measurement: they are noisy, the more so while the radio sends.
const SAMPLES: u16 = 8;

/// No pin of these chips measures more. What is above is a small negative value that the calibration
/// has wrapped.
const MILLIVOLTS_MAX: u16 = 4_000;

const _: () = assert!(MILLIVOLTS_MAX.checked_mul(SAMPLES).is_some());

/// A photoresistor in a voltage divider.
pub(crate) struct Photoresistor {
    converter: Converter,
    channel: Channel,
    calibration: Calibration,
}

impl Photoresistor {
    /// Takes the converter for the one pin.
    pub(crate) fn new(unit: ADC1<'static>, pin: LightPin, calibration: Calibration) -> Self {
        let mut config = AdcConfig::new();
        let channel = Channel::enable(pin, &mut config);
        Self { converter: Adc::new(unit, config), channel, calibration }
    }
}

impl LightSensor for Photoresistor {
    type Error = Infallible;

    async fn percent(&mut self) -> Result<Percent, Infallible> {
        let mut sum = 0_u16;
        for _ in 0..SAMPLES {
            // A conversion takes microseconds. One that never ends costs a measurement, not the board:
            // the caller gives up.
            let millivolts = loop {
                match self.channel.poll(&mut self.converter) {
                    Some(millivolts) => break millivolts,
                    None => yield_now().await,
                }
            };
            sum += if millivolts > MILLIVOLTS_MAX { 0 } else { millivolts };
        }
        Ok(self.calibration.percent(sum / SAMPLES))
    }
}

/// Makes the types of the pins that measure on some board: bare, and as a channel of the converter.
macro_rules! analog_pin {
    ($($gpio:ident),+) => {
        /// A pin that measures.
        pub(crate) enum LightPin {
            $(#[doc = stringify!($gpio)] $gpio(esp_hal::peripherals::$gpio<'static>),)+
        }

        /// A pin as a channel of the converter.
        pub(crate) enum Channel {
            $(
                #[doc = stringify!($gpio)]
                $gpio(esp_hal::analog::adc::AdcPin<
                    esp_hal::peripherals::$gpio<'static>,
                    esp_hal::peripherals::ADC1<'static>,
                    $crate::light::Scale,
                >),
            )+
        }

        impl Channel {
            /// Makes the pin a channel, for voltages up to about 3 V.
            pub(crate) fn enable(
                pin: LightPin,
                config: &mut esp_hal::analog::adc::AdcConfig<esp_hal::peripherals::ADC1<'static>>,
            ) -> Self {
                let attenuation = esp_hal::analog::adc::Attenuation::_11dB;
                match pin {
                    $(LightPin::$gpio(pin) => Self::$gpio(config.enable_pin_with_cal(pin, attenuation)),)+
                }
            }

            /// Starts a conversion, or looks for its end: the voltage in millivolts.
            pub(crate) fn poll(&mut self, converter: &mut $crate::light::Converter) -> Option<u16> {
                match self {
                    $(Self::$gpio(pin) => converter.read_oneshot(pin).ok(),)+
                }
            }
        }
    };
}
pub(crate) use analog_pin;
