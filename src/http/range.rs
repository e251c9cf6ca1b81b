//! Byte ranges (RFC 9110, section 14), so that players can seek and broken downloads can go on.
//!
//! It decides which bytes are meant and reads no file. Several ranges at once are answered with the whole file, which
//! the RFC allows: no player asks for them, and `multipart/byteranges` is a classic way to make a server work hard.

use std::ops::Range;
use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::{IF_RANGE, RANGE};

use super::conditional::{ETag, same_second};

/// Which bytes a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedRange {
    /// All of them: 200.
    Whole,
    /// These, at least one: 206.
    Part(Range<u64>),
    /// None that exist: 416.
    Nothing,
}

/// What the `Range` header of a GET request means for a file of `len` bytes.
///
/// A header that is malformed, has an unknown unit or is there twice is ignored, as is one whose `If-Range` does not
/// hold: a strong `ETag` that is the same, or a date that is the same second.
pub fn wanted(headers: &HeaderMap, len: u64, etag: &ETag, last_modified: Option<SystemTime>) -> RequestedRange {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return RequestedRange::Whole;
    };
    if !if_range_holds(headers, etag, last_modified) {
        return RequestedRange::Whole;
    }
    line.to_str().ok().and_then(|text| parse(text, len)).unwrap_or(RequestedRange::Whole)
}

fn if_range_holds(headers: &HeaderMap, etag: &ETag, last_modified: Option<SystemTime>) -> bool {
    let Some(condition) = headers.get(IF_RANGE) else {
        return true;
    };
    if condition.as_bytes().ends_with(b"\"") {
        // A weak tag cannot be equal: ours are all strong.
        return condition == etag.value();
    }
    let date = condition.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok());
    matches!((date, last_modified), (Some(date), Some(modified)) if same_second(date, modified))
}

/// `None`: malformed, or more than one range.
fn parse(text: &str, len: u64) -> Option<RequestedRange> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    if first.is_empty() {
        let count = number(last)?;
        return Some(match (count, len) {
            (0, _) => RequestedRange::Nothing,
            // The whole of an empty file: satisfiable by the RFC, but `Content-Range` cannot say so.
            (_, 0) => RequestedRange::Whole,
            _ => RequestedRange::Part(len.saturating_sub(count)..len),
        });
    }
    let start = number(first)?;
    let end = if last.is_empty() { len } else { number(last)?.saturating_add(1).min(len) };
    if !last.is_empty() && number(last)? < start {
        return None;
    }
    Some(if start < len { RequestedRange::Part(start..end) } else { RequestedRange::Nothing })
}

/// Digits only; what is too large for 64 bits is larger than any file.
fn number(digits: &str) -> Option<u64> {
    let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    decimal.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(range: &str, len: u64) -> RequestedRange {
        with(range, None, len)
    }

    fn with(range: &str, if_range: Option<&str>, len: u64) -> RequestedRange {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(condition) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_str(condition).unwrap());
        }
        let modified = httpdate::parse_http_date("Fri, 20 Nov 2026 18:00:00 GMT").unwrap();
        wanted(&headers, len, &ETag::new("abc"), Some(modified + std::time::Duration::from_millis(300)))
    }

    #[test]
    fn the_three_forms() {
        assert_eq!(of("bytes=0-0", 10), RequestedRange::Part(0..1));
        assert_eq!(of("bytes=2-5", 10), RequestedRange::Part(2..6));
        assert_eq!(of("bytes=2-500", 10), RequestedRange::Part(2..10));
        assert_eq!(of("Bytes = 4- ", 10), RequestedRange::Part(4..10));
        assert_eq!(of("bytes=-3", 10), RequestedRange::Part(7..10));
        assert_eq!(of("bytes=-30", 10), RequestedRange::Part(0..10));
    }

    #[test]
    fn outside_the_file() {
        assert_eq!(of("bytes=10-", 10), RequestedRange::Nothing);
        assert_eq!(of("bytes=99999999999999999999999-", 10), RequestedRange::Nothing);
        assert_eq!(of("bytes=-0", 10), RequestedRange::Nothing);
        assert_eq!(of("bytes=0-", 0), RequestedRange::Nothing);
        assert_eq!(of("bytes=-5", 0), RequestedRange::Whole);
    }

    #[test]
    fn what_is_malformed_or_several_means_the_whole_file() {
        for text in [
            "bytes=5-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "items=0-1",
            "bytes",
            "bytes=0-1,3-4",
            "bytes=0-1-2",
        ] {
            assert_eq!(of(text, 10), RequestedRange::Whole, "{text}");
        }
    }

    #[test]
    fn if_range_decides() {
        assert_eq!(with("bytes=1-", Some("\"abc\""), 3), RequestedRange::Part(1..3));
        assert_eq!(with("bytes=1-", Some("\"abd\""), 3), RequestedRange::Whole);
        assert_eq!(with("bytes=1-", Some("W/\"abc\""), 3), RequestedRange::Whole);
        assert_eq!(with("bytes=1-", Some("Fri, 20 Nov 2026 18:00:00 GMT"), 3), RequestedRange::Part(1..3));
        assert_eq!(with("bytes=1-", Some("Fri, 20 Nov 2026 18:00:01 GMT"), 3), RequestedRange::Whole);
        assert_eq!(with("bytes=9-", Some("nonsense"), 3), RequestedRange::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(text in "(bytes=)?[0-9, -]{0,30}", len in any::<u64>()) {
            if let RequestedRange::Part(part) = of(&text, len) {
                prop_assert!(part.start < part.end && part.end <= len);
            }
        }
    }
}
