//! Which files peers gave of late, and who gave each: what somebody gave is no yardstick for what may be hidden.
//!
//! On the disk: `BASE/.gapless/given/DAY/HOUR`, a list for each hour and each day that this node has lived.
//!
//! 1. A line for each answer of a peer is written before its files appear. It is not flushed: a power cut may take the lines of the
//!    last seconds away, by which those files count as the archive's own; a process that is killed takes nothing away.
//! 2. The lists of a day go as a whole when the next but three has begun. None of them is held in memory, and they are as large as
//!    what came: a dozen bytes for each file.
//! 3. Days are those of the account of what peers gave (`origins`). If that is lost, the lists themselves say how far they had come.
//! 4. Names count, by the first 64 bits of their SHA-256: nobody makes a file that passes for another. A name in a list need not have
//!    come; what is in no list is the archive's own.
//! 5. Each line has a check. Where one does not add up nobody knows what it said: [`Gifts::is_damaged`], and nothing is to be concluded.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};

use super::origins::own_dir;
use super::{CrawlError, Keeper};
use crate::archive::HourPlace;
use crate::archive::origins::{checked, decoded, encoded, unchecked};
use crate::disk::{Base, Dir, DiskError, SmallFile, append_soon, marker};

/// How long it is remembered, and so how long hits of tombstones on what peers gave are added up.
pub const GIFT_WINDOW: Duration = Duration::from_secs(3 * 24 * 3600);
/// Its directory beside the marker.
const DIR: &str = "given";
/// Seconds of a day.
pub(super) const DAY_S: u64 = 24 * 3_600;
/// The largest list that is read: a million files.
const MOST_BYTES: u64 = 16 << 20;
/// Hours of a day at most, as far as they are taken away at once.
const MOST_HOURS: usize = 1 << 20;
const GAVE: &str = "gave";
/// Bytes of a name's hash that are kept.
const HASH_BYTES: usize = 8;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub struct RecentGifts {
    days: Vec<Dir>,
}

impl RecentGifts {
    pub fn of(&self, place: &HourPlace) -> Result<Gifts, CrawlError> {
        let mut gifts = Gifts::default();
        for day in &self.days {
            match day.read_small(OsStr::new(&list_of(place)), MOST_BYTES)? {
                SmallFile::Content(bytes) => gifts.read(&bytes),
                SmallFile::Absent => {}
                SmallFile::Larger => gifts.damage(),
            }
        }
        Ok(gifts)
    }
}

impl Keeper {
    /// These files of an hour are about to appear, and a peer gives them.
    pub fn note_gifts<'n>(
        &self,
        place: &HourPlace,
        peer: &str,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), CrawlError> {
        let mut names = names.into_iter().peekable();
        let base = self.base()?;
        // Without a marker there is nowhere to keep it.
        let Some(own) = self.disk(own_dir(&base))?.filter(|_| names.peek().is_some()) else { return Ok(()) };
        let day = self.day_lived()?;
        let above = self.disk(own.make_dir(OsStr::new(DIR)))?;
        let name = day.to_string();
        // Old lists that stay take room and no more: that is no reason to fetch nothing.
        if self.disk(above.dir(OsStr::new(&name)))?.is_none()
            && let Err(error) = self.disk(take_old_away(&above, day))
        {
            tracing::warn!(name: "gifts_not_tidied", %error, "old lists of what other nodes gave cannot be deleted; they stay");
        }
        let dir = self.disk(above.make_dir(OsStr::new(&name)))?;
        self.disk(append_soon(&dir, OsStr::new(&list_of(place)), line(peer, names).as_bytes()))
    }

    /// The lists of what peers gave within the time over which hits of tombstones are added up.
    pub fn recent_gifts(&self) -> Result<RecentGifts, CrawlError> {
        let base = self.base()?;
        let Some(above) = self.disk(above(&base))? else { return Ok(RecentGifts { days: Vec::new() }) };
        let first = first_day(self.day_lived()?);
        let mut days = Vec::new();
        for (day, name) in self.disk(days_of(&above))? {
            days.extend(if day >= first { self.disk(above.dir(OsStr::new(&name)))? } else { None });
        }
        Ok(RecentGifts { days })
    }

    fn day_lived(&self) -> Result<u64, CrawlError> {
        let (base, mut known) = self.account()?;
        if let Some((boot, uptime_s)) = uptime()
            && let Some(lived) = known.account.live(&boot, uptime_s)
        {
            known.write(&base, &lived)?;
        }
        Ok(known.account.lived().seconds() / DAY_S)
    }
}

/// An id of this boot of the machine, and the seconds since it. If the machine does not say, no time passes.
pub fn uptime() -> Option<(Arc<str>, u64)> {
    static BOOT: OnceLock<Option<Arc<str>>> = OnceLock::new();
    let read =
        || std::fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().into()).filter(|id: &Arc<str>| !id.is_empty());
    let boot = BOOT.get_or_init(read).clone()?;
    Some((boot, u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).ok()?))
}

/// The last day of which there is a list; 0 without any.
pub(super) fn newest_day(base: &Base) -> Result<u64, DiskError> {
    let Some(above) = above(base)? else { return Ok(0) };
    Ok(days_of(&above)?.into_iter().map(|(day, _)| day).max().unwrap_or(0))
}

pub(super) fn are_there(base: &Base) -> Result<bool, DiskError> {
    Ok(above(base)?.map(|above| days_of(&above)).transpose()?.is_some_and(|days| !days.is_empty()))
}

fn above(base: &Base) -> Result<Option<Dir>, DiskError> {
    base.dir(&Path::new(marker::OWN_DIR).join(DIR))
}

/// The first day that counts: the day that runs is not over, and of the first one a part is too old.
fn first_day(today: u64) -> u64 {
    today.saturating_sub(GIFT_WINDOW.as_secs() / DAY_S)
}

fn days_of(above: &Dir) -> Result<Vec<(u64, String)>, DiskError> {
    let names = above.subdirectories()?.into_iter().filter_map(|name| name.into_string().ok());
    Ok(names.filter_map(|name| Some((name.parse().ok()?, name))).collect())
}

/// Takes the lists of days away that do not count any more.
fn take_old_away(above: &Dir, today: u64) -> Result<(), DiskError> {
    for (_, name) in days_of(above)?.into_iter().filter(|(day, _)| *day < first_day(today)) {
        let Some(dir) = above.dir(OsStr::new(&name))? else { continue };
        for (list, _) in dir.entries(MOST_HOURS)?.into_iter().filter(|(_, is_file)| *is_file) {
            dir.remove_file(&list)?;
        }
        above.remove_empty_dir(OsStr::new(&name))?;
    }
    Ok(())
}

/// What the list of an hour is called: names of channels may be longer than a name of a file.
fn list_of(place: &HourPlace) -> String {
    let hash: [u8; 32] = Sha256::digest(place.to_string().as_bytes()).into();
    format!("{:032x}", hash.first_chunk().map_or(0, |first| u128::from_be_bytes(*first)))
}

/// Who gave what of an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gifts {
    givers: HashMap<u64, Arc<str>>,
    peers: Vec<Arc<str>>,
    is_damaged: bool,
}

impl Gifts {
    /// Adds what a list says.
    pub fn read(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Some((peer, hashes)) = std::str::from_utf8(line).ok().and_then(read) else {
                self.is_damaged = true;
                continue;
            };
            let known = self.peers.iter().find(|known| ***known == peer).map(Arc::clone);
            let peer = known.unwrap_or_else(|| {
                let new = Arc::<str>::from(peer);
                self.peers.push(Arc::clone(&new));
                new
            });
            self.givers.extend(hashes.into_iter().map(|hash| (hash, Arc::clone(&peer))));
        }
    }

    /// Nothing can be concluded from it.
    pub fn damage(&mut self) {
        self.is_damaged = true;
    }

    /// Whether something that it said is not known.
    pub const fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Who gave the file of this name, if a peer did.
    pub fn giver(&self, name: &str) -> Option<&str> {
        self.givers.get(&hash_of(name)).map(|peer| &**peer)
    }

    /// How many files peers gave; with a peer, how many that one did.
    pub fn count(&self, of: Option<&str>) -> u64 {
        match of {
            Some(peer) => self.givers.values().filter(|giver| &***giver == peer).count() as u64,
            None => self.givers.len() as u64,
        }
    }
}

/// The line that says that a peer gives these.
pub fn line<'n>(peer: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let hashes: Vec<u8> = names.into_iter().flat_map(|name| hash_of(name).to_be_bytes()).collect();
    checked(&format!("{GAVE} {} {}", encoded(peer), URL_SAFE_NO_PAD.encode(hashes)))
}

fn read(line: &str) -> Option<(String, Vec<u64>)> {
    let words: Vec<&str> = unchecked(line)?.split(' ').collect();
    let [GAVE, peer, encoded] = words[..] else { return None };
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    rest.is_empty().then_some(())?;
    Some((decoded(peer)?, hashes.iter().map(|hash| u64::from_be_bytes(*hash)).collect()))
}

fn hash_of(name: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_line_says_is_read_and_a_damaged_one_is_known_to_be() {
        let mut gifts = Gifts::default();
        let text = line("b c", ["one", "two"]) + &line("d", ["two", "three"]);
        gifts.read(text.as_bytes());
        let givers = ["one", "two", "three", "four"].map(|name| gifts.giver(name));
        assert_eq!(givers, [Some("b c"), Some("d"), Some("d"), None]);
        assert_eq!([gifts.count(None), gifts.count(Some("d")), gifts.count(Some("e"))], [3, 2, 0]);
        assert!(!gifts.is_damaged());
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let mut damaged = Gifts::default();
            damaged.read(&bytes);
            assert!(damaged.is_damaged(), "byte {at}");
        }
        let mut torn = Gifts::default();
        torn.read(&text.as_bytes()[..text.len() - 5]);
        assert!(torn.is_damaged());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Gifts::default().read(&bytes);
        }
    }
}
