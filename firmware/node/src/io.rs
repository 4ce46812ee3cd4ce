//! What a board is made of: network, pins, sensor.

use capteur_protocol::Percent;
use core::fmt::Debug;
use embedded_io_async::{Read, Write};

/// Opens byte streams to the hub's MQTT port.
///
/// Implementations wait for the network, find the hub's address and connect; TLS belongs here too.
/// Dropping the stream must close it.
#[expect(async_fn_in_trait, reason = "boards run on single-threaded executors: no Send wanted")]
pub trait Connector {
    /// The stream. Its reads stay pending while there is nothing to read, and both reads and writes
    /// can be cancelled without losing bytes.
    type Stream<'a>: Read + Write
    where
        Self: 'a;
    /// Why no stream could be opened.
    type Error: Debug;

    /// Opens a stream. The caller bounds the time that this may take.
    async fn open(&mut self) -> Result<Self::Stream<'_>, Self::Error>;
}

/// Measures the light, calibrated for the sensor at hand.
#[expect(async_fn_in_trait, reason = "boards run on single-threaded executors: no Send wanted")]
pub trait LightSensor {
    /// Why there is no measurement.
    type Error: Debug;

    /// Measures once. The caller bounds the time that this may take.
    async fn percent(&mut self) -> Result<Percent, Self::Error>;
}

/// The parts that a board's user sees.
#[derive(Debug)]
pub struct Peripherals<L, B, P> {
    /// The pin of the LED.
    pub led: L,
    /// The pin of the button.
    pub button: B,
    /// The photoresistor.
    pub light: P,
}
