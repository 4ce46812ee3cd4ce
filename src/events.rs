//! The live stream: a ring of the last events that any number of readers follow.
//!
//! The ring is the only queue there is. A reader holds a place in it and nothing else, so that a
//! slow one costs no memory: when the ring has moved past its place, it is told so and starts
//! again from a snapshot.

use crate::model::Event;
use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tokio::sync::watch;

/// A place in the stream: the number of the last event that is behind it, within one run of the hub.
///
/// Printed as `<boot>-<sequence>`, which is the `id` of a server-sent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor {
    /// The run of the hub.
    pub boot: u64,
    /// How many events had been published.
    pub sequence: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.boot, self.sequence)
    }
}

/// A text that is not a place in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place in the event stream has the form 3-1042")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (boot, sequence) = text.split_once('-').ok_or(CursorError)?;
        let parse = |digits: &str| digits.parse().map_err(|_| CursorError);
        Ok(Self { boot: parse(boot)?, sequence: parse(sequence)? })
    }
}

/// An event in its place.
#[derive(Debug)]
pub struct Published {
    /// The place behind this event.
    pub cursor: Cursor,
    /// The event.
    pub event: Event,
    json: OnceLock<Box<str>>,
}

impl Published {
    /// The event's data as JSON: printed when the first reader asks, and once for all readers.
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| match serde_json::to_string(&self.event) {
            Ok(json) => json.into(),
            Err(error) => {
                tracing::error!(%error, event = self.event.name(), "an event can't be printed");
                "null".into()
            }
        })
    }
}

/// The stream; cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    boot: u64,
    capacity: usize,
    ring: Mutex<Ring>,
    /// Carries no value: wakes the readers that have caught up.
    published: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The last events, oldest first; the newest has the number `sequence`.
    events: VecDeque<Arc<Published>>,
    /// How many events have been published.
    sequence: u64,
}

/// What the ring has behind a place.
enum Ahead {
    Event(Arc<Published>),
    Nothing,
    Lost,
}

impl Ring {
    fn after(&self, sequence: u64) -> Ahead {
        let Some(missing) = self.sequence.checked_sub(sequence) else {
            return Ahead::Lost;
        };
        // A distance that doesn't fit is longer than any ring.
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        if missing == 0 {
            return Ahead::Nothing;
        }
        let index = self.events.len().checked_sub(missing);
        match index.and_then(|index| self.events.get(index)) {
            Some(event) => Ahead::Event(Arc::clone(event)),
            None => Ahead::Lost,
        }
    }
}

impl Shared {
    /// A panic elsewhere can't leave the ring half changed: every change is a single push or pop.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    /// An empty stream for this run of the hub that remembers the last `capacity` events, at least one.
    pub fn new(boot: u64, capacity: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                boot,
                capacity: capacity.max(1),
                ring: Mutex::default(),
                published: watch::Sender::new(()),
            }),
        }
    }

    /// Adds an event. One about a device comes from one task only, under the lock of the state that
    /// it tells about.
    pub fn publish(&self, event: Event) {
        let mut ring = self.shared.ring();
        ring.sequence += 1;
        let cursor = Cursor { boot: self.shared.boot, sequence: ring.sequence };
        // Kept until the lock is free: the last reader of an event may free it here.
        let evicted =
            if ring.events.len() == self.shared.capacity { ring.events.pop_front() } else { None };
        ring.events.push_back(Arc::new(Published { cursor, event, json: OnceLock::new() }));
        drop(ring);
        drop(evicted);
        self.shared.published.send_replace(());
    }

    /// The place behind the last event.
    pub fn cursor(&self) -> Cursor {
        Cursor { boot: self.shared.boot, sequence: self.shared.ring().sequence }
    }

    /// Follows the stream from `after`, or `None` where that place is of another run or no longer in the ring.
    pub fn follow(&self, after: Cursor) -> Option<Follower> {
        if after.boot != self.shared.boot {
            return None;
        }
        let wake = self.shared.published.subscribe();
        match self.shared.ring().after(after.sequence) {
            Ahead::Lost => None,
            Ahead::Event(_) | Ahead::Nothing => {
                Some(Follower { shared: Arc::clone(&self.shared), place: after.sequence, wake })
            }
        }
    }
}

/// A reader of the stream: holds a place, never a queue.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    /// The number of the last event that was handed out.
    place: u64,
    wake: watch::Receiver<()>,
}

impl Follower {
    /// The next event; `None` when the reader was too slow and the ring has moved on: take a new snapshot.
    ///
    /// # Cancellation safety
    ///
    /// Safe: an event that was not handed out is handed out next time.
    pub async fn next(&mut self) -> Option<Arc<Published>> {
        loop {
            // Before the look into the ring, so that an event published after that look wakes us.
            self.wake.mark_unchanged();
            let ahead = self.shared.ring().after(self.place);
            match ahead {
                Ahead::Event(event) => {
                    self.place += 1;
                    return Some(event);
                }
                Ahead::Lost => return None,
                // The sender lives as long as this reader: an error can't come.
                Ahead::Nothing => self.wake.changed().await.ok()?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, Timestamp};
    use capteur_protocol::Mac;
    use futures_util::FutureExt;
    use proptest::{collection::vec, prelude::*};

    fn removed(number: u64) -> Event {
        let [_, _, mac @ ..] = number.to_be_bytes();
        Event::Removed { mac: Mac(mac) }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Publish(u64),
        Follow(u64),
        Read(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_u64..6).prop_map(Step::Publish),
            (0_u64..60).prop_map(Step::Follow),
            (0_usize..4, 1_usize..8).prop_map(|(reader, count)| Step::Read(reader, count)),
        ]
    }

    proptest! {
        #[test]
        fn every_reader_gets_every_event_once_in_order_or_learns_that_it_lagged(
            capacity in 1_u64..12,
            steps in vec(step(), 1..80),
        ) {
            let boot = 7;
            let events = Events::new(boot, usize::try_from(capacity).unwrap());
            let mut published = 0;
            let mut readers: Vec<(Follower, u64)> = Vec::new();
            for step in steps {
                let oldest_place = published.max(capacity) - capacity;
                match step {
                    Step::Publish(count) => for _ in 0..count {
                        published += 1;
                        events.publish(removed(published));
                    },
                    Step::Follow(sequence) => {
                        let reader = events.follow(Cursor { boot, sequence });
                        prop_assert_eq!(
                            reader.is_some(),
                            (oldest_place..=published).contains(&sequence)
                        );
                        readers.extend(reader.map(|reader| (reader, sequence)));
                    }
                    Step::Read(index, count) => if let Some((reader, place)) = readers.get_mut(index) {
                        for _ in 0..count {
                            match reader.next().now_or_never() {
                                None => prop_assert_eq!(*place, published),
                                Some(None) => prop_assert!(*place < oldest_place),
                                Some(Some(event)) => {
                                    prop_assert!(*place >= oldest_place);
                                    *place += 1;
                                    prop_assert_eq!(event.cursor, Cursor { boot, sequence: *place });
                                    prop_assert_eq!(&event.event, &removed(*place));
                                }
                            }
                        }
                    },
                }
                prop_assert_eq!(events.cursor(), Cursor { boot, sequence: published });
            }
        }

        #[test]
        fn a_place_comes_back_from_its_text(boot: u64, sequence: u64) {
            let cursor = Cursor { boot, sequence };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn a_place_of_another_run_is_not_followed() {
        let events = Events::new(2, 8);
        assert!(events.follow(Cursor { boot: 1, sequence: 0 }).is_none());
        assert!(events.follow(Cursor { boot: 2, sequence: 0 }).is_some());
    }

    #[test]
    fn the_data_is_printed_once_for_all_readers() {
        let events = Events::new(1, 8);
        let mut readers = [events.cursor(); 2].map(|cursor| events.follow(cursor).unwrap());
        events.publish(Event::Reading {
            mac: Mac([1, 2, 3, 4, 5, 6]),
            name: "capteur01".parse().unwrap(),
            channel: Channel::Led,
            value: 1,
            at: Timestamp::from_millis(0),
        });
        let [first, second] = readers
            .each_mut()
            .map(|reader| reader.next().now_or_never().flatten().unwrap().json().as_ptr());
        assert_eq!(first, second);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn readers_that_run_beside_the_publisher_miss_nothing_and_always_wake() {
        const EVENTS: u64 = 20_000;
        let events = Events::new(1, 256);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let events = events.clone();
                let mut reader = events.follow(Cursor { boot: 1, sequence: 0 }).unwrap();
                tokio::spawn(async move {
                    let mut place = 0;
                    while place < EVENTS {
                        if let Some(event) = reader.next().await {
                            place += 1;
                            assert_eq!(event.cursor.sequence, place);
                        } else {
                            let cursor = events.cursor();
                            assert!(cursor.sequence > place + 256, "lagged without being behind");
                            // The ring may move on between the two calls: then once more.
                            if let Some(again) = events.follow(cursor) {
                                place = cursor.sequence;
                                reader = again;
                            }
                        }
                    }
                })
            })
            .collect();
        for number in 1..=EVENTS {
            events.publish(removed(number));
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for reader in readers {
            tokio::time::timeout(std::time::Duration::from_mins(1), reader).await.unwrap().unwrap();
        }
    }
}
