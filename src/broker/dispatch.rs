//! The tasks that the front can't be without: its reader of the log, and its housekeeper.

use super::{front::Front, router::Reader, window::Side};
use std::sync::Arc;

/// Dispatches everything that the router brings, until it ends.
pub(crate) async fn run(front: Arc<Front>, mut reader: Reader) {
    let guard = EndGuard(front);
    let front = &guard.0;
    let mut gaps = Gaps::default();
    while let Ok(entry) = reader.next().await {
        front.counters.lost_in_log.add(gaps.before(entry.offset));
        let sealed = entry.sealed;
        if let Some(parcel) = front.sealer.open(sealed.topic, sealed.payload) {
            front.dispatch(parcel);
        }
        front.window.consumed(Side::Front, entry.offset + 1);
        // A reader that is never empty never waits: others have to get their turn.
        tokio::task::consume_budget().await;
    }
    tracing::error!("the router's thread has died");
}

/// Ends sessions and publishes wills when their time comes. Never ends; where it panics, the front
/// does.
pub(crate) async fn keep_house(front: Arc<Front>) {
    let guard = EndGuard(front);
    guard.0.keep_house().await;
}

/// Ends the front when a task that it can't be without ends, however that does.
struct EndGuard(Arc<Front>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Notices what a reader of the log has missed.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    next: u64,
}

impl Gaps {
    /// The offset of the message that is to come next.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// How many messages are missing before this one.
    pub(crate) fn before(&mut self, offset: u64) -> u64 {
        let missing = offset.saturating_sub(self.next);
        self.next = offset + 1;
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{router, tests::settings, window::Window};

    #[tokio::test]
    async fn the_front_ends_with_its_housekeeper() {
        let window = Window::new(router::start().unwrap().0);
        let front = Arc::new(Front::new(settings(), window));
        let keeper = tokio::spawn(keep_house(Arc::clone(&front)));
        tokio::task::yield_now().await;
        keeper.abort();
        front.ended().await;
    }

    #[test]
    fn a_jump_of_the_offset_is_a_gap() {
        let mut gaps = Gaps::default();
        assert_eq!([0, 1, 5, 6].map(|offset| gaps.before(offset)), [0, 0, 3, 0]);
    }
}
