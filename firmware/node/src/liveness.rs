//! Notices a hub that has fallen silent.
//!
//! The MQTT client pings after half a keep-alive without *outbound* traffic, as the standard asks
//! (MQTT 5, 3.1.2.10), and gives up when no answer comes. A board that publishes readings at QoS 0
//! more often than that never pings, and would talk to a dead hub for as long as the network takes
//! its bytes. So a board keeps its own watch over what comes *in*: after half a keep-alive of silence
//! a PINGREQ rides along with what is being sent, and a hub that does not answer it is given up.

use crate::{fault::Fault, settings::KeepAlive};
use core::cell::Cell;
use embassy_time::{Duration, Instant};
use embedded_io_async::{ErrorType, Read, Write};

/// How long a hub has to answer a PINGREQ: as long as the MQTT client gives it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// MQTT 5, 3.12.
const PINGREQ: [u8; 2] = [0xC0, 0x00];

/// What is known about the other end.
#[derive(Debug)]
pub(crate) struct Liveness {
    heard: Cell<Instant>,
    flushed: Cell<Instant>,
    ping: Cell<Ping>,
    /// Half a keep-alive.
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ping {
    /// None since the hub was last heard.
    Unasked,
    /// One goes out with the next flush; this many of its bytes have.
    Due { written: usize },
    /// The hub owes an answer.
    Asked,
}

impl Liveness {
    pub(crate) fn new(keep_alive: KeepAlive) -> Self {
        let now = Instant::now();
        Self {
            heard: Cell::new(now),
            flushed: Cell::new(now),
            ping: Cell::new(Ping::Unasked),
            patience: Duration::from_secs(keep_alive.as_secs().into()) / 2,
        }
    }

    /// Called before something is published: sends a ping along where it is time for one.
    ///
    /// # Errors
    ///
    /// [`Fault::Silent`] when the hub has left pings unanswered for too long.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Fault> {
        let silence = now.saturating_duration_since(self.heard.get());
        if silence >= self.patience + ANSWER_TIMEOUT {
            return Err(Fault::Silent);
        }
        if silence >= self.patience && self.ping.get() == Ping::Unasked {
            self.ping.set(Ping::Due { written: 0 });
        }
        Ok(())
    }

    /// While a ping is unanswered: when half a keep-alive has passed since anything was sent.
    ///
    /// From that moment on the MQTT client (minimq 0.13.5) would like to ping again, must not, and
    /// wakes itself without a pause until the answer comes. Sending something puts that off.
    pub(crate) fn idle_at(&self) -> Option<Instant> {
        (self.ping.get() == Ping::Asked).then(|| self.flushed.get() + self.patience)
    }

    /// When something last came in.
    pub(crate) fn heard_at(&self) -> Instant {
        self.heard.get()
    }

    fn hear(&self) {
        self.heard.set(Instant::now());
        if self.ping.get() == Ping::Asked {
            self.ping.set(Ping::Unasked);
        }
    }
}

/// A stream whose incoming bytes are signs of life, and whose flushes carry the pings that are due.
///
/// The MQTT client flushes between packets only, and finishes a flush that was cancelled before it
/// writes anything else, so a ping never lands inside another packet.
#[derive(Debug)]
pub(crate) struct Wire<'l, S> {
    stream: S,
    liveness: &'l Liveness,
}

impl<'l, S> Wire<'l, S> {
    pub(crate) fn new(stream: S, liveness: &'l Liveness) -> Self {
        Self { stream, liveness }
    }
}

impl<S: ErrorType> ErrorType for Wire<'_, S> {
    type Error = S::Error;
}

impl<S: Read> Read for Wire<'_, S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        let count = self.stream.read(buffer).await?;
        if count > 0 {
            self.liveness.hear();
        }
        Ok(count)
    }
}

impl<S: Write> Write for Wire<'_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, S::Error> {
        if bytes == PINGREQ {
            // The MQTT client pings by itself.
            self.liveness.ping.set(Ping::Asked);
        }
        self.stream.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        while let Ping::Due { written } = self.liveness.ping.get() {
            let written = written + self.stream.write(&PINGREQ[written..]).await?;
            self.liveness.ping.set(if written < PINGREQ.len() {
                Ping::Due { written }
            } else {
                Ping::Asked
            });
        }
        self.stream.flush().await?;
        self.liveness.flushed.set(Instant::now());
        Ok(())
    }
}
