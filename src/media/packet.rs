//! One packet of 188 bytes (ISO/IEC 13818-1, 2.4.3.2 and 2.4.3.4). No bytes make this panic.

/// What every packet begins with.
pub const SYNC: u8 = 0x47;

/// Length of a packet.
pub const LEN: usize = 188;

/// Packets of this number fill time and mean nothing.
pub const NULL_PID: u16 = 0x1fff;

/// What its header and its adaptation field say.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "they are the bits of its header")]
pub struct Packet<'b> {
    /// The number of the stream that it belongs to.
    pub pid: u16,
    /// It says of itself that it was damaged on its way.
    pub damaged: bool,
    /// A unit, or a section of a table, begins in it.
    pub begins: bool,
    /// Its payload is encrypted.
    pub scrambled: bool,
    /// Goes up by one with each payload of a stream.
    pub counter: u8,
    /// The counter begins anew here; in packets with the clock of the program, its time base, too.
    pub discontinuity: bool,
    /// Decoding may begin here.
    pub random_access: bool,
    /// What it carries, if it carries anything.
    pub payload: Option<&'b [u8]>,
}

impl<'b> Packet<'b> {
    /// Takes a packet apart. The sync byte was looked at before.
    #[inline]
    pub fn read(bytes: &'b [u8; LEN]) -> Self {
        let (has_field, has_payload) = (bytes[3] & 0x20 != 0, bytes[3] & 0x10 != 0);
        let field = if has_field { usize::from(bytes[4]) + 1 } else { 0 };
        let marks = if field > 1 { bytes[5] } else { 0 };
        Self {
            pid: pid(bytes[1], bytes[2]),
            damaged: bytes[1] & 0x80 != 0,
            begins: bytes[1] & 0x40 != 0,
            scrambled: bytes[3] >> 6 != 0,
            counter: bytes[3] & 0x0f,
            discontinuity: marks & 0x80 != 0,
            random_access: marks & 0x40 != 0,
            payload: has_payload.then(|| bytes.get(4 + field..).unwrap_or_default()),
        }
    }
}

/// A packet number has 13 bits; what stands before it in the two bytes is something else.
#[inline]
pub(super) fn pid(high: u8, low: u8) -> u16 {
    u16::from(high & 0x1f) << 8 | u16::from(low)
}
