//! What a stream is, by its number in the program's table and its descriptors there.
//!
//! What is not understood is [`Coding::Unknown`]: it is there, and nobody may treat it as if it were not.
//!
//! Sources: ISO/IEC 13818-1, table 2-34 (numbers below 0x80); ATSC A/53 part 3 (0x81, 0x87); ANSI/SCTE 35 (0x86); ETSI EN 300 468
//! (descriptors of private streams); the registrations of SMPTE RA (`registration_descriptor`); RFC 8216, 3.2 and 4.3.2.4.

/// What a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// MPEG-1 or MPEG-2 video.
    MpegVideo,
    /// MPEG-4 part 2.
    Mpeg4Video,
    /// H.264.
    H264,
    /// HEVC.
    Hevc,
    /// VVC.
    Vvc,
    /// AV1. No table of a transport stream says so.
    Av1,
    /// AAC in ADTS.
    Aac,
    /// AAC in LATM.
    AacLatm,
    /// MPEG-1 or MPEG-2 sound of any layer, until its frames have been read: of layer I or II.
    MpegAudio,
    /// Layer III of it. No table says so.
    Mp3,
    /// AC-3 or E-AC-3, until its frames have been read: AC-3.
    Dolby,
    /// E-AC-3. Tables that say so are not believed.
    EnhancedDolby,
    /// DTS.
    Dts,
    /// Opus.
    Opus,
    /// Neither picture nor sound: timed metadata, subtitles, teletext, sections, marks for advertisements.
    Data,
    /// Something that is not understood, by its number.
    Unknown(u8),
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Pictures.
    Video,
    /// Sound.
    Sound,
    /// Neither.
    Data,
    /// Any of these.
    Unknown,
}

impl Coding {
    /// By its number in the table, and its descriptors.
    pub(super) fn new(kind: u8, descriptors: &[u8]) -> Self {
        match kind {
            0x01 | 0x02 => Self::MpegVideo,
            0x03 | 0x04 => Self::MpegAudio,
            0x0f => Self::Aac,
            0x10 => Self::Mpeg4Video,
            0x11 => Self::AacLatm,
            0x1b => Self::H264,
            0x24 => Self::Hevc,
            0x33 => Self::Vvc,
            0x81 | 0x87 => Self::Dolby,
            // Sections; DSM-CC; metadata; marks for advertisements.
            0x05 | 0x08 | 0x0a..=0x0d | 0x13..=0x19 | 0x86 => Self::Data,
            0x06 => private(descriptors).unwrap_or(Self::Unknown(kind)),
            _ => Self::Unknown(kind),
        }
    }

    /// What it is for.
    pub fn role(self) -> Role {
        match self {
            Self::MpegVideo | Self::Mpeg4Video | Self::H264 | Self::Hevc | Self::Vvc | Self::Av1 => Role::Video,
            Self::Aac
            | Self::AacLatm
            | Self::MpegAudio
            | Self::Mp3
            | Self::Dolby
            | Self::EnhancedDolby
            | Self::Dts
            | Self::Opus => Role::Sound,
            Self::Data => Role::Data,
            Self::Unknown(_) => Role::Unknown,
        }
    }

    /// Whether each frame of this sound is decoded from its own bytes, so that it can be cut between any two.
    pub fn is_cut_in_frames(self) -> bool {
        matches!(self, Self::Aac | Self::MpegAudio | Self::Dolby | Self::EnhancedDolby)
    }

    /// Whether a transport stream can hold it, as far as programs of today agree about that.
    pub const fn is_in_transport_streams(self) -> bool {
        !matches!(self, Self::Av1)
    }

    /// What people call it.
    ///
    /// Fingerprints in manifests are made of it as well: another name is another rule for these, with another number (`docs/archive-format.md`).
    pub fn name(self) -> &'static str {
        match self {
            Self::MpegVideo => "MPEG-2 video",
            Self::Mpeg4Video => "MPEG-4 video",
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Vvc => "VVC",
            Self::Av1 => "AV1",
            Self::Aac => "AAC",
            Self::AacLatm => "AAC in LATM",
            Self::MpegAudio => "MPEG audio",
            Self::Mp3 => "MP3",
            Self::Dolby => "AC-3",
            Self::EnhancedDolby => "E-AC-3",
            Self::Dts => "DTS",
            Self::Opus => "Opus",
            Self::Data => "data",
            Self::Unknown(_) => "an unknown codec",
        }
    }

    /// Its number in a table without descriptors.
    pub(super) fn stream_type(self) -> u8 {
        match self {
            Self::MpegVideo => 0x02,
            Self::MpegAudio | Self::Mp3 => 0x03,
            Self::Aac => 0x0f,
            Self::Mpeg4Video => 0x10,
            Self::AacLatm => 0x11,
            Self::H264 => 0x1b,
            Self::Hevc => 0x24,
            Self::Vvc => 0x33,
            Self::Dolby => 0x81,
            Self::EnhancedDolby => 0x87,
            Self::Av1 | Self::Dts | Self::Opus | Self::Data => 0x06,
            Self::Unknown(kind) => kind,
        }
    }

    /// The descriptor that says so to players for which numbers from 0x80 on are private.
    pub(super) fn registration(self) -> &'static [u8] {
        match self {
            Self::Dolby => b"\x05\x04AC-3",
            Self::EnhancedDolby => b"\x05\x04EAC3",
            _ => &[],
        }
    }
}

/// Private data are what the first descriptor that is understood says.
fn private(mut descriptors: &[u8]) -> Option<Coding> {
    while let [tag, length, rest @ ..] = descriptors {
        let (content, later) = rest.split_at_checked(usize::from(*length))?;
        let found = match tag {
            // Of the registration authority.
            0x05 => content.first_chunk::<4>().copied().and_then(registered),
            // EN 300 468, 6.2: VBI data and teletext, teletext, subtitles.
            0x45 | 0x46 | 0x56 | 0x59 => Some(Coding::Data),
            // Annexes D, G and H: AC-3 and enhanced AC-3, DTS, AAC.
            0x6a | 0x7a => Some(Coding::Dolby),
            0x7b => Some(Coding::Dts),
            0x7c => Some(Coding::AacLatm),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        descriptors = later;
    }
    None
}

fn registered(name: [u8; 4]) -> Option<Coding> {
    match &name {
        b"Opus" => Some(Coding::Opus),
        b"AC-3" | b"EAC3" => Some(Coding::Dolby),
        b"DTS1" | b"DTS2" | b"DTS3" => Some(Coding::Dts),
        b"HEVC" => Some(Coding::Hevc),
        b"ID3 " | b"KLVA" | b"CUEI" => Some(Coding::Data),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_streams_are_what_their_descriptors_say_and_otherwise_unknown() {
        let cases: [(&[u8], Coding); 9] = [
            (b"\x05\x04Opus\x7f\x02\x80\x02", Coding::Opus),
            (&[0x0a, 4, b'e', b'n', b'g', 0, 0x6a, 1, 0], Coding::Dolby),
            (&[0x7a, 1, 0], Coding::Dolby),
            (b"\x05\x04DTS2", Coding::Dts),
            (&[0x56, 5, b'e', b'n', b'g', 8, 0], Coding::Data),
            (&[0x59, 0], Coding::Data),
            (&[], Coding::Unknown(6)),
            (&[0x6a, 9, 1], Coding::Unknown(6)),
            (b"\x05\x04XXXX", Coding::Unknown(6)),
        ];
        for (descriptors, coding) in cases {
            assert_eq!(Coding::new(0x06, descriptors), coding, "{descriptors:?}");
        }
        assert_eq!(Coding::new(0x81, &[]).role(), Role::Sound);
        assert_eq!(Coding::new(0x15, b"\x05\x04ID3 ").role(), Role::Data);
        assert_eq!(Coding::new(0x99, &[]), Coding::Unknown(0x99));
    }
}
