//! One file against its name. Nothing is moved and nothing is concluded here.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::disk::{Dir, DiskError, WholeFile};
use crate::domain::{Hash, Kind, SegmentKey, TsCheck, TsFault, TsVerdict};

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its content is not the one in its name.
    Hash {
        /// What its content adds up to.
        found: Hash,
        /// Bytes that were read.
        size: u64,
    },
    /// The same, and all of it is zero: space that was given to the file and never written.
    Zeros {
        /// What its content adds up to.
        found: Hash,
        /// Bytes that were read.
        size: u64,
    },
    /// The disk cannot read it.
    Unreadable {
        /// What the operating system said.
        why: String,
    },
    /// Its content is the one in its name, and is no complete and untouched transport stream.
    Structure {
        /// Why not.
        faults: Vec<TsFault>,
        /// Bytes that were read.
        size: u64,
    },
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// What its name says.
    Sound {
        /// Bytes that were read.
        size: u64,
    },
    /// Not what its name says, or damaged.
    Bad(Fault),
    /// It is not there any more: deleted, purged or retired while it was looked at, which is no fault.
    Gone,
    /// It was told to stop in the middle.
    Stopped,
}

impl Fault {
    /// A stable word for counts and reports.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hash { .. } => "hash",
            Self::Zeros { .. } => "zeros",
            Self::Unreadable { .. } => "unreadable",
            Self::Structure { .. } => "structure",
        }
    }

    /// What was found of its content.
    pub const fn found(&self) -> (Option<Hash>, Option<u64>) {
        match self {
            Self::Hash { found, size } | Self::Zeros { found, size } => (Some(*found), Some(*size)),
            Self::Unreadable { .. } => (None, None),
            Self::Structure { size, .. } => (None, Some(*size)),
        }
    }

    /// Sentences for people. `expected` is what the index knew of its size.
    pub fn sentences(&self, expected: u64) -> Vec<String> {
        let shrunk = |size: u64| {
            let told =
                if size == expected { String::new() } else { format!("; it has {size} bytes, expected {expected}") };
            format!("its content is not the one in its name{told}")
        };
        match self {
            Self::Hash { size, .. } => vec![shrunk(*size)],
            Self::Zeros { size, .. } => vec![format!("{}; every byte is zero", shrunk(*size))],
            Self::Unreadable { why } => vec![format!("the disk cannot read it: {why}")],
            Self::Structure { faults, .. } => faults.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Reads a file of an hour and compares it with its name; `structure` tells whether a `full` segment is to be judged as a transport
/// stream, too. `read` is told of all bytes as they come, and says whether to go on.
pub fn check(
    dir: &Dir,
    name: &str,
    key: &SegmentKey,
    structure: bool,
    room: &mut Vec<u8>,
    mut read: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Verdict, DiskError> {
    let mut hasher = Sha256::new();
    let mut stream = (structure && key.kind == Kind::Full).then(TsCheck::default);
    let (mut size, mut zeros) = (0_u64, true);
    let done = dir.read_whole(OsStr::new(name), room, |piece| {
        hasher.update(piece);
        zeros = zeros && piece.iter().all(|byte| *byte == 0);
        size = size.saturating_add(piece.len() as u64);
        if let Some(stream) = &mut stream {
            stream.feed(piece);
        }
        read(piece.len() as u64)
    });
    match done {
        Ok(WholeFile::Read) => {}
        Ok(WholeFile::Stopped) => return Ok(Verdict::Stopped),
        Ok(WholeFile::Absent) => return Ok(Verdict::Gone),
        Err(error) if error.is_unreadable() => return Ok(Verdict::Bad(Fault::Unreadable { why: error.to_string() })),
        Err(error) => return Err(error),
    }
    let found = Hash(hasher.finalize().into());
    if found != key.hash {
        let all_zero = zeros && size > 0;
        return Ok(Verdict::Bad(if all_zero { Fault::Zeros { found, size } } else { Fault::Hash { found, size } }));
    }
    match stream.map(|stream| stream.finish(key.duration_us.into())) {
        Some(TsVerdict::Faulty(faults)) => Ok(Verdict::Bad(Fault::Structure { faults, size })),
        Some(TsVerdict::Sound | TsVerdict::Other) | None => Ok(Verdict::Sound { size }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::disk::{Base, PIECE};
    use crate::domain::{FileName, parse_file_name};

    fn name(kind: &str, content: &[u8]) -> String {
        format!("00:00-2.0-{kind}-{}.ts", Hash(Sha256::digest(content).into()))
    }

    #[test]
    fn a_file_is_what_its_name_says_or_told_what_is_wrong() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let verdict = |name: &str, structure| {
            let FileName::Understood(key) = parse_file_name(name) else { panic!("{name}") };
            check(&dir, name, &key, structure, &mut Vec::new(), |_| ControlFlow::Continue(())).unwrap()
        };
        let content = vec![7; PIECE + 11];
        let good = name("full", &content);
        assert_eq!(verdict(&good, true), Verdict::Gone);
        let put = |name: &str, bytes: &[u8]| fs::write(tree.path().join(name), bytes).unwrap();
        put(&good, &content);
        assert_eq!(verdict(&good, true), Verdict::Sound { size: content.len() as u64 });

        let mut flipped = content.clone();
        flipped[PIECE + 3] ^= 1;
        put(&good, &flipped);
        assert!(matches!(verdict(&good, true), Verdict::Bad(Fault::Hash { .. })));
        put(&good, &content[..100]);
        let Verdict::Bad(fault) = verdict(&good, true) else { panic!("it is cut short") };
        assert!(fault.sentences(content.len() as u64)[0].contains("it has 100 bytes, expected"), "{fault:?}");
        put(&good, &vec![0; content.len()]);
        assert!(matches!(verdict(&good, true), Verdict::Bad(Fault::Zeros { .. })));

        // A stream of a right name that lost a packet before it got it: only `full` ones are to be complete.
        let packet = |counter: u8| [&[0x47, 1, 0, 0x10 | counter][..], &[0xff; 184]].concat();
        let stream = [packet(0), packet(1), packet(2), packet(7)].concat();
        for (kind, is_bad) in [("full", true), ("suspect", false), ("partial", false)] {
            let named = name(kind, &stream);
            put(&named, &stream);
            assert_eq!(matches!(verdict(&named, true), Verdict::Bad(Fault::Structure { .. })), is_bad, "{kind}");
            assert!(matches!(verdict(&named, false), Verdict::Sound { .. }), "{kind}");
        }
    }

    #[test]
    fn it_stops_when_told() {
        let tree = tempfile::tempdir().unwrap();
        let content = vec![7; 3 * PIECE];
        let good = name("full", &content);
        fs::write(tree.path().join(&good), &content).unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let FileName::Understood(key) = parse_file_name(&good) else { panic!("{good}") };
        let mut seen = 0;
        let stop = |bytes| {
            seen += bytes;
            if seen > PIECE as u64 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(check(&dir, &good, &key, true, &mut Vec::new(), stop).unwrap(), Verdict::Stopped);
        assert_eq!(seen, 2 * PIECE as u64);
    }
}
