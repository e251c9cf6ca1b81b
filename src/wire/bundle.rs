//! Many small files in one answer.
//!
//! A line for each file that was asked for, in the order of the request: `SIZE NAME`, followed by that many bytes of content, or
//! a word and the name where the file is not in the answer: `gone` (there is none, or it is tombstoned), `large` (fetch it by
//! itself), `later` (the answer is full: ask again). The last line is `end`, so that a cut is noticed. Lines end with `\n`; a
//! name holds none.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Files that may be asked for at once.
pub const MOST_FILES: usize = 1024;
/// Bytes of a file that still is small: for more, a request of its own costs little.
pub const SMALL_BYTES: usize = 64 << 10;
/// Bytes of all files in an answer. It is held in memory on both sides.
pub const MOST_BYTES: usize = 4 << 20;
/// Bytes of an answer: the files, and a line for each.
pub const ANSWER_BYTES: usize = MOST_BYTES + MOST_FILES * 300;
/// What the answer is.
pub const CONTENT_TYPE: &str = "application/vnd.gapless.bundle";

/// The files of an hour that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleRequest {
    /// File names, up to 1024.
    pub names: Vec<String>,
}

/// What became of a file that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundlePart<'a> {
    /// Its content.
    Content(&'a [u8]),
    /// There is none, or it is tombstoned.
    Gone,
    /// It is too large to travel with others.
    Large,
    /// The answer was full.
    Later,
}

/// Appends a file to an answer.
pub fn push(answer: &mut Vec<u8>, name: &str, part: BundlePart<'_>) {
    let size;
    let (word, content): (&str, &[u8]) = match part {
        BundlePart::Content(content) => {
            size = content.len().to_string();
            (&size, content)
        }
        BundlePart::Gone => ("gone", b""),
        BundlePart::Large => ("large", b""),
        BundlePart::Later => ("later", b""),
    };
    for bytes in [word.as_bytes(), b" ", name.as_bytes(), b"\n", content] {
        answer.extend_from_slice(bytes);
    }
}

/// Ends an answer.
pub fn end(answer: &mut Vec<u8>) {
    answer.extend_from_slice(b"end\n");
}

/// Reads an answer to a request for these names. What came before something that cannot be understood is given; whether the
/// answer was whole is told.
pub fn read<'a>(mut answer: &'a [u8], names: &[&str]) -> (Vec<BundlePart<'a>>, bool) {
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        let Some((part, rest)) = read_one(answer, name) else { return (parts, false) };
        parts.push(part);
        answer = rest;
    }
    (parts, answer == b"end\n")
}

fn read_one<'a>(answer: &'a [u8], name: &str) -> Option<(BundlePart<'a>, &'a [u8])> {
    let line = answer.iter().position(|byte| *byte == b'\n')?;
    let (head, rest) = (answer.get(..line)?, answer.get(line + 1..)?);
    let word = head.strip_suffix(name.as_bytes())?.strip_suffix(b" ")?;
    let part = match word {
        b"gone" => BundlePart::Gone,
        b"large" => BundlePart::Large,
        b"later" => BundlePart::Later,
        size => {
            let size: usize = std::str::from_utf8(size).ok().filter(|text| !text.starts_with('+'))?.parse().ok()?;
            let (content, after) = rest.split_at_checked(size)?;
            return Some((BundlePart::Content(content), after));
        }
    };
    Some((part, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_reads_as_it_is_documented() {
        let mut answer = Vec::new();
        push(&mut answer, "a b.ts", BundlePart::Content(b"x\ny"));
        push(&mut answer, "c.ts", BundlePart::Large);
        end(&mut answer);
        assert_eq!(answer, b"3 a b.ts\nx\nylarge c.ts\nend\n");
        assert_eq!(read(&answer, &["a b.ts", "c.ts"]), (vec![BundlePart::Content(b"x\ny"), BundlePart::Large], true));
        assert_eq!(read(&answer, &["a b.ts", "d.ts"]), (vec![BundlePart::Content(b"x\ny")], false), "another name");
        assert_eq!(read(&answer, &["a b.ts"]), (vec![BundlePart::Content(b"x\ny")], false), "more than was asked for");
        assert_eq!(read(b"+3 a\nxyzend\n", &["a"]), (vec![], false));
        assert_eq!(read(b"99999999999999999999 a\nxyzend\n", &["a"]), (vec![], false));
    }

    proptest! {
        #[test]
        fn what_was_sent_is_read_and_a_cut_is_noticed(
            files in prop::collection::vec(("[a-z ]{1,9}", prop::option::of(prop::collection::vec(any::<u8>(), 0..40))), 0..9),
            cut: prop::sample::Index,
        ) {
            let mut answer = Vec::new();
            let mut parts = Vec::new();
            for (name, content) in &files {
                let part = content.as_deref().map_or(BundlePart::Gone, BundlePart::Content);
                push(&mut answer, name, part);
                parts.push(part);
            }
            end(&mut answer);
            let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
            prop_assert_eq!(read(&answer, &names), (parts.clone(), true));
            let (read, whole) = read(&answer[..cut.index(answer.len())], &names);
            prop_assert!(!whole && parts.starts_with(&read));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _either = read(&bytes, &["a", "b"]);
        }
    }
}
