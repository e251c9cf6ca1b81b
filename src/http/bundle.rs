//! `/api/v1/bundle/{channel}/{quality}/{hour}`: many small files of an hour in one answer, for peers that lack many.
//!
//! Like `/segments` it answers from the disk alone. It is asked by POST because the names do not fit into an address; nothing is
//! changed.

use std::ffi::OsStr;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::Problem;
use super::app::App;
use super::request::PathParts;
use crate::archive::{FileName, HourPlace, name, parse_file_name};
use crate::disk::SmallFile;
use crate::sync::crawl::CrawlError;
use crate::wire::bundle::{self, BundlePart, BundleRequest, MOST_BYTES, MOST_FILES, SMALL_BYTES};

/// Bytes of a request: as many names as may be asked for, each as long as a name may be, with quotes and commas.
const REQUEST_BYTES: usize = MOST_FILES * 264;

/// Answers `POST /api/v1/bundle/{channel}/{quality}/{hour}`.
#[utoipa::path(
    post, path = "/api/v1/bundle/{channel}/{quality}/{hour}",
    params(("channel" = String, Path), ("quality" = String, Path), ("hour" = String, Path, description = "such as 2019-11-13T02")),
    request_body = BundleRequest,
    responses(
        (status = 200, content_type = "application/vnd.gapless.bundle", description = "for each name `SIZE NAME`, a line feed and the content, or `gone NAME`, `large NAME` (over 64 KiB) or `later NAME` (over 4 MiB in all) and a line feed; then `end` and a line feed"),
        (status = 400, description = "the hour or a name is none, or too much is asked for"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn bundle(
    State(app): State<Arc<App>>,
    PathParts { parts, .. }: PathParts,
    request: Request,
) -> Result<Response, Problem> {
    let (place, names) = wanted(&parts, request).await?;
    let body = app.ask(move |app| gather(app, &place, &names)).await?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(bundle::CONTENT_TYPE)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body).into_response())
}

async fn wanted(parts: &[String], request: Request) -> Result<(HourPlace, Vec<String>), Problem> {
    let path = request.uri().path();
    let place = HourPlace::parse(&parts.join("/"))
        .map_err(|_| Problem::bad_parameter("path", path, "CHANNEL/QUALITY/HOUR, such as a/source/2019-11-13T02"))?;
    let expected =
        |got: &str| Problem::bad_parameter("body", got, "{\"names\": [...]} with at most 1024 names of files");
    let bytes = to_bytes(request.into_body(), REQUEST_BYTES)
        .await
        .map_err(|_| expected("a body that is too large or broke off"))?;
    let asked: BundleRequest = serde_json::from_slice(&bytes).map_err(|error| expected(&error.to_string()))?;
    if asked.names.len() > MOST_FILES {
        return Err(Problem::too_much("number of names", asked.names.len() as u64, MOST_FILES as u64));
    }
    let is_file = |name: &str| matches!(parse_file_name(name), FileName::Understood(key) if !key.tombstone);
    match asked.names.iter().find(|name| !is_file(name)) {
        Some(other) => Err(Problem::bad_parameter("names", other, "names of segments or chat batches")),
        None => Ok((place, asked.names)),
    }
}

fn gather(app: &App, place: &HourPlace, names: &[String]) -> Result<Vec<u8>, Problem> {
    let base = app.node.keeper.guard().base().map_err(CrawlError::Away)?;
    let dir = base.dir(&place.path())?;
    let (mut answer, mut bytes) = (Vec::new(), 0);
    for name in names {
        let Some(dir) = &dir else {
            bundle::push(&mut answer, name, BundlePart::Gone);
            continue;
        };
        if bytes >= MOST_BYTES {
            bundle::push(&mut answer, name, BundlePart::Later);
            continue;
        }
        let tombstone = name::tombstone_of(name);
        if dir.stat_file(OsStr::new(&tombstone))?.is_some() {
            bundle::push(&mut answer, name, BundlePart::Gone);
            continue;
        }
        match dir.read_small(OsStr::new(name), SMALL_BYTES.min(MOST_BYTES - bytes) as u64)? {
            SmallFile::Content(content) => {
                bytes += content.len();
                bundle::push(&mut answer, name, BundlePart::Content(&content));
            }
            // It may only be too large for what is left; then it is asked for once more in vain.
            SmallFile::Larger if bytes + SMALL_BYTES > MOST_BYTES => bundle::push(&mut answer, name, BundlePart::Later),
            SmallFile::Larger => bundle::push(&mut answer, name, BundlePart::Large),
            SmallFile::Absent => bundle::push(&mut answer, name, BundlePart::Gone),
        }
    }
    bundle::end(&mut answer);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::super::test_node::TestNode;
    use super::*;
    use crate::archive::test_names::hash_text;

    const HOUR: &str = "c/q/2019-11-13T02";

    async fn ask(node: &TestNode, hour: &str, names: &[&str]) -> (StatusCode, Vec<u8>) {
        let body = serde_json::json!({ "names": names }).to_string();
        let (status, _, body) = node.post(&format!("/api/v1/bundle/{hour}"), body).await;
        (status, body)
    }

    #[tokio::test]
    async fn small_files_come_together_and_the_others_are_named() {
        let node = TestNode::new();
        let name = |number: u8| format!("00:0{number}-2.0-full-{}.ts", hash_text(number));
        let names: Vec<String> = (0..5).map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let large = vec![b'x'; SMALL_BYTES + 1];
        for (number, content) in [(0, b"zero".as_slice()), (1, &large), (2, b"two"), (4, b"")] {
            node.write(&format!("{HOUR}/{}", names[number]), content);
        }
        node.write(&format!("{HOUR}/{}", names[2].replace(".ts", ".tombstone")), b"");
        let (status, body) = ask(&node, HOUR, &names).await;
        assert_eq!(status, StatusCode::OK);
        let expected = [
            BundlePart::Content(b"zero"),
            BundlePart::Large,
            BundlePart::Gone,
            BundlePart::Gone,
            BundlePart::Content(b""),
        ];
        assert_eq!(bundle::read(&body, &names), (expected.to_vec(), true));
        let (_, nothing) = ask(&node, "c/q/2019-11-13T03", &names[..1]).await;
        assert_eq!(bundle::read(&nothing, &names[..1]), (vec![BundlePart::Gone], true));
    }

    #[tokio::test]
    async fn an_answer_that_is_full_says_what_to_ask_for_again() {
        let node = TestNode::new();
        let content = vec![b'x'; SMALL_BYTES];
        let name = |number: u8| format!("{:02}:{:02}-2.0-full-{}.ts", number / 60, number % 60, hash_text(number));
        let names: Vec<String> = (0..70).map(name).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        for file in &all {
            node.write(&format!("{HOUR}/{file}"), &content);
        }
        let (_, body) = ask(&node, HOUR, &all).await;
        assert!(body.len() <= bundle::ANSWER_BYTES);
        let (parts, whole) = bundle::read(&body, &all);
        let later = parts.iter().filter(|part| **part == BundlePart::Later).count();
        assert_eq!((parts.len(), whole, later), (70, true, 6));
    }

    #[tokio::test]
    async fn what_names_no_file_of_an_archive_is_refused() {
        let node = TestNode::new();
        node.write("c/secret", b"x");
        for (hour, name) in [(HOUR, "../../secret"), (HOUR, "secret"), (HOUR, "x.tombstone"), ("c/q/r", "x")] {
            assert_eq!(ask(&node, hour, &[name]).await.0, StatusCode::BAD_REQUEST, "{hour} {name}");
        }
        let many = vec!["x"; MOST_FILES + 1];
        assert_eq!(ask(&node, HOUR, &many).await.0, StatusCode::BAD_REQUEST);
        let (status, ..) = node.post(&format!("/api/v1/bundle/{HOUR}"), "x".repeat(REQUEST_BYTES + 1)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}
