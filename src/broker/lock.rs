//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic of another holder is no reason to stop serving everybody else.
///
/// Every critical section of the broker leaves its data consistent at each step that could panic,
/// so what a poisoned lock guards is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
