//! Which renditions of sound a master playlist has in playlists of their own (`EXT-X-MEDIA` with `URI`), and which quality of the archive each is: pure.
//!
//! 1. The default one of a group, and the only one, is `audio`; others are `audio-` and their language, or their name where one language is there
//!    twice. So names follow from what the source says of each, whatever the order.
//! 2. Variants that share a group have one sound. Where several groups offer a rendition of one name, that of the best variant counts.
//! 3. Spare addresses of a variant may have groups of their own: those are spare addresses of the sound.
//! 4. Sound within a variant's own segments, and sound that *is* the variant, is nothing that lies apart.

use xxhash_rust::xxh3::xxh3_64;

use super::playlist::{MasterList, Rendition};
use super::variants::OfferedQuality;
use crate::archive::Quality;
use crate::archive::ids::SOUND;

/// Characters of a language or a name that are kept: with four bytes each they fit into a name of a directory.
const LONGEST: usize = 40;

/// A rendition of sound that lies apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedSound {
    /// As it is called in the archive.
    pub quality: Quality,
    /// As the source calls it.
    pub name: String,
    pub language: Option<String>,
    /// Its addresses; never empty.
    pub uris: Vec<String>,
}

/// The sound that lies apart of these qualities, which are best first.
pub fn separate_sounds<'o>(
    master: &MasterList,
    qualities: impl IntoIterator<Item = &'o OfferedQuality>,
) -> Vec<OfferedSound> {
    let mut sounds: Vec<OfferedSound> = Vec::new();
    for quality in qualities {
        // Those of a better quality are not spare ones of this one.
        let better = sounds.len();
        for group in &quality.sound_groups {
            let of_group: Vec<&Rendition> =
                master.renditions.iter().filter(|one| one.kind == "AUDIO" && one.group == *group).collect();
            for one in &of_group {
                let Some(uri) = one.uri.as_ref().filter(|uri| !quality.uris.contains(uri)) else { continue };
                let Ok(called) = Quality::new(&name(one, &of_group)) else { continue };
                match sounds.iter_mut().enumerate().find(|(_, known)| known.quality == called) {
                    Some((at, known)) if at >= better && !known.uris.contains(uri) => known.uris.push(uri.clone()),
                    Some(_) => {}
                    None => sounds.push(OfferedSound {
                        quality: called,
                        name: one.name.clone(),
                        language: one.language.clone(),
                        uris: vec![uri.clone()],
                    }),
                }
            }
        }
    }
    sounds
}

fn name(one: &Rendition, of_group: &[&Rendition]) -> String {
    let defaults = of_group.iter().filter(|other| other.is_default).count();
    if of_group.len() == 1 || one.is_default && defaults == 1 {
        return SOUND.to_owned();
    }
    let short = differs(one, of_group);
    let is_shared = of_group.iter().any(|other| other.name != one.name && differs(other, of_group) == short);
    if short.is_empty() || is_shared {
        let digits = xxh3_64(one.name.as_bytes()) & 0xffff;
        let short = if short.is_empty() { short } else { format!("-{short}") };
        return format!("{SOUND}{short}-{digits:04x}");
    }
    format!("{SOUND}-{short}")
}

/// By what it differs from others of its group, in letters that any directory can be called by.
fn differs(one: &Rendition, of_group: &[&Rendition]) -> String {
    let is_alone =
        |language: &&String| of_group.iter().filter(|other| other.language.as_ref() == Some(*language)).count() == 1;
    let said = one.language.as_ref().filter(is_alone).unwrap_or(&one.name);
    let words = said.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let short = words.collect::<Vec<_>>().join("-").to_lowercase();
    short.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::super::playlist::{HlsPlaylist, PlaylistPlace, parse_playlist};
    use super::super::variants::offered_qualities;
    use super::*;

    /// Names and addresses of the sound of all variants, or of the one with this height.
    fn sounds(text: &str, height: Option<u32>) -> Vec<(String, Vec<String>)> {
        let Ok(HlsPlaylist::Master(master)) =
            parse_playlist(format!("#EXTM3U\n{text}").as_bytes(), PlaylistPlace::default())
        else {
            panic!()
        };
        let offered = offered_qualities(&master);
        let is_it = |one: &&OfferedQuality| height.is_none() || one.variant.resolution.map(|size| size.1) == height;
        let sounds = separate_sounds(&master, offered.iter().filter(is_it));
        sounds.into_iter().map(|sound| (sound.quality.to_string(), sound.uris)).collect()
    }

    fn media(group: &str, name: &str, besides: &str) -> String {
        format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"{name}\"{besides}\n")
    }

    fn variant(height: u32, bits: u32, group: &str) -> String {
        format!("#EXT-X-STREAM-INF:BANDWIDTH={bits},RESOLUTION=16x{height},AUDIO=\"{group}\"\nv{height}-{group}\n")
    }

    fn names(text: &str) -> Vec<String> {
        sounds(text, None).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_default_one_and_the_only_one_are_called_audio_and_others_by_what_they_are() {
        let variant = variant(1, 1, "a");
        let one = |besides: &str| names(&(media("a", "English", besides) + &variant));
        assert_eq!(one(",URI=\"s\",LANGUAGE=\"eng\""), ["audio"]);
        assert_eq!(one(""), [""; 0], "it is in the variant's own segments");
        let mut several = [
            media("a", "English", ",LANGUAGE=\"en\",DEFAULT=YES,URI=\"1\""),
            media("a", "Deutsch", ",LANGUAGE=\"de-DE\",URI=\"2\""),
            media("a", "../English: Comments/", ",LANGUAGE=\"en\",URI=\"3\""),
            media("a", "日本語", ",URI=\"4\""),
            media("b", "other", ",URI=\"5\""),
        ];
        let mut expected = vec!["audio", "audio-de-de", "audio-english-comments", "audio-日本語"];
        assert_eq!(names(&(several.concat() + &variant)), expected);
        several.reverse();
        expected.reverse();
        assert_eq!(names(&(several.concat() + &variant)), expected, "whatever the order");
        // The default one may be the only one that does not lie apart.
        let muxed = media("a", "English", ",DEFAULT=YES") + &media("a", "Deutsch", ",LANGUAGE=\"de\",URI=\"2\"");
        assert_eq!(names(&(muxed + &variant)), ["audio-de"]);
    }

    #[test]
    fn different_names_stay_different_and_short() {
        let long = "x".repeat(300);
        let renditions: Vec<String> =
            ["A!", "a?", "…", &long].iter().map(|name| media("a", name, ",URI=\"s\"")).collect();
        let mut found = names(&(renditions.concat() + &variant(1, 1, "a")));
        assert!(found.iter().all(|name| name.starts_with("audio-") && name.len() < 60), "{found:?}");
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 4, "{found:?}");
        let is_called_sound = |name: &str| Quality::new(name).unwrap().is_called_sound();
        assert!(is_called_sound("audio") && is_called_sound(&found[0]));
        assert!(!is_called_sound("audio_only") && !is_called_sound("source"));
    }

    #[test]
    fn a_group_that_variants_share_is_there_once_and_of_several_groups_that_of_the_best_variant_counts() {
        let groups = media("high", "x", ",URI=\"h\"") + &media("low", "x", ",URI=\"l\"");
        let shared = groups.clone() + &variant(9, 9, "high") + &variant(5, 5, "high");
        assert_eq!(sounds(&shared, None), [("audio".to_owned(), vec!["h".to_owned()])]);
        let several = groups.clone() + &variant(5, 5, "low") + &variant(9, 9, "high");
        assert_eq!(sounds(&several, None), [("audio".to_owned(), vec!["h".to_owned()])]);
        assert_eq!(sounds(&several, Some(5)), [("audio".to_owned(), vec!["l".to_owned()])]);
        let spare = groups + &variant(9, 9, "high") + &variant(9, 9, "low");
        assert_eq!(sounds(&spare, None), [("audio".to_owned(), vec!["h".to_owned(), "l".to_owned()])]);
    }

    #[test]
    fn a_variant_that_is_the_rendition_has_no_sound_beside_it() {
        let text = media("a", "x", ",URI=\"s\"") + "#EXT-X-STREAM-INF:BANDWIDTH=96000,AUDIO=\"a\"\ns\n";
        assert_eq!(names(&text), [""; 0]);
    }
}
