//! Recordings of other programs become segments: by link or copy, once, at the right time, and the originals stay as they are.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::archive::snapshot;
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless, mp4};

const HOUR: &str = "mine/source/2026-03-01T17";
const START: &str = "2026-03-01T17:00:00Z";
/// Five segments of one recording, of two seconds each.
const SAMPLES: &str = "desertbus/source/2019-11-13T02";

/// Files as ffmpeg numbers them, from so many seconds before now on; out of the order of their names.
fn recordings(archive: &TestArchive, count: usize, ago: u64) -> Vec<PathBuf> {
    let hour = TestArchive::sample_path().join(SAMPLES);
    let mut samples: Vec<String> =
        fs::read_dir(&hour).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    samples.sort();
    let named = |(at, sample): (usize, &String)| {
        let path = archive.outside().join(format!("n{}.ts", at + 8));
        fs::copy(hour.join(sample), &path).unwrap();
        let end = Duration::from_secs(2 * (at as u64 + 1));
        let changed = SystemTime::now() - Duration::from_secs(ago) + end;
        fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
        path
    };
    samples.iter().enumerate().take(count).map(named).collect()
}

fn import(archive: &TestArchive, files: &[PathBuf], flags: &[&str], code: i32) -> Vec<Value> {
    let mut args = vec!["import", "--json", "--channel", "mine", "--quality", "source"];
    args.extend(flags);
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    let outcome = gapless(archive.path(), &args);
    outcome.lines(code).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn words<'l>(lines: &'l [Value], key: &str) -> Vec<&'l str> {
    lines.iter().map(|line| line[key].as_str().unwrap_or_default()).collect()
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn recordings_are_linked_side_by_side_once_and_the_originals_stay() {
    let archive = TestArchive::empty();
    let files = recordings(&archive, 5, 600);
    let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut shuffled = files.clone();
    shuffled.sort();
    let dry = import(&archive, &shuffled, &["--start", START, "--dry-run"], 0);
    assert_eq!(words(&dry, "outcome"), ["planned"; 5]);
    assert!(snapshot(archive.path()).is_empty(), "a dry run writes nothing");

    let done = import(&archive, &shuffled, &["--start", START], 0);
    assert_eq!(words(&done, "path"), words(&dry, "path"));
    assert_eq!(words(&done, "outcome"), ["linked"; 5]);
    assert_eq!(words(&done, "start_from"), ["given", "continues", "continues", "continues", "continues"]);
    let ends = done.iter().zip(done.iter().skip(1));
    for (at, (line, next)) in ends.enumerate() {
        assert_eq!(line["kind"], "full", "{line}");
        assert_eq!(next["start"], format!("2026-03-01T17:00:{:02}.000000Z", 2 * (at + 1)), "{next}");
        assert_eq!(line["duration"], 2.0);
    }
    for (line, file) in done.iter().zip(&files) {
        assert_eq!(inode(&archive.at(line["path"].as_str().unwrap())), inode(file));
    }
    assert_eq!(files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), before);

    let there = archive.snapshot();
    let again = import(&archive, &files, &["--start", START], 0);
    assert_eq!(words(&again, "outcome"), ["already_there"; 5]);
    assert_eq!(archive.snapshot(), there);
    gapless(archive.path(), &["rebuild"]).lines(0);
    assert!(gapless(archive.path(), &["holes", "mine/source"]).lines(0).is_empty());
    let scrubbed = gapless(archive.path(), &["scrub", "--json"]).json(0);
    assert_eq!(scrubbed["damaged"], Value::Array(Vec::new()), "{scrubbed}");
}

#[test]
fn a_daemon_sees_what_is_imported_beside_it_and_a_later_import_goes_on_to_the_microsecond() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    let files = recordings(&archive, 4, 60);
    let first = import(&archive, &files[..2], &["--copy"], 0);
    assert_eq!(words(&first, "outcome"), ["copied"; 2]);
    assert_eq!(words(&first, "start_from"), ["last_change", "continues"]);
    assert!(inode(&archive.at(first[0]["path"].as_str().unwrap())) != inode(&files[0]));
    // A clock that is off by 0.7 s.
    let late = fs::metadata(&files[2]).unwrap().modified().unwrap() + Duration::from_millis(700);
    fs::File::options().write(true).open(&files[2]).unwrap().set_modified(late).unwrap();
    let second = import(&archive, &files[1..], &["--move"], 0);
    assert_eq!(words(&second, "outcome"), ["already_there", "moved", "moved"]);
    assert_eq!(words(&second[1..], "start_from"), ["continues", "continues"]);
    assert_eq!(files.iter().map(|file| file.exists()).collect::<Vec<_>>(), [true, false, false, false]);
    let (hour, _) = first[0]["path"].as_str().unwrap().rsplit_once('/').unwrap();
    eventually(SOON, || node.files(hour) == archive.listing(hour, false));
    let all = archive.all_hours().iter().map(|hour| archive.listing(hour, false).len()).sum::<usize>();
    assert_eq!(all, 4);
    let timespans = node.run(&["timespans", "mine/source", "--json"]).json(0);
    assert_eq!(timespans["timespans"].as_array().unwrap().len(), 1, "{timespans}");
    node.check();
}

#[test]
fn names_say_when_in_the_zone_that_is_given() {
    let archive = TestArchive::empty();
    let files = recordings(&archive, 1, 60);
    let named = archive.outside().join("rec-20260301-180000.ts");
    fs::rename(&files[0], &named).unwrap();
    let flags = ["--name-pattern", "rec-%Y%m%d-%H%M%S.ts", "--name-zone", "+01:00"];
    let done = import(&archive, std::slice::from_ref(&named), &flags, 0);
    assert_eq!(
        (done[0]["start"].as_str(), done[0]["start_from"].as_str()),
        (Some("2026-03-01T17:00:00.000000Z"), Some("name"))
    );
    assert!(done[0]["note"].as_str().unwrap().contains("--name-zone +01:00 right?"), "{}", done[0]);
    assert_eq!(archive.listing(HOUR, false).len(), 1);
    let other = import(&archive, &recordings(&archive, 1, 60), &flags, 1);
    assert!(other[0]["note"].as_str().unwrap().contains("--name-pattern"), "{}", other[0]);
}

#[test]
fn what_is_no_segment_is_refused_with_what_to_do_and_what_was_cut_short_is_partial() {
    let archive = TestArchive::empty();
    let files = recordings(&archive, 2, 600);
    let whole = fs::read(&files[1]).unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = archive.outside().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let torn = write("torn.ts", &whole[..whole.len() / 2 + 10]);
    let bad = [
        write("a.mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"),
        write("b.mkv", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01"),
        write("c.ts", b"no video at all"),
        write("d.ts", b""),
        archive.outside().to_owned(),
        archive.outside().join("missing.ts"),
    ];
    let notes: Vec<String> = bad
        .iter()
        .map(|path| {
            let done = import(&archive, std::slice::from_ref(path), &["--start", START], 1);
            assert_eq!(done[0]["outcome"], "refused");
            done[0]["note"].as_str().unwrap().to_owned()
        })
        .collect();
    for (note, expected) in notes.iter().zip([
        "-c copy -f segment",
        "Matroska",
        "not an MPEG transport stream",
        "empty",
        "DIR/*.ts",
        "there is no such file",
    ]) {
        assert!(note.contains(expected), "{expected}: {note}");
    }
    assert!(snapshot(archive.path()).is_empty());
    let done = import(&archive, &[torn], &["--start", START], 0);
    assert_eq!(
        (done[0]["kind"].as_str(), done[0]["outcome"].as_str()),
        (Some("partial"), Some("linked")),
        "{}",
        done[0]
    );
    // Of another run, with nothing that says when it was.
    let unknown = import(&archive, &[files[1].clone(), files[0].clone()], &["--start", START], 0);
    assert_eq!(words(&unknown, "outcome"), ["linked", "linked"], "they are put into order");
}

#[test]
fn fragmented_mp4_that_plays_by_itself_is_imported_and_what_has_nothing_in_front_is_refused() {
    let archive = TestArchive::empty();
    let write = |name: &str, content: &[u8]| {
        let path = archive.outside().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let stream = mp4::stream();
    let files: Vec<PathBuf> = (0..4).map(|at| write(&format!("rec{at}.mp4"), &stream.segment(at))).collect();
    let done = import(&archive, &files[..2], &["--start", START], 0);
    assert_eq!(words(&done, "outcome"), ["linked"; 2]);
    // A later run goes on from what is there by its time stamps.
    let more = import(&archive, &files, &["--start", START], 0);
    assert_eq!(words(&more, "outcome"), ["already_there", "already_there", "linked", "linked"]);
    assert_eq!(words(&more[2..], "start_from"), ["continues"; 2]);
    for (at, line) in done.iter().chain(&more[2..]).enumerate() {
        assert_eq!((line["kind"].as_str(), line["duration"].as_f64()), (Some("full"), Some(2.0)), "{line}");
        assert_eq!(line["start"], format!("2026-03-01T17:00:{:02}.000000Z", 2 * at), "{line}");
        let path = line["path"].as_str().unwrap();
        assert!(path.strip_suffix(".mp4").is_some() && inode(&archive.at(path)) == inode(&files[at]), "{path}");
    }
    gapless(archive.path(), &["rebuild"]).lines(0);
    assert!(gapless(archive.path(), &["holes", "mine/source"]).lines(0).is_empty());
    let scrubbed = gapless(archive.path(), &["scrub", "--json"]).json(0);
    assert_eq!(scrubbed["damaged"], Value::Array(Vec::new()), "{scrubbed}");

    let whole = stream.segment(5);
    let torn = write("torn.mp4", &whole[..whole.len() * 2 / 3]);
    let torn = import(&archive, &[torn], &["--start", "2026-03-01T17:01:00Z"], 0);
    assert_eq!((torn[0]["kind"].as_str(), torn[0]["outcome"].as_str()), (Some("partial"), Some("linked")), "{torn:?}");
    let bare = import(&archive, &[write("bare.m4s", &stream.media[6])], &["--start", START], 1);
    assert!(bare[0]["note"].as_str().unwrap().contains("cat init.mp4"), "{bare:?}");
    let plain = archive.outside().join("plain.mp4");
    let args = ["-v", "error", "-i", files[0].to_str().unwrap(), "-c", "copy", plain.to_str().unwrap()];
    assert!(std::process::Command::new("ffmpeg").args(args).status().unwrap().success());
    let plain = import(&archive, &[plain], &["--start", START], 1);
    let note = plain[0]["note"].as_str().unwrap();
    assert!(note.contains("MP4 without fragments") && note.contains("-c copy -f segment"), "{note}");
}

#[test]
fn what_is_still_being_written_is_left_for_later_and_what_is_hidden_stays_hidden() {
    let archive = TestArchive::empty();
    let files = recordings(&archive, 2, 600);
    let recorder = fs::File::options().append(true).open(&files[1]).unwrap();
    let done = import(&archive, &files, &["--start", START], 0);
    assert_eq!(words(&done, "outcome"), ["linked", "being_written"]);
    drop(recorder);
    let path = done[0]["path"].as_str().unwrap();
    archive.tombstone(path);
    archive.remove(path);
    let again = import(&archive, &files, &["--start", START], 0);
    assert_eq!(words(&again, "outcome"), ["hidden", "linked"]);
    assert!(!archive.at(path).exists());
}

#[test]
fn wrong_usage_of_import_is_told_before_anything_is_read() {
    let archive = TestArchive::empty();
    let file = recordings(&archive, 1, 600)[0].to_str().unwrap().to_owned();
    let said = |args: &[&str]| {
        let outcome = gapless(archive.path(), &[&["import", &file], args].concat());
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.err);
        outcome.err
    };
    let both = ["--channel", "mine", "--quality", "source"];
    for (args, expected) in [
        (&["--channel", "mine"][..], "--quality"),
        (&["--channel", "a/b", "--quality", "source"], "desertbus and source"),
        (&["--channel", "mine", "--quality", "chat"], "another quality"),
        (&[&both[..], &["--start", "noon"]].concat(), "2019-11-13T02:55:08"),
        (&[&both[..], &["--start", "now", "--name-pattern", "%s"]].concat(), "cannot be used with"),
        (&[&both[..], &["--name-pattern", "n%03d.ts"]].concat(), "rec-%Y%m%d-%H%M%S.ts"),
        (&[&both[..], &["--name-pattern", "%s", "--name-zone", "CET"]].concat(), "+01:00"),
        (&[&both[..], &["--copy", "--move"]].concat(), "cannot be used with"),
    ] {
        let told = said(args);
        assert!(told.contains(expected), "{args:?}: {told}");
    }
    assert!(snapshot(archive.path()).is_empty());
}

#[test]
fn nothing_is_moved_into_a_mount_point_whose_disk_is_away() {
    let archive = TestArchive::empty();
    let files = recordings(&archive, 2, 600);
    let paths = files.iter().map(|file| file.to_str().unwrap());
    let args =
        ["import", "--channel", "mine", "--quality", "source", "--start", START, "--move"].into_iter().chain(paths);
    let refused = gapless(archive.path(), &args.collect::<Vec<_>>());
    refused.lines(3);
    assert!(refused.err.contains("mount its disk"), "{}", refused.err);
    assert!(files.iter().all(|file| file.exists()) && snapshot(archive.path()).is_empty());
    import(&archive, &files[..1], &["--start", START, "--copy"], 0);
    import(&archive, &files[1..], &["--move"], 0);
    assert!(files[0].exists() && !files[1].exists());
}

#[test]
fn what_lies_in_the_archive_as_a_segment_is_never_moved_out_of_it() {
    let archive = TestArchive::empty();
    let files = recordings(&archive, 1, 600);
    let done = import(&archive, &files, &["--start", START], 0);
    let segment = archive.at(done[0]["path"].as_str().unwrap());
    let link = archive.outside().join("hour");
    std::os::unix::fs::symlink(segment.parent().unwrap(), &link).unwrap();
    let there = archive.snapshot();
    for path in [segment.clone(), link.join(segment.file_name().unwrap())] {
        for flags in [&["--start", START, "--move"][..], &["--start", "2026-03-01T18:00:00Z", "--move"], &["--move"]] {
            let lines = import(&archive, std::slice::from_ref(&path), flags, 1);
            assert_eq!(words(&lines, "outcome"), ["refused"]);
            assert!(lines[0]["note"].as_str().unwrap().contains("segment of this archive"), "{lines:?}");
        }
    }
    assert_eq!(archive.snapshot(), there);
    // A second name outside is an original like any other.
    let second = archive.outside().join("second.ts");
    fs::hard_link(&segment, &second).unwrap();
    let lines = import(&archive, std::slice::from_ref(&second), &["--start", START, "--move"], 0);
    assert_eq!(words(&lines, "outcome"), ["already_there"]);
    assert!(!second.exists() && archive.snapshot() == there);
}
