//! The life of a board, from power-on for ever.

use crate::{
    backoff::Backoff,
    button::Button,
    fault::Fault,
    io::{Connector, LightSensor, Peripherals},
    led::Led,
    link::Buffers,
    settings::Settings,
};
use capteur_protocol::Name;
use core::convert::Infallible;
use embassy_time::{Duration, Timer};
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal_async::digital::Wait;

/// Where a board stands, for a status light, a log or a simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase<'a> {
    /// It looks for the hub.
    Connecting,
    /// It waits for a name and a session.
    Joining,
    /// It has a name, and starts its session.
    Starting(&'a Name),
    /// The hub has taken note of the session.
    Online(&'a Name),
    /// Something failed; it tries again after this pause.
    Waiting(Fault, Duration),
}

/// A board.
///
/// About 1.5 KiB; keep it in a static on a chip.
#[derive(Debug)]
pub struct Node<C, L, B, P> {
    pub(crate) connector: C,
    pub(crate) led: Led<L>,
    pub(crate) button: Button<B>,
    pub(crate) light: P,
    pub(crate) settings: Settings,
    pub(crate) backoff: Backoff,
    pub(crate) buffers: Buffers,
}

impl<C, L, B, P> Node<C, L, B, P>
where
    C: Connector,
    L: OutputPin,
    B: InputPin + Wait,
    P: LightSensor,
{
    /// Builds a board. `seed` should differ from board to board: it spreads their retries.
    pub fn new(
        connector: C,
        peripherals: Peripherals<L, B, P>,
        settings: Settings,
        seed: u32,
    ) -> Self {
        let Peripherals { led, button, light } = peripherals;
        Self {
            connector,
            led: Led::new(led, settings.led),
            button: Button::new(button, settings.button, settings.debounce),
            light,
            backoff: Backoff::new(settings.backoff_min, settings.backoff_max, seed),
            settings,
            buffers: Buffers::new(),
        }
    }

    /// Lives, and tells `on_phase` of every turn. Never returns.
    pub async fn run(&mut self, mut on_phase: impl FnMut(Phase<'_>)) -> ! {
        loop {
            let fault = match self.live(&mut on_phase).await {
                Ok(never) => match never {},
                Err(fault) => fault,
            };
            let pause = self.backoff.pause();
            log::warn!("{fault}; trying again in {} ms", pause.as_millis());
            on_phase(Phase::Waiting(fault, pause));
            Timer::after(pause).await;
        }
    }

    /// From the first step of the protocol until something fails.
    async fn live(&mut self, on_phase: &mut impl FnMut(Phase<'_>)) -> Result<Infallible, Fault> {
        // Makes the pin agree with what will be reported.
        self.led.set(self.led.is_on())?;
        on_phase(Phase::Connecting);
        let mut pair = self.join(on_phase).await?;
        loop {
            log::info!("the hub calls this board {}", pair.name);
            log::debug!("its session is {}", pair.session);
            on_phase(Phase::Starting(&pair.name));
            pair = self.serve(&pair, on_phase).await?;
        }
    }
}
