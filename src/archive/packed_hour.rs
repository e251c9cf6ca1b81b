//! How a sealed hour is packed into one object: a plain tar of its files, with its manifest as the last member.
//!
//! All of it follows from the manifest. Which bytes of which files make up a part of the object is answered for any range, so that an hour
//! is sent in parts, each as often as it takes, and the tar is never made; and whoever has the manifest knows where in the object a file
//! lies. The form is described in `docs/archive-format.md`.

use std::borrow::Cow;
use std::ops::Range;

use super::manifest_writer::sha256;
use super::name::leading_time_us;
use super::segment::Hash;
use super::tar_member::{END, END_BYTES, header, padding};
use super::time::SECOND_US;
use super::{HourManifest, ManifestFile, ObjectName, Span, Timestamp};

static ZEROS: [u8; END] = [0; END];

/// A sealed hour as an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedHour {
    manifest: HourManifest,
    text: Vec<u8>,
    hash: Hash,
    /// Where the content of each member begins; the last one is the manifest.
    offsets: Vec<u64>,
}

/// A piece of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectPiece<'p> {
    /// These bytes: a header, the zeros behind a file, the manifest, the end; or a part of one.
    Bytes(Cow<'p, [u8]>),
    /// These bytes of a file, which has more than none in this range.
    File(&'p ManifestFile, Range<u64>),
}

impl PackedHour {
    /// Of the hour with this manifest.
    pub fn plan(manifest: HourManifest) -> Self {
        let (text, offsets) = (manifest.to_bytes(), manifest.offsets());
        Self { hash: sha256(&text), manifest, text, offsets }
    }

    /// The manifest.
    pub fn manifest(&self) -> &HourManifest {
        &self.manifest
    }

    /// Its bytes, which are the same in the tar and beside the archive.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Where it lies in the object.
    pub fn manifest_range(&self) -> Range<u64> {
        let begin = self.offsets.last().copied().unwrap_or_default();
        begin..begin + self.text.len() as u64
    }

    /// What it is called in a bucket.
    pub fn object_name(&self) -> ObjectName {
        ObjectName { place: self.manifest.place().clone(), manifest: self.hash }
    }

    /// Bytes of the object.
    pub fn size(&self) -> u64 {
        self.manifest_range().end + END_BYTES
    }

    /// Where the content of a file lies in the object; `None` if there is none of this name.
    pub fn range_of(&self, name: &str) -> Option<Range<u64>> {
        self.manifest.position(name).map(|at| self.content(at))
    }

    /// What makes up this part of the object, in order. Pieces are not larger than a file; nothing is read here.
    pub fn pieces(&self, part: Range<u64>) -> impl Iterator<Item = ObjectPiece<'_>> {
        // The part may begin with the header of the one behind it.
        let first = self.offsets.partition_point(|offset| *offset <= part.start).saturating_sub(1);
        let end = part.end;
        let members = (first..self.offsets.len()).take_while(move |at| self.begin(*at) < end);
        members.flat_map(move |at| self.pieces_of(at, &part).into_iter().flatten())
    }

    /// Of one member: header, content, the zeros behind it, and the end.
    fn pieces_of(&self, at: usize, part: &Range<u64>) -> [Option<ObjectPiece<'_>>; 4] {
        let (begin, content) = (self.begin(at), self.content(at));
        let next = content.end + padding(content.end - content.start);
        let header = common(part, begin..content.start).map(|range| {
            let header = self.header(at);
            ObjectPiece::Bytes(Cow::Owned(slice(&header, range).to_vec()))
        });
        let file = self.manifest.files().get(at);
        let content_piece = common(part, content.clone()).map(|range| match file {
            Some(file) => ObjectPiece::File(file, range),
            None => ObjectPiece::Bytes(Cow::Borrowed(slice(&self.text, range))),
        });
        let end = if file.is_some() { next } else { next + END_BYTES };
        let zeros = |range| ObjectPiece::Bytes(Cow::Borrowed(slice(&ZEROS, range)));
        [header, content_piece, common(part, content.end..next).map(zeros), common(part, next..end).map(zeros)]
    }

    /// Where the header of a member begins.
    fn begin(&self, at: usize) -> u64 {
        let Some(before) = at.checked_sub(1) else { return 0 };
        let content = self.content(before);
        content.end + padding(content.end - content.start)
    }

    /// Where the content of the file lies that is at this place in the order of the manifest.
    pub fn content(&self, at: usize) -> Range<u64> {
        let begin = self.offsets.get(at).copied().unwrap_or_default();
        let size = self.manifest.files().get(at).map_or(self.text.len() as u64, |file| file.size);
        begin..begin + size
    }

    fn header(&self, at: usize) -> Vec<u8> {
        let hour = self.manifest.place().hour.start();
        let second = |time: Timestamp| time.us().div_euclid(SECOND_US);
        if let Some(file) = self.manifest.files().get(at) {
            let start = hour + Span(leading_time_us(&file.name).unwrap_or_default().into());
            return header(&self.manifest.path_of(file), file.size, second(start), file.sha256);
        }
        header(&self.manifest.path(), self.text.len() as u64, second(hour), self.hash)
    }
}

/// What both have, counted from the beginning of the second one; `None` if that is nothing.
fn common(part: &Range<u64>, of: Range<u64>) -> Option<Range<u64>> {
    let (begin, end) = (part.start.max(of.start), part.end.min(of.end));
    (begin < end).then(|| begin - of.start..end - of.start)
}

fn slice(bytes: &[u8], range: Range<u64>) -> &[u8] {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    bytes.get(index(range.start)..index(range.end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::object_trailer::read_trailer;
    use crate::archive::test_manifests::{TestHour, any_hour};
    use crate::archive::test_names::hash_text;
    use crate::archive::{HourPlace, object_trailer};
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    fn written(packed: &PackedHour, hour: &TestHour, part: Range<u64>) -> Vec<u8> {
        let bytes = |piece: ObjectPiece<'_>| match piece {
            ObjectPiece::Bytes(bytes) => bytes.into_owned(),
            ObjectPiece::File(file, range) => slice(&hour.files[&*file.name], range).to_vec(),
        };
        packed.pieces(part).flat_map(bytes).collect()
    }

    /// As one who has nothing but the object.
    fn read(object: &[u8]) -> Option<HourManifest> {
        let last_bytes = &object[object.len().saturating_sub(64 << 10)..];
        let range = read_trailer(last_bytes, object.len() as u64).ok()?;
        HourManifest::parse(slice(object, range)).ok()
    }

    fn said(program: &str, arguments: &[&str], base: &Path) -> String {
        // In the locale "C", bsdtar unpacks names in other scripts, and complains.
        let mut command = Command::new(program);
        let output = command.args(arguments).current_dir(base).env("LC_ALL", "C.UTF-8").output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// Every file beneath a directory.
    fn count(directory: &Path) -> usize {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }

    /// Programs that read tars, as far as they are installed; GNU's is.
    fn tar_programs() -> impl Iterator<Item = &'static str> {
        ["tar", "bsdtar"]
            .into_iter()
            .filter(|name| *name == "tar" || Command::new(name).arg("--version").output().is_ok())
    }

    proptest! {
        #[test]
        fn any_part_is_that_part_of_the_whole(hour in any_hour(), a: prop::sample::Index, b: prop::sample::Index) {
            let packed = PackedHour::plan(hour.manifest());
            let whole = written(&packed, &hour, 0..u64::MAX);
            prop_assert_eq!(whole.len() as u64, packed.size());
            prop_assert_eq!(whole.len() % 512, 0);
            let (a, b) = (a.index(whole.len() + 1), b.index(whole.len() + 1));
            let (from, to) = (a.min(b), a.max(b));
            prop_assert_eq!(written(&packed, &hour, from as u64..to as u64), &whole[from..to]);
            for (name, content) in &hour.files {
                prop_assert_eq!(slice(&whole, packed.range_of(name).unwrap()), content);
            }
            prop_assert_eq!(slice(&whole, packed.manifest_range()), packed.manifest_bytes());
            prop_assert_eq!(packed.range_of("of another hour.ts"), None);
            prop_assert_eq!(packed.object_name(), packed.manifest().object_name());
        }

        #[test]
        fn an_object_is_read_by_its_end_and_none_that_is_cut_off_or_damaged_there(hour in any_hour(), flipped: prop::sample::Index, bit in 0..8_u8) {
            let packed = PackedHour::plan(hour.manifest());
            let mut object = written(&packed, &hour, 0..u64::MAX);
            prop_assert_eq!(read(&object), Some(hour.manifest()));
            for length in 0..object.len() {
                prop_assert!(read_trailer(&object[..length], length as u64).is_err(), "{length} of {} bytes", object.len());
            }
            let begin = usize::try_from(packed.manifest_range().start).unwrap();
            let at = begin + flipped.index(object.len() - begin);
            object[at] ^= 1 << bit;
            prop_assert_eq!(read(&object), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn tar_unpacks_an_hour_and_its_manifest_which_sha256sum_takes(hour in any_hour()) {
            let packed = PackedHour::plan(hour.manifest());
            for program in tar_programs() {
                let base = tempfile::tempdir().unwrap();
                fs::write(base.path().join("object.tar"), written(&packed, &hour, 0..u64::MAX)).unwrap();
                let told = said(program, &["-xf", "object.tar"], base.path());
                let is_to_come = told.contains("in the future") && hour.place.to_string().ends_with("9999-12-31T23");
                prop_assert!(told.is_empty() || is_to_come, "{told}");
                let place = base.path().join(hour.place.path());
                for (name, content) in &hour.files {
                    prop_assert_eq!(&fs::read(place.join(name)).unwrap(), content, "{}", name);
                }
                let manifest = packed.manifest().path();
                prop_assert_eq!(&fs::read(base.path().join(&manifest)).unwrap(), packed.manifest_bytes());
                if hour.place.hour.to_string() == "2019-11-13T02" {
                    let time = fs::metadata(base.path().join(&manifest)).unwrap().modified().unwrap();
                    prop_assert_eq!(Timestamp::from(time), hour.place.hour.start());
                }
                prop_assert_eq!(count(base.path()), hour.files.len() + 2);
                let checked = said("sha256sum", &["--strict", "--warn", "--quiet", "-c", "--", &manifest], base.path());
                if hour.files.is_empty() {
                    prop_assert!(checked.contains("no properly formatted checksum lines found"), "{checked}");
                } else {
                    prop_assert_eq!(checked, "");
                }
            }
        }
    }

    #[test]
    fn an_hour_of_a_recorder_is_found_where_it_was_said() {
        let place = HourPlace::parse("desertbus/source/2019-11-13T02").unwrap();
        let file = |number: usize| ManifestFile {
            name: format!("{:02}:{:02}.0-2.0-full-{}.ts", number / 30, number % 30 * 2, hash_text(1)).into(),
            size: 2_500_000,
            sha256: Hash([1; 32]),
        };
        let packed = PackedHour::plan(HourManifest::new(place, (0..1_800).map(file).collect(), Vec::new()).unwrap());
        assert_eq!(packed.range_of(&file(0).name), Some(512..2_500_512));
        assert_eq!(packed.range_of(&file(1_799).name).unwrap().start, 1_799 * (512 + 2_500_096) + 512);
        // A part that is sent: of 64 MiB from the tenth on.
        let part = 10 * (64 << 20)..11 * (64 << 20);
        let sizes = packed.pieces(part.clone()).map(|piece| match piece {
            ObjectPiece::Bytes(bytes) => bytes.len() as u64,
            ObjectPiece::File(_, range) => range.end - range.start,
        });
        assert_eq!(sizes.sum::<u64>(), part.end - part.start);
        assert!(packed.manifest_bytes().len() < 600_000, "{}", packed.manifest_bytes().len());
        assert!(packed.manifest_bytes().len() as u64 <= object_trailer::LARGEST_MANIFEST);
    }

    #[test]
    fn the_bytes_of_an_object_of_format_1_stay_as_they_are() {
        let place = HourPlace::parse("wüste/source/2019-11-13T02").unwrap();
        let names = [format!("00:00.5-2.0-full-{}.ts", hash_text(1)), "odd\n.json".to_owned()];
        let hour = TestHour::new(place, names.map(|name| (name, b"content".to_vec())).into());
        let packed = PackedHour::plan(hour.manifest());
        let object = written(&packed, &hour, 0..u64::MAX);
        assert_eq!(sha256(&object).hexadecimal(), "b05f62f551256e8bc397730fe960ef6614f0194b56f4ccc330d8179e73ee66f3");
    }
}
