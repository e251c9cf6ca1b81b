//! What is passed on, encoded anew and refused, by small segments; the property over any segments is in the fuzz target `plan`.

use crate::media::{
    Coding, CutPlanner, CutRefusal, CutStep, DecodeEntry, Marks, PlannedPicture, SegmentContent, SoundSpan, TableSpan,
    ticks,
};

const PICTURE: i64 = 3_600;
const SECOND: i64 = 1_000_000;

/// One letter a picture, in the order of decoding, 40 ms each: `I` resets the decoder, `O` is an open key frame, `R` begins to refresh,
/// `b` is shown two before its turn, `.` is any other.
fn source(start_us: i64, stamp: i64, letters: &str) -> SegmentContent {
    let entry = |letter| match letter {
        'I' => Some(DecodeEntry::Closed),
        'O' => Some(DecodeEntry::Open),
        'R' => Some(DecodeEntry::Refresh(3)),
        _ => None,
    };
    let picture = |(at, letter): (i64, char)| {
        let early = if letter == 'b' { 2 } else { 0 };
        let marks = Marks { random_access: "IO".contains(letter), entry: entry(letter), reference: true };
        PlannedPicture { pts: stamp + (at - early) * PICTURE, bytes: 1, marks }
    };
    let pictures: Vec<PlannedPicture> = (0..).zip(letters.chars()).map(picture).collect();
    let lasts = i64::try_from(letters.len()).unwrap() * 40_000;
    let stretch = TableSpan { video: Some(Coding::H264), ..TableSpan::default() };
    SegmentContent {
        start_us,
        end_us: start_us + lasts,
        is_full: true,
        stretches: vec![stretch],
        pictures,
        sound: Vec::new(),
    }
}

/// Of segments that join.
fn joined(parts: &[&str]) -> Vec<SegmentContent> {
    let mut before = 0;
    let source = |letters: &&str| {
        let source = source(before * 40_000, 900_000 + before * PICTURE, letters);
        before += i64::try_from(letters.len()).unwrap();
        source
    };
    parts.iter().map(source).collect()
}

/// What is done: `2-4` is passed on, `1>3:2` means that 2 pictures are encoded of what is decoded from 1 to 3.
fn planned(sources: &[SegmentContent], from: i64, to: i64) -> Result<String, CutRefusal> {
    let mut planner = CutPlanner::new((from * 40_000, to * 40_000));
    let mut steps = Vec::new();
    for source in sources {
        steps.extend(planner.segment(source)?.steps);
    }
    steps.extend(planner.finish()?);
    let said: Vec<String> = steps.iter().map(said).collect();
    Ok(said.join(" "))
}

fn said(step: &CutStep) -> String {
    match step {
        CutStep::Copy(range) => format!("{}-{}", range.start, range.end),
        CutStep::Encode(range, times, _) => format!("{}>{}:{}", range.start, range.end, times.len()),
    }
}

#[test]
fn groups_that_lie_in_the_window_are_passed_on_and_its_ends_are_encoded() {
    let closed = joined(&["I...I...", "I...I..."]);
    assert_eq!(planned(&closed, 0, 16).unwrap(), "0-4 4-8 8-12 12-16");
    assert_eq!(planned(&closed, 2, 10).unwrap(), "0>4:2 4-8 8-10");
    assert_eq!(planned(&closed, 5, 7).unwrap(), "4>7:2");
    // Where the last pictures are decoded before others that are wanted, these are encoded.
    assert_eq!(planned(&joined(&["I...b.b"]), 0, 5).unwrap(), "0>7:6");
    assert_eq!(planned(&closed, 20, 30), Err(CutRefusal::Nothing));
}

#[test]
fn an_open_group_is_passed_on_behind_the_one_that_it_needs_alone() {
    // Two pictures are shown before the key frame that comes before them.
    let open = joined(&["I...", "..Obb.", "..Obb.", "I..."]);
    assert_eq!(planned(&open, 0, 20).unwrap(), "0-6 6-12 12-16 16-20");
    // From within a group: nothing is passed on before the next reset.
    assert_eq!(planned(&open, 2, 20).unwrap(), "0>6:4 0>12:6 6>16:4 16-20");
}

#[test]
fn pictures_before_an_open_key_frame_lie_at_the_end_of_the_segment_before() {
    // The second segment is named by its key frame: of its pictures two are shown before.
    let mut open = joined(&["I...", "Obb...", "I..."]);
    for picture in open[1].pictures.iter_mut().filter(|picture| picture.marks.entry.is_none()) {
        picture.pts -= PICTURE;
    }
    assert_eq!(open[1].pictures[1].pts, 900_000 + 2 * PICTURE);
    let cut = planned(&open, 0, 4).unwrap();
    assert_eq!(cut, "0-4 0>7:2", "{cut}");
    assert_eq!(planned(&open, 4, 10).unwrap(), "4>10:4");
    // Without the segment before they lie in a hole.
    assert_eq!(planned(&open[1..], 0, 14).unwrap(), "0>6:4 6-10");
}

#[test]
fn what_is_mended_piece_by_piece_is_decoded_from_the_group_before() {
    let refresh = joined(&["R......", "R......"]);
    assert_eq!(planned(&refresh, 3, 7).unwrap(), "0>7:4");
    assert_eq!(planned(&refresh, 5, 9).unwrap(), "0>7:2 0>9:2");
    assert_eq!(planned(&refresh, 1, 7), Err(CutRefusal::NoEntry(0)));
    assert!(refresh[0].needs_more((40_000, 280_000)) && !refresh[0].needs_more((120_000, 280_000)));
}

#[test]
fn what_cannot_be_decoded_is_refused_with_its_segment() {
    let late = joined(&["....", "..I."]);
    assert_eq!(planned(&late, 5, 8), Err(CutRefusal::NoEntry(160_000)));
    assert_eq!(planned(&late, 6, 8).unwrap(), "6-8");
    // What does not join is of no use.
    let mut apart = joined(&["I...", "...I"]);
    assert_eq!(planned(&apart, 5, 8).unwrap(), "0>7:2 7-8");
    for picture in &mut apart[1].pictures {
        picture.pts += 90_000;
    }
    assert_eq!(planned(&apart, 5, 8), Err(CutRefusal::NoEntry(160_000)));
    let mut large = joined(&["I...."]);
    large[0].pictures[1].bytes = 300 << 20;
    assert_eq!(planned(&large, 0, 5), Err(CutRefusal::TooFar(0)));
}

#[test]
fn what_a_cut_cannot_hold_is_refused_and_a_neighbour_passed_over() {
    let stretch = TableSpan { video: Some(Coding::H264), ..TableSpan::default() };
    for (wrong, refusal) in [
        (TableSpan { video: Some(Coding::Hevc), ..stretch }, CutRefusal::Coding(0, Coding::Hevc)),
        (TableSpan { sound: Some(Coding::Opus), ..stretch }, CutRefusal::Coding(0, Coding::Opus)),
        (TableSpan { scrambled: true, ..stretch }, CutRefusal::Scrambled(0)),
        (TableSpan { unknown: Some(Coding::Unknown(6)), ..stretch }, CutRefusal::Unknown(0)),
    ] {
        let mut sources = joined(&["I...", "I..."]);
        sources[0].stretches.push(wrong);
        assert_eq!(planned(&sources, 0, 8), Err(refusal));
        let mut planner = CutPlanner::new((160_000, 320_000));
        assert_eq!(planner.segment(&sources[0]).unwrap().passed_over, Some(refusal));
        assert!(planner.segment(&sources[1]).unwrap().passed_over.is_none());
    }
    let short = SegmentContent { end_us: 4 * SECOND, ..source(0, 0, "I....") };
    assert_eq!(planned(std::slice::from_ref(&short), 0, 5), Err(CutRefusal::Length(0, 5 * PICTURE, ticks(4 * SECOND))));
    assert_eq!(planned(&[SegmentContent { is_full: false, ..short }], 0, 5).unwrap(), "0-5");
}

#[test]
fn a_picture_behind_the_end_of_its_segments_name_is_in_one_of_two_cuts() {
    let mut sources = joined(&["I....", "I...."]);
    // The name is 80 ms too short, and the next one comes then.
    sources[0].end_us -= 80_000;
    assert_eq!(planned(&sources, 0, 3).unwrap(), "0-3");
    assert_eq!(planned(&sources, 3, 10).unwrap(), "0>5:2 5-10");
}

#[test]
fn sound_is_in_one_of_two_cuts_wherever_it_lies() {
    let heard = |at: i64| SoundSpan { pts: 900_000 - 10_000 + at * 1_920, ticks: 1_920 };
    let mut sources = joined(&["I........", "I........"]);
    for (source, from) in sources.iter_mut().zip([0, 17]) {
        source.sound = (from..from + 17).map(heard).collect();
    }
    let cut = |from: i64, to: i64| {
        let mut planner = CutPlanner::new((from * 40_000, to * 40_000));
        sources.iter().map(|source| planner.segment(source).unwrap().sound).collect::<Vec<_>>()
    };
    let (whole, first, second) = (cut(0, 18), cut(0, 9), cut(9, 18));
    for segment in 0..2 {
        assert_eq!([first[segment].clone(), second[segment].clone()].concat(), whole[segment], "{segment}");
    }
    assert!(!first[1].is_empty(), "what lies in the next segment is heard before it");
}
