//! Answers that are cut at a limit, and the link to the rest (RFC 8288).
//!
//! The store pages by time, and several entries may have the same millisecond. A page may end
//! between them, so that the link says how many of that millisecond are already known (`skip`).

use crate::model::Timestamp;

/// Where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// The time of the last entry of this page.
    pub(super) at: Timestamp,
    /// How many entries of that time have been answered.
    pub(super) skip: usize,
}

/// Cuts a page of `limit` entries out of what the store has, which was asked for [`wanted`] entries.
pub(super) fn cut<T>(
    mut fetched: Vec<T>,
    skip: usize,
    limit: usize,
    at: impl Fn(&T) -> Timestamp,
) -> (Vec<T>, Option<Next>) {
    let end = skip.saturating_add(limit);
    let more = fetched.len() > end;
    fetched.truncate(end);
    let next = fetched.last().map(&at).filter(|_| more).map(|last| Next {
        at: last,
        skip: fetched.iter().rev().take_while(|entry| at(entry) == last).count(),
    });
    fetched.drain(..skip.min(fetched.len()));
    (fetched, next)
}

/// How many entries a page needs from the store: one more than it shows, to know whether there is a next.
pub(super) fn wanted(skip: usize, limit: usize) -> usize {
    skip.saturating_add(limit).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn paging_through_gives_every_entry_once_in_order(
            mut times in vec(0_i64..8, 0..40),
            limit in 1_usize..10,
        ) {
            times.sort_unstable();
            let entries: Vec<_> = times
                .iter()
                .enumerate()
                .map(|(number, millis)| (number, Timestamp::from_millis(*millis)))
                .collect();
            let (mut from, mut skip, mut seen) = (Timestamp::MIN, 0, Vec::new());
            loop {
                let fetched = entries.iter().copied().filter(|entry| entry.1 >= from);
                let fetched = fetched.take(wanted(skip, limit)).collect();
                let (page, next) = cut(fetched, skip, limit, |entry| entry.1);
                prop_assert!(page.len() <= limit);
                seen.extend(page);
                let Some(next) = next else { break };
                (from, skip) = (next.at, next.skip);
            }
            prop_assert_eq!(seen, entries);
        }
    }
}
