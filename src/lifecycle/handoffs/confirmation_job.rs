//! Reads the hours that other nodes give away to this one, before it confirms them: one after the other, while somebody asks.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::error::HandoffError;
use super::machine::Handoffs;
use super::proven_files::{files, look};
use crate::archive::{Hash, HourPlace};
use crate::disk::Base;
use crate::jobs::{Failure, Job, JobHandle, JobState, Next, Stop};

/// How often it is looked whether somebody has asked.
const LOOK: Duration = Duration::from_millis(200);
/// How long reading one piece may take.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
const PIECE: usize = 1 << 20;

impl Handoffs {
    /// Reads the hour that waits for it; false if none does.
    fn read_next(&self, stop: &Stop, handle: &JobHandle) -> Result<bool, HandoffError> {
        let Some(place) = self.proven.next() else { return Ok(false) };
        handle.working("reads hours that others give away");
        handle.doing(format!("reads {place}"));
        let base = self.parts.keeper.guard().base()?;
        let Some(dir) = base.dir(&place.path())? else {
            self.proven.note(&place, None);
            return Ok(true);
        };
        let seen = files(&dir).and_then(|files| Ok((look(&dir, &files)?, files)));
        let (before, files) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                // Who asks again has it looked at again; others have their turn first.
                self.proven.note(&place, None);
                return Err(error.into());
            }
        };
        let mut is_right = true;
        for (name, expected) in &files {
            match read(&base, &place, name, stop, handle) {
                Ok(Some(found)) if found == *expected => {}
                Ok(Some(_)) => {
                    tracing::error!(name: "owner_file_wrong", hour = %place, file = name, "a file of this node does not have the bytes that its name says, and its hour is not confirmed to others; `gapless scrub` sets it aside");
                    is_right = false;
                }
                // It is gone meanwhile, or the node ends: that is looked at again.
                Ok(None) => {
                    self.proven.note(&place, None);
                    return Ok(true);
                }
                // It is not tried again and again, while others wait for their turn.
                Err(error) => {
                    tracing::error!(name: "owner_file_unread", hour = %place, %error, "a file of this node cannot be read, and its hour is not confirmed to others");
                    is_right = false;
                }
            }
        }
        self.proven.note(&place, Some((before, is_right)));
        Ok(true)
    }
}

/// The SHA-256 of a file; nothing if it is not there, or the node ends.
fn read(
    base: &Base,
    place: &HourPlace,
    name: &str,
    stop: &Stop,
    handle: &JobHandle,
) -> Result<Option<Hash>, HandoffError> {
    let path = format!("{place}/{name}");
    let Some(mut file) = base.open_file(Path::new(&path))? else { return Ok(None) };
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        if stop.is_stopped() {
            return Ok(None);
        }
        handle.sign();
        let count = match file.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HandoffError::Unreadable(path, Arc::new(error))),
        };
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
    }
    Ok(Some(Hash(hasher.finalize().into())))
}

/// Reads what others are to delete.
pub struct ConfirmationJob {
    handoffs: Arc<Handoffs>,
    stop: Stop,
}

impl ConfirmationJob {
    /// Of this node.
    pub fn new(handoffs: Arc<Handoffs>, stop: Stop) -> Self {
        Self { handoffs, stop }
    }
}

impl Job for ConfirmationJob {
    fn kind(&self) -> &'static str {
        "confirmations"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if self.handoffs.read_next(&self.stop, handle)? {
            return Ok(Next::Again);
        }
        handle.set_state(JobState::Waiting, "until another node asks about an hour", None);
        Ok(Next::WhenWoken(self.handoffs.parts.layouts.current().rest(LOOK)))
    }
}
