//! What must hold of the plan of an exact cut, whatever the segments are.
//!
//! 1. Each picture whose time lies in the window is passed on or encoded anew, once and in order, but for what leads a key frame behind a hole.
//! 2. What is passed on begins with a closed entry, or goes on where the one before it ended; what is encoded anew can be decoded.
//! 3. Two cuts that meet have what one over both has, and share nothing.
//! 4. What is refused names a segment that was given.

use std::collections::BTreeSet;

use gapless::media::{
    Coding, CutPlanner, CutRefusal, CutStep, DecodeEntry, Marks, PlannedPicture, SOUND_US, SegmentContent, SoundSpan,
    TableSpan, WRAP, right_from, ticks,
};

/// Half a second: what is off by less goes on.
const JOINT_US: i64 = 500_000;
const BEGIN_US: i64 = 1_700_000_000_000_000;

/// Numbers from bytes; behind their end all are 0.
struct Dice<'b>(&'b [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, most: u8) -> i64 {
        i64::from(self.byte() % most)
    }
}

fn sources(dice: &mut Dice<'_>) -> Vec<SegmentContent> {
    let count = 1 + dice.below(7);
    let (mut at_us, mut stamp) = (BEGIN_US, 900_000);
    let mut sources: Vec<SegmentContent> = Vec::new();
    for _ in 0..count {
        let kind = dice.byte();
        if kind & 1 == 1 {
            // Holes, and names that are off or overlap.
            at_us += [8_000, -8_000, 40_000, -150_000, 400_000, 2_500_000][usize::from(dice.byte() % 6)];
        }
        if kind & 6 == 6 {
            stamp = [0, 90_000, (1 << 33) - 40_000, 5_000_000_000][usize::from(dice.byte() % 4)];
        }
        let source = source(dice, kind, (at_us, stamp));
        let lasts = count_of(&source) * 3_600;
        stamp += lasts;
        at_us = source.end_us.max(at_us + 200_000);
        sources.push(source);
    }
    sources
}

fn count_of(source: &SegmentContent) -> i64 {
    i64::try_from(source.pictures.len()).unwrap()
}

fn source(dice: &mut Dice<'_>, kind: u8, (start_us, stamp): (i64, i64)) -> SegmentContent {
    let pictures: Vec<PlannedPicture> = (0..dice.below(40)).map(|at| picture(dice, stamp + at * 3_600)).collect();
    let named = if kind & 8 == 8 { dice.below(200) * 10_000 } else { i64::try_from(pictures.len()).unwrap() * 40_000 };
    let mut stretch = TableSpan::default();
    (stretch.video, stretch.sound) = (Some(Coding::H264), Some(Coding::Aac));
    if kind & 0xf0 == 0xf0 {
        match dice.byte() % 5 {
            0 => stretch.video = Some(Coding::Hevc),
            1 => stretch.sound = Some(Coding::MpegAudio),
            2 => stretch.scrambled = true,
            3 => stretch.unknown = Some(Coding::Unknown(6)),
            _ => stretch.sound = None,
        }
    }
    let sound = (0..dice.below(90)).map(|at| SoundSpan { pts: stamp + at * 1_920 - 20_000, ticks: 1_920 }).collect();
    SegmentContent {
        start_us,
        end_us: start_us + named.max(40_000),
        is_full: kind & 16 == 16,
        stretches: vec![stretch],
        pictures,
        sound,
    }
}

fn picture(dice: &mut Dice<'_>, dts: i64) -> PlannedPicture {
    let (kind, later) = (dice.byte(), dice.below(6));
    let entry = match kind & 15 {
        0 | 1 => Some(DecodeEntry::Closed),
        2 | 3 => Some(DecodeEntry::Open),
        4 => Some(DecodeEntry::Refresh(u16::from(kind >> 6))),
        _ => None,
    };
    // Nothing behind a closed entry is shown before it.
    let later = if entry == Some(DecodeEntry::Closed) { 0 } else { later };
    let marks = Marks { random_access: entry.is_some(), entry, reference: kind & 16 == 16 };
    let bytes = if kind & 0xe0 == 0xe0 { 60 << 20 } else { 1_000 };
    PlannedPicture { pts: dts + later * 3_600, bytes, marks }
}

/// What becomes of a window.
#[derive(Default)]
struct Cut {
    /// Pictures by segment and place in it.
    pictures: BTreeSet<(usize, usize)>,
    sound: BTreeSet<(usize, usize)>,
}

/// A picture in the line of all that were given.
#[derive(Debug)]
struct Given {
    segment: usize,
    at: usize,
    pts: i64,
    marks: Marks,
    is_wanted: bool,
    /// Nothing that joins comes before its segment.
    breaks: bool,
}

/// A picture's time lies in the window, by the rule in words.
fn is_wanted(source: &SegmentContent, picture: &PlannedPicture, (from, to): (i64, i64)) -> bool {
    let is_key = source.pictures[0].marks.random_access;
    let earliest = source.pictures.iter().map(|picture| picture.pts).min().unwrap();
    let first = if is_key { source.pictures[0].pts } else { earliest };
    let near = ticks(SOUND_US);
    let time = (picture.pts - first).min(ticks(source.end_us - source.start_us) + near - 1).max(-near);
    (ticks(from - source.start_us)..ticks(to - source.start_us)).contains(&time)
}

fn is_beside(source: &SegmentContent, (from, to): (i64, i64)) -> bool {
    source.end_us <= from || source.start_us >= to
}

fn cut(sources: &[SegmentContent], window: (i64, i64)) -> Result<Cut, CutRefusal> {
    let mut planner = CutPlanner::new(window);
    let (mut line, mut done, mut cut): (Vec<Given>, Vec<CutStep>, Cut) = Default::default();
    let is_near =
        |source: &SegmentContent| source.start_us < window.1 + SOUND_US && source.end_us > window.0 - SOUND_US;
    let given: Vec<i64> = sources.iter().filter(|source| is_near(source)).map(|source| source.start_us).collect();
    let named = |refusal: CutRefusal| {
        let (CutRefusal::Coding(at, ..) | CutRefusal::Scrambled(at) | CutRefusal::Unknown(at)) = refusal else {
            let (CutRefusal::Length(at, ..) | CutRefusal::NoEntry(at) | CutRefusal::TooFar(at)) = refusal else {
                return refusal;
            };
            assert!(given.contains(&at), "{refusal:?} names none of {given:?}");
            return refusal;
        };
        assert!(given.contains(&at), "{refusal:?} names none of {given:?}");
        refusal
    };
    let mut ended: Option<(i64, i64)> = None;
    for (segment, source) in sources.iter().enumerate().filter(|(_, source)| is_near(source)) {
        let turn = planner.segment(source).map_err(named)?;
        assert!(turn.passed_over.is_none() || is_beside(source, window), "{turn:?}");
        if turn.passed_over.is_some() || source.pictures.is_empty() {
            assert!(turn.steps.is_empty() && turn.sound.is_empty());
            continue;
        }
        // Times that do not go on are moved.
        let breaks = ended.is_none_or(|(us, shift)| {
            (source.start_us - us).abs() > JOINT_US || (turn.shift - shift).rem_euclid(WRAP) != 0
        });
        ended = Some((source.end_us, turn.shift));
        for (at, picture) in source.pictures.iter().enumerate() {
            let is_wanted = is_wanted(source, picture, window);
            let (pts, marks) = (picture.pts + turn.shift, picture.marks);
            line.push(Given { segment, at, pts, marks, is_wanted, breaks: breaks && at == 0 });
        }
        assert!(turn.sound.iter().all(|at| cut.sound.insert((segment, *at))), "sound twice");
        done.extend(turn.steps);
        assert!(planner.needed() <= line.len());
    }
    let last = planner.finish().map_err(named);
    match last {
        Err(CutRefusal::Nothing) => assert!(done.is_empty()),
        other => done.extend(other?),
    }
    check(&line, &done, &mut cut);
    Ok(cut)
}

fn check(line: &[Given], done: &[CutStep], cut: &mut Cut) {
    let (mut reached, mut passed_on) = (0, None);
    for step in done {
        let (CutStep::Copy(range) | CutStep::Encode(range, ..)) = step;
        assert!(range.start < range.end && range.end <= line.len(), "{step:?} of {}", line.len());
        assert!(range.end > reached, "{step:?} comes behind what was done up to {reached}");
        match step {
            CutStep::Copy(numbers) => {
                assert!(numbers.start >= reached, "{step:?} repeats");
                let opening = &line[numbers.start];
                let goes_on = passed_on == Some(numbers.start) && !opening.breaks;
                assert!(
                    opening.marks.entry == Some(DecodeEntry::Closed) || opening.marks.entry.is_some() && goes_on,
                    "{step:?} {passed_on:?} {} of {done:?}",
                    opening.breaks
                );
                for given in &line[numbers.clone()] {
                    assert!(given.is_wanted && cut.pictures.insert((given.segment, given.at)), "{step:?}");
                }
                passed_on = Some(numbers.end);
            }
            CutStep::Encode(numbers, times, _) => {
                let needed = &line[numbers.clone()];
                let right = right_from(needed.iter().map(|given| (given.pts, given.marks)));
                let right = right.expect("decoding may begin there");
                assert!(!times.is_empty() && times.is_sorted() && times[0] >= right, "{step:?}, right from {right}");
                assert!(needed.iter().skip(1).all(|given| !given.breaks), "{step:?} reaches over a hole");
                let mut left = times.clone();
                for given in &line[numbers.start.max(reached)..numbers.end] {
                    if let Some(found) = left.iter().position(|pts| given.is_wanted && *pts == given.pts) {
                        left.remove(found);
                        assert!(cut.pictures.insert((given.segment, given.at)), "{step:?}");
                    }
                }
                assert!(left.is_empty(), "{step:?}: nobody has {left:?}");
                passed_on = None;
            }
        }
        reached = range.end;
    }
    for (number, given) in line.iter().enumerate().filter(|(_, given)| given.is_wanted) {
        let is_there = cut.pictures.contains(&(given.segment, given.at));
        assert!(
            is_there || leads_behind_a_hole(line, number),
            "picture {number} of {} is lost by {done:?}:\n{line:?}",
            line.len()
        );
    }
}

/// It is shown before the open entry behind which it comes, and nothing comes before that.
fn leads_behind_a_hole(line: &[Given], number: usize) -> bool {
    let entry = line[..number].iter().rposition(|given| given.marks.entry.is_some());
    entry.is_some_and(|at| {
        let entry = &line[at];
        entry.breaks
            && entry.marks.entry == Some(DecodeEntry::Open)
            && line[number].pts < entry.pts
            && line[number].segment == entry.segment
    })
}

/// All that must hold of the cuts of these bytes' segments.
pub fn plan(bytes: &[u8]) {
    let mut dice = Dice(bytes);
    let mut bounds: Vec<i64> = (0..3).map(|_| BEGIN_US + dice.below(255) * 40_000 + dice.below(100) * 1_000).collect();
    bounds.sort_unstable();
    let sources = sources(&mut dice);
    if bounds[0] == bounds[1] || bounds[1] == bounds[2] {
        return;
    }
    let (first, second) = (cut(&sources, (bounds[0], bounds[1])), cut(&sources, (bounds[1], bounds[2])));
    let both = cut(&sources, (bounds[0], bounds[2]));
    let (Ok(first), Ok(second)) = (first, second) else { return };
    assert!(first.pictures.is_disjoint(&second.pictures), "both have pictures");
    assert!(first.sound.is_disjoint(&second.sound), "both have sound");
    if let Ok(both) = both {
        let parts: BTreeSet<_> = first.pictures.union(&second.pictures).copied().collect();
        assert_eq!(parts, both.pictures);
    }
}
