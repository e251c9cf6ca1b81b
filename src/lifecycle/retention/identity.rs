//! Who answers at the address of a peer, as it says itself, and which archive each address has named so far.
//!
//! An address that names another archive every time it is asked proves nothing by it: by the rank that follows from an id, each node that holds
//! an hour could be made to let it go. Remembered as long as the process lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::StatusCode;

use crate::archive::Stream;
use crate::replicate::peer::{Peer, PeerClient, PeerError, PeerUrl};
use crate::wire::QualityDigests;

/// Bytes of an answer.
const ANSWER_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerIdentity {
    /// A node of our kind: the id of its archive and the number of its process, where it names them, and whether its lists are of all
    /// that lies on its disk.
    Node {
        archive: Option<String>,
        process: Option<u64>,
        complete: bool,
    },
    FixedPart,
}

/// Asks a peer; by its digests of some quality, which every node of our kind answers, also where it has nothing of it.
pub(super) async fn identify(client: &PeerClient, peer: &Peer, stream: &Stream) -> Result<PeerIdentity, PeerError> {
    let quality = stream.to_string();
    let path = ["api", "v1", "digests"];
    let asked: Result<QualityDigests, _> = client.get_json(peer, &path, &[("quality", &quality)], ANSWER_BYTES).await;
    match asked {
        Ok(answer) => {
            client.identified(peer, answer.instance);
            Ok(PeerIdentity::Node { archive: answer.archive, process: answer.instance, complete: answer.complete })
        }
        Err(error) if speaks_only_the_fixed_part(&error) => Ok(PeerIdentity::FixedPart),
        Err(error) => Err(error),
    }
}

/// A peer that answers, but not this. One that refuses or fails for the moment is another matter.
fn speaks_only_the_fixed_part(error: &PeerError) -> bool {
    match error.status() {
        Some(status) => {
            [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED].contains(&status)
        }
        None => matches!(error, PeerError::Unexpected { .. }),
    }
}

/// So long an address has to name the same archive after it has named another.
const SETTLED: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Default)]
pub struct Steady(Arc<Mutex<HashMap<PeerUrl, Named>>>);

#[derive(Debug)]
struct Named {
    archive: String,
    /// When it last named another than before.
    changed: Option<Instant>,
}

impl Steady {
    /// Takes in which archive an address names now; whether it is believed.
    pub fn hear(&self, url: &PeerUrl, archive: &str, now: Instant) -> bool {
        let mut known = self.0.lock();
        let named = known.entry(url.clone()).or_insert_with(|| Named { archive: archive.to_owned(), changed: None });
        if named.archive != archive {
            *named = Named { archive: archive.to_owned(), changed: Some(now) };
        }
        named.changed.is_none_or(|at| now.saturating_duration_since(at) >= SETTLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_id_that_changes_is_not_believed_until_it_has_stayed_for_a_day() {
        let (steady, url) = (Steady::default(), PeerUrl::parse("http://tape:8000").unwrap());
        let begin = Instant::now();
        let hear = |archive, hours: u64| steady.hear(&url, archive, begin + Duration::from_secs(hours * 3_600));
        assert!(hear("a", 0) && hear("a", 1));
        assert!(!hear("b", 2) && !hear("b", 25) && hear("b", 26));
        for hour in 28..80 {
            assert!(!hear(if hour % 2 == 0 { "a" } else { "b" }, hour), "{hour}");
        }
        let other = PeerUrl::parse("http://other:8000").unwrap();
        assert!(steady.hear(&other, "c", begin), "others have nothing to do with it");
    }
}
