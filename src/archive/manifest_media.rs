//! What a manifest says of the media in its segments. A manifest of before says nothing of it, and is as good: what is said here tells no file from another
//! one, and makes none new.

use std::collections::HashMap;

use super::media_line::{LONGEST, MediaLine, segment_container};
use super::object_trailer::LARGEST_MANIFEST;
use super::{HourManifest, ManifestError, ManifestFile};

impl HourManifest {
    /// The same, with what is in these segments, by name.
    pub fn with_media(mut self, media: impl IntoIterator<Item = (Box<str>, MediaLine)>) -> Result<Self, ManifestError> {
        for (name, line) in media {
            let at = self.position(&name).filter(|_| segment_container(&name).is_some());
            let size = at.and_then(|at| self.files.get(at)).map(|file| file.size);
            let slot = at.filter(|_| size.is_some_and(|size| line.fits(size))).and_then(|at| self.media.get_mut(at));
            *slot.ok_or(ManifestError::Media(name))? = Some(line);
        }
        let lines = self.media.iter().flatten().count() as u64;
        if self.most_bytes() + lines * LONGEST > LARGEST_MANIFEST {
            return Err(ManifestError::TooMany(self.files.len() + self.tombstones.len()));
        }
        Ok(self)
    }

    /// The files, each with what is said of its media.
    pub fn files_and_media(&self) -> impl Iterator<Item = (&ManifestFile, Option<&MediaLine>)> {
        self.files.iter().zip(self.media.iter().map(Option::as_ref))
    }

    /// Of each file what is said of its media, by name and size; one that holds the same with less to say does not hide what another one says.
    pub fn media_of(manifests: &[Self]) -> HashMap<(&str, u64), MediaLine> {
        let all = manifests.iter().rev().flat_map(Self::files_and_media);
        all.filter_map(|(file, line)| Some(((&*file.name, file.size), line?.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::manifest_writer::sha256;
    use crate::archive::object_trailer::trailer_line;
    use crate::archive::test_manifests::any_hour;
    use crate::archive::test_names::hash_text;
    use crate::archive::{Hash, HourPlace};

    fn line(text: &str) -> MediaLine {
        MediaLine::parse(text).unwrap()
    }

    fn manifest(names: &[&str]) -> HourManifest {
        let place = HourPlace::parse("desertbus/source/2019-11-13T02").unwrap();
        let file = |name: &&str| ManifestFile { name: (*name).into(), size: 1_000, sha256: Hash([1; 32]) };
        HourManifest::new(place, names.iter().map(file).collect(), Vec::new()).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_said_of_media_makes_no_file_another_one(hour in any_hour()) {
            let said = hour.manifest();
            let tombstones = said.tombstones().to_vec();
            let unsaid = HourManifest::new(hour.place.clone(), said.files().to_vec(), tombstones).unwrap();
            // An hour that was sealed before, and one that was sealed since, hold the same: nothing is sent anew.
            for (one, other) in [(&said, &unsaid), (&unsaid, &said)] {
                prop_assert_eq!(one.without(&[other]), None);
                prop_assert_eq!(one.files(), other.files());
                prop_assert_eq!(one.offsets(), other.offsets());
            }
            let lines = said.files_and_media().filter(|(_, line)| line.is_some()).count();
            prop_assert_eq!(lines == 0, said.to_bytes() == unsaid.to_bytes());
            // What is new of an hour says of its files what all of it says.
            let Some(first) = said.files().first() else { return Ok(()) };
            let held = HourManifest::new(hour.place, vec![first.clone()], said.tombstones().to_vec()).unwrap();
            let rest: Vec<_> = said.files_and_media().skip(1).collect();
            let new = said.without(&[&held]);
            prop_assert_eq!(new.iter().flat_map(HourManifest::files_and_media).collect::<Vec<_>>(), rest);
        }
    }

    #[test]
    fn lines_are_of_segments_alone_and_of_what_fits_into_them() {
        let segment = format!("00:00.0-2.0-full-{}.ts", hash_text(1));
        let chat = format!("00:00-{}.json", hash_text(1));
        let said = |name: &str, text: &str| manifest(&[&segment, &chat]).with_media([(name.into(), line(text))]);
        assert!(said(&segment, "1").is_ok() && said(&segment, "1 init 1000 00000001").is_ok());
        for (name, text) in [(&*segment, "1 init 1001 00000001"), (&chat, "1"), ("10:00-2.0-full-none.ts", "1")] {
            assert_eq!(said(name, text), Err(ManifestError::Media(name.into())));
        }
    }

    #[test]
    fn of_two_objects_with_a_file_the_one_counts_that_says_more() {
        let name = format!("00:00.0-2.0-full-{}.ts", hash_text(1));
        let said = |text: &str| manifest(&[&name]).with_media([(name.as_str().into(), line(text))]).unwrap();
        let all = [manifest(&[&name]), said("1 picture 1 2"), said("1 picture 3 4")];
        let known = HourManifest::media_of(&all);
        assert_eq!(known.get(&(&*name, 1_000)), Some(&line("1 picture 1 2")), "the first object that says something");
        assert_eq!((known.len(), known.get(&(&*name, 999))), (1, None));
    }
    #[test]
    fn a_line_that_this_program_would_not_have_written_is_refused() {
        let segment = format!("00:00.0-2.0-full-{}.ts", hash_text(1));
        let chat = format!("00:01-{}.json", hash_text(1));
        let text = "1 picture 5 - begins 0000000a 0000000b 00000000 dependent init 9 0000000c";
        let manifest = manifest(&[&segment, &chat]).with_media([(segment.as_str().into(), line(text))]).unwrap();
        let written = String::from_utf8(manifest.to_bytes()).unwrap();
        let (before, _) = written.rsplit_once("# gapless trailer").unwrap();
        let begin = *manifest.offsets().last().unwrap();
        // The last line is right, whatever comes before it.
        let read = |from: &str, to: &str| {
            assert!(before.contains(from), "{from} is in none of {before}");
            let changed = before.replacen(from, to, 1);
            let range = begin..begin + written.len() as u64;
            let changed = format!("{changed}{}", trailer_line(&range, sha256(changed.as_bytes())));
            HourManifest::parse(changed.as_bytes()).map_err(|error| error.to_string())
        };
        assert_eq!(read("# media", "# media"), Ok(manifest.clone()));
        let all = format!("# media {text}\n");
        let shorter = all.replace(" init 9 0000000c", "");
        for (from, to, why) in [
            (text, "1 picture 5", "line 5: '# media 1 picture 5' is not '# media NUMBER'"),
            (text, "", "line 5: '# media ' is not"),
            (text, "one", "line 5: "),
            (text, "1 more", "line 5: "),
            (text, "01", "line 5: '# media 01' is not '# media NUMBER'"),
            ("picture 5", "picture +5", "line 5: "),
            ("picture 5", "picture 8589934597", "line 5: "),
            ("picture 5 -", "picture - -", "line 5: "),
            ("0000000a", "0000000A", "line 5: "),
            ("0000000a", "a", "line 5: "),
            ("0000000b 00000000", "0000000b 00000000 ends 0000000a 0000000b 00000000", "line 5: "),
            (" dependent", " dependent dependent", "line 5: "),
            (" dependent", " independent dependent", "line 5: "),
            ("init 9", "init 0", "line 5: "),
            ("init 9", "init 1001", "line 6: "),
            (&all, &format!("{all}{all}"), "line 6: "),
            (&format!("{all}01"), &format!("01{all}"), "line 5: "),
            ("#-", &format!("{shorter}#-"), "line 9: "),
            ("# offset 2048 size 1000\n", &format!("# offset 2048 size 1000\n{shorter}"), "' cannot have such media"),
        ] {
            let said = read(from, to).unwrap_err();
            assert!(said.contains(why), "{from:?} → {to:?}: {said}");
        }
    }
}
