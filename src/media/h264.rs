//! H.264: what a sequence parameter set says (ITU-T H.264, 7.3.2.1.1 and E.1.1), and whether the first picture needs nothing before it.

use super::bits::{Bits, cropped};
use super::facts::{Described, Rate};
use super::nal::{self, Kind};
use super::segment::Marks;

const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;

/// Profiles whose parameter sets have the chroma format (7.3.2.1.1).
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Sample aspect ratio: written out.
const EXTENDED: u32 = 255;

/// What a stream says from its first bytes.
pub(super) fn describe(stream: &[u8]) -> Described {
    nal::describe(stream, kind, parameters)
}

fn kind(unit: &[u8]) -> Kind<'_> {
    let Some((header, payload)) = unit.split_first() else { return Kind::Other };
    match header & 0x1f {
        SEQUENCE_PARAMETERS => Kind::SequenceParameters(payload),
        PICTURE_PARAMETERS => Kind::PictureParameters,
        slice @ 1..=5 => Kind::Slice { resets: slice == IDR_SLICE },
        _ => Kind::Other,
    }
}

/// What an access unit says about itself: as little as a cut has to know.
pub(super) fn marks(unit: &[u8]) -> Marks {
    let (mut idr, mut parameters) = (false, false);
    for nal in nal::units(unit) {
        match nal.bytes.first().map(|byte| byte & 0x1f) {
            Some(IDR_SLICE) => idr = true,
            Some(SEQUENCE_PARAMETERS) => parameters = true,
            _ => {}
        }
    }
    Marks { random_access: idr, clean: idr && parameters }
}

/// Profile and level of the first parameters: `profile_idc`, `level_idc`.
pub fn profile(unit: &[u8]) -> Option<(u8, u8)> {
    nal::units(unit).find_map(|nal| match *nal.bytes {
        [first, profile, _, level, ..] if first & 0x1f == SEQUENCE_PARAMETERS => Some((profile, level)),
        _ => None,
    })
}

fn parameters(payload: &[u8], found: &mut Described) {
    let [profile, constraints, level, ..] = payload else { return };
    found.codec = Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"));
    let mut bits = Bits::new(payload);
    found.size = size(&mut bits);
    found.rate = found.size.and_then(|_| rate(&mut bits));
}

/// Reads up to the marks of usability.
fn size(bits: &mut Bits) -> Option<(u32, u32)> {
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.unsigned()?;
    // Where nothing is said, 4:2:0.
    let mut chroma = 1;
    if WITH_CHROMA.contains(&profile) {
        chroma = bits.unsigned()?;
        let has_own_planes = chroma == 3 && bits.flag()?;
        bits.unsigned()?;
        bits.unsigned()?;
        bits.skip(1)?;
        if bits.flag()? {
            (0..if chroma == 3 { 12 } else { 8 }).try_for_each(|number| scaling_list(bits, number))?;
        }
        if has_own_planes {
            chroma = 0;
        }
    }
    bits.unsigned()?;
    order_count(bits)?;
    bits.unsigned()?;
    bits.skip(1)?;
    let (columns, rows) = (bits.unsigned()?.checked_add(1)?, bits.unsigned()?.checked_add(1)?);
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let whole = (columns.checked_mul(16)?, rows.checked_mul(16)?.checked_mul(fields)?);
    if !bits.flag()? {
        return Some(whole);
    }
    let unit = match chroma {
        1 => (2, 2 * fields),
        2 => (2, fields),
        _ => (1, fields),
    };
    cropped(bits, whole, unit)
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
