//! Media of a publisher as a file of FLV, which ffmpeg reads from a pipe: what RTMP carries is the same with other frames around it.

use super::session::MediaKind;

/// What a file begins with: pictures and sound may follow.
pub const HEADER: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];

/// Bytes around what a tag holds.
const AROUND: u32 = 11;

/// What a publisher sent at that time, in milliseconds.
pub fn tag(kind: MediaKind, time: u32, body: &[u8]) -> Vec<u8> {
    let kind = match kind {
        MediaKind::Sound => 8,
        MediaKind::Picture => 9,
        MediaKind::Description => 18,
    };
    // No message that is let through is longer than three bytes say.
    let length = u32::try_from(body.len()).unwrap_or_default();
    let ([_, l1, l2, l3], [t0, t1, t2, t3]) = (length.to_be_bytes(), time.to_be_bytes());
    let mut out = Vec::with_capacity(body.len() + 15);
    out.extend([kind, l1, l2, l3, t1, t2, t3, t0, 0, 0, 0]);
    out.extend_from_slice(body);
    out.extend((length + AROUND).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_highest_byte_behind_the_others() {
        let found = tag(MediaKind::Picture, 0x0102_0304, b"abc");
        assert_eq!(found, [9, 0, 0, 3, 2, 3, 4, 1, 0, 0, 0, b'a', b'b', b'c', 0, 0, 0, 14]);
    }
}
