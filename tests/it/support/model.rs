//! The specification's rules about names, in plain and slow code of its own: nothing here is taken from the crate.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What the model reads out of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Microseconds after the start of the hour.
    pub start_us: u64,
    /// Microseconds; 0 for chat.
    pub duration_us: u64,
    /// `full`, `suspect`, `partial`, `temp` or `chat`.
    pub kind: String,
    /// 43 characters, or anything for `temp`.
    pub hash: String,
}

/// Reads a segment's, chat batch's or tombstone's name.
pub fn read_name(name: &str) -> Option<Name> {
    let (stem, extension) = name.rsplit_once('.')?;
    match extension {
        "ts" | "mp4" => read_video(stem),
        "json" => read_chat(stem),
        "tombstone" => read_video(stem).or_else(|| read_chat(stem)),
        _ => None,
    }
}

/// What an hour directory with files of these names lists, in order.
pub fn listing(names: &[String], tombstones: bool) -> Vec<String> {
    let hidden: BTreeSet<&str> = names.iter().filter_map(|name| name.strip_suffix(".tombstone")).collect();
    let mut listed: Vec<&String> = names
        .iter()
        .filter(|name| !name.starts_with('.') && !is_temporary(name))
        .filter(|name| match name.rsplit_once('.') {
            Some((stem, "ts" | "mp4" | "json")) => !hidden.contains(stem),
            Some((_, "tombstone")) => tombstones,
            _ => false,
        })
        .collect();
    listed.sort_by_key(|name| (read_name(name).map_or(u64::MAX, |read| read.start_us), name.as_str()));
    listed.into_iter().cloned().collect()
}

pub fn is_temporary(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    read_video(stem).is_some_and(|read| read.kind == "temp")
}

pub fn is_hour(text: &str) -> bool {
    let digits_where_due = text.chars().zip("0000-00-00T00".chars()).all(|(is, due)| match due {
        '0' => is.is_ascii_digit(),
        due => is == due,
    });
    text.len() == 13
        && digits_where_due
        && chrono::NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M").is_ok()
}

/// Microseconds since 1970 at which an hour begins.
pub fn hour_start_us(hour: &str) -> i64 {
    chrono::NaiveDateTime::parse_from_str(&format!("{hour}:00"), "%Y-%m-%dT%H:%M").unwrap().and_utc().timestamp_micros()
}

fn read_video(stem: &str) -> Option<Name> {
    let parts: Vec<&str> = stem.splitn(4, '-').collect();
    let [time, duration, kind, hash] = parts.as_slice() else { return None };
    let is_known = ["full", "suspect", "partial", "temp"].contains(kind);
    (is_known && (*kind == "temp" || is_hash(hash))).then_some(())?;
    Some(Name {
        start_us: read_time(time)?,
        duration_us: read_duration(duration)?,
        kind: (*kind).to_owned(),
        hash: (*hash).to_owned(),
    })
}

fn read_chat(stem: &str) -> Option<Name> {
    let (time, hash) = stem.split_once('-')?;
    is_hash(hash).then_some(())?;
    Some(Name { start_us: read_time(time)?, duration_us: 0, kind: "chat".to_owned(), hash: hash.to_owned() })
}

fn is_hash(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

fn read_time(text: &str) -> Option<u64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (minutes, seconds) = clock.split_once(':')?;
    let two = |text: &str| (text.len() == 2).then(|| digits(text))?.filter(|number| *number < 60);
    let micros = (fraction.len() <= 6).then(|| digits(&format!("{fraction:0<6}")))?;
    digits(fraction)?;
    Some((two(minutes)? * 60 + two(seconds)?) * 1_000_000 + micros?)
}

fn read_duration(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (whole, _) = (digits(whole)?, digits(fraction)?);
    // Half to even: judged on the digits beyond the microsecond.
    let (kept, beyond) = (format!("{fraction:0<6}")[..6].to_owned(), fraction.get(6..).unwrap_or_default());
    let micros = whole.checked_mul(1_000_000)? + digits(&kept)?;
    let half = format!("5{}", "0".repeat(beyond.len().saturating_sub(1)));
    let up = beyond > half.as_str() || (beyond == half && micros % 2 == 1);
    let rounded = micros + u64::from(up);
    (rounded <= 3_600_000_000).then_some(rounded)
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A segment of the best sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Best {
    /// `HOUR/NAME`.
    pub path: String,
    pub start_us: i64,
    pub end_us: i64,
    pub kind: String,
    pub size: u64,
}

/// The best segment for every start, in order of start, of a stream with these hours: name of the hour, names and sizes in it.
pub fn best(hours: &[(String, Vec<(String, u64)>)]) -> Vec<Best> {
    let mut candidates = Vec::new();
    for (hour, files) in hours {
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        for name in listing(&names, false) {
            let Some(read) = read_name(&name).filter(|read| read.kind != "chat") else { continue };
            let size = files.iter().find(|(known, _)| *known == name).unwrap().1;
            // No player gets anything out of these.
            if read.duration_us == 0 || size == 0 {
                continue;
            }
            candidates.push((hour_start_us(hour) + read.start_us.cast_signed(), read, format!("{hour}/{name}"), size));
        }
    }
    let mut starts: Vec<i64> = candidates.iter().map(|candidate| candidate.0).collect();
    starts.sort_unstable();
    starts.dedup();
    let best_at = |start_us: i64| {
        let of = |kind: &str| -> Vec<_> {
            candidates.iter().filter(|candidate| candidate.0 == start_us && candidate.1.kind == kind).collect()
        };
        let value = |hash: &str| URL_SAFE_NO_PAD.decode(hash).unwrap();
        let full = of("full").into_iter().max_by_key(|(_, read, _, size)| (read.duration_us, *size, value(&read.hash)));
        let other = |kind| of(kind).into_iter().max_by_key(|(_, read, _, size)| (*size, value(&read.hash)));
        let (_, read, path, size) = full.or_else(|| other("suspect")).or_else(|| other("partial")).unwrap();
        let (path, kind, end_us) = (path.clone(), read.kind.clone(), start_us + read.duration_us.cast_signed());
        Best { path, start_us, end_us, kind, size: *size }
    };
    starts.into_iter().map(best_at).collect()
}

/// The best sequence of `[start_us, end_us)`, from the best segments of the hour before `start_us` on; `None` is a discontinuity.
pub fn sequence(best: &[Best], start_us: i64, end_us: i64) -> Vec<Option<Best>> {
    let hour_before = (start_us.div_euclid(3_600_000_000) - 1) * 3_600_000_000;
    let mut sequence: Vec<Option<Best>> = Vec::new();
    let mut last: Option<&Best> = None;
    for segment in best.iter().filter(|segment| segment.start_us >= hour_before) {
        if segment.start_us >= end_us {
            break;
        }
        if segment.end_us <= start_us || last.is_some_and(|last| segment.start_us < last.end_us - 10_000) {
            continue;
        }
        let is_broken = match last {
            None => segment.start_us > start_us,
            Some(last) => segment.start_us - last.end_us > 10_000 || last.kind != "full",
        };
        if is_broken {
            sequence.push(None);
        }
        sequence.push(Some(segment.clone()));
        last = Some(segment);
    }
    if last.is_none_or(|last| last.end_us < end_us || last.kind != "full") {
        sequence.push(None);
    }
    sequence
}

#[test]
fn the_model_reads_names_as_the_specification_writes_them() {
    let hash = "7IS92rssMzoSBQDIevHStbTNy-URRV3Vw-jzZ6pwOZM";
    let read = read_name(&format!("45:51.608000-2.0-full-{hash}.ts")).unwrap();
    assert_eq!((read.start_us, read.duration_us), (2_751_608_000, 2_000_000));
    assert_eq!((read.kind.as_str(), read.hash.as_str()), ("full", hash));
    assert_eq!(read_duration("2.0000005"), Some(2_000_000));
    assert_eq!(read_duration("2.0000015"), Some(2_000_002));
    assert_eq!(read_duration("2.00000050000001"), Some(2_000_001));
    assert!(read_name(&format!("60:00-2.0-full-{hash}.ts")).is_none());
    assert!(is_temporary("00:00-2.0-temp-anything.ts") && !is_temporary("garbage-2.0-temp-x.ts"));
    assert!(is_hour("2019-11-13T02") && !is_hour("2019-11-13T24") && !is_hour("2019-02-29T00"));
}
