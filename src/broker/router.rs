//! The one file that names rumqttd's router.
//!
//! The router is used as an ordered log with one writer and two readers, which all subscribe `#`:
//! one filter has one log, so every reader sees the same order. What was found in its source and
//! holds this file together:
//!
//! - A log keeps `SEGMENTS` segments and drops the oldest, read or not, when the newest is full.
//!   [`RETAINED`] bytes are certain to be kept; [`window`](super::window) never lets more wait.
//! - A segment counts topic and payload, and allocates room for 1,024 messages at once.
//! - After `Notification::Unschedule` a reader gets nothing until it says `wake()`; saying it at any
//!   other moment trips an assertion. Links are never disconnected, since a late `wake()` then
//!   panics the router's thread.
//! - A link's sender blocks while 1,000 events wait. One event makes the router take everything
//!   that the link has buffered, so at most one is ever under way here, and publishing never
//!   blocks.
//! - Each event wakes the router's thread and both readers, which costs more than the message. So
//!   what may wait a moment waits for others: [`Pace`].
//! - A reader is told that the router's thread has died by the end of its channel.

use super::{
    error::{BrokerEnded, StartError},
    message::Sealed,
};
use futures_util::FutureExt;
use rumqttd::{
    Notification, Router, RouterConfig,
    local::{LinkBuilder, LinkRx, LinkTx},
    protocol::{Packet, Publish},
};
use std::fmt;

/// The size from which a segment of the log is followed by a new one, in counted bytes. Eight of
/// them hold the sockets' window, 512 answers that a commit sets free and 1,024 LED commands.
const SEGMENT_BYTES: usize = 40 * 1024;

/// How many segments the log keeps.
const SEGMENTS: usize = 8;

/// What is certain to be kept of the log, in counted bytes: a segment that is dropped leaves all
/// others full.
pub(crate) const RETAINED: usize = SEGMENT_BYTES * (SEGMENTS - 1);

/// How many messages a reader is handed at once.
const BATCH: u64 = 100;

/// What the log counts for one message.
pub(crate) fn counted_bytes(sealed: &Sealed) -> usize {
    4 + sealed.topic.len() + sealed.payload.len()
}

/// When the router is to take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once, with all that were appended before.
    Now,
    /// With the next that is in a hurry, or when [`Writer::hurry`] is called.
    Soon,
}

/// The writing end of the log.
pub(crate) struct Writer {
    link: LinkTx,
    /// Whether the router has been told of what the link has buffered.
    told: bool,
}

impl Writer {
    /// Appends a message; never blocks. Says whether [`hurry`](Self::hurry) has to be called for
    /// it.
    pub(crate) fn append(&mut self, sealed: Sealed, pace: Pace) -> Result<bool, BrokerEnded> {
        let packet = Packet::Publish(Publish::new(sealed.topic, sealed.payload, false), None);
        {
            let mut buffer = self.link.buffer();
            let first = buffer.is_empty();
            // Empty, it has been taken since the router was told.
            self.told &= !first;
            if self.told || pace == Pace::Soon {
                buffer.push_back(packet);
                return Ok(first);
            }
        }
        self.send(packet).map(|()| false)
    }

    /// Tells the router of what was not in a hurry.
    pub(crate) fn hurry(&mut self) -> Result<(), BrokerEnded> {
        if self.told {
            return Ok(());
        }
        // Only sending tells the router, so what was appended last is sent again.
        let last = self.link.buffer().pop_back();
        last.map_or(Ok(()), |packet| self.send(packet))
    }

    fn send(&mut self, packet: Packet) -> Result<(), BrokerEnded> {
        self.told = true;
        // Asynchronous by its signature alone.
        match self.link.send(packet).now_or_never() {
            Some(Ok(_)) => Ok(()),
            _ => Err(BrokerEnded),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// A message as it stands in the log.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Counts all messages of the log from 0.
    pub(crate) offset: u64,
    pub(crate) sealed: Sealed,
}

/// A reading end of the log.
#[derive(Debug)]
pub(crate) struct Reader {
    link: LinkRx,
}

impl Reader {
    /// The next message. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Entry, BrokerEnded> {
        loop {
            match self.link.next().await {
                Ok(Some(Notification::Forward(forward))) => {
                    // Only retained messages have no cursor, and the router is given none.
                    let Some((_, offset)) = forward.cursor else { continue };
                    let Publish { topic, payload, .. } = forward.publish;
                    return Ok(Entry { offset, sealed: Sealed { topic, payload } });
                }
                Ok(Some(Notification::Unschedule)) => {
                    // Sent at once and not awaited: a future that is dropped half-way must not
                    // leave this reader unscheduled.
                    self.link.ready().map_err(|_| BrokerEnded)?;
                }
                Ok(_) => {}
                Err(_) => return Err(BrokerEnded),
            }
        }
    }

    /// The next message, if one waits.
    pub(crate) fn try_next(&mut self) -> Option<Entry> {
        self.next().now_or_never()?.ok()
    }
}

/// Starts the router's thread; gives the writer and two readers of its log.
pub(crate) fn start() -> Result<(Writer, [Reader; 2]), StartError> {
    let router = Router::new(
        0,
        RouterConfig {
            max_connections: 2,
            max_outgoing_packet_count: BATCH,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
    );
    let events = router.spawn();
    let link = |name: &str| {
        let (mut writer, reader, _) = LinkBuilder::new(name, events.clone())
            .dynamic_filters(true)
            .build()
            .map_err(|error| StartError(format!("the router refused a link: {error}")))?;
        writer
            .subscribe("#")
            .map_err(|error| StartError(format!("the router refused a subscription: {error}")))?;
        Ok((Writer { link: writer, told: false }, Reader { link: reader }))
    };
    let (writer, front) = link("front")?;
    let (_, process) = link("process")?;
    Ok((writer, [front, process]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn sealed(text: String) -> Sealed {
        Sealed { topic: Bytes::from_static(b"other"), payload: Bytes::from(text) }
    }

    #[tokio::test]
    async fn both_readers_see_one_order_from_offset_0() {
        let (mut writer, readers) = start().unwrap();
        for number in 0..1000 {
            writer.append(sealed(format!("{number}")), Pace::Now).unwrap();
        }
        for mut reader in readers {
            for number in 0..1000 {
                let entry = reader.next().await.unwrap();
                assert_eq!(entry.offset, number);
                assert_eq!(entry.sealed.payload, format!("{number}"));
            }
            assert!(reader.try_next().is_none());
        }
    }

    #[tokio::test]
    async fn what_the_log_certainly_keeps_waits_for_a_slow_reader() {
        let (mut writer, [mut reader, _]) = start().unwrap();
        let one = counted_bytes(&sealed("x".repeat(1000)));
        let count = (RETAINED / one) as u64;
        for _ in 0..count {
            writer.append(sealed("x".repeat(1000)), Pace::Now).unwrap();
        }
        for number in 0..count {
            assert_eq!(reader.next().await.unwrap().offset, number);
        }
    }
}
