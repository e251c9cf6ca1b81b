//! How samples of a track become units as a transport stream has them, so that all that reads segments reads one thing.
//!
//! 1. Pictures of H.264 and HEVC: units behind start codes instead of lengths, with a mark where a picture begins, and the parameter sets beside
//!    each picture with which decoding may begin (ISO/IEC 13818-1, 2.14.1 and 2.17.1; RFC 8216, 3.2).
//! 2. AAC: each frame behind a header that says what it is (ISO/IEC 14496-3, 1.A.2).
//! 3. What else there is is passed on as it stands; what is not known is unknown.

use super::super::coding::Coding;
use super::super::h264;
use super::boxes::{BoxName, Fields, find};
use super::configuration::{START_CODE, SoundDescriptor, adts, annex_b, h264_sets, hevc_sets};

/// Parameter sets of more bytes are left out: they are written again beside each key frame.
const MOST_PARAMETERS: usize = 16 << 10;

/// A header of AAC, and the longest frame behind one.
const ADTS_HEADER: usize = 7;
const LONGEST_ADTS: usize = 0x1fff;

/// How the samples of a track are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SampleCoding {
    /// Units of a picture behind lengths of so many bytes; the parameter sets, behind start codes.
    Units { coding: Coding, length_bytes: usize, parameters: Vec<u8> },
    /// Frames of AAC, and how a header of each begins.
    Aac([u8; 4]),
    /// As they stand.
    Plain(Coding),
    /// They are encrypted; they are of about this coding.
    Encrypted(Coding),
    /// They are not understood.
    Unknown,
}

impl SampleCoding {
    /// Of a picture, by its sample entry and the boxes in it.
    pub fn picture(entry: BoxName, inner: &[u8]) -> Self {
        let found = match &entry {
            b"avc1" | b"avc3" => find(inner, *b"avcC").and_then(|record| {
                Some(Self::units(Coding::H264, *record.get(4)?, &h264_sets(record).unwrap_or_default()))
            }),
            b"hvc1" | b"hev1" => find(inner, *b"hvcC").and_then(|record| {
                Some(Self::units(Coding::Hevc, *record.get(21)?, &hevc_sets(record).unwrap_or_default()))
            }),
            b"av01" => Some(Self::Plain(Coding::Av1)),
            b"encv" => Some(Self::Encrypted(Coding::H264)),
            _ => None,
        };
        found.unwrap_or(Self::Unknown)
    }

    fn units(coding: Coding, marks: u8, sets: &[&[u8]]) -> Self {
        let parameters = annex_b(sets);
        let parameters = if parameters.len() > MOST_PARAMETERS { Vec::new() } else { parameters };
        Self::Units { coding, length_bytes: usize::from(marks & 3) + 1, parameters }
    }

    /// Of sound, by its sample entry and what its descriptors say.
    pub fn sound(entry: BoxName, described: Option<SoundDescriptor<'_>>) -> Self {
        match (&entry, described.map(|found| (found.family, found.specific))) {
            // MPEG-4 and MPEG-2 AAC.
            (b"mp4a", Some((SoundDescriptor::MPEG_4 | 0x66..=0x68, Some(specific)))) => {
                adts(specific).map_or(Self::Unknown, Self::Aac)
            }
            (b"mp4a", Some((0x69 | 0x6b, _))) | (b".mp3", _) => Self::Plain(Coding::MpegAudio),
            (b"mp4a", Some((0xa5 | 0xa6, _))) | (b"ac-3" | b"ec-3", _) => Self::Plain(Coding::Dolby),
            (b"Opus", _) => Self::Plain(Coding::Opus),
            (b"enca", _) => Self::Encrypted(Coding::Aac),
            _ => Self::Unknown,
        }
    }

    /// What it is called in a table.
    pub const fn coding(&self) -> Coding {
        match self {
            Self::Units { coding, .. } | Self::Plain(coding) | Self::Encrypted(coding) => *coding,
            Self::Aac(_) => Coding::Aac,
            Self::Unknown => Coding::Unknown(0),
        }
    }

    /// The sample as a unit; nothing where its bytes are not what they should be.
    pub fn unit(&self, sample: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Units { coding, length_bytes, parameters } => picture(*coding, *length_bytes, parameters, sample),
            Self::Aac(header) => frame(*header, sample),
            Self::Plain(_) => Some(sample.to_vec()),
            Self::Encrypted(_) | Self::Unknown => None,
        }
    }
}

/// What a unit of a picture is to whoever writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PictureUnit {
    /// A mark where a picture begins.
    Delimiter,
    Parameters,
    /// Decoding may begin with this.
    Entry,
    Other,
}

fn kind(coding: Coding, unit: &[u8]) -> PictureUnit {
    let Some((header, payload)) = unit.split_first() else { return PictureUnit::Other };
    if coding == Coding::Hevc {
        return match header >> 1 & 0x3f {
            35 => PictureUnit::Delimiter,
            33 => PictureUnit::Parameters,
            16..=21 => PictureUnit::Entry,
            _ => PictureUnit::Other,
        };
    }
    match header & 0x1f {
        9 => PictureUnit::Delimiter,
        h264::SEQUENCE_PARAMETERS => PictureUnit::Parameters,
        h264::IDR_SLICE => PictureUnit::Entry,
        h264::SUPPLEMENT if h264::recovery_point(payload).is_some() => PictureUnit::Entry,
        _ => PictureUnit::Other,
    }
}

/// The mark where a picture begins; any kind of picture may follow.
const fn delimiter(coding: Coding) -> &'static [u8] {
    if matches!(coding, Coding::Hevc) { &[0, 0, 0, 1, 0x46, 0x01, 0x50] } else { &[0, 0, 0, 1, 0x09, 0xf0] }
}

fn picture(coding: Coding, length_bytes: usize, parameters: &[u8], sample: &[u8]) -> Option<Vec<u8>> {
    let (mut fields, mut units) = (Fields(sample), Vec::new());
    while let Some(length) = fields.take(length_bytes) {
        let length = length.iter().fold(0, |number: usize, byte| number << 8 | usize::from(*byte));
        // What is cut off is as good as what a damaged transport stream has.
        let Some(unit) = fields.take(length) else { break };
        if !unit.is_empty() {
            units.push((kind(coding, unit), unit));
        }
    }
    let has = |wanted: PictureUnit| units.iter().any(|(kind, _)| *kind == wanted);
    if units.is_empty() {
        return None;
    }
    let mut written = delimiter(coding).to_vec();
    if has(PictureUnit::Entry) && !has(PictureUnit::Parameters) {
        written.extend_from_slice(parameters);
    }
    for (_, unit) in units.iter().filter(|(kind, _)| *kind != PictureUnit::Delimiter) {
        written.extend_from_slice(&START_CODE);
        written.extend_from_slice(unit);
    }
    Some(written)
}

fn frame([first, second, third, fourth]: [u8; 4], sample: &[u8]) -> Option<Vec<u8>> {
    let length = Some(ADTS_HEADER + sample.len()).filter(|length| *length <= LONGEST_ADTS && !sample.is_empty())?;
    let [high, low] = u16::try_from(length << 5).map(u16::to_be_bytes).unwrap_or_default();
    let top = u8::try_from(length >> 11).ok()?;
    let header = [first, second, third, fourth | top, high, low | 0x1f, 0xfc];
    Some([&header, sample].concat())
}
