//! `/thumbnail/{channel}/{quality}.png`: a frame seen through a template, as editors of this field show it before a video is published.
//!
//! 1. `POST` brings the template as its body; nothing is kept of it. `GET` names one of those that lie in [`TEMPLATES`] beneath the base.
//! 2. The frame is the same as that of `/frame` at that time; how it is put together is `report::coverage::thumbnail`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use super::Problem;
use super::app::App;
use super::ffmpeg::{PicturePath, PictureRefusals, around, reply, tag};
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, Query, RequestHead};
use crate::archive::{Sequence, Stream, Timestamp};
use crate::disk::SmallFile;
use crate::play::ffmpeg;
use crate::report::coverage::thumbnail::{Area, Picture, compose};
use crate::report::coverage::{decode, encode};
use crate::sync::crawl::CrawlError;

/// Where templates lie: `NAME.png`, and beside it `NAME.json` with its usual `crop` and `location`.
const TEMPLATES: [&str; 2] = [".gapless", "templates"];
/// Of a template. Those in use have less than one.
const MOST_BYTES: usize = 8 << 20;
/// Of what stands beside it.
const MOST_BESIDE: u64 = 64 << 10;

/// Answers `GET /thumbnail/{channel}/{quality}.png`.
#[utoipa::path(
    get, path = "/thumbnail/{channel}/{file}",
    params(
        ("channel" = String, Path), ("file" = String, Path, description = "QUALITY.png"),
        ("timestamp" = String, Query, description = "a time"),
        ("template" = Option<String>, Query, description = "the name of a template of the archive"),
        ("crop" = Option<String>, Query, description = "LEFT,TOP,RIGHT,BOTTOM: what is cut out of the frame"),
        ("location" = Option<String>, Query, description = "LEFT,TOP,RIGHT,BOTTOM: where it is put into the template"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, content_type = "image/png", description = "a frame in a template"),
        PictureRefusals
    )
)]
pub(super) async fn named(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    PicturePath(stream): PicturePath,
    Query(asked): Query<ThumbnailQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let name = asked.template.clone().unwrap_or_default();
    let template = app.ask_light(move |app| template(app, &name)).await?;
    let (crop, location) = (asked.crop.or(template.crop), asked.location.or(template.location));
    let (crop, location) = (crop.ok_or_else(|| missing("crop"))?, location.ok_or_else(|| missing("location"))?);
    let around = around(&app, &view, &stream, asked.time).await?;
    let what = format!("thumbnail {} {crop:?} {location:?} {:x}", asked.time.us(), xxh3_128(&template.bytes));
    let etag = tag(&stream, around.iter().flatten(), &what);
    let frame = ThumbnailFrame { stream, time: asked.time, around };
    reply(&request, &etag, async { made((&app, &view), &frame, template.bytes, (crop, location)).await }).await
}

/// Answers `POST /thumbnail/{channel}/{quality}.png`.
#[utoipa::path(
    post, path = "/thumbnail/{channel}/{file}",
    params(
        ("channel" = String, Path), ("file" = String, Path, description = "QUALITY.png"),
        ("timestamp" = String, Query, description = "a time"),
        ("crop" = Option<String>, Query, description = "LEFT,TOP,RIGHT,BOTTOM: what is cut out of the frame"),
        ("location" = Option<String>, Query, description = "LEFT,TOP,RIGHT,BOTTOM: where it is put into the template")
    ),
    request_body(content_type = "image/png", description = "the template"),
    responses(
        (status = 200, content_type = "image/png", description = "a frame in the template"), (status = 413, description = "the template is too large"),
        PictureRefusals
    )
)]
pub(super) async fn brought(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    PicturePath(stream): PicturePath,
    Query(asked): Query<ThumbnailQuery>,
    body: Body,
) -> Result<Response, Problem> {
    let boxes = (asked.crop.ok_or_else(|| missing("crop"))?, asked.location.ok_or_else(|| missing("location"))?);
    let _permit = app.template_permit().await?;
    let bytes = to_bytes(body, MOST_BYTES).await.map_err(|_| Problem::body_too_large(MOST_BYTES))?;
    let around = around(&app, &view, &stream, asked.time).await?;
    let png = made((&app, &view), &ThumbnailFrame { stream, time: asked.time, around }, bytes.into(), boxes).await?;
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static("image/png")), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, png).into_response())
}

pub(super) struct ThumbnailQuery {
    time: Timestamp,
    template: Option<String>,
    crop: Option<Area>,
    location: Option<Area>,
}

impl FromQuery for ThumbnailQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let area = |name: &str| {
            let mut values = given.all(name).filter(|value| !value.is_empty());
            let read = |value| Area::parse(value).ok_or_else(|| Problem::bad_parameter(name, value, A_BOX));
            values.try_fold(None, |_, value| read(value).map(Some))
        };
        let template = given.last("template").map(str::to_owned);
        let (crop, location) = (area("crop")?, area("location")?);
        Ok(Self { time: given.needed_time("timestamp")?, template, crop, location })
    }
}

/// What is seen through a template.
struct ThumbnailFrame {
    stream: Stream,
    time: Timestamp,
    around: Sequence,
}

fn missing(name: &str) -> Problem {
    Problem::bad_parameter(name, "", A_BOX)
}

const A_BOX: &str = "LEFT,TOP,RIGHT,BOTTOM in pixels, such as 0,0,1920,1080, with 1 to 4096 pixels either way";

/// A template that lies here, and what stands beside it.
struct Template {
    bytes: Vec<u8>,
    crop: Option<Area>,
    location: Option<Area>,
}

/// What is read of the file beside a template.
#[derive(Debug, Default, Deserialize)]
struct Beside {
    crop: Option<[i32; 4]>,
    location: Option<[i32; 4]>,
}

fn template(app: &App, name: &str) -> Result<Template, Problem> {
    let is_name = !name.is_empty() && name.len() < 200 && !name.starts_with('.') && !name.contains(['/', '\0']);
    if !is_name {
        return Err(Problem::bad_parameter("template", name, "the name of a template"));
    }
    let base = app.node.keeper.guard().base().map_err(CrawlError::Away)?;
    let none = || {
        let place = TEMPLATES.join("/");
        Problem::not_found(&format!("template {name}; those of this node lie in its base, as {place}/NAME.png"))
    };
    let dir = base.dir(&TEMPLATES.iter().collect::<PathBuf>())?.ok_or_else(none)?;
    let SmallFile::Content(bytes) = dir.read_small(OsStr::new(&format!("{name}.png")), MOST_BYTES as u64)? else {
        return Err(none());
    };
    let beside = match dir.read_small(OsStr::new(&format!("{name}.json")), MOST_BESIDE)? {
        SmallFile::Content(text) => serde_json::from_slice(&text).unwrap_or_default(),
        SmallFile::Larger | SmallFile::Absent => Beside::default(),
    };
    Ok(Template { bytes, crop: beside.crop.and_then(Area::new), location: beside.location.and_then(Area::new) })
}

async fn made(
    (app, view): (&Arc<App>, &Arc<ReadView>),
    frame: &ThumbnailFrame,
    template: Vec<u8>,
    (crop, location): (Area, Area),
) -> Result<Vec<u8>, Problem> {
    // What is no template is said before anything is decoded. Its pixels are not held while others have their turn.
    let template = app.ask(move |_| picture(&template).map(|_| template)).await?;
    let near = ffmpeg::near(&view.keeper, &frame.stream, &frame.around);
    let frame = ffmpeg::frame(&app.node.ffmpeg, near, frame.time).await?;
    // Both have up to 64 MiB of pixels.
    let _alone = app.alone("thumbnail").await?;
    app.ask(move |_| {
        let template = picture(&template)?;
        let frame: Picture = decode(&frame).map_err(|error| Problem::unsuitable(&format!("the frame: {error}")))?;
        encode(&compose(&template, &frame, crop, location)).map_err(|_| Problem::internal("thumbnail-not-drawn"))
    })
    .await
}

fn picture(bytes: &[u8]) -> Result<Picture, Problem> {
    decode(bytes).map_err(|error| Problem::bad_body(&error.to_string(), "a template as PNG"))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::super::test_node::TestNode;

    const AT: &str = "timestamp=2019-11-13T02:00:00";
    const BOXES: &str = "crop=0,0,10,10&location=0,0,5,5";

    #[tokio::test]
    async fn what_is_no_thumbnail_is_said_before_anything_is_decoded() {
        let node = TestNode::new();
        node.put("c/q/2019-11-13T02", ["00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts"]);
        node.write(".gapless/templates/bad.png", b"no png");
        for (query, status, says) in [
            (format!("{BOXES}&template=x"), 400, "timestamp"),
            (format!("{AT}&{BOXES}"), 400, "template"),
            (format!("{AT}&{BOXES}&template=..%2fx"), 400, "template"),
            (format!("{AT}&{BOXES}&template=.x"), 400, "template"),
            (format!("{AT}&{BOXES}&template=x"), 404, "templates"),
            (format!("{AT}&template=bad"), 400, "crop"),
            (format!("{AT}&crop=1,2&template=bad"), 400, "LEFT,TOP"),
            (format!("{AT}&{BOXES}&template=bad"), 400, "no PNG"),
        ] {
            let (got, _, body) = node.ask(&format!("/thumbnail/c/q.png?{query}"), &[]).await;
            let text = String::from_utf8(body).unwrap();
            assert!(got.as_u16() == status && text.contains(says), "{query}: {got} {text}");
        }
        let post =
            async |query: &str, body: &str| node.post(&format!("/thumbnail/c/q.png?{query}"), body.to_owned()).await;
        assert_eq!(post(&format!("{AT}&{BOXES}"), "no png").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(post(AT, "no png").await.0, StatusCode::BAD_REQUEST);
        let nothing = format!("timestamp=2019-11-13T05:00:00&{BOXES}");
        assert_eq!(post(&nothing, "no png").await.0, StatusCode::NOT_ACCEPTABLE);
    }
}
