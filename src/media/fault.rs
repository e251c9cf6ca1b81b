//! What can be wrong with a transport stream, each as a value that says itself in a sentence.

use std::fmt;

/// Something that no complete, untouched segment shows. Offsets are bytes from the start of the file; times are microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TsFault {
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
        /// Where the packet begins.
        at: u64,
        /// Whose packet it is.
        pid: u16,
        /// How far, negative for backwards.
        by_us: i64,
    },
    /// The time stamps last longer or less long than the name says.
    Span {
        /// What the name says.
        named_us: u64,
        /// What the time stamps say, the last frame included.
        found_us: u64,
    },
}

impl TsFault {
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
            Self::Span { .. } => "span",
        }
    }
}

impl fmt::Display for TsFault {
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
