//! The page beside a map, plain HTML without a script, for plain file servers: the maps of all known nodes, one below the other. Writes maps
//! and pages to `coverage-maps/` beneath the base, and gauges to where they are wanted: complete or not at all.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::picture::PictureError;
use crate::archive::Stream;
use crate::archive::escape::shown;
use crate::disk::{Base, DiskError, atomic, clear_temporaries};

/// Where maps and pages lie beneath the base. Each node writes its own: never fetched from others, and no channel.
pub const DIRECTORY: &str = "coverage-maps";

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The path.
    #[error("{} is no place for a file: expected is a name in a directory that is there", path.display())]
    Place {
        /// What was given.
        path: PathBuf,
    },
}

/// Bytes of a digest in a name, in front of the extension.
const DIGEST: usize = 10;

/// The name of the map (`png`) or the page (`html`) of a quality: `CHANNEL_QUALITY_coverage.png`. Every node makes the same of it, whatever
/// other qualities there are.
///
/// `a_b_c` may be `a_b` in `c` or `a` in `b_c`. The first one, whose quality has no `_`, has the plain name: so have nearly all. Any other
/// has a digest of its names at the end, where no plain name has one.
pub(super) fn map_name(stream: &Stream, extension: &str) -> String {
    let joined = format!("{}_{}_coverage", stream.channel, stream.quality);
    if !stream.quality.as_str().contains('_') {
        return format!("{joined}.{extension}");
    }
    let mut name = joined + "-";
    for byte in Sha256::digest(stream.to_string()).iter().take(DIGEST) {
        // A write to a String cannot fail.
        write!(name, "{byte:02x}").unwrap_or_default();
    }
    format!("{name}.{extension}")
}

/// Where the maps of a base lie.
pub fn maps_of(base: &Path) -> PathBuf {
    base.join(DIRECTORY)
}

/// Writes the map of a quality and its page in the place of those that are there.
pub fn publish(base: &Base, stream: &Stream, picture: &[u8], page: &str) -> Result<(), PublishError> {
    let dir = base.make_dirs([DIRECTORY])?;
    atomic::replace(&dir, OsStr::new(&map_name(stream, "png")), picture)?;
    atomic::replace(&dir, OsStr::new(&map_name(stream, "html")), page.as_bytes())?;
    Ok(())
}

/// Clears away what a process left that was killed while it wrote.
pub(super) fn tidy(base: &Base) -> Result<(), PublishError> {
    if let Some(dir) = base.dir(Path::new(DIRECTORY))? {
        clear_temporaries(&dir)?;
    }
    Ok(())
}

/// Whether there are a map and a page of a quality, of whatever age.
pub(super) fn is_published(base: &Base, stream: &Stream) -> Result<bool, PublishError> {
    let is_there = |extension| base.open_file(&Path::new(DIRECTORY).join(map_name(stream, extension)));
    Ok(is_there("png")?.is_some() && is_there("html")?.is_some())
}

/// Writes a file anywhere, in the place of the one that is there.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let no_place = || PublishError::Place { path: path.to_owned() };
    let name: OsString = path.file_name().ok_or_else(no_place)?.to_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = Base::open(parent)?.dir(Path::new(""))?.ok_or_else(no_place)?;
    Ok(atomic::replace(&dir, &name, bytes)?)
}

/// What may stand in an address as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Seconds after which a browser asks again: as often as coverage of this field is made anew.
const REFRESH_SECONDS: u32 = 60;

/// A node whose map is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownNode {
    /// What it is called.
    pub name: String,
    /// Where it is, without a `/` at the end; `None` for the one that the page lies on.
    pub url: Option<String>,
}

impl ShownNode {
    /// Another node.
    pub fn peer(name: String, url: &str) -> Self {
        Self { name, url: Some(url.trim_end_matches('/').to_owned()) }
    }
}

/// The page of a quality.
pub fn page(stream: &Stream, nodes: &[ShownNode]) -> String {
    let title = escaped(&shown(&stream.to_string()));
    let picture = utf8_percent_encode(&map_name(stream, "png"), KEPT).to_string();
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n<title>{title}: coverage</title>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<p>One pixel is 2 seconds, one column 10 minutes, UTC. Blue: covered. Orange: by segments that are \
         not full. White: missing.</p>\n"
    );
    for node in nodes {
        let name = escaped(&shown(&node.name));
        let source = match &node.url {
            None => picture.clone(),
            Some(url) => format!("{}/segments/coverage-maps/{picture}", escaped(url)),
        };
        let alt = format!("Coverage map of {title} on {name}");
        text.extend(["<h2>", &name, "</h2>\n<p><img src=\"", &source, "\" alt=\"", &alt, "\"></p>\n"]);
    }
    text.push_str("</body>\n</html>\n");
    text
}

fn escaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => whole.push_str("&amp;"),
            '<' => whole.push_str("&lt;"),
            '>' => whole.push_str("&gt;"),
            '"' => whole.push_str("&quot;"),
            '\'' => whole.push_str("&#39;"),
            _ => whole.push(c),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_names_stay_what_links_say_and_the_others_tell_their_parts_apart() {
        let name = |stream| map_name(&Stream::parse(stream).unwrap(), "png");
        assert_eq!(name("desertbus/source"), "desertbus_source_coverage.png");
        assert_eq!(name("dbz_live/source"), "dbz_live_source_coverage.png");
        // Every node and every version has to make the same of it.
        assert_eq!(name("dbz/live_source"), "dbz_live_source_coverage-f8cc399694708c1b40d0.png");
    }

    proptest! {
        #[test]
        fn no_two_qualities_have_one_name(a in "[ab_.-]{1,4}/[ab_.-]{1,4}", b in "[ab_.-]{1,4}/[ab_.-]{1,4}", chosen in any::<bool>()) {
            let (Ok(a), Ok(b)) = (Stream::parse(&a), Stream::parse(&b)) else { return Ok(()) };
            // Or one that is called as a whole file of the other is.
            let named = map_name(&a, "png").replace("_coverage.png", "");
            let b = if chosen { named.rsplit_once('_').and_then(|(channel, quality)| Stream::new(channel, quality).ok()).unwrap_or(b) } else { b };
            prop_assert_eq!(a == b, map_name(&a, "png") == map_name(&b, "png"));
        }
    }

    #[test]
    fn names_are_shown_and_never_taken_for_anything_else() {
        let stream = Stream::parse("a<b>\"&'/so urce").unwrap();
        let here = ShownNode { name: "<here>".to_owned(), url: None };
        let steering = page(&Stream::parse("a\u{202e}\n/b").unwrap(), &[]);
        assert!(steering.contains("<h1>a\\u{202e}\\n/b</h1>"), "{steering}");
        let there = ShownNode { name: "b".to_owned(), url: Some("http://b.example:8000".to_owned()) };
        let text = page(&stream, &[here, there]);
        assert!(text.contains("<h1>a&lt;b&gt;&quot;&amp;&#39;/so urce</h1>"), "{text}");
        assert!(text.contains("<h2>&lt;here&gt;</h2>") && !text.contains("<here>") && !text.contains("<script"));
        let picture = "a%3Cb%3E%22%26%27_so%20urce_coverage.png";
        assert!(text.contains(&format!("src=\"{picture}\"")), "{text}");
        assert!(text.contains(&format!("src=\"http://b.example:8000/segments/coverage-maps/{picture}\"")), "{text}");
    }
}
