//! The executor that moves the clock on.

use crate::clock;
use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// No story takes longer than this, in milliseconds of virtual time.
const STORY_MAX_MS: u64 = 4 * 60 * 60 * 1000;

/// More wake-ups than this at one moment mean that somebody wakes himself for ever.
const WAKE_UPS_MAX: usize = 10_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a story to its end while a board lives.
///
/// # Panics
///
/// When everybody waits for one another, or the story does not end.
pub(crate) fn play<T>(board: impl Future<Output = ()>, story: impl Future<Output = T>) -> T {
    let (mut board, mut story) = (pin!(board), pin!(story));
    let flags = [(); 2].map(|()| Arc::new(Flag(AtomicBool::new(true))));
    let wakers = flags.clone().map(Waker::from);
    let (mut moment, mut wake_ups) = (0, 0);
    let begun = clock::now_ms();
    // A board that was told to stop is not polled any more.
    let mut alive = true;
    loop {
        let woken = flags.each_ref().map(|flag| flag.0.swap(false, Ordering::Relaxed));
        // The story first: it sets the scene that the board wakes up in.
        if woken[1]
            && let Poll::Ready(end) = poll(story.as_mut(), &wakers[1])
        {
            return end;
        }
        if woken[0] && alive {
            alive = poll(board.as_mut(), &wakers[0]).is_pending();
        }
        if woken == [false; 2] {
            assert!(clock::advance(), "everybody waits, and nobody for the clock");
            wake_ups = if clock::now_ms() == moment { wake_ups + 1 } else { 0 };
            moment = clock::now_ms();
            assert!(wake_ups < WAKE_UPS_MAX, "time stands still");
            assert!(clock::now_ms() - begun < STORY_MAX_MS, "the story does not end");
        }
    }
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>, waker: &Waker) -> Poll<T> {
    future.poll(&mut Context::from_waker(waker))
}
