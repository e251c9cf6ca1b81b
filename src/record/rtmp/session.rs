//! What this end says to a peer of RTMP that wants to publish (RTMP 1.0, 5.2 and 7.2): handshake, commands, and the media that follow. Pure.
//!
//! 1. Bytes in; replies and events out. Whoever is asked about a key answers by [`RtmpSession::accept`] or [`RtmpSession::refuse`].
//! 2. Before that a peer may send [`BEFORE`] bytes a message; afterwards [`AFTER`].
//! 3. Only publishing is answered; nothing is played.

use super::amf::{self, AmfValue, read_values};
use super::chunks::{self, ChunkError, ChunkReader, RtmpMessage};

/// The handshake of each side: its version, and bytes that the other one sends back.
const VERSION: u8 = 3;
const SHAKEN: usize = 1_536;
/// Bytes of a message before a key was accepted: commands have some hundred.
const BEFORE: usize = 16 << 10;
/// And afterwards: key frames of 200 Mbit/s.
const AFTER: usize = 8 << 20;
/// What is acknowledged at once.
const WINDOW: u32 = 2_500_000;
/// Chunks of this end.
const CHUNKS: u32 = 64 << 10;

/// Kinds of messages.
mod kind {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW: u8 = 5;
    pub const BANDWIDTH: u8 = 6;
    pub const SOUND: u8 = 8;
    pub const PICTURE: u8 = 9;
    pub const DATA: u8 = 18;
    pub const COMMAND: u8 = 20;
    pub const COMMAND_3: u8 = 17;
}

/// What a publisher sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    Sound,
    Picture,
    Description,
}

/// What a peer wants or brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RtmpEvent {
    /// It wants to publish under this path: application and key.
    Publish(String),
    Media {
        kind: MediaKind,
        time: u32,
        body: Vec<u8>,
    },
    /// It publishes no more.
    Ended,
}

/// Why a peer is not listened to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtmpError {
    #[error("it does not speak RTMP")]
    Version,
    #[error(transparent)]
    Chunks(#[from] ChunkError),
    #[error("it wants to play a stream, and here streams can only be sent")]
    Plays,
}

/// One connection.
#[derive(Debug)]
pub struct RtmpSession {
    shaking: Shaking,
    chunks: ChunkReader,
    replies: Vec<u8>,
    application: String,
    received: u32,
    acknowledged: u32,
}

#[derive(Debug)]
enum Shaking {
    /// What has come of its first part.
    First(Vec<u8>),
    /// So much of its second part is to come, which says nothing.
    Second(usize),
    Done,
}

impl Default for RtmpSession {
    fn default() -> Self {
        Self {
            shaking: Shaking::First(Vec::new()),
            chunks: ChunkReader::new(BEFORE),
            replies: Vec::new(),
            application: String::new(),
            received: 0,
            acknowledged: 0,
        }
    }
}

impl RtmpSession {
    /// Takes what came.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), RtmpError> {
        self.received = self.received.wrapping_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if let Shaking::First(come) = &mut self.shaking {
            let (now, later) = bytes.split_at(bytes.len().min(1 + SHAKEN - come.len()));
            come.extend_from_slice(now);
            bytes = later;
            if come.first().is_some_and(|version| *version != VERSION) {
                return Err(RtmpError::Version);
            }
            if come.len() <= SHAKEN {
                return Ok(());
            }
            // Its own bytes back, behind as many of this end.
            let theirs = come.split_off(1);
            self.replies.push(VERSION);
            self.replies.extend([0; SHAKEN]);
            self.replies.extend(theirs);
            self.shaking = Shaking::Second(SHAKEN);
        }
        if let Shaking::Second(left) = &mut self.shaking {
            let (now, later) = bytes.split_at(bytes.len().min(*left));
            *left -= now.len();
            bytes = later;
            if *left > 0 {
                return Ok(());
            }
            self.shaking = Shaking::Done;
        }
        self.chunks.push(bytes);
        Ok(())
    }

    /// What the peer says next; none until more comes.
    pub fn next(&mut self) -> Result<Option<RtmpEvent>, RtmpError> {
        while let Some(message) = self.chunks.next()? {
            if let Some(event) = self.take(message)? {
                return Ok(Some(event));
            }
        }
        if self.received.wrapping_sub(self.acknowledged) >= WINDOW / 2 {
            self.acknowledged = self.received;
            self.say(2, kind::ACKNOWLEDGEMENT, 0, self.received.to_be_bytes().to_vec());
        }
        Ok(None)
    }

    /// What is to be sent to the peer.
    pub fn replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }

    /// It may publish.
    pub fn accept(&mut self) {
        self.chunks.set_limit(AFTER);
        self.say(2, kind::USER_CONTROL, 0, vec![0, 0, 0, 0, 0, 1]);
        self.status("status", "NetStream.Publish.Start", "it is recorded");
    }

    /// It may not.
    pub fn refuse(&mut self, why: &str) {
        self.status("error", "NetStream.Publish.BadName", why);
    }

    fn take(&mut self, message: RtmpMessage) -> Result<Option<RtmpEvent>, RtmpError> {
        let RtmpMessage { kind, time, mut body, .. } = message;
        let media = |what, content| Ok(Some(RtmpEvent::Media { kind: what, time, body: content }));
        match kind {
            kind::SOUND => media(MediaKind::Sound, body),
            kind::PICTURE => media(MediaKind::Picture, body),
            kind::DATA => {
                // A server is told to keep it for those who come later.
                let kept = amf::written(&[AmfValue::Text("@setDataFrame".to_owned())]);
                if body.starts_with(&kept) {
                    body.drain(..kept.len());
                }
                media(MediaKind::Description, body)
            }
            kind::COMMAND => self.command(&read_values(&body)),
            // The same behind a byte.
            kind::COMMAND_3 => self.command(&read_values(body.get(1..).unwrap_or_default())),
            kind::USER_CONTROL => {
                if let Some(asked) = body.strip_prefix(&[0, 6]) {
                    let answer = [&[0, 7], asked.get(..asked.len().min(4)).unwrap_or_default()].concat();
                    self.say(2, kind::USER_CONTROL, 0, answer);
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn command(&mut self, values: &[AmfValue]) -> Result<Option<RtmpEvent>, RtmpError> {
        let name = values.first().and_then(AmfValue::text).unwrap_or_default();
        let number = values.get(1).and_then(AmfValue::number).unwrap_or_default();
        match name {
            "connect" => {
                let application = values.get(2).and_then(|object| object.field("app")).and_then(AmfValue::text);
                application.unwrap_or_default().clone_into(&mut self.application);
                self.connected(number);
            }
            "createStream" => self.result(number, AmfValue::Number(1.0)),
            "releaseStream" | "FCPublish" => self.result(number, AmfValue::Null),
            "publish" => {
                let key = values.get(3).and_then(AmfValue::text).unwrap_or_default();
                return Ok(Some(RtmpEvent::Publish(format!("{}/{key}", self.application))));
            }
            "FCUnpublish" | "deleteStream" | "closeStream" => return Ok(Some(RtmpEvent::Ended)),
            "play" | "play2" => return Err(RtmpError::Plays),
            _ => {}
        }
        Ok(None)
    }

    fn connected(&mut self, number: f64) {
        self.say(2, kind::WINDOW, 0, WINDOW.to_be_bytes().to_vec());
        self.say(2, kind::BANDWIDTH, 0, [&WINDOW.to_be_bytes()[..], &[2]].concat());
        self.say(2, kind::SET_CHUNK_SIZE, 0, CHUNKS.to_be_bytes().to_vec());
        let text = |name: &str, value: &str| (name.to_owned(), AmfValue::Text(value.to_owned()));
        let flag = |name: &str, value| (name.to_owned(), AmfValue::Number(value));
        let server = AmfValue::Object(vec![text("fmsVer", "FMS/3,0,1,123"), flag("capabilities", 31.0)]);
        let information = AmfValue::Object(vec![
            text("level", "status"),
            text("code", "NetConnection.Connect.Success"),
            text("description", "Connection succeeded."),
            flag("objectEncoding", 0.0),
        ]);
        let result = [AmfValue::Text("_result".to_owned()), AmfValue::Number(number), server, information];
        self.say(3, kind::COMMAND, 0, amf::written(&result));
    }

    fn result(&mut self, number: f64, value: AmfValue) {
        let result = [AmfValue::Text("_result".to_owned()), AmfValue::Number(number), AmfValue::Null, value];
        self.say(3, kind::COMMAND, 0, amf::written(&result));
    }

    fn status(&mut self, level: &str, code: &str, description: &str) {
        let field = |name: &str, value: &str| (name.to_owned(), AmfValue::Text(value.to_owned()));
        let information = vec![field("level", level), field("code", code), field("description", description)];
        let status = [
            AmfValue::Text("onStatus".to_owned()),
            AmfValue::Number(0.0),
            AmfValue::Null,
            AmfValue::Object(information),
        ];
        self.say(5, kind::COMMAND, 1, amf::written(&status));
    }

    fn say(&mut self, channel: u8, kind: u8, stream: u32, body: Vec<u8>) {
        self.replies.extend(chunks::written(channel, &RtmpMessage { kind, stream, time: 0, body }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a peer has said after its handshake.
    fn session() -> RtmpSession {
        let mut session = RtmpSession::default();
        session.push(&[VERSION]).unwrap();
        session.push(&[7; 2 * SHAKEN]).unwrap();
        let replies = session.replies();
        assert_eq!(replies.len(), 1 + 2 * SHAKEN);
        assert!(replies.ends_with(&[7; SHAKEN]), "its bytes come back");
        session
    }

    fn command(session: &mut RtmpSession, values: &[AmfValue]) -> Result<Option<RtmpEvent>, RtmpError> {
        let message = RtmpMessage { kind: kind::COMMAND, stream: 0, time: 0, body: amf::written(values) };
        session.push(&chunks::written(3, &message))?;
        session.next()
    }

    fn text(text: &str) -> AmfValue {
        AmfValue::Text(text.to_owned())
    }

    #[test]
    fn a_publisher_is_asked_for_its_key_and_its_media_follow() {
        let mut session = session();
        let object = AmfValue::Object(vec![("app".to_owned(), text("live"))]);
        assert_eq!(command(&mut session, &[text("connect"), AmfValue::Number(1.0), object]), Ok(None));
        assert!(!session.replies().is_empty());
        let publish = [text("publish"), AmfValue::Number(4.0), AmfValue::Null, text("key"), text("live")];
        assert_eq!(command(&mut session, &publish), Ok(Some(RtmpEvent::Publish("live/key".to_owned()))));
        session.accept();
        let body = amf::written(&[text("@setDataFrame"), text("onMetaData")]);
        let data = RtmpMessage { kind: kind::DATA, stream: 1, time: 0, body };
        session.push(&chunks::written(4, &data)).unwrap();
        let rest = amf::written(&[text("onMetaData")]);
        let description = RtmpEvent::Media { kind: MediaKind::Description, time: 0, body: rest };
        assert_eq!(session.next(), Ok(Some(description)));
        assert_eq!(command(&mut session, &[text("deleteStream")]), Ok(Some(RtmpEvent::Ended)));
        assert_eq!(command(&mut session, &[text("play")]), Err(RtmpError::Plays));
    }

    #[test]
    fn before_a_key_was_accepted_little_may_be_sent() {
        let mut session = session();
        let large = RtmpMessage { kind: kind::PICTURE, stream: 1, time: 0, body: vec![0; BEFORE + 1] };
        session.push(&chunks::written(4, &large)).unwrap();
        assert_eq!(session.next(), Err(RtmpError::Chunks(ChunkError::TooLarge(BEFORE))));
        assert_eq!(RtmpSession::default().push(b"GET / HTTP/1.1\r\n"), Err(RtmpError::Version));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), pieces in 1_usize..300) {
            let mut session = session();
            for piece in bytes.chunks(pieces) {
                session.push(piece).unwrap();
                while let Ok(Some(_)) = session.next() {}
            }
        }
    }
}
