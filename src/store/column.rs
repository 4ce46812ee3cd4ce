//! A column of numbers in the smallest of a few encodings.
//!
//! The first byte tells the encoding; then comes the lowest number as a signed varint; what
//! follows are the differences to it:
//!
//! | first byte | differences |
//! | --- | --- |
//! | 0 | none: all numbers are the same |
//! | 1 | varints |
//! | 2, 3, 4, 5 | [pco] of 8, 16, 32 or 64 bits: header, chunk and page of its wrapped format |
//!
//! How many numbers there are is not in the column: what it is a part of knows.

use super::{error::Corrupt, varint};
use pco::{
    ChunkConfig, DeltaSpec, ModeSpec,
    data_types::Number,
    errors::PcoResult,
    wrapped::{FileCompressor, FileDecompressor},
};

const CONSTANT: u8 = 0;
const VARINTS: u8 = 1;
const PCO_8: u8 = 2;
const PCO_16: u8 = 3;
const PCO_32: u8 = 4;
const PCO_64: u8 = 5;

/// With fewer numbers than this, pco's own tables weigh about as much as they save, and take ten
/// times as long to read: a year of hours is 365 blocks of five columns.
const PCO_FROM: usize = 32;

/// What pco is to try: the numbers as they are, and each less the one before it.
///
/// Its convolutions would save another 2 % of a sensor's readings, at half the speed.
const DELTAS: [DeltaSpec; 2] = [DeltaSpec::NoOp, DeltaSpec::TryConsecutive(1)];

/// How a chunk of pco begins with either of these: the mode in the low four bits (0: classic), the
/// delta encoding in the high four (0: none, 1: consecutive).
///
/// Nothing else is given to its reader, which makes room for as large a dictionary or window as
/// the bytes claim: 100 MB, where they are not what we wrote.
const PLAIN: [u8; 2] = [0x00, 0x10];

/// The major version of pco's format that [`PLAIN`] is about.
const PCO_MAJOR: u8 = 4;

/// Appends a column.
pub(super) fn push(body: &mut Vec<u8>, numbers: &[i64]) {
    let lowest = numbers.iter().copied().min().unwrap_or_default();
    let highest = numbers.iter().copied().max().unwrap_or_default();
    // Differences of any two numbers fit in 64 bits without a sign.
    let difference = |number: i64| number.wrapping_sub(lowest).cast_unsigned();
    let differences: Vec<u64> = numbers.iter().map(|&number| difference(number)).collect();
    let mut append = |encoding: u8, encoded: &[u8]| {
        body.push(encoding);
        varint::push(body, lowest);
        body.extend(encoded);
    };
    if lowest == highest {
        return append(CONSTANT, &[]);
    }
    let packed = if numbers.len() < PCO_FROM {
        None
    } else {
        match difference(highest) {
            0..0x100 => pack::<u8>(PCO_8, &differences),
            0x100..0x1_0000 => pack::<u16>(PCO_16, &differences),
            0x1_0000..0x1_0000_0000 => pack::<u32>(PCO_32, &differences),
            _ => pack::<u64>(PCO_64, &differences),
        }
    };
    let mut varints = Vec::with_capacity(2 * numbers.len());
    for number in differences {
        varint::push(&mut varints, number);
    }
    match packed {
        Some((encoding, packed)) if packed.len() < varints.len() => append(encoding, &packed),
        _ => append(VARINTS, &varints),
    }
}

/// Takes a column of so many numbers from the front.
pub(super) fn pull(rest: &mut &[u8], count: usize) -> Result<Vec<i64>, Corrupt> {
    let (&encoding, after) = rest.split_first().ok_or(Corrupt::Body)?;
    *rest = after;
    let lowest: i64 = varint::pull(rest)?;
    match encoding {
        CONSTANT => Ok(vec![lowest; count]),
        VARINTS => {
            // A byte is the least that a number takes: a count can't ask for more than there is.
            let mut numbers = Vec::with_capacity(count.min(rest.len()));
            for _ in 0..count {
                let difference: u64 = varint::pull(rest)?;
                numbers.push(lowest.wrapping_add_unsigned(difference));
            }
            Ok(numbers)
        }
        PCO_8 => unpack::<u8>(rest, lowest, count),
        PCO_16 => unpack::<u16>(rest, lowest, count),
        PCO_32 => unpack::<u32>(rest, lowest, count),
        PCO_64 => unpack::<u64>(rest, lowest, count),
        _ => Err(Corrupt::Body),
    }
}

/// The encoding and the smallest that pco makes of numbers that fit in `T`.
fn pack<T: Number + TryFrom<u64>>(encoding: u8, numbers: &[u64]) -> Option<(u8, Vec<u8>)> {
    let numbers: Vec<T> =
        numbers.iter().map(|&number| T::try_from(number).ok()).collect::<Option<_>>()?;
    let packed = DELTAS.into_iter().filter_map(|delta| compress(&numbers, delta).ok());
    Some((encoding, packed.min_by_key(Vec::len)?))
}

fn compress<T: Number>(numbers: &[T], delta: DeltaSpec) -> PcoResult<Vec<u8>> {
    let config = ChunkConfig::default()
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(delta)
        .with_enable_8_bit(true);
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(numbers, &config)?;
    let mut packed = file.write_header(Vec::new())?;
    packed = chunk.write_meta(packed)?;
    // One page: they hold 2^18 numbers and more.
    chunk.write_page(0, packed)
}

fn unpack<T: Number + Into<u64>>(
    rest: &mut &[u8],
    lowest: i64,
    count: usize,
) -> Result<Vec<i64>, Corrupt> {
    let (file, chunk) = FileDecompressor::new(*rest).map_err(|_| Corrupt::Body)?;
    let plain = chunk.first().is_some_and(|begin| PLAIN.contains(begin));
    if !plain || file.format_version().major != PCO_MAJOR {
        return Err(Corrupt::Body);
    }
    let (numbers, after) = decompress::<T>(&file, chunk, count).map_err(|_| Corrupt::Body)?;
    *rest = after;
    let number = |difference: T| lowest.wrapping_add_unsigned(difference.into());
    Ok(numbers.into_iter().map(number).collect())
}

fn decompress<'a, T: Number>(
    file: &FileDecompressor,
    chunk: &'a [u8],
    count: usize,
) -> PcoResult<(Vec<T>, &'a [u8])> {
    let (mut chunk, page) = file.chunk_decompressor::<T, _>(chunk)?;
    let mut page = chunk.page_decompressor(page, count)?;
    let mut numbers = vec![T::default(); count];
    page.read(&mut numbers)?;
    Ok((numbers, page.into_src()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// Numbers of every size that has an encoding of its own, and in every order.
    fn numbers() -> impl Strategy<Value = Vec<i64>> {
        (any::<i64>(), 0..64u32, vec(any::<i64>(), 0..600), any::<bool>()).prop_map(
            |(offset, shift, mut numbers, sorted)| {
                for number in &mut numbers {
                    *number = (*number >> shift).wrapping_add(offset);
                }
                if sorted {
                    numbers.sort_unstable();
                }
                numbers
            },
        )
    }

    fn column(numbers: &[i64]) -> Vec<u8> {
        let mut body = Vec::new();
        push(&mut body, numbers);
        body
    }

    proptest! {
        #[test]
        fn numbers_come_back_as_they_went(numbers in numbers(), after in vec(any::<u8>(), 0..20)) {
            let body = [column(&numbers), after.clone()].concat();
            let mut rest = &body[..];
            prop_assert_eq!(pull(&mut rest, numbers.len()), Ok(numbers));
            prop_assert_eq!(rest, after);
        }

        #[test]
        fn a_cut_column_is_refused(numbers in numbers(), at: prop::sample::Index) {
            let body = column(&numbers);
            let mut cut = &body[..at.index(body.len())];
            prop_assert!(pull(&mut cut, numbers.len()).is_err());
        }

        #[test]
        fn flipped_bits_never_panic(
            numbers in numbers(),
            flips in vec((any::<prop::sample::Index>(), 0..8), 1..4),
            count in 0..3000usize,
        ) {
            let mut body = column(&numbers);
            for (at, bit) in flips {
                let at = at.index(body.len());
                body[at] ^= 1u8 << bit;
            }
            let _ = pull(&mut &body[..], numbers.len());
            let _ = pull(&mut &body[..], count);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            encoding in 0..7u8,
            begin: bool,
            body in vec(any::<u8>(), 0..600),
            count in 0..3000usize,
        ) {
            let _ = pull(&mut &body[..], count);
            // Past the checks of pco's header as well.
            let begin = PLAIN[usize::from(begin)];
            let body = [&[encoding, 0, PCO_MAJOR, 1, begin], &body[..]].concat();
            let _ = pull(&mut &body[..], count);
        }
    }

    #[test]
    fn pco_writes_what_its_reader_is_given() {
        let numbers: Vec<i64> = (0..500).map(|n| n * n).collect();
        let body = column(&numbers);
        let (encoding, version, begin) = (body[0], body[2], body[4]);
        assert_eq!((encoding, version), (PCO_32, PCO_MAJOR));
        assert!(PLAIN.contains(&begin), "{begin:#x}");
    }

    #[test]
    fn a_dictionary_is_refused_before_room_is_made_for_it() {
        // Mode 4 with a length of 2^25 - 1.
        let body = [&[PCO_64, 0, PCO_MAJOR, 1, 0xF4, 0xFF, 0xFF, 0x1F][..], &[0; 100]].concat();
        assert_eq!(pull(&mut &body[..], 100), Err(Corrupt::Body));
    }
}
