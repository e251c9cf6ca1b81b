//! How the samples of a track are coded, as its sample entry records it: parameter sets of the picture (ISO/IEC 14496-15, 5.3.3 and 8.3.3), and what
//! kind of sound there is (ISO/IEC 14496-1, 7.2.6; 14496-3, 1.6.2).

use super::super::bits::Bits;
use super::boxes::Fields;

/// Parameter sets of one track.
const MOST_SETS: usize = 64;

/// Before each unit of a stream that is made for transport streams.
pub const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Units behind start codes, as transport streams have them.
pub fn annex_b(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&START_CODE[..], unit].concat()).collect()
}

/// Parameter sets of H.264 (14496-15, 5.3.3.1).
pub fn h264_sets(record: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Fields(record.get(5..)?);
    let mut sets = Vec::new();
    for _ in 0..2 {
        let count = fields.u8()? & 0x1f;
        for _ in 0..count {
            let length = usize::from(fields.u16()?);
            sets.push(fields.take(length)?);
        }
    }
    Some(sets)
}

/// Parameter sets of HEVC (14496-15, 8.3.3.1).
pub fn hevc_sets(record: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Fields(record.get(22..)?);
    let mut sets = Vec::new();
    for _ in 0..fields.u8()? {
        fields.u8()?;
        for _ in 0..fields.u16()? {
            let length = usize::from(fields.u16()?);
            let set = fields.take(length)?;
            if sets.len() < MOST_SETS {
                sets.push(set);
            }
        }
    }
    Some(sets)
}

/// What the descriptors of an elementary stream say.
#[derive(Debug, Clone, Copy)]
pub struct SoundDescriptor<'b> {
    /// `objectTypeIndication`: the family of codecs.
    pub family: u8,
    /// What a decoder has to know beforehand, if anything.
    pub specific: Option<&'b [u8]>,
}

impl<'b> SoundDescriptor<'b> {
    /// MPEG-4 audio, of which `specific` says the kind.
    pub const MPEG_4: u8 = 0x40;

    /// Of the box `esds`.
    pub fn read(esds: &'b [u8]) -> Option<Self> {
        let stream = descriptor(esds.get(4..)?, 3)?;
        let flags = *stream.get(2)?;
        let mut at = 3 + if flags & 0x80 == 0 { 0 } else { 2 };
        if flags & 0x40 != 0 {
            at += 1 + usize::from(*stream.get(at)?);
        }
        at += if flags & 0x20 == 0 { 0 } else { 2 };
        let config = descriptor(stream.get(at..)?, 4)?;
        Some(Self { family: *config.first()?, specific: config.get(13..).and_then(|rest| descriptor(rest, 5)) })
    }

    /// As RFC 6381, 3.3, writes it.
    pub fn codec(&self) -> Option<String> {
        if self.family != Self::MPEG_4 {
            return Some(format!("mp4a.{:02x}", self.family));
        }
        let object = object_type(&mut Bits::plain(self.specific?.to_vec()))?;
        Some(format!("mp4a.40.{object}"))
    }
}

/// The content of a descriptor with this number, where it comes first.
fn descriptor(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let (tag, mut rest) = bytes.split_first()?;
    let mut length = 0_usize;
    for _ in 0..4 {
        let (byte, later) = rest.split_first()?;
        (length, rest) = (length << 7 | usize::from(byte & 0x7f), later);
        if byte & 0x80 == 0 {
            break;
        }
    }
    rest.get(..length).filter(|_| *tag == wanted)
}

/// The kind of audio.
fn object_type(bits: &mut Bits) -> Option<u32> {
    match bits.number(5)? {
        31 => Some(32 + bits.number(6)?),
        object => Some(object),
    }
}

/// Rates by their numbers; others are written out behind the number 15.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
const WRITTEN_OUT: u32 = 15;

/// Kinds whose content is another one with its upper half, or its stereo, described beside it.
const WITH_MORE: [u32; 2] = [5, 29];

/// The three bytes with which each frame of this AAC begins in a transport stream, as far as they are the same for all (14496-3, 1.A.2); nothing where
/// frames cannot be written so.
pub fn adts(specific: &[u8]) -> Option<[u8; 4]> {
    let mut bits = Bits::plain(specific.to_vec());
    let mut object = object_type(&mut bits)?;
    let rate = rate_number(&mut bits)?;
    let channels = bits.number(4)?;
    if WITH_MORE.contains(&object) {
        rate_number(&mut bits)?;
        object = object_type(&mut bits)?;
    }
    // Of four kinds, and with channels that have a number.
    if !(1..=4).contains(&object) || !(1..=7).contains(&channels) {
        return None;
    }
    let third = (object - 1) << 6 | rate << 2 | channels >> 2;
    let fourth = (channels & 3) << 6;
    let bytes = u8::try_from(third).ok().zip(u8::try_from(fourth).ok())?;
    Some([0xff, 0xf1, bytes.0, bytes.1])
}

fn rate_number(bits: &mut Bits) -> Option<u32> {
    match bits.number(4)? {
        WRITTEN_OUT => {
            let rate = bits.number(24)?;
            RATES.iter().position(|known| *known == rate).and_then(|at| u32::try_from(at).ok())
        }
        number => Some(number).filter(|number| usize::try_from(*number).is_ok_and(|at| at < RATES.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_aac_say_what_the_configuration_does() {
        // Low complexity, 48 kHz, stereo.
        assert_eq!(adts(&[0x11, 0x90]), Some([0xff, 0xf1, 0x4c, 0x80]));
        // The same, with the rate written out.
        assert_eq!(adts(&[0x17, 0x80, 0x5d, 0xc0, 0x10]), Some([0xff, 0xf1, 0x4c, 0x80]));
        // 24 kHz with an upper half that makes it 48: the core is what a transport stream has.
        assert_eq!(adts(&[0x2b, 0x11, 0x88, 0x00]), Some([0xff, 0xf1, 0x58, 0x80]));
        // Channels in an element of their own, an unheard-of rate, another kind, too few bytes.
        for odd in [&[0x11, 0x80][..], &[0x17, 0x80, 0x00, 0x00, 0x10], &[0xf9, 0x48, 0x40], &[0x11], &[]] {
            assert_eq!(adts(odd), None, "{odd:x?}");
        }
    }
}
