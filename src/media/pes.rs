//! The header of a unit of a stream: a PES packet (ISO/IEC 13818-1, 2.4.3.6). No bytes make this panic.

use super::time;

/// Bytes of a header that are always there.
pub(super) const SHORT: usize = 6;

/// When a unit is shown and decoded, in ticks, modulo 2³³.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// PTS.
    pub shown: i64,
    /// DTS, or the same.
    pub decoded: i64,
}

/// What a unit says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `stream_id`.
    pub id: u8,
    /// Its times, if it tells them.
    pub times: Option<Times>,
    /// Its content is encrypted.
    pub scrambled: bool,
    /// Bytes of its content, if it tells how many; pictures need not.
    pub length: Option<usize>,
    /// Where its content begins.
    pub content: usize,
}

/// What the bytes at the beginning of a unit are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    Header(Header),
    /// More bytes are wanted.
    Short,
    /// It is no unit.
    Other,
}

/// Takes the header apart.
pub(super) fn read(bytes: &[u8]) -> Begin {
    let [0, 0, 1, id, high, low, ..] = *bytes else {
        let is_begin = [0, 0, 1].iter().zip(bytes).all(|(wanted, found)| wanted == found);
        return if is_begin && bytes.len() < SHORT { Begin::Short } else { Begin::Other };
    };
    let length = Some(usize::from(high) << 8 | usize::from(low)).filter(|length| *length > 0);
    if !has_times(id) {
        return Begin::Header(Header { id, times: None, scrambled: false, length, content: SHORT });
    }
    let [_, _, _, _, _, _, marks, flags, size, ..] = *bytes else { return Begin::Short };
    if marks >> 6 != 2 {
        return Begin::Other;
    }
    let content = SHORT + 3 + usize::from(size);
    let Some(fields) = bytes.get(SHORT + 3..content) else { return Begin::Short };
    let shown = if flags & 0x80 == 0 { None } else { time::read(fields) };
    let decoded = if flags & 0x40 == 0 { shown } else { fields.get(5..).and_then(time::read) };
    let times = shown.zip(decoded).map(|(shown, decoded)| Times { shown, decoded });
    let length = length.map(|length| length.saturating_sub(content - SHORT));
    Begin::Header(Header { id, times, scrambled: marks >> 4 & 3 != 0, length, content })
}

/// Units of some numbers have nothing but a length: maps, stuffing, keys and directories (table 2-22).
fn has_times(id: u8) -> bool {
    !matches!(id, 0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff)
}

impl Header {
    /// By its number it is video.
    pub fn is_video(&self) -> bool {
        (0xe0..=0xef).contains(&self.id)
    }

    /// By its number it is video or sound, or what may be sound: private stream 1, or the extended numbers.
    pub fn is_media(&self) -> bool {
        self.is_video() || matches!(self.id, 0xbd | 0xc0..=0xdf | 0xfd)
    }
}
