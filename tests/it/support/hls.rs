//! What the standard asks of playlists (RFC 8216, and where it says *bis*, draft-pantos-hls-rfc8216bis): read strictly, in code of its
//! own. Every complaint begins with the section that it goes by.

use std::collections::BTreeSet;

use chrono::DateTime;

/// A media playlist that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    pub version: u64,
    /// Seconds.
    pub target: u64,
    /// `EVENT` or `VOD`.
    pub list_type: Option<String>,
    /// Where players are to begin, as it is written.
    pub begin: Option<String>,
    pub entries: Vec<Entry>,
    pub has_ended: bool,
}

/// One of its segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub uri: String,
    /// Microseconds.
    pub duration_us: i64,
    /// Microseconds since 1970.
    pub time_us: Option<i64>,
    pub is_after_discontinuity: bool,
    /// A hole, and nothing to fetch.
    pub is_gap: bool,
}

/// How far a time may be from where the segment before it ended, without a discontinuity.
const TOLERANCE_US: i64 = 10_000;

const SEGMENT_TAGS: [&str; 4] = ["EXTINF", "EXT-X-DISCONTINUITY", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-GAP"];
const LIST_TAGS: [&str; 8] = [
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-START",
    "EXT-X-ENDLIST",
];

/// The list, or the first rule that it breaks.
pub fn read(text: &str) -> Result<Media, String> {
    let mut media =
        Media { version: 1, target: 0, list_type: None, begin: None, entries: Vec::new(), has_ended: false };
    let (mut seen, mut entry, mut has_length) = (BTreeSet::new(), Entry::default(), false);
    for line in lines(text)? {
        let Some((name, value)) = tag(line) else {
            ensure(has_length, "4.3.2.1", line, "an address without EXTINF before it")?;
            ensure(line.bytes().all(is_of_an_address), "4.1", line, "not the characters of an address")?;
            entry.uri = line.to_owned();
            media.entries.push(std::mem::take(&mut entry));
            has_length = false;
            continue;
        };
        ensure(!media.has_ended, "4.3.3.4", line, "after ENDLIST, which is to be the last line here")?;
        if LIST_TAGS.contains(&name) {
            ensure(seen.insert(name), "4.3.3", line, "twice")?;
            let is_end = name == "EXT-X-ENDLIST";
            ensure(is_end || media.entries.is_empty(), "4.3.3.2", line, "after the first segment")?;
            ensure(entry == Entry::default() && !has_length, "4.1", line, "between a segment's tags and its address")?;
            list_tag(&mut media, name, value).map_err(|error| format!("{error}: {line:?}"))?;
        } else if SEGMENT_TAGS.contains(&name) {
            let is_new = match name {
                "EXTINF" => !std::mem::replace(&mut has_length, true),
                "EXT-X-DISCONTINUITY" => !entry.is_after_discontinuity,
                "EXT-X-PROGRAM-DATE-TIME" => entry.time_us.is_none(),
                _ => !entry.is_gap,
            };
            ensure(is_new, "4.3.2", line, "twice for one segment")?;
            segment_tag(&mut entry, name, value).map_err(|error| format!("{error}: {line:?}"))?;
        } else {
            return Err(format!("4.1: not a tag of media playlists: {line:?}"));
        }
    }
    ensure(entry == Entry::default() && !has_length, "4.3.2", "", "tags of a segment that does not come")?;
    ensure(seen.contains("EXT-X-TARGETDURATION"), "4.3.3.1", "", "no target duration")?;
    whole(&media)?;
    Ok(media)
}

/// The list, which must keep the rules.
#[track_caller]
pub fn valid(text: &str) -> Media {
    read(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The addresses of a master playlist, or the first rule that it breaks.
pub fn read_master(text: &str) -> Result<Vec<String>, String> {
    let (mut groups, mut wanted, mut addresses) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let (mut names, mut defaults, mut is_announced) = (BTreeSet::new(), BTreeSet::new(), false);
    for line in lines(text)? {
        let Some((name, value)) = tag(line) else {
            ensure(is_announced, "4.3.4.2", line, "an address without STREAM-INF before it")?;
            ensure(line.bytes().all(is_of_an_address), "4.1", line, "not the characters of an address")?;
            addresses.push(line.to_owned());
            is_announced = false;
            continue;
        };
        ensure(!is_announced, "4.3.4.2", line, "STREAM-INF without its address after it")?;
        let is_bare = ["EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START"].contains(&name);
        if is_bare {
            continue;
        }
        let attributes = attributes(value.unwrap_or_default()).map_err(|error| format!("{error}: {line:?}"))?;
        let of = |wanted: &str| attributes.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let needs = |wanted: &str, section: &str| of(wanted).ok_or_else(|| format!("{section}: no {wanted}: {line:?}"));
        match name {
            "EXT-X-MEDIA" => {
                let group = (needs("TYPE", "4.3.4.1")?, needs("GROUP-ID", "4.3.4.1")?);
                ensure(names.insert((group, needs("NAME", "4.3.4.1")?)), "4.3.4.1.1", line, "a name given twice")?;
                let is_default = of("DEFAULT") == Some("YES");
                ensure(!is_default || defaults.insert(group), "4.3.4.1.1", line, "two defaults in one group")?;
                ensure(
                    !is_default || of("AUTOSELECT") != Some("NO"),
                    "4.3.4.1",
                    line,
                    "a default that is not selected",
                )?;
                groups.insert(group);
            }
            "EXT-X-STREAM-INF" => {
                let is_number = integer(needs("BANDWIDTH", "4.3.4.2")?).is_some_and(|bits| bits > 0);
                ensure(is_number, "4.3.4.2", line, "a bandwidth that is none")?;
                let size = of("RESOLUTION").map(|size| size.split('x').filter_map(integer).count());
                ensure(size.is_none_or(|numbers| numbers == 2), "4.2", line, "a picture size that is none")?;
                ensure(
                    of("FRAME-RATE").is_none_or(|rate| seconds(rate).is_some()),
                    "4.2",
                    line,
                    "a rate that is none",
                )?;
                let is_quoted = of("CODECS").is_none_or(|codecs| codecs.starts_with('"') && codecs.len() > 2);
                ensure(is_quoted, "4.3.4.2", line, "codecs without quotes")?;
                wanted.extend(["AUDIO", "VIDEO", "SUBTITLES"].into_iter().filter_map(|kind| Some((kind, of(kind)?))));
                is_announced = true;
            }
            _ => return Err(format!("4.1: not a tag of master playlists: {line:?}")),
        }
    }
    ensure(!is_announced, "4.3.4.2", "", "STREAM-INF without its address after it")?;
    ensure(wanted.is_subset(&groups), "4.3.4.2", &format!("{wanted:?}"), "a group that there is not")?;
    Ok(addresses)
}

/// One list at two times: the earlier one is the beginning of the later one, and one that has ended does not change (6.2.1).
pub fn is_continued(earlier: &str, later: &str) -> bool {
    later.starts_with(earlier) && (!earlier.contains("#EXT-X-ENDLIST") || earlier == later)
}

fn ensure(holds: bool, section: &str, line: &str, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{section}: {what}: {line:?}")) }
}

/// The lines that are neither blank nor comments.
fn lines(text: &str) -> Result<impl Iterator<Item = &str>, String> {
    ensure(text.starts_with("#EXTM3U\n"), "4.3.1.1", text.lines().next().unwrap_or_default(), "not EXTM3U first")?;
    ensure(text.ends_with('\n'), "4.1", "", "the last line has no end")?;
    let odd = text.chars().find(|letter| letter.is_control() && *letter != '\n' || *letter == '\u{feff}');
    ensure(odd.is_none(), "4.1", &format!("{odd:?}"), "a control character or byte order mark")?;
    let is_content = |line: &&str| !line.is_empty() && (!line.starts_with('#') || line.starts_with("#EXT"));
    Ok(text.lines().skip(1).filter(is_content))
}

fn tag(line: &str) -> Option<(&str, Option<&str>)> {
    let tag = line.strip_prefix('#')?;
    Some(tag.split_once(':').map_or((tag, None), |(name, value)| (name, Some(value))))
}

fn list_tag(media: &mut Media, name: &str, value: Option<&str>) -> Result<(), String> {
    let number = || value.and_then(integer).ok_or("4.2: no decimal integer");
    match name {
        "EXT-X-VERSION" => media.version = number()?,
        "EXT-X-TARGETDURATION" => media.target = number()?,
        "EXT-X-MEDIA-SEQUENCE" | "EXT-X-DISCONTINUITY-SEQUENCE" => drop(number()?),
        "EXT-X-PLAYLIST-TYPE" => {
            let known = value.filter(|value| ["EVENT", "VOD"].contains(value));
            media.list_type = Some(known.ok_or("4.3.3.5: neither EVENT nor VOD")?.to_owned());
        }
        "EXT-X-START" => {
            let attributes = attributes(value.unwrap_or_default())?;
            let offset = attributes.iter().find(|(name, _)| *name == "TIME-OFFSET").map(|(_, value)| *value);
            let offset = offset.filter(|offset| seconds(offset.trim_start_matches('-')).is_some());
            media.begin = Some(offset.ok_or("4.3.5.2: no TIME-OFFSET")?.to_owned());
            let precise = attributes.iter().find(|(name, _)| *name == "PRECISE").map_or("NO", |(_, value)| value);
            ensure(["YES", "NO"].contains(&precise), "4.3.5.2", precise, "PRECISE")?;
        }
        _ => {
            ensure(value.is_none(), "4.3", name, "takes no value")?;
            media.has_ended |= name == "EXT-X-ENDLIST";
        }
    }
    Ok(())
}

fn segment_tag(entry: &mut Entry, name: &str, value: Option<&str>) -> Result<(), String> {
    match (name, value) {
        ("EXTINF", Some(value)) => {
            let (length, _title) = value.split_once(',').ok_or("4.3.2.1: no comma")?;
            entry.duration_us = seconds(length).ok_or("4.3.2.1: no decimal number")?;
        }
        ("EXT-X-PROGRAM-DATE-TIME", Some(value)) => {
            let time = DateTime::parse_from_rfc3339(value).map_err(|error| format!("4.3.2.6: {error}"))?;
            entry.time_us = Some(time.timestamp_micros());
        }
        ("EXT-X-DISCONTINUITY", None) => entry.is_after_discontinuity = true,
        ("EXT-X-GAP", None) => entry.is_gap = true,
        _ => return Err("4.3: a value is missing, or there is one too many".to_owned()),
    }
    Ok(())
}

/// What can be said only of all of it.
fn whole(media: &Media) -> Result<(), String> {
    for entry in &media.entries {
        let rounded = (entry.duration_us + 500_000) / 1_000_000;
        let target = i64::try_from(media.target).unwrap();
        ensure(rounded <= target, "4.3.3.1", &entry.uri, "longer than the target duration")?;
        ensure(entry.time_us.is_some(), "4.3.2.6", &entry.uri, "no time, which every segment has here")?;
    }
    let has_gaps = media.entries.iter().any(|entry| entry.is_gap);
    let least = if has_gaps { 8 } else { 3 };
    ensure(media.version >= least, "7 (bis 8)", &media.version.to_string(), "a version that does not know all of it")?;
    let is_vod = media.list_type.as_deref() == Some("VOD");
    ensure(!is_vod || media.has_ended, "6.2.1", "", "a list that never changes has its end")?;
    for pair in media.entries.windows(2) {
        let [before, after] = pair else { continue };
        let (Some(from), Some(to)) = (before.time_us, after.time_us) else { continue };
        ensure(from <= to, "4.3.2.6", &after.uri, "goes back in time")?;
        let off = (to - from - before.duration_us).abs();
        let is_told = after.is_after_discontinuity || after.is_gap || before.is_gap;
        ensure(is_told || off <= TOLERANCE_US, "4.3.2.3", &after.uri, "does not join, without a discontinuity")?;
        // A hole is told to the end.
        let is_filled = !(before.is_gap || after.is_gap) || off <= TOLERANCE_US;
        ensure(is_filled, "bis 4.4.4.7", &after.uri, "the hole's entries do not fill it")?;
    }
    Ok(())
}

/// `NAME=value,NAME="value"` (4.2).
fn attributes(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut rest = text;
    loop {
        let (name, value) = rest.split_once('=').ok_or_else(|| format!("4.2: no attribute: {rest:?}"))?;
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
        ensure(is_name, "4.2", name, "not the name of an attribute")?;
        ensure(found.iter().all(|(known, _)| *known != name), "4.2", name, "an attribute given twice")?;
        let length = match value.strip_prefix('"') {
            Some(quoted) => quoted.find('"').ok_or("4.2: a quote is not closed")? + 2,
            None => value.find(',').unwrap_or(value.len()),
        };
        let (value, next) = value.split_at(length);
        ensure(!value.is_empty() && (value.starts_with('"') || !value.contains(['"', ' '])), "4.2", value, "no value")?;
        found.push((name, value));
        match next.strip_prefix(',') {
            Some(more) => rest = more,
            None if next.is_empty() => return Ok(found),
            None => return Err(format!("4.2: no comma: {next:?}")),
        }
    }
}

fn integer(text: &str) -> Option<u64> {
    let is_decimal = !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok())?
}

/// Microseconds.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let micros = integer(&format!("{fraction:0<6}")).filter(|_| (1..=6).contains(&fraction.len()))?;
    i64::try_from(integer(whole)? * 1_000_000 + micros).ok()
}

/// Of an address as it is written in ASCII (RFC 3986, 2).
fn is_of_an_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

#[test]
fn a_master_playlist_that_breaks_a_rule_is_found_out() {
    let sound = "#EXTM3U\n#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"a\",NAME=\"a\",AUTOSELECT=YES,DEFAULT=YES\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=100,CODECS=\"avc1.f4000a,mp4a.40.2\",RESOLUTION=64x36,VIDEO=\"a\"\n/a.m3u8?x=1\n";
    assert_eq!(read_master(sound), Ok(vec!["/a.m3u8?x=1".to_owned()]));
    for (section, text) in [
        ("4.1", sound.replace("/a.m3u8", "#EXTINF:2,\n/a.m3u8")),
        ("4.3.4.2", sound.replace("BANDWIDTH=100,", "")),
        ("4.3.4.2", sound.replace("VIDEO=\"a\"\n", "VIDEO=\"b\"\n")),
        ("4.3.4.2", sound.replace("/a.m3u8?x=1\n", "")),
        ("4.3.4.2", sound.replace("\"avc1.f4000a,mp4a.40.2\"", "avc1")),
        ("4.2", sound.replace("64x36", "64")),
        ("4.3.4.1", sound.replace(",NAME=\"a\"", "")),
        (
            "4.3.4.1.1",
            sound.replace(
                "#EXT-X-STREAM",
                "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"a\",NAME=\"b\",DEFAULT=YES\n#EXT-X-STREAM",
            ),
        ),
    ] {
        let complaint = read_master(&text).expect_err(&text);
        let is_said = complaint.starts_with(section) || section == "4.1" && complaint.starts_with("4.3.4.2");
        assert!(is_said, "{section} is broken, and it says {complaint}\n{text}");
    }
}

#[test]
fn a_list_that_breaks_a_rule_is_found_out() {
    let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n";
    let one = "#EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:00:00.000Z\n#EXTINF:2.000,\na.ts\n";
    let next = "#EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:00:02.009Z\n#EXTINF:2.000,\nb.ts\n";
    let sound = format!("{head}{one}{next}#EXT-X-ENDLIST\n");
    let media = valid(&sound);
    assert_eq!((media.target, media.entries.len(), media.has_ended), (2, 2, true));
    let broken: [(&str, String); 23] = [
        ("4.3.1.1", sound.replace("#EXTM3U\n", "\n#EXTM3U\n")),
        ("4.1", sound.replace("a.ts", "a\tb.ts")),
        ("4.1", sound.replace("a.ts", "ä.ts")),
        ("4.1", sound.replace("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-MEDIASEQUENCE")),
        ("4.1", sound.trim_end().to_owned()),
        ("4.3.3:", sound.replace(head, &format!("{head}#EXT-X-VERSION:3\n"))),
        ("4.2", sound.replace("TARGETDURATION:2", "TARGETDURATION:2.0")),
        ("4.3.3.1", sound.replace("#EXT-X-TARGETDURATION:2\n", "")),
        ("4.3.3.1", sound.replace("EXTINF:2.000,\nb", "EXTINF:2.500,\nb")),
        ("4.3.3.2", format!("{head}{one}#EXT-X-MEDIA-SEQUENCE:0\n").replacen("#EXT-X-MEDIA-SEQUENCE:0\n", "", 1)),
        ("4.3.3.4", format!("{sound}{}", next.replace("02.009", "04.000"))),
        ("4.3.3:", format!("{head}{one}#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-PLAYLIST-TYPE:VOD\n").replacen(one, "", 1)),
        ("4.3.3.5", sound.replace(head, &format!("{head}#EXT-X-PLAYLIST-TYPE:LIVE\n"))),
        ("6.2.1", format!("{head}#EXT-X-PLAYLIST-TYPE:VOD\n{one}")),
        ("4.3.2.1", sound.replace("#EXTINF:2.000,\na.ts", "a.ts")),
        ("4.3.2.1", sound.replace("EXTINF:2.000,\na", "EXTINF:2.000\na")),
        ("4.3.2:", format!("{head}{one}#EXT-X-DISCONTINUITY\n")),
        ("4.3.2.6", sound.replace("2019-11-13T02:00:02.009Z", "2019-11-13 02:00")),
        ("4.3.2.6", sound.replace("02:00:02.009Z", "01:00:00.000Z")),
        ("4.3.2.3", sound.replace("02.009Z", "02.011Z")),
        ("7", sound.replace("VERSION:3", "VERSION:2")),
        ("7", sound.replace("#EXTINF", "#EXT-X-GAP\n#EXTINF")),
        ("4.2", sound.replace(head, &format!("{head}#EXT-X-START:TIME-OFFSET=0.0,PRECISE=\"YES\n"))),
    ];
    for (section, text) in broken {
        let complaint = read(&text).expect_err(&text);
        assert!(complaint.starts_with(section), "{section} is broken, and it says {complaint}\n{text}");
    }
    let grown = format!("{head}{one}{next}");
    assert!(
        is_continued(&format!("{head}{one}"), &grown) && is_continued(&grown, &sound) && is_continued(&sound, &sound)
    );
    assert!(!is_continued(&grown, &format!("{head}{one}")) && !is_continued(&sound, &format!("{sound}{one}")));
}
