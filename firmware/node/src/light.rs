//! The photoresistor, and what it measured while nobody listened.

use crate::{backlog::Backlog, io::LightSensor};
use capteur_protocol::Percent;
use core::convert::Infallible;
use embassy_time::{Duration, Instant, Timer, with_timeout};

/// How long a measurement may take. Nothing is read from the hub meanwhile, so it is much shorter
/// than a keep-alive.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Light<P, const N: usize> {
    sensor: P,
    pub(crate) backlog: Backlog<N>,
    /// From one reading to the next that is kept while the hub is away.
    interval: Duration,
    keep_at: Instant,
}

impl<P, const N: usize> Light<P, N> {
    pub(crate) fn new(sensor: P, interval: Duration) -> Self {
        Self { sensor, backlog: Backlog::new(), interval, keep_at: Instant::now() + interval }
    }

    /// Tells that a reading was published: the next that is kept comes an interval later.
    pub(crate) fn published(&mut self, at: Instant, level: Percent) {
        self.backlog.published(at, level);
        self.keep_at = at + self.interval;
    }
}

impl<P: LightSensor, const N: usize> Light<P, N> {
    /// Measures once. A sensor that fails or hangs costs a reading, not the connection.
    pub(crate) async fn measure(&mut self) -> Option<Percent> {
        match with_timeout(MEASURE_TIMEOUT, self.sensor.percent()).await {
            Ok(Ok(level)) => Some(level),
            Ok(Err(error)) => {
                log::warn!("no light reading: {error:?}");
                None
            }
            Err(_) => {
                log::warn!("no light reading: the sensor does not answer");
                None
            }
        }
    }

    /// Measures again and again, for the time when the hub is back. Can be cancelled: it goes on
    /// where it was.
    pub(crate) async fn keep(&mut self) -> Infallible {
        loop {
            Timer::at(self.keep_at).await;
            let at = Instant::now();
            if let Some(level) = self.measure().await {
                self.backlog.keep(at, level);
            }
            self.keep_at += self.interval;
            if self.keep_at <= at {
                self.keep_at = at + self.interval;
            }
        }
    }
}
