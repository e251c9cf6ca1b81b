//! How pictures of H.264 are coded, as far as pictures beside them have to be coded alike: profile, level, and whether a frame is two fields.
//!
//! Whether it is, a decoder derives as ffmpeg does: from what the message of picture timing says is shown (ITU-T H.264, D.2.3), and otherwise from how
//! the picture is coded (7.4.3, `field_pic_flag`, and `mb_adaptive_frame_field_flag`).

use super::bits::Bits;
use super::h264::{SEQUENCE_PARAMETERS, SUPPLEMENT, SequenceParameters, sequence, supplements, to_timing};
use super::nal;

/// A message of supplemental information (D.1).
const PICTURE_TIMING: u32 = 1;
/// The header of a slice is no longer.
const SLICE_HEADER: usize = 64;

/// How a picture is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Likeness {
    /// `profile_idc`.
    pub profile: u8,
    /// `level_idc`.
    pub level: u8,
    /// It is two fields, one shown after the other.
    pub interlaced: bool,
    /// There may be pictures of one field.
    pub has_fields: bool,
}

/// What parameters and picture timing say of the fields of pictures.
struct FieldCoding {
    sequence: SequenceParameters,
    /// Bits before what is shown, in a message of picture timing; nothing if it does not say what is shown.
    delays: Option<u32>,
}

/// How the picture in this unit is coded; nothing unless it brings its parameters.
pub fn likeness(unit: &[u8]) -> Option<Likeness> {
    let (mut found, mut fields, mut shown) = (None, None, None);
    for nal in nal::units(unit) {
        let Some((header, payload)) = nal.bytes.split_first() else { continue };
        match (header & 0x1f, payload) {
            (SEQUENCE_PARAMETERS, [profile, _, level, ..]) => {
                fields = fields.or_else(|| FieldCoding::read(payload));
                let has_fields = fields.as_ref().is_some_and(|fields| !fields.sequence.frames_only);
                found.get_or_insert(Likeness { profile: *profile, level: *level, interlaced: false, has_fields });
            }
            (SUPPLEMENT, _) => {
                let delays = fields.as_ref().and_then(|fields: &FieldCoding| fields.delays);
                shown = shown.or_else(|| delays.and_then(|delays| is_shown_in_fields(payload, delays)));
            }
            (1 | 5, _) => {
                let is_coded = fields.as_ref().and_then(|fields| fields.are_coded(payload)).unwrap_or(false);
                return found.map(|found| Likeness { interlaced: shown.unwrap_or(is_coded), ..found });
            }
            _ => {}
        }
    }
    found
}

impl FieldCoding {
    fn read(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(payload);
        let read = sequence(&mut bits)?;
        Some(Self { sequence: read, delays: delays(&mut bits) })
    }

    /// Whether a slice is of a field, or of a frame of which parts may be.
    fn are_coded(&self, slice: &[u8]) -> Option<bool> {
        if self.sequence.frames_only {
            return Some(false);
        }
        let mut bits = Bits::new(slice.get(..SLICE_HEADER).unwrap_or(slice));
        // Where it begins, its kind and its parameters (7.3.3).
        bits.unsigned()?;
        bits.unsigned()?;
        bits.unsigned()?;
        bits.skip(if self.sequence.own_planes { 2 } else { 0 })?;
        bits.skip(self.sequence.number_bits)?;
        Some(bits.flag()? || self.sequence.adaptive)
    }
}

/// Bits that come before what is shown (E.1.1, D.1.3).
fn delays(bits: &mut Bits) -> Option<u32> {
    to_timing(bits)?;
    if bits.flag()? {
        bits.skip(65)?;
    }
    let mut delays = None;
    for _ in 0..2 {
        if bits.flag()? {
            delays = Some(buffering(bits)?);
        }
    }
    bits.skip(u32::from(delays.is_some()))?;
    bits.flag()?.then_some(delays.unwrap_or(0))
}

/// Parameters of buffering (E.1.2): how many bits the delays have.
fn buffering(bits: &mut Bits) -> Option<u32> {
    let count = bits.unsigned()?;
    bits.skip(8)?;
    for _ in 0..=count {
        bits.unsigned()?;
        bits.unsigned()?;
        bits.skip(1)?;
    }
    bits.skip(5)?;
    let delays = bits.number(5)? + bits.number(5)? + 2;
    bits.skip(5)?;
    Some(delays)
}

/// Whether picture timing says that two fields are shown; nothing where that is left to how they are coded.
fn is_shown_in_fields(payload: &[u8], delays: u32) -> Option<bool> {
    let (_, mut bits) = supplements(payload).find(|(kind, _)| *kind == PICTURE_TIMING)?;
    bits.skip(delays)?;
    let structure = bits.number(4)?;
    // What the first field was filmed as.
    let filmed = if bits.flag() == Some(true) { bits.number(2) } else { None };
    match (structure, filmed) {
        (0..=4, Some(0)) => Some(false),
        (0..=4, Some(1)) | (1 | 2, _) => Some(true),
        (3 | 4, _) => None,
        _ => Some(false),
    }
}
