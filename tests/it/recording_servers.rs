//! Servers that answer for a live stream as they should not: broken ones behind a good address, numbers and names that change, one odd answer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::recording::{of_kind, recorded};
use crate::recording_ends::{contents, list, names, number};
use crate::support::scripted_origin::{Answer, ScriptedOrigin};
use crate::support::{TestArchive, gapless};

/// Segments that each stream has, of half a second.
const SEGMENTS: usize = 20;
/// Those that are listed at once.
const WINDOW: usize = 8;

/// When a stream was asked for first: it begins then.
type Begun = OnceLock<Instant>;

/// The numbers that a live stream lists now, and whether it has ended.
fn listed(begun: &Begun) -> (std::ops::Range<usize>, bool) {
    let newest = usize::try_from(begun.get_or_init(Instant::now).elapsed().as_millis() / 500).unwrap() + 1;
    let end = newest.min(SEGMENTS);
    (end.saturating_sub(WINDOW)..end, newest > SEGMENTS)
}

/// What `gapless record` makes of an origin whose playlist is asked for the n-th time, counted from 0; it ends with the stream.
fn recorded_from(
    playlist: impl Fn(usize, std::ops::Range<usize>, bool) -> Answer + Send + Sync + 'static,
) -> (TestArchive, i32, String) {
    let (content, begun, asked) = (contents(), Begun::new(), AtomicUsize::new(0));
    let origin = ScriptedOrigin::begin(move |path| {
        if let Some(at) = number(path) {
            return Answer::Is(content.content(at));
        }
        let (numbers, has_ended) = listed(&begun);
        playlist(asked.fetch_add(1, Ordering::SeqCst), numbers, has_ended)
    });
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8")]);
    (archive, done.code, done.err)
}

fn is_whole(archive: &TestArchive, code: i32, said: &str) {
    let here = recorded(archive, "c/source");
    assert_eq!((of_kind(&here, "full").len(), here.len(), code), (SEGMENTS, SEGMENTS, 0), "{here:?}: {said}");
}

#[test]
fn of_two_servers_behind_one_address_one_is_broken() {
    for status in [404, 503] {
        let (archive, code, said) = recorded_from(move |time, numbers, has_ended| {
            let is_broken = time > 2 && time % 2 == 1;
            if is_broken {
                Answer::Status(status)
            } else {
                Answer::Is(list(numbers.start as u64, &names(numbers), None, has_ended))
            }
        });
        is_whole(&archive, code, &said);
    }
}

#[test]
fn one_odd_answer_ends_no_recording() {
    let odd = [
        Answer::Leads("file:///etc/passwd".to_owned()),
        Answer::Is(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nother.m3u8\n".to_vec()),
        Answer::Is(b"<html>we are sorry</html>".to_vec()),
        Answer::Status(410),
    ];
    let (archive, code, said) = recorded_from(move |time, numbers, has_ended| {
        let answer = (time % 3 == 2).then(|| odd.get(time / 3)).flatten();
        answer.cloned().unwrap_or_else(|| Answer::Is(list(numbers.start as u64, &names(numbers), None, has_ended)))
    });
    is_whole(&archive, code, &said);
}

#[test]
fn a_server_that_numbers_each_window_from_zero_is_followed() {
    let (archive, code, said) =
        recorded_from(|_, numbers, has_ended| Answer::Is(list(0, &names(numbers), None, has_ended)));
    is_whole(&archive, code, &said);
    assert!(!said.contains("began anew"), "{said}");
}

#[test]
fn a_server_that_signs_the_names_of_segments_each_time_is_followed() {
    let (content, begun, asked) = (contents(), Begun::new(), AtomicUsize::new(0));
    let origin = ScriptedOrigin::begin(move |path| {
        if let Some((name, _)) = path.split_once('/') {
            return Answer::Is(content.content(number(name).unwrap()));
        }
        let ((numbers, has_ended), time) = (listed(&begun), asked.fetch_add(1, Ordering::SeqCst));
        let signed: Vec<String> =
            names(numbers.clone()).iter().map(|name| format!("{name}/SIGNATURE-{time}")).collect();
        Answer::Is(list(numbers.start as u64, &signed, None, has_ended))
    });
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8")]);
    is_whole(&archive, done.code, &done.err);
    let segments = origin.asked().iter().filter(|path| path.contains(".ts")).count();
    assert_eq!(segments, SEGMENTS, "each is asked for once");
}

#[test]
fn of_two_addresses_one_says_that_the_stream_has_ended() {
    let (content, begun) = (contents(), Begun::new());
    let origin = ScriptedOrigin::begin(move |path| {
        if let Some(at) = number(path) {
            return Answer::Is(content.content(at));
        }
        let (numbers, has_ended) = listed(&begun);
        let first = numbers.start as u64;
        match path {
            "master" => Answer::Is(
                b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\none/l.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\ntwo/l.m3u8\n"
                    .to_vec(),
            ),
            "one/l.m3u8" => {
                Answer::Is(list(0, &names(0..2).iter().map(|name| format!("/{name}")).collect::<Vec<_>>(), None, true))
            }
            _ => Answer::Is(list(
                first,
                &names(numbers).iter().map(|name| format!("/{name}")).collect::<Vec<_>>(),
                None,
                has_ended,
            )),
        }
    });
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("master")]);
    is_whole(&archive, done.code, &done.err);
}

#[test]
fn what_has_not_come_when_recording_is_stopped_is_missing() {
    let content = contents();
    let origin = ScriptedOrigin::begin(move |path| match number(path) {
        Some(1) => Answer::Status(404),
        Some(at) => Answer::Is(content.content(at)),
        None => Answer::Is(list(0, &names(0..3), None, false)),
    });
    let archive = TestArchive::empty();
    let begun = Instant::now();
    let done = gapless(archive.path(), &["record", "c", &origin.url("live.m3u8"), "--for", "3s"]);
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!((done.code, recorded(&archive, "c/source").len()), (1, 2), "{done:?}");
    assert!(done.err.contains("2 segments") && done.err.contains("1 missing"), "{done:?}");
}
