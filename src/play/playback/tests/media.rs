//! What is in segments decides where a list has discontinuities: complete ones and those that grow, known from the index or read at once.

use std::time::{Duration, Instant};

use super::{Archive, BEGIN, HOUR, ask, name};
use crate::archive::test_names::hash_text;
use crate::archive::{HourPlace, Span, Timestamp};
use crate::jobs::Clock as _;
use crate::media::{Coding, Mux, WRAP};
use crate::play::playback::learn::First;
use crate::play::playback::{Ask, FactsVisitor, Playback, PlaybackOptions};

pub(super) const SMALL: &[u8] = &[0x67, 0x4d, 0x40, 0x1f, 0x95];
const LARGE: &[u8] = &[0x67, 0x64, 0x00, 0x28, 0xac];
/// Two seconds.
pub(super) const LASTS: i64 = 180_000;

/// Two seconds of video, 25 pictures a second, and of sound if there is any.
pub(super) fn film(begins: i64, parameters: &[u8], has_sound: bool) -> Vec<u8> {
    let mut mux = Mux::new(Some(Coding::H264), has_sound.then_some(Coding::Aac));
    mux.tables();
    for number in 0..50 {
        let time = begins + number * 3_600;
        let start = [0, 0, 0, 1];
        let key = [&start, parameters, &start, &[0x68, 1], &start, &[0x65, 0xaa]].concat();
        mux.video(time, time, number == 0, if number == 0 { &key } else { &[0, 0, 0, 1, 0x41, 0xaa] });
        if has_sound {
            mux.sound(time, &[0xff, 0xf1, 0x4c, 0x80, 1, 0x3f, 0xfc, 1, 2]);
        }
    }
    mux.take()
}

/// Segments of two seconds with each kind of change, and where discontinuities have to be: their numbers.
pub(super) fn changes() -> (Vec<Vec<u8>>, Vec<usize>) {
    let wraps = WRAP - LASTS / 2;
    let segments = vec![
        film(0, SMALL, true),
        film(LASTS, SMALL, true),
        // An hour later, and in a time base of its own, before the old one.
        film(LASTS + 324_000_000, SMALL, true),
        film(wraps, SMALL, true),
        // Time stamps start over within it, and go on.
        film(wraps + LASTS, SMALL, true),
        film(wraps + 2 * LASTS, LARGE, true),
        film(wraps + 3 * LASTS, LARGE, false),
        film(wraps + 4 * LASTS, LARGE, true),
        // Nothing is known of this one, and so nothing of what changes there.
        b"nothing that is understood".to_vec(),
        film(7, SMALL, true),
        film(7 + LASTS, SMALL, true),
    ];
    (segments, vec![2, 3, 5, 6, 7])
}

pub(super) fn lay(archive: &Archive) -> Vec<usize> {
    let (segments, breaks) = changes();
    for (slot, content) in (0..).zip(&segments) {
        archive.put_with(&name(slot, "2.0", "full"), content);
    }
    breaks
}

/// The numbers of the segments that come after a discontinuity.
pub(super) fn told(text: &str) -> Vec<usize> {
    let mut entries = 0;
    let mut breaks = Vec::new();
    for line in text.lines() {
        match line {
            "#EXT-X-DISCONTINUITY" => breaks.push(entries),
            _ if line.starts_with("#EXTINF") => entries += 1,
            _ => {}
        }
    }
    assert!(!text.contains("EXT-X-DISCONTINUITY-SEQUENCE"), "nothing leaves a list at its front: it is 0");
    breaks
}

pub(super) fn whole(archive: &Archive, seconds: i64) -> Ask {
    archive.clock.pass(Duration::from_secs(600));
    ask(Some(seconds), false)
}

#[test]
fn a_complete_list_has_a_discontinuity_where_times_tracks_or_coding_change() {
    let archive = Archive::new();
    let breaks = lay(&archive);
    let text = archive.ask(&whole(&archive, 22));
    assert!(text.contains("#EXT-X-ENDLIST") && !text.contains("INDEPENDENT"), "{text}");
    assert_eq!(told(&text), breaks, "{text}");
    // Holes that are told are holes of names.
    let with_gaps = archive.ask(&Ask { gaps: true, ..ask(Some(22), false) });
    assert!(told(&with_gaps) == breaks && !with_gaps.contains("GAP"), "{with_gaps}");
    // Where all of it can be begun at, that is said.
    let start = Timestamp::parse(BEGIN).unwrap() + Span(1_000_000);
    let known = Ask { start: Some(start), ..ask(Some(15), false) };
    assert!(archive.ask(&known).contains("#EXT-X-INDEPENDENT-SEGMENTS\n"));
}

#[test]
fn a_list_that_grows_has_them_too_and_no_entry_changes_its_number() {
    let archive = Archive::new();
    let (segments, breaks) = changes();
    archive.put_with(&name(0, "2.0", "full"), &segments[0]);
    let question = ask(None, false);
    let mut before = archive.ask(&question);
    for (slot, content) in (0..).zip(&segments).skip(1) {
        archive.put_with(&name(slot, "2.0", "full"), content);
        archive.clock.pass(Duration::from_secs(2));
        let now = archive.ask(&question);
        assert!(
            now.starts_with(&before) && now.matches("#EXTINF").count() == slot as usize + 1,
            "{before}\n---\n{now}"
        );
        before = now;
    }
    assert_eq!(told(&before), breaks, "{before}");
    // What was told stays as it was told, also when more is known of it later.
    archive.clock.pass(Duration::from_secs(30));
    assert_eq!(archive.ask(&question), before);
}

#[test]
fn what_was_read_once_is_known_to_the_next_process_and_by_its_file_alone() {
    let archive = Archive::new();
    let breaks = lay(&archive);
    let question = whole(&archive, 22);
    archive.ask(&question);
    let facts = || archive.keeper.index().facts("a/source", Timestamp::parse(BEGIN).unwrap().hour()).unwrap();
    // Nobody waits for the index to take it.
    let deadline = Instant::now() + Duration::from_secs(30);
    while facts().len() < 11 {
        assert!(Instant::now() < deadline, "the index has {} of 11", facts().len());
        std::thread::yield_now();
    }
    let again = || {
        let options = PlaybackOptions { max_hours: 10, cache: 1 << 20 };
        let playback = Playback::new(archive.keeper.clone(), archive.clock.clone(), options);
        String::from_utf8(playback.playlist(&question).unwrap().plain().concat()).unwrap()
    };
    // Nobody opens the files again: what is in them now would say something else.
    let (segments, _) = changes();
    let small = &segments[0];
    for slot in 0..8 {
        let path = archive.directory.path().join(HOUR).join(name(slot, "2.0", "full"));
        let length = std::fs::metadata(&path).unwrap().len();
        let mut other = small.clone();
        other.resize(usize::try_from(length).unwrap(), 0xff);
        std::fs::write(&path, other).unwrap();
    }
    assert_eq!(told(&again()), breaks);
    archive.remove(&name(3, "2.0", "full"));
    assert_eq!(facts().len(), 10);
}

/// Eight hours of two segments each, one of which reaches over the first of the next hour, and the numbers of the entries that come after
/// a discontinuity.
fn lay_hours(archive: &Archive) -> Vec<usize> {
    let mut time = 0;
    let mut hours = Vec::new();
    for number in 0..16_u8 {
        let hour = format!("a/source/2020-09-13T{}", 10 + number / 2);
        let directory = archive.directory.path().join(&hour);
        std::fs::create_dir_all(&directory).unwrap();
        // The first and the second of an hour, and the one after next of the first that is left out.
        time += if [4, 7, 12].contains(&number) { 10 * LASTS } else { 0 };
        let (minute, length) = (number % 2 * 30, if number == 9 { 3_600 } else { 1_800 });
        let film = film(time, if number < 14 { SMALL } else { LARGE }, true);
        std::fs::write(directory.join(format!("{minute:02}:00.0-{length}.0-full-{}.ts", hash_text(number))), film)
            .unwrap();
        time += 1_800 * 90_000;
        hours.push(HourPlace::parse(&hour).unwrap());
    }
    archive.keeper.reconcile(&hours, true).unwrap();
    vec![4, 7, 11, 13]
}

#[test]
fn hours_written_at_the_same_time_are_told_as_one_after_the_other() {
    let archive = Archive::new();
    let breaks = lay_hours(&archive);
    archive.clock.pass(Duration::from_secs(30_000));
    let at = |hour: &str| Some(Timestamp::parse(&format!("2020-09-13T{hour}:00:00")).unwrap());
    let question = Ask { start: at("10"), end: at("18"), ..ask(None, false) };
    let with = |playback: &Playback, gaps| {
        let list = playback.playlist(&Ask { gaps, ..question.clone() }).unwrap();
        String::from_utf8(list.plain().concat()).unwrap()
    };
    // Where holes are told nothing is written ahead.
    let expected = with(&archive.playback, true).replace("VERSION:8", "VERSION:3");
    assert!(told(&expected) == breaks && expected.matches("#EXTINF").count() == 15, "{expected}");
    assert_eq!(with(&archive.playback, false), expected);
    let is_in_index = |hour: u8| {
        let hour = at(&(10 + hour).to_string()).unwrap().hour();
        archive.keeper.index().facts("a/source", hour).unwrap().len() == 2
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !(0..8).all(is_in_index) {
        assert!(Instant::now() < deadline, "the index does not take what was read");
        std::thread::yield_now();
    }
    let options = PlaybackOptions { max_hours: 10, cache: 1 << 20 };
    let again = Playback::new(archive.keeper.clone(), archive.clock.clone(), options);
    assert_eq!(with(&again, false), expected);
}

#[test]
fn what_there_is_no_time_to_read_is_no_discontinuity_and_is_read_afterwards() {
    let archive = Archive::new();
    let breaks = lay(&archive);
    let question = whole(&archive, 22);
    let (start, end) = (question.start.unwrap(), question.end.unwrap());
    let learner = &archive.playback.learner;
    let hours = archive.playback.window(&question.stream, start, end).unwrap();
    let learn = || learner.learn_until(archive.clock.now(), &question.stream, &hours, (start, end), First::Oldest);
    assert!(!learn());
    let deadline = Instant::now() + Duration::from_secs(30);
    while !learn() {
        assert!(Instant::now() < deadline, "it is never read");
        std::thread::yield_now();
    }
    assert_eq!(told(&archive.ask(&question)), breaks);
}

#[test]
fn a_file_that_cannot_be_read_costs_a_list_nothing_and_is_read_again_after_a_while() {
    let archive = Archive::new();
    lay(&archive);
    let question = whole(&archive, 22);
    let broken = archive.directory.path().join(HOUR).join(name(2, "2.0", "full"));
    let content = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, b"shorter than the index says").unwrap();
    // Neither into it nor out of it.
    assert_eq!(told(&archive.ask(&question)), [5, 6, 7]);
    std::fs::write(&broken, content).unwrap();
    archive.clock.pass(Duration::from_secs(61));
    archive.put_with(&name(20, "2.0", "full"), b"x");
    assert_eq!(told(&archive.ask(&question)), [2, 3, 5, 6, 7]);
}

#[test]
fn what_is_empty_or_lasts_no_time_is_not_told() {
    let archive = Archive::new();
    archive.put_with(&name(0, "2.0", "full"), &film(0, SMALL, true));
    archive.put_with(&name(1, "0.0", "full"), &film(LASTS, SMALL, true));
    archive.put_with(&name(1, "2.00", "partial"), &film(LASTS, SMALL, true));
    archive.put_with(&name(1, "2.0", "full"), b"");
    archive.put_with(&name(2, "2.0", "full"), b"");
    let text = archive.ask(&whole(&archive, 4));
    assert_eq!(text.matches("#EXTINF").count(), 2, "{text}");
    assert!(text.contains("-partial-"), "what can be played takes the place of what cannot: {text}");
    let start = Timestamp::parse(BEGIN).unwrap();
    let stream = ask(None, false).stream;
    let sequence = archive.playback.sequence(&stream, start, start + Span(6_000_000)).unwrap();
    assert_eq!(sequence.iter().flatten().count(), 2);
    assert_eq!(FactsVisitor::NAME, "facts");
}
