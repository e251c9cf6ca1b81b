//! Who answers at the address of a peer, as it says itself. What follows from that is not decided here.

use reqwest::StatusCode;

use crate::archive::Stream;
use crate::replicate::peer::{Peer, PeerClient, PeerError};
use crate::wire::QualityDigests;

/// Bytes of an answer.
const ANSWER_BYTES: usize = 8 << 20;

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerIdentity {
    /// A node of our kind: the id of its archive and the number of its process, where it names them, and whether its lists are of all
    /// that lies on its disk.
    Node { archive: Option<String>, process: Option<u64>, complete: bool },
    /// A server that knows no digests.
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
