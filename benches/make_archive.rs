//! Not a bench itself: makes the archives that the scripts measure with.
//!
//! `cargo bench --bench make_archive -- DIR QUALITIES HOURS PER_HOUR BYTES [true|linked|noted]` makes `DIR/bench/qN/HOUR/…`, `HOURS` hours in
//! each quality, `PER_HOUR` segments in each hour, with `BYTES` bytes of content. All have the same content, for which their names do not
//! vouch.
//!
//! - `true`: each has its own content, and its true hash in its name, so that other nodes take it.
//! - `linked`: the segments of an hour have from `BYTES` bytes on, each one more, without content; those of all hours are links to files in
//!   `DIR.files`. So there is one name for each segment, and an inode for each of an hour: ten million fit on a disk.
//! - `noted`: the same segments, none of which lies there: only the manifests of objects in a bucket, `DIR/.gapless/bucket/…`, as the program
//!   writes them.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use gapless::archive::{AnyFile, Hash, HourManifest, HourPlace, ManifestFile, MediaLine};
use sha2::{Digest as _, Sha256};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let kind = arguments.pop_if(|last| ["true", "linked", "noted"].contains(&last.as_str()));
    let [directory, numbers @ ..] = arguments.as_slice() else {
        // `cargo bench` without arguments runs all benches; there is nothing to measure here.
        return;
    };
    let base = PathBuf::from(directory);
    let numbers: Vec<u32> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [qualities, hours, per_hour, bytes]: [u32; 4] =
        numbers.as_slice().try_into().expect("DIR QUALITIES HOURS PER_HOUR BYTES");
    let files = PathBuf::from(format!("{directory}.files"));
    if kind.as_deref() == Some("linked") {
        make_linked(&files, per_hour, bytes);
    }
    let mut content = vec![0x47; bytes as usize];
    for quality in 0..qualities {
        let mut hour = support::hour(0);
        for number in 0..hours {
            let (place, of_archive) = (format!("bench/q{quality}/{hour}"), quality << 20 | number);
            match kind.as_deref() {
                Some("noted") => write_manifest(&base, &place, of_archive, per_hour, bytes),
                Some("linked") => link_segments(&base.join(place), &files, of_archive, per_hour),
                is_true => {
                    write_segments(&base.join(place), [quality, number], per_hour, &mut content, is_true.is_some());
                }
            }
            hour = hour.next();
        }
    }
}

fn write_segments(place: &Path, [quality, number]: [u32; 2], per_hour: u32, content: &mut [u8], is_true: bool) {
    fs::create_dir_all(place).expect("a directory");
    for of_hour in 0..per_hour {
        let mut segment = support::segment(quality << 20 | number, of_hour);
        if is_true {
            for (byte, own) in content.iter_mut().zip([quality, number, of_hour].map(u32::to_be_bytes).concat()) {
                *byte = own;
            }
            segment.key.hash = Hash(Sha256::digest(&content).into());
        }
        fs::write(place.join(AnyFile::Segment(segment).name()), &content).expect("a file");
    }
}

/// Files without content, of which the segments of all hours are links.
fn make_linked(files: &Path, per_hour: u32, bytes: u32) {
    fs::create_dir_all(files).expect("a directory");
    for of_hour in 0..per_hour {
        let file = File::create(files.join(of_hour.to_string())).expect("a file");
        file.set_len(u64::from(bytes) + u64::from(of_hour)).expect("its length");
    }
}

fn link_segments(place: &Path, files: &Path, hour: u32, per_hour: u32) {
    fs::create_dir_all(place).expect("a directory");
    for of_hour in 0..per_hour {
        fs::hard_link(files.join(of_hour.to_string()), place.join(support::name(hour, of_hour))).expect("a link");
    }
}

/// What is noted of an object with all of an hour.
fn write_manifest(base: &Path, place: &str, hour: u32, per_hour: u32, bytes: u32) {
    let (mut files, mut media) = (Vec::new(), Vec::new());
    for of_hour in 0..per_hour {
        let name: Box<str> = support::name(hour, of_hour).into();
        media.push((name.clone(), MediaLine::new(support::edges(hour, of_hour))));
        let sha256 = support::segment(hour, of_hour).key.hash;
        files.push(ManifestFile { name, size: u64::from(bytes) + u64::from(of_hour), sha256 });
    }
    let manifest = HourManifest::new(HourPlace::parse(place).expect("an hour"), files, Vec::new());
    let manifest = manifest.and_then(|manifest| manifest.with_media(media)).expect("a manifest");
    let dir = base.join(".gapless/bucket").join(place);
    fs::create_dir_all(&dir).expect("a directory");
    let text = manifest.to_bytes();
    let name = format!("{}.sha256", manifest.object_name().manifest.hexadecimal());
    fs::write(dir.join(name), text).expect("a manifest");
}
