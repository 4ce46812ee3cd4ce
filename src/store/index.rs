//! Which frames may hold readings of some span of time.

/// How many frames share an entry: at a commit a second, a month of frames takes 1 MB.
const FRAMES_PER_BLOCK: u16 = 64;

/// The spans of time of all frames, kept in memory.
///
/// Frames are in the order of their commits, which is nearly that of time; where the clock steps,
/// spans overlap, and a query visits more of them.
#[derive(Debug, Default)]
pub(super) struct FrameIndex {
    blocks: Vec<Block>,
}

/// Some frames in a row.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// The sequence number of the first.
    first: u64,
    /// The sequence number of the last.
    last: u64,
    /// The earliest time in any, in ms since the Unix epoch.
    earliest: i64,
    /// The latest time in any.
    latest: i64,
    /// How many frames, or parts of frames.
    frames: u16,
}

impl FrameIndex {
    /// Takes in a frame, or a part of one; sequence numbers never go back.
    pub(super) fn add(&mut self, sequence: u64, earliest: i64, latest: i64) {
        if let Some(block) = self.blocks.last_mut()
            && (block.frames < FRAMES_PER_BLOCK || block.last == sequence)
        {
            block.last = sequence;
            block.earliest = block.earliest.min(earliest);
            block.latest = block.latest.max(latest);
            block.frames = block.frames.saturating_add(1);
        } else {
            self.blocks.push(Block {
                first: sequence,
                last: sequence,
                earliest,
                latest,
                frames: 1,
            });
        }
    }

    /// The frames that may hold times of `from..to`: first and last sequence numbers of rows of
    /// frames, and the earliest time in each row.
    pub(super) fn overlapping(&self, from: i64, to: i64) -> Vec<(u64, u64, i64)> {
        let overlaps = |block: &&Block| block.latest >= from && block.earliest < to;
        let row = |block: &Block| (block.first, block.last, block.earliest);
        self.blocks.iter().filter(overlaps).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn every_frame_that_overlaps_is_in_exactly_one_row(
            spans in vec((0..1000_i64, 0..50_i64, 1..3_u64), 0..400),
            from in -10..1100_i64,
            len in 0..300_i64,
        ) {
            let mut index = FrameIndex::default();
            let mut sequence = 0;
            let mut frames = Vec::new();
            for (earliest, span, step) in spans {
                sequence += step;
                index.add(sequence, earliest, earliest + span);
                frames.push((sequence, earliest, earliest + span));
            }
            let rows = index.overlapping(from, from + len);
            prop_assert!(rows.windows(2).all(|pair| pair[0].1 < pair[1].0));
            for (sequence, earliest, latest) in frames {
                if latest >= from && earliest < from + len {
                    let rows: Vec<_> =
                        rows.iter().filter(|row| (row.0..=row.1).contains(&sequence)).collect();
                    prop_assert_eq!(rows.len(), 1);
                    prop_assert!(rows[0].2 <= earliest);
                }
            }
        }
    }
}
