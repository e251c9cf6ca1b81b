//! A master playlist (RFC 8216, 4.3.4): which qualities there are, how many bits a second each takes, and what they hold.
//!
//! Where a quality has pictures and no sound, and sound was recorded apart from it (`audio`, `audio-…`), that sound is no quality to choose but a
//! rendition that is heard with it (`EXT-X-MEDIA`, 4.3.4.1). Both lists are then told that they are played together (`apart`).

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::archive::escape::steers;
use crate::archive::ids::{Channel, Quality};
use crate::archive::time::{SECOND_US, Timestamp};
use crate::media::Facts;

/// Segments of one run that is looked at for the peak. A run lasts one and a half target durations; shorter segments than a
/// thousandth of that are none.
const LONGEST_RUN: usize = 1_500;

/// Characters that stand as they are (RFC 3986, 2.3).
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRates {
    /// The highest of any run of segments that lasts from a half to one and a half target durations.
    pub peak: u64,
    /// Of all of them.
    pub average: u64,
}

impl BitRates {
    /// Of segments in the order of a list: bytes, and how long each lasts in microseconds. None of none.
    pub fn of(segments: &[(u64, u64)]) -> Option<Self> {
        let longest = segments.iter().map(|(_, us)| *us).max()?;
        let second = SECOND_US.unsigned_abs();
        // Whole seconds, as in the list itself.
        let target = longest.div_ceil(second).max(1) * second;
        let (bytes, us) = segments.iter().fold((0, 0), |all, each| add(all, *each));
        let average = bits_a_second(bytes, us);
        let starts = (0..segments.len()).map(|at| segments.get(at..).unwrap_or_default());
        let peak = starts.filter_map(|rest| peak_of_runs(rest, target)).max();
        // One run that is too short for the rule is still all there is.
        Some(Self { peak: peak.unwrap_or(average).max(1), average: average.max(1) })
    }
}

/// The highest rate of a run that begins with the first of these.
fn peak_of_runs(segments: &[(u64, u64)], target: u64) -> Option<u64> {
    let mut sum = (0, 0);
    let sums = segments.iter().take(LONGEST_RUN).map(|each| {
        sum = add(sum, *each);
        sum
    });
    let within = sums.take_while(|(_, us)| us.saturating_mul(2) <= target.saturating_mul(3));
    within.filter(|(_, us)| us.saturating_mul(2) >= target).map(|(bytes, us)| bits_a_second(bytes, us)).max()
}

fn add(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0.saturating_add(other.0), one.1.saturating_add(other.1))
}

/// Rounded up; of no time at all, as if it were a second.
fn bits_a_second(bytes: u64, us: u64) -> u64 {
    let (bits, second) = (u128::from(bytes) * 8, u128::from(SECOND_US.unsigned_abs()));
    let us = if us == 0 { second } else { u128::from(us) };
    u64::try_from((bits * second).div_ceil(us)).unwrap_or(u64::MAX)
}

/// What samples of a quality say of all of it: every codec that one of them has, the largest picture, the highest rate; and nothing of
/// the kind where one of them does not say.
pub fn together<'f>(samples: impl IntoIterator<Item = &'f Facts>) -> Facts {
    let samples: Vec<&Facts> = samples.into_iter().collect();
    let mut codecs: Vec<&str> = Vec::new();
    let told = samples.iter().filter_map(|facts| facts.codecs.as_deref());
    for codec in told.flat_map(|all| all.split(',')) {
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    let all_told = !samples.is_empty() && samples.iter().all(|facts| facts.codecs.is_some());
    Facts {
        codecs: all_told.then(|| codecs.join(",")),
        size: samples
            .iter()
            .filter_map(|facts| facts.size)
            .max_by_key(|(width, height)| u64::from(*width) * u64::from(*height)),
        rate_millis: samples.iter().filter_map(|facts| facts.rate_millis).max(),
        independent: !samples.is_empty() && samples.iter().all(|facts| facts.independent),
    }
}

/// The group of sound that lies apart.
const SOUND_GROUP: &str = "audio";

/// A quality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub quality: Quality,
    /// How much it takes.
    pub rates: BitRates,
    /// What its segments say of themselves.
    pub facts: Facts,
}

/// What is handed on to the media playlists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MasterRange {
    /// From when on.
    pub start: Option<Timestamp>,
    /// Until when.
    pub end: Option<Timestamp>,
    /// Whether holes are told as entries.
    pub gaps: bool,
    /// Whether pictures and sound are played together from two lists.
    pub apart: bool,
    /// Whether segments that only other nodes have are told by their addresses.
    pub peers: bool,
}

impl MasterRange {
    /// As a query, with its question mark; empty if there is nothing to hand on.
    pub fn query(&self) -> String {
        let time = |name, time: Option<Timestamp>| time.map(|time| format!("{name}={time}"));
        let flag = |name, is_set: bool| is_set.then(|| format!("{name}=true"));
        let all = [
            time("start", self.start),
            time("end", self.end),
            flag("gaps", self.gaps),
            flag("apart", self.apart),
            flag("peers", self.peers),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    }
}

/// The text of a master playlist, the most bits first.
pub fn render(channel: &Channel, mut variants: Vec<Variant>, range: &MasterRange) -> String {
    variants.sort_by(|a, b| b.rates.peak.cmp(&a.rates.peak).then_with(|| a.quality.cmp(&b.quality)));
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:4\n");
    if !variants.is_empty() && variants.iter().all(|variant| variant.facts.independent) {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let is_heard_with = variants.iter().any(|variant| is_silent(&variant.facts));
    let (mut sounds, variants): (Vec<_>, Vec<_>) = variants
        .into_iter()
        .partition(|variant| is_heard_with && variant.quality.is_called_sound() && !has_pictures(&variant.facts));
    sounds.sort_by(|a, b| a.quality.cmp(&b.quality));
    let apart = MasterRange { apart: true, ..*range };
    for (at, sound) in sounds.iter().enumerate() {
        push_sound(&mut text, sound, at == 0, &address(channel, &sound.quality, &apart));
    }
    for variant in variants {
        let quality = variant.quality.clone();
        if sounds.is_empty() || !is_silent(&variant.facts) {
            push_variant(&mut text, &variant, &address(channel, &quality, range), None);
        } else {
            let whole = heard_with(variant, &sounds);
            push_variant(&mut text, &whole, &address(channel, &quality, &apart), Some(SOUND_GROUP));
        }
    }
    text
}

/// What a quality takes and holds together with sound that lies apart.
fn heard_with(mut variant: Variant, sounds: &[Variant]) -> Variant {
    let most = |of: fn(BitRates) -> u64| sounds.iter().map(|sound| of(sound.rates)).max().unwrap_or_default();
    variant.rates.peak = variant.rates.peak.saturating_add(most(|rates| rates.peak));
    variant.rates.average = variant.rates.average.saturating_add(most(|rates| rates.average));
    variant.facts.codecs =
        together(std::iter::once(&variant.facts).chain(sounds.iter().map(|sound| &sound.facts))).codecs;
    variant
}

fn push_sound(text: &mut String, sound: &Variant, is_default: bool, address: &str) {
    let name = shown(&sound.quality);
    // A write to a String cannot fail.
    write!(text, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{SOUND_GROUP}\",NAME=\"{name}\"").unwrap_or_default();
    let language = sound.quality.language();
    if let Some(language) = language {
        write!(text, ",LANGUAGE=\"{language}\"").unwrap_or_default();
    }
    let yes = |is_so: bool| if is_so { "YES" } else { "NO" };
    // Players choose by language among those that may be chosen so.
    let (is_default, is_chosen) = (yes(is_default), yes(is_default || language.is_some()));
    writeln!(text, ",DEFAULT={is_default},AUTOSELECT={is_chosen},URI=\"{address}\"").unwrap_or_default();
}

fn push_variant(text: &mut String, variant: &Variant, address: &str, sound: Option<&str>) {
    let (id, name) = (group_id(&variant.quality), shown(&variant.quality));
    let has_pictures = has_pictures(&variant.facts);
    if has_pictures {
        writeln!(text, "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"{id}\",NAME=\"{name}\",AUTOSELECT=YES,DEFAULT=YES")
            .unwrap_or_default();
    }
    let BitRates { peak, average } = variant.rates;
    write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}").unwrap_or_default();
    let facts = &variant.facts;
    if let Some(codecs) = &facts.codecs {
        write!(text, ",CODECS=\"{codecs}\"").unwrap_or_default();
    }
    if let Some((width, height)) = facts.size {
        write!(text, ",RESOLUTION={width}x{height}").unwrap_or_default();
    }
    if let Some(millis) = facts.rate_millis {
        write!(text, ",FRAME-RATE={}.{:03}", millis / 1_000, millis % 1_000).unwrap_or_default();
    }
    if has_pictures {
        write!(text, ",VIDEO=\"{id}\"").unwrap_or_default();
    }
    if let Some(group) = sound {
        write!(text, ",AUDIO=\"{group}\"").unwrap_or_default();
    }
    // No attribute of the standard, but where players of this field look for a name; others pass over it (RFC 8216, 6.3.1).
    writeln!(text, ",NAME=\"{name}\"\n{address}").unwrap_or_default();
}

fn address(channel: &Channel, quality: &Quality, range: &MasterRange) -> String {
    let encoded = |part: &str| utf8_percent_encode(part, KEPT).to_string();
    format!("/playlist/{}/{}.m3u8{}", encoded(channel.as_str()), encoded(quality.as_str()), range.query())
}

/// Codecs of sound, as they begin.
const SOUND: [&str; 5] = ["mp4a.", "ac-3", "ec-3", "opus", "flac"];

fn is_sound(codec: &str) -> bool {
    SOUND.iter().any(|sound| codec.starts_with(sound))
}

/// Whether it is certain that there are pictures and no sound.
pub fn is_silent(facts: &Facts) -> bool {
    has_pictures(facts) && facts.codecs.as_deref().is_some_and(|codecs| !codecs.split(',').any(is_sound))
}

/// Whether there may be pictures: a group of renditions of video is for these (RFC 8216, 4.3.4.2). What is not known may have some.
fn has_pictures(facts: &Facts) -> bool {
    facts.size.is_some() || facts.codecs.as_deref().is_none_or(|codecs| !codecs.split(',').all(is_sound))
}

/// A quoted string holds neither quotes nor line ends (RFC 8216, 4.2). Different names stay different.
fn group_id(quality: &Quality) -> String {
    let is_plain = |letter: &char| !letter.is_control() && *letter != '"' && *letter != '%';
    let mut id = String::new();
    for letter in quality.as_str().chars() {
        if is_plain(&letter) {
            id.push(letter);
        } else {
            id.extend(utf8_percent_encode(letter.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC));
        }
    }
    id
}

/// For people.
fn shown(quality: &Quality) -> String {
    let letter = |letter: char| match letter {
        '"' => '\'',
        letter if steers(letter) => ' ',
        letter => letter,
    };
    quality.as_str().chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn facts(codecs: Option<&str>, size: (u32, u32), independent: bool) -> Facts {
        Facts { codecs: codecs.map(str::to_owned), size: Some(size), rate_millis: Some(29_970), independent }
    }

    fn variant(quality: &str, peak: u64, facts: Facts) -> Variant {
        Variant { quality: Quality::new(quality).unwrap(), rates: BitRates { peak, average: peak / 2 }, facts }
    }

    #[test]
    fn the_peak_is_that_of_runs_of_about_a_target_duration() {
        // The target is 6 s: a second's peak counts only with what is around it, up to 9 s.
        let segments = [(600, 6 * SECOND), (1_000, SECOND), (100, SECOND), (500, 2 * SECOND), (600, 6 * SECOND)];
        // 1,000 + 100 + 500 bytes in 4 s.
        assert_eq!(BitRates::of(&segments), Some(BitRates { peak: 3_200, average: 1_400 }));
        assert_eq!(BitRates::of(&[]), None);
        assert_eq!(BitRates::of(&[(5, 0)]), Some(BitRates { peak: 40, average: 40 }));
        assert_eq!(BitRates::of(&[(0, SECOND)]), Some(BitRates { peak: 1, average: 1 }));
        // Shorter than half a target duration, and yet all there is.
        assert_eq!(BitRates::of(&[(10, SECOND / 10)]), Some(BitRates { peak: 800, average: 800 }));
    }

    #[test]
    fn a_master_playlist_says_what_was_measured_with_the_most_bits_first() {
        let channel = Channel::new("a b&c").unwrap();
        let low = variant("480p", 1_000_000, facts(Some("avc1.4d401f,mp4a.40.2"), (852, 480), true));
        let high = variant("so\"u\nrce%", 6_000_001, Facts { independent: true, ..Facts::default() });
        let start = Timestamp::parse("2019-11-13T02:00:00Z");
        let range = MasterRange { start, gaps: true, ..MasterRange::default() };
        assert_eq!(
            render(&channel, vec![low.clone(), high], &range),
            "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"so%22u%0Arce%25\",NAME=\"so'u rce%\",AUTOSELECT=YES,DEFAULT=YES\n\
             #EXT-X-STREAM-INF:BANDWIDTH=6000001,AVERAGE-BANDWIDTH=3000000,VIDEO=\"so%22u%0Arce%25\",NAME=\"so'u rce%\"\n\
             /playlist/a%20b%26c/so%22u%0Arce%25.m3u8?start=2019-11-13T02:00:00.000000Z&gaps=true\n\
             #EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"480p\",NAME=\"480p\",AUTOSELECT=YES,DEFAULT=YES\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1000000,AVERAGE-BANDWIDTH=500000,CODECS=\"avc1.4d401f,mp4a.40.2\",\
             RESOLUTION=852x480,FRAME-RATE=29.970,VIDEO=\"480p\",NAME=\"480p\"\n\
             /playlist/a%20b%26c/480p.m3u8?start=2019-11-13T02:00:00.000000Z&gaps=true\n"
        );
        let alone = variant("x", 1, facts(None, (2, 2), false));
        assert!(!render(&channel, vec![low, alone], &MasterRange::default()).contains("INDEPENDENT"));
        assert_eq!(render(&channel, Vec::new(), &MasterRange::default()), "#EXTM3U\n#EXT-X-VERSION:4\n");
    }

    #[test]
    fn a_quality_of_sound_alone_is_in_no_group_of_video() {
        let channel = Channel::new("c").unwrap();
        let of = |codecs: Option<&str>| Facts { codecs: codecs.map(str::to_owned), ..Facts::default() };
        let told = |facts| render(&channel, vec![variant("audio_only", 8, facts)], &MasterRange::default());
        let sound = told(of(Some("mp4a.40.2")));
        assert!(!sound.contains("VIDEO") && sound.contains(",CODECS=\"mp4a.40.2\",NAME=\"audio_only\"\n"), "{sound}");
        for pictures in [of(None), of(Some("avc1.4d401f,mp4a.40.2")), facts(Some("mp4a.40.2"), (2, 2), true)] {
            let list = told(pictures);
            assert!(
                list.contains("TYPE=VIDEO") && list.contains(",VIDEO=\"audio_only\",NAME=\"audio_only\""),
                "{list}"
            );
        }
    }

    #[test]
    fn sound_that_lies_apart_is_heard_with_pictures_that_have_none() {
        let channel = Channel::new("c").unwrap();
        let silent = variant("source", 900, facts(Some("avc1.64001f"), (2, 2), true));
        let whole = variant("480p", 500, facts(Some("avc1.64001f,mp4a.40.2"), (2, 2), true));
        let of_sound = |name: &str, peak| {
            variant(name, peak, Facts { codecs: Some("mp4a.40.2".to_owned()), independent: true, ..Facts::default() })
        };
        let told = |variants: &[&Variant]| {
            render(&channel, variants.iter().map(|one| (*one).clone()).collect(), &MasterRange::default())
        };
        let (sound, german) = (of_sound("audio", 90), of_sound("audio-de", 100));
        let comments = of_sound("audio-comments", 8);
        let (picture, pictures) = (
            "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"source\",NAME=\"source\",AUTOSELECT=YES,DEFAULT=YES\n",
            ",RESOLUTION=2x2,FRAME-RATE=29.970",
        );
        assert_eq!(
            told(&[&german, &silent, &sound, &comments]),
            format!(
                "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,URI=\"/playlist/c/audio.m3u8?apart=true\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio-comments\",DEFAULT=NO,AUTOSELECT=NO,URI=\"/playlist/c/audio-comments.m3u8?apart=true\"\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio-de\",LANGUAGE=\"de\",DEFAULT=NO,AUTOSELECT=YES,URI=\"/playlist/c/audio-de.m3u8?apart=true\"\n\
             {picture}#EXT-X-STREAM-INF:BANDWIDTH=1000,AVERAGE-BANDWIDTH=500,CODECS=\"avc1.64001f,mp4a.40.2\"{pictures},VIDEO=\"source\",AUDIO=\"audio\",NAME=\"source\"\n\
             /playlist/c/source.m3u8?apart=true\n"
            )
        );
        // Where all pictures have sound, or nobody knows, it is a quality like others.
        let unknown = variant("x", 9, facts(None, (2, 2), true));
        for list in [told(&[&whole, &sound]), told(&[&unknown, &sound])] {
            assert!(!list.contains("AUDIO") && list.contains("\n/playlist/c/audio.m3u8\n"), "{list}");
        }
        let both = told(&[&whole, &silent, &sound, &of_sound("audio_only", 8)]);
        assert_eq!(both.matches("AUDIO=\"audio\"").count(), 1, "{both}");
        assert!(
            both.contains("\n/playlist/c/480p.m3u8\n") && both.contains("\n/playlist/c/audio_only.m3u8\n"),
            "{both}"
        );
    }

    #[test]
    fn samples_speak_for_all_only_together() {
        let (a, b) = (
            facts(Some("avc1.4d401f,mp4a.40.2"), (852, 480), true),
            facts(Some("avc1.64001f,mp4a.40.2"), (640, 360), true),
        );
        let both = together([&a, &b]);
        assert_eq!(both, facts(Some("avc1.4d401f,mp4a.40.2,avc1.64001f"), (852, 480), true));
        let unknown = facts(None, (1, 1), false);
        assert_eq!(together([&a, &unknown]), facts(None, (852, 480), false));
        assert_eq!(together([]), Facts::default());
    }

    proptest! {
        #[test]
        fn the_peak_is_what_the_words_of_the_standard_say(
            segments in prop::collection::vec((0..10_000_u64, prop::sample::select(vec![0_u64, 500_000, 2_000_000, 2_002_000, 5_500_000])), 1..12)
        ) {
            let longest = segments.iter().map(|each| each.1).max().unwrap();
            let target = longest.div_ceil(SECOND).max(1) * SECOND;
            let mut highest: Option<u64> = None;
            for from in 0..segments.len() {
                for to in from + 1..=segments.len() {
                    let (bytes, us) = segments[from..to].iter().fold((0, 0), |all, each| (all.0 + each.0, all.1 + each.1));
                    if 2 * us >= target && 2 * us <= 3 * target {
                        highest = highest.max(Some((bytes * 8 * SECOND).div_ceil(us)));
                    }
                }
            }
            let rates = BitRates::of(&segments).unwrap();
            prop_assert_eq!(rates.peak, highest.unwrap_or(rates.average).max(1));
        }

        #[test]
        fn no_name_leaves_its_quotes_or_its_line(name in "[^/\0.][^/\0]{0,20}") {
            let channel = Channel::new("c").unwrap();
            let text = render(&channel, vec![variant(&name, 8, Facts::default())], &MasterRange::default());
            prop_assert_eq!(text.lines().count(), 5);
            prop_assert!(text.lines().all(|line| line.matches('"').count() % 2 == 0 && !line.contains('\r')));
            prop_assert!(text.is_ascii() || !name.is_ascii());
        }
    }
}
