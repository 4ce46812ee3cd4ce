//! The live stream: a ring of the last events that any number of readers follow. (Stub: replaced by the API's builder.)

use crate::model::Event;
use std::sync::Arc;

/// A place in the stream: the number of the last event that is behind it, within one run of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor {
    /// The run of the hub.
    pub boot: u64,
    /// How many events had been published.
    pub sequence: u64,
}

/// The stream; cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {}

impl Events {
    /// An empty stream for this run of the hub that remembers the last `capacity` events.
    pub fn new(boot: u64, capacity: usize) -> Self {
        let _ = (boot, capacity);
        Self {}
    }

    /// Adds an event. Called by one task only, under the lock of the state that the event tells about.
    pub fn publish(&self, event: Event) {
        let _ = event;
    }

    /// The place behind the last event.
    pub fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    /// Follows the stream from `after`, or `None` where that place is of another run or no longer in the ring.
    pub fn follow(&self, after: Cursor) -> Option<Follower> {
        let _ = after;
        None
    }
}

/// A reader of the stream: holds a place, never a queue.
#[derive(Debug)]
pub struct Follower {}

impl Follower {
    /// The next event and its place; `None` when the reader was too slow and the ring has moved on: take a new snapshot.
    pub async fn next(&mut self) -> Option<(Cursor, Arc<Event>)> {
        None
    }
}
