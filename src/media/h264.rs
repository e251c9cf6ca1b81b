//! H.264: what a sequence parameter set says (ITU-T H.264, 7.3.2.1.1 and E.1.1), and whether the first picture needs nothing before it.

use super::bits::{self, Bits, cropped};
use super::description::{Described, Rate};
use super::entry::{DecodeEntry, Marks};
use super::nal::{self, UnitKind};

pub(super) const IDR_SLICE: u8 = 5;
pub(super) const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;
pub(super) const SUPPLEMENT: u8 = 6;

/// A message of supplemental information (D.1).
const RECOVERY_POINT: u32 = 6;

/// Profiles whose parameter sets have the chroma format (7.3.2.1.1).
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Sample aspect ratio: written out.
const EXTENDED: u32 = 255;

/// What a stream says from its first bytes.
pub(super) fn describe(stream: &[u8]) -> Described {
    nal::describe(stream, kind, parameters)
}

/// The codec, as a configuration record says it (ISO/IEC 14496-15, 5.3.3.1).
pub(super) fn codec(record: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = record else { return None };
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

pub(super) fn kind(unit: &[u8]) -> UnitKind<'_> {
    let Some((header, payload)) = unit.split_first() else { return UnitKind::Other };
    match header & 0x1f {
        SEQUENCE_PARAMETERS => UnitKind::SequenceParameters(payload),
        PICTURE_PARAMETERS => UnitKind::PictureParameters,
        slice @ 1..=5 => UnitKind::Slice { resets: slice == IDR_SLICE },
        _ => UnitKind::Other,
    }
}

/// What an access unit says about itself: as little as a cut has to know.
pub(super) fn marks(unit: &[u8]) -> Marks {
    let (mut idr, mut parameters, mut reference, mut recovery) = (false, false, false, None);
    for nal in nal::units(unit) {
        let Some((header, payload)) = nal.bytes.split_first() else { continue };
        match header & 0x1f {
            SEQUENCE_PARAMETERS => parameters = true,
            SUPPLEMENT => recovery = recovery.or_else(|| recovery_point(payload)),
            slice @ 1..=5 => {
                idr |= slice == IDR_SLICE;
                reference |= header & 0x60 != 0;
            }
            _ => {}
        }
    }
    let entry = match recovery {
        _ if idr => Some(DecodeEntry::Closed),
        Some(0) => Some(DecodeEntry::Open),
        Some(count) => Some(DecodeEntry::Refresh(count)),
        None => None,
    };
    let random_access = matches!(entry, Some(DecodeEntry::Closed | DecodeEntry::Open));
    Marks { random_access, entry: entry.filter(|_| parameters), reference }
}

/// Messages of a unit of supplemental information (7.3.2.3.1), by their numbers.
pub(super) fn supplements(payload: &[u8]) -> impl Iterator<Item = (u32, Bits)> {
    let bytes = bits::unescaped(payload);
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut number = || {
            let mut number: u32 = 0;
            loop {
                let byte = *bytes.get(at)?;
                at += 1;
                number = number.checked_add(u32::from(byte))?;
                if byte != 0xff {
                    return Some(number);
                }
            }
        };
        let (kind, length) = (number()?, usize::try_from(number()?).ok()?);
        let content = bytes.get(at..at.checked_add(length)?)?.to_vec();
        at += length;
        Some((kind, Bits::plain(content)))
    })
}

/// After how many reference pictures all is right if decoding begins here (D.1.8).
pub(super) fn recovery_point(payload: &[u8]) -> Option<u16> {
    let (_, mut bits) = supplements(payload).find(|(kind, _)| *kind == RECOVERY_POINT)?;
    bits.unsigned().map(|count| u16::try_from(count).unwrap_or(u16::MAX))
}

fn parameters(payload: &[u8], found: &mut Described) {
    let [profile, constraints, level, ..] = payload else { return };
    found.codec = Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"));
    let mut bits = Bits::new(payload);
    found.size = sequence(&mut bits).map(|sequence| sequence.size);
    found.rate = found.size.and_then(|_| rate(&mut bits));
}

/// What a sequence parameter set says before the marks of usability, as far as anybody here asks.
pub(super) struct SequenceParameters {
    /// Width and height as they are shown.
    pub size: (u32, u32),
    /// Each colour is a picture of its own.
    pub own_planes: bool,
    /// Bits of the number of a frame.
    pub number_bits: u32,
    /// There are no pictures of one field.
    pub frames_only: bool,
    /// Parts of a frame may be coded as fields.
    pub adaptive: bool,
}

/// Reads up to the marks of usability.
pub(super) fn sequence(bits: &mut Bits) -> Option<SequenceParameters> {
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.unsigned()?;
    // Where nothing is said, 4:2:0.
    let (mut chroma, mut own_planes) = (1, false);
    if WITH_CHROMA.contains(&profile) {
        chroma = bits.unsigned()?;
        own_planes = chroma == 3 && bits.flag()?;
        bits.unsigned()?;
        bits.unsigned()?;
        bits.skip(1)?;
        if bits.flag()? {
            (0..if chroma == 3 { 12 } else { 8 }).try_for_each(|number| scaling_list(bits, number))?;
        }
        if own_planes {
            chroma = 0;
        }
    }
    let number_bits = bits.unsigned()?.saturating_add(4);
    order_count(bits)?;
    bits.unsigned()?;
    bits.skip(1)?;
    let (columns, rows) = (bits.unsigned()?.checked_add(1)?, bits.unsigned()?.checked_add(1)?);
    let frames_only = bits.flag()?;
    let adaptive = !frames_only && bits.flag()?;
    bits.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let whole = (columns.checked_mul(16)?, rows.checked_mul(16)?.checked_mul(fields)?);
    let unit = match chroma {
        1 => (2, 2 * fields),
        2 => (2, fields),
        _ => (1, fields),
    };
    let size = if bits.flag()? { cropped(bits, whole, unit)? } else { whole };
    Some(SequenceParameters { size, own_planes, number_bits, frames_only, adaptive })
}

fn scaling_list(bits: &mut Bits, number: u32) -> Option<()> {
    if !bits.flag()? {
        return Some(());
    }
    let (mut last, mut next) = (8, 8);
    for _ in 0..if number < 6 { 16 } else { 64 } {
        if next != 0 {
            next = (last + bits.signed()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn order_count(bits: &mut Bits) -> Option<()> {
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.skip(1)?;
            bits.signed()?;
            bits.signed()?;
            let cycle = bits.unsigned()?;
            // Behind the end of the bits there are none, so that no number of them takes long.
            (0..cycle).try_for_each(|_| bits.signed().map(drop))?;
        }
        _ => {}
    }
    Some(())
}

/// From the marks of usability (E.1.1).
fn rate(bits: &mut Bits) -> Option<Rate> {
    to_timing(bits)?;
    if !bits.flag()? {
        return None;
    }
    let (ticks, scale) = (bits.number(32)?, bits.number(32)?);
    let fixed = bits.flag()?;
    // A picture lasts two ticks: one for each of its fields.
    let per_1000_s = (u64::from(scale) * 1_000).checked_add(u64::from(ticks))? / (u64::from(ticks) * 2).max(1);
    let millis = u32::try_from(per_1000_s).ok().filter(|millis| ticks > 0 && *millis > 0)?;
    Some(Rate { millis, fixed })
}

/// Reads the marks of usability, if there are any, up to those of time.
pub(super) fn to_timing(bits: &mut Bits) -> Option<()> {
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.number(8)? == EXTENDED {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.unsigned()?;
        bits.unsigned()?;
    }
    Some(())
}
