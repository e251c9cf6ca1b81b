//! Which encoding a list is sent in, and how it is encoded so that the bytes can be kept.
//!
//! Segments are never encoded: they are compressed video. Encoding costs milliseconds, so callers keep the result where they can.

use std::io::{self, Write};

use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use flate2::{Compression, GzBuilder};

/// How much work an encoding is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// The bytes are sent once.
    Once,
    /// They are kept, and sent many times.
    Kept,
}

impl Effort {
    /// Of what is kept gzip's own default: higher levels take twice the time for one percent.
    const fn gzip_level(self) -> u32 {
        match self {
            Self::Once => 3,
            Self::Kept => 6,
        }
    }

    const fn zstd_level(self) -> i32 {
        match self {
            Self::Once => 3,
            Self::Kept => 9,
        }
    }
}

/// Elements of an `Accept-Encoding` header that are looked at. Browsers send five.
const MAX_ELEMENTS: usize = 32;

/// How a body is encoded on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// Every one, in the order in which we like them least.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Zstd];

    /// Tells caches and clients about this encoding: `Vary` always, `Content-Encoding` where there is one.
    pub fn describe(self, headers: &mut HeaderMap) {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        match self {
            Self::Identity => {}
            Self::Gzip => drop(headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"))),
            Self::Zstd => drop(headers.insert(CONTENT_ENCODING, HeaderValue::from_static("zstd"))),
        }
    }
}

/// The encoding with the highest quality value; of equals zstd, then gzip, then none.
///
/// A request without the header gets the plain body. So does one that accepts nothing we have: the RFC leaves that
/// open, and a readable body helps more than a 406.
pub fn negotiate(headers: &HeaderMap) -> Encoding {
    negotiate_among(headers, &Encoding::ALL)
}

/// The same, among these.
pub(super) fn negotiate_among(headers: &HeaderMap, there: &[Encoding]) -> Encoding {
    let (mut zstd, mut gzip, mut identity, mut others) = (None, None, None, None);
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    for element in lines.flat_map(|line| line.split(',')).take(MAX_ELEMENTS) {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        let Some(quality) = quality(parameters) else {
            continue;
        };
        match name.trim() {
            name if name.eq_ignore_ascii_case("zstd") => zstd = Some(quality),
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => gzip = Some(quality),
            name if name.eq_ignore_ascii_case("identity") => identity = Some(quality),
            "*" => others = Some(quality),
            _ => {}
        }
    }
    let offers = [
        // Without a word about it the plain body is acceptable, but less than anything that was named.
        (identity.unwrap_or(0), Encoding::Identity),
        (gzip.or(others).unwrap_or(0), Encoding::Gzip),
        (zstd.or(others).unwrap_or(0), Encoding::Zstd),
    ];
    let offers = offers.into_iter().filter(|(quality, encoding)| *quality > 0 && there.contains(encoding));
    offers.max().map_or(Encoding::Identity, |(_, encoding)| encoding)
}

/// A quality value in thousandths; 1000 where none is given, `None` where it is malformed.
fn quality(parameters: &str) -> Option<u16> {
    let Some(value) = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    }) else {
        return Some(1000);
    };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// `body` in that encoding. The same body gives the same bytes on every node and at any time.
pub fn encode(encoding: Encoding, effort: Effort, body: &[u8]) -> io::Result<Bytes> {
    Ok(match encoding {
        Encoding::Identity => Bytes::copy_from_slice(body),
        Encoding::Gzip => {
            let room = Vec::with_capacity(body.len() / 2 + 64);
            // No time and no operating system (255: unknown) in the header, or the bytes would differ.
            let level = Compression::new(effort.gzip_level());
            let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(room, level);
            encoder.write_all(body)?;
            encoder.finish()?.into()
        }
        Encoding::Zstd => zstd::bulk::compress(body, effort.zstd_level())?.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn chosen(accept: &str) -> Encoding {
        negotiate(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap())]))
    }

    #[test]
    fn nothing_said_means_plain() {
        assert_eq!(negotiate(&HeaderMap::new()), Encoding::Identity);
        assert_eq!(chosen(""), Encoding::Identity);
        assert_eq!(chosen("br, deflate"), Encoding::Identity);
    }

    #[test]
    fn of_equals_zstd_comes_first() {
        assert_eq!(chosen("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(chosen("gzip, deflate"), Encoding::Gzip);
        assert_eq!(chosen("identity, gzip"), Encoding::Gzip);
        assert_eq!(chosen("*"), Encoding::Zstd);
        assert_eq!(chosen("X-GZIP"), Encoding::Gzip);
    }

    #[test]
    fn quality_values_decide() {
        assert_eq!(chosen("zstd;q=0.5, gzip;q=0.8"), Encoding::Gzip);
        assert_eq!(chosen("gzip ; Q=0.001"), Encoding::Gzip);
        assert_eq!(chosen("gzip;q=0.5, identity"), Encoding::Identity);
        assert_eq!(chosen("zstd;q=0, *"), Encoding::Gzip);
        assert_eq!(chosen("gzip;q=0, zstd;q=0.000"), Encoding::Identity);
        assert_eq!(chosen("identity;q=0"), Encoding::Identity);
        assert_eq!(chosen("identity;q=0, gzip;q=0.1"), Encoding::Gzip);
        assert_eq!(chosen("gzip;q=2, zstd;q=x"), Encoding::Identity);
    }

    #[test]
    fn bytes_come_out_the_same_and_go_back() {
        let body = b"[\"a\", \"b\"]".repeat(1000);
        for effort in [Effort::Once, Effort::Kept] {
            let encoded = |encoding| encode(encoding, effort, &body).unwrap();
            for encoding in Encoding::ALL {
                assert_eq!(encoded(encoding), encoded(encoding));
            }
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*encoded(Encoding::Gzip)).read_to_end(&mut plain).unwrap();
            assert_eq!(plain, body);
            assert_eq!(zstd::bulk::decompress(&encoded(Encoding::Zstd), body.len()).unwrap(), body);
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,80}") {
            chosen(&text);
        }
    }
}
