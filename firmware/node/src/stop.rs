//! The wish that a board stops.

use core::{future::Future, pin::Pin};

/// A future that may be waited for again and again, also once it has completed.
pub(crate) struct Stop<'f, F> {
    wish: Pin<&'f mut F>,
    completed: bool,
}

impl<'f, F: Future<Output = ()>> Stop<'f, F> {
    pub(crate) fn new(wish: Pin<&'f mut F>) -> Self {
        Self { wish, completed: false }
    }

    /// Waits until the board is to stop. Can be cancelled.
    pub(crate) async fn wished(&mut self) {
        if !self.completed {
            self.wish.as_mut().await;
            self.completed = true;
        }
    }
}
