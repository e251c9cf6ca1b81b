//! The page beside a map: the maps of all known nodes, one below the other. Plain HTML without a script, for plain file servers.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::publish::map_name;
use crate::archive::Stream;
use crate::archive::escape::shown;

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
