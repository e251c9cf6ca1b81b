//! Whether a picture is one with which a file may begin, told from its first bytes while the rest is still to come.

use super::coding::Coding;
use super::entry::DecodeEntry;
use super::nal::{self, UnitKind};
use super::{h264, hevc};

/// Whether decoding may begin with this picture, parameters included, by the bytes up to its first slice; `None` if more bytes are wanted, or
/// its coding has no such marks.
pub fn begins_with_key_frame(coding: Coding, head: &[u8]) -> Option<bool> {
    let is_slice = |unit: &[u8]| {
        let kind = if coding == Coding::Hevc { hevc::kind(unit) } else { h264::kind(unit) };
        matches!(kind, UnitKind::Slice { .. })
    };
    let has_begun = matches!(coding, Coding::H264 | Coding::Hevc) && nal::units(head).any(|unit| is_slice(unit.bytes));
    let marks = || if coding == Coding::Hevc { hevc::marks(head) } else { h264::marks(head) };
    has_begun.then(|| matches!(marks().entry, Some(DecodeEntry::Closed | DecodeEntry::Open)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_is_known_by_its_parameters_and_its_first_slice() {
        let whole = [0, 0, 0, 1, 0x67, 66, 0, 30, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 9];
        assert_eq!(begins_with_key_frame(Coding::H264, &whole), Some(true));
        for length in 0..whole.len() - 1 {
            assert_eq!(begins_with_key_frame(Coding::H264, &whole[..length]), None, "{length}");
        }
        assert_eq!(begins_with_key_frame(Coding::H264, &[0, 0, 1, 0x65, 9]), Some(false), "without parameters");
        assert_eq!(begins_with_key_frame(Coding::H264, &[0, 0, 1, 0x41, 9]), Some(false));
        let hevc = [0, 0, 1, 33 << 1, 1, 1, 0, 0, 1, 19 << 1, 1, 9];
        assert_eq!(begins_with_key_frame(Coding::Hevc, &hevc), Some(true));
        assert_eq!(begins_with_key_frame(Coding::Hevc, &[0, 0, 1, 1 << 1, 1, 9]), Some(false));
        assert_eq!(begins_with_key_frame(Coding::MpegVideo, &whole), None);
    }
}
