//! Sealed chunks: up to 2,048 readings of one series, sorted by time.
//!
//! A chunk's body (version 1), all numbers as varints of Protocol Buffers (signed ones in zigzag):
//!
//! ```text
//! first i64       time of the first reading, ms since the Unix epoch
//! span u64        time of the last reading minus the first
//! count u64       number of readings
//! after u64       the chunk has readings of frames after this one, through that of its key
//! parts u16       how many chunks share these frames
//! codec u8
//! ```
//!
//! Codec 0, for a few readings, has for each the time minus that of the one before (u64) and the
//! value (u8).
//!
//! Codec 1 has the period of a clock (u64, ms in 16.16 fixed point), the
//! [column](mod@super::column) of how far each reading's time is from that clock's, and the column of
//! the values. A sensor on a schedule is some ms early or late, and not more so the longer the
//! schedule runs: what is left is that jitter alone, where the difference to the reading before
//! would have it twice. A reading a second with ±20 ms of jitter and ±1 of noise in its value
//! takes 0.97 bytes in a full chunk.

use super::{
    column, envelope,
    error::Corrupt,
    varint::{pull, push},
};
use crate::model::Timestamp;

/// The version of the body that is written.
pub(super) const VERSION: u8 = 1;

/// The most readings in a chunk.
pub(super) const READINGS_MAX: usize = 2048;

/// The longest time between the first and the last reading of a chunk, in ms: how far before its
/// beginning a query has to look for chunks that reach into it.
pub(super) const SPAN_MAX: i64 = 7 * 86_400_000;

/// The key of a chunk, in bytes.
const KEY_LEN: usize = 27;
/// The longest head, in bytes.
const HEAD_MAX: usize = 10 + 5 + 2 + 10 + 3 + 1;
/// What is left for the readings of a chunk when its head is at its longest.
const ENCODED_MAX: usize = envelope::MAX - envelope::OVERHEAD - KEY_LEN - HEAD_MAX;

/// How the readings of a chunk are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    /// One after the other.
    Rows,
    /// A clock, how far the times are from it, and the values.
    Columns,
}

impl Codec {
    const ALL: [Self; 2] = [Self::Rows, Self::Columns];

    const fn number(self) -> u8 {
        match self {
            Self::Rows => 0,
            Self::Columns => 1,
        }
    }
}

/// What the head of a chunk says of its readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The time of the first, in ms since the Unix epoch.
    pub(super) first: i64,
    /// The time of the last.
    pub(super) last: i64,
    /// How many there are: one or more.
    pub(super) count: u32,
    /// The chunk's seal took the readings of the frames after this one.
    pub(super) after: u64,
    /// How many chunks that seal made.
    pub(super) parts: u16,
    codec: Codec,
}

/// A chunk, ready to be wrapped.
#[derive(Debug)]
pub(super) struct Piece {
    /// The time of the first reading, in ms since the Unix epoch.
    pub(super) first: i64,
    /// The time of the last.
    pub(super) last: i64,
    /// How many readings there are.
    pub(super) count: u32,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// Readings on their way into a chunk.
#[derive(Debug)]
struct Encoded<'a> {
    readings: &'a [(i64, u8)],
    codec: Codec,
    bytes: Vec<u8>,
}

/// Encodes the readings of one seal, sorted by time, into as many chunks as it takes; those of the
/// same ms stay in their order. The chunks of a seal are at most 65,535.
pub(super) fn encode(readings: &[(i64, u8)], after: u64) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut rest = readings;
    while let Some(&(first, _)) = rest.first() {
        let (near, far) = rest.split_at(rest.partition_point(|&(at, _)| at - first <= SPAN_MAX));
        // Equal parts, rather than full ones and a rest of a few readings.
        let parts = near.len().div_ceil(READINGS_MAX);
        for part in near.chunks(near.len().div_ceil(parts)) {
            encode_part(part, &mut all);
        }
        rest = far;
    }
    let parts = u16::try_from(all.len()).unwrap_or(u16::MAX);
    all.into_iter().filter_map(|encoded| encoded.into_piece(after, parts)).collect()
}

/// Encodes readings that one chunk can span, in halves where they don't fit into its value.
fn encode_part<'a>(readings: &'a [(i64, u8)], all: &mut Vec<Encoded<'a>>) {
    let bytes = |codec| match codec {
        Codec::Rows => encode_rows(readings),
        Codec::Columns => encode_columns(readings),
    };
    let candidates = Codec::ALL.map(|codec| Encoded { readings, codec, bytes: bytes(codec) });
    match candidates.into_iter().min_by_key(|encoded| encoded.bytes.len()) {
        Some(encoded) if encoded.bytes.len() <= ENCODED_MAX => all.push(encoded),
        _ => {
            let (before, after) = readings.split_at(readings.len() / 2);
            encode_part(before, all);
            encode_part(after, all);
        }
    }
}

impl Encoded<'_> {
    fn into_piece(self, after: u64, parts: u16) -> Option<Piece> {
        let (&(first, _), &(last, _)) = self.readings.first().zip(self.readings.last())?;
        let count = u32::try_from(self.readings.len()).ok()?;
        let mut body = Vec::with_capacity(HEAD_MAX + self.bytes.len());
        push(&mut body, first);
        push(&mut body, last.abs_diff(first));
        push(&mut body, count);
        push(&mut body, after);
        push(&mut body, parts);
        body.push(self.codec.number());
        body.extend(self.bytes);
        Some(Piece { first, last, count, body })
    }
}

/// Decodes the head of a chunk; the rest is for [`decode`].
pub(super) fn head(body: &[u8]) -> Result<(Head, &[u8]), Corrupt> {
    let mut rest = body;
    let first: i64 = pull(&mut rest)?;
    let last = first.checked_add_unsigned(pull(&mut rest)?).ok_or(Corrupt::Body)?;
    let count: u32 = pull(&mut rest)?;
    let after = pull(&mut rest)?;
    let parts = pull(&mut rest)?;
    let (&number, rest) = rest.split_first().ok_or(Corrupt::Body)?;
    let codec = Codec::ALL.into_iter().find(|codec| codec.number() == number);
    let head = Head { first, last, count, after, parts, codec: codec.ok_or(Corrupt::Body)? };
    if head.is_possible() { Ok((head, rest)) } else { Err(Corrupt::Body) }
}

impl Head {
    /// Whether a chunk can have this head. Also keeps the sums of [`decode`] from overflowing.
    fn is_possible(&self) -> bool {
        let times = Timestamp::MIN.millis()..=Timestamp::MAX.millis();
        times.contains(&self.first)
            && times.contains(&self.last)
            && self.last - self.first <= SPAN_MAX
            && (1..=READINGS_MAX).contains(&self.len())
            && self.parts > 0
    }

    fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }
}

/// Decodes the readings that follow a head: sorted by time, those of the same ms in the order in
/// which they were encoded.
pub(super) fn decode(head: &Head, mut rest: &[u8]) -> Result<Vec<(i64, u8)>, Corrupt> {
    let readings = match head.codec {
        Codec::Rows => decode_rows(head, &mut rest)?,
        Codec::Columns => decode_columns(head, &mut rest)?,
    };
    let ends = readings.first().zip(readings.last()).map(|(first, last)| (first.0, last.0));
    let whole = rest.is_empty()
        && ends == Some((head.first, head.last))
        && readings.is_sorted_by_key(|&(at, _)| at);
    if whole { Ok(readings) } else { Err(Corrupt::Body) }
}

fn encode_rows(readings: &[(i64, u8)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * readings.len());
    let mut time = readings.first().map_or(0, |&(at, _)| at);
    for &(at, value) in readings {
        push(&mut bytes, at.abs_diff(time));
        bytes.push(value);
        time = at;
    }
    bytes
}

fn decode_rows(head: &Head, rest: &mut &[u8]) -> Result<Vec<(i64, u8)>, Corrupt> {
    let mut readings = Vec::with_capacity(head.len());
    let mut time = head.first;
    for _ in 0..head.len() {
        time = time.checked_add_unsigned(pull(rest)?).ok_or(Corrupt::Body)?;
        let (&value, after) = rest.split_first().ok_or(Corrupt::Body)?;
        *rest = after;
        readings.push((time, value));
    }
    Ok(readings)
}

fn encode_columns(readings: &[(i64, u8)]) -> Vec<u8> {
    let first = readings.first().map_or(0, |&(at, _)| at);
    let clock = Clock::fit(readings);
    let times: Vec<_> =
        readings.iter().zip(clock.ticks()).map(|(&(at, _), tick)| at - first - tick).collect();
    let values: Vec<_> = readings.iter().map(|&(_, value)| i64::from(value)).collect();
    let mut bytes = Vec::with_capacity(2 * readings.len());
    push(&mut bytes, clock.period);
    column::push(&mut bytes, &times);
    column::push(&mut bytes, &values);
    bytes
}

fn decode_columns(head: &Head, rest: &mut &[u8]) -> Result<Vec<(i64, u8)>, Corrupt> {
    let clock = Clock { period: pull(rest)? };
    if clock.period > Clock::PERIOD_MAX {
        return Err(Corrupt::Body);
    }
    let times = column::pull(rest, head.len())?;
    let values = column::pull(rest, head.len())?;
    let reading = |((late, tick), value): ((i64, i64), i64)| {
        let at = (head.first + tick).checked_add(late).ok_or(Corrupt::Body)?;
        Ok((at, u8::try_from(value).map_err(|_| Corrupt::Body)?))
    };
    times.into_iter().zip(clock.ticks()).zip(values).map(reading).collect()
}

/// A clock that ticks at each reading of a sensor that keeps a schedule.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// Time between two ticks: ms in 16.16 fixed point.
    period: u64,
}

impl Clock {
    /// The longest period: two readings as far apart as the two ends of a chunk.
    const PERIOD_MAX: u64 = SPAN_MAX.cast_unsigned() << 16;

    /// The clock whose ticks are nearest to the readings: the slope of the least squares, which a
    /// single late reading tilts less than the line from the first to the last.
    fn fit(readings: &[(i64, u8)]) -> Self {
        let (first, count) = (readings.first().map_or(0, |&(at, _)| at), readings.len() as i128);
        // The sums of x*y and x*x over x = 2i - (count - 1), which are whole numbers.
        let weighted = readings
            .iter()
            .zip(0..)
            .map(|(&(at, _), index): (_, i128)| (2 * index - (count - 1)) * i128::from(at - first));
        let squares = count * (count * count - 1) / 3;
        let slope = (weighted.sum::<i128>() << 17).checked_div(squares).unwrap_or(0);
        Self { period: u64::try_from(slope).unwrap_or(0).min(Self::PERIOD_MAX) }
    }

    /// The times of its ticks in ms, from 0 on.
    fn ticks(self) -> impl Iterator<Item = i64> {
        let ticks = (0..).map(move |tick: u64| (tick * self.period) >> 16);
        ticks.map(u64::cast_signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sample;
    use proptest::{collection::vec, prelude::*};

    const MIN: i64 = Timestamp::MIN.millis();
    const MAX: i64 = Timestamp::MAX.millis();

    fn sorted(mut readings: Vec<(i64, u8)>) -> Vec<(i64, u8)> {
        readings.sort_by_key(|&(at, _)| at);
        readings
    }

    /// Readings on a schedule with gaps and jitter, or at any time of a span of any length.
    fn readings(most: usize) -> impl Strategy<Value = Vec<(i64, u8)>> {
        let scheduled = (MIN..MAX - (1 << 33), 1..1_000_000i64, 1..200i64).prop_flat_map(
            move |(start, period, jitter)| {
                vec((0..jitter, any::<u8>(), 0..20u8), 0..most).prop_map(move |steps| {
                    let mut at = start;
                    let reading = |(late, value, lost)| {
                        at = (at + if lost == 0 { 7 * period } else { period }).min(MAX - 200);
                        (at + late, value)
                    };
                    steps.into_iter().map(reading).collect()
                })
            },
        );
        let random = (MIN..=MAX, 0..48u32).prop_flat_map(move |(start, bits)| {
            let end = start.saturating_add(1 << bits).min(MAX);
            vec((start..=end, any::<u8>()), 0..most)
        });
        prop_oneof![scheduled, random].prop_map(sorted)
    }

    fn decoded(piece: &Piece, after: u64, parts: usize) -> Vec<(i64, u8)> {
        let (head, rest) = head(&piece.body).unwrap();
        assert_eq!((head.first, head.last, head.count), (piece.first, piece.last, piece.count));
        assert_eq!((head.after, usize::from(head.parts)), (after, parts));
        decode(&head, rest).unwrap()
    }

    fn check(readings: &[(i64, u8)], after: u64) -> usize {
        let pieces = encode(readings, after);
        let mut all = Vec::new();
        for piece in &pieces {
            assert!(piece.last - piece.first <= SPAN_MAX);
            assert!(usize::try_from(piece.count).unwrap() <= READINGS_MAX);
            assert!(KEY_LEN + piece.body.len() + envelope::OVERHEAD <= envelope::MAX);
            all.extend(decoded(piece, after, pieces.len()));
        }
        assert!(all == readings, "other readings came back");
        pieces.len()
    }

    proptest! {
        #[test]
        fn readings_come_back_as_they_went(readings in readings(300), after: u64) {
            check(&readings, after);
        }

        #[test]
        fn a_cut_body_is_refused(readings in readings(300), at: prop::sample::Index) {
            for piece in encode(&readings, 7) {
                let cut = &piece.body[..at.index(piece.body.len())];
                prop_assert!(head(cut).and_then(|(head, rest)| decode(&head, rest)).is_err());
            }
        }

        #[test]
        fn what_comes_of_flipped_bits_is_refused_or_sorted_and_as_the_head_says(
            readings in readings(300),
            flips in vec((any::<prop::sample::Index>(), 0..8), 1..4),
        ) {
            for mut piece in encode(&readings, 7) {
                for &(at, bit) in &flips {
                    let at = at.index(piece.body.len());
                    piece.body[at] ^= 1u8 << bit;
                }
                if let Ok((head, rest)) = head(&piece.body)
                    && let Ok(readings) = decode(&head, rest)
                {
                    prop_assert!(readings.is_sorted_by_key(|&(at, _)| at));
                    prop_assert_eq!(readings.len(), head.len());
                    prop_assert_eq!(readings.first().map(|&(at, _)| at), Some(head.first));
                    prop_assert_eq!(readings.last().map(|&(at, _)| at), Some(head.last));
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            body in vec(any::<u8>(), 0..600),
            first in MIN..=MAX,
            span in 0..=SPAN_MAX,
            count in 1..=2048u32,
        ) {
            if let Ok((head, rest)) = head(&body) {
                let _ = decode(&head, rest);
            }
            for codec in Codec::ALL {
                let head = Head { first, last: first + span, count, after: 0, parts: 1, codec };
                let _ = decode(&head, &body);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn many_readings_come_back_as_they_went(readings in readings(6000), after: u64) {
            check(&readings, after);
        }
    }

    #[test]
    fn readings_of_any_times_and_values_fit_their_values() {
        let reading = |number| {
            let random = sample::mix(number);
            let at = i64::try_from(random % SPAN_MAX.unsigned_abs()).unwrap();
            (Timestamp::MIN.millis() + at, random.to_be_bytes()[0])
        };
        let readings = sorted((0..2048).map(reading).collect());
        assert_eq!(check(&readings, u64::MAX), 2);
    }

    #[test]
    fn readings_are_cut_into_equal_parts_and_where_they_span_too_long() {
        let counts = |readings: &[(i64, u8)]| -> Vec<u32> {
            encode(readings, 0).iter().map(|piece| piece.count).collect()
        };
        let each_second: Vec<_> = (0..5000).map(|second| (second * 1000, 50)).collect();
        assert_eq!(counts(&each_second[..2048]), [2048]);
        assert_eq!(counts(&each_second[..2049]), [1025, 1024]);
        assert_eq!(counts(&each_second), [1667, 1667, 1666]);
        let each_day: Vec<_> = (0..16).map(|day| (day * 86_400_000, 1)).collect();
        assert_eq!(counts(&each_day), [8, 8]);
        assert!(encode(&[], 0).is_empty());
    }

    #[test]
    fn readings_of_the_same_millisecond_stay_in_their_order() {
        let readings: Vec<_> =
            (0..2000).map(|n| (n / 500, u8::try_from(n * 7 % 251).unwrap())).collect();
        check(&readings, 3);
    }

    #[test]
    fn a_sensors_readings_take_less_than_1_02_bytes_in_a_full_chunk() {
        for (count, most) in [(1024, 1.06), (2048, 1.02)] {
            let mut bytes = 0_u32;
            for series in 0..20 {
                let readings: Vec<_> =
                    (0..count).map(|second| sample::reading(series, second)).collect();
                let pieces = encode(&readings, 300_000);
                assert_eq!(pieces.len(), 1);
                bytes += u32::try_from(pieces[0].body.len()).unwrap();
            }
            let each = f64::from(bytes) / f64::from(20 * count);
            assert!(each < most, "{each} bytes a reading of {count}");
        }
    }

    #[test]
    fn a_buttons_few_readings_take_little_room() {
        let readings = [(1_763_800_000_123, 1), (1_763_800_000_330, 0), (1_763_803_600_000, 1)];
        let body = &encode(&readings, 300_000)[0].body;
        assert!(body.len() <= 27, "{} bytes", body.len());
        let body = &encode(&readings[..1], 300_000)[0].body;
        assert!(body.len() <= 16, "{} bytes", body.len());
    }

    #[test]
    fn a_switch_that_never_moves_takes_next_to_nothing() {
        let readings: Vec<_> = (0..2048).map(|second| (second * 1000, 1)).collect();
        let body = &encode(&readings, 300_000)[0].body;
        assert!(body.len() <= 25, "{} bytes", body.len());
    }
}
