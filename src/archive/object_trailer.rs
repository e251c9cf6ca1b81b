//! The last line of a manifest, which in the tar of an hour lies at a fixed distance from the end: who has the end of an object knows where
//! its manifest is.
//!
//! `# gapless trailer v1 OFFSET SIZE HASH`: where the manifest begins in the tar and how many bytes it has, in 20 decimal digits each, and
//! the SHA-256 of all of it that stands before this line.

use std::ops::Range;

use super::segment::Hash;
use super::tar_member::{BLOCK, END, END_BYTES};

/// Bytes of the line.
pub const TRAILER_BYTES: u64 = LINE as u64;
/// Bytes of the largest manifest that is written or read. An hour of 1,800 segments has half a megabyte; this keeps what others say of an
/// object from filling the memory.
pub const LARGEST_MANIFEST: u64 = 64 << 20;

const BEGINNING: &str = "# gapless trailer v";
const VERSION: &str = "1";
const DIGITS: usize = 20;
const LINE: usize = 128;

/// Why the end of an object is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrailerError {
    /// Too little of it was given, or the object is smaller than any hour.
    #[error("{given} bytes of an object of {size} do not reach its trailer; the last {} are needed", TRAILER_BYTES + END_BYTES)]
    TooShort {
        /// Bytes that were given.
        given: u64,
        /// Bytes of the object.
        size: u64,
    },
    /// It ends otherwise.
    #[error(
        "the object does not end as the tar of a sealed hour: it was cut off, is damaged, or is something else; verify it or upload the hour again"
    )]
    NoTrailer,
    /// Another version wrote it.
    #[error("the object has version {0:?} of the format, and this program reads version 1; a newer gapless reads it")]
    Version(String),
    /// The numbers do not fit the object.
    #[error(
        "the trailer says that the manifest has {size} bytes from {offset}, which cannot be in an object of {object} bytes: it was cut off, or is damaged; verify it or upload the hour again"
    )]
    Numbers {
        /// Where the manifest is said to begin.
        offset: u64,
        /// How many bytes it is said to have.
        size: u64,
        /// Bytes of the object.
        object: u64,
    },
}

/// The line for a manifest that lies here in the tar, and of which all that stands before it has this hash.
pub fn trailer_line(manifest: &Range<u64>, hash: Hash) -> String {
    let size = manifest.end.saturating_sub(manifest.start);
    format!("{BEGINNING}{VERSION} {:0DIGITS$} {size:0DIGITS$} {}\n", manifest.start, hash.hexadecimal())
}

/// Where the manifest lies in an object of so many bytes of which these are the last: at least 1,152, such as 64 KiB, or all of them.
/// Whether the manifest is whole is seen when it is read.
pub fn read_trailer(last_bytes: &[u8], object_size: u64) -> Result<Range<u64>, TrailerError> {
    let too_short = || TrailerError::TooShort { given: last_bytes.len() as u64, size: object_size };
    let (before, zeros) = last_bytes.split_last_chunk::<END>().ok_or_else(too_short)?;
    let (_, line) = before.split_last_chunk::<LINE>().ok_or_else(too_short)?;
    if last_bytes.len() as u64 > object_size {
        return Err(too_short());
    }
    let line = str::from_utf8(line).map_err(|_| TrailerError::NoTrailer)?;
    let (version, numbers) =
        line.strip_prefix(BEGINNING).and_then(|rest| rest.split_once(' ')).ok_or(TrailerError::NoTrailer)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(TrailerError::NoTrailer);
    }
    if version != VERSION {
        return Err(TrailerError::Version(version.chars().take(DIGITS).collect()));
    }
    let mut words = numbers.split(' ');
    let mut number = || words.next().filter(|word| is_number(word)).and_then(|word| word.parse::<u64>().ok());
    let (Some(offset), Some(size)) = (number(), number()) else { return Err(TrailerError::NoTrailer) };
    let is_hash = |word: &str| word.strip_suffix('\n').and_then(Hash::parse_hexadecimal).is_some();
    if !words.next().is_some_and(is_hash) || words.next().is_some() {
        return Err(TrailerError::NoTrailer);
    }
    let manifest_end = offset.checked_add(size).filter(|end| end.checked_add(END_BYTES) == Some(object_size));
    let in_blocks = offset >= BLOCK && offset.is_multiple_of(BLOCK) && size >= BLOCK && size.is_multiple_of(BLOCK);
    match manifest_end {
        Some(manifest_end) if in_blocks && size <= LARGEST_MANIFEST => Ok(offset..manifest_end),
        _ => Err(TrailerError::Numbers { offset, size, object: object_size }),
    }
}

fn is_number(word: &str) -> bool {
    word.len() == DIGITS && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end_of_object(manifest: &Range<u64>) -> Vec<u8> {
        let mut end = trailer_line(manifest, Hash([0xab; 32])).into_bytes();
        end.resize(end.len() + usize::try_from(END_BYTES).unwrap(), 0);
        end
    }

    proptest! {
        #[test]
        fn a_trailer_says_where_the_manifest_lies(blocks in 1..1_u64 << 40, size in 1..=LARGEST_MANIFEST / BLOCK, before in 0..2_000_usize) {
            let manifest = blocks * BLOCK..(blocks + size) * BLOCK;
            let end = end_of_object(&manifest);
            prop_assert_eq!(end.len() as u64, TRAILER_BYTES + END_BYTES);
            let object_size = manifest.end + END_BYTES;
            let given = [vec![b'x'; before.min(usize::try_from(object_size).unwrap() - end.len())], end].concat();
            prop_assert_eq!(read_trailer(&given, object_size), Ok(manifest));
            // Nor is it that of an object of another size.
            prop_assert!(read_trailer(&given, object_size + BLOCK).is_err() && read_trailer(&given, object_size - BLOCK).is_err());
        }

        #[test]
        fn no_bit_of_the_numbers_may_differ(at in 0..63_usize, bit in 0..8_u8) {
            let manifest = 4_096..8_192;
            let mut end = end_of_object(&manifest);
            end[at] ^= 1 << bit;
            prop_assert!(read_trailer(&end, manifest.end + END_BYTES).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), line in "(# gapless trailer v1 )?[0-9 ]{0,43}[0-9a-f]{0,64}\n?", size: u64) {
            let end = [bytes, line.into_bytes(), vec![0; 1_024]].concat();
            let _either = (read_trailer(&end, size), read_trailer(&end, end.len() as u64));
        }
    }

    #[test]
    fn another_version_is_named_and_too_little_is_told() {
        let end = end_of_object(&(512..1_024));
        let newer = [b"# gapless trailer v2 ", &end[21..]].concat();
        assert_eq!(read_trailer(&newer, 2_048), Err(TrailerError::Version("2".to_owned())));
        assert_eq!(read_trailer(&end[1..], 2_048), Err(TrailerError::TooShort { given: 1_151, size: 2_048 }));
        assert_eq!(read_trailer(&end, 1_000), Err(TrailerError::TooShort { given: 1_152, size: 1_000 }));
        assert_eq!(read_trailer(&[0; 2_048], 2_048), Err(TrailerError::NoTrailer));
    }
}
