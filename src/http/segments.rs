//! `/segments/…` and `/extras/…`: bytes of files, and lists of what is neither segment nor chat.
//!
//! Files are answered from the disk alone: what is there is served, what a tombstone lies beside is 410, whatever the index
//! knows. What is not there may lie in a bucket, or on other nodes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use super::app::App;
use super::json_list::JsonList;
use super::read_view::{AskedView, ReadView};
use super::request::{PathParts, RequestHead};
use super::wire_cache::{CachedList, ListSubject};
use super::{ETag, FileReply, Problem, file_response, listing};
use crate::archive::{FileEnding, FileName, Hour, HourPlace, SegmentKey, name, parse_file_name};
use crate::disk::{Base, DiskError};
use crate::index::Version;
use crate::sync::crawl::{AbsentFile, CrawlError};
use crate::wire::PeerSummary;

/// Answers `GET /segments/{path…}`.
#[utoipa::path(
    get, path = "/segments/{*path}",
    params(
        ("path" = String, Path, description = "CHANNEL/QUALITY/HOUR/NAME, or the path of any other file of the archive that is served"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have"),
        ("Gapless-Redirect" = Option<String>, Header, description = "no: what lies on another node is given through this one, whatever [placement] redirect says")
    ),
    responses(
        (status = 200, description = "the file, as it lies on disk"), (status = 206, description = "the range that was asked for"),
        (status = 304, description = "as the condition says"),
        (status = 307, description = "it lies on the node in Location, where [placement] redirect says so"), (status = 403, description = "a part of the path begins with a dot"),
        (status = 404, description = "there is no such file"), (status = 410, description = "it was deleted on purpose"),
        (status = 412, description = "the condition does not hold"), (status = 416, description = "the range lies outside the file"),
        (status = 503, description = "the disk is not there, or too many files are being sent")
    )
)]
pub(super) async fn file(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    path: PathParts,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let parts = path.parts.clone();
    let found = app.ask_light(move |app| open(app, &parts)).await?;
    let found = match found {
        Found::Here(reply) => reply,
        Found::Absent => {
            let may_go = request.headers.get(REDIRECT).is_none_or(|value| value != "no");
            if may_go && let Some(address) = address(&app, &view, &path.parts).await? {
                return Ok(redirect(&address));
            }
            let known = if request.method == Method::HEAD { known(&app, &view, &path.parts).await? } else { None };
            match known {
                Some(reply) => reply,
                // Boxed, as every connection would have room for it otherwise.
                None => Box::pin(open_absent(&app, &view, &path.parts)).await?,
            }
        }
    };
    Ok(file_response(&request.headers, &request.method, found))
}

/// Answers `GET /extras/{dir}`.
#[utoipa::path(
    get, path = "/extras/{*dir}",
    params(("dir" = String, Path, description = "a directory below the base directory")),
    responses(
        (status = 200, body = Vec<String>, description = "the files below it, by their paths in it"),
        (status = 304, description = "as the tag in If-None-Match says"), (status = 400, description = "there are too many files"),
        (status = 403, description = "a part of the path begins with a dot"), (status = 404, description = "there is no such directory"),
        (status = 503, description = "the disk is not there")
    )
)]
pub(super) async fn extras(
    State(app): State<Arc<App>>,
    PathParts { parts, .. }: PathParts,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let list = app.ask(move |app| {
        let base = app.node.keeper.guard().base().map_err(CrawlError::Away)?;
        match base.walk_files(&parts.iter().collect::<PathBuf>(), app.node.bounds.max_extras) {
            Ok(names) => Ok(served(&parts, &names)),
            Err(DiskError::TooMany { limit, .. }) => {
                Err(Problem::too_much("number of files", limit as u64 + 1, limit as u64))
            }
            Err(error) => Err(failed(app, error)),
        }
    });
    // Read from the disk each time, and never kept.
    let entry = CachedList::new(ListSubject::Structure, Version::default(), list.await?);
    listing::reply(&app, &request, request.uri.path(), Arc::new(entry)).await
}

/// Of the files below a directory, those that are served: finished ones that no tombstone in their hour hides.
fn served(above: &[String], names: &[String]) -> Bytes {
    let in_hour = |name: &str| {
        let path: Vec<&str> = above.iter().map(String::as_str).chain(name.split('/')).collect();
        is_in_hour(&path)
    };
    let tombstones: HashSet<&str> = names
        .iter()
        .filter(|name| name::is_tombstone(name))
        .map(|name| name::stem(name))
        .filter(|stem| in_hour(stem))
        .collect();
    let hidden = |name: &str| name::may_be_hidden(name) && tombstones.contains(name::stem(name));
    names.iter().filter(|name| !is_temporary(name) && !hidden(name)).collect::<JsonList>().finish()
}

/// `CHANNEL/QUALITY/HOUR/NAME`.
fn is_in_hour<S: AsRef<str>>(path: &[S]) -> bool {
    matches!(path, [_, _, hour, _] if Hour::parse(hour.as_ref()).is_ok())
}

fn is_temporary(path: &str) -> bool {
    parse_file_name(path.rsplit('/').next().unwrap_or(path)) == FileName::Temporary
}

fn failed(app: &App, error: DiskError) -> Problem {
    if app.node.keeper.guard().report(&error)
        && let Err(away) = app.node.keeper.guard().base()
    {
        return CrawlError::Away(away).into();
    }
    error.into()
}

/// Why there is no such file: it is not known that it is gone where its whole channel is in doubt.
fn absent(app: &App, parts: &[String]) -> Problem {
    let place = parts.split_last().and_then(|(_, hour)| HourPlace::parse(&hour.join("/")).ok());
    match place.and_then(|place| app.node.keeper.doubt_of(&place)) {
        Some(doubt) => CrawlError::Doubt(doubt).into(),
        None => Problem::not_found(&format!("file {} in the archive", parts.join("/"))),
    }
}

/// How long somebody waits for a file to come from elsewhere; it goes on coming, and is there when it is asked for again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the disk says of a file.
enum Found {
    Here(FileReply),
    /// It is not there, and may lie elsewhere.
    Absent,
}

/// With `no` a client is sent nowhere: the page says so, which may load nothing from elsewhere.
const REDIRECT: &str = "gapless-redirect";

/// The hour that the file lies in, and its name.
fn in_hour(parts: &[String]) -> Option<(HourPlace, &str)> {
    let (name, hour) = parts.split_last()?;
    Some((HourPlace::parse(&hour.join("/")).ok()?, name))
}

/// Where a client is to ask for a file that does not lie here; nothing where it comes through this node.
async fn address(app: &Arc<App>, view: &Arc<ReadView>, parts: &[String]) -> Result<Option<String>, Problem> {
    if !view.keeper.is_whole() || !app.node.whole.as_ref().is_some_and(|whole| whole.redirects()) {
        return Ok(None);
    }
    let (view, parts) = (Arc::clone(view), parts.to_vec());
    let asked = app.ask_light(move |app| {
        let (Some((place, name)), Some(absent)) = (in_hour(&parts), view.keeper.absent_files()) else {
            return Ok(None);
        };
        let peers: Vec<PeerSummary> = (app.node.peers)().into_iter().map(PeerSummary::from).collect();
        let answers = |peer: &str| peers.iter().any(|known| known.name == peer && known.reachable == Some(true));
        Ok(absent.address(&place, name, &answers))
    });
    asked.await
}

/// For now: where a file lies may be another place in a moment.
fn redirect(address: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(address) else {
        return Problem::internal("address-not-a-header").into_response();
    };
    let headers = [(LOCATION, location), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}

/// What is known of a segment that another node has, without a byte of it: enough for who asks only about it.
async fn known(app: &Arc<App>, view: &Arc<ReadView>, parts: &[String]) -> Result<Option<FileReply>, Problem> {
    if !view.keeper.is_whole() {
        return Ok(None);
    }
    let (view, parts) = (Arc::clone(view), parts.to_vec());
    let asked = app.ask_light(move |app| {
        let (Some((place, name)), Some(absent)) = (in_hour(&parts), view.keeper.absent_files()) else {
            return Ok(None);
        };
        let FileName::Understood(key) = parse_file_name(name) else { return Ok(None) };
        let Some(len) = absent.size(&place, name) else { return Ok(None) };
        let nothing = File::open("/dev/null");
        let file = nothing.map_err(|error| Problem::unavailable(5, &format!("nothing can be opened: {error}")))?;
        Ok(Some(FileReply {
            file,
            len,
            etag: ETag::new(&key.hash.to_string()),
            content_type: HeaderValue::from_static(content_type(name)),
            immutable: true,
            last_modified: None,
            permit: app.file_permit()?,
        }))
    });
    asked.await
}

/// Of a file that does not lie here: brings it here from the bucket, or from a node that has it.
async fn open_absent(app: &App, view: &ReadView, parts: &[String]) -> Result<FileReply, Problem> {
    let Some((place, name)) = in_hour(parts) else { return Err(absent(app, parts)) };
    let Some(absent_files) = view.keeper.absent_files() else { return Err(unknown(app, &place, parts)) };
    let opened = tokio::time::timeout(PATIENCE, absent_files.open(&place, name)).await;
    let late = |_| Problem::unavailable(5, "what the file lies in is slow to give it");
    let opened = opened.map_err(late)?.map_err(CrawlError::Absent)?;
    let (file, sha256) = match opened {
        AbsentFile::Open(file, sha256) => (file, sha256),
        AbsentFile::Hidden => return Err(Problem::gone()),
        AbsentFile::Unknown => return Err(unknown(app, &place, parts)),
    };
    let meta = file
        .metadata()
        .map_err(|error| Problem::unavailable(5, &format!("{} cannot be read: {error}", parts.join("/"))))?;
    let key = if let FileName::Understood(key) = parse_file_name(name) { Some(key) } else { None };
    // Whoever waits for a bucket takes no place from those who ask for what lies here.
    let permit = app.file_permit()?;
    Ok(FileReply {
        len: meta.len(),
        etag: key.map_or_else(|| ETag::new(&sha256.hexadecimal()), |key| etag(Some(key), &meta)),
        content_type: HeaderValue::from_static(content_type(name)),
        immutable: key.is_some_and(|key| !key.tombstone),
        last_modified: None,
        file,
        permit,
    })
}

/// Why nobody has such a file: it may lie in a bucket of which nothing is known.
fn unknown(app: &App, place: &HourPlace, parts: &[String]) -> Problem {
    if app.node.keeper.absent_files().is_some() {
        return absent(app, parts);
    }
    let base = match app.node.keeper.guard().base() {
        Ok(base) => base,
        Err(away) => return CrawlError::Away(away).into(),
    };
    match base.stamp_in_bucket(&place.path()) {
        Ok(None) => absent(app, parts),
        Ok(Some(_)) => Problem::unavailable(60, "the hour lies in a bucket, and the settings name none ([archive])"),
        Err(error) => failed(app, error),
    }
}

fn open(app: &App, parts: &[String]) -> Result<Found, Problem> {
    let base = app.node.keeper.guard().base().map_err(CrawlError::Away)?;
    let path: PathBuf = parts.iter().collect();
    let name = parts.last().map(String::as_str).unwrap_or_default();
    let in_hour = is_in_hour(parts);
    let kind = parse_file_name(name);
    if kind == FileName::Temporary {
        return Err(Problem::not_found("finished file of this name: it is still being written"));
    }
    if in_hour && name::is_too_long_to_hide(name) {
        return Err(Problem::not_found("file of this name: it is so long that no tombstone could hide it"));
    }
    if in_hour && !name::is_tombstone(name) && is_tombstoned(&base, &path).map_err(|error| failed(app, error))? {
        return Err(Problem::gone());
    }
    let permit = app.file_permit()?;
    let file = base.open_file(&path).map_err(|error| failed(app, error))?;
    let Some(file) = file else {
        return if in_hour { Ok(Found::Absent) } else { Err(absent(app, parts)) };
    };
    let meta = file
        .metadata()
        .map_err(|error| Problem::unavailable(5, &format!("{} cannot be read: {error}", parts.join("/"))))?;
    let key = if let (true, FileName::Understood(key)) = (in_hour, kind) { Some(key) } else { None };
    Ok(Found::Here(FileReply {
        len: meta.len(),
        etag: etag(key, &meta),
        content_type: HeaderValue::from_static(content_type(name)),
        immutable: key.is_some_and(|key| !key.tombstone),
        last_modified: meta.modified().ok(),
        file,
        permit,
    }))
}

fn is_tombstoned(base: &Base, path: &Path) -> Result<bool, DiskError> {
    let (Some(directory), Some(file)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return Ok(false);
    };
    if !name::may_be_hidden(file) {
        return Ok(false);
    }
    let Some(dir) = base.dir(directory)? else { return Ok(false) };
    Ok(dir.stat_file(OsStr::new(&name::tombstone_of(file)))?.is_some())
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
    if let Some(FileEnding::Segment(container)) = FileEnding::of(name) {
        return container.media_type();
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;

    #[tokio::test]
    async fn what_a_tombstone_hides_is_in_no_list_of_extras() {
        let node = TestNode::new();
        let tree = |place: &str, names: &[&str]| {
            let directory = node.directory.path().join(place);
            std::fs::create_dir_all(&directory).unwrap();
            for name in names {
                std::fs::write(directory.join(name), b"x").unwrap();
            }
        };
        tree("chan/source/2019-11-13T02", &["a.ts", "a.tombstone", "b.ts", "a.png"]);
        tree("chan/source/other", &["a.ts", "a.tombstone"]);
        let hour: Vec<String> = node.get("/extras/chan/source/2019-11-13T02").await;
        assert_eq!(hour, ["a.png", "a.tombstone", "b.ts"]);
        let all: Vec<String> = node.get("/extras/chan").await;
        let in_hour = hour.iter().map(|name| format!("source/2019-11-13T02/{name}"));
        let others = ["source/other/a.tombstone", "source/other/a.ts"].map(str::to_owned);
        assert_eq!(all, in_hour.chain(others).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn no_more_files_are_opened_than_may_be() {
        let node = TestNode::new();
        std::fs::write(node.directory.path().join("file.txt"), b"x").unwrap();
        let all = node.app.files.available_permits();
        assert!(all > 0);
        let taken = std::sync::Arc::clone(&node.app.files).try_acquire_many_owned(u32::try_from(all).unwrap()).unwrap();
        let (status, headers, _) = node.ask("/segments/file.txt", &[]).await;
        assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (503, "1"));
        drop(taken);
        assert_eq!(node.ask("/segments/file.txt", &[]).await.0.as_u16(), 200);
        assert_eq!(node.app.files.available_permits(), all, "given back with the last byte");
    }
}
