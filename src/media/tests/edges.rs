//! Which segments go on where the one before them ended, and what of that is known from their ends alone.

use proptest::prelude::*;

use crate::media::{Change, Coding, Edges, Extent, Front, Mux, TICKS, TimeStamp, Tracks, WINDOW, WRAP, checksum};

/// Parameter sets of a picture: only that they differ matters.
const SMALL: &[u8] = &[0x67, 0x4d, 0x40, 0x1f, 0x95];
const LARGE: &[u8] = &[0x67, 0x64, 0x00, 0x28, 0xac];
/// 25 pictures a second.
const STEP: i64 = 3_600;
/// Two seconds.
const PICTURES: i64 = 50;
const LASTS: i64 = PICTURES * STEP;
const LASTS_US: i64 = 2_000_000;
/// A frame of AAC.
const FRAME: i64 = 1_920;

/// What a segment is made of.
#[derive(Debug, Clone, Copy)]
struct Film {
    video: Option<&'static [u8]>,
    /// By its rate and channels.
    sound: Option<[u8; 2]>,
    /// Bytes of a picture.
    size: usize,
    /// So much later is sound sent than it is heard.
    sound_late: i64,
}

const STEREO: [u8; 2] = [0x4c, 0x80];
const MONO: [u8; 2] = [0x4c, 0x40];
const FILM: Film = Film { video: Some(SMALL), sound: Some(STEREO), size: 40, sound_late: 0 };

fn frame([third, fourth]: [u8; 2]) -> Vec<u8> {
    vec![0xff, 0xf1, third, fourth, 1, 0x3f, 0xfc, 1, 2]
}

impl Film {
    /// Two seconds, beginning with this time stamp.
    fn segment(self, first: i64) -> Vec<u8> {
        let mut mux = Mux::new(self.video.map(|_| Coding::H264), self.sound.map(|_| Coding::Aac));
        mux.tables();
        let mut heard = first - self.sound_late;
        for number in 0..PICTURES {
            let time = first + number * STEP;
            if let Some(parameters) = self.video {
                let start = [0, 0, 0, 1];
                let key = [&start, parameters, &start, &[0x68, 1], &start, &[0x65]].concat();
                let mut data = if number == 0 { key } else { [&start[..], &[0x41]].concat() };
                data.resize(data.len() + self.size, 0xaa);
                mux.video(time, time, number == 0, &data);
            }
            while let Some(sound) = self.sound.filter(|_| heard + self.sound_late < time + STEP) {
                mux.sound(heard, &frame(sound));
                heard += FRAME;
            }
        }
        mux.take()
    }

    fn edges(self, first: i64) -> Edges {
        read(&self.segment(first))
    }
}

fn read(bytes: &[u8]) -> Edges {
    Front::read(bytes).with(None)
}

/// As files are read that are larger than both ends.
fn read_ends(bytes: &[u8], window: usize) -> Edges {
    let front = Front::read(&bytes[..window]);
    let from = usize::try_from(front.packet_from((bytes.len() - window) as u64)).unwrap();
    front.with(Some(&bytes[from..]))
}

fn change(before: Film, ends: i64, after: Film, begins: i64) -> Option<Change> {
    before.edges(ends - LASTS).change(LASTS_US, &after.edges(begins))
}

#[test]
fn what_changes_from_one_segment_to_the_next_is_seen() {
    let at = 7 * TICKS;
    let silent = Film { sound: None, ..FILM };
    let cases = [
        (FILM, at, None),
        (FILM, at + TICKS / 4, None),
        (FILM, at + TICKS, Some(Change::Times)),
        (FILM, at - TICKS, Some(Change::Times)),
        (FILM, at + 3_600 * TICKS, Some(Change::Times)),
        (FILM, 0, Some(Change::Times)),
        (Film { video: Some(LARGE), ..FILM }, at, Some(Change::Coding)),
        (Film { sound: Some(MONO), ..FILM }, at, Some(Change::Coding)),
        (silent, at, Some(Change::Tracks)),
        (Film { video: None, ..FILM }, at, Some(Change::Tracks)),
    ];
    for (after, begins, expected) in cases {
        assert_eq!(change(FILM, at, after, begins), expected, "{after:?} at {begins}");
    }
    assert_eq!(change(silent, at, FILM, at), Some(Change::Tracks), "sound comes");
    assert_eq!(change(silent, at, silent, at), None);
    assert_eq!(change(Film { video: None, ..FILM }, at, Film { video: None, ..FILM }, at), None);
}

#[test]
fn nothing_unknown_is_a_change() {
    let film = FILM.edges(0);
    for unknown in [Edges::default(), read(b"no transport stream"), read(&[])] {
        assert_eq!(unknown, Edges::default());
        assert_eq!((film.change(LASTS_US, &unknown), unknown.change(LASTS_US, &film)), (None, None));
    }
    // One that begins between key frames has no parameters: those from before hold until others come.
    let bytes = Film { video: Some(LARGE), ..FILM }.segment(LASTS);
    let middle = Edges { begins: Tracks { picture: 0, ..film.begins }, ends: film.begins, ..read(&bytes) };
    let carried = Edges { ends: Tracks { picture: 0, ..film.begins }, ..middle }.after(&film);
    assert_eq!(carried.ends, film.ends);
    assert_eq!(film.change(LASTS_US, &middle), None);
}

#[test]
fn the_length_in_the_name_stands_in_for_a_last_picture_that_was_not_found() {
    let (one, next) = (FILM.edges(0), FILM.edges(LASTS));
    let open = Edges { picture: Extent { end: None, ..one.picture }, sound: one.sound, ..one };
    let silent = Edges { sound: Extent::default(), ..open };
    assert_eq!(silent.change(LASTS_US, &next), None);
    assert_eq!(silent.change(LASTS_US, &FILM.edges(LASTS + 2 * TICKS)), Some(Change::Times));
}

#[test]
fn a_picture_that_stands_still_while_sound_goes_on_is_no_change() {
    // Pictures end after half a second, sound after two, and the name says three.
    let (still, next) = (FILM.edges(0), FILM.edges(LASTS));
    let early = TimeStamp::new(TICKS / 2);
    let still = Edges { picture: Extent { end: Some(early), ..still.picture }, ..still };
    assert_eq!(still.change(LASTS_US + 1_000_000, &next), None);
    // Without sound the name alone says when the next picture comes.
    let silent = Edges { sound: Extent::default(), ..still };
    assert_eq!(silent.change(LASTS_US, &next), None);
    assert_eq!(silent.change(LASTS_US + 1_000_000, &next), Some(Change::Times));
}

#[test]
fn both_ends_say_of_a_large_file_what_all_of_it_says() {
    let film = Film { size: 9_000, ..FILM };
    let bytes = film.segment(123_456);
    assert!(bytes.len() > 3 * WINDOW, "{}", bytes.len());
    assert_eq!(read_ends(&bytes, WINDOW), read(&bytes));
    let known = read(&bytes);
    assert_eq!(known.independent, Some(true));
    assert_eq!(known.picture.first.map(TimeStamp::ticks), Some(123_456));
    assert_eq!(known.picture.end.map(TimeStamp::ticks), Some(123_456 + LASTS));
    assert!(known.begins == known.ends && known.begins.picture != 0 && known.begins.sound != 0);
    // Sixteen kilobytes say enough of this one's beginning.
    let front = Front::read(&bytes[..16 << 10]);
    assert!(!front.wants_more());
    assert!(Front::read(&bytes[..188]).wants_more() && Front::read(&[]).wants_more());
}

#[test]
fn of_pictures_so_large_that_only_the_last_one_is_seen_the_end_is_known_but_for_its_length() {
    let film = Film { size: 42_000, sound: None, ..FILM };
    let bytes = film.segment(0);
    let known = read_ends(&bytes, WINDOW);
    let end = known.picture.end.map(TimeStamp::ticks).unwrap();
    assert!((LASTS - STEP..=LASTS).contains(&end), "{end}");
    assert_eq!(known.change(LASTS_US, &film.edges(LASTS)), None);
    assert_eq!(known.change(LASTS_US, &film.edges(LASTS + TICKS)), Some(Change::Times));
}

#[test]
fn tables_that_change_within_a_segment_are_compared_where_it_ends() {
    let silent = Film { sound: None, ..FILM };
    let both = [silent.segment(0), FILM.segment(LASTS)].concat();
    let (before, after) = (silent.edges(-LASTS), FILM.edges(2 * LASTS));
    let middle = read(&both);
    assert_eq!(before.change(LASTS_US, &middle), None);
    assert_eq!(middle.change(2 * LASTS_US, &after), None);
    assert_eq!(middle.change(2 * LASTS_US, &silent.edges(2 * LASTS)), Some(Change::Tracks));
}

#[test]
fn packet_numbers_are_what_the_standard_calls_identifiers_of_tracks() {
    let mut bytes = FILM.segment(LASTS);
    // The sound moves from 0x101 to 0x103, in its packets and in the table, whose checksum says so.
    for packet in bytes.chunks_mut(188) {
        if packet[1] & 0x1f == 1 && packet[2] == 1 {
            packet[2] = 3;
        } else if packet[1] & 0x1f == 0x10 && packet[2] == 0 {
            let end = 8 + usize::from(packet[7]);
            let at = packet.windows(3).position(|three| three == [0x0f, 0xe1, 0x01]).unwrap();
            packet[at + 2] = 3;
            let sum = checksum(&packet[5..end - 4]);
            packet[end - 4..end].copy_from_slice(&sum.to_be_bytes());
        }
    }
    assert_eq!(FILM.edges(0).change(LASTS_US, &read(&bytes)), Some(Change::Tracks));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_that_goes_on_is_one_wherever_it_is_cut_and_its_stamps_start_over(
        begins in prop_oneof![0..WRAP, WRAP - 4 * LASTS..WRAP], sound_late in -TICKS..TICKS, size in 0..3_000_usize,
    ) {
        let film = Film { size, sound_late, ..FILM };
        let all: Vec<Edges> = (0..4).map(|number| film.edges(begins + number * LASTS)).collect();
        for two in all.windows(2) {
            prop_assert_eq!(two[0].change(LASTS_US, &two[1]), None);
        }
    }

    #[test]
    fn another_time_base_is_seen_however_far_it_is(leap in TICKS..WRAP - TICKS, begins in 0..WRAP) {
        prop_assert_eq!(change(FILM, begins, FILM, begins + leap), Some(Change::Times));
    }

    #[test]
    fn no_bytes_make_it_panic(
        head in prop::collection::vec(any::<u8>(), 0..800), tail in prop::collection::vec(any::<u8>(), 0..800), cut in 0..4_000_usize,
        place: u64,
    ) {
        let film = FILM.segment(0);
        let broken = [&film[..cut.min(film.len())], &head].concat();
        for bytes in [&head, &broken] {
            let front = Front::read(bytes);
            let _from = front.packet_from(place / 2);
            let _edges = front.with(Some(&tail));
            let _whole = front.with(None).change(i64::MAX, &front.with(Some(&broken)));
        }
    }
}
