//! `/segments/…` and `/extras/…`: bytes of files, and lists of what is neither segment nor chat.
//!
//! Files are answered from the disk alone: what is there is served, what a tombstone lies beside is 410, whatever the index
//! knows.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::json_list::JsonList;
use super::{ETag, FileReply, Problem, file_response, pathname};
use crate::crawl::CrawlError;
use crate::disk::{Base, DiskError};
use crate::domain::{FileName, Hour, SegmentKey, name, parse_file_name};

/// Answers `GET /segments/{path…}`.
pub async fn file(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let found = match pathname::parts(path.as_bytes(), b"/segments") {
        Ok(parts) => {
            let parts: Vec<String> = parts.into_iter().map(Cow::into_owned).collect();
            app.ask(move |app| open(app, &parts)).await
        }
        Err(error) => Err(error.into()),
    };
    match found {
        Ok(reply) => file_response(request.headers(), request.method(), reply),
        Err(problem) => problem.at(path).into_response(),
    }
}

/// Answers `GET /extras/{dir}`.
pub async fn extras(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    let parts = match pathname::parts(path.as_bytes(), b"/extras") {
        Ok(parts) => parts.into_iter().map(Cow::into_owned).collect::<PathBuf>(),
        Err(error) => return Problem::from(error).at(&path).into_response(),
    };
    let list = app.ask(move |app| {
        let base = app.keeper.guard().base().map_err(CrawlError::Away)?;
        match base.walk_files(&parts, app.bounds.max_extras) {
            Ok(names) => Ok(names.into_iter().filter(|name| !is_temporary(name)).collect::<JsonList>().finish()),
            Err(DiskError::TooMany { limit, .. }) => {
                Err(Problem::too_much("number of files", limit as u64 + 1, limit as u64))
            }
            Err(error) => Err(failed(app, error)),
        }
    });
    match list.await {
        Ok(body) => {
            let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
            (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
        }
        Err(problem) => problem.at(&path).into_response(),
    }
}

fn is_temporary(path: &str) -> bool {
    parse_file_name(path.rsplit('/').next().unwrap_or(path)) == FileName::Temporary
}

fn failed(app: &App, error: DiskError) -> Problem {
    if app.keeper.guard().report(&error)
        && let Err(away) = app.keeper.guard().base()
    {
        return CrawlError::Away(away).into();
    }
    error.into()
}

fn open(app: &App, parts: &[String]) -> Result<FileReply, Problem> {
    let base = app.keeper.guard().base().map_err(CrawlError::Away)?;
    let path: PathBuf = parts.iter().collect();
    let name = parts.last().map(String::as_str).unwrap_or_default();
    let in_hour = parts.len() == 4 && parts.get(2).is_some_and(|hour| Hour::parse(hour).is_ok());
    let kind = parse_file_name(name);
    if kind == FileName::Temporary {
        return Err(Problem::not_found("finished file of this name: it is still being written"));
    }
    if in_hour && !name.ends_with(".tombstone") && is_tombstoned(&base, &path).map_err(|error| failed(app, error))? {
        return Err(Problem::gone());
    }
    let file = base.open_file(&path).map_err(|error| failed(app, error))?;
    let file = file.ok_or_else(|| Problem::not_found(&format!("file {} in the archive", parts.join("/"))))?;
    let meta = file
        .metadata()
        .map_err(|error| Problem::unavailable(5, &format!("{} cannot be read: {error}", parts.join("/"))))?;
    let key = if let (true, FileName::Understood(key)) = (in_hour, kind) { Some(key) } else { None };
    Ok(FileReply {
        len: meta.len(),
        etag: etag(key, &meta),
        content_type: HeaderValue::from_static(content_type(name)),
        immutable: key.is_some_and(|key| !key.tombstone),
        last_modified: meta.modified().ok(),
        file,
    })
}

fn is_tombstoned(base: &Base, path: &Path) -> Result<bool, DiskError> {
    let (Some(directory), Some(file)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return Ok(false);
    };
    if !matches!(file.rsplit_once('.'), Some((_, "ts" | "json"))) {
        return Ok(false);
    }
    let tombstone = format!("{}.tombstone", name::stem(file));
    let Some(dir) = base.dir(directory)? else { return Ok(false) };
    Ok(dir.stat_file(OsStr::new(&tombstone))?.is_some())
}

/// Of a segment: its hash. Of anything else: size and time of change.
fn etag(key: Option<SegmentKey>, meta: &std::fs::Metadata) -> ETag {
    match key {
        Some(key) if !key.tombstone => ETag::new(&key.hash.to_string()),
        _ => {
            let modified = meta.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
            ETag::new(&format!("{:x}-{:x}", meta.len(), modified.unwrap_or(Duration::ZERO).as_nanos()))
        }
    }
}

/// By the extension, as the tools of this field expect it.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("ts") => "video/MP2T",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
