//! What an initialisation segment says (`moov`, ISO/IEC 14496-12): which tracks there are, how they are coded, and what holds of samples of which
//! a fragment says nothing.
//!
//! Parameters of the picture are read by the code that reads them in transport streams, so that both say the same of one stream.

use super::super::coding::{Coding, Role};
use super::super::description::Described;
use super::super::psi::checksum;
use super::super::time::{TICKS, WRAP};
use super::super::{h264, hevc};
use super::boxes::{BoxName, Fields, boxes, find};
use super::configuration::{START_CODE, SoundDescriptor, annex_b, h264_sets, hevc_sets};
use super::sample_coding::SampleCoding;

/// No real file has more tracks.
const MOST_TRACKS: usize = 16;

/// Bytes of a sample entry before its boxes (14496-12, 12.1.3 and 12.2.3).
const OF_PICTURE: usize = 78;
const OF_SOUND: usize = 28;

/// What an initialisation segment says.
#[derive(Debug, Clone, Default)]
pub struct Mp4Init {
    pub tracks: Vec<InitTrack>,
    /// Whether it is one: fragments are announced (`mvex`). Otherwise it is the table of a file that is complete.
    pub is_fragmented: bool,
}

/// One track.
#[derive(Debug, Clone)]
pub struct InitTrack {
    pub id: u32,
    pub role: Role,
    /// Its times count so many to the second; 0 is not known.
    pub timescale: u32,
    /// A fingerprint of how it is coded.
    pub coding: u32,
    /// What its samples are in.
    pub entry: BoxName,
    pub codec: Option<String>,
    pub size: Option<(u32, u32)>,
    pub defaults: SampleDefaults,
    /// How its samples are written.
    pub samples: SampleCoding,
    /// How much later its samples are shown than their own times say.
    pub edit: TrackEdit,
}

/// Where a track is put on the line of the presentation (`elst`, 8.6.6).
#[derive(Debug, Clone, Copy, Default)]
pub struct TrackEdit {
    /// What is empty before it, by the clock of the presentation.
    empty: u64,
    clock: u32,
    /// From which of its own times on it is shown.
    from: i64,
}

/// What holds of samples of which nothing else is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct SampleDefaults {
    pub duration: u32,
    pub size: u32,
    pub flags: u32,
}

impl Mp4Init {
    /// Reads the box; nothing if it is broken, or has no track.
    pub fn read(moov: &[u8]) -> Option<Self> {
        let (mut init, mut of_tracks) = (Self::default(), Vec::new());
        let clock = find(moov, *b"mvhd").and_then(timescale).unwrap_or_default();
        for each in boxes(moov) {
            match each? {
                (name, body) if name == *b"trak" && init.tracks.len() < MOST_TRACKS => {
                    init.tracks.push(InitTrack::read(body, clock)?);
                }
                (name, body) if name == *b"mvex" => {
                    init.is_fragmented = true;
                    of_tracks = all_defaults(body);
                }
                _ => {}
            }
        }
        for track in &mut init.tracks {
            let found = of_tracks.iter().find(|(id, _)| *id == track.id);
            track.defaults = found.map(|(_, defaults)| *defaults).unwrap_or_default();
        }
        Some(init).filter(|init| !init.tracks.is_empty())
    }

    pub fn track(&self, id: u32) -> Option<&InitTrack> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// The first track for this.
    pub fn first(&self, role: Role) -> Option<&InitTrack> {
        self.tracks.iter().find(|track| track.role == role)
    }
}

impl InitTrack {
    fn read(trak: &[u8], clock: u32) -> Option<Self> {
        let media = find(trak, *b"mdia")?;
        let table = find(find(media, *b"minf")?, *b"stbl")?;
        let descriptions = find(table, *b"stsd")?;
        let role = match Fields(find(media, *b"hdlr")?.get(8..)?).name()? {
            name if name == *b"vide" => Role::Video,
            name if name == *b"soun" => Role::Sound,
            _ => Role::Data,
        };
        let (entry, body) = boxes(descriptions.get(8..)?).next()??;
        let described = match role {
            Role::Video => picture(entry, body).unwrap_or_default(),
            Role::Sound => Described { codec: sound(entry, descriptor_of_sound(body)), ..Described::default() },
            Role::Data | Role::Unknown => Described::default(),
        };
        let samples = match role {
            Role::Video => SampleCoding::picture(entry, body.get(OF_PICTURE..).unwrap_or_default()),
            Role::Sound => SampleCoding::sound(entry, descriptor_of_sound(body)),
            Role::Data | Role::Unknown => SampleCoding::Plain(Coding::Data),
        };
        Some(Self {
            id: track_id(find(trak, *b"tkhd")?)?,
            role,
            timescale: timescale(find(media, *b"mdhd")?)?,
            coding: checksum(descriptions).max(1),
            entry,
            codec: described.codec,
            size: described.size,
            defaults: SampleDefaults::default(),
            samples,
            edit: find(trak, *b"edts")
                .and_then(|edits| TrackEdit::read(find(edits, *b"elst")?, clock))
                .unwrap_or_default(),
        })
    }

    /// A time of its own clock, in ticks; where the presentation has it, without the end of what stamps can hold.
    pub fn ticks(&self, time: i128) -> Option<i64> {
        let in_ticks = |count: i128, clock: u32| {
            let half = i128::from(clock / 2);
            (count * i128::from(TICKS) + half).checked_div_euclid(i128::from(clock))
        };
        let empty = if self.edit.empty == 0 { 0 } else { in_ticks(self.edit.empty.into(), self.edit.clock)? };
        let shown = in_ticks(time - i128::from(self.edit.from), self.timescale)? + empty;
        i64::try_from(shown.rem_euclid(i128::from(WRAP))).ok()
    }
}

impl TrackEdit {
    fn read(list: &[u8], clock: u32) -> Option<Self> {
        let mut fields = Fields(list);
        let (version, _) = fields.version()?;
        let mut edit = Self { clock, ..Self::default() };
        for _ in 0..fields.u32()? {
            let (lasts, from) = if version == 1 {
                (fields.u64()?, fields.u64()?.cast_signed())
            } else {
                (fields.u32()?.into(), fields.i32()?.into())
            };
            fields.u32()?;
            if from >= 0 {
                return Some(Self { from, ..edit });
            }
            edit.empty = edit.empty.saturating_add(lasts);
        }
        Some(edit)
    }
}

/// Of a track (`tkhd`).
fn track_id(header: &[u8]) -> Option<u32> {
    let mut fields = Fields(header);
    let (version, _) = fields.version()?;
    fields.take(if version == 1 { 16 } else { 8 })?;
    fields.u32()
}

/// Of a track (`mdhd`).
fn timescale(header: &[u8]) -> Option<u32> {
    track_id(header)
}

/// What holds of samples, by the numbers of their tracks.
fn all_defaults(mvex: &[u8]) -> Vec<(u32, SampleDefaults)> {
    let all = boxes(mvex).map_while(|each| each).filter(|(name, _)| name == b"trex");
    all.filter_map(|(_, body)| track_defaults(body)).take(MOST_TRACKS).collect()
}

fn track_defaults(trex: &[u8]) -> Option<(u32, SampleDefaults)> {
    let mut fields = Fields(trex);
    fields.version()?;
    let id = fields.u32()?;
    fields.u32()?;
    Some((id, SampleDefaults { duration: fields.u32()?, size: fields.u32()?, flags: fields.u32()? }))
}

/// Codec and size of a picture, as RFC 6381 and ISO/IEC 14496-15, annex E, write them.
fn picture(entry: BoxName, body: &[u8]) -> Option<Described> {
    let mut sides = Fields(body.get(24..)?);
    let sides = (u32::from(sides.u16()?), u32::from(sides.u16()?));
    let inner = body.get(OF_PICTURE..)?;
    // Parameters may be in the samples alone; what the codec is stands here in any case.
    let (found, of_record) = match &entry {
        b"avc1" | b"avc3" => {
            let record = find(inner, *b"avcC")?;
            (h264::describe(&whole(&h264_sets(record)?)), h264::codec(record))
        }
        b"hvc1" | b"hev1" => {
            let record = find(inner, *b"hvcC")?;
            (hevc::describe(&whole(&hevc_sets(record)?)), hevc::codec(record))
        }
        b"av01" => (Described::default(), av1(find(inner, *b"av1C")?)),
        _ => (Described::default(), None),
    };
    // The first four letters are those of the sample entry.
    let parameters = found.codec.or(of_record).and_then(|name| name.get(4..).map(str::to_owned));
    let codec = parameters.zip(std::str::from_utf8(&entry).ok()).map(|(rest, name)| format!("{name}{rest}"));
    let size = found.size.or(Some(sides)).filter(|(width, height)| *width > 0 && *height > 0);
    Some(Described { codec, size, ..Described::default() })
}

/// Parameter sets, and what shows that the last is whole.
fn whole(sets: &[&[u8]]) -> Vec<u8> {
    [annex_b(sets), START_CODE.to_vec()].concat()
}

/// As the binding of AV1 to this format writes it (5), as short as it may be.
fn av1(config: &[u8]) -> Option<String> {
    let [_, first, second, ..] = config else { return None };
    let (profile, level, tier) = (first >> 5, first & 0x1f, if second & 0x80 == 0 { 'M' } else { 'H' });
    let depth = match (second & 0x40 != 0, second & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"))
}

/// What the descriptors of sound say, if there are any.
fn descriptor_of_sound(body: &[u8]) -> Option<SoundDescriptor<'_>> {
    // What comes before the boxes is longer in the old versions of QuickTime.
    let more = match Fields(body.get(8..)?).u16()? {
        1 => 16,
        2 => 36,
        _ => 0,
    };
    SoundDescriptor::read(find(body.get(OF_SOUND + more..)?, *b"esds")?)
}

/// The codec of sound.
fn sound(entry: BoxName, described: Option<SoundDescriptor<'_>>) -> Option<String> {
    let known = |codec: &str| Some(codec.to_owned());
    match &entry {
        b"mp4a" => described?.codec(),
        b"ac-3" => known("ac-3"),
        b"ec-3" => known("ec-3"),
        b"Opus" => known("opus"),
        b"fLaC" => known("flac"),
        _ => None,
    }
}
