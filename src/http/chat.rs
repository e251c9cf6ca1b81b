//! `/{channel}/chat.json`: what was said in a stretch, from the batches in the hour directories, as editors of this field read it.
//!
//! 1. Batches are looked for a little before and behind the stretch: a message lies in that of the time at which it was heard at the
//!    earliest.
//! 2. A batch that vanishes while it is read has been put together with another one: the list is read again.
//! 3. One answer is made at a time, of at most [`MOST_BYTES`] of batches; what is damaged is passed over.

mod messages;

use std::ffi::OsStr;
use std::io::Read as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;

use self::messages::Chat;
use super::app::App;
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, PathParts, Query, RequestHead};
use super::wire_cache::{CachedList, ListSubject};
use super::{Problem, listing};
use crate::archive::{FileName, Hour, HourPlace, SegmentKind, Span, Stream, Timestamp, parse_file_name};
use crate::disk::SmallFile;
use crate::index::Version;
use crate::sync::crawl::{AbsentFile, CrawlError};

/// The longest stretch: what editors of this field ask for at most.
const LONGEST: Span = Span::from_us(2 * 3_600_000_000);
/// How long a batch lasts.
const BATCH: Span = Span::from_us(60_000_000);
/// Of batches for one answer. A busy channel writes a tenth of that in two hours.
const MOST_BYTES: u64 = 64 << 20;
/// How often the list is read when batches vanish.
const ATTEMPTS: usize = 3;

/// Answers `GET /{channel}/chat.json`.
#[utoipa::path(
    get, path = "/{channel}/chat.json",
    params(
        ("channel" = String, Path),
        ("start" = String, Query, description = "a time"), ("end" = String, Query, description = "a time, at most 2 hours after start"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, content_type = "application/json", description = "the messages of that time, in the order in which they were sent"),
        (status = 304, description = "as the tag in If-None-Match says"), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "there is no such channel"), (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn chat(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    PathParts { parts, .. }: PathParts,
    Query(ChatQuery { start, end }): Query<ChatQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let channel = parts.first().map_or("", String::as_str);
    let stream = Stream::new(channel, "chat").map_err(|_| Problem::not_found("channel of that name"))?;
    let list = {
        let _alone = app.alone("chat.json").await?;
        app.ask(move |_| list(&view, &stream, start, end)).await?
    };
    let entry = CachedList::new(ListSubject::Structure, Version::default(), list);
    listing::reply(&app, &request, request.uri.path(), Arc::new(entry)).await
}

pub(super) struct ChatQuery {
    start: Timestamp,
    end: Timestamp,
}

impl FromQuery for ChatQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let (start, end) = given.needed_stretch()?;
        if end - start > LONGEST {
            return Err(Problem::bad_parameter("end", &end.to_string(), "at most 2 hours after the start"));
        }
        Ok(Self { start, end })
    }
}

fn list(view: &ReadView, stream: &Stream, start: Timestamp, end: Timestamp) -> Result<Bytes, Problem> {
    let mut attempts = 1;
    let chat = loop {
        let (chat, has_vanished) = gather(view, stream, start, end)?;
        if !has_vanished || attempts == ATTEMPTS {
            break chat;
        }
        attempts += 1;
    };
    if chat.unreadable() > 0 {
        let lines = chat.unreadable();
        tracing::debug!(name: "chat_lines_unreadable", %stream, lines, "lines of chat batches are no messages");
    }
    Ok(chat.list(start, end).into())
}

/// A batch that does not lie here, and no more than a byte more of it than is wanted; nothing if nobody has it any more.
fn from_elsewhere(view: &ReadView, place: &HourPlace, name: &str, most: u64) -> Result<Option<Vec<u8>>, Problem> {
    let Some(absent) = view.keeper.absent_files() else { return Ok(None) };
    let AbsentFile::Open(file, _) = absent.open_blocking(place, name).map_err(CrawlError::Absent)? else {
        return Ok(None);
    };
    let mut content = Vec::new();
    let read = file.take(most.saturating_add(1)).read_to_end(&mut content);
    read.map_err(|error| Problem::unavailable(5, &format!("{place}/{name} cannot be read: {error}")))?;
    Ok(Some(content))
}

/// What all batches around the stretch say, and whether one of them has vanished meanwhile.
fn gather(view: &ReadView, stream: &Stream, start: Timestamp, end: Timestamp) -> Result<(Chat, bool), Problem> {
    let (from, to) = (start - BATCH - BATCH, end + BATCH);
    let base = view.keeper.guard().base().map_err(CrawlError::Away)?;
    let (mut chat, mut bytes, mut has_vanished) = (Chat::default(), 0, false);
    let mut hour = from.hour();
    while hour <= to.hour() {
        let place = HourPlace { stream: stream.clone(), hour };
        let mut names = Vec::new();
        view.keeper.answer(&place)?.contents.for_each_listed(false, |name| {
            if is_batch_of(hour, name, from, to) {
                names.push(name.to_owned());
            }
        });
        let dir = if names.is_empty() { None } else { base.dir(&place.path())? };
        for name in names {
            let left = MOST_BYTES - bytes;
            let here = dir.as_ref().map(|dir| dir.read_small(OsStr::new(&name), left)).transpose()?;
            match here.unwrap_or(SmallFile::Absent) {
                SmallFile::Content(content) => {
                    bytes += content.len() as u64;
                    chat.add(&content);
                }
                SmallFile::Larger => {
                    let there = dir.as_ref().map(|dir| dir.stat_file(OsStr::new(&name))).transpose()?.flatten();
                    let more = there.map_or(left, |meta| meta.size);
                    return Err(Problem::too_much("number of bytes of chat", bytes + more, MOST_BYTES));
                }
                SmallFile::Absent => match from_elsewhere(view, &place, &name, left)? {
                    Some(content) if content.len() as u64 > left => {
                        let all = bytes + content.len() as u64;
                        return Err(Problem::too_much("number of bytes of chat", all, MOST_BYTES));
                    }
                    Some(content) => {
                        bytes += content.len() as u64;
                        chat.add(&content);
                    }
                    None => has_vanished = true,
                },
            }
        }
        let next = hour.next();
        if next == hour {
            break;
        }
        hour = next;
    }
    Ok((chat, has_vanished))
}

fn is_batch_of(hour: Hour, name: &str, from: Timestamp, to: Timestamp) -> bool {
    let FileName::Understood(key) = parse_file_name(name) else { return false };
    let time = hour.start() + Span::from_us(i64::from(key.start_us));
    key.kind == SegmentKind::Chat && from < time && time < to
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};

    use super::super::test_node::TestNode;
    use crate::archive::Hash;

    const HOUR: &str = "chan/chat/2019-11-13T02";

    fn batch(node: &TestNode, time: &str, lines: &str) {
        let hash = Hash(Sha256::digest(lines).into());
        node.write(&format!("{HOUR}/{time}-{hash}.json"), lines.as_bytes());
    }

    fn said(text: &str, time: f64) -> String {
        json!({"command": "PRIVMSG", "params": ["#chan", text], "tags": {}, "time": time, "time_range": 0.0, "receivers": {"a": time}})
            .to_string()
    }

    #[tokio::test]
    async fn what_was_said_comes_from_the_batches_around_and_damage_costs_nothing_else() {
        let node = TestNode::new();
        // 2019-11-13T02:00:00 is 1573610400.
        batch(&node, "00:00", &[said("one", 1_573_610_401.5), said("two", 1_573_610_430.0)].join("\n"));
        batch(&node, "01:00", &format!("{}\n{{\"time\"", said("three", 1_573_610_461.0)));
        batch(&node, "09:00", &said("later", 1_573_610_941.0));
        node.write(&format!("{HOUR}/02:00-broken.json"), b"{");
        node.write(&format!("{HOUR}/.01:00-x.json.0123456789abcdef.tmp"), b"{");
        node.look(HOUR);
        let list: Vec<Value> = node.get("/chan/chat.json?start=2019-11-13T02:00:02&end=2019-11-13T02:02:00.000").await;
        let texts: Vec<&str> = list.iter().map(|message| message["params"][1].as_str().unwrap()).collect();
        assert_eq!(texts, ["two", "three"]);
        let nothing: Vec<Value> = node.get("/nobody/chat.json?start=2019-11-13T02:00:00&end=2019-11-13T03:00:00").await;
        assert!(nothing.is_empty());
    }

    #[tokio::test]
    async fn what_is_no_stretch_is_said_to_be_none() {
        let node = TestNode::new();
        for query in [
            "",
            "?start=2019-11-13T02:00:00",
            "?start=2019-11-13T02:00:00&end=2019-11-13T02:00:00",
            "?start=2019-11-13T02:00:00&end=2019-11-13T04:00:01",
            "?start=yesterday&end=2019-11-13T04:00:01",
        ] {
            let (status, ..) = node.ask(&format!("/chan/chat.json{query}"), &[]).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        }
        let (status, ..) = node.ask("/.gapless/chat.json?start=2019-11-13T02&end=2019-11-13T03", &[]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
}
