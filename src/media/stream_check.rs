//! The check of one file while its bytes come, whatever it is in.

use super::check::{StreamVerdict, TsCheck};
use super::mp4::Mp4Reader;

/// See the module.
#[derive(Debug)]
pub enum StreamCheck {
    /// Of a transport stream.
    Ts(Box<TsCheck>),
    /// Of a fragmented MP4.
    Mp4(Box<Mp4Reader>),
}

impl StreamCheck {
    /// Of what is to be a transport stream.
    pub fn ts() -> Self {
        Self::Ts(Box::default())
    }

    /// Of what is to be a fragmented MP4.
    pub fn mp4() -> Self {
        Self::Mp4(Box::default())
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Ts(check) => check.feed(bytes),
            Self::Mp4(reader) => reader.feed(bytes),
        }
    }

    /// All bytes have come: what they are, for a file that is to last this long.
    pub fn finish(self, named_us: u64) -> StreamVerdict {
        match self {
            Self::Ts(check) => check.finish(named_us),
            Self::Mp4(reader) => reader.finish(named_us),
        }
    }
}
