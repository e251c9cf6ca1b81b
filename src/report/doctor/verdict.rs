//! From numbers to findings, without looking at anything. Every bound stands here with its reason.

use std::time::Duration;

use super::CheckResult;
use crate::archive::quantity::{count, size};
use crate::archive::{Horizon, Hour, Stream};

/// Below this a node can hardly listen, watch and keep its index open at once.
const FEWEST_DESCRIPTORS: u64 = 256;
/// Two minutes, the least age of what is fetched by default, must not be eaten up by clocks; half of it is said earlier.
const CLOCK_FAILS: Duration = Duration::from_secs(60);
const CLOCK_WARNS: Duration = Duration::from_secs(5);
/// The index grows by commits, and needs room for some at any time.
const LEAST_STATE_BYTES: u64 = 64 << 20;
/// Files of segments: an hour of one quality has about two thousand.
const FEW_INODES: u64 = 10_000;
/// The first kernel whose `openat2` keeps a path beneath a directory.
const KERNEL: (u32, u32) = (5, 6);

/// How many files may be open, against connections, which take half of them.
pub fn descriptors(hard: u64, connections: u64) -> CheckResult {
    let check = "descriptors";
    let value = format!("{hard} files may be open");
    let needed = connections.saturating_mul(2);
    let raise = format!("raise the hard limit to {needed}: LimitNOFILE= in the unit, or ulimit -Hn");
    if hard < FEWEST_DESCRIPTORS {
        CheckResult::fail(check, value, raise)
    } else if hard < needed {
        let advice = format!("at most {} connections at once are served instead of {connections}; {raise}", hard / 2);
        CheckResult::warn(check, value, advice)
    } else {
        CheckResult::ok(check, value)
    }
}

/// Hours that are further ahead of the clock than any that is recorded now.
pub fn future_hours(streams: &[(Stream, Vec<Hour>)], horizon: Horizon) -> Option<CheckResult> {
    let all = || streams.iter().flat_map(|(stream, hours)| hours.iter().map(move |hour| (stream, *hour)));
    let hours = all().filter(|(_, hour)| horizon.is_beyond(*hour)).count() as u64;
    let (stream, last) = all().max_by_key(|(_, hour)| *hour).filter(|_| hours > 0)?;
    let value = format!("{} more than two hours ahead of the clock, up to {stream}/{last}", count(hours, "hour"));
    let advice = "look at the clock of this machine and of the recorder that wrote them; they are kept, and are nowhere taken for the newest";
    Some(CheckResult::warn("hours of the future", value, advice))
}

/// Names of segments that are taken by something else, such as this one.
pub fn occupied(names: u64, first: &str) -> Option<CheckResult> {
    let are = if names == 1 { "is" } else { "are" };
    let value = format!("{} {are} taken by what is no file, such as {first}", count(names, "segment name"));
    let advice = "move it away or remove it: nothing is ever replaced, so that the segment is not fetched";
    (names > 0).then(|| CheckResult::warn("occupied names", value, advice))
}

/// What the kernel allows a user of watches, and what is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inotify {
    /// Watches that one user may hold.
    pub most_watches: u64,
    /// Instances that one user may hold.
    pub most_instances: u64,
    /// Watches that other processes of this user hold, as far as can be seen.
    pub used_watches: u64,
    /// Instances that they hold.
    pub used_instances: u64,
}

/// Watches, against those that the node will place.
pub fn watches(inotify: &Inotify, needed: u64) -> CheckResult {
    let check = "watches";
    let value = format!(
        "{} of {} watches and {} of {} instances are used by other processes of this user; the node takes {needed}",
        inotify.used_watches, inotify.most_watches, inotify.used_instances, inotify.most_instances
    );
    let raise = |what: &str, to: u64| {
        format!("sysctl fs.inotify.{what}={to}; what cannot be watched is compared twice a second instead")
    };
    if inotify.used_instances >= inotify.most_instances {
        return CheckResult::fail(check, value, raise("max_user_instances", inotify.most_instances.max(64) * 2));
    }
    if inotify.most_watches.saturating_sub(inotify.used_watches) < needed {
        let enough = (inotify.used_watches + needed).saturating_mul(2);
        return CheckResult::fail(check, value, raise("max_user_watches", enough));
    }
    CheckResult::ok(check, value)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKeeper {
    Synchronised,
    NotSynchronised,
    Unknown,
}

/// The clock, by who keeps it and what other nodes' clocks say: by how much ours is ahead (negative: behind), in seconds.
pub fn clock(keeper: ClockKeeper, others: &[i64]) -> CheckResult {
    let check = "clock";
    let mut sorted = others.to_vec();
    sorted.sort_unstable();
    // Most of them are right, if there are several.
    let off = sorted.get(sorted.len() / 2).copied();
    let advice = "run an NTP service such as systemd-timesyncd or chrony: ages of segments depend on the clock";
    let said = match off {
        Some(0) => "as other nodes' clocks".to_owned(),
        Some(seconds) if seconds > 0 => format!("{seconds} s ahead of other nodes' clocks"),
        Some(seconds) => format!("{} s behind other nodes' clocks", seconds.unsigned_abs()),
        None => "no other node's clock to compare with".to_owned(),
    };
    let off = off.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
    let by = match keeper {
        ClockKeeper::Synchronised => "synchronised",
        ClockKeeper::NotSynchronised => "not synchronised",
        ClockKeeper::Unknown => "no time service is known to keep it",
    };
    let value = format!("{by}; {said}");
    match (off, keeper) {
        (Some(off), _) if off >= CLOCK_FAILS => CheckResult::fail(check, value, advice),
        (Some(off), _) if off >= CLOCK_WARNS => CheckResult::warn(check, value, advice),
        (Some(_), _) | (None, ClockKeeper::Synchronised) => CheckResult::ok(check, value),
        (None, ClockKeeper::NotSynchronised | ClockKeeper::Unknown) => CheckResult::warn(check, value, advice),
    }
}

/// Room on the archive's disk.
pub fn base_space(free: u64, total: u64, keep_free: u64) -> CheckResult {
    let check = "archive space";
    let value = format!("{} free of {}; keep_free is {}", size(free), size(total), size(keep_free));
    if free < keep_free {
        CheckResult::fail(
            check,
            value,
            "nothing is fetched any more: free some space, or let [retention] min_free do it",
        )
    } else if free < keep_free.saturating_mul(2) {
        CheckResult::warn(
            check,
            value,
            "soon nothing is fetched any more: free some space, or let [retention] min_free do it",
        )
    } else {
        CheckResult::ok(check, value)
    }
}

/// Room for files, whatever their size; file systems that have no such bound say 0 of 0.
pub fn inodes(free: u64, total: u64) -> Option<CheckResult> {
    (total > 0 && free < FEW_INODES).then(|| {
        let value = format!("room for {free} more files of {total}");
        CheckResult::warn(
            "archive files",
            value,
            "the disk takes no more files long before it is full; delete some, or make it anew with more inodes",
        )
    })
}

/// Room where the index lies. A rebuild makes a second one beside it.
pub fn state_space(free: u64, index: u64) -> CheckResult {
    let check = "index space";
    let value = format!("{} free, the index takes {}", size(free), size(index));
    if free < LEAST_STATE_BYTES {
        CheckResult::fail(check, value, "the index can hardly grow: free some space, or choose another --state-dir")
    } else if free < index.saturating_add(LEAST_STATE_BYTES) {
        CheckResult::warn(
            check,
            value,
            "`gapless rebuild` has no room for a second index beside it: free some space, or choose another --state-dir",
        )
    } else {
        CheckResult::ok(check, value)
    }
}

pub fn kernel(release: &str) -> CheckResult {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next(), numbers.next());
    let value = format!("Linux {release}");
    match found {
        (Some(major), Some(minor)) if (major, minor) < KERNEL => {
            let advice = format!("Linux {}.{} or later is needed, for openat2", KERNEL.0, KERNEL.1);
            CheckResult::fail("kernel", value, advice)
        }
        _ => CheckResult::ok("kernel", value),
    }
}

/// The file system of the archive, by its magic number.
pub fn file_system(magic: u64, read_only: bool) -> CheckResult {
    let check = "file system";
    let (name, why) = match magic {
        0xEF53 => ("ext4", None),
        0x5846_5342 => ("XFS", None),
        0x9123_683E => ("Btrfs", None),
        0x2FC1_2FC1 => ("ZFS", None),
        0xF2F5_2010 => ("F2FS", None),
        0x6969 => ("NFS", Some(REMOTE)),
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => ("SMB", Some(REMOTE)),
        0x0102_1997 => ("9P", Some(REMOTE)),
        0x00C3_6400 => ("Ceph", Some(REMOTE)),
        0x6573_5546 => (
            "FUSE",
            Some(
                "whether it tells of changes and keeps what was flushed depends on what is behind it; a file system of the kernel is safer",
            ),
        ),
        0x0102_1994 => ("tmpfs", Some("it lies in memory, and all of it is lost when the machine ends")),
        0x794C_7630 => {
            ("overlay", Some("it is a container's own layer, which goes with the container: mount a disk there"))
        }
        0x4D44 | 0x2011_BAB0 => ("FAT", Some("it knows no owners, no links and coarse times; use ext4 or XFS")),
        _ => ("", None),
    };
    let name = if name.is_empty() { format!("of kind {magic:#x}") } else { name.to_owned() };
    if read_only {
        let advice =
            "nothing can be fetched; give the index another place with --state-dir, or mount the disk for writing";
        return CheckResult::warn(check, format!("{name}, mounted read-only"), advice);
    }
    match why {
        Some(why) => CheckResult::warn(check, name, why),
        None => CheckResult::ok(check, name),
    }
}

const REMOTE: &str = "changes that other machines make there are not told and are found by the crawl alone, and a hanging server hangs the node: \
                      run it on the machine that has the disk";

/// Indexes that were set aside because they were damaged: how many, and their bytes.
pub fn set_aside(files: u64, bytes: u64) -> Option<CheckResult> {
    (files > 0).then(|| {
        let value = format!("{} set aside ({})", count(files, "damaged index file"), size(bytes));
        CheckResult::warn(
            "damaged indexes",
            value,
            "look for a failing disk or memory (dmesg); then delete index.redb.damaged-*",
        )
    })
}

/// Damaged files that were taken out of the archive.
pub fn quarantine(bytes: u64) -> Option<CheckResult> {
    (bytes > 0).then(|| {
        let value = format!("{} of damaged files are kept", size(bytes));
        CheckResult::warn(
            "quarantine",
            value,
            "read the reports beside them in .gapless/quarantine, and look for a failing disk (dmesg, smartctl)",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::CheckLevel;
    use super::*;

    #[test]
    fn descriptors_are_judged_by_the_connections_that_they_are_for() {
        assert_eq!(descriptors(20_000, 10_000).level, CheckLevel::Ok);
        assert_eq!(descriptors(19_999, 10_000).level, CheckLevel::Warn);
        assert!(descriptors(1024, 10_000).advice.unwrap().starts_with("at most 512 connections"));
        assert_eq!(descriptors(255, 100).level, CheckLevel::Fail);
    }

    #[test]
    fn watches_of_others_count() {
        let inotify = Inotify { most_watches: 8192, most_instances: 128, used_watches: 8000, used_instances: 3 };
        assert_eq!(watches(&inotify, 192).level, CheckLevel::Ok);
        assert_eq!(watches(&inotify, 193).level, CheckLevel::Fail);
        assert!(watches(&inotify, 193).advice.unwrap().contains("max_user_watches=16386"));
        let none = Inotify { used_instances: 128, ..inotify };
        assert!(watches(&none, 1).advice.unwrap().contains("max_user_instances=256"));
    }

    #[test]
    fn a_clock_is_judged_by_what_most_others_say_and_else_by_its_keeper() {
        use ClockKeeper::{NotSynchronised, Synchronised, Unknown};
        assert_eq!(clock(Synchronised, &[]).level, CheckLevel::Ok);
        assert_eq!(clock(Unknown, &[]).level, CheckLevel::Warn);
        assert_eq!(clock(NotSynchronised, &[]).level, CheckLevel::Warn);
        assert_eq!(clock(Unknown, &[0]).level, CheckLevel::Ok);
        assert_eq!(clock(Synchronised, &[-7]).level, CheckLevel::Warn);
        assert_eq!(clock(Synchronised, &[-7]).value, "synchronised; 7 s behind other nodes' clocks");
        assert_eq!(clock(Synchronised, &[3600, 0, 1]).level, CheckLevel::Ok, "one of three is wrong, and it is not us");
        assert_eq!(clock(Synchronised, &[3600, 3601]).level, CheckLevel::Fail);
        assert_eq!(clock(Synchronised, &[i64::MIN]).level, CheckLevel::Fail);
    }

    #[test]
    fn room_is_judged_by_what_is_to_stay_free() {
        let gib = 1 << 30;
        assert_eq!(base_space(2 * gib, 10 * gib, gib).level, CheckLevel::Ok);
        assert_eq!(base_space(2 * gib - 1, 10 * gib, gib).level, CheckLevel::Warn);
        assert_eq!(base_space(gib - 1, 10 * gib, gib).level, CheckLevel::Fail);
        assert_eq!(base_space(0, 0, u64::MAX).level, CheckLevel::Fail);
        assert_eq!(state_space(gib, gib).level, CheckLevel::Warn);
        assert_eq!(state_space(gib + LEAST_STATE_BYTES, gib).level, CheckLevel::Ok);
        assert_eq!(state_space(1000, 0).level, CheckLevel::Fail);
        assert_eq!((inodes(0, 0), quarantine(0), set_aside(0, 0)), (None, None, None));
        assert_eq!(quarantine(1).map(|finding| finding.level), Some(CheckLevel::Warn));
        assert_eq!(inodes(9_999, 1_000_000).map(|finding| finding.level), Some(CheckLevel::Warn));
    }

    #[test]
    fn kernels_and_file_systems() {
        assert_eq!(kernel("6.1.0-18-amd64").level, CheckLevel::Ok);
        assert_eq!(kernel("5.6").level, CheckLevel::Ok);
        assert_eq!(kernel("5.4.0").level, CheckLevel::Fail);
        assert_eq!(kernel("a kernel of one's own").level, CheckLevel::Ok);
        assert_eq!(file_system(0xEF53, false), CheckResult::ok("file system", "ext4"));
        assert_eq!(file_system(0xEF53, true).level, CheckLevel::Warn);
        assert_eq!(file_system(0x6969, false).level, CheckLevel::Warn);
        assert_eq!(file_system(0x1234, false), CheckResult::ok("file system", "of kind 0x1234"));
    }
}
