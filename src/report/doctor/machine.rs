//! Facts about the machine: limits, watches, who keeps the clock. Reads `/proc` and `/run`, and asks nobody.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::verdict::{ClockKeeper, Inotify};

/// Processes that are looked at for their watches: more than any machine has that runs a node.
const MOST_PROCESSES: usize = 100_000;

/// How many files a process may have open at most; this one, if none is named. A node raises its own limit as far as that goes.
pub fn descriptor_limit(pid: Option<u32>) -> u64 {
    let of_process = pid.and_then(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        let hard = line.split_whitespace().nth(1)?;
        if hard == "unlimited" { Some(u64::MAX) } else { hard.parse().ok() }
    });
    of_process.unwrap_or_else(|| getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX))
}

/// The user that a process runs as.
pub fn user_of(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid())
}

/// The user that we are.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Watches of `user`, those of the process `except` left out. `None` where the kernel does not tell the limits.
pub fn inotify(user: u32, except: Option<u32>) -> Option<Inotify> {
    let limit = |name: &str| fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok();
    let mut found = Inotify {
        most_watches: limit("max_user_watches")?,
        most_instances: limit("max_user_instances")?,
        ..Inotify::default()
    };
    for entry in fs::read_dir("/proc").ok()?.flatten().take(MOST_PROCESSES) {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| Some(*pid) != except) else { continue };
        if user_of(pid) == Some(user) {
            count(pid, &mut found);
        }
    }
    Some(found)
}

/// A process that ends meanwhile, or is not ours to look at, has none.
fn count(pid: u32, found: &mut Inotify) {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
    for descriptor in descriptors.flatten() {
        let is_inotify = fs::read_link(descriptor.path()).is_ok_and(|target| target == Path::new("anon_inode:inotify"));
        if !is_inotify {
            continue;
        }
        found.used_instances += 1;
        let info = format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().to_string_lossy());
        let text = fs::read_to_string(info).unwrap_or_default();
        found.used_watches += text.lines().filter(|line| line.starts_with("inotify ")).count() as u64;
    }
}

/// Who keeps the clock.
pub fn clock_keeper() -> ClockKeeper {
    let is_there = |path: &str| Path::new(path).exists();
    if is_there("/run/systemd/timesync/synchronized") {
        ClockKeeper::Synchronised
    } else if is_there("/run/systemd/timesync") {
        ClockKeeper::NotSynchronised
    } else if ["/run/chrony/chronyd.pid", "/run/chronyd.pid", "/run/ntpd.pid", "/run/ntpsec/ntpd.pid"]
        .into_iter()
        .any(is_there)
    {
        // They run; whether they are content they tell only over their own sockets.
        ClockKeeper::Synchronised
    } else {
        ClockKeeper::Unknown
    }
}

/// The kernel's release.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_watches_of_a_process_are_found() {
        assert_eq!(descriptor_limit(Some(std::process::id())), descriptor_limit(None));
        let before = inotify(own_user(), None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let watcher = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).unwrap();
        rustix::fs::inotify::add_watch(&watcher, dir.path(), rustix::fs::inotify::WatchFlags::CREATE).unwrap();
        let mut ours = Inotify::default();
        count(std::process::id(), &mut ours);
        // Other tests of this process watch things as well.
        assert!(ours.used_instances >= 1 && ours.used_watches >= 1, "{ours:?}");
        assert!(before.most_watches > 0 && before.most_instances > 0);
    }

    #[test]
    fn the_kernel_has_a_release() {
        assert!(kernel_release().contains('.'));
    }
}
