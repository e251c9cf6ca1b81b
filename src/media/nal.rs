//! Cuts a video stream into its units at the start codes (ITU-T H.264, annex B; ITU-T H.265, annex B), and describes a stream by
//! those up to its first picture; what a unit is, its own codec says.

use super::description::Described;

/// A unit, its header first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nal<'b> {
    pub bytes: &'b [u8],
    /// Another one begins behind it, so that it is all there.
    pub is_whole: bool,
}

/// The units of a stream, in order.
pub(super) fn units(stream: &[u8]) -> impl Iterator<Item = Nal<'_>> {
    let mut rest = start_code(stream).and_then(|at| stream.get(at + 3..));
    std::iter::from_fn(move || {
        let here = rest?;
        let next = start_code(here);
        let bytes = next.map_or(here, |at| here.get(..at).unwrap_or_default());
        rest = next.and_then(|at| here.get(at + 3..));
        // Zeros before a start code belong to it.
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(Nal { bytes: bytes.get(..length).unwrap_or_default(), is_whole: next.is_some() })
    })
}

/// What a unit is to whoever describes its stream.
pub(super) enum UnitKind<'b> {
    /// Parameters of a sequence, without their header.
    SequenceParameters(&'b [u8]),
    /// Parameters of a picture.
    PictureParameters,
    /// A piece of a picture, which `resets` the decoder: nothing from before is needed.
    Slice { resets: bool },
    /// Anything else.
    Other,
}

/// What a stream says from its first bytes: `kind` tells what a unit is, `read` reads the parameters of a sequence.
pub(super) fn describe(
    stream: &[u8],
    kind: impl Fn(&[u8]) -> UnitKind<'_>,
    read: impl Fn(&[u8], &mut Described),
) -> Described {
    let mut found = Described { wants_more: true, ..Described::default() };
    let (mut has_picture_parameters, mut has_begun) = (false, false);
    for unit in units(stream) {
        match kind(unit.bytes) {
            UnitKind::SequenceParameters(payload) if found.codec.is_none() && unit.is_whole => {
                read(payload, &mut found);
            }
            UnitKind::PictureParameters => has_picture_parameters = true,
            UnitKind::Slice { resets } if !has_begun => {
                has_begun = true;
                found.independent = resets && found.codec.is_some() && has_picture_parameters;
            }
            UnitKind::SequenceParameters(_) | UnitKind::Slice { .. } | UnitKind::Other => {}
        }
        if has_begun && found.codec.is_some() {
            found.wants_more = false;
            break;
        }
    }
    found
}

/// Where the next start code begins. Most bytes of a picture are looked over three at a time.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(three) = bytes.get(at..at + 3) {
        match *three {
            [0, 0, 1] => return Some(at),
            [_, _, last] if last > 1 => at += 3,
            _ => at += 1,
        }
    }
    None
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
