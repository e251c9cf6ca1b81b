//! Which variant of a master playlist is which quality of the archive: pure.
//!
//! 1. `source` is the best one: the one whose name says so, else the one with the most pixels, else the one with the most bits.
//! 2. Each has a name besides: what its picture's rendition is called, else its own `NAME`, else its height and, from 50 pictures a second on,
//!    its rate (`720p60`), else its bit rate (`96k`). Of several with one name the best keeps it, and others add their bit rate.
//! 3. Variants that differ in nothing but their address and the group of their sound are one quality with spare addresses.

use super::playlist::{MasterList, Rendition, VariantStream};
use crate::archive::Quality;

/// What the best variant is called.
pub const SOURCE: &str = "source";

/// A quality that a master playlist offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedQuality {
    /// As it is called in the archive, unless it is asked for as [`SOURCE`].
    pub name: String,
    pub is_source: bool,
    pub variant: VariantStream,
    /// Its addresses, in the order in which they are listed; never empty.
    pub uris: Vec<String>,
    /// The groups of its sound, in the same order.
    pub sound_groups: Vec<String>,
}

/// What is offered, best first.
pub fn offered_qualities(master: &MasterList) -> Vec<OfferedQuality> {
    let mut offered: Vec<OfferedQuality> = Vec::new();
    for variant in &master.variants {
        let is_same = |other: &&mut OfferedQuality| {
            let (uri, audio) = (other.variant.uri.clone(), other.variant.audio.clone());
            other.variant == VariantStream { uri, audio, ..variant.clone() }
        };
        if let Some(known) = offered.iter_mut().find(is_same) {
            known.uris.push(variant.uri.clone());
            known.sound_groups.extend(variant.audio.clone().filter(|group| !known.sound_groups.contains(group)));
            continue;
        }
        offered.push(OfferedQuality {
            name: name(master, variant),
            is_source: false,
            variant: variant.clone(),
            uris: vec![variant.uri.clone()],
            sound_groups: variant.audio.iter().cloned().collect(),
        });
    }
    // The order of the list decides between equals.
    let pixels = |one: &OfferedQuality| one.variant.resolution.map_or(0, |(w, h)| u64::from(w) * u64::from(h));
    offered.sort_by_key(|one| std::cmp::Reverse((pixels(one), one.variant.bandwidth)));
    let best = offered.iter().position(|one| one.name.to_lowercase().contains("source")).unwrap_or_default();
    if let Some(best) = offered.get_mut(best) {
        best.is_source = true;
    }
    let mut names: Vec<String> = Vec::new();
    for one in &mut offered {
        if names.contains(&one.name) {
            one.name = format!("{}-{}", one.name, bit_rate(one.variant.bandwidth));
        }
        names.push(one.name.clone());
    }
    offered
}

/// The one that is asked for by this name.
pub fn find_quality<'o>(offered: &'o [OfferedQuality], quality: &Quality) -> Option<&'o OfferedQuality> {
    let named = offered.iter().find(|one| one.name == quality.as_str());
    named.or_else(|| offered.iter().find(|one| one.is_source && quality.as_str() == SOURCE))
}

fn name(master: &MasterList, variant: &VariantStream) -> String {
    let is_of = |group: &String| {
        let found = master.renditions.iter().find(|one| one.kind == "VIDEO" && one.group == *group);
        found.map(|one| one.name.clone())
    };
    let called = variant.video.as_ref().and_then(is_of).or_else(|| variant.name.clone());
    // Where sound lies apart, its names are its own.
    let has_sound_apart = master.renditions.iter().any(Rendition::is_separate_sound);
    let is_taken = |quality: &Quality| quality.is_chat() || has_sound_apart && quality.is_called_sound();
    let by_picture = || {
        let (_, height) = variant.resolution?;
        let rate = variant.frame_rate.map(|rate| rate.saturating_add(500) / 1_000).filter(|rate| *rate >= 50);
        Some(rate.map_or_else(|| format!("{height}p"), |rate| format!("{height}p{rate}")))
    };
    called
        .filter(|name| Quality::new(name).is_ok_and(|quality| !is_taken(&quality)))
        .or_else(by_picture)
        .unwrap_or_else(|| bit_rate(variant.bandwidth))
}

fn bit_rate(bandwidth: u64) -> String {
    format!("{}k", bandwidth / 1_000)
}

#[cfg(test)]
mod tests {
    use super::super::playlist::{HlsPlaylist, PlaylistPlace, parse_playlist};
    use super::*;

    fn offered(text: &str) -> Vec<OfferedQuality> {
        match parse_playlist(format!("#EXTM3U\n{text}").as_bytes(), PlaylistPlace::default()) {
            Ok(HlsPlaylist::Master(master)) => offered_qualities(&master),
            other => panic!("{other:?}"),
        }
    }

    fn names(offered: &[OfferedQuality]) -> Vec<(&str, bool)> {
        offered.iter().map(|one| (&*one.name, one.is_source)).collect()
    }

    #[test]
    fn qualities_are_called_as_their_servers_call_them_or_by_their_picture() {
        let twitch = offered(
            "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"720p60\",NAME=\"720p60\"\n#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720,VIDEO=\"720p60\"\nb\n\
             #EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"chunked\",NAME=\"720p60 (source)\"\n#EXT-X-STREAM-INF:BANDWIDTH=6000000,RESOLUTION=1280x720,VIDEO=\"chunked\"\na\n\
             #EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"audio\",NAME=\"audio_only\"\n#EXT-X-STREAM-INF:BANDWIDTH=160000,VIDEO=\"audio\"\nc\n",
        );
        assert_eq!(names(&twitch), [("720p60 (source)", true), ("720p60", false), ("audio_only", false)]);
        let plain = offered(
            "#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360\na\n#EXT-X-STREAM-INF:BANDWIDTH=5000000,RESOLUTION=1920x1080,FRAME-RATE=59.940\nb\n\
             #EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=640x360\nc\n#EXT-X-STREAM-INF:BANDWIDTH=96000\nd\n",
        );
        assert_eq!(names(&plain), [("1080p60", true), ("360p", false), ("360p-500k", false), ("96k", false)]);
        let quality = |name: &str| find_quality(&plain, &Quality::new(name).unwrap()).map(|one| one.uris[0].as_str());
        assert_eq!(
            [quality("source"), quality("1080p60"), quality("360p"), quality("4k")],
            [Some("b"), Some("b"), Some("a"), None]
        );
    }

    #[test]
    fn variants_that_differ_in_their_address_alone_are_spare_addresses() {
        let line = "#EXT-X-STREAM-INF:BANDWIDTH=5000000,RESOLUTION=1920x1080";
        let found = offered(&format!("{line}\nhttps://one.example/a\n{line}\nhttps://two.example/a\n"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].uris, ["https://one.example/a", "https://two.example/a"]);
    }

    #[test]
    fn no_name_of_a_server_becomes_a_directory_elsewhere_or_takes_the_chat() {
        for name in ["../x", ".hidden", "chat", ""] {
            let found = offered(&format!("#EXT-X-STREAM-INF:BANDWIDTH=96000,NAME=\"{name}\"\na\n"));
            assert_eq!(names(&found), [("96k", true)], "{name}");
        }
    }

    #[test]
    fn where_sound_lies_apart_no_variant_has_its_name() {
        let sound = |uri: &str| format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\"{uri}\n");
        let variant = "#EXT-X-STREAM-INF:BANDWIDTH=96000,NAME=\"audio\",AUDIO=\"a\"\nv\n";
        assert_eq!(names(&offered(&(sound(",URI=\"s\"") + variant))), [("96k", true)]);
        assert_eq!(names(&offered(&(sound("") + variant))), [("audio", true)]);
    }
}
