//! One file against its name, in as many turns as it takes. Nothing is moved and nothing is concluded here.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::archive::{Container, Hash, LARGEST_FILE, SegmentKey, SegmentKind};
use crate::disk::{Dir, DiskError, WholeFile};
use crate::media::{StreamCheck, StreamFault, StreamVerdict};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Hash {
        found: Hash,
        size: u64,
    },
    /// The same, and all of it is zero: space that was given to the file and never written.
    Zeros {
        found: Hash,
        size: u64,
    },
    Unreadable {
        why: String,
    },
    /// It is larger than any segment may be, so that it is not read: a sparse file of terabytes would take days.
    TooLarge {
        size: u64,
    },
    /// Its content is the one in its name, and its stream is strange, which proves nothing.
    Odd {
        faults: Vec<StreamFault>,
        size: u64,
    },
    /// Its content is the one in its name, and is no complete and untouched stream.
    Structure {
        faults: Vec<StreamFault>,
        size: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileVerdict {
    Sound {
        size: u64,
    },
    Bad(Fault),
    /// It is not there any more: deleted, purged or retired while it was looked at, which is no fault.
    Gone,
    Stopped,
}

impl Fault {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hash { .. } => "hash",
            Self::Zeros { .. } => "zeros",
            Self::Unreadable { .. } => "unreadable",
            Self::TooLarge { .. } => "too-large",
            Self::Odd { .. } => "odd",
            Self::Structure { .. } => "structure",
        }
    }

    pub const fn found(&self) -> (Option<Hash>, Option<u64>) {
        match self {
            Self::Hash { found, size } | Self::Zeros { found, size } => (Some(*found), Some(*size)),
            Self::Unreadable { .. } => (None, None),
            Self::Structure { size, .. } | Self::Odd { size, .. } | Self::TooLarge { size } => (None, Some(*size)),
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
            Self::TooLarge { size } => vec![format!(
                "it has {size} bytes, and no segment may have more than {LARGEST_FILE}: it was not read, and no other node takes it"
            )],
            Self::Structure { faults, .. } | Self::Odd { faults, .. } => {
                faults.iter().map(ToString::to_string).collect()
            }
        }
    }
}

/// A file that is being compared with its name. What was read of it stays read when it is left in the middle.
#[derive(Debug)]
pub struct Check {
    key: SegmentKey,
    hasher: Sha256,
    stream: Option<StreamCheck>,
    size: u64,
    zeros: bool,
}

impl Check {
    /// Nothing is read yet. `structure` says whether to judge the stream in a `full` segment, too.
    pub fn new(key: &SegmentKey, structure: bool) -> Self {
        let stream = (structure && key.kind == SegmentKind::Full).then(|| match key.container {
            Container::Ts => StreamCheck::ts(),
            Container::Mp4 => StreamCheck::mp4(),
        });
        Self { key: *key, hasher: Sha256::new(), stream, size: 0, zeros: true }
    }

    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Reads on. `read` receives all bytes as they come, and says whether to go on; where it does not, what follows is left for the
    /// next time.
    pub fn go_on(
        &mut self,
        dir: &Dir,
        name: &str,
        room: &mut Vec<u8>,
        mut read: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<FileVerdict, DiskError> {
        let done = dir.read_whole(OsStr::new(name), self.size, room, |piece| {
            self.take(piece);
            read(piece.len() as u64)
        });
        match done {
            Ok(WholeFile::Read) => Ok(self.verdict()),
            Ok(WholeFile::Stopped) => Ok(FileVerdict::Stopped),
            Ok(WholeFile::Absent) => Ok(FileVerdict::Gone),
            Err(error) if error.is_unreadable() => Ok(FileVerdict::Bad(Fault::Unreadable { why: error.to_string() })),
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.zeros = self.zeros && piece.iter().all(|byte| *byte == 0);
        self.size = self.size.saturating_add(piece.len() as u64);
        if let Some(stream) = &mut self.stream {
            stream.feed(piece);
        }
    }

    fn verdict(&mut self) -> FileVerdict {
        let (found, size) = (Hash(self.hasher.finalize_reset().into()), self.size);
        if found != self.key.hash {
            let is_zero = self.zeros && size > 0;
            return FileVerdict::Bad(if is_zero { Fault::Zeros { found, size } } else { Fault::Hash { found, size } });
        }
        match self.stream.take().map(|stream| stream.finish(self.key.duration_us.into())) {
            Some(StreamVerdict::Faulty(faults)) => FileVerdict::Bad(Fault::Structure { faults, size }),
            Some(StreamVerdict::Odd(faults)) => FileVerdict::Bad(Fault::Odd { faults, size }),
            Some(StreamVerdict::Sound | StreamVerdict::Other) | None => FileVerdict::Sound { size },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::archive::{FileName, parse_file_name};
    use crate::disk::{Base, PIECE};

    fn name(kind: &str, content: &[u8]) -> String {
        format!("00:00-2.0-{kind}-{}.ts", Hash(Sha256::digest(content).into()))
    }

    #[test]
    fn a_file_is_what_its_name_says_or_told_what_is_wrong() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let verdict = |name: &str, structure| {
            let FileName::Understood(key) = parse_file_name(name) else { panic!("{name}") };
            Check::new(&key, structure).go_on(&dir, name, &mut Vec::new(), |_| ControlFlow::Continue(())).unwrap()
        };
        let content = vec![7; PIECE + 11];
        let good = name("full", &content);
        assert_eq!(verdict(&good, true), FileVerdict::Gone);
        let put = |name: &str, bytes: &[u8]| fs::write(tree.path().join(name), bytes).unwrap();
        put(&good, &content);
        assert_eq!(verdict(&good, true), FileVerdict::Sound { size: content.len() as u64 });

        let mut flipped = content.clone();
        flipped[PIECE + 3] ^= 1;
        put(&good, &flipped);
        assert!(matches!(verdict(&good, true), FileVerdict::Bad(Fault::Hash { .. })));
        put(&good, &content[..100]);
        let FileVerdict::Bad(fault) = verdict(&good, true) else { panic!("it is cut short") };
        assert!(fault.sentences(content.len() as u64)[0].contains("it has 100 bytes, expected"), "{fault:?}");
        put(&good, &vec![0; content.len()]);
        assert!(matches!(verdict(&good, true), FileVerdict::Bad(Fault::Zeros { .. })));

        // A stream of a right name that lost a packet before it got it: only `full` ones are to be complete.
        let packet = |counter: u8| [&[0x47, 1, 0, 0x10 | counter][..], &[0xff; 184]].concat();
        let stream = [packet(0), packet(1), packet(2), packet(7)].concat();
        for (kind, is_bad) in [("full", true), ("suspect", false), ("partial", false)] {
            let named = name(kind, &stream);
            put(&named, &stream);
            assert_eq!(matches!(verdict(&named, true), FileVerdict::Bad(Fault::Structure { .. })), is_bad, "{kind}");
            assert!(matches!(verdict(&named, false), FileVerdict::Sound { .. }), "{kind}");
        }
    }

    #[test]
    fn a_file_that_is_left_in_the_middle_is_gone_on_with_there() {
        let tree = tempfile::tempdir().unwrap();
        let content = vec![7; 3 * PIECE];
        let good = name("full", &content);
        fs::write(tree.path().join(&good), &content).unwrap();
        let dir = Base::open(tree.path()).unwrap().dir(Path::new("")).unwrap().unwrap();
        let FileName::Understood(key) = parse_file_name(&good) else { panic!("{good}") };
        let (mut check, mut seen) = (Check::new(&key, true), 0);
        let mut turn = |most: u64| {
            let mut left = most;
            let verdict = check.go_on(&dir, &good, &mut Vec::new(), |bytes| {
                (seen, left) = (seen + bytes, left.saturating_sub(bytes));
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            verdict.unwrap()
        };
        assert_eq!(turn(1), FileVerdict::Stopped);
        assert_eq!(turn(1), FileVerdict::Stopped);
        assert_eq!(turn(u64::MAX), FileVerdict::Sound { size: content.len() as u64 });
        assert_eq!(seen, content.len() as u64, "each byte was read once");
    }
}
