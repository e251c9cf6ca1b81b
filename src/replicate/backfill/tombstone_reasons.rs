//! Why a peer's tombstones were made: asked for before they are taken over, because a tombstone is never written again.
//!
//! What hides is the tombstone: where the peer cannot say why, or does not in time, it is taken without.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::job::PeerJob;
use crate::archive::HourPlace;
use crate::wire::{TombstoneNote, TombstonePage};

/// A page of a thousand notes of the longest reasons.
const MOST_BYTES: usize = 4 << 20;
/// Of an hour no more are looked through: a page holds a thousand.
const MOST_PAGES: usize = 20;
/// What is to be hidden is hidden after so long, whatever the peer does.
const MOST_TIME: Duration = Duration::from_secs(5);

/// What the peer knows of these tombstones of an hour, by their names.
pub(super) async fn of(job: &mut PeerJob, place: &HourPlace, names: &[Box<str>]) -> HashMap<Box<str>, TombstoneNote> {
    let mut notes = HashMap::new();
    if job.known.status().is_ours != Some(true) {
        return notes;
    }
    let wanted: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let until = Instant::now() + MOST_TIME;
    let (hour, mut after) = (place.hour.to_string(), None::<String>);
    for _ in 0..MOST_PAGES {
        job.report.requests += 1;
        let Some(page) = page(job, place, &hour, after.as_deref(), until).await else { break };
        for record in page.tombstones {
            let Some((_, name)) = record.path.rsplit_once('/') else { continue };
            if let (true, Some(note)) = (wanted.contains(name), record.note.and_then(TombstoneNote::checked)) {
                notes.insert(name.into(), note);
            }
        }
        after = page.next;
        if after.is_none() || notes.len() == wanted.len() {
            break;
        }
    }
    notes
}

async fn page(
    job: &PeerJob,
    place: &HourPlace,
    hour: &str,
    after: Option<&str>,
    until: Instant,
) -> Option<TombstonePage> {
    let stream = &place.stream;
    let mut query = vec![("channel", stream.channel.as_str()), ("quality", stream.quality.as_str()), ("hour", hour)];
    query.extend(after.map(|after| ("after", after)));
    let asking = job.shared.client.get_json(job.peer(), &["api", "v1", "tombstones"], &query, MOST_BYTES);
    let why = match timeout(until.saturating_duration_since(Instant::now()), asking).await {
        Ok(Ok(page)) => return Some(page),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    tracing::debug!(name: "reasons_not_told", hour = %place, peer = %job.peer().name, why, "tombstones are taken without their reasons");
    None
}
