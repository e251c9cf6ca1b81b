//! `/api/v1/events`: tells whoever listens which hours change and when the node's health does, as server-sent events.
//!
//! Under a layout the hours are those that any node has, as in every answer.
//!
//! 1. One task reads the change log for all listeners, at most four times a second, and runs only while somebody listens.
//! 2. What changed meanwhile is told together; an hour is named once. Where it is too much, `resync` is told instead: whoever shows
//!    something asks for it anew.
//! 3. A listener that does not keep up loses the oldest events and is told `resync` in their place.
//! 4. There are so many places, and so many for one client: a client's oldest listener gives way to its newest, because a page that
//!    was forgotten looks like one that is looked at.
//! 5. A comment goes out every 15 seconds, so that nobody in between takes the silence for the end.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream as Events, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::Problem;
use super::app::{App, RequestBounds};
use super::read_view::ReadView;
use super::request::RequestHead;
use super::seats::{Client, ClientSeats, ListenerSeats, Seat};
use crate::archive::Hour;
use crate::index::{Health, Position};
use crate::wire::ChangedHours;

/// How long a place is held before it makes room for another one of the same client: longer than pages that take turns would bear.
const TENURE: Duration = Duration::from_secs(30);
/// Events that wait for a slow listener.
const WAITING: usize = 16;
/// At most so often is something told.
const BEAT: Duration = Duration::from_millis(250);
/// Health is compared at least so often: no commit tells of a disk that has gone.
const LOOK: Duration = Duration::from_secs(1);
/// Silence longer than this is broken by a comment.
const COMMENT: Duration = Duration::from_secs(15);
/// Changes that are read at once; with more, everything is asked for anew more cheaply.
const MOST_CHANGES: usize = 5_000;
/// Hours that are named in an event.
const MOST_HOURS: usize = 500;

/// What is told.
#[derive(Debug, Clone)]
enum News {
    Hours(Arc<ChangedHours>),
    Resync,
    Status,
}

/// Those who listen.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) seats: Arc<ListenerSeats>,
    /// Where news come from, while somebody listens.
    source: Mutex<Option<broadcast::Sender<News>>>,
}

impl Listeners {
    pub(super) fn new(bounds: &RequestBounds) -> Self {
        let (total, each) = bounds.listeners;
        Self { seats: ListenerSeats::new(ClientSeats { total, each, tenure: TENURE }), source: Mutex::default() }
    }
}

/// Answers `GET /api/v1/events`.
#[utoipa::path(
    get, path = "/api/v1/events",
    responses(
        (status = 200, content_type = "text/event-stream", body = ChangedHours, description = "events: `hours` with this as data, `resync` when too much changed to be told, `status` when the node's health changed"),
        (status = 503, description = "too many listen already")
    )
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let Some(seat) = app.listeners.seats.take(Client::of(&app.node.auth, &request).await) else {
        let ClientSeats { total, each, .. } = app.listeners.seats.places();
        let why = format!("as many listen as may: {each} of one client, {total} in all");
        return Err(Problem::unavailable(10, &why));
    };
    let news = listen(&app);
    let ending = app.followers.ending.clone();
    let left = seat.leave.clone().cancelled_owned();
    let stream = told(news, seat).take_until(left).take_until(ending.cancelled_owned());
    let comments = KeepAlive::new().interval(COMMENT).text("still here");
    let mut response = Sse::new(stream).keep_alive(comments).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Takes a place among those who listen, and begins to read the change log if nobody did.
fn listen(app: &Arc<App>) -> broadcast::Receiver<News> {
    let mut source = app.listeners.source.lock();
    if let Some(sender) = source.as_ref() {
        return sender.subscribe();
    }
    let (sender, news) = broadcast::channel(WAITING);
    *source = Some(sender.clone());
    drop(source);
    let view = app.view(false);
    let told = view.keeper.index().position();
    tokio::spawn(tell(Arc::clone(app), sender, view, told));
    news
}

/// The news as events, beginning with one that says that from here on everything is told.
fn told(news: broadcast::Receiver<News>, seat: Seat) -> impl Events<Item = Result<Event, Infallible>> + Send {
    let first = stream::once(async { Ok(event(&News::Status)) });
    let rest = stream::unfold((news, seat), |(mut news, seat)| async move {
        let next = match news.recv().await {
            Ok(next) => next,
            Err(broadcast::error::RecvError::Lagged(_)) => News::Resync,
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((Ok(event(&next)), (news, seat)))
    });
    first.chain(rest)
}

fn event(news: &News) -> Event {
    match news {
        News::Hours(hours) => {
            let event = Event::default().event("hours").json_data(&**hours);
            event.unwrap_or_else(|_| Event::default().event("resync").data("{}"))
        }
        News::Resync => Event::default().event("resync").data("{}"),
        News::Status => Event::default().event("status").data("{}"),
    }
}

/// Tells what happens after a place in the log of what is answered from, until nobody listens or the node ends.
async fn tell(app: Arc<App>, sender: broadcast::Sender<News>, mut view: Arc<ReadView>, mut told: Position) {
    // What all nodes have follows this node's index and what it hears of others, and is brought up to date at the next look.
    let index = app.node.keeper.index();
    let (mut committed, mut generation) = (index.committed(), index.generation());
    let mut health = health_of(&app);
    loop {
        tokio::select! {
            _ = committed.changed() => {}
            _ = generation.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = app.followers.ending.cancelled() => break,
        }
        // Under the lock, so that nobody takes a place between the look and the end.
        if leave(&app, &sender) {
            return;
        }
        let now = health_of(&app);
        // Whoever does not listen any more is no error.
        if std::mem::replace(&mut health, now.clone()) != now {
            sender.send(News::Status).unwrap_or_default();
        }
        // There is a layout from now on, or none any more: everything may be another.
        let answering = app.view(false);
        if !Arc::ptr_eq(&answering.keeper, &view.keeper) {
            (told, view) = (answering.keeper.index().position(), answering);
            sender.send(News::Resync).unwrap_or_default();
        }
        if view.keeper.is_whole() || view.keeper.index().position() != told {
            let (next, news) = changes(&app, &view, told).await;
            told = next;
            if let Some(news) = news {
                sender.send(news).unwrap_or_default();
            }
        }
        tokio::time::sleep(BEAT).await;
    }
    app.listeners.source.lock().take();
}

fn leave(app: &App, sender: &broadcast::Sender<News>) -> bool {
    let mut source = app.listeners.source.lock();
    let alone = sender.receiver_count() == 0;
    if alone {
        source.take();
    }
    alone
}

/// What changed after a place in the log, and where the log ends now.
async fn changes(app: &Arc<App>, view: &Arc<ReadView>, told: Position) -> (Position, Option<News>) {
    let keeper = Arc::clone(&view.keeper);
    let read = app.ask_light(move |_| {
        keeper.follow_sources()?;
        if keeper.index().position() == told {
            return Ok(None);
        }
        Ok(Some(keeper.index().change_page(told.epoch, told.seq, MOST_CHANGES)?))
    });
    // An index that cannot be read now is asked again at the next beat.
    let Ok(Some(page)) = read.await else { return (told, None) };
    let complete = page.next == page.position.seq;
    let Some(changes) = page.changes.filter(|_| complete && page.position.generation == told.generation) else {
        return (page.position, Some(News::Resync));
    };
    let hours: BTreeSet<(String, Hour)> =
        changes.into_iter().map(|change| (change.stream, change.record.hour)).collect();
    let news = match hours.len() {
        0 => None,
        1..=MOST_HOURS => Some(News::Hours(Arc::new(ChangedHours::new(page.position.seq, &hours)))),
        _ => Some(News::Resync),
    };
    (page.position, news)
}

/// What `status` is told of when it changes.
fn health_of(app: &App) -> (bool, bool, Health, usize) {
    let peers = (app.node.peers)().iter().filter(|peer| peer.state == "backing-off").count();
    let is_there = app.node.keeper.guard().base().is_ok();
    (is_there, *app.node.crawl.ready().borrow(), app.node.keeper.index().health(), peers)
}

#[cfg(test)]
mod tests;
