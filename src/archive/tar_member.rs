//! What stands before and behind a file in a tar, to the byte: the same for the same file on every node, and for each version of the format.
//!
//! A header is POSIX `ustar` where the path fits into it, and has a `pax` header in front where it does not. Nothing in it tells who packed
//! it, or when.

use tar::{EntryType, Header};

use super::segment::Hash;

/// All of a tar comes in blocks of so many bytes.
pub const BLOCK: u64 = 512;
/// The two blocks of zeros that end a tar.
pub const END_BYTES: u64 = END as u64;
/// The same as a length in memory.
pub const END: usize = 1_024;
/// The latest time that eleven octal digits tell: in the year 2242.
const LATEST_S: i64 = 0o777_7777_7777;

/// The zeros that fill up the last block of so many bytes.
pub const fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// Bytes in front of the content of a file with this path.
pub fn header_len(path: &str) -> u64 {
    if plain(path).is_some() {
        return BLOCK;
    }
    let record = pax_record(path).len() as u64;
    2 * BLOCK + record + padding(record)
}

/// What stands in front of the content of a file: its path relative to the base directory, its size, the time that it is given when it is
/// unpacked, in seconds since 1970, and the hash of its content, under which a reader unpacks it that knows nothing of pax.
pub fn header(path: &str, size: u64, time_s: i64, hash: Hash) -> Vec<u8> {
    if let Some(plain) = plain(path) {
        return finished(plain, EntryType::Regular, size, time_s).to_vec();
    }
    let record = pax_record(path);
    let record_len = record.len() as u64;
    let mut bytes = finished(named(hash), EntryType::XHeader, record_len, time_s).to_vec();
    bytes.extend(record);
    bytes.resize(bytes.len() + usize::try_from(padding(record_len)).unwrap_or_default(), 0);
    bytes.extend(finished(named(hash), EntryType::Regular, size, time_s));
    bytes
}

/// A header whose fields for the path hold it. POSIX promises only ASCII in them.
fn plain(path: &str) -> Option<Header> {
    let mut header = Header::new_ustar();
    (path.is_ascii() && header.set_path(path).is_ok()).then_some(header)
}

fn named(hash: Hash) -> Header {
    let mut header = Header::new_ustar();
    let field = &mut header.as_old_mut().name;
    field.iter_mut().zip(hash.hexadecimal().bytes()).for_each(|(to, from)| *to = from);
    header
}

fn finished(mut header: Header, kind: EntryType, size: u64, time_s: i64) -> [u8; 512] {
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(time_s.clamp(0, LATEST_S)).unwrap_or_default());
    header.set_cksum();
    *header.as_bytes()
}

/// `LENGTH path=PATH` and a line break, where the length is that of all of it.
fn pax_record(path: &str) -> Vec<u8> {
    let rest = format!(" path={path}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_as_long_as_was_said_and_is_read_again(
            path in "([a-zA-Zé\\\\ .-]{1,250}/){3}[a-zA-Zé]{1,250}", size in 0..=crate::archive::LARGEST_FILE, time_s: i64,
        ) {
            let hash = Hash([7; 32]);
            let bytes = header(&path, size, time_s, hash);
            prop_assert_eq!(bytes.len() as u64, header_len(&path));
            let mut archive = tar::Archive::new(&*bytes);
            let mut entries = archive.entries().unwrap();
            let entry = entries.next().unwrap().unwrap();
            prop_assert_eq!(&*entry.path_bytes(), path.as_bytes());
            prop_assert_eq!(entry.header().size().unwrap(), size);
            prop_assert_eq!(entry.header().mtime().unwrap(), u64::try_from(time_s.clamp(0, LATEST_S)).unwrap());
        }
    }

    #[test]
    fn a_header_is_that_of_the_document() {
        let path = "desertbus/source/2019-11-13T02/00:00.0-2.0-full-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE.ts";
        let numbers = "0000644\0|0000000\0|0000000\0|00000001750\0|13562661640\0|0023253\0|0";
        let zeros = |count: usize| "\0".repeat(count);
        let text =
            [path, &zeros(6), &numbers.replace('|', ""), &zeros(100), "ustar\0", "00", &zeros(80 + 155 + 12)].concat();
        assert_eq!(text.len(), 512);
        let page = include_str!("../../docs/archive-format.md");
        assert!(
            page.contains(&numbers.replace('\0', "\\0").replace('|', " "))
                && page.contains(&format!("  0: {path} \\0×6"))
        );
        let written = header(path, 1_000, 1_573_610_400, Hash([1; 32]));
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        // 99 and 100, and 999 and 1,000, are lengths at which one digit more makes it one more again.
        for length in (1..1_100).chain([9_990, 9_991]) {
            let record = String::from_utf8(pax_record(&"x".repeat(length))).unwrap();
            let (said, _) = record.split_once(' ').unwrap();
            assert_eq!(said.parse::<usize>().unwrap(), record.len());
        }
    }

    #[test]
    fn a_path_of_a_segment_needs_one_block_and_one_in_other_scripts_needs_three() {
        let name = "45:51.608000-2.0-full-7IS92rssMzoSBQDIevHStbTNy-URRV3Vw-jzZ6pwOZM.ts";
        assert_eq!(header_len(&format!("desertbus/source/2019-11-13T02/{name}")), 512);
        assert_eq!(header_len(&format!("{}/source/2019-11-13T02/{name}", "c".repeat(155))), 512);
        assert_eq!(header_len(&format!("{}/source/2019-11-13T02/{name}", "c".repeat(156))), 1_536);
        assert_eq!(header_len(&format!("wüstenbus/source/2019-11-13T02/{name}")), 1_536);
    }
}
