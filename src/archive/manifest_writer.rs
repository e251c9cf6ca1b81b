//! How the manifest of a sealed hour is written: lines as `sha256sum` has them, and everything else in comments.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::object_trailer::{TRAILER_BYTES, trailer_line};
use super::segment::Hash;
use super::tar_member::{header_len, padding};
use super::{HourManifest, ObjectName};

/// The first line.
pub(super) const FIRST_LINE: &str = "# gapless sealed hour v1";

impl HourManifest {
    /// Where each file's content begins in the tar that they are packed into; the last number is where the manifest does.
    pub fn offsets(&self) -> Vec<u64> {
        let paths = self.files().iter().map(|file| (self.path_of(file), file.size)).chain([(self.path(), 0)]);
        let mut end = 0;
        let place_of = |(path, size): (String, u64)| {
            let begin = end + header_len(&path);
            end = begin + size + padding(size);
            begin
        };
        paths.map(place_of).collect()
    }

    /// What lies in the file; the last line is the trailer. The size is a multiple of 512.
    pub fn to_bytes(&self) -> Vec<u8> {
        let offsets = self.offsets();
        let mut text = String::with_capacity(1_024 + self.files().len() * 384);
        // A write to a String cannot fail.
        let mut write = |line: std::fmt::Arguments<'_>| text.write_fmt(line).unwrap_or_default();
        write(format_args!("{FIRST_LINE}\n# hour {}\n", escaped(&self.place().to_string())));
        let (files, tombstones) = (self.files().len(), self.tombstones().len());
        write(format_args!("# files {files} bytes {} tombstones {tombstones}\n", self.bytes()));
        for name in self.tombstones() {
            write(format_args!("# tombstone {}\n", escaped(name)));
        }
        for ((file, media), offset) in self.files_and_media().zip(&offsets) {
            let path = self.path_of(file);
            let shown = escaped(&path);
            let mark = if *shown == *path { "" } else { "\\" };
            write(format_args!("# offset {offset} size {}\n", file.size));
            if let Some(media) = media {
                write(format_args!("# media {media}\n"));
            }
            write(format_args!("{mark}{}  {shown}\n", file.sha256.hexadecimal()));
        }
        let open = usize::try_from(padding(text.len() as u64 + TRAILER_BYTES)).unwrap_or_default();
        // No line has less than two bytes: a line break alone would be none of a comment.
        let filler = if open < 2 { open + 512 } else { open };
        text.extend(["#", &"-".repeat(filler - 2), "\n"]);
        let begin = offsets.last().copied().unwrap_or_default();
        let end = begin + text.len() as u64 + TRAILER_BYTES;
        text.push_str(&trailer_line(&(begin..end), sha256(text.as_bytes())));
        text.into_bytes()
    }

    /// The SHA-256 of the manifest in hexadecimal digits: what its object is named by.
    pub fn id(&self) -> String {
        sha256(&self.to_bytes()).hexadecimal()
    }

    /// What their object is called.
    pub fn object_name(&self) -> ObjectName {
        ObjectName { place: self.place().clone(), manifest: sha256(&self.to_bytes()) }
    }
}

/// A name as `sha256sum` writes it in a line that begins with a backslash.
pub(super) fn escaped(name: &str) -> Cow<'_, str> {
    if !name.contains(['\\', '\n', '\r']) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r"))
}

pub(super) fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// The name that is escaped so; `None` if nothing is.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        name.push(match next {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tar_member::BLOCK;
    use crate::archive::test_manifests::any_hour;
    use crate::archive::test_names::hash_text;
    use crate::archive::{HourPlace, ManifestFile, MediaLine};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_manifest_fills_whole_blocks_and_one_line_of_it_names_each_file(hour in any_hour()) {
            let bytes = hour.manifest().to_bytes();
            prop_assert_eq!(bytes.len() as u64 % BLOCK, 0);
            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(!text.contains('\r') && text.ends_with('\n') && !text.contains("\n\n"));
            let files = text.lines().filter(|line| !line.starts_with('#')).count();
            prop_assert_eq!(files, hour.files.len());
        }

        #[test]
        fn a_name_is_escaped_and_read_again(name in "[ -~\\\\\n\ré]{0,40}") {
            let text = escaped(&name);
            prop_assert!(!text.contains(['\n', '\r']));
            prop_assert_eq!(unescaped(&text), Some(name));
        }
    }

    /// A segment, an odd name and a tombstone.
    fn example() -> HourManifest {
        let place = HourPlace::parse("desertbus/source/2019-11-13T02").unwrap();
        let (size, sha256) = (1_000, Hash([1; 32]));
        let file = |called: &str| ManifestFile { name: called.into(), size, sha256 };
        let files = vec![file("odd \\ name.ts"), file(&example_segment())];
        let tombstone = format!("00:02-2.0-full-{}.tombstone", hash_text(2));
        HourManifest::new(place, files, vec![tombstone.into()]).unwrap()
    }

    fn example_segment() -> String {
        format!("00:00.0-2.0-full-{}.ts", hash_text(1))
    }

    /// What stands before the filling, with so much more in front of the hash of the first file.
    fn expected(media: &str) -> String {
        let hash = "01".repeat(32);
        format!(
            "# gapless sealed hour v1\n\
             # hour desertbus/source/2019-11-13T02\n\
             # files 2 bytes 2000 tombstones 1\n\
             # tombstone 00:02-2.0-full-{}.tombstone\n\
             # offset 512 size 1000\n\
             {media}{hash}  desertbus/source/2019-11-13T02/00:00.0-2.0-full-{}.ts\n\
             # offset 2048 size 1000\n\
             \\{hash}  desertbus/source/2019-11-13T02/odd \\\\ name.ts\n\
             #-",
            hash_text(2),
            hash_text(1)
        )
    }

    #[test]
    fn the_bytes_of_format_1_stay_as_they_are() {
        let media =
            "# media 1 picture 900000 1080000 sound 898560 1078848 begins 9f31c2aa 5b0c77de 10e2f4a1 independent\n";
        let line = MediaLine::parse(media["# media ".len()..].trim_end()).unwrap();
        let manifest = example().with_media([(example_segment().into(), line)]).unwrap();
        let text = String::from_utf8(manifest.to_bytes()).unwrap();
        assert!(text.starts_with(&expected(media)), "{text}");
        let trailer = text.lines().last().unwrap();
        assert!(trailer.starts_with("# gapless trailer v1 00000000000000003584 00000000000000001024 "), "{text}");
        let page = include_str!("../../docs/archive-format.md");
        assert!(page.contains(trailer) && page.contains(media), "the document shows it: {text}");
        assert_eq!(
            manifest.object_name().to_string(),
            format!("v1/desertbus/source/2019-11-13T02/{}.tar", manifest.id())
        );
        assert_eq!(manifest.path(), ".gapless/sealed/desertbus/source/2019-11-13T02.sha256");
    }

    #[test]
    fn a_manifest_of_before_which_says_nothing_of_media_is_read_and_written_as_it_was() {
        let manifest = example();
        let bytes = manifest.to_bytes();
        let text = str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with(&expected("")), "{text}");
        let trailer = text.lines().last().unwrap();
        let was = "# gapless trailer v1 00000000000000003584 00000000000000001024 eeb164cbf70ff73c4174902d03ab6e3ff926ed65afa1d005c9a8d4f1d7334bba";
        assert_eq!(trailer, was);
        assert_eq!(manifest.id(), "8f630814c3bea4aaf7695c351b71dbd0e098569fb45e8770bd4642edf1c20141");
        let read = HourManifest::parse(&bytes).unwrap();
        assert!(read == manifest && read.files_and_media().all(|(_, line)| line.is_none()));
    }
}
