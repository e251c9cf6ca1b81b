//! Which files peers gave recently, on the disk: `BASE/.gapless/given/DAY/HOUR`, a list for each hour and each day that this node has
//! lived. What follows from it is worked out by [`crate::archive::gifts`].
//!
//! 1. A line for each answer of a peer is written before its files appear. It is not flushed: a power cut may take the lines of the
//!    last seconds away, by which those files count as the archive's own; a process that is killed takes nothing away.
//! 2. The lists of a day go as a whole when the next but three has begun. None of them is held in memory, and they are as large as
//!    what came: a dozen bytes for each file.
//! 3. Days are those of the account of what peers gave (`origins`). If that is lost, the lists themselves say how far they had come.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};

use super::origins::own_dir;
use super::{CrawlError, Keeper};
use crate::archive::HourPlace;
use crate::archive::burst::WINDOW;
use crate::archive::gifts::{Gifts, line};
use crate::disk::{Base, Dir, DiskError, SmallFile, append_soon, marker};

/// Its directory beside the marker.
const DIR: &str = "given";
/// Seconds of a day.
pub(super) const DAY_S: u64 = 24 * 3_600;
/// The largest list that is read: a million files.
const MOST_BYTES: u64 = 16 << 20;
/// Hours of a day at most, as far as they are taken away at once.
const MOST_HOURS: usize = 1 << 20;
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
    today.saturating_sub(WINDOW.as_secs() / DAY_S)
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
