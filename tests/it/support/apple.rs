//! What Apple asks of lists of transport streams beyond the standard ("HTTP Live Streaming authoring specification for Apple devices"):
//! each rule that a list or a set of lists can be held against, under its number there. What the standard itself asks is in [`hls`].
//! Rules that only the recorded stream can keep (1 to 6: encoding), or who runs a node (11, 12: TLS), are no business of lists.

use std::collections::BTreeSet;

use super::{TestResponse, hls};

/// A rule that is not kept, and how.
pub type Broken = (&'static str, String);

/// The target duration that Apple advises, in seconds.
const ADVISED: u64 = 6;
/// The fewest segments of a live list, and how much it should hold.
const FEWEST: usize = 6;
const LEAST_US: i64 = 15 * 60 * 1_000_000;

/// The rules of media playlists that this one does not keep; it must keep the standard's.
#[track_caller]
pub fn media(text: &str) -> Vec<Broken> {
    let list = hls::valid(text);
    let mut broken = Vec::new();
    let mut rule = |number, holds: bool, why: String| {
        if !holds {
            broken.push((number, why));
        }
    };
    let target = list.target;
    rule("7.5", target == ADVISED || list.entries.is_empty(), format!("a target duration of {target} s"));
    let most = i64::try_from(target).unwrap() * 1_000_000 + 500_000;
    let longest = list.entries.iter().map(|entry| entry.duration_us).max().unwrap_or_default();
    rule("7.7", longest <= most, format!("a segment of {longest} us"));
    let is_exact = |line: &str| line.strip_prefix("#EXTINF:").is_none_or(|length| length.contains('.'));
    rule("8.1", text.lines().all(is_exact), "a duration in whole seconds".to_owned());
    rule("8.4", list.entries.iter().all(|entry| entry.time_us.is_some()), "a segment without its time".to_owned());
    let list_type = list.list_type.as_deref();
    if list_type == Some("VOD") {
        return broken;
    }
    rule("8.8", list_type == Some("EVENT"), format!("of the type {list_type:?}"));
    rule("8.17", text.contains("\n#EXT-X-DISCONTINUITY-SEQUENCE:"), "no number of the first discontinuity".to_owned());
    if !list.has_ended {
        let (count, held) = (list.entries.len(), list.entries.iter().map(|entry| entry.duration_us).sum::<i64>());
        rule("8.11", count >= FEWEST, format!("{count} segments"));
        rule("8.12", held >= LEAST_US, format!("{} s", held / 1_000_000));
    }
    broken
}

/// Of a list at two times: its numbers stay what they are, and so does what it told (8.17; RFC 8216, 6.2.1 and 6.2.2).
pub fn is_grown(earlier: &str, later: &str) -> bool {
    let numbers = |text: &str| -> Vec<String> {
        let is_number = |line: &&str| line.contains("-SEQUENCE:") || line.contains("-TARGETDURATION:");
        text.lines().filter(is_number).map(str::to_owned).collect()
    };
    hls::is_continued(earlier, later) && numbers(earlier) == numbers(later)
}

/// The rules of master playlists that this one does not keep; `of_sound` are the addresses of qualities without pictures.
#[track_caller]
pub fn master(text: &str, of_sound: &[&str]) -> Vec<Broken> {
    let addresses = hls::read_master(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut broken = Vec::new();
    let mut rule = |number, holds: bool, why: &str| {
        if !holds {
            broken.push((number, why.to_owned()));
        }
    };
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let Some(attributes) = pair[0].strip_prefix("#EXT-X-STREAM-INF:") else { continue };
        let has = |name: &str| attributes.split(',').any(|attribute| attribute.starts_with(&format!("{name}=")));
        let has_pictures = !of_sound.contains(&pair[1]);
        rule("9.1", has("CODECS"), pair[1]);
        rule("9.2", has("RESOLUTION") || !has_pictures, pair[1]);
        rule("9.13", has("BANDWIDTH"), pair[1]);
        rule("9.14", has("AVERAGE-BANDWIDTH"), pair[1]);
        rule("9.15", has("FRAME-RATE") || !has_pictures, pair[1]);
        rule("9.20", has_pictures, pair[1]);
    }
    rule("9.9", addresses.len() > 1, "one variant");
    rule("9.11", text.contains("\n#EXT-X-INDEPENDENT-SEGMENTS\n"), "not said to be independent");
    let different: BTreeSet<&String> = addresses.iter().collect();
    rule("10.2", different.len() == addresses.len(), "an address twice, without another server for it");
    broken
}

/// The rules about all media playlists of one master that these do not keep.
pub fn set(texts: &[&str]) -> Vec<Broken> {
    let lists: Vec<hls::Media> = texts.iter().map(|text| hls::valid(text)).collect();
    let mut broken = Vec::new();
    let mut same = |number, of: &dyn Fn(&hls::Media) -> String| {
        let different: BTreeSet<String> = lists.iter().map(of).collect();
        if different.len() > 1 {
            broken.push((number, format!("{different:?}")));
        }
    };
    same("8.2", &|list| list.target.to_string());
    same("8.3", &|list| list.entries.iter().map(|entry| entry.duration_us).sum::<i64>().to_string());
    let ends = |list: &hls::Media| {
        let last = list.entries.last().and_then(|entry| Some(entry.time_us? + entry.duration_us));
        format!("{:?}", (list.entries.first().and_then(|entry| entry.time_us), last))
    };
    same("8.7", &|list| if list.list_type.as_deref() == Some("VOD") { ends(list) } else { String::new() });
    let times = |list: &hls::Media, of: &dyn Fn(&hls::Entry) -> bool| {
        let found: Vec<Option<i64>> =
            list.entries.iter().filter(|entry| of(entry)).map(|entry| entry.time_us).collect();
        format!("{found:?}")
    };
    same("8.15", &|list| times(list, &|entry| entry.is_after_discontinuity));
    same("8.22", &|list| times(list, &|_| true));
    broken
}

/// The rules of delivery that an answer does not keep, to somebody who takes gzip.
pub fn delivery(answer: &TestResponse) -> Vec<Broken> {
    let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let is_list = kind == "application/vnd.apple.mpegurl";
    let rules = [
        ("8.18", answer.status == 200, answer.status.to_string()),
        (
            "8.24",
            !is_list || answer.header("last-modified").is_none(),
            "a time of change that is not looked after".to_owned(),
        ),
        (
            "10.1",
            !is_list || answer.header("content-encoding") == Some("gzip"),
            "a list that is not compressed".to_owned(),
        ),
        ("10.4", is_list || kind == "video/mp2t", kind),
    ];
    rules.into_iter().filter(|(_, holds, _)| !holds).map(|(number, _, why)| (number, why)).collect()
}

#[test]
fn a_list_that_breaks_a_rule_of_apples_is_found_out() {
    let broken = |found: Vec<Broken>| found.into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    let head =
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:EVENT\n";
    let numbered = format!("{head}#EXT-X-DISCONTINUITY-SEQUENCE:0\n");
    let entry = |at: u32| {
        format!("#EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:{:02}:{:02}.0Z\n#EXTINF:6.0,\n{at}.ts\n", at / 60, at % 60)
    };
    let entries: String = (0..150).map(|at| entry(at * 6)).collect();
    assert_eq!(broken(media(&format!("{numbered}{entries}"))), [""; 0]);
    assert_eq!(broken(media(&format!("{head}{entries}"))), ["8.17"]);
    assert_eq!(broken(media(&format!("{numbered}{}", entry(0)))), ["8.11", "8.12"]);
    assert_eq!(broken(media(&format!("{numbered}{}#EXT-X-ENDLIST\n", entry(0)).replace("6.0,", "6,"))), ["8.1"]);
    assert_eq!(broken(media(&format!("{numbered}{entries}").replace("DURATION:6", "DURATION:7"))), ["7.5"]);
    assert_eq!(broken(media(&format!("{numbered}{entries}").replace("#EXT-X-PLAYLIST-TYPE:EVENT\n", ""))), ["8.8"]);
    assert!(is_grown(&numbered, &format!("{numbered}{entries}")));
    assert!(!is_grown(&numbered, &format!("{numbered}{entries}").replace("SEQUENCE:0", "SEQUENCE:1")));
    let other = format!("{numbered}{}", entries.replace("6.0,", "5.995,"));
    assert_eq!(broken(set(&[&format!("{numbered}{entries}"), &other])), ["8.3"]);

    let info =
        "#EXT-X-STREAM-INF:BANDWIDTH=9,AVERAGE-BANDWIDTH=9,CODECS=\"avc1.4d401f\",RESOLUTION=64x36,FRAME-RATE=3.000\n";
    let whole = format!("#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n{info}/a\n{info}/b\n");
    assert_eq!(broken(master(&whole, &[])), [""; 0]);
    for (number, without) in [
        ("9.1", ",CODECS=\"avc1.4d401f\""),
        ("9.2", ",RESOLUTION=64x36"),
        ("9.14", ",AVERAGE-BANDWIDTH=9"),
        ("9.15", ",FRAME-RATE=3.000"),
        ("9.11", "#EXT-X-INDEPENDENT-SEGMENTS\n"),
    ] {
        assert_eq!(broken(master(&whole.replacen(without, "", 1), &[])), [number]);
    }
    assert_eq!(broken(master(&whole.replace("/b", "/a"), &[])), ["10.2"]);
    assert_eq!(broken(master(&whole.replace(&format!("{info}/b\n"), ""), &[])), ["9.9"]);
    assert_eq!(broken(master(&whole, &["/b"])), ["9.20"]);
}
