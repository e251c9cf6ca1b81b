//! What an operator wants to be sent with each request to a source: who asks, or that somebody has paid. Values are never shown.

use std::fmt;

use reqwest::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, RANGE, TE,
    TRANSFER_ENCODING, UPGRADE,
};

/// Headers of one source; real ones have three.
const MOST: usize = 32;
/// Bytes of a value.
const LONGEST: usize = 16 << 10;
/// Those by which requests are told apart and answers are read.
const OURS: [HeaderName; 9] =
    [HOST, RANGE, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TE, UPGRADE, EXPECT];

/// Headers for the source's own hosts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SourceHeaders(HeaderMap);

impl SourceHeaders {
    /// Adds one; an error is what was expected.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let read = HeaderName::from_bytes(name.trim().as_bytes());
        let Ok(read) = read else {
            return Err(format!("{name:?} is no name of a header, expected one such as Cookie"));
        };
        if OURS.contains(&read) {
            return Err(format!("{read} is written by gapless, expected another one such as Cookie or User-Agent"));
        }
        let value = HeaderValue::from_str(value.trim()).ok().filter(|value| value.len() <= LONGEST);
        let Some(mut value) = value else {
            return Err(format!("the value of {read} has characters that no header has, or more than 16 KiB"));
        };
        if self.0.len() >= MOST {
            return Err(format!("there are more than {MOST} headers"));
        }
        value.set_sensitive(true);
        self.0.insert(read, value);
        Ok(())
    }

    /// The same of a line `NAME: VALUE`.
    pub fn add_line(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = line.split_once(':').ok_or("expected NAME: VALUE, such as 'Cookie: a=b'")?;
        self.add(name, value)
    }

    pub const fn map(&self) -> &HeaderMap {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SourceHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_their_values_are_never_shown() {
        let mut headers = SourceHeaders::default();
        headers.add_line("Cookie: session=secret; b=c:d").unwrap();
        headers.add("user-agent", "secret/1").unwrap();
        assert_eq!(headers.map().get("Cookie").unwrap(), "session=secret; b=c:d");
        assert_eq!(format!("{headers:?}"), "[\"cookie\", \"user-agent\"]");
        for line in ["Cookie", "Co kie: secret", "Host: secret", "Range: bytes=secret", "Cookie: secret\r\nX: secret"] {
            let said = headers.add_line(line).unwrap_err();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
