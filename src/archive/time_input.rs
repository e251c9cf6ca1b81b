//! Times as people write them: ISO 8601 in its many spellings, or relative to now.
//!
//! 1. Everything is UTC unless an offset says otherwise: no time zone of the machine takes part.
//! 2. `:60` is the second after `:59` (RFC 3339, 5.6: leap seconds), and `24:00` the midnight that ends a day (ISO 8601).
//! 3. What can mean two things is refused: a number without a unit, a day before its month, a time of day without a day.
//! 4. No clock is read here. No text makes this panic.

use chrono::NaiveDate;

use super::time::{HOUR_US, SECOND_US, Span, Timestamp, digits};

/// What is accepted, as the end of a sentence that begins "expected".
pub const EXPECTED: &str =
    "a time such as 2019-11-13T02:55:08 (UTC), 2019-11-13T03:55+01:00, 2019-11-13, 1h ago, yesterday or now";

/// Longer texts are not times.
const MOST_BYTES: usize = 64;
/// Microseconds in a minute.
const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds in a day.
const DAY_US: i64 = 24 * HOUR_US;

/// Units of `1h ago`; `m` is a minute.
const UNITS: [(&[&str], i64); 5] = [
    (&["s", "sec", "secs", "second", "seconds"], SECOND_US),
    (&["m", "min", "mins", "minute", "minutes"], MINUTE_US),
    (&["h", "hr", "hrs", "hour", "hours"], HOUR_US),
    (&["d", "day", "days"], DAY_US),
    (&["w", "week", "weeks"], 7 * DAY_US),
];

/// A text that is not a time, and why where that can be guessed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time: {}", self.advice())]
pub struct NotATime {
    text: String,
    hint: &'static str,
}

impl NotATime {
    /// What is wrong with it, where that can be guessed, and what is expected; without the text itself.
    pub fn advice(&self) -> String {
        format!("{}expected {EXPECTED}", self.hint)
    }
}

impl Timestamp {
    /// Reads an ISO 8601 date and time: `2019-11-13T02:55`, with seconds, with a fraction, with `Z` or an offset, which is
    /// converted; without an offset it is UTC. A date alone is its midnight. `None` when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        in_range(absolute(text, Plus::Plus)?)
    }
}

/// Reads a time, given what time it is now.
pub fn read(text: &str, now: Timestamp) -> Result<Timestamp, NotATime> {
    read_with(text, now, Plus::Plus)
}

/// The same for a value of a query string, in which the `+` of an offset has become a space.
pub fn read_query(text: &str, now: Timestamp) -> Result<Timestamp, NotATime> {
    read_with(text, now, Plus::PlusOrSpace)
}

/// Reads an offset from UTC, such as `+01:00` or `Z`: how far that is ahead.
pub fn offset(text: &str) -> Option<Span> {
    let mut cursor = Cursor(text.as_bytes());
    let found = cursor.offset(Plus::Plus, true).filter(|_| !text.is_empty() && cursor.is_done())?;
    Some(Span(found))
}

fn read_with(text: &str, now: Timestamp, plus: Plus) -> Result<Timestamp, NotATime> {
    let trimmed = text.trim();
    let found = absolute(trimmed, plus).or_else(|| relative(trimmed, now)).and_then(in_range);
    found.ok_or_else(|| NotATime { text: text.chars().take(MOST_BYTES).collect(), hint: hint(trimmed) })
}

fn in_range(time: Timestamp) -> Option<Timestamp> {
    (Timestamp::MIN..=Timestamp::MAX).contains(&time).then_some(time)
}

/// What somebody may have meant.
fn hint(text: &str) -> &'static str {
    let only = |of: fn(&char) -> bool| !text.is_empty() && text.chars().all(|char| of(&char));
    if only(char::is_ascii_digit) {
        "a number needs a unit, as in 90min ago; "
    } else if only(|char| char.is_ascii_digit() || *char == ':') {
        "a time of day needs a day, as in today 14:30 or 2019-11-13T14:30; "
    } else if text.contains('/') && text.contains(char::is_alphabetic) {
        "it looks like a channel and quality, which stand before the times; "
    } else if text.contains('/') {
        "dates are written year first, with dashes; "
    } else {
        ""
    }
}

/// What may stand for the `+` of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plus {
    Plus,
    PlusOrSpace,
}

fn absolute(text: &str, plus: Plus) -> Option<Timestamp> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let mut cursor = Cursor(text.as_bytes());
    let year = cursor.number(4)?;
    let is_extended = cursor.take(b"-").is_some();
    let month = cursor.number(2)?;
    if is_extended {
        cursor.take(b"-")?;
    }
    let day = cursor.number(2)?;
    let date = NaiveDate::from_ymd_opt(year.cast_signed(), month, day)?;
    let midnight = date.signed_duration_since(NaiveDate::default()).num_days() * DAY_US;
    if cursor.is_done() {
        // Eight digits alone may be any number.
        return is_extended.then_some(Timestamp(midnight));
    }
    if cursor.take(b"Tt").is_none() && cursor.spaces() == 0 {
        return None;
    }
    let clock = cursor.clock()?;
    let offset = cursor.offset(plus, clock.has_minutes)?;
    cursor.is_done().then_some(Timestamp(midnight + clock.us - offset))
}

fn relative(text: &str, now: Timestamp) -> Option<Timestamp> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let text = text.to_ascii_lowercase();
    if text == "now" {
        return Some(now);
    }
    let today = now.us() - now.us().rem_euclid(DAY_US);
    for (word, midnight) in [("today", today), ("yesterday", today - DAY_US)] {
        let Some(rest) = text.strip_prefix(word) else { continue };
        if rest.is_empty() {
            return Some(Timestamp(midnight));
        }
        let mut cursor = Cursor(rest.as_bytes());
        if cursor.spaces() == 0 {
            cursor.take(b"t")?;
        }
        let clock = cursor.clock().filter(|clock| clock.has_minutes)?;
        let offset = cursor.offset(Plus::Plus, true)?;
        return cursor.is_done().then_some(Timestamp(midnight + clock.us - offset));
    }
    let ago = text.strip_prefix('-').or_else(|| text.strip_suffix("ago").map(str::trim_end))?;
    Some(now - length(ago)?)
}

/// `1h`, `1h 30min`, `1.5 hours`.
fn length(text: &str) -> Option<Span> {
    let (mut rest, mut sum) = (text.trim_start(), 0_i64);
    loop {
        let (whole, mut after) = leading(rest, |char| char.is_ascii_digit());
        let mut fraction = "";
        if let Some(behind) = after.strip_prefix('.') {
            (fraction, after) = leading(behind, |char| char.is_ascii_digit());
            if fraction.is_empty() {
                return None;
            }
        }
        let (name, behind) = leading(after.trim_start(), |char| char.is_ascii_alphabetic());
        let (_, unit) = UNITS.iter().find(|(names, _)| names.contains(&name))?;
        let units = i64::from(digits(whole.as_bytes())?).checked_mul(*unit)?;
        // Parts of a unit are exact to the microsecond for up to six digits.
        let part = if fraction.is_empty() { 0 } else { i64::from(millionths(fraction)?) * (unit / SECOND_US) };
        sum = sum.checked_add(units)?.checked_add(part)?;
        rest = behind.trim_start();
        if rest.is_empty() {
            return Some(Span(sum));
        }
    }
}

/// The characters of a kind that a text begins with, and the rest.
fn leading(text: &str, is_of_kind: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|char| !is_of_kind(char)).unwrap_or(text.len()))
}

/// The digits behind a point, in millionths; further ones are cut off.
fn millionths(digits_behind: &str) -> Option<u32> {
    let kept = digits_behind.get(..digits_behind.len().min(6))?;
    let missing = u32::try_from(6 - kept.len()).ok()?;
    Some(digits(kept.as_bytes())? * 10_u32.pow(missing))
}

/// Something else stands where a number has to be.
struct NotANumber;

/// A time of day.
struct TimeOfDay {
    us: i64,
    has_minutes: bool,
}

struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// Exactly so many digits.
    fn number(&mut self, count: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits(number)
    }

    /// The next byte if it is one of these.
    fn take(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| any.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    fn spaces(&mut self) -> usize {
        let rest = self.0.trim_ascii_start();
        let count = self.0.len() - rest.len();
        self.0 = rest;
        count
    }

    /// Two more digits behind a colon, or without one.
    fn sixtieths(&mut self) -> Result<Option<u32>, NotANumber> {
        let has_colon = self.take(b":").is_some();
        let goes_on = has_colon || self.0.first().is_some_and(u8::is_ascii_digit);
        if goes_on { self.number(2).map(Some).ok_or(NotANumber) } else { Ok(None) }
    }

    /// `HH`, `HH:MM`, `HH:MM:SS` or with a fraction; colons may be left out.
    fn clock(&mut self) -> Option<TimeOfDay> {
        let hour = self.number(2)?;
        let minute = self.sixtieths().ok()?;
        let second = if minute.is_some() { self.sixtieths().ok()? } else { None };
        let mut fraction = 0;
        if second.is_some() && self.take(b".,").is_some() {
            let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (behind, rest) = self.0.split_at_checked(count)?;
            fraction = millionths(std::str::from_utf8(behind).ok()?)?;
            self.0 = rest;
        }
        let (minutes, seconds) = (minute.unwrap_or_default(), second.unwrap_or_default());
        let is_midnight = hour == 24 && minute.is_some() && minutes == 0 && seconds == 0 && fraction == 0;
        if hour > 23 && !is_midnight || minutes > 59 || seconds > 60 {
            return None;
        }
        let whole = i64::from(hour) * HOUR_US + i64::from(minutes) * MINUTE_US + i64::from(seconds) * SECOND_US;
        Some(TimeOfDay { us: whole + i64::from(fraction), has_minutes: minute.is_some() })
    }

    /// Microseconds ahead of UTC: nothing, `Z`, `UTC`, `+01:00`, `+0100` or `+01`. Behind an hour alone no number is an offset: the
    /// dash of `19-11` may have been meant as a colon.
    fn offset(&mut self, plus: Plus, has_minutes: bool) -> Option<i64> {
        let spaces = self.spaces();
        let name = self.0.to_ascii_uppercase();
        if matches!(name.as_slice(), b"" | b"Z" | b"UTC" | b"GMT") {
            self.0 = &[];
            return Some(0);
        }
        let is_behind = match self.take(b"+-") {
            Some(sign) => sign == b'-',
            None if self.0.starts_with("\u{2212}".as_bytes()) => {
                self.0 = self.0.get("\u{2212}".len()..)?;
                true
            }
            None if plus == Plus::PlusOrSpace && spaces == 1 => false,
            None => return None,
        };
        let (hours, minutes) = (self.number(2)?, self.sixtieths().ok()?.unwrap_or_default());
        if !has_minutes || hours > 23 || minutes > 59 {
            return None;
        }
        let ahead = i64::from(hours) * HOUR_US + i64::from(minutes) * MINUTE_US;
        Some(if is_behind { -ahead } else { ahead })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-11-28T17:15:30.5Z";

    fn now() -> Timestamp {
        Timestamp::parse(NOW).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        read(text, now()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_spelling_of_a_time_is_that_time() {
        let expected = Timestamp(1_573_610_400 * SECOND_US);
        for text in [
            "2019-11-13T02:00:00Z",
            "2019-11-13T02:00:00",
            "2019-11-13T02:00",
            "2019-11-13 02:00:00",
            "2019-11-13T02",
            "2019-11-13t02:00:00z",
            "2019-11-13  02:00",
            "2019-11-13 02",
            "2019-11-13T02Z",
            "2019-11-13 02:00 UTC",
            "20191113T020000Z",
            "20191113T0200",
            "2019-11-13T0200",
            "2019-11-13T02:00:00,000",
            " 2019-11-13T02:00 ",
            "2019-11-13T03:00:00+01:00",
            "2019-11-13T03:00:00+0100",
            "2019-11-13T03:00:00+01",
            "2019-11-13T03:00+01",
            "2019-11-13T03:00 +01:00",
            "2019-11-12T21:00:00.000-05:00",
            "2019-11-12T21:00\u{2212}05:00",
            "2019-11-13T04:30:00.0000000+0230",
            "2019-11-13T02:00:00+00:00",
            "2019-11-13T01:59:60",
            "2019-11-13T02:00-00",
        ] {
            assert_eq!(read(text, now()), Ok(expected), "{text}");
            assert_eq!(read_query(text, now()), Ok(expected), "{text}");
        }
        assert_eq!(at("2016-12-31T24:00:00Z"), at("2017-01-01"));
        assert_eq!(at("2016-12-31T23:59:60Z"), at("2017-01-01"), "a leap second");
        assert_eq!(at("2016-12-31T24:00"), at("2016-12-31T23:59:60.000000"));
    }

    #[test]
    fn a_plus_that_a_query_string_has_made_a_space_is_a_plus() {
        for text in ["2019-11-13T04:30:00 02:30", "2019-11-13 04:30:00 0230", "2019-11-13T03:00 01"] {
            assert_eq!(read_query(text, now()), Ok(at("2019-11-13T02:00")), "{text}");
            assert!(read(text, now()).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_also_given_relative_to_now() {
        for (text, expected) in [
            ("now", NOW),
            ("Now", NOW),
            ("today", "2026-11-28T00:00"),
            ("yesterday", "2026-11-27T00:00"),
            ("yesterday 14:30", "2026-11-27T14:30"),
            ("today 14:30:05.25", "2026-11-28T14:30:05.250"),
            ("yesterday 14:30+01:00", "2026-11-27T13:30"),
            ("1h ago", "2026-11-28T16:15:30.5"),
            ("-1h", "2026-11-28T16:15:30.5"),
            ("1hour ago", "2026-11-28T16:15:30.5"),
            ("90min ago", "2026-11-28T15:45:30.5"),
            ("1h 30m ago", "2026-11-28T15:45:30.5"),
            ("1.5 hours ago", "2026-11-28T15:45:30.5"),
            ("-1h30min", "2026-11-28T15:45:30.5"),
            ("2 days ago", "2026-11-26T17:15:30.5"),
            ("1w ago", "2026-11-21T17:15:30.5"),
            ("30s ago", "2026-11-28T17:15:00.5"),
        ] {
            assert_eq!(read(text, now()), Ok(Timestamp::parse(expected).unwrap()), "{text}");
        }
    }

    #[test]
    fn an_offset_alone_is_read() {
        let minutes = |text: &str| offset(text).map(|ahead| ahead.us() / MINUTE_US);
        assert_eq!(
            (minutes("+01:00"), minutes("-0530"), minutes("utc"), minutes("Z")),
            (Some(60), Some(-330), Some(0), Some(0))
        );
        for text in ["", "1", "+1", "CET", "+01:00x"] {
            assert_eq!(minutes(text), None, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in [
            "",
            " ",
            "noon",
            "tomorrow",
            "ago",
            "-",
            "-1",
            "1 ago",
            "h ago",
            "1h",
            "1x ago",
            "1.h ago",
            "1h and ago",
            "--1h",
            "1573610000",
            "20191113",
            "2019",
            "2019-11",
            "13/11/2019",
            "2019-13-01T00:00",
            "2019-02-29",
            "2019-11-13T25:00",
            "2019-11-13T24:00:01",
            "2019-11-13T24",
            "2019-11-13T02:60",
            "2019-11-13T02:00:61",
            "2019-11-13T2:00",
            "14:30",
            "2019-11-13T02:00:00.",
            "2019-11-13T02:00+24:00",
            "2019-11-13T02:00+1",
            "2019-11-13T02:00+01:60",
            "2019-11-13x02:00",
            "2019-11-13T02:00 CET",
            "2026-11-28 19-11-09",
            "2026-11-28 19-11",
            "yesterday 14",
            "yesterdaynoon",
            "\u{662}019-11-13",
            "9999999999h ago",
            "99999999w ago",
            "0000-01-01T00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2019-11-13T02:00:00Zz",
        ] {
            let error = read(text, now()).unwrap_err().to_string();
            assert!(error.contains("2019-11-13T02:55:08"), "{text}: {error}");
            assert!(read_query(text, now()).is_err(), "{text}");
        }
        let told = |text: &str| read(text, now()).unwrap_err().to_string();
        assert!(told("1573610000").contains("needs a unit") && told("14:30").contains("today 14:30"));
        assert!(told("13/11/2019").contains("year first"));
        assert!(told(&"x".repeat(10_000)).len() < 300);
    }

    /// The time with this offset, as ISO 8601 has it.
    fn written(time: Timestamp, offset_min: i64, style: u8) -> String {
        let local = (time + Span(offset_min * MINUTE_US)).to_string();
        let (sign, ahead) = (if offset_min < 0 { '-' } else { '+' }, offset_min.abs());
        let local = local.trim_end_matches('Z').replace('T', if style & 1 == 0 { "T" } else { " " });
        let colon = if style & 2 == 0 { ":" } else { "" };
        let gap = if style & 4 == 0 { "" } else { " " };
        format!("{local}{gap}{sign}{:02}{colon}{:02}", ahead / 60, ahead % 60)
    }

    proptest! {
        #[test]
        fn a_time_comes_back_from_any_offset_and_spelling(
            us in Timestamp::MIN.0 + DAY_US..Timestamp::MAX.0 - DAY_US, offset in -1_439..1_440_i64, style in 0..8_u8,
        ) {
            let text = written(Timestamp(us), offset, style);
            prop_assert_eq!(read(&text, now()), Ok(Timestamp(us)), "{}", text);
            let in_query = text.replace('+', " ");
            if !in_query.contains("  ") {
                prop_assert_eq!(read_query(&in_query, now()), Ok(Timestamp(us)), "{}", in_query);
            }
        }

        #[test]
        fn what_is_written_is_read_back(us in Timestamp::MIN.0..Timestamp::MAX.0) {
            prop_assert_eq!(Timestamp::parse(&Timestamp(us).to_string()), Some(Timestamp(us)));
        }

        #[test]
        fn so_long_ago_is_so_long_before_now(number in 0..1_000_i64, at in 0..UNITS.len(), name in 0..3_usize, spaced: bool) {
            let (names, unit) = UNITS[at];
            let (name, gap) = (names[name], if spaced { " " } else { "" });
            let expected = Ok(now() - Span(number * unit));
            for text in [format!("{number}{gap}{name} ago"), format!("-{number}{gap}{name}")] {
                prop_assert_eq!(read(&text, now()), expected.clone(), "{}", text);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,70}") {
            let _either = (read(&text, now()), read_query(&text, now()), Timestamp::parse(&text));
        }

        #[test]
        fn nearly_right_times_are_read_or_refused(text in "[0-9]{0,5}-?[0-9]{0,3}-?[0-9]{0,3}[T _]?[0-9:.,]{0,12} ?[-+Zz0-9:ago]{0,7}") {
            let _either = (read(&text, now()), read_query(&text, now()), Timestamp::parse(&text));
        }
    }
}
