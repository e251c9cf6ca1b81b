//! Sealed hours for property tests, with names and paths of all kinds and contents of all sizes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::media_line::segment_container;
use super::name::{is_tombstone, stem};
use super::test_names::any_name;
use super::{
    Edges, Extent, Hash, Hour, HourManifest, HourPlace, InitSection, ManifestFile, MediaLine, Stream, TimeStamp, Tracks,
};

/// An hour that can be sealed, and what is in its files.
#[derive(Debug, Clone)]
pub struct TestHour {
    /// The hour.
    pub place: HourPlace,
    /// Contents by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Names.
    pub tombstones: Vec<String>,
    /// What is said of segments, for as many of them as there are such lines.
    pub media: Vec<Option<MediaLine>>,
}

impl TestHour {
    /// Of these files, without those that are never visible and those that are hidden.
    pub fn new(place: HourPlace, mut files: BTreeMap<String, Vec<u8>>) -> Self {
        files.retain(|name, _| !name.is_empty() && !name.starts_with('.'));
        let tombstones: Vec<String> = files.keys().filter(|name| is_tombstone(name)).cloned().collect();
        files.retain(|name, _| !tombstones.iter().any(|tombstone| stem(tombstone) == stem(name)));
        Self { place, files, tombstones, media: Vec::new() }
    }

    /// The files as a manifest lists them, in the order of their names.
    pub fn listed(&self) -> Vec<ManifestFile> {
        let listed = |(name, content): (&String, &Vec<u8>)| ManifestFile {
            name: name.as_str().into(),
            size: content.len() as u64,
            sha256: Hash(Sha256::digest(content).into()),
        };
        self.files.iter().map(listed).collect()
    }

    /// Its manifest.
    ///
    /// # Panics
    /// If it can have none.
    pub fn manifest(&self) -> HourManifest {
        let tombstones = self.tombstones.iter().map(|name| name.as_str().into()).collect();
        let manifest = HourManifest::new(self.place.clone(), self.listed(), tombstones).unwrap();
        let segments = self.files.iter().filter(|(name, _)| segment_container(name).is_some());
        let said = segments.zip(&self.media).filter_map(|((name, content), line)| Some((name, content, line.clone()?)));
        let said = said.filter(|(_, content, line)| line.fits(content.len() as u64));
        manifest.with_media(said.map(|(name, _, line)| (name.as_str().into(), line))).unwrap()
    }
}

/// Any hour: mostly segments, with few files.
///
/// # Panics
/// If a name here is none.
pub fn any_hour() -> impl Strategy<Value = TestHour> {
    let component = || {
        let odd = ["wüste", "a\\b", "new\nline\r", "-x", " lead ", "#c", "日本語"].map(str::to_owned);
        let long = ["c".repeat(140), "x".repeat(255), "é".repeat(127)];
        prop_oneof![3 => Just("desertbus".to_owned()), 1 => Just("source".to_owned()),
            1 => prop::sample::select(odd.to_vec()), 1 => prop::sample::select(long.to_vec())]
    };
    let odd_name = prop_oneof![Just("n".repeat(255)), "[ -.0-~é\n\r\\\\]{1,40}(\\.ts|\\.json|\\.tombstone)?"];
    let name = prop_oneof![4 => any_name(), 1 => odd_name];
    let size = prop_oneof![prop::sample::select(vec![0, 1, 511, 512, 513, 1_024]), 0..3_000_usize];
    let content =
        (size, any::<u8>()).prop_map(|(size, first)| (0..251).map(|at| at ^ first).cycle().take(size).collect());
    let hour = prop_oneof![Just("2019-11-13T02"), Just("1969-12-31T23"), Just("9999-12-31T23")];
    let files = prop::collection::btree_map(name, content, 0..12);
    let media = prop::collection::vec(prop::option::of(any_media()), 0..12);
    (component(), component(), hour, files, media).prop_map(|(channel, quality, hour, files, media)| {
        let (stream, hour) = (Stream::new(&channel, &quality).unwrap(), Hour::parse(hour).unwrap());
        TestHour { media, ..TestHour::new(HourPlace { stream, hour }, files) }
    })
}

/// Whatever may be said of the media in a segment.
pub fn any_media() -> impl Strategy<Value = MediaLine> {
    let stamp = || prop::option::of(prop_oneof![Just(0), Just((1 << 33) - 1), 0..1_i64 << 33]);
    let extent = || {
        let stamps = (stamp(), stamp());
        stamps.prop_map(|(first, end)| Extent { first: first.map(TimeStamp::new), end: end.map(TimeStamp::new) })
    };
    let tracks = || {
        let sum = || prop_oneof![Just(0), any::<u32>()];
        (sum(), sum(), sum()).prop_map(|(streams, picture, sound)| Tracks { streams, picture, sound })
    };
    let section = prop::option::of((prop_oneof![1..800_u32, any::<u32>()], any::<u32>()));
    let all = (extent(), extent(), tracks(), prop::option::of(tracks()), any::<Option<bool>>(), section);
    all.prop_map(|(picture, sound, begins, ends, independent, init)| {
        let init = init.and_then(|(length, print)| InitSection::new(length, print));
        MediaLine::new(Edges { picture, sound, begins, ends: ends.unwrap_or(begins), independent, init })
    })
}
