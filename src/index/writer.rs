//! The one writer: gathers what is asked for, commits it together, and answers after the commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use redb::{Database, ReadableDatabase as _};

use super::IndexError;
use super::apply::{Session, Touched};
use super::schema::meta_number;
use super::store::{Health, Inner};
use crate::domain::{Change, Hour, Stamp, Stream};

/// Batches committed together at most, so that the first of them does not wait for ever.
const GROUP: usize = 64;
/// How long to wait before an index that failed is opened again.
const RETRY: Duration = Duration::from_secs(1);

/// What is to become of the remembered stamp of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampUpdate {
    /// As it was.
    Keep,
    /// This is what it was when it was read; `None` if that cannot be trusted.
    Set(Option<Stamp>),
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
        changes: Vec<Change>,
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
    /// Hours.
    pub hours: Vec<HourUpdate>,
    /// Directories above them.
    pub directories: Vec<DirUpdate>,
    /// The archive's id, where it has become known.
    pub archive: Option<[u8; 16]>,
    /// The generation of the index that was looked at to find this out; if another has begun since, nothing is applied.
    pub generation: Option<u64>,
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
    Apply(Batch, Reply),
    SetAside { generation: u64, why: String },
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
        let number = |name| meta_number(&transaction, name).map(Option::unwrap_or_default);
        Ok(Self { seq: number("seq")?, floor: number("floor")?, next_stream: number("next_stream")? })
    }
}

pub(super) struct Writer {
    inner: Arc<Inner>,
    queue: Receiver<Command>,
    counters: Counters,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, queue: Receiver<Command>) -> Result<Self, IndexError> {
        let counters = inner.write(Counters::load)?;
        Ok(Self { inner, queue, counters })
    }

    pub(super) fn run(mut self) {
        loop {
            let first = if self.inner.is_good() {
                self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.queue.recv_timeout(RETRY)
            };
            let mut group = Vec::new();
            match first {
                Ok(Command::Apply(batch, reply)) => group.push((batch, reply)),
                Ok(Command::SetAside { generation, why }) => self.set_aside(generation, &why),
                Err(RecvTimeoutError::Timeout) => self.recover(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while group.len() < GROUP && !group.is_empty() {
                match self.queue.try_recv() {
                    Ok(Command::Apply(batch, reply)) => group.push((batch, reply)),
                    Ok(Command::SetAside { generation, why }) => {
                        self.set_aside(generation, &why);
                        break;
                    }
                    Err(_) => break,
                }
            }
            if !group.is_empty() {
                self.commit(group);
            }
        }
    }

    fn commit(&mut self, mut group: Vec<(Batch, Reply)>) {
        let generation = self.inner.catalog.generation();
        group.retain(|(batch, reply)| {
            let current = batch.generation.is_none_or(|seen| seen == generation);
            if !current {
                answer(reply, Err(IndexError::Superseded));
            }
            current
        });
        let mut counters = self.counters;
        let outcome = self.inner.write(|database| apply_all(database, &group, &mut counters, &self.inner));
        match outcome {
            Ok((applied, touched)) => {
                self.counters = counters;
                self.publish(touched);
                for ((_, reply), each) in group.into_iter().zip(applied) {
                    answer(&reply, Ok(each));
                }
            }
            Err(error) => {
                for (_, reply) in &group {
                    answer(reply, Err(again(&error)));
                }
                if let IndexError::Damaged(why) = &error {
                    self.set_aside(self.inner.catalog.generation(), &why.clone());
                } else if self.inner.is_good() {
                    tracing::error!(name: "index_stalled", %error, "the index takes no writes; questions are answered from what it has and from the disk");
                    self.inner.set_health(Health::Stalled { why: error.to_string() });
                }
            }
        }
    }

    /// Tells readers what was committed.
    fn publish(&self, touched: Touched) {
        let mut state = self.inner.catalog.write();
        let mut structure = false;
        for (name, (entry, hours)) in touched.streams {
            let known = state.streams.entry(name).or_insert_with(|| {
                structure = true;
                entry.clone()
            });
            known.row = entry.row;
            for (hour, changed) in hours {
                let was = match changed {
                    Some(changed) => known.hours.insert(hour, changed),
                    None => known.hours.remove(&hour),
                };
                if was.is_some() != changed.is_some() {
                    known.structure += 1;
                    structure = true;
                }
            }
        }
        state.structure += u64::from(structure);
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

    fn recover(&mut self) {
        if let Err(error) = self.inner.reopen() {
            tracing::debug!(name: "index_still_stalled", %error, "the index still takes no writes");
        } else if self.inner.is_good() {
            tracing::info!(name: "index_recovered", "the index takes writes again");
        }
        self.reload();
    }

    fn reload(&mut self) {
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
    inner: &Inner,
) -> Result<(Vec<Applied>, Touched), IndexError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    let mut session = Session::open(&transaction, counters, &inner.catalog)?;
    let applied = group.iter().map(|(batch, _)| session.apply(batch)).collect::<Result<Vec<_>, _>>()?;
    let touched = session.finish(inner.options.changes_kept)?;
    transaction.commit()?;
    Ok((applied, touched))
}

fn answer(reply: &Reply, result: Result<Applied, IndexError>) {
    if reply.send(result).is_err() {
        tracing::trace!(name: "index_reply_unwanted", "nobody waits for this commit any more");
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
pub(super) type Met = HashMap<String, super::codec::StreamRow>;
