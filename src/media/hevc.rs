//! HEVC: what a sequence parameter set says (ITU-T H.265, 7.3.2.2.1), written as ISO/IEC 14496-15, annex E, does. How many pictures
//! there are a second stands behind much that would have to be read for nothing else, and is not found.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::bits::{Bits, cropped};
use super::description::Described;
use super::entry::{DecodeEntry, Marks};
use super::nal::{self, UnitKind};

const SEQUENCE_PARAMETERS: u8 = 33;
const PICTURE_PARAMETERS: u8 = 34;

/// BLA, IDR and CRA pictures (7.4.2.2): decoding may begin there.
const RANDOM_ACCESS: RangeInclusive<u8> = 16..=21;

/// The same without CRA, of which the pictures that lead it need what was before.
const RESETS: RangeInclusive<u8> = 16..=20;

/// What a stream says from its first bytes.
pub(super) fn describe(stream: &[u8]) -> Described {
    nal::describe(stream, kind, parameters)
}

pub(super) fn kind(unit: &[u8]) -> UnitKind<'_> {
    let [header, _, payload @ ..] = unit else { return UnitKind::Other };
    match header >> 1 & 0x3f {
        SEQUENCE_PARAMETERS => UnitKind::SequenceParameters(payload),
        PICTURE_PARAMETERS => UnitKind::PictureParameters,
        slice @ 0..=31 => UnitKind::Slice { resets: RESETS.contains(&slice) },
        _ => UnitKind::Other,
    }
}

fn parameters(payload: &[u8], found: &mut Described) {
    let mut bits = Bits::new(payload);
    if let Some((codec, layers)) = profile(&mut bits) {
        found.codec = Some(codec);
        found.size = size(&mut bits, layers);
    }
}

/// What an access unit says about itself.
pub(super) fn marks(unit: &[u8]) -> Marks {
    let (mut parameters, mut begins, mut resets) = (false, false, false);
    for nal in nal::units(unit) {
        match nal.bytes.first().map(|byte| byte >> 1 & 0x3f) {
            Some(SEQUENCE_PARAMETERS) => parameters = true,
            Some(kind) => {
                begins |= RANDOM_ACCESS.contains(&kind);
                resets |= RESETS.contains(&kind);
            }
            None => {}
        }
    }
    let entry = if resets { DecodeEntry::Closed } else { DecodeEntry::Open };
    Marks { random_access: begins, entry: Some(entry).filter(|_| begins && parameters), reference: false }
}

/// The codec, as a configuration record says it (ISO/IEC 14496-15, 8.3.3.1): a byte, and then the same fields.
pub(super) fn codec(record: &[u8]) -> Option<String> {
    profile(&mut Bits::plain(record.get(..13)?.to_vec())).map(|(codec, _)| codec)
}

/// The codec, and how many sub-layers there are below the highest.
fn profile(bits: &mut Bits) -> Option<(String, u32)> {
    bits.skip(4)?;
    let layers = bits.number(3)?;
    bits.skip(1)?;
    let space = bits.number(2)?;
    let is_high_tier = bits.flag()?;
    let profile = bits.number(5)?;
    let compatible = bits.number(32)?;
    let mut constraints = Vec::new();
    for _ in 0..6 {
        constraints.push(bits.number(8)?);
    }
    let level = bits.number(8)?;
    while constraints.last() == Some(&0) {
        constraints.pop();
    }
    let space = ["", "A", "B", "C"].get(usize::try_from(space).ok()?)?;
    let tier = if is_high_tier { 'H' } else { 'L' };
    let mut codec = format!("hvc1.{space}{profile}.{:X}.{tier}{level}", compatible.reverse_bits());
    for byte in constraints {
        write!(codec, ".{byte:X}").ok()?;
    }
    Some((codec, layers))
}

fn size(bits: &mut Bits, layers: u32) -> Option<(u32, u32)> {
    let mut below = Vec::new();
    for _ in 0..layers {
        below.push((bits.flag()?, bits.flag()?));
    }
    if layers > 0 {
        bits.skip(2 * (8 - layers))?;
    }
    for (has_profile, has_level) in below {
        bits.skip(if has_profile { 88 } else { 0 })?;
        bits.skip(if has_level { 8 } else { 0 })?;
    }
    bits.unsigned()?;
    let mut chroma = bits.unsigned()?;
    if chroma == 3 && bits.flag()? {
        chroma = 0;
    }
    let whole = (bits.unsigned()?, bits.unsigned()?);
    if !bits.flag()? {
        return Some(whole).filter(|(width, height)| *width > 0 && *height > 0);
    }
    let unit = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    cropped(bits, whole, unit)
}
