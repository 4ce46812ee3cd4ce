//! Which readings of a series are in which of the chunks that were found, stale ones too.
//!
//! Each set of chunks covers the frames `after < frame <= through`. A merge covers the union of
//! what it was made of, so that of two sets one contains the other or they have no frame in
//! common. A complete set has all the readings of its frames, and whatever lies inside it has
//! nothing more. An incomplete one has some, and sets and frames inside it may have others.

use std::cmp::Reverse;

/// The frames that a set covers: after the first number, through the second.
pub(super) type Frames = (u64, u64);

/// A set, and what lies inside it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) frames: Frames,
    pub(super) complete: bool,
    /// Sets inside an incomplete one, in the order of their frames.
    pub(super) inside: Vec<Node>,
    /// Readings of frames inside an incomplete one that are in no set inside it, in the order of
    /// their arrival.
    pub(super) loose: Vec<(i64, u8)>,
}

/// The sets of a series that are taken.
#[derive(Debug, Default)]
pub(super) struct Cover {
    /// In the order of their frames; none overlap.
    pub(super) nodes: Vec<Node>,
}

/// Where a reading of a frame belongs.
#[derive(Debug)]
pub(super) enum Home<'a> {
    /// It is in a complete set.
    Known,
    /// It may be missing from an incomplete one.
    Loose(&'a mut Vec<(i64, u8)>),
    /// No set covers its frame: it is between this node and the one before.
    Between(usize),
}

impl Cover {
    /// Chooses among sets, each with whether it is complete.
    pub(super) fn new(sets: impl IntoIterator<Item = (Frames, bool)>) -> Self {
        let mut sets: Vec<_> =
            sets.into_iter().filter(|((after, through), _)| after < through).collect();
        // Complete ones first, then the wider.
        sets.sort_by_key(|&((after, through), complete)| {
            (!complete, Reverse(through - after), after)
        });
        let mut taken: Vec<(Frames, bool)> = Vec::new();
        for (frames, complete) in sets {
            let fits = taken.iter().all(|&(other, other_complete)| {
                apart(frames, other)
                    || (contains(other, frames) && !other_complete)
                    || (contains(frames, other) && !complete)
            });
            if fits {
                taken.push((frames, complete));
            }
        }
        taken.sort_by_key(|&((after, through), _)| (after, Reverse(through)));
        let mut cover = Self::default();
        for (frames, complete) in taken {
            insert(
                &mut cover.nodes,
                Node { frames, complete, inside: Vec::new(), loose: Vec::new() },
            );
        }
        cover
    }

    /// Where a reading of this frame belongs.
    pub(super) fn home(&mut self, frame: u64) -> Home<'_> {
        let at = self.nodes.partition_point(|node| node.frames.1 < frame);
        match self.nodes.get_mut(at) {
            Some(node) if node.frames.0 < frame => node.home(frame),
            _ => Home::Between(at),
        }
    }

    /// The frames between a node and the one before it; `last` is the last frame of all.
    pub(super) fn between(&self, at: usize, last: u64) -> Frames {
        let before = at.checked_sub(1).and_then(|before| self.nodes.get(before));
        let after = before.map_or(0, |node| node.frames.1);
        (after, self.nodes.get(at).map_or(last, |node| node.frames.0))
    }
}

impl Node {
    fn home(&mut self, frame: u64) -> Home<'_> {
        if self.complete {
            return Home::Known;
        }
        let at = self.inside.partition_point(|node| node.frames.1 < frame);
        match self.inside.get_mut(at) {
            Some(node) if node.frames.0 < frame => node.home(frame),
            _ => Home::Loose(&mut self.loose),
        }
    }
}

/// Adds a node that comes after, or lies inside, the last of these.
fn insert(nodes: &mut Vec<Node>, node: Node) {
    match nodes.last_mut() {
        Some(last) if contains(last.frames, node.frames) => insert(&mut last.inside, node),
        _ => nodes.push(node),
    }
}

fn apart(a: Frames, b: Frames) -> bool {
    a.1 <= b.0 || b.1 <= a.0
}

fn contains(a: Frames, b: Frames) -> bool {
    a.0 <= b.0 && b.1 <= a.1
}

/// All readings that are in one of two collections, each as often as in the one that has it more
/// often: both are parts of the same readings. Both have to be sorted by time, and so is what
/// comes of it.
pub(super) fn union(a: &[(i64, u8)], b: &[(i64, u8)]) -> Vec<(i64, u8)> {
    let mut all = Vec::with_capacity(a.len().max(b.len()));
    let mut rest = b;
    for group in a.chunk_by(|x, y| x.0 == y.0) {
        let Some(&(at, _)) = group.first() else { continue };
        let (before, from) = rest.split_at(rest.partition_point(|reading| reading.0 < at));
        let (same, after) = from.split_at(from.partition_point(|reading| reading.0 == at));
        all.extend(before);
        all.extend(group);
        let mut unmatched: Vec<u8> = group.iter().map(|reading| reading.1).collect();
        for &(at, value) in same {
            match unmatched.iter().position(|&known| known == value) {
                Some(known) => drop(unmatched.swap_remove(known)),
                None => all.push((at, value)),
            }
        }
        rest = after;
    }
    all.extend(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_map, collection::vec, prelude::*};

    fn frames(cover: &Cover) -> Vec<Frames> {
        cover.nodes.iter().map(|node| node.frames).collect()
    }

    #[test]
    fn a_complete_merge_takes_the_place_of_what_it_was_made_of() {
        let cover = Cover::new([((0, 5), true), ((5, 9), true), ((0, 9), true), ((9, 12), false)]);
        assert_eq!(frames(&cover), [(0, 9), (9, 12)]);
        assert!(cover.nodes[0].inside.is_empty());
    }

    #[test]
    fn an_incomplete_merge_has_what_it_was_made_of_inside() {
        let mut cover =
            Cover::new([((0, 5), true), ((0, 9), false), ((5, 7), false), ((2, 4), true)]);
        assert_eq!(frames(&cover), [(0, 9)]);
        assert_eq!(
            cover.nodes[0].inside.iter().map(|node| node.frames).collect::<Vec<_>>(),
            [(0, 5), (5, 7)]
        );
        assert!(matches!(cover.home(5), Home::Known));
        assert!(matches!(cover.home(6), Home::Loose(_)));
        assert!(matches!(cover.home(9), Home::Loose(_)));
        assert!(matches!(cover.home(10), Home::Between(1)));
        assert_eq!(cover.between(1, 20), (9, 20));
    }

    #[test]
    fn sets_that_cross_are_not_both_taken() {
        assert_eq!(frames(&Cover::new([((0, 5), true), ((3, 9), true)])), [(3, 9)]);
        assert_eq!(frames(&Cover::new([((0, 5), true), ((3, 9), false)])), [(0, 5)]);
    }

    proptest! {
        #[test]
        fn what_is_taken_never_overlaps(sets in btree_map((0..40u64, 0..40u64), any::<bool>(), 0..20)) {
            fn check(nodes: &[Node]) {
                assert!(nodes.windows(2).all(|pair| pair[0].frames.1 <= pair[1].frames.0));
                for node in nodes {
                    assert!(node.inside.iter().all(|inside| contains(node.frames, inside.frames)));
                    assert!(!node.complete || node.inside.is_empty());
                    check(&node.inside);
                }
            }
            check(&Cover::new(sets).nodes);
        }

        #[test]
        fn the_union_of_two_parts_of_a_whole_is_a_part_of_it_with_all_of_both(
            whole in vec((0..20i64, 0..3u8, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let mut parts = [Vec::new(), Vec::new()];
            let mut all = Vec::new();
            for (at, value, first, second) in whole {
                all.push((at, value));
                if first { parts[0].push((at, value)); }
                if second { parts[1].push((at, value)); }
            }
            for part in &mut parts {
                part.sort_by_key(|reading| reading.0);
            }
            let [a, b] = parts;
            let union = union(&a, &b);
            prop_assert!(union.is_sorted_by_key(|reading| reading.0));
            for at in 0..20 {
                for value in 0..3 {
                    let count = |readings: &[(i64, u8)]| {
                        readings.iter().filter(|&&reading| reading == (at, value)).count()
                    };
                    prop_assert_eq!(count(&union), count(&a).max(count(&b)));
                    prop_assert!(count(&union) <= count(&all));
                }
            }
        }
    }
}
