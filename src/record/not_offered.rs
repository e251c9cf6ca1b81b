//! Qualities that somebody asks for and that a source does not offer: said with those that it offers, before anything is recorded or tested.

use std::fmt;

use super::origin::OriginClient;
use super::playlist::{HlsPlaylist, MasterList};
use super::separate_sound::separate_sounds;
use super::source_address::SourceAddress;
use super::variants::{OfferedQuality, SOURCE, find_quality, offered_qualities};
use crate::archive::Quality;

/// Names that are told, at most.
const MOST_TOLD: usize = 50;

/// What is asked for and not offered, and what is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotOffered {
    wanted: Vec<String>,
    /// None where the source has no master playlist.
    offered: Option<Vec<String>>,
}

impl NotOffered {
    /// None where all of these are offered.
    pub fn of(playlist: &HlsPlaylist, wanted: &[Quality]) -> Option<Self> {
        match playlist {
            HlsPlaylist::Media(_) => Self::unless(wanted, |one| one.as_str() == SOURCE, || None),
            HlsPlaylist::Master(master) => Self::of_master(master, wanted),
        }
    }

    pub fn of_master(master: &MasterList, wanted: &[Quality]) -> Option<Self> {
        let offered = offered_qualities(master);
        let sounds = separate_sounds(master, &offered);
        let is_offered = |quality: &Quality| {
            find_quality(&offered, quality).is_some() || sounds.iter().any(|sound| sound.quality == *quality)
        };
        let called = |one: &OfferedQuality| {
            let is_renamed = one.is_source && one.name != SOURCE;
            if is_renamed { format!("{SOURCE} (also called {})", one.name) } else { one.name.clone() }
        };
        let names = offered.iter().map(called).chain(sounds.iter().map(|sound| sound.quality.to_string()));
        Self::unless(wanted, is_offered, || Some(names.take(MOST_TOLD).collect()))
    }

    fn unless(
        wanted: &[Quality],
        is_offered: impl Fn(&Quality) -> bool,
        offered: impl FnOnce() -> Option<Vec<String>>,
    ) -> Option<Self> {
        let wanted: Vec<_> = wanted.iter().filter(|one| !is_offered(one)).map(ToString::to_string).collect();
        (!wanted.is_empty()).then(|| Self { wanted, offered: offered() })
    }
}

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the source does not offer {}; ", self.wanted.join(" and "))?;
        match &self.offered {
            Some(names) => write!(f, "it offers {}", names.join(", ")),
            None => write!(f, "its playlist is no master playlist, and has one quality, which is called {SOURCE}"),
        }
    }
}

/// Asks the source once. One that cannot be asked now may offer anything.
pub async fn check_offered(
    source: &SourceAddress,
    client: &OriginClient,
    wanted: &[Quality],
) -> Result<(), NotOffered> {
    match client.playlist(source.url()).await {
        Ok((_, playlist)) => NotOffered::of(&playlist, wanted).map_or(Ok(()), Err),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::playlist::{PlaylistPlace, parse_playlist};
    use super::*;

    fn said(text: &str, wanted: &[&str]) -> Option<String> {
        let wanted: Vec<Quality> = wanted.iter().map(|name| Quality::new(name).unwrap()).collect();
        let playlist = parse_playlist(format!("#EXTM3U\n{text}").as_bytes(), PlaylistPlace::default()).unwrap();
        NotOffered::of(&playlist, &wanted).map(|missing| missing.to_string())
    }

    #[test]
    fn what_is_not_offered_is_said_with_what_is() {
        let master = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"s\"\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1280x720,AUDIO=\"a\"\nv\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=640x360,AUDIO=\"a\"\nw\n";
        assert_eq!(said(master, &["source", "720p", "360p", "audio"]), None);
        assert_eq!(
            said(master, &["nope", "source", "4k"]).unwrap(),
            "the source does not offer nope and 4k; it offers source (also called 720p), 360p, audio"
        );
        let media = "#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";
        assert_eq!(said(media, &["source"]), None);
        assert_eq!(
            said(media, &["480p"]).unwrap(),
            "the source does not offer 480p; its playlist is no master playlist, and has one quality, which is called source"
        );
    }
}
