//! Lists of segments that lie in a bucket alone are as they were when the files lay here, by what manifests say of them.

use std::fs;
use std::time::Duration;

use super::media::{LASTS, SMALL, changes, film, lay, told, whole};
use super::{Archive, HOUR, name};
use crate::archive::{Hash, HourManifest, HourPlace, ManifestFile, MediaLine, Timestamp, media_reader};
use crate::disk::{Base, BucketManifests};

/// What is said of a segment of this name that is read whole.
fn line(name: &str, content: &[u8]) -> MediaLine {
    let mut reader = media_reader(name).unwrap();
    reader.push(content);
    MediaLine::new(reader.finish())
}

/// Notes an object with these files; of each what is said of it.
fn note(archive: &Archive, files: &[(String, Vec<u8>, Option<MediaLine>)]) {
    let listed = |(name, content, _): &(String, Vec<u8>, Option<MediaLine>)| ManifestFile {
        name: name.as_str().into(),
        size: content.len() as u64,
        sha256: Hash([1; 32]),
    };
    let place = HourPlace::parse(HOUR).unwrap();
    let manifest = HourManifest::new(place.clone(), files.iter().map(listed).collect(), Vec::new()).unwrap();
    let said = files.iter().filter_map(|(name, _, line)| Some((name.as_str().into(), line.clone()?)));
    let manifest = manifest.with_media(said).unwrap();
    let base = Base::open(archive.directory.path()).unwrap();
    BucketManifests::of(&base).write(&place, manifest.object_name().manifest, &manifest.to_bytes()).unwrap();
    archive.look();
}

/// The segments of the hour, each with what is said of it.
fn recorded() -> Vec<(String, Vec<u8>, Option<MediaLine>)> {
    let (segments, _) = changes();
    let named = |(slot, content): (u32, Vec<u8>)| {
        let name = name(slot, "2.0", "full");
        let line = line(&name, &content);
        (name, content, Some(line))
    };
    (0..).zip(segments).map(named).collect()
}

fn facts_in_index(archive: &Archive) -> usize {
    archive.keeper.index().facts("a/source", Timestamp::parse(super::BEGIN).unwrap().hour()).unwrap().len()
}

#[test]
fn what_lies_in_a_bucket_alone_is_told_as_it_was_here() {
    let (here, away) = (Archive::new(), Archive::new());
    let breaks = lay(&here);
    let before = here.ask(&whole(&here, 22));
    assert_eq!(told(&before), breaks);
    note(&away, &recorded());
    for gone in [false, true] {
        if gone {
            fs::remove_dir(away.directory.path().join(HOUR)).unwrap();
            away.look();
        }
        assert_eq!(away.ask(&whole(&away, 22)), before);
    }
    assert_eq!(facts_in_index(&away), 0, "the manifests lie here as well");
}

#[test]
fn what_a_manifest_of_before_does_not_say_is_not_known_and_costs_a_list_nothing() {
    let archive = Archive::new();
    let unsaid: Vec<_> = recorded().into_iter().map(|(name, content, _)| (name, content, None)).collect();
    note(&archive, &unsaid);
    let text = archive.ask(&whole(&archive, 22));
    assert!(text.matches("#EXTINF").count() == 11 && told(&text).is_empty(), "{text}");
    // Another object with some of them says more.
    note(&archive, &recorded()[..3]);
    assert_eq!(told(&archive.ask(&whole(&archive, 22))), [2]);
}

#[test]
fn what_lies_here_is_read_whatever_a_manifest_says_of_it() {
    let archive = Archive::new();
    let other = film(0, SMALL, true);
    let lie = |(name, content, _): (String, Vec<u8>, Option<MediaLine>)| {
        let line = line(&name, &other);
        (name, content, Some(line))
    };
    let lies: Vec<_> = recorded().into_iter().map(lie).collect();
    let one = name(1, "2.0", "full");
    archive.put_with(&one, &film(LASTS, SMALL, true));
    note(&archive, &lies);
    let question = whole(&archive, 22);
    // Each is said to begin anew; the second one is here.
    assert_eq!(told(&archive.ask(&question)), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    // The others come back, and the same list is right a minute later; what was said of them is forgotten.
    let breaks = lay(&archive);
    archive.clock.pass(Duration::from_secs(61));
    assert_eq!(told(&archive.ask(&question)), breaks);
}
