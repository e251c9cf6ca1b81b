//! Reads file names of an hour directory.
//!
//! Every name is one of: a segment or chat batch, a tombstone, temporary, *odd* (listed but not understood), or none of ours.

use super::BadName;
use super::container::{Container, FileEnding};
use super::segment::{Hash, SegmentKey, SegmentKind, Spelling};
use super::time::digits;

/// Bytes of a file name, at most.
const NAME_BYTES: usize = 255;

/// What a name in an hour directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileName {
    /// The grammar understands it. Where the spelling is [`Spelling::EXACT`] the name has to be kept beside the key.
    Understood(SegmentKey),
    /// Listed by the tools of this field but not understood: it ends as a segment does and is named otherwise, a `.json` that is no chat
    /// batch, a tombstone of such.
    Odd(BadName),
    /// A segment that is still being written, or its tombstone: never listed, counted or replicated.
    Temporary,
    /// Hidden, with an extension that is none of ours, or [too long to hide](is_too_long_to_hide).
    Foreign,
}

/// Reads a file name.
pub fn parse_file_name(name: &str) -> FileName {
    if name.starts_with('.') || name.len() > NAME_BYTES || name.contains(['/', '\0']) {
        return FileName::Foreign;
    }
    let Some(ending) = FileEnding::of(name) else { return FileName::Foreign };
    let stem = stem(name);
    let parsed = match ending {
        FileEnding::Segment(_) => video(stem),
        FileEnding::Chat if is_temporary(stem) => Stem::Temporary,
        FileEnding::Chat => chat(stem),
        FileEnding::Tombstone => match video(stem) {
            Stem::Bad(why) => match chat(stem) {
                Stem::Bad(_) => Stem::Bad(why),
                other => other,
            },
            other => other,
        },
    };
    match parsed {
        Stem::Good(_) if is_too_long_to_hide(name) => FileName::Foreign,
        Stem::Good(mut key) => {
            match ending {
                FileEnding::Segment(container) => key.container = container,
                FileEnding::Chat => {}
                FileEnding::Tombstone => key.tombstone = true,
            }
            FileName::Understood(key)
        }
        Stem::Temporary => FileName::Temporary,
        Stem::Bad(why) => FileName::Odd(why),
    }
}

fn is_temporary(stem: &str) -> bool {
    matches!(video(stem), Stem::Temporary)
}

/// Microseconds after the start of the hour, by the time that a name begins with, whatever follows.
pub fn leading_time_us(name: &str) -> Option<u32> {
    parse_time(name.split_once('-')?.0.as_bytes()).map(|(us, _)| us)
}

/// The stem of a file name: all before the last dot. Identity, and what a tombstone hides, is the stem.
pub fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Whether it is the name of a tombstone.
pub fn is_tombstone(name: &str) -> bool {
    FileEnding::of(name) == Some(FileEnding::Tombstone)
}

/// The name of the tombstone that hides a file.
pub fn tombstone_of(name: &str) -> String {
    format!("{}{}", stem(name), FileEnding::Tombstone.suffix())
}

/// Whether a tombstone beside it would hide a file of this name.
pub fn may_be_hidden(name: &str) -> bool {
    FileEnding::of(name).is_some_and(|ending| ending != FileEnding::Tombstone)
}

/// Whether no tombstone can lie beside a file: its name would have more bytes than a file system takes. What nobody could ever hide is
/// none of ours, or hidden content could be brought back under such a name. No recorder writes one: the longest of theirs has 90 bytes.
pub fn is_too_long_to_hide(name: &str) -> bool {
    stem(name).len() + FileEnding::Tombstone.suffix().len() > NAME_BYTES
}

enum Stem {
    Good(SegmentKey),
    Temporary,
    Bad(BadName),
}

fn video(stem: &str) -> Stem {
    let mut parts = stem.splitn(4, '-');
    let (Some(time), Some(duration), Some(kind), Some(hash)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Stem::Bad(BadName::Parts);
    };
    let Some((start_us, time_digits)) = parse_time(time.as_bytes()) else { return Stem::Bad(BadName::Time) };
    let Some((duration_us, duration_digits)) = parse_duration(duration.as_bytes()) else {
        return Stem::Bad(BadName::Duration);
    };
    let kind = match kind {
        "full" => SegmentKind::Full,
        "suspect" => SegmentKind::Suspect,
        "partial" => SegmentKind::Partial,
        "temp" => return Stem::Temporary,
        _ => return Stem::Bad(BadName::Type),
    };
    let Some(hash) = Hash::parse(hash.as_bytes()) else { return Stem::Bad(BadName::Hash) };
    let spelling = duration_digits.and_then(|digits| Spelling::new(time_digits, digits)).unwrap_or(Spelling::EXACT);
    let container = Container::default();
    Stem::Good(SegmentKey { start_us, kind, tombstone: false, container, duration_us, spelling, hash })
}

fn chat(stem: &str) -> Stem {
    let Some((time, hash)) = stem.split_once('-') else { return Stem::Bad(BadName::Parts) };
    let Some((start_us, time_digits)) = parse_time(time.as_bytes()) else { return Stem::Bad(BadName::Time) };
    let Some(hash) = Hash::parse(hash.as_bytes()) else { return Stem::Bad(BadName::Hash) };
    let spelling = Spelling::new(time_digits, 0).unwrap_or(Spelling::EXACT);
    let (kind, container) = (SegmentKind::Chat, Container::default());
    Stem::Good(SegmentKey { start_us, kind, tombstone: false, container, duration_us: 0, spelling, hash })
}

/// `MM:SS` and optionally a dot and 1 to 6 digits → microseconds and the number of those digits.
fn parse_time(text: &[u8]) -> Option<(u32, u8)> {
    if text.len() < 5 || text[2] != b':' {
        return None;
    }
    let (minutes, seconds) = (digits(&text[..2])?, digits(&text[3..5])?);
    if minutes >= 60 || seconds >= 60 {
        return None;
    }
    let (fraction_us, count) = match &text[5..] {
        [] => (0, 0),
        [b'.', fraction @ ..] if fraction.len() <= 6 => {
            let count = u8::try_from(fraction.len()).ok()?;
            (digits(fraction)? * 10_u32.pow(6 - u32::from(count)), count)
        }
        _ => return None,
    };
    Some(((minutes * 60 + seconds) * 1_000_000 + fraction_us, count))
}

/// Decimal seconds → microseconds, rounded half to even, and the number of fraction digits if writing that many gives the
/// text back.
fn parse_duration(text: &[u8]) -> Option<(u32, Option<u8>)> {
    const LIMIT_US: u64 = 3_600_000_000;
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], Some(&text[dot + 1..])),
        None => (text, None),
    };
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    if !all_digits(whole) || !fraction.is_none_or(all_digits) {
        return None;
    }
    let whole_digits =
        whole.iter().position(|byte| *byte != b'0').map_or(&whole[whole.len()..], |first| &whole[first..]);
    let seconds = if whole_digits.is_empty() { 0 } else { u64::from(digits(whole_digits)?) };
    let fraction = fraction.unwrap_or_default();
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    let mut us = seconds.checked_mul(1_000_000)?;
    if !kept.is_empty() {
        us += u64::from(digits(kept)?) * 10_u64.pow(6 - u32::try_from(kept.len()).ok()?);
    }
    let remainder_is_zero = rest.iter().all(|byte| *byte == b'0');
    if us > LIMIT_US || (us == LIMIT_US && !remainder_is_zero) {
        return None;
    }
    if let [first, others @ ..] = rest {
        let above_half = *first > b'5' || (*first == b'5' && others.iter().any(|byte| *byte != b'0'));
        if above_half || (*first == b'5' && us % 2 == 1) {
            us += 1;
        }
    }
    let leading_zero = whole.len() > 1 && whole[0] == b'0';
    let exact_digits = if leading_zero || fraction.len() > 6 { None } else { u8::try_from(fraction.len()).ok() };
    Some((u32::try_from(us).ok()?, exact_digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const H: &str = "7IS92rssMzoSBQDIevHStbTNy-URRV3Vw-jzZ6pwOZM";

    fn key(name: &str) -> SegmentKey {
        match parse_file_name(name) {
            FileName::Understood(key) => key,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn the_example_from_the_field_is_read_exactly() {
        let key = key(&format!("45:51.608000-2.0-full-{H}.ts"));
        assert_eq!(
            (key.start_us, key.duration_us, key.kind, key.tombstone),
            (2_751_608_000, 2_000_000, SegmentKind::Full, false)
        );
        assert_eq!(key.hash.to_string(), H);
        assert_eq!(SegmentFile { key, size: 0, exact: None }.name(), format!("45:51.608000-2.0-full-{H}.ts"));
    }

    use crate::archive::SegmentFile;

    #[test]
    fn durations_round_half_to_even_and_end_at_an_hour() {
        let us = |text: &str| parse_duration(text.as_bytes()).map(|(us, _)| us);
        assert_eq!(us("2.0000005"), Some(2_000_000));
        assert_eq!(us("2.0000015"), Some(2_000_002));
        assert_eq!(us("2.00000050000001"), Some(2_000_001));
        assert_eq!(us("2.0000004999"), Some(2_000_000));
        assert_eq!(us("0"), Some(0));
        assert_eq!(us("000"), Some(0));
        assert_eq!(us("3600.000000000"), Some(3_600_000_000));
        for bad in [
            "3600.0000001",
            "3601",
            "99999999999999999999",
            "-1",
            "+1",
            "1e3",
            "nan",
            "inf",
            "",
            ".",
            "1.",
            ".5",
            " 1",
            "1_0",
            "٢",
        ] {
            assert_eq!(us(bad), None, "{bad}");
        }
    }

    #[test]
    fn temporary_hidden_and_foreign_names_are_told_apart() {
        assert_eq!(parse_file_name("00:00-2.0-temp-whatever at all.ts"), FileName::Temporary);
        assert_eq!(parse_file_name("00:00-2.0-temp-x.tombstone"), FileName::Temporary);
        for foreign in ["notes.txt", ".hidden.ts", "ts", "", ".ts", "a/b.ts", "x.TS", "00:00-2.0-full"] {
            assert_eq!(parse_file_name(foreign), FileName::Foreign, "{foreign}");
        }
        for odd in ["garbage.ts", "12:00.000000-2.0-weird-x.ts", "x.json", "x.tombstone", "60:00-2.0-full-x.ts", "-.ts"]
        {
            assert!(matches!(parse_file_name(odd), FileName::Odd(_)), "{odd}");
        }
    }

    #[test]
    fn a_name_whose_tombstone_would_not_fit_is_none_of_ours() {
        let name = |stem: usize, extension: &str| {
            let zeros = "0".repeat(stem - "00:00-2.-full-".len() - H.len());
            format!("00:00-2.{zeros}-full-{H}.{extension}")
        };
        for extension in ["ts", "mp4", "tombstone"] {
            assert!(matches!(parse_file_name(&name(245, extension)), FileName::Understood(_)), "{extension}");
            assert_eq!(parse_file_name(&name(246, extension)), FileName::Foreign, "{extension}");
        }
        assert!(!is_too_long_to_hide(&name(245, "ts")) && is_too_long_to_hide(&name(246, "ts")));
    }

    #[test]
    fn a_hash_has_exactly_one_spelling() {
        // The last character carries two unused bits; only zeros are what an encoder writes.
        assert!(Hash::parse(b"7IS92rssMzoSBQDIevHStbTNy-URRV3Vw-jzZ6pwOZM").is_some());
        assert!(Hash::parse(b"7IS92rssMzoSBQDIevHStbTNy-URRV3Vw-jzZ6pwOZN").is_none());
        assert!(Hash::parse(b"7IS92rssMzoSBQDIevHStbTNy+URRV3Vw/jzZ6pwOZM").is_none());
    }

    fn plain_time() -> impl Strategy<Value = String> {
        (0..60_u32, 0..60_u32, prop::option::of("[0-9]{1,6}")).prop_map(|(minute, second, fraction)| match fraction {
            Some(fraction) => format!("{minute:02}:{second:02}.{fraction}"),
            None => format!("{minute:02}:{second:02}"),
        })
    }

    fn any_duration() -> impl Strategy<Value = String> {
        ("0{0,2}", 0..3600_u32, prop::option::of("[0-9]{1,9}")).prop_map(|(zeros, whole, fraction)| match fraction {
            Some(fraction) => format!("{zeros}{whole}.{fraction}"),
            None => format!("{zeros}{whole}"),
        })
    }

    proptest! {
        #[test]
        fn understood_names_come_back_to_the_byte_or_are_kept_exactly(
            time in plain_time(), duration in any_duration(), kind in "full|suspect|partial",
            hash in prop::array::uniform32(0_u8..), extension in "ts|mp4|tombstone",
        ) {
            let name = format!("{time}-{duration}-{kind}-{}.{extension}", Hash(hash));
            let read = key(&name);
            prop_assert_eq!(read.tombstone, extension == "tombstone");
            prop_assert_eq!(read.container == Container::Mp4, extension == "mp4");
            prop_assert_eq!(read.hash, Hash(hash));
            let spelled_plainly = !(duration.len() > 1 && duration.starts_with('0') && !duration.starts_with("0."))
                && duration.split_once('.').is_none_or(|(_, fraction)| fraction.len() <= 6);
            prop_assert_eq!(read.spelling != Spelling::EXACT, spelled_plainly);
            if spelled_plainly {
                prop_assert_eq!(SegmentFile { key: read, size: 0, exact: None }.name(), name);
            }
        }

        #[test]
        fn chat_names_come_back_to_the_byte(time in plain_time(), hash in prop::array::uniform32(0_u8..), tombstone: bool) {
            let extension = if tombstone { "tombstone" } else { "json" };
            let name = format!("{time}-{}.{extension}", Hash(hash));
            let read = key(&name);
            prop_assert_eq!((read.kind, read.tombstone), (SegmentKind::Chat, tombstone));
            prop_assert_eq!(SegmentFile { key: read, size: 0, exact: None }.name(), name);
        }

        #[test]
        fn different_names_are_different_keys(names in prop::collection::btree_set(
            (plain_time(), any_duration()).prop_map(|(time, duration)| format!("{time}-{duration}-full-{H}.ts")), 2..20)) {
            let keys: std::collections::HashSet<_> = names.iter().map(|name| key(name)).filter(|key| key.spelling != Spelling::EXACT).collect();
            let plain = names.iter().filter(|name| key(name).spelling != Spelling::EXACT).count();
            prop_assert_eq!(keys.len(), plain);
            for key in keys.iter().map(|key| SegmentKey { container: Container::Mp4, ..*key }) {
                prop_assert!(!keys.contains(&key), "the same in another container is another file");
                prop_assert_eq!(key.as_tombstone().hideable().count(), Container::ALL.len());
            }
        }

        #[test]
        fn any_text_is_sorted_into_one_of_the_four(name in "\\PC{0,80}") {
            let _class = parse_file_name(&name);
        }

        #[test]
        fn nearly_right_names_never_panic(name in "[0-9:.-]{0,20}(full|temp|-)[-A-Za-z0-9_]{0,44}\\.(ts|mp4|json|tombstone)") {
            if let FileName::Understood(key) = parse_file_name(&name)
                && key.spelling != Spelling::EXACT {
                prop_assert_eq!(SegmentFile { key, size: 0, exact: None }.name(), name);
            }
        }
    }
}
