//! What can be wrong with a stream, each as a value that says itself in a sentence.

use std::fmt;

/// Something that no complete, untouched segment shows. Offsets are bytes from the start of the file; times are microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamFault {
    /// There is nothing in it, and its name says that it lasts some time.
    Empty,
    /// Every byte is zero: space that was given to the file and never written.
    AllZero,
    /// A packet does not begin with the sync byte.
    NoSync {
        /// Where the packet begins.
        at: u64,
        /// What stands there.
        found: u8,
    },
    /// The last packet is cut short, and what is there does not last as long as the name says.
    Torn {
        /// How many bytes of the last packet are there.
        bytes: u64,
    },
    /// A packet says of itself that it was damaged on its way.
    Damaged {
        /// Where the packet begins.
        at: u64,
        /// Whose packet it is.
        pid: u16,
    },
    /// The counter of a program's packets jumps: some are missing, or belong to another recording.
    Continuity {
        /// Where the packet begins.
        at: u64,
        /// Whose packet it is.
        pid: u16,
        /// The counter that was to come.
        expected: u8,
        /// The counter that came.
        found: u8,
    },
    /// Time stamps run backwards, or leap where the whole does not last as long as the name says.
    Jump {
        /// Where the packet begins, or the fragment.
        at: u64,
        /// Whose packet it is, or which track's fragment.
        pid: u16,
        /// How far, negative for backwards.
        by_us: i64,
    },
    /// Of MP4: a box is cut short.
    Cut {
        /// Where the box begins.
        at: u64,
        /// What it is called.
        name: [u8; 4],
    },
    /// Of MP4: what a box says is not possible, and nothing behind it can be read.
    Box {
        /// Where the box begins.
        at: u64,
        /// What it is called.
        name: [u8; 4],
    },
    /// Of MP4: it does not begin with an initialisation segment.
    NoInit,
    /// Of MP4: there is an initialisation segment, and nothing else.
    NoMedia,
    /// Of MP4: bytes of samples are missing.
    Samples {
        /// Where their fragment begins.
        at: u64,
        /// How many bytes they have.
        wanted: u64,
        /// How many are there.
        found: u64,
    },
    /// Of MP4: a fragment is of a track that the initialisation segment does not have.
    Track {
        /// Where the fragment begins.
        at: u64,
        /// The track's number.
        track: u32,
    },
    /// The time stamps last longer or less long than the name says.
    Span {
        /// What the name says.
        named_us: u64,
        /// What the time stamps say, the last frame included.
        found_us: u64,
    },
}

impl StreamFault {
    /// A stable word for counts and reports.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::AllZero => "all_zero",
            Self::NoSync { .. } => "no_sync",
            Self::Torn { .. } => "torn",
            Self::Damaged { .. } => "damaged",
            Self::Continuity { .. } => "continuity",
            Self::Jump { .. } => "jump",
            Self::Cut { .. } => "cut",
            Self::Box { .. } => "box",
            Self::NoInit => "no_init",
            Self::NoMedia => "no_media",
            Self::Samples { .. } => "samples",
            Self::Track { .. } => "track",
            Self::Span { .. } => "span",
        }
    }
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it is empty; expected video"),
            Self::AllZero => write!(f, "every byte is zero; expected video"),
            Self::NoSync { at, found } => {
                write!(f, "the packet at byte {at} begins with 0x{found:02x}; expected the sync byte 0x47")
            }
            Self::Torn { bytes } => write!(
                f,
                "it ends {bytes} bytes into a packet of 188 and does not last as long as its name says: it was cut short"
            ),
            Self::Damaged { at, pid } => {
                write!(f, "the packet at byte {at} of stream 0x{pid:x} says of itself that it was damaged on its way")
            }
            Self::Continuity { at, pid, expected, found } => write!(
                f,
                "the packet at byte {at} of stream 0x{pid:x} has the counter {found}; expected {expected}: something is missing before it, or it is from elsewhere"
            ),
            Self::Jump { at, pid, by_us } => write!(
                f,
                "time stamps of stream 0x{pid:x} leap by {} s at byte {at}: it was put together from different recordings",
                Seconds(*by_us)
            ),
            Self::Cut { at, name } => {
                write!(f, "it ends within the box {} that begins at byte {at}: it was cut short", name.escape_ascii())
            }
            Self::Box { at, name } => {
                write!(f, "the box {} at byte {at} cannot be read: what it says is not possible", name.escape_ascii())
            }
            Self::NoInit => {
                write!(
                    f,
                    "it has no initialisation segment (ftyp and moov) at its beginning; no player can begin with it"
                )
            }
            Self::NoMedia => {
                write!(f, "it has an initialisation segment and no media; expected fragments (moof and mdat)")
            }
            Self::Samples { at, wanted, found } => write!(
                f,
                "the samples of the fragment at byte {at} have {wanted} bytes, and {found} are there: it was cut short"
            ),
            Self::Track { at, track } => write!(
                f,
                "the fragment at byte {at} is of track {track}, which the initialisation segment does not have: they do not belong together"
            ),
            Self::Span { named_us, found_us } => {
                let seconds = |us: u64| Seconds(i64::try_from(us).unwrap_or(i64::MAX));
                write!(
                    f,
                    "its time stamps last {} s; expected {} s, as its name says",
                    seconds(*found_us),
                    seconds(*named_us)
                )
            }
        }
    }
}

/// Microseconds written as seconds with three digits after the point.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.unsigned_abs() / 1_000;
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:03}", ms / 1_000, ms % 1_000)
    }
}
