//! Whether tombstones of a retired hour go while somebody may still show what they hide: small servers in place of the others.

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

use super::last_copy::{json, peer};
use super::protect::{Archive, DAY, age, run};
use crate::archive::Span;
use crate::archive::guards::Guard;
use crate::archive::retention::RetentionLimits;
use crate::wire::RetentionReport;

const STEM: &str = "00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const THEIRS: &str = "0123456789abcdef0123456789abcdef";

#[derive(Debug, Clone)]
enum Other {
    /// A node of this archive and process, with these endings of one name in the hour.
    Node(&'static str, u64, &'static [&'static str]),
    CatchingUp,
    /// A server of the fixed part with these channels, and nothing in the hour.
    FixedPart(&'static [&'static str]),
    Fails,
}

fn answer(other: &Other, path: &str) -> Response {
    let digests = |archive, process, complete: bool| {
        json(&serde_json::json!({
            "epoch": "1", "seq": 1, "complete": complete, "instance": process, "archive": archive, "qualities": []
        }))
    };
    match (other, path) {
        (Other::Fails, _) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        (Other::Node(archive, process, _), "/api/v1/digests") => digests(archive, *process, true),
        (Other::CatchingUp, "/api/v1/digests") => digests(&THEIRS, 2, false),
        (Other::Node(_, _, endings), _) if !endings.is_empty() => {
            let names: Vec<String> = endings.iter().map(|ending| format!("{STEM}.{ending}")).collect();
            json(&serde_json::json!(names))
        }
        (Other::FixedPart(channels), "/files") => json(&serde_json::json!(channels)),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// An archive in which an hour was retired while another server was what it is.
struct Retired {
    archive: Archive,
    other: Arc<Mutex<Other>>,
    tombstone: PathBuf,
}

impl Retired {
    async fn while_there_was(other: Other) -> Self {
        let other = Arc::new(Mutex::new(other));
        let mut archive = Archive::new(10);
        let behind = Arc::clone(&other);
        let answers = move |path: String| {
            let answered = answer(&behind.lock(), &path);
            async move { answered }
        };
        archive.peers = vec![peer("b", answers).await];
        let tombstone = archive.tree.path().join(archive.place(9).path()).join(format!("{STEM}.tombstone"));
        std::fs::write(&tombstone, "").unwrap();
        assert_eq!(run(&archive.start(age(8))).hours, 1);
        archive.clocks.pass(Span::from_us(8 * DAY.us()));
        Self { archive, other, tombstone }
    }

    fn run_later(&self, guard: Option<Guard>) -> RetentionReport {
        let report = run(&self.archive.start_without(RetentionLimits::default(), guard));
        assert_eq!(self.tombstone.exists(), report.reclaimed == 0);
        assert_eq!((report.reclaimed + report.tombstones_stay, report.error.clone()), (1, None));
        report
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_stay_until_the_node_that_may_hold_their_hour_hides_it_too() {
    let foreign = "ffffffffffffffffffffffffffffffff";
    let retired = Retired::while_there_was(Other::Node(THEIRS, 2, &["ts"])).await;
    for (other, why) in [
        (Other::Fails, THEIRS),
        (Other::CatchingUp, THEIRS),
        (Other::Node(foreign, 3, &[]), THEIRS),
        (Other::Node(foreign, 3, &["tombstone"]), THEIRS),
        (Other::FixedPart(&["a"]), THEIRS),
        (Other::Node(THEIRS, 4, &["ts"]), "does not hide it"),
    ] {
        let shown = format!("{other:?}");
        *retired.other.lock() = other;
        let stays = retired.run_later(None).first_tombstones_stay;
        assert!(stays[0].contains(why), "{shown}: {stays:?}");
    }
    *retired.other.lock() = Other::Node(THEIRS, 4, &["ts", "tombstone"]);
    assert_eq!(retired.run_later(None).reclaimed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_stay_where_a_node_was_taken_off_the_list() {
    for guard in [None, Some(Guard::HoldersSeen)] {
        let mut retired = Retired::while_there_was(Other::Node(THEIRS, 2, &[])).await;
        retired.archive.peers.clear();
        assert_eq!(retired.run_later(guard).reclaimed, u64::from(guard.is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_an_id_has_to_show_that_its_disk_is_there() {
    let retired = Retired::while_there_was(Other::Fails).await;
    for (other, reclaimed) in [(Other::Fails, 0), (Other::FixedPart(&[]), 0), (Other::FixedPart(&["x"]), 1)] {
        *retired.other.lock() = other;
        assert_eq!(retired.run_later(None).reclaimed, reclaimed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_its_own_list_does_not_wait_for_itself() {
    for before in [Other::Fails, Other::Node(THEIRS, 1, &["ts"])] {
        let retired = Retired::while_there_was(before).await;
        *retired.other.lock() = Other::Node(THEIRS, 1, &["ts"]);
        assert_eq!(retired.run_later(None).reclaimed, 1);
    }
}
