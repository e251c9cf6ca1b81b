//! The account of what other nodes gave, on the disk (`BASE/.gapless/fetched`) and in memory, and what follows from it.
//!
//! It lies beside the marker, because the index may be lost at any time and what a stranger gave must not become a recording by that.
//! A file that a peer gives is booked when it is whole and right, and before it appears: a process that is killed leaves a few files too
//! many in the account, and never too few. What a peer only announces counts as nothing, or else its names would make a stranger's of what
//! is recorded meanwhile. Lines are not flushed: a power cut makes the newest hours own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::{CrawlError, Keeper};
use crate::archive::blocks::{BLOCK, on_disk};
use crate::archive::guards::Guard;
use crate::archive::origins::{ConfiguredStreams, GiftAccount, GiftedHour, Origin, StrangersUse};
use crate::archive::{Hour, HourPlace, HourTotals, Stream};
use crate::disk::{Base, Dir, DiskError, Records, SmallFile, append_soon, atomic, marker};
use crate::index::Health;

const FILE: &str = "fetched";
/// Where damaged lines are preserved.
const DAMAGED: &str = "fetched.damaged";
/// The largest account that is read: a hundred bytes an hour make this 300 years of one quality.
const MOST_BYTES: u64 = 256 << 20;
/// Streams of which it is known whether they are strangers'.
const MOST_KNOWN: usize = 20_000;
/// How long it is believed that a stream is a stranger's. What is own is believed for good.
const BELIEVED: Duration = Duration::from_secs(10);

/// What a peer may fill with channels that nobody here records or names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrangersBudget {
    /// Bytes of the disk; a tenth of it where nothing is said.
    pub budget: Option<u64>,
    pub streams: u64,
}

/// Whether something of a stream may be taken from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowance {
    Unbounded,
    Bytes(u64),
    Full(String),
}

/// What a peer has filled with strangers' channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilledByPeer {
    pub used: StrangersUse,
    pub budget: u64,
}

#[derive(Debug, Default)]
pub(super) struct Origins {
    pub(super) named: ConfiguredStreams,
    state: Mutex<GiftState>,
}

#[derive(Debug, Default)]
struct GiftState {
    /// Returns of the disk when the account was read: after another one it is read again.
    returns: u64,
    account: Option<GiftAccount>,
    /// Why it cannot be relied on, until a person has decided.
    wrong: Option<String>,
    /// Hours into which something is being fetched, by how many.
    open: HashMap<HourPlace, usize>,
    /// Streams that were looked at: when, and whether they are strangers'.
    strangers: HashMap<Stream, (Instant, bool)>,
}

/// An hour into which a peer's files are being fetched.
pub struct FetchInProgress {
    keeper: Arc<Keeper>,
    place: HourPlace,
    peer: Arc<str>,
    allowance: u64,
    taken: AtomicU64,
}

impl Keeper {
    /// With what the configuration names: that is no stranger's.
    #[must_use]
    pub fn naming(mut self, named: ConfiguredStreams) -> Self {
        self.origins.named = named;
        self
    }

    /// Reads the account, if that was not done, and notes once more what is wrong with it: notes do not outlast a return of the disk.
    pub fn load_origins(&self) -> Result<(), CrawlError> {
        let (_, known) = self.account()?;
        if let Some(wrong) = &known.state.wrong {
            self.records().note(FILE, Some(wrong));
        }
        Ok(())
    }

    /// A person has decided: the account begins anew from what could be read of it.
    pub fn accept_origins(&self) -> Result<(), CrawlError> {
        let (base, mut known) = self.account()?;
        if known.is_doubtful() {
            known.write_anew(&base)?;
            known.state.wrong = None;
            self.records().note(FILE, None);
        }
        Ok(())
    }

    /// The owner of an hour with so many segments and bytes. An error while the account cannot be read.
    pub fn origin(&self, place: &HourPlace, (segments, bytes): (u64, u64)) -> Result<Origin, CrawlError> {
        if !self.guards().stands(Guard::OwnFirst) {
            return Ok(Origin::default());
        }
        let (_, known) = self.account()?;
        let fetched = known.account.is_fetched(place, segments);
        let given = known.account.given(place).filter(|_| !fetched).unwrap_or_default();
        let added = GiftedHour { files: given.files.min(segments), bytes: given.bytes.min(bytes), tombstones: 0 };
        Ok(Origin { fetched, named: self.origins.named.has(&place.stream), added })
    }

    /// What peers have added to hours that are own, of those streams, in bytes of the disk. Answers from memory.
    pub fn added_bytes(&self, of: impl Fn(&Stream) -> bool) -> u64 {
        self.origins.state.lock().account.as_ref().map_or(0, |account| account.added(of))
    }

    /// Whether fetching into this hour makes it a foreign one, because nothing of it is own. Answers from memory.
    pub fn would_be_fetched(&self, place: &HourPlace) -> bool {
        let is_here = self.index.catalog().hour_version(&place.stream.to_string(), place.hour).is_some();
        let state = self.origins.state.lock();
        let is_given = state.account.as_ref().is_some_and(|account| !account.is_own(place));
        is_given || !is_here
    }

    /// Bytes that came from other nodes, of what is named nowhere.
    pub fn fetched_bytes(&self) -> Result<u64, CrawlError> {
        let (_, known) = self.account()?;
        let streams: Vec<Stream> =
            known.account.streams().filter(|stream| !self.origins.named.has(stream)).cloned().collect();
        let places = streams
            .iter()
            .flat_map(|stream| known.account.hours(stream).map(|hour| HourPlace { stream: stream.clone(), hour }));
        Ok(places.filter_map(|place| known.account.given(&place)).map(|given| given.bytes).sum())
    }

    /// Brings the account into line with the index: hours that are gone leave it, and those that hold more than was given are own. Only
    /// while `is_ready` says that the index has caught up, for one that has not says of every hour that it is gone.
    pub fn settle_origins(&self, is_ready: &dyn Fn() -> bool) -> Result<(), CrawlError> {
        let generation = self.index.catalog().generation();
        let is_stalled = || matches!(self.index.health(), Health::Stalled { .. });
        let is_complete = || is_ready() && !is_stalled() && self.index.catalog().generation() == generation;
        let streams: Vec<Stream> = self.account()?.1.account.streams().cloned().collect();
        for stream in streams {
            // Before the index is asked: what is fetched from here on is not looked at.
            let hours = self.account()?.1.hours_with_state(&stream);
            let rows: HashMap<Hour, HourTotals> = self.hour_totals(&stream)?.into_iter().collect();
            // It may have begun anew before or while it was asked.
            if !is_complete() {
                return Ok(());
            }
            let (base, mut known) = self.account()?;
            let mut lines = String::new();
            for (hour, is_open, given) in hours {
                let place = HourPlace { stream: stream.clone(), hour };
                let segments = rows.get(&hour).map(segments_of).unwrap_or_default();
                let is_buried = rows.get(&hour).is_some_and(|totals| totals.tombstones > 0);
                let is_as_it_was = !known.state.open.contains_key(&place) && known.account.given(&place) == given;
                if segments == 0 && !is_open && is_as_it_was {
                    let account = &mut known.account;
                    lines.extend(if is_buried { account.forget_files(&place) } else { account.forget(&place) });
                } else if segments > 0 && !known.account.is_fetched(&place, segments) {
                    lines.extend(known.account.make_own(&place));
                }
            }
            known.write(&base, &lines)?;
        }
        Ok(())
    }

    /// Whether anything more of a stream may be taken from a peer.
    pub fn allowance(&self, peer: &str, stream: &Stream, bounds: &StrangersBudget) -> Result<Allowance, CrawlError> {
        if !self.guards().stands(Guard::PeerBudget) || !self.is_strangers(stream)? {
            return Ok(Allowance::Unbounded);
        }
        let FilledByPeer { used, budget } = self.filled(peer, bounds)?;
        let left = budget.saturating_sub(used.bytes);
        let is_new = self.account()?.1.account.used(peer, |known| known == stream).streams == 0;
        let full = if left < BLOCK {
            Some(format!("its budget for channels that nobody here records or names, {budget} bytes, is full"))
        } else if is_new && used.streams >= bounds.streams {
            let streams = used.streams;
            Some(format!(
                "{streams} of its channels and qualities are here that nobody here records or names, and no more may be"
            ))
        } else {
            None
        };
        Ok(full.map_or(Allowance::Bytes(left), Allowance::Full))
    }

    /// How much a peer has filled with strangers' channels.
    pub fn filled(&self, peer: &str, bounds: &StrangersBudget) -> Result<FilledByPeer, CrawlError> {
        let streams: Vec<Stream> = self.account()?.1.account.streams().cloned().collect();
        let mut strangers = std::collections::HashSet::new();
        for stream in streams {
            if self.is_strangers(&stream)? {
                strangers.insert(stream);
            }
        }
        let (base, known) = self.account()?;
        let used = known.account.used(peer, |stream| strangers.contains(stream));
        let budget = match bounds.budget {
            Some(budget) => budget,
            None => self.disk(base.free_space())?.1 / 10,
        };
        Ok(FilledByPeer { used, budget })
    }

    /// Whether nobody here records or names this stream.
    fn is_strangers(&self, stream: &Stream) -> Result<bool, CrawlError> {
        if self.origins.named.has(stream) {
            return Ok(false);
        }
        if let Some((at, strangers)) = self.origins.state.lock().strangers.get(stream)
            && (!strangers || at.elapsed() < BELIEVED)
        {
            return Ok(*strangers);
        }
        let rows = self.hour_totals(stream)?;
        let (_, mut known) = self.account()?;
        let is_own = |(hour, totals): &(Hour, HourTotals)| {
            let place = HourPlace { stream: stream.clone(), hour: *hour };
            let segments = segments_of(totals);
            segments > 0 && !known.account.is_fetched(&place, segments) && !known.state.open.contains_key(&place)
        };
        let strangers = !rows.iter().any(is_own);
        // Names are what peers say.
        if known.state.strangers.len() >= MOST_KNOWN {
            known.state.strangers.clear();
        }
        known.state.strangers.insert(stream.clone(), (Instant::now(), strangers));
        Ok(strangers)
    }

    fn hour_totals(&self, stream: &Stream) -> Result<Vec<(Hour, HourTotals)>, CrawlError> {
        let rows = self.index.hour_rows(&stream.to_string(), Hour::MIN, Hour::MAX)?;
        Ok(rows.into_iter().map(|(hour, row)| (hour, row.totals)).collect())
    }

    /// Files of an hour are about to come from a peer; `is_empty` says that no segment was in it.
    pub fn fill(
        self: &Arc<Self>,
        peer: &str,
        place: &HourPlace,
        is_empty: bool,
        allowance: &Allowance,
    ) -> Result<FetchInProgress, CrawlError> {
        let (base, mut known) = self.account()?;
        let is_open = known.state.open.contains_key(place);
        let mut lines = String::new();
        if is_empty && !is_open {
            // Earlier gifts are not here any more, except tombstones.
            lines.extend(known.account.forget_files(place));
        } else if !is_empty && !is_open && known.account.given(place).is_none() {
            // What lies there was there before any peer gave something.
            lines.extend(known.account.make_own(place));
        }
        let before = known.account.given_by(place, peer);
        lines += &known.account.give(place, peer, before);
        known.write(&base, &lines)?;
        *known.state.open.entry(place.clone()).or_default() += 1;
        drop(known);
        Ok(FetchInProgress {
            keeper: Arc::clone(self),
            place: place.clone(),
            peer: peer.into(),
            allowance: if let Allowance::Bytes(left) = allowance { *left } else { u64::MAX },
            taken: AtomicU64::new(0),
        })
    }

    /// The account, read if it was not or if the disk is another one.
    pub(super) fn account(&self) -> Result<(Arc<Base>, BorrowedAccount<'_>), CrawlError> {
        let base = self.base()?;
        let returns = self.guard.returns();
        let mut state = self.origins.state.lock();
        if state.returns != returns {
            (state.account, state.returns) = (None, returns);
            state.strangers.clear();
        }
        let account = if let Some(account) = state.account.take() {
            account
        } else {
            let mut account = self.disk(load(&base))?;
            // Where the account is lost, lists of single files still say how long this node had lived.
            account.lived().at_least(self.disk(super::gifts::newest_day(&base))?.saturating_mul(super::gifts::DAY_S));
            let wrong = self.disk(what_is_wrong(&account, &base, self.records()))?;
            if wrong.is_some() || self.disk(is_there(&base))? {
                self.records().note(FILE, wrong.as_deref());
                self.records().is_there(&base, FILE);
            }
            state.wrong = wrong;
            account
        };
        Ok((base, BorrowedAccount { state, account, records: self.records() }))
    }
}

impl FetchInProgress {
    /// Reserves room for one file of so many bytes; false if there is not enough.
    pub fn take(&self, bytes: u64) -> bool {
        let more = |taken: u64| taken.checked_add(on_disk(1, bytes)).filter(|taken| *taken <= self.allowance);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub fn room(&self) -> u64 {
        self.allowance.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    pub fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(on_disk(1, bytes), Ordering::Relaxed);
    }

    /// These are whole and right, and about to appear: it is written down that the peer gave them. Blocks.
    pub fn book(&self, given: &GiftedHour) -> Result<(), CrawlError> {
        self.write(given, |before| before + *given)
    }

    /// They did not appear after all. Blocks.
    pub fn take_back(&self, given: &GiftedHour) -> Result<(), CrawlError> {
        self.write(given, |before| before - *given)
    }

    fn write(&self, given: &GiftedHour, now: impl FnOnce(GiftedHour) -> GiftedHour) -> Result<(), CrawlError> {
        if *given == GiftedHour::default() {
            return Ok(());
        }
        let (base, mut known) = self.keeper.account()?;
        // Others may be filling the hour in the name of the same peer.
        let all = now(known.account.given_by(&self.place, &self.peer));
        let line = known.account.give(&self.place, &self.peer, all);
        known.write(&base, &line)
    }
}

impl Drop for FetchInProgress {
    fn drop(&mut self) {
        let mut state = self.keeper.origins.state.lock();
        if let Some(open) = state.open.get_mut(&self.place) {
            *open -= 1;
            if *open == 0 {
                state.open.remove(&self.place);
            }
        }
    }
}

/// The account while it is held; it goes back where it was.
pub(super) struct BorrowedAccount<'k> {
    state: MutexGuard<'k, GiftState>,
    pub(super) account: GiftAccount,
    records: &'k Records,
}

impl BorrowedAccount<'_> {
    /// The hours of a stream in the account, whether something is being fetched into each, and what was given of it.
    fn hours_with_state(&self, stream: &Stream) -> Vec<(Hour, bool, Option<GiftedHour>)> {
        let state = |hour| {
            let place = HourPlace { stream: stream.clone(), hour };
            (hour, self.state.open.contains_key(&place), self.account.given(&place))
        };
        self.account.hours(stream).map(state).collect()
    }

    /// Adds these lines to the file, which is written anew when most of it has been overtaken.
    pub(super) fn write(&mut self, base: &Base, lines: &str) -> Result<(), CrawlError> {
        // Without a marker there is nowhere to keep it.
        let Some(own) = own_dir(base)?.filter(|_| !lines.is_empty()) else { return Ok(()) };
        let is_there = is_there(base)?;
        // Until a person has looked at it, it says after each start that something is wrong with it.
        if self.is_doubtful() {
            return if is_there { Ok(append_soon(&own, OsStr::new(FILE), lines.as_bytes())?) } else { Ok(()) };
        }
        if is_there && !self.account.wants_rewriting() {
            return Ok(append_soon(&own, OsStr::new(FILE), lines.as_bytes())?);
        }
        self.write_anew(base)
    }

    fn write_anew(&mut self, base: &Base) -> Result<(), CrawlError> {
        let Some(own) = own_dir(base)? else { return Ok(()) };
        atomic::replace(&own, OsStr::new(FILE), self.account.text().as_bytes())?;
        self.account.rewritten();
        self.records.is_there(base, FILE);
        Ok(())
    }

    /// Whether something is wrong with it and the operator has not confirmed.
    fn is_doubtful(&self) -> bool {
        self.state.wrong.is_some()
    }
}

/// Lines that are left out, or a file that has vanished, make what others gave one's own, for which what is one's own would go.
fn what_is_wrong(account: &GiftAccount, base: &Base, records: &Records) -> Result<Option<String>, DiskError> {
    if account.damaged_lines > 0 {
        return Ok(Some(format!("{} of its lines do not add up", account.damaged_lines)));
    }
    Ok(is_lost(account, base, records)?.then(|| "it is not there, although there has been one".to_owned()))
}

/// Whether it is not there and has been. Lists of single files are written beside it and never without it.
fn is_lost(account: &GiftAccount, base: &Base, records: &Records) -> Result<bool, DiskError> {
    let is_empty = account.streams().next().is_none() && !is_there(base)?;
    Ok(is_empty && (records.was_there(base, FILE)? || super::gifts::are_there(base)?))
}

fn is_there(base: &Base) -> Result<bool, DiskError> {
    let Some(own) = own_dir(base)? else { return Ok(false) };
    Ok(own.stat_file(OsStr::new(FILE))?.is_some_and(|meta| meta.size > 0))
}

impl Drop for BorrowedAccount<'_> {
    fn drop(&mut self) {
        self.state.account = Some(std::mem::take(&mut self.account));
    }
}

pub(super) fn own_dir(base: &Base) -> Result<Option<Dir>, DiskError> {
    base.dir(Path::new(marker::OWN_DIR))
}

/// Segments and chat batches of an hour, hidden ones included.
fn segments_of(totals: &HourTotals) -> u64 {
    totals.video.iter().chain([&totals.chat, &totals.hidden]).map(|tally| u64::from(tally.files)).sum()
}

fn load(base: &Base) -> Result<GiftAccount, DiskError> {
    let own = own_dir(base)?;
    let read = own.as_ref().map(|own| own.read_small(OsStr::new(FILE), MOST_BYTES)).transpose()?;
    let bytes = match read {
        Some(SmallFile::Content(bytes)) => bytes,
        None | Some(SmallFile::Absent) => Vec::new(),
        Some(SmallFile::Larger) => {
            let cause = std::io::Error::other(format!(
                "the account of what other nodes gave has more than {MOST_BYTES} bytes; move it away, and their hours count as this archive's own"
            ));
            return Err(DiskError::Io { action: "read", path: base.path().join(marker::OWN_DIR).join(FILE), cause });
        }
    };
    let account = GiftAccount::parse(&bytes);
    if account.damaged_lines > 0 {
        let lines = account.damaged.join("; ");
        tracing::error!(name: "fetched_damaged", lines = account.damaged_lines, first = lines, "lines of the account of what other nodes gave are damaged: their hours count as this archive's own; the file is kept as fetched.damaged");
        if let Some(own) = own {
            atomic::replace(&own, OsStr::new(DAMAGED), &bytes)?;
        }
    }
    Ok(account)
}
