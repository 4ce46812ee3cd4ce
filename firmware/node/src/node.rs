//! The life of a board, from power-on until it is told to stop.

use crate::{
    backoff::Backoff,
    button::Button,
    fault::Fault,
    identity::Identity,
    io::{Connector, LightSensor, Peripherals},
    led::Led,
    light::Light,
    link::Buffers,
    settings::Settings,
    stop::Stop,
    supervisor::{Phase, Supervisor},
};
use core::{
    convert::Infallible,
    future::{Future, pending},
    pin::pin,
};
use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Instant, Timer};
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal_async::digital::Wait;

/// How many readings a board keeps for a hub that is away: an hour's at one every ten seconds, and
/// some more.
pub const BACKLOG_LEN: usize = 384;

/// How often a board that waits says that it does.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// A board.
///
/// `N` is how many readings it keeps while the hub is away, 16 bytes each. About 3 KiB, and 6 KiB
/// for the usual [`BACKLOG_LEN`] readings; keep it in a static on a chip.
#[derive(Debug)]
pub struct Node<C, L, B, P, const N: usize = BACKLOG_LEN> {
    pub(crate) connector: C,
    pub(crate) led: Led<L>,
    pub(crate) button: Button<B>,
    pub(crate) light: Light<P, N>,
    pub(crate) settings: Settings,
    pub(crate) backoff: Backoff,
    pub(crate) identity: Identity,
    pub(crate) buffers: Buffers,
}

/// The board was told to stop.
pub(crate) struct Stopped;

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
        Self::with_backlog(connector, peripherals, settings, seed)
    }
}

impl<C, L, B, P, const N: usize> Node<C, L, B, P, N>
where
    C: Connector,
    L: OutputPin,
    B: InputPin + Wait,
    P: LightSensor,
{
    /// Builds a board that keeps up to `N` readings; otherwise as [`new`](Node::new).
    pub fn with_backlog(
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
            light: Light::new(light, settings.away_interval.max(settings.light_interval)),
            backoff: Backoff::new(settings.backoff_min, settings.backoff_max, seed),
            identity: Identity::new(&settings),
            settings,
            buffers: Buffers::new(),
        }
    }

    /// Lives, and tells `supervisor` of every turn. Never returns.
    pub async fn run(&mut self, supervisor: impl Supervisor) -> ! {
        self.run_until(supervisor, pending()).await;
        match pending::<Infallible>().await {}
    }

    /// Lives until `stop` completes. A board that is online then says so on `state/leave` and
    /// waits for the hub to take note, for as long as [`Settings::io_timeout`] allows.
    pub async fn run_until(
        &mut self,
        mut supervisor: impl Supervisor,
        stop: impl Future<Output = ()>,
    ) {
        let stop = pin!(stop);
        let mut stop = Stop::new(stop);
        loop {
            let fault = match self.live(&mut supervisor, &mut stop).await {
                Ok(Stopped) => return,
                Err(fault) => fault,
            };
            let pause = self.backoff.pause();
            log::warn!("{fault}; trying again in {} ms", pause.as_millis());
            supervisor.phase(Phase::Waiting(fault, pause));
            let rest = wait(pause, &mut supervisor);
            if let Either3::Second(()) = select3(rest, stop.wished(), self.light.keep()).await {
                return;
            }
        }
    }

    /// From the first step of the protocol until something fails.
    async fn live<F: Future<Output = ()>>(
        &mut self,
        supervisor: &mut impl Supervisor,
        stop: &mut Stop<'_, F>,
    ) -> Result<Stopped, Fault> {
        // Makes the pin agree with what will be reported.
        self.led.set(self.led.is_on())?;
        supervisor.phase(Phase::Connecting);
        let Some(mut pair) = self.join(supervisor, stop).await? else { return Ok(Stopped) };
        loop {
            log::info!("the hub calls this board {}", pair.name);
            log::debug!("its session is {}", pair.session);
            supervisor.phase(Phase::Starting(&pair.name));
            let served = self.serve(&pair, supervisor, stop).await;
            self.light.backlog.interrupted();
            let Some(next) = served? else { return Ok(Stopped) };
            pair = next;
        }
    }
}

/// Waits, and says so now and then.
async fn wait(pause: Duration, supervisor: &mut impl Supervisor) {
    let end = Instant::now() + pause;
    loop {
        supervisor.progress();
        let now = Instant::now();
        if now >= end {
            return;
        }
        Timer::at(end.min(now + PROGRESS_EVERY)).await;
    }
}
