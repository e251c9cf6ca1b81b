//! The page at `/` and the one at `/status`: files that are built in, and the headers that keep others from running anything in them.
//!
//! They hold nothing of the archive. What they show they ask the API for, with the token of whoever looks where one is wanted.

use std::sync::OnceLock;

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::request::PathParts;
use super::{ConditionVerdict, ETag, Effort, Encoding, Problem, conditional, encode, negotiate};

/// Nothing is loaded from elsewhere, no script or style stands in the page, and nobody may put it in a frame. What is played is put together
/// by the page itself (`blob:`).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// A file that is built in, and how it goes over the wire.
struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
    hash: OnceLock<String>,
    encoded: [OnceLock<Bytes>; 2],
}

impl File {
    const fn new(name: &'static str, kind: &'static str, content: &'static str) -> Self {
        Self { name, kind, content, hash: OnceLock::new(), encoded: [const { OnceLock::new() }; 2] }
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(self.content.as_bytes())))
    }

    /// The content in this encoding, made once; plain if it cannot be encoded.
    fn body(&self, encoding: Encoding) -> (Bytes, Encoding) {
        let plain = Bytes::from_static(self.content.as_bytes());
        let slot = match encoding {
            Encoding::Identity => return (plain, encoding),
            Encoding::Gzip => &self.encoded[0],
            Encoding::Zstd => &self.encoded[1],
        };
        if let Some(body) = slot.get() {
            return (body.clone(), encoding);
        }
        match encode(encoding, Effort::Kept, self.content.as_bytes()) {
            Ok(body) => (slot.get_or_init(|| body).clone(), encoding),
            Err(_) => (plain, Encoding::Identity),
        }
    }

    fn reply(&self, asked: &HeaderMap) -> Response {
        let (body, encoding) = self.body(negotiate(asked));
        let etag = ETag::of_encoded(self.hash(), encoding);
        let mut response = match conditional::evaluate(asked, &etag, None) {
            ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
            ConditionVerdict::Failed => return Problem::precondition_failed().into_response(),
            ConditionVerdict::Proceed => ([(CONTENT_TYPE, HeaderValue::from_static(self.kind))], body).into_response(),
        };
        let headers = response.headers_mut();
        encoding.describe(headers);
        headers.insert(ETAG, etag.value().clone());
        // After an update of the node the page is the new one at once: a comparison costs a few bytes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// Made by others; what is known of them stands beside them. The second one plays sound that lies apart from its pictures.
#[cfg(test)]
const HLS: [&str; 2] = ["hls.light.min.mjs", "hls.min.mjs"];

static PAGE: File = File::new("index.html", HTML, include_str!("page/index.html"));
static STATUS: File = File::new("status.html", HTML, include_str!("page/status.html"));
static FILES: [File; 42] = [
    File::new("page.css", CSS, include_str!("page/page.css")),
    File::new("icon.svg", PICTURE, include_str!("page/icon.svg")),
    File::new("api.js", SCRIPT, include_str!("page/api.js")),
    File::new("away.js", SCRIPT, include_str!("page/away.js")),
    File::new("axis.js", SCRIPT, include_str!("page/axis.js")),
    File::new("clock.js", SCRIPT, include_str!("page/clock.js")),
    File::new("cursor.js", SCRIPT, include_str!("page/cursor.js")),
    File::new("cut.js", SCRIPT, include_str!("page/cut.js")),
    File::new("dom.js", SCRIPT, include_str!("page/dom.js")),
    File::new("draw.js", SCRIPT, include_str!("page/draw.js")),
    File::new("engine.js", SCRIPT, include_str!("page/engine.js")),
    File::new("filter.js", SCRIPT, include_str!("page/filter.js")),
    File::new("first_view.js", SCRIPT, include_str!("page/first_view.js")),
    File::new("gestures.js", SCRIPT, include_str!("page/gestures.js")),
    File::new("guide.js", SCRIPT, include_str!("page/guide.js")),
    File::new("health.js", SCRIPT, include_str!("page/health.js")),
    File::new("hide.js", SCRIPT, include_str!("page/hide.js")),
    File::new("hint.js", SCRIPT, include_str!("page/hint.js")),
    File::new("hls.light.min.mjs", SCRIPT, include_str!("page/vendor/hls.light.min.mjs")),
    File::new("hls.min.mjs", SCRIPT, include_str!("page/vendor/hls.min.mjs")),
    File::new("hole_table.js", SCRIPT, include_str!("page/hole_table.js")),
    File::new("holes.js", SCRIPT, include_str!("page/holes.js")),
    File::new("keys.js", SCRIPT, include_str!("page/keys.js")),
    File::new("layout.js", SCRIPT, include_str!("page/layout.js")),
    File::new("loader.js", SCRIPT, include_str!("page/loader.js")),
    File::new("marks.js", SCRIPT, include_str!("page/marks.js")),
    File::new("order.js", SCRIPT, include_str!("page/order.js")),
    File::new("page.js", SCRIPT, include_str!("page/page.js")),
    File::new("panel.js", SCRIPT, include_str!("page/panel.js")),
    File::new("player.js", SCRIPT, include_str!("page/player.js")),
    File::new("problems.js", SCRIPT, include_str!("page/problems.js")),
    File::new("recorders.js", SCRIPT, include_str!("page/recorders.js")),
    File::new("row.js", SCRIPT, include_str!("page/row.js")),
    File::new("rows.js", SCRIPT, include_str!("page/rows.js")),
    File::new("settings.js", SCRIPT, include_str!("page/settings.js")),
    File::new("status.js", SCRIPT, include_str!("page/status.js")),
    File::new("survey.js", SCRIPT, include_str!("page/survey.js")),
    File::new("ticks.js", SCRIPT, include_str!("page/ticks.js")),
    File::new("time.js", SCRIPT, include_str!("page/time.js")),
    File::new("typed.js", SCRIPT, include_str!("page/typed.js")),
    File::new("view.js", SCRIPT, include_str!("page/view.js")),
    File::new("zone.js", SCRIPT, include_str!("page/zone.js")),
];

/// Answers `GET /`.
#[utoipa::path(get, path = "/", responses((status = 200, content_type = "text/html", description = "the page: coverage, playback and cuts")))]
pub(super) async fn page(request: Request) -> Response {
    PAGE.reply(request.headers())
}

/// Answers `GET /status`.
#[utoipa::path(get, path = "/status", responses((status = 200, content_type = "text/html", description = "how the node is, as a page")))]
pub(super) async fn status(request: Request) -> Response {
    STATUS.reply(request.headers())
}

/// Answers `GET /page/{file}`.
#[utoipa::path(
    get, path = "/page/{file}",
    params(("file" = String, Path, description = "a script or style of the pages")),
    responses((status = 200, description = "the file"), (status = 404, description = "there is no such file"))
)]
pub(super) async fn file(path: PathParts, request: Request) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| path.parts == [file.name]);
    let file = file.ok_or_else(|| Problem::not_found("file of that name in the page"))?;
    Ok(file.reply(request.headers()))
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn the_pages_hold_nothing_that_their_policy_forbids_and_name_nothing_elsewhere() {
        for file in [&PAGE, &STATUS] {
            let html = file.content;
            assert!(
                !html.contains("style=") && !html.contains("<style") && !html.contains(" onclick"),
                "{}",
                file.name
            );
            for script in html.split("<script").skip(1) {
                assert!(script.starts_with(" type=\"module\" src=\"/page/"), "{}: {script:.60}", file.name);
            }
        }
        for file in [&PAGE, &STATUS].into_iter().chain(&FILES) {
            for scheme in ["http://", "https://"] {
                let elsewhere = file.content.match_indices(scheme).map(|(at, _)| &file.content[at..]);
                // The name of a kind of metadata, which looks like an address, and an example (RFC 2606).
                let names = ["http://www.w3.org/", "https://aomedia.org/emsg/ID3", "https://live.example/"];
                let elsewhere: Vec<&str> =
                    elsewhere.filter(|text| !names.iter().any(|name| text.starts_with(name))).collect();
                assert_eq!(elsewhere, Vec::<&str>::new(), "{}", file.name);
            }
            for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!file.content.contains(way), "{} uses {way}", file.name);
            }
        }
    }

    #[test]
    fn what_others_have_made_is_as_they_made_it_and_has_its_licence() {
        let told = include_str!("page/vendor/README.md");
        for name in HLS {
            let line = told.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap();
            let file = FILES.iter().find(|file| file.name == name).unwrap();
            let digest = sha2::Sha256::digest(file.content.as_bytes());
            let sum = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
            assert!(line.contains(&format!("`{sum}`")), "{sum} is not in: {line}");
            let version = line.split('|').nth(3).unwrap().trim();
            assert!(file.content.contains(&format!("\"{version}\"")), "{version}");
        }
        assert!(include_str!("page/vendor/hls.LICENSE").contains("Apache License, Version 2.0"));
    }

    #[test]
    fn every_file_that_a_page_or_a_script_asks_for_is_there() {
        let asked = |text: &str, before: &str| -> Vec<String> {
            let names = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
            names.map(str::to_owned).collect()
        };
        for file in [&PAGE, &STATUS].into_iter().chain(&FILES) {
            for name in asked(file.content, "\"/page/").into_iter().chain(asked(file.content, "from \"./")) {
                assert!(FILES.iter().any(|known| known.name == name), "{} asks for {name}", file.name);
            }
        }
    }
}
