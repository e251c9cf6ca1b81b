//! Facts about the machine: limits, watches, who keeps the clock, and other processes of this program with where they listen (the file that
//! names the address of a daemon goes with its archive when a disk is unmounted). Reads `/proc` and `/run`, and asks nobody.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::machine;
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

pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Processes of this program, and addresses, that are reported.
const MOST: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaplessProcess {
    pub pid: u32,
    pub user: u32,
    /// Where it listens, or where its user does if its own sockets cannot be seen from here.
    pub listens: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listening {
    address: SocketAddr,
    user: u32,
    inode: u64,
}

/// Those that run, this one left out.
pub fn running() -> Vec<GaplessProcess> {
    let own = fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let sockets: Vec<Listening> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|file| listening(&fs::read_to_string(file).unwrap_or_default()))
        .collect();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten().take(MOST_PROCESSES);
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_ours = |pid: &u32| {
        *pid != std::process::id() && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == own)
    };
    let found = pids.filter(is_ours).filter_map(|pid| {
        let user = machine::user_of(pid)?;
        let held = inodes(pid);
        let holds = |socket: &&Listening| match &held {
            Some(held) => held.contains(&socket.inode),
            None => socket.user == user,
        };
        let listens = sockets.iter().filter(holds).map(|socket| socket.address).take(MOST).collect();
        Some(GaplessProcess { pid, user, listens })
    });
    found.take(MOST).collect()
}

/// The sockets of a process; `None` if they are not for us to see.
fn inodes(pid: u32) -> Option<HashSet<u64>> {
    let inode = |target: std::path::PathBuf| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    Some(descriptors.filter_map(|entry| inode(fs::read_link(entry.path()).ok()?)).collect())
}

/// Sockets that listen, by the lines of `/proc/net/tcp` or `tcp6`.
fn listening(text: &str) -> Vec<Listening> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state) = (fields.get(1)?, fields.get(3)?);
        if *state != "0A" {
            return None;
        }
        let (ip, port) = local.split_once(':')?;
        let address = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
        Some(Listening { address, user: fields.get(7)?.parse().ok()?, inode: fields.get(9)?.parse().ok()? })
    };
    text.lines().filter_map(read).collect()
}

/// The kernel prints words of four bytes as the machine has them.
fn address(text: &str) -> Option<IpAddr> {
    let words = text.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

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

    #[test]
    fn the_kernels_table_of_sockets_is_understood() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = listening(&fs::read_to_string("/proc/net/tcp").unwrap());
        let socket = found.iter().find(|socket| socket.address == address).unwrap();
        assert_eq!(socket.user, machine::own_user());
        assert!(inodes(std::process::id()).unwrap().contains(&socket.inode));
        assert_eq!(super::address("nonsense"), None);
    }

    #[test]
    fn addresses_of_both_kinds_are_read() {
        if cfg!(target_endian = "little") {
            assert_eq!(address("0100007F"), Some(Ipv4Addr::LOCALHOST.into()));
            assert_eq!(address("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        }
        let connected =
            "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 77 1";
        assert_eq!(listening(connected), []);
    }
}
