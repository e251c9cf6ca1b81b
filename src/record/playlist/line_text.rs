//! One line of a playlist as text. Playlists are UTF-8 (RFC 8216, 4.1), and players take others: a title in Latin-1 must not keep a stream from being recorded.
//!
//! 1. A line that is UTF-8 is taken as it is.
//! 2. Of another one, what names an address keeps its bytes, as `%` and their value: the server knows what they mean. The rest is read as
//!    Latin-1, in which every byte is a character.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What an address in a tag begins with.
const URI: &[u8] = b"URI=\"";

/// The text of a line.
pub(super) fn line_text(line: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(line) {
        return Cow::Borrowed(text);
    }
    let (mut text, mut is_address) = (String::with_capacity(line.len() * 2), !line.starts_with(b"#"));
    let is_tag = !is_address;
    for (at, byte) in line.iter().enumerate() {
        if is_tag {
            let begins = line.get(..at).is_some_and(|before| before.ends_with(URI));
            is_address = begins || is_address && *byte != b'"';
        }
        match byte {
            // Writing to text never fails.
            0x80.. if is_address => write!(text, "%{byte:02X}").unwrap_or_default(),
            _ => text.push(char::from(*byte)),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_text_and_addresses_keep_their_bytes() {
        for (line, expected) in [
            (&b"#EXTINF:2,Z\xc3\xbcrich"[..], "#EXTINF:2,Z\u{fc}rich"),
            (b"#EXTINF:2,Z\xfcrich", "#EXTINF:2,Z\u{fc}rich"),
            (b"caf\xe9/1.ts", "caf%E9/1.ts"),
            (b"caf\xc3\xa9/1.ts", "caf\u{e9}/1.ts"),
            (
                b"#EXT-X-MEDIA:NAME=\"Fran\xe7ais\",URI=\"fran\xe7ais.m3u8\",LANGUAGE=\"\xe7\"",
                "#EXT-X-MEDIA:NAME=\"Fran\u{e7}ais\",URI=\"fran%E7ais.m3u8\",LANGUAGE=\"\u{e7}\"",
            ),
        ] {
            assert_eq!(line_text(line), expected);
        }
    }
}
