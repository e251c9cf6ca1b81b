//! Messages of RTMP in chunks of several channels (RTMP 1.0, 5.3), read and written. No bytes make this panic.
//!
//! What is held of messages that are not whole is bounded, for all channels together.

use std::collections::BTreeMap;

use bytes::{Buf as _, BytesMut};

/// Channels of one peer; real ones have five.
const CHANNELS: usize = 32;
/// Chunks have so many bytes until something else was said.
const FIRST_SIZE: usize = 128;
/// A time that does not fit into three bytes stands behind the header.
const EXTENDED: u32 = 0xff_ffff;

/// Messages that say how chunks are read.
const SET_CHUNK_SIZE: u8 = 1;
const ABORT: u8 = 2;

/// What a peer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtmpMessage {
    pub kind: u8,
    pub stream: u32,
    /// In milliseconds.
    pub time: u32,
    pub body: Vec<u8>,
}

/// Why a peer cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("it refers to a message that was never begun")]
    NoChannel,
    #[error("it has more than {CHANNELS} channels")]
    Channels,
    #[error("it sends messages of more than {0} bytes")]
    TooLarge(usize),
    #[error("it sends chunks of no bytes")]
    NoSize,
}

/// Puts messages together.
#[derive(Debug)]
pub struct ChunkReader {
    buffer: BytesMut,
    size: usize,
    limit: usize,
    channels: BTreeMap<u32, Channel>,
}

/// One channel: the header that came last, and what has come of its message.
#[derive(Debug, Default)]
struct Channel {
    header: ChunkHeader,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct ChunkHeader {
    kind: u8,
    stream: u32,
    length: usize,
    time: u32,
    delta: u32,
    /// The field that stood behind the header.
    extended: Option<u32>,
}

/// The chunk at hand.
#[derive(Debug, Clone, Copy)]
struct ChunkStart {
    channel: u32,
    /// Where its content begins.
    at: usize,
    begins: bool,
    header: ChunkHeader,
}

impl ChunkReader {
    /// Takes messages of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), size: FIRST_SIZE, limit, channels: BTreeMap::new() }
    }

    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message that is whole.
    pub fn next(&mut self) -> Result<Option<RtmpMessage>, ChunkError> {
        while let Some(ChunkStart { channel: id, at, begins, header }) = self.header()? {
            let channel = self.channels.entry(id).or_default();
            let before = if begins { 0 } else { channel.body.len() };
            if header.length > self.limit || before > header.length {
                return Err(ChunkError::TooLarge(self.limit));
            }
            let wanted = self.size.min(header.length - before);
            let Some(piece) = self.buffer.get(at..at + wanted) else { return Ok(None) };
            channel.header = header;
            channel.body.truncate(before);
            channel.body.extend_from_slice(piece);
            self.buffer.advance(at + wanted);
            let is_whole = before + wanted == header.length;
            let body = if is_whole { std::mem::take(&mut channel.body) } else { Vec::new() };
            let held: usize = self.channels.values().map(|each| each.body.len()).sum();
            match (self.channels.len() > CHANNELS, held > self.limit) {
                (true, _) => return Err(ChunkError::Channels),
                (_, true) => return Err(ChunkError::TooLarge(self.limit)),
                _ => {}
            }
            let message = RtmpMessage { kind: header.kind, stream: header.stream, time: header.time, body };
            if is_whole && !self.is_about_chunks(&message)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// The chunk at hand; none if more bytes are wanted.
    fn header(&self) -> Result<Option<ChunkStart>, ChunkError> {
        let Some((format, id, at)) = basic_header(&self.buffer) else { return Ok(None) };
        let known = self.channels.get(&id);
        let mut header = match (format, known) {
            (0, _) => ChunkHeader::default(),
            (_, Some(known)) => known.header,
            (_, None) => return Err(ChunkError::NoChannel),
        };
        let length = [11, 7, 3, 0].get(usize::from(format)).copied().unwrap_or_default();
        let Some(fields) = self.buffer.get(at..at + length) else { return Ok(None) };
        let mut end = at + length;
        if let [_, _, _, a, b, c, kind, ..] = *fields {
            (header.length, header.kind) = (usize::try_from(number([a, b, c])).unwrap_or(usize::MAX), kind);
        }
        if let Some(stream) = fields.get(7..11).and_then(|four| four.first_chunk()) {
            header.stream = u32::from_le_bytes(*stream);
        }
        let time = fields.first_chunk().map(|three| number(*three));
        if time.map_or(header.extended.is_some(), |time| time == EXTENDED) {
            let behind = self.buffer.get(end..end + 4).and_then(|four| four.first_chunk());
            let Some(behind) = behind.map(|four| u32::from_be_bytes(*four)) else { return Ok(None) };
            // It is repeated before each further chunk, but not by all.
            end += if time.is_some() || header.extended == Some(behind) { 4 } else { 0 };
            if time.is_some() {
                (header.extended, header.delta) = (Some(behind), behind);
            }
        } else if let Some(time) = time {
            (header.extended, header.delta) = (None, time);
        }
        let begins = format < 3 || known.is_none_or(|known| known.body.is_empty());
        if begins {
            header.time = if format == 0 { header.delta } else { header.time.wrapping_add(header.delta) };
        }
        Ok(Some(ChunkStart { channel: id, at: end, begins, header }))
    }

    fn is_about_chunks(&mut self, message: &RtmpMessage) -> Result<bool, ChunkError> {
        let value = message.body.first_chunk().map(|four| u32::from_be_bytes(*four));
        match (message.kind, value) {
            (SET_CHUNK_SIZE, Some(size)) => {
                self.size = usize::try_from(size).unwrap_or(usize::MAX);
                if self.size == 0 {
                    return Err(ChunkError::NoSize);
                }
            }
            (ABORT, Some(id)) => {
                if let Some(channel) = self.channels.get_mut(&id) {
                    channel.body.clear();
                }
            }
            (kind, _) => return Ok(matches!(kind, SET_CHUNK_SIZE | ABORT)),
        }
        Ok(true)
    }
}

/// Its format, its channel, and how many bytes those take.
fn basic_header(bytes: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *bytes.first()?;
    let format = first >> 6;
    Some(match first & 0x3f {
        0 => (format, 64 + u32::from(*bytes.get(1)?), 2),
        1 => (format, 64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?), 3),
        id => (format, u32::from(id), 1),
    })
}

fn number([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

/// A message of this program, in one chunk: the peer was told that chunks are longer than those.
pub fn written(channel: u8, message: &RtmpMessage) -> Vec<u8> {
    let length = u32::try_from(message.body.len()).unwrap_or_default().to_be_bytes();
    let mut out = vec![channel & 0x3f, 0, 0, 0, length[1], length[2], length[3], message.kind];
    out.extend(message.stream.to_le_bytes());
    out.extend(&message.body);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: &mut ChunkReader, bytes: &[u8], pieces: usize) -> Result<Vec<RtmpMessage>, ChunkError> {
        let mut found = Vec::new();
        for piece in bytes.chunks(pieces) {
            reader.push(piece);
            while let Some(message) = reader.next()? {
                found.push(message);
            }
        }
        Ok(found)
    }

    fn header(format: u8, channel: u8, fields: &[u8]) -> Vec<u8> {
        [&[format << 6 | channel], fields].concat()
    }

    #[test]
    fn messages_of_several_channels_lie_between_each_other() {
        let (video, sound) = (vec![1; 300], vec![2; 10]);
        let bytes = [
            header(0, 6, &[0, 0, 100, 0, 1, 44, 9, 1, 0, 0, 0]),
            video[..128].to_vec(),
            header(0, 4, &[0, 0, 90, 0, 0, 10, 8, 1, 0, 0, 0]),
            sound.clone(),
            header(3, 6, &[]),
            video[128..256].to_vec(),
            header(2, 4, &[0, 0, 20]),
            sound.clone(),
            header(3, 6, &[]),
            video[256..].to_vec(),
            header(3, 4, &[]),
            sound.clone(),
        ]
        .concat();
        for pieces in [1, 7, 1_000] {
            let found = read(&mut ChunkReader::new(1_000), &bytes, pieces).unwrap();
            let told: Vec<_> = found.iter().map(|message| (message.kind, message.time, message.body.len())).collect();
            assert_eq!(told, [(8, 90, 10), (8, 110, 10), (9, 100, 300), (8, 130, 10)]);
            assert!(found.iter().all(|message| message.stream == 1) && found[2].body == video);
        }
    }

    #[test]
    fn times_beyond_three_bytes_stand_behind_each_header_or_the_first_alone() {
        let long = [header(0, 4, &[0xff, 0xff, 0xff, 0, 0, 200, 9, 0, 0, 0, 0]), vec![1, 0, 0, 5]].concat();
        for repeated in [vec![], vec![1, 0, 0, 5]] {
            let bytes = [long.clone(), vec![7; 128], header(3, 4, &[]), repeated, vec![7; 72]].concat();
            let found = read(&mut ChunkReader::new(1_000), &bytes, 3).unwrap();
            assert_eq!((found.len(), found[0].time, found[0].body.len()), (1, 0x0100_0005, 200));
        }
    }

    #[test]
    fn what_is_too_much_is_refused_before_it_is_there() {
        let large = header(0, 4, &[0, 0, 0, 0xff, 0xff, 0xff, 9, 0, 0, 0, 0]);
        assert_eq!(read(&mut ChunkReader::new(1_000), &large, 99), Err(ChunkError::TooLarge(1_000)));
        let begun = |channel| [header(0, channel, &[0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 0]), vec![0; 128]].concat();
        let many: Vec<u8> = (2..60).flat_map(begun).collect();
        assert_eq!(read(&mut ChunkReader::new(1_000), &many, 99), Err(ChunkError::TooLarge(1_000)));
        let empty: Vec<u8> = (2..60).flat_map(|channel| header(0, channel, &[0; 11])).collect();
        assert_eq!(read(&mut ChunkReader::new(1_000), &empty, 99), Err(ChunkError::Channels));
        assert_eq!(read(&mut ChunkReader::new(1_000), &header(3, 4, &[]), 99), Err(ChunkError::NoChannel));
        let none = [header(0, 2, &[0, 0, 0, 0, 0, 4, SET_CHUNK_SIZE, 0, 0, 0, 0]), vec![0; 4]].concat();
        assert_eq!(read(&mut ChunkReader::new(1_000), &none, 99), Err(ChunkError::NoSize));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_hold_more(bytes in prop::collection::vec(any::<u8>(), 0..2_000), pieces in 1_usize..200) {
            let mut reader = ChunkReader::new(500);
            read(&mut reader, &bytes, pieces).ok();
            prop_assert!(reader.channels.values().map(|channel| channel.body.len()).sum::<usize>() <= 1_000);
        }

        #[test]
        fn what_is_written_is_read(body in prop::collection::vec(any::<u8>(), 0..120), kind in 3_u8..30) {
            let message = RtmpMessage { kind, stream: 1, time: 0, body };
            let found = read(&mut ChunkReader::new(500), &written(3, &message), 11).unwrap();
            prop_assert_eq!(found, vec![message]);
        }
    }
}
