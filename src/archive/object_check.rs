//! Whether the bytes of an object are those of the hour: every header, every filling and the manifest is compared, and every file is hashed.
//!
//! Nothing is taken from what is checked: where a file lies, how large it is and what hash it has follows from the manifest, and whether
//! that is the right one is told by the object's name.

use sha2::{Digest as _, Sha256};

use super::escape::shown;
use super::segment::Hash;
use super::{ObjectPiece, PackedHour};

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectFault {
    /// A file has another content.
    #[error("the content of '{}' is another one than its hash says", shown(.0))]
    File(Box<str>),
    /// A byte between the files is another one.
    #[error("byte {0} is another one than in the tar of the hour")]
    Byte(u64),
    /// It has more or less than it should.
    #[error("it has {found} bytes instead of {expected}")]
    Size {
        /// Bytes that it has; of one that is too large, those that were read.
        found: u64,
        /// Bytes of the tar.
        expected: u64,
    },
}

/// An object that is being read, from the beginning to the end.
#[derive(Debug)]
pub struct ObjectCheck<'p> {
    packed: &'p PackedHour,
    at: u64,
    hasher: Sha256,
}

impl<'p> ObjectCheck<'p> {
    /// Of the object of this hour.
    pub fn new(packed: &'p PackedHour) -> Self {
        Self { packed, at: 0, hasher: Sha256::new() }
    }

    /// Takes what comes next.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ObjectFault> {
        let end = self.at + bytes.len() as u64;
        if end > self.packed.size() {
            return Err(ObjectFault::Size { found: end, expected: self.packed.size() });
        }
        let mut rest = bytes;
        for piece in self.packed.pieces(self.at..end) {
            match piece {
                ObjectPiece::Bytes(expected) => {
                    let found = taken(&mut rest, expected.len());
                    let differs = found.iter().zip(&*expected).position(|(found, expected)| found != expected);
                    if let Some(offset) = differs {
                        return Err(ObjectFault::Byte(self.at + offset as u64));
                    }
                    self.at += found.len() as u64;
                }
                ObjectPiece::File(file, range) => {
                    let found = taken(&mut rest, usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
                    self.hasher.update(found);
                    self.at += found.len() as u64;
                    if range.end == file.size && Hash(self.hasher.finalize_reset().into()) != file.sha256 {
                        return Err(ObjectFault::File(file.name.clone()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Nothing more comes.
    pub fn end(self) -> Result<(), ObjectFault> {
        let expected = self.packed.size();
        if self.at != expected {
            return Err(ObjectFault::Size { found: self.at, expected });
        }
        // Of an empty file nothing came that could have been hashed.
        let nothing = Hash(Sha256::digest([]).into());
        let wrong = self.packed.manifest().files().iter().find(|file| file.size == 0 && file.sha256 != nothing);
        wrong.map_or(Ok(()), |file| Err(ObjectFault::File(file.name.clone())))
    }
}

fn taken<'b>(rest: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, left) = rest.split_at(length.min(rest.len()));
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_manifests::{TestHour, any_hour};
    use proptest::prelude::*;

    fn object(packed: &PackedHour, hour: &TestHour) -> Vec<u8> {
        let bytes = |piece: ObjectPiece<'_>| match piece {
            ObjectPiece::Bytes(bytes) => bytes.into_owned(),
            ObjectPiece::File(file, range) => {
                let index = |at: u64| usize::try_from(at).unwrap();
                hour.files[&*file.name][index(range.start)..index(range.end)].to_vec()
            }
        };
        packed.pieces(0..u64::MAX).flat_map(bytes).collect()
    }

    fn checked(packed: &PackedHour, object: &[u8], step: usize) -> Result<(), ObjectFault> {
        let mut check = ObjectCheck::new(packed);
        object.chunks(step).try_for_each(|bytes| check.feed(bytes))?;
        check.end()
    }

    proptest! {
        #[test]
        fn the_object_passes_however_it_comes_and_nothing_else_does(hour in any_hour(), step in 1..3_000_usize, at: prop::sample::Index, bit in 0..8_u8) {
            let packed = PackedHour::plan(hour.manifest());
            let mut object = object(&packed, &hour);
            prop_assert_eq!(checked(&packed, &object, step), Ok(()));
            let at = at.index(object.len());
            prop_assert!(checked(&packed, &object[..at], step).is_err());
            prop_assert!(checked(&packed, &[&*object, b"x"].concat(), step).is_err());
            object[at] ^= 1 << bit;
            prop_assert!(checked(&packed, &object, step).is_err(), "bit {} of byte {}", bit, at);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let hour = TestHour::new(
            crate::archive::HourPlace::parse("c/source/2019-11-13T02").unwrap(),
            [("a.ts".to_owned(), b"content".to_vec())].into(),
        );
        let packed = PackedHour::plan(hour.manifest());
        let mut bytes = object(&packed, &hour);
        bytes[512 + 3] ^= 1;
        let fault = checked(&packed, &bytes, 100).unwrap_err();
        assert_eq!(fault, ObjectFault::File("a.ts".into()));
        assert!(fault.to_string().contains("'a.ts'"));
        bytes[100] ^= 1;
        assert_eq!(checked(&packed, &bytes, 70), Err(ObjectFault::Byte(100)));
        let expected = packed.size();
        assert_eq!(checked(&packed, &[], 1), Err(ObjectFault::Size { found: 0, expected }));
    }
}
