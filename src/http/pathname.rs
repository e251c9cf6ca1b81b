//! Request paths come from anywhere; this is the one place where they become names.
//!
//! It decodes and judges parts, and it is pure: whether something with that name exists, and that nothing outside the
//! base directory is ever opened, is the business of `disk/`, which does not rely on anything here.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The longest part that is looked up: no file system we write to stores a longer name.
pub const MAX_PART_BYTES: usize = 255;

/// The deepest path that is looked up. Extras may nest; nobody's nest 64 deep, and the bound caps the work per request.
pub const MAX_PARTS: usize = 64;

/// Why a path names nothing that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A part begins with a dot: 403. This covers `.` and `..` too.
    #[error("a part of the path begins with a dot")]
    Hidden,
    /// Nothing can be called that: 404.
    #[error("no such path")]
    NotFound,
}

/// The decoded parts of `raw` (the path as it stood in the request line, without the query) behind `prefix`.
///
/// The prefix alone has no parts. A slash at the end makes an empty part, and that is [`PathError::NotFound`].
///
/// ```
/// use gapless::http::pathname::{PathError, parts};
///
/// assert_eq!(parts(b"/files/a%20b/best", b"/files"), Ok(vec!["a b".into(), "best".into()]));
/// assert_eq!(parts(b"/files/%2e%2e/etc", b"/files"), Err(PathError::Hidden));
/// ```
pub fn parts<'raw>(raw: &'raw [u8], prefix: &[u8]) -> Result<Vec<Cow<'raw, str>>, PathError> {
    let rest = raw.strip_prefix(prefix).ok_or(PathError::NotFound)?;
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let rest = rest.strip_prefix(b"/").ok_or(PathError::NotFound)?;
    let mut decoded = Vec::with_capacity(4);
    for part in rest.split(|&byte| byte == b'/') {
        if decoded.len() == MAX_PARTS {
            return Err(PathError::NotFound);
        }
        decoded.push(decode(part)?);
    }
    Ok(decoded)
}

/// One part, decoded and judged.
fn decode(raw: &[u8]) -> Result<Cow<'_, str>, PathError> {
    // Three raw bytes make one byte at best, so what is longer than this is too long whatever it says.
    if raw.len() > 3 * MAX_PART_BYTES {
        return Err(PathError::NotFound);
    }
    let bytes: Cow<'_, [u8]> = percent_decode(raw).into();
    if bytes.first() == Some(&b'.') {
        return Err(PathError::Hidden);
    }
    let unusable =
        bytes.is_empty() || bytes.len() > MAX_PART_BYTES || bytes.iter().any(|&byte| byte == b'/' || byte == 0);
    if unusable {
        return Err(PathError::NotFound);
    }
    match bytes {
        Cow::Borrowed(plain) => std::str::from_utf8(plain).map(Cow::Borrowed).map_err(|_| PathError::NotFound),
        Cow::Owned(owned) => String::from_utf8(owned).map(Cow::Owned).map_err(|_| PathError::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(raw: &str) -> Result<Vec<Cow<'_, str>>, PathError> {
        parts(raw.as_bytes(), b"/segments")
    }

    #[test]
    fn the_prefix_alone_has_no_parts() {
        assert_eq!(of("/segments"), Ok(vec![]));
        assert_eq!(of("/segments/"), Err(PathError::NotFound));
        assert_eq!(of("/segmentsX/a"), Err(PathError::NotFound));
        assert_eq!(of("/files/a"), Err(PathError::NotFound));
    }

    #[test]
    fn parts_are_decoded_once() {
        assert_eq!(of("/segments/a%2520b/%C3%A9"), Ok(vec!["a%20b".into(), "é".into()]));
        assert_eq!(of("/segments/100%/a+b"), Ok(vec!["100%".into(), "a+b".into()]));
    }

    #[test]
    fn a_leading_dot_is_hidden_however_it_is_written() {
        for raw in ["/segments/.", "/segments/..", "/segments/%2e%2e/x", "/segments/a/.tmp", "/segments/.%2fx"] {
            assert_eq!(of(raw), Err(PathError::Hidden), "{raw}");
        }
    }

    #[test]
    fn what_no_name_can_hold_is_not_found() {
        for raw in ["/segments/a%2fb", "/segments/a%00", "/segments/%ff", "/segments//a", "/segments/a/"] {
            assert_eq!(of(raw), Err(PathError::NotFound), "{raw}");
        }
        assert_eq!(of(&format!("/segments/{}", "x".repeat(256))), Err(PathError::NotFound));
        assert!(of(&format!("/segments/{}", "x".repeat(255))).is_ok());
        assert!(of(&format!("/segments/{}", "%78".repeat(255))).is_ok());
        assert!(of(&format!("/segments{}", "/x".repeat(64))).is_ok());
        assert_eq!(of(&format!("/segments{}", "/x".repeat(65))), Err(PathError::NotFound));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_escape(tail in prop::collection::vec(any::<u8>(), 0..600)) {
            check(&tail)?;
        }

        #[test]
        fn no_path_like_text_escapes(tail in "[./%2efF0a]{0,40}") {
            check(tail.as_bytes())?;
        }
    }

    fn check(tail: &[u8]) -> Result<(), TestCaseError> {
        let raw = [b"/segments".as_slice(), tail].concat();
        if let Ok(found) = parts(&raw, b"/segments") {
            prop_assert!(found.len() <= MAX_PARTS);
            for part in found {
                prop_assert!(!part.is_empty() && part.len() <= MAX_PART_BYTES);
                prop_assert!(!part.starts_with('.') && !part.contains(['/', '\0']));
            }
        }
        Ok(())
    }
}
