//! `/generate_videos/{channel}/{quality}`: stretches as video files in the base directory, one for each run of segments that join and are in one container.
//!
//! 1. `{NAME: [START, END], …}` makes `CHANNEL_QUALITY_NAME_N.mkv`, with `N` from 0 on. A file that is there is left as it is.
//! 2. All stretches are checked before the answer begins, and the first file is waited for a little. It has a line of JSON for each file when
//!    that lies there and is flushed; what goes wrong later breaks the answer off.
//! 3. Whoever goes away ends the work: the file in hand is removed, those before it stay.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::Problem;
use super::app::App;
use super::read_view::{AskedView, ReadView};
use super::request::{PathParts, check_order, time};
use crate::archive::{SequencePiece, Stream, Timestamp};
use crate::disk::{DiskError, NewFile, Published};
use crate::play::ffmpeg::{self, FfmpegError};
use crate::play::playback::PlaybackError;
use crate::sync::crawl::CrawlError;

/// Of a request.
const MOST_BYTES: usize = 64 << 10;
/// Stretches of one request.
const MOST_VIDEOS: usize = 100;
/// How long the head of the answer waits for the first file.
const SOON: Duration = Duration::from_secs(20);
/// Of the name of a file.
const MOST_NAME: usize = 240;

/// A file that is to be made.
struct Video {
    file: String,
    pieces: Vec<SequencePiece>,
}

/// Answers `POST /generate_videos/{channel}/{quality}`.
#[utoipa::path(
    post, path = "/generate_videos/{channel}/{quality}", security(("bearer" = [])),
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    request_body(content_type = "application/json", description = "the videos, by their file names, each with its start and end"),
    responses(
        (status = 200, content_type = "application/x-ndjson", description = "a line for each video that is made, `{\"file\", \"is_new\"}`"),
        (status = 400, description = "the body is not understood"), (status = 401, description = "no token that is known"),
        (status = 403, description = "the token is one for reading"), (status = 404, description = "there is no such stream"),
        (status = 413, description = "the body is too large"),
        (status = 422, description = "no video file can be made of what is in the segments"), (status = 501, description = "ffmpeg is not installed"),
        (status = 503, description = "the disk is not there, or too much is asked at once"), (status = 507, description = "the disk is full")
    )
)]
pub(super) async fn generate(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    path: PathParts,
    body: Body,
) -> Result<Response, Problem> {
    let stream = path.stream().map_err(|_| Problem::not_found("stream of that name"))?;
    let bytes = to_bytes(body, MOST_BYTES).await.map_err(|_| Problem::body_too_large(MOST_BYTES))?;
    let wanted = read(&stream, &bytes)?;
    let (asked, from) = (stream.clone(), Arc::clone(&view));
    let videos = app.ask(move |_| planned(&from, &asked, wanted)).await?;
    app.node.ffmpeg.installed("video").await?;
    let stream = Arc::new(stream);
    let lines = stream::iter(videos).then(move |video| {
        let (app, view, stream) = (Arc::clone(&app), Arc::clone(&view), Arc::clone(&stream));
        async move {
            let file = video.file.clone();
            let made = make((&app, &view), &stream, video).await.inspect_err(|error| {
                tracing::warn!(name: "video_not_made", file, %error, "a video that was asked for was not made");
            })?;
            let is_new = made == Published::New;
            Ok::<_, VideoError>(Bytes::from(format!("{}\n", json!({"file": file, "is_new": is_new}))))
        }
    });
    let mut lines = Box::pin(lines.peekable());
    // What goes wrong soon has a status of its own; a client waits no longer than this for the head of an answer.
    if let Ok(Some(Err(error))) = tokio::time::timeout(SOON, lines.as_mut().peek()).await {
        return Err(error.problem());
    }
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

type Wanted = Vec<(String, Timestamp, Timestamp)>;

fn read(stream: &Stream, bytes: &[u8]) -> Result<Wanted, Problem> {
    let expected = "a JSON object such as {\"NAME\": [\"2019-11-13T02:00:00\", \"2019-11-13T03:00:00\"]}";
    let asked: BTreeMap<String, (String, String)> =
        serde_json::from_slice(bytes).map_err(|error| Problem::bad_body(&error.to_string(), expected))?;
    if asked.len() > MOST_VIDEOS {
        return Err(Problem::too_much("number of videos", asked.len() as u64, MOST_VIDEOS as u64));
    }
    let mut wanted = Vec::new();
    for (name, (start, end)) in asked {
        let (start, end) = (time("start", &start)?, time("end", &end)?);
        check_order("end", start, end)?;
        let front = format!("{}_{}_{name}", stream.channel, stream.quality);
        if front.contains(['/', '\0']) || front.starts_with('.') || front.len() > MOST_NAME {
            let rule = format!("no slash, and no more than {MOST_NAME} bytes with channel and quality before it");
            return Err(Problem::bad_parameter("name", &name, &rule));
        }
        wanted.push((front, start, end));
    }
    Ok(wanted)
}

fn planned(view: &ReadView, stream: &Stream, wanted: Wanted) -> Result<Vec<Video>, Problem> {
    let mut videos = Vec::new();
    for (front, start, end) in wanted {
        let sequence = view.playback.sequence(stream, start, end)?;
        // What changes its container is put together from other tracks.
        let container = |piece: &Option<SequencePiece>| piece.as_ref().map(|piece| piece.file.key.container);
        let runs = sequence.chunk_by(|one, next| container(one) == container(next));
        let runs = runs.map(|run| run.iter().flatten().cloned().collect::<Vec<_>>()).filter(|run| !run.is_empty());
        videos.extend(runs.enumerate().map(|(number, pieces)| Video { file: format!("{front}_{number}.mkv"), pieces }));
    }
    if videos.is_empty() { Err(PlaybackError::Nothing(stream.clone()).into()) } else { Ok(videos) }
}

/// Why a video was not made.
#[derive(Debug, thiserror::Error)]
enum VideoError {
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Away(#[from] CrawlError),
    #[error("the file could not be written")]
    Broken,
}

impl VideoError {
    fn problem(&self) -> Problem {
        match self {
            Self::Ffmpeg(error) => error.clone().into(),
            Self::Disk(error) if error.is_full() => Problem::insufficient_storage(),
            Self::Disk(_) | Self::Away(_) => Problem::unavailable(5, &self.to_string()),
            Self::Broken => Problem::internal("video-not-written"),
        }
    }
}

async fn make(
    (app, view): (&Arc<App>, &Arc<ReadView>),
    stream: &Stream,
    video: Video,
) -> Result<Published, VideoError> {
    let base = app.node.keeper.guard().base().map_err(CrawlError::Away)?;
    let name = video.file;
    let begin = move || {
        let Some(dir) = base.dir(Path::new(""))? else { return Ok(None) };
        NewFile::begin(dir, &name)
    };
    let file = tokio::task::spawn_blocking(begin).await.map_err(|_| VideoError::Broken)??;
    let Some(mut file) = file else { return Ok(Published::AlreadyThere) };
    let segments = video.pieces.iter().map(|piece| ffmpeg::segment(&view.keeper, stream, piece)).collect();
    let outcome = ffmpeg::matroska(&app.node.ffmpeg, segments, file.written_by_another()?).await;
    let finish = move || {
        if let Err(error) = outcome {
            if matches!(error, FfmpegError::Failed { .. } | FfmpegError::Useless(_)) {
                // It says in words only that there was no room.
                file.check_room()?;
            }
            return Err(error.into());
        }
        Ok(file.finish()?)
    };
    tokio::task::spawn_blocking(finish).await.map_err(|_| VideoError::Broken)?
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;
    use super::*;

    #[test]
    fn what_cannot_be_made_is_said_before_anything_is_begun() {
        let stream = Stream::new("c", "q").unwrap();
        for (body, says) in [
            ("", "JSON object"),
            ("[1]", "JSON object"),
            (r#"{"a": ["2019-11-13T02:00:00"]}"#, "JSON object"),
            (r#"{"a": ["2019-11-13T02:00:00", "whenever"]}"#, "whenever"),
            (r#"{"a": ["2019-11-13T02:00:00", "2019-11-13T01:00:00"]}"#, "after the start"),
            (r#"{"../a": ["2019-11-13T02:00:00", "2019-11-13T03:00:00"]}"#, "slash"),
        ] {
            let problem = read(&stream, body.as_bytes()).unwrap_err();
            assert!(problem.status() == 400 && format!("{problem:?}").contains(says), "{body}: {problem:?}");
        }
        let wanted = read(&stream, br#"{"a": ["2019-11-13T02:00:00", "2019-11-13T03:00:00"]}"#).unwrap();
        assert_eq!(wanted[0].0, "c_q_a");
    }

    #[tokio::test]
    async fn stretches_are_split_where_something_is_missing() {
        let node = TestNode::new();
        let hash = crate::archive::test_names::hash_text(1);
        let names = ["00:00", "00:02", "00:06"].map(|time| format!("{time}-2.0-full-{hash}.ts"));
        node.put("c/q/2019-11-13T02", names.iter().map(String::as_str));
        let stream = Stream::new("c", "q").unwrap();
        let wanted = |hour: &str| {
            let hour = Timestamp::parse(hour).unwrap();
            vec![("c_q_a".to_owned(), hour, hour + crate::archive::Span(60_000_000))]
        };
        let videos = planned(&node.app.view(true), &stream, wanted("2019-11-13T02")).unwrap();
        let planned_files: Vec<(&str, usize)> =
            videos.iter().map(|video| (video.file.as_str(), video.pieces.len())).collect();
        assert_eq!(planned_files, [("c_q_a_0.mkv", 2), ("c_q_a_1.mkv", 1)]);
        assert_eq!(planned(&node.app.view(true), &stream, wanted("2019-11-13T05")).err().unwrap().status(), 406);
        // It writes into the archive.
        let (status, ..) = node.post("/generate_videos/c/q", "{}".to_owned()).await;
        assert_eq!(status, 401);
    }
}
