//! Sound: which codec the first frames are of, by the frames themselves and not by what the tables call them.

use super::adts;
use super::coding::Coding;
use super::facts::Described;

/// Where so many bytes hold no frame, more will not either.
const ENOUGH: usize = 8 << 10;

/// What a stream says from its first bytes.
pub(super) fn describe(coding: Coding, stream: &[u8]) -> Described {
    let codec = match coding {
        Coding::Aac => aac(stream),
        Coding::MpegAudio => mpeg(stream),
        Coding::Dolby => dolby(stream),
        _ => None,
    };
    let wants_more = codec.is_none() && stream.len() < ENOUGH;
    Described { independent: codec.is_some(), codec, wants_more, ..Described::default() }
}

/// The first frame behind which another one begins, or nothing more is.
fn aac(stream: &[u8]) -> Option<String> {
    let first = (0..stream.len()).find_map(|at| {
        let rest = stream.get(at..)?;
        let header = adts::header(rest)?;
        let next = rest.get(header.length..)?;
        let is_followed = next.is_empty() || adts::header(next).is_some_and(|other| other.is_like(&header));
        is_followed.then_some(header)
    })?;
    Some(format!("mp4a.40.{}", first.object))
}

/// Layers of MPEG-1 and MPEG-2 (ISO/IEC 11172-3, 2.4.1.3), by their audio object types.
fn mpeg(stream: &[u8]) -> Option<String> {
    let [0xff, second, third, ..] = stream else { return None };
    let is_header = second & 0xe0 == 0xe0 && second >> 3 & 3 != 1 && third >> 4 != 15 && third >> 2 & 3 != 3;
    let object = match second >> 1 & 3 {
        1 => 34,
        2 => 33,
        3 => 32,
        _ => return None,
    };
    is_header.then(|| format!("mp4a.40.{object}"))
}

/// AC-3 and E-AC-3 (ETSI TS 102 366): the version stands at the same place in both.
fn dolby(stream: &[u8]) -> Option<String> {
    let [0x0b, 0x77, _, _, _, sixth, ..] = stream else { return None };
    match sixth >> 3 {
        0..=10 => Some("ac-3".to_owned()),
        11..=16 => Some("ec-3".to_owned()),
        _ => None,
    }
}
