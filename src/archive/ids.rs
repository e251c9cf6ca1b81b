//! Names of channels and qualities, checked once when they enter.

use std::fmt;

use super::BadName;

/// What a recorder calls the sound of a stream whose pictures lie apart from it; further renditions of it are `audio-` and what they are.
pub const SOUND: &str = "audio";

fn component(text: &str) -> Result<Box<str>, BadName> {
    let fits = !text.is_empty() && text.len() <= 255 && !text.starts_with('.') && !text.contains(['/', '\0']);
    if fits { Ok(text.into()) } else { Err(BadName::Component) }
}

/// A channel: one path component that is not hidden.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Box<str>);

/// A quality of a channel: one path component that is not hidden. `chat` holds batches of chat lines, not video.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quality(Box<str>);

impl Channel {
    /// Checks the name.
    pub fn new(name: &str) -> Result<Self, BadName> {
        component(name).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Quality {
    /// Checks the name.
    pub fn new(name: &str) -> Result<Self, BadName> {
        component(name).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it holds chat batches instead of video.
    pub fn is_chat(&self) -> bool {
        &*self.0 == "chat"
    }

    /// Whether recorders call sound so that lies apart from its pictures. A channel that was recorded otherwise may have such a quality as well.
    pub fn is_called_sound(&self) -> bool {
        self.0.strip_prefix(SOUND).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// The language of sound that lies apart, where its name ends as one does (RFC 5646): `de`, `eng`, `pt-br`.
    pub fn language(&self) -> Option<&str> {
        let rest = self.0.strip_prefix(SOUND)?.strip_prefix('-')?;
        let mut parts = rest.split('-');
        let is_language =
            |part: &str| (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_region =
            |part: &str| (2..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (parts.next().is_some_and(is_language) && parts.all(is_region)).then_some(rest)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One quality of one channel: what a sequence of segments belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
}

impl Stream {
    /// Checks both names.
    pub fn new(channel: &str, quality: &str) -> Result<Self, BadName> {
        Ok(Self { channel: Channel::new(channel)?, quality: Quality::new(quality)? })
    }

    /// Reads `CHANNEL/QUALITY`.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let (channel, quality) = text.split_once('/').ok_or(BadName::Component)?;
        Self::new(channel, quality)
    }
}

/// `CHANNEL/QUALITY`, which is also its directory relative to the base.
impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.channel, self.quality)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_sound_is_told_by_its_name() {
        let language = |name: &str| Quality::new(name).unwrap().language().map(str::to_owned);
        for (name, told) in
            [("audio-de", "de"), ("audio-eng", "eng"), ("audio-pt-br", "pt-br"), ("audio-zh-hans", "zh-hans")]
        {
            assert_eq!(language(name).as_deref(), Some(told));
        }
        for other in ["audio", "audio-", "audio-commentary", "audio-日本語", "audio-d\"e", "audio_only", "de"] {
            assert_eq!(language(other), None, "{other}");
        }
    }

    #[test]
    fn what_could_leave_the_base_is_not_a_name() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a\0b", &"x".repeat(256)] {
            assert_eq!(Channel::new(bad), Err(BadName::Component), "{bad:?}");
            assert_eq!(Quality::new(bad), Err(BadName::Component), "{bad:?}");
        }
        for good in ["desertbus", "a b", "ünï", "a.b", "\"<&>'", "-", &"x".repeat(255)] {
            assert_eq!(Channel::new(good).unwrap().as_str(), good);
        }
        assert_eq!(Stream::parse("a/b").unwrap().to_string(), "a/b");
        assert!(Stream::parse("a").is_err() && Stream::parse("a/b/c").is_err());
    }
}
