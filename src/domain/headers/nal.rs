//! Cuts a video stream into its units at the start codes (ITU-T H.264, annex B; the same in HEVC).

/// A unit, its header first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit<'b> {
    pub bytes: &'b [u8],
    /// Another one begins behind it, so that it is all there.
    pub is_whole: bool,
}

/// The units of a stream, in order.
pub(super) fn units(stream: &[u8]) -> impl Iterator<Item = Unit<'_>> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let here = rest?;
        let next = start_code(here);
        let bytes = next.map_or(here, |at| here.get(..at).unwrap_or_default());
        rest = after_start_code(here);
        // Zeros before a start code belong to it.
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(Unit { bytes: bytes.get(..length).unwrap_or_default(), is_whole: next.is_some() })
    })
}

fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(start_code(bytes)? + 3..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_lie_between_start_codes() {
        let stream = [9, 0, 0, 0, 1, 7, 5, 0, 0, 0, 1, 8, 0, 0, 1, 0, 0, 1, 6, 6];
        let found: Vec<(Vec<u8>, bool)> = units(&stream).map(|unit| (unit.bytes.to_vec(), unit.is_whole)).collect();
        assert_eq!(found, [(vec![7, 5], true), (vec![8], true), (vec![], true), (vec![6, 6], false)]);
        assert_eq!(units(&[0, 0]).count(), 0);
    }
}
