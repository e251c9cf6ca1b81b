//! An object of a sealed hour is read without gapless, by the program that its document shows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use gapless::archive::{Hash, HourManifest, HourPlace, ManifestFile, MediaLine, ObjectPiece, PackedHour, media_reader};
use sha2::{Digest as _, Sha256};

use crate::support::archive::hash_text;

/// The program in docs/archive-format.md.
fn reader() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/archive-format.md")).unwrap();
    let (_, behind) = page.split_once("```python\n").expect("the page has a program");
    let program = behind.split_once("```").unwrap().0.to_owned();
    assert!(program.lines().count() <= 30, "{} lines", program.lines().count());
    program
}

fn packed(files: &BTreeMap<&str, Vec<u8>>) -> PackedHour {
    let place = HourPlace::parse("wüstenbus/source/2019-11-13T02").unwrap();
    let listed = files.iter().map(|(name, content)| ManifestFile {
        name: (*name).into(),
        size: content.len() as u64,
        sha256: Hash(Sha256::digest(content).into()),
    });
    let tombstones = vec!["00:06-2.0-full-x.tombstone".into()];
    let manifest = HourManifest::new(place, listed.collect(), tombstones).unwrap();
    // What is said of media stands in comments as well.
    let media = files.iter().filter_map(|(name, content)| {
        let mut reader = media_reader(name)?;
        reader.push(content);
        Some((Box::from(*name), MediaLine::new(reader.finish())))
    });
    PackedHour::plan(manifest.with_media(media).unwrap())
}

fn object(packed: &PackedHour, files: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
    let bytes = |piece: ObjectPiece<'_>| match piece {
        ObjectPiece::Bytes(bytes) => bytes.into_owned(),
        ObjectPiece::File(file, range) => {
            files[&*file.name][usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec()
        }
    };
    packed.pieces(0..packed.size()).flat_map(bytes).collect()
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new("python3").arg(program).args(arguments).env("PYTHONUTF8", "1").output().expect("python3 is here")
}

#[test]
fn the_program_in_the_document_reads_an_object_and_refuses_what_is_damaged() {
    let sizes = [0, 1, 512, 100_000];
    let segment = format!("00:00-2.0-full-{}.ts", hash_text(b""));
    let names = [&*segment, "00:02.5-2.0-full-b.mp4", "odd \\n\nname é.ts", "00:04-chat.json"];
    let content = |size: usize| (0..251_u8).cycle().take(size).collect::<Vec<u8>>();
    let files: BTreeMap<&str, Vec<u8>> = names.into_iter().zip(sizes.map(content)).collect();
    let packed = packed(&files);
    assert_eq!(packed.manifest().files_and_media().filter(|(_, line)| line.is_some()).count(), 1);
    let directory = tempfile::tempdir().unwrap();
    let (program, path) = (directory.path().join("reader.py"), directory.path().join("object.tar"));
    fs::write(&program, reader()).unwrap();
    let mut object = object(&packed, &files);
    fs::write(&path, &object).unwrap();
    let path_text = path.to_str().unwrap();

    let listed = run(&program, &[path_text]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let line = |file: &ManifestFile| format!("{} {}\n", file.size, packed.manifest().path_of(file));
    let expected: Vec<String> = packed.manifest().files().iter().map(line).collect();
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), expected.concat());
    for file in packed.manifest().files() {
        let read = run(&program, &[path_text, &packed.manifest().path_of(file)]);
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        assert_eq!(read.stdout, files[&*file.name], "{}", file.name);
    }

    let large = packed.manifest().files().iter().max_by_key(|file| file.size).unwrap();
    let at = usize::try_from(packed.range_of(&large.name).unwrap().start).unwrap() + 70_000;
    object[at] ^= 4;
    fs::write(&path, &object).unwrap();
    let damaged = run(&program, &[path_text, &packed.manifest().path_of(large)]);
    assert!(!damaged.status.success() && damaged.stdout.is_empty());
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("damaged file"));

    let at = usize::try_from(packed.manifest_range().start).unwrap() + 100;
    object[at] ^= 4;
    fs::write(&path, &object).unwrap();
    let damaged = run(&program, &[path_text]);
    assert!(!damaged.status.success() && damaged.stdout.is_empty());
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("damaged manifest"));

    fs::write(&path, &object[..object.len() - 512]).unwrap();
    assert!(String::from_utf8_lossy(&run(&program, &[path_text]).stderr).contains("no object of a sealed hour"));
}
