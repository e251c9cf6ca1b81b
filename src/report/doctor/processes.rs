//! Other processes of this program on this machine, and where they listen, by what `/proc` says. For an archive whose directory is gone:
//! the file that names the daemon's address has gone with it.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::machine;

/// Processes that are looked at: more than any machine has that runs a node.
const MOST_PROCESSES: usize = 100_000;
/// Processes of this program, and addresses, that are reported.
const MOST: usize = 16;

/// A process of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaplessProcess {
    /// Its number.
    pub pid: u32,
    /// The user that it runs as.
    pub user: u32,
    /// Where it listens, or where its user does if its own sockets cannot be seen from here.
    pub listens: Vec<SocketAddr>,
}

/// A socket that listens.
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
    use std::net::TcpListener;

    use super::*;

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
