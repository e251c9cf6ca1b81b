//! What listeners are told, through the real router.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use futures_util::StreamExt as _;

use super::*;
use crate::archive::test_names::hash_text;
use crate::http::test_node::TestNode;

const PLACE: &str = "a/source/2019-11-13T02";

fn name(number: u8) -> String {
    format!("00:00-2.0-full-{}.ts", hash_text(number))
}

/// Somebody who listens.
struct Listener {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Listener {
    async fn new(node: &TestNode) -> Self {
        Self::at(node, "192.0.2.1:5").await
    }

    async fn at(node: &TestNode, address: &str) -> Self {
        let peer = ConnectInfo::<SocketAddr>(address.parse().unwrap());
        let request = Request::get("/api/v1/events").extension(peer).body(Body::empty()).unwrap();
        let response = node.answer(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener = Self { body: Body::into_data_stream(response.into_body()), text: String::new() };
        assert_eq!(listener.next().await.unwrap(), ("status".to_owned(), "{}".to_owned()));
        listener
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((one, rest)) = self.text.split_once("\n\n") {
                let of = |field: &str| one.lines().find_map(|line| line.strip_prefix(field).map(str::to_owned));
                let event = of("event: ").zip(of("data: "));
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let bytes = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn hours(&mut self) -> ChangedHours {
        loop {
            let (event, data) = self.next().await.unwrap();
            if event == "hours" {
                return serde_json::from_str(&data).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn whoever_listens_is_told_which_hours_change_and_each_hour_once() {
    let node = TestNode::new();
    let (mut one, mut two) = (Listener::new(&node).await, Listener::new(&node).await);
    node.put(PLACE, [name(1).as_str(), name(2).as_str()]);
    for listener in [&mut one, &mut two] {
        let told = listener.hours().await;
        assert_eq!(serde_json::json!(told.hours), serde_json::json!([["a", "source", "2019-11-13T02"]]));
    }
    node.remove(PLACE, &name(1));
    assert_eq!(one.hours().await.hours.len(), 1);
    drop((one, two));
    let mut later = Listener::new(&node).await;
    node.remove(PLACE, &name(2));
    assert_eq!(later.hours().await.seq, node.keeper.index().position().seq);
}

#[tokio::test]
async fn too_much_at_once_and_an_index_that_begins_anew_are_told_as_resync() {
    let node = TestNode::new();
    let mut listener = Listener::new(&node).await;
    let position = node.keeper.index().position();
    let (_, anew) = changes(&node.app, &node.app.view(false), Position { epoch: position.epoch ^ 1, ..position }).await;
    assert!(matches!(anew, Some(News::Resync)));
    for hour in 0..=MOST_HOURS {
        let time = crate::archive::Timestamp::parse("2019-11-13T00:00:00Z").unwrap();
        let hour = (time + crate::archive::Span::from_us(i64::try_from(hour).unwrap() * 3_600_000_000)).hour();
        node.put(&format!("a/source/{hour}"), [name(1).as_str()]);
    }
    let (_, news) = changes(&node.app, &node.app.view(false), position).await;
    assert!(matches!(news, Some(News::Resync)));
    assert!(["hours", "resync"].contains(&listener.next().await.unwrap().0.as_str()));
}

#[tokio::test]
async fn one_client_cannot_take_all_places_and_the_end_of_the_node_lets_all_go() {
    let node = TestNode::new();
    let refused = async |address: &str| node.ask_from(address, "/api/v1/events", &[]).await.0.as_u16() == 503;
    let ClientSeats { total, each, .. } = node.app.listeners.seats.places();
    let mut all = Vec::new();
    for number in 0..total {
        let address = format!("192.0.2.{}:5", number / each);
        all.push(Listener::at(&node, &address).await);
        if number + 1 == each {
            assert!(refused(&address).await, "its share is taken");
        }
    }
    // Somebody new gets a place of whoever has the most, whose oldest listener is let go.
    let new = Listener::at(&node, "192.0.2.200:5").await;
    assert_eq!(all.remove(0).next().await, None);
    drop(new);
    let again = Listener::at(&node, "192.0.2.0:5").await;
    all.push(again);
    node.ending.cancel();
    for mut listener in all {
        while listener.next().await.is_some() {}
    }
    assert_eq!(node.app.listeners.seats.held(), 0);
}
