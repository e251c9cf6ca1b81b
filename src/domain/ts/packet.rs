//! One packet of 188 bytes, taken apart as far as the checks need it (ISO/IEC 13818-1, 2.4.3). No bytes make this panic.

/// What every packet begins with.
pub(in crate::domain) const SYNC: u8 = 0x47;

/// Length of a packet.
pub(in crate::domain) const LEN: usize = 188;

/// Packets of this number fill time and mean nothing.
const NULL_PID: u16 = 0x1fff;

/// Half of the range of a 33-bit time stamp.
const HALF: u64 = 1 << 32;

/// What the checks look at.
#[derive(Debug, Clone, Copy)]
pub(in crate::domain) struct Packet<'b> {
    pub pid: u16,
    pub damaged: bool,
    pub begins: bool,
    pub counter: u8,
    /// Counters and clock begin anew here, and the stream says so.
    pub discontinuity: bool,
    pub payload: Option<&'b [u8]>,
}

impl<'b> Packet<'b> {
    /// Takes a packet apart; `None` if it fills time only. The sync byte was looked at before.
    pub fn read(bytes: &'b [u8; LEN]) -> Option<Self> {
        let pid = u16::from(bytes[1] & 0x1f) << 8 | u16::from(bytes[2]);
        if pid == NULL_PID {
            return None;
        }
        let (has_adaptation, has_payload) = (bytes[3] & 0x20 != 0, bytes[3] & 0x10 != 0);
        let adaptation = if has_adaptation { usize::from(bytes[4]) + 1 } else { 0 };
        Some(Self {
            pid,
            damaged: bytes[1] & 0x80 != 0,
            begins: bytes[1] & 0x40 != 0,
            counter: bytes[3] & 0x0f,
            discontinuity: adaptation > 1 && bytes[5] & 0x80 != 0,
            payload: if has_payload { Some(bytes.get(4 + adaptation..).unwrap_or_default()) } else { None },
        })
    }

    /// The time stamps of the picture or sound that begins in this packet.
    pub fn times(&self) -> Option<Times> {
        let payload = self.payload.filter(|_| self.begins)?;
        let [0, 0, 1, id, _, _, marks, flags, _, rest @ ..] = payload else { return None };
        // Only these stream numbers have a header with time stamps.
        let is_video = (0xe0..=0xef).contains(id);
        if !is_video && !(0xc0..=0xdf).contains(id) && !matches!(*id, 0xbd | 0xfd) || *marks >> 6 != 2 {
            return None;
        }
        let shown = if flags & 0x80 == 0 { return None } else { stamp(rest)? };
        let decoded = if flags & 0x40 == 0 { shown } else { stamp(rest.get(5..)?)? };
        Some(Times { is_video, shown, decoded })
    }
}

/// In units of 1/90,000 s, modulo 2³³.
#[derive(Debug, Clone, Copy)]
pub(in crate::domain) struct Times {
    pub is_video: bool,
    pub shown: u64,
    pub decoded: u64,
}

/// How far it is from one time stamp to another, the short way round.
pub(in crate::domain) fn distance(from: u64, to: u64) -> i64 {
    let forwards = to.wrapping_sub(from) & (2 * HALF - 1);
    let signed = i64::try_from(forwards).unwrap_or(0);
    if forwards < HALF { signed } else { signed - 2 * (1_i64 << 32) }
}

fn stamp(bytes: &[u8]) -> Option<u64> {
    // A bit that is always one ends each group.
    let part = |at: usize| bytes.get(at).copied().map(u64::from);
    Some((part(0)? >> 1 & 7) << 30 | part(1)? << 22 | (part(2)? >> 1) << 15 | part(3)? << 7 | part(4)? >> 1)
}
