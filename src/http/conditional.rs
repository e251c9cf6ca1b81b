//! Conditional requests (RFC 9110, section 13): whoever has the current body already is told so in a few bytes.
//!
//! It compares what the request names with what is current; it computes no hash and knows no file. All our tags are
//! strong. A body that is kept in several encodings has one tag per encoding, made from the same hash: `"HASH"`,
//! `"HASH-gzip"`, `"HASH-zstd"`. A request that names any of the three has the current content.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::negotiate::Encoding;

/// A strong entity tag, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(HeaderValue);

impl ETag {
    /// The tag of a body whose hash reads `hash`. Bytes that no tag may hold are left out.
    pub fn new(hash: &str) -> Self {
        Self::build(hash, Encoding::Identity)
    }

    /// The tag of the same body in that encoding.
    pub fn of_encoded(hash: &str, encoding: Encoding) -> Self {
        Self::build(hash, encoding)
    }

    fn build(hash: &str, encoding: Encoding) -> Self {
        let suffix = suffix(encoding);
        let mut text = Vec::with_capacity(hash.len() + suffix.len() + 2);
        text.push(b'"');
        text.extend(hash.bytes().filter(|byte| byte.is_ascii_graphic() && *byte != b'"'));
        text.extend_from_slice(suffix.as_bytes());
        text.push(b'"');
        Self(HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("\"\"")))
    }

    /// As it stands in a header, quotes included.
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// What stands between the quotes, without the suffix of an encoding.
    fn base(&self) -> &[u8] {
        let bytes = self.0.as_bytes();
        base(bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default())
    }
}

/// What a request's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionVerdict {
    /// Answer as if there were none.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Weighs the conditions of a GET or HEAD request in the order the RFC gives.
pub fn evaluate(headers: &HeaderMap, etag: &ETag, last_modified: Option<SystemTime>) -> ConditionVerdict {
    if headers.contains_key(IF_MATCH) {
        if !names(headers, &IF_MATCH, etag, Comparison::Strong) {
            return ConditionVerdict::Failed;
        }
    } else if let (Some(limit), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), last_modified)
        && seconds(modified) > seconds(limit)
    {
        return ConditionVerdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if names(headers, &IF_NONE_MATCH, etag, Comparison::Weak) {
            return ConditionVerdict::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), last_modified)
        && seconds(modified) <= seconds(since)
    {
        return ConditionVerdict::NotModified;
    }
    ConditionVerdict::Proceed
}

/// Whether two times are the same in HTTP, which counts seconds.
pub(super) fn same_second(one: SystemTime, other: SystemTime) -> bool {
    seconds(one) == seconds(other)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    headers.get(name)?.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok())
}

fn suffix(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Identity => "",
        Encoding::Gzip => "-gzip",
        Encoding::Zstd => "-zstd",
    }
}

fn base(opaque: &[u8]) -> &[u8] {
    opaque.strip_suffix(b"-gzip").or_else(|| opaque.strip_suffix(b"-zstd")).unwrap_or(opaque)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether the list in that header names the current body, or everything (`*`).
fn names(headers: &HeaderMap, name: &HeaderName, etag: &ETag, comparison: Comparison) -> bool {
    let current = etag.base();
    headers.get_all(name).iter().any(|line| {
        let text = line.as_bytes().trim_ascii();
        text == b"*"
            || tags(text).any(|(weak, opaque)| base(opaque) == current && (comparison == Comparison::Weak || !weak))
    })
}

/// The tags of a list: whether weak, and what stands between the quotes. Ends at the first thing that is not a tag.
fn tags(mut rest: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let weak = rest.starts_with(b"W/");
        let quoted = rest.strip_prefix(b"W/").unwrap_or(rest).strip_prefix(b"\"")?;
        let end = quoted.iter().position(|&byte| byte == b'"')?;
        rest = quoted.get(end + 1..).unwrap_or_default();
        quoted.get(..end).map(|opaque| (weak, opaque))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODIFIED: &str = "Fri, 20 Nov 2026 18:00:00 GMT";

    fn judge(pairs: &[(HeaderName, &str)]) -> ConditionVerdict {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        let modified = httpdate::parse_http_date(MODIFIED).unwrap() + Duration::from_millis(700);
        evaluate(&headers, &ETag::of_encoded("abc", Encoding::Gzip), Some(modified))
    }

    #[test]
    fn tags_carry_their_encoding() {
        assert_eq!(ETag::new("abc").value(), "\"abc\"");
        assert_eq!(ETag::of_encoded("abc", Encoding::Zstd).value(), "\"abc-zstd\"");
        assert_eq!(ETag::new("a\"b\n").value(), "\"ab\"");
    }

    #[test]
    fn any_form_of_the_current_body_is_not_modified() {
        for list in ["\"abc\"", "\"abc-gzip\"", "W/\"abc-zstd\"", "*", "\"x,\" , \"abc\"", ", \"x\",\"abc\""] {
            assert_eq!(judge(&[(IF_NONE_MATCH, list)]), ConditionVerdict::NotModified, "{list}");
        }
        for list in ["\"abd\"", "abc", "\"abc", "", "\"abc-br\"", "**"] {
            assert_eq!(judge(&[(IF_NONE_MATCH, list)]), ConditionVerdict::Proceed, "{list}");
        }
    }

    #[test]
    fn a_date_counts_only_without_a_tag() {
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, MODIFIED)]), ConditionVerdict::NotModified);
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, "Fri, 20 Nov 2026 17:59:59 GMT")]), ConditionVerdict::Proceed);
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, "yesterday")]), ConditionVerdict::Proceed);
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, MODIFIED), (IF_NONE_MATCH, "\"x\"")]), ConditionVerdict::Proceed);
    }

    #[test]
    fn preconditions_come_first() {
        assert_eq!(judge(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "*")]), ConditionVerdict::Failed);
        assert_eq!(judge(&[(IF_MATCH, "W/\"abc\"")]), ConditionVerdict::Failed);
        assert_eq!(judge(&[(IF_MATCH, "\"abc\"")]), ConditionVerdict::Proceed);
        assert_eq!(judge(&[(IF_MATCH, "*")]), ConditionVerdict::Proceed);
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, "Fri, 20 Nov 2026 17:59:59 GMT")]), ConditionVerdict::Failed);
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, MODIFIED)]), ConditionVerdict::Proceed);
    }

    proptest! {
        #[test]
        fn no_list_panics(text in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(tags(&text).count() <= text.len());
        }
    }
}
