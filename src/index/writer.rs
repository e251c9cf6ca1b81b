//! The one writer: gathers what is asked for, commits it together, and answers after the commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use redb::{Database, ReadableDatabase as _};

use super::IndexError;
use super::agree::Position;
use super::apply::{Session, TouchedStreams};
use super::facts::Learnt;
use super::file;
use super::hole_reasons::{HoleReasonRows, HoleReasonUpdate};
use super::recent_best::CachedLines;
use super::store::{Health, Inner};
use super::{PeerRow, Version, meta, summaries};
use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::MissedRecording;
use crate::archive::{Day, Hour, HourChange, Stamp, Stream, Timestamp};

/// Batches committed together at most, so that the first of them does not wait for ever.
const GROUP: usize = 64;

/// What is to become of the remembered stamp of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampUpdate {
    /// As it was.
    Keep,
    /// This is what it was when it was read; `None` if that cannot be trusted.
    Set(Option<Stamp>),
    /// The same, if the hour is still as it was when the changes were worked out. If somebody else changed it meanwhile,
    /// what they read may be older or younger than this, and no stamp is kept, so that the directory is read again.
    SetIfStill {
        /// The directory as it was when it was read.
        stamp: Option<Stamp>,
        /// The version of the hour against which the changes were worked out; `None` if there was no such hour.
        version: Option<Version>,
    },
}

/// A change to an hour.
#[derive(Debug, Clone)]
pub enum HourUpdate {
    /// The directory is there; these files of it changed.
    Change {
        /// Channel and quality.
        stream: Stream,
        /// The hour.
        hour: Hour,
        /// What changed; may be nothing.
        changes: Vec<HourChange>,
        /// The directory's stamp.
        stamp: StampUpdate,
    },
    /// The directory is gone.
    Remove {
        /// Channel and quality.
        stream: Stream,
        /// The hour.
        hour: Hour,
    },
}

/// A directory above the hours, as it was when it was read; `None` if it is gone or the stamp cannot be trusted.
pub type DirUpdate = (String, Option<Stamp>);

/// What is committed together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The generation of the index against which this was worked out: in a later one it is refused. `None` for what holds
    /// whatever the index knows, such as that a file has appeared.
    pub generation: Option<u64>,
    /// Hours.
    pub hours: Vec<HourUpdate>,
    /// Directories above them.
    pub directories: Vec<DirUpdate>,
    /// The archive's id, where it has become known.
    pub archive: Option<[u8; 16]>,
    /// What is to be remembered of other nodes, by name.
    pub peers: Vec<(String, PeerRow)>,
    /// Why holes are open.
    pub reasons: HoleReasonRows,
    /// Qualities of which the whole ledger is compared with the holes.
    pub mend: Vec<Stream>,
    /// When the disk was away, and is not any more.
    pub away: Vec<Stretch>,
    /// What recorders of this node missed.
    pub missed: Vec<(Stream, MissedRecording)>,
    /// Where visitors of the crawl are, by name.
    pub visitors: Vec<(String, Vec<u8>)>,
    /// Days that are to be counted afresh.
    pub recount: Vec<(Stream, Day)>,
    /// How far the protective records of the archive have come, as one text.
    pub records: Option<String>,
    /// What the two ends of segments say.
    pub learnt: Vec<Learnt>,
}

impl Batch {
    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
            && self.directories.is_empty()
            && self.archive.is_none()
            && self.peers.is_empty()
            && self.reasons.is_empty()
            && self.mend.is_empty()
            && self.away.is_empty()
            && self.missed.is_empty()
            && self.visitors.is_empty()
            && self.recount.is_empty()
            && self.records.is_none()
            && self.learnt.is_empty()
    }
}

/// What a batch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files that were new or changed their size.
    pub put: u64,
    /// Files that were gone.
    pub removed: u64,
}

pub(super) type Reply = SyncSender<Result<Applied, IndexError>>;

pub(super) enum Command {
    Apply(Box<Batch>, Reply),
    SetAside { generation: u64, why: String },
    Reopen { opening: u64 },
}

/// Numbers that outlive a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) seq: u64,
    pub(super) floor: u64,
    pub(super) next_stream: u64,
}

impl Counters {
    fn load(database: &Database) -> Result<Self, IndexError> {
        let transaction = database.begin_read()?;
        let number = |name| meta::number(&transaction, name).map(Option::unwrap_or_default);
        Ok(Self { seq: number("seq")?, floor: number("floor")?, next_stream: number("next_stream")? })
    }
}

pub(super) struct Writer {
    inner: Arc<Inner>,
    queue: Receiver<Command>,
    counters: Counters,
    /// Hours are left whose coverage is to be made when there is nothing else to do.
    is_unsettled: bool,
    lines: CachedLines,
    /// Not before this is an index that failed opened again.
    retry_at: Instant,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, queue: Receiver<Command>) -> Result<Self, IndexError> {
        let is_unsettled = match inner.write(is_unsettled) {
            // Nothing is written to a file that is damaged, not even to find that out.
            Err(IndexError::Damaged(why)) => {
                inner.begin_anew(&why)?;
                false
            }
            found => found?,
        };
        let counters = inner.write(Counters::load)?;
        // Opening was an attempt, too.
        let retry_at = Instant::now() + inner.options.retry_after;
        Ok(Self { inner, queue, counters, is_unsettled, lines: CachedLines::default(), retry_at })
    }

    pub(super) fn run(mut self) {
        loop {
            let is_good = self.inner.health() == Health::Good;
            let first = if is_good && self.is_unsettled {
                self.queue.recv_timeout(Duration::ZERO)
            } else if is_good {
                self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                // However much is asked for in between.
                if Instant::now() >= self.retry_at {
                    self.recover();
                }
                self.queue.recv_timeout(self.retry_at.saturating_duration_since(Instant::now()))
            };
            match first {
                Ok(command) => self.handle(command),
                Err(RecvTimeoutError::Timeout) if is_good => self.commit(Vec::new()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Deals with a command; a batch is committed together with those that wait behind it.
    fn handle(&mut self, command: Command) {
        let (mut group, mut next) = (Vec::new(), Some(command));
        while let Some(Command::Apply(batch, reply)) = next {
            group.push((*batch, reply));
            next = if group.len() < GROUP { self.queue.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            self.commit(group);
        }
        match next {
            Some(Command::SetAside { generation, why }) => self.set_aside(generation, &why),
            Some(Command::Reopen { opening }) if opening == self.inner.opening() => self.stall("it cannot be read"),
            _ => {}
        }
    }

    fn commit(&mut self, group: Vec<(Batch, Reply)>) {
        let generation = self.inner.catalog.generation();
        let (group, outdated): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|(batch, _)| batch.generation.is_none_or(|worked_out| worked_out == generation));
        for (_, reply) in outdated {
            answer(&reply, Err(IndexError::BeganAnew));
        }
        let stalled = matches!(self.inner.health(), Health::Stalled { .. });
        if stalled {
            for (_, reply) in &group {
                answer(reply, Err(IndexError::Stalled));
            }
        }
        if stalled || (group.is_empty() && !self.is_unsettled) {
            return;
        }
        let mut counters = self.counters;
        let outcome =
            self.inner.write(|database| apply_all(database, &group, &mut counters, &mut self.lines, &self.inner));
        if outcome.is_err() {
            self.lines.clear();
        }
        self.inner.note_commit();
        match outcome {
            Ok((applied, touched)) => {
                self.counters = counters;
                self.is_unsettled = touched.is_unsettled;
                self.inner.givers.arrived(&touched.arrived);
                if touched.is_ledger_turned {
                    self.inner.turns.fetch_add(1, Ordering::SeqCst);
                }
                self.publish(touched);
                for ((_, reply), each) in group.into_iter().zip(applied) {
                    answer(&reply, Ok(each));
                }
            }
            // One batch that cannot be written does not keep the others from it.
            Err(IndexError::TooManyStreams(_)) if group.len() > 1 => {
                for one in group {
                    self.commit(vec![one]);
                }
            }
            Err(error) => {
                for (_, reply) in &group {
                    answer(reply, Err(again(&error)));
                }
                match error {
                    IndexError::Damaged(why) => self.set_aside(generation, &why),
                    IndexError::TooManyStreams(_) => {}
                    error => self.stall(&error.to_string()),
                }
            }
        }
    }

    /// Tells readers what was committed.
    fn publish(&self, touched: TouchedStreams) {
        let mut state = self.inner.catalog.write();
        let next = state.structure + 1;
        let mut structure = false;
        for (name, (entry, hours)) in touched.streams {
            let known = state.streams.entry(name).or_insert_with(|| {
                structure = true;
                entry.clone()
            });
            known.row = entry.row;
            known.changed = self.counters.seq;
            for (hour, changed) in hours {
                let was = match changed {
                    Some(changed) => known.hours.insert(hour, changed),
                    None => known.hours.remove(&hour),
                };
                if was.is_some() != changed.is_some() {
                    known.structure = next;
                    structure = true;
                }
            }
        }
        if structure {
            state.structure = next;
        }
        state.seq = self.counters.seq;
        let position = Position { generation: state.generation, epoch: state.epoch, seq: state.seq };
        drop(state);
        self.inner.agreement.committed(position);
    }

    fn set_aside(&mut self, generation: u64, why: &str) {
        if generation != self.inner.catalog.generation() {
            return;
        }
        if let Err(error) = self.inner.begin_anew(why) {
            self.inner.set_health(Health::Stalled { why: error.to_string() });
        }
        self.reload();
    }

    /// After an error of the file: opens it anew for those who read, and takes no batches for a while.
    fn stall(&mut self, why: &str) {
        tracing::error!(name: "index_stalled", why, "the index is read-only; requests are answered from it and from the disk");
        if self.inner.health() == Health::Good {
            self.inner.set_health(Health::Stalled { why: why.to_owned() });
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        self.retry_at = Instant::now() + self.inner.options.retry_after;
        if let Err(error) = self.inner.reopen() {
            tracing::debug!(name: "index_unreadable", %error, "the index cannot be opened");
        }
        self.reload();
    }

    /// Tries whether writing is possible again.
    fn recover(&mut self) {
        self.retry_at = Instant::now() + self.inner.options.retry_after;
        let outcome = match self.inner.health() {
            Health::Good => return,
            Health::InMemory { .. } => self.inner.return_to_disk(),
            Health::Stalled { .. } => self.inner.write(file::prove_writable),
        };
        match outcome {
            Ok(()) => {
                self.inner.set_health(Health::Good);
                tracing::info!(name: "index_recovered", "the index takes writes again");
                self.reload();
            }
            Err(IndexError::Damaged(why)) => self.set_aside(self.inner.catalog.generation(), &why),
            Err(error) => {
                tracing::debug!(name: "index_still_stalled", %error, "the index still takes no writes");
                // The attempt has failed the file for those who read, too.
                if matches!(self.inner.health(), Health::Stalled { .. }) {
                    self.reopen();
                }
            }
        }
    }

    fn reload(&mut self) {
        self.lines.clear();
        self.is_unsettled = self.inner.write(is_unsettled).unwrap_or(false);
        match self.inner.write(Counters::load) {
            Ok(counters) => self.counters = counters,
            Err(error) => self.inner.set_health(Health::Stalled { why: error.to_string() }),
        }
    }
}

fn apply_all(
    database: &Database,
    group: &[(Batch, Reply)],
    counters: &mut Counters,
    lines: &mut CachedLines,
    inner: &Inner,
) -> Result<(Vec<Applied>, TouchedStreams), IndexError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    let kept = (inner.options.closed_kept, inner.options.closed_most);
    let books = HoleReasonUpdate::new(now(), *inner.catching_up.lock(), kept, &inner.givers);
    let mut session = Session::open(&transaction, counters, &inner.catalog, lines, books)?;
    let applied = group.iter().map(|(batch, _)| session.apply(batch)).collect::<Result<Vec<_>, _>>()?;
    let touched = session.finish(inner.options.changes_kept)?;
    transaction.commit()?;
    Ok((applied, touched))
}

/// The time now: when a hole is seen, and when it closes.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Whether coverage of some hours is still to be made.
fn is_unsettled(database: &Database) -> Result<bool, IndexError> {
    Ok(summaries::count_unsettled(&database.begin_read()?)? > 0)
}

fn answer(reply: &Reply, result: Result<Applied, IndexError>) {
    if reply.send(result).is_err() {
        tracing::trace!(name: "index_reply_unwanted", "the requester of this commit has gone");
    }
}

/// The same error for each of those who wait.
fn again(error: &IndexError) -> IndexError {
    match error {
        IndexError::Damaged(why) => IndexError::Damaged(why.clone()),
        IndexError::Full(cause) => IndexError::Full(std::io::Error::new(cause.kind(), cause.to_string())),
        IndexError::Io(cause) => IndexError::Io(std::io::Error::new(cause.kind(), cause.to_string())),
        IndexError::TooManyStreams(limit) => IndexError::TooManyStreams(*limit),
        IndexError::Closed => IndexError::Closed,
        _ => IndexError::Stalled,
    }
}

/// Hours by stream name; `None` is an hour that is gone.
pub(super) type TouchedHours = BTreeMap<Hour, Option<u64>>;
/// Streams met in this process, by name.
pub(super) type StreamsSeen = HashMap<String, super::streams::StreamRow>;
