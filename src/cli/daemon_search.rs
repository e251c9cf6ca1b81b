//! Finds the daemon of an archive, also where the archive is gone: what names its address lies beneath the base, and is unmounted with it.
//! If none runs, it says what is wrong with the directory that was given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, absolute};
use std::time::Duration;

use super::api::{Api, ApiError};
use super::config::{Config, wrong_with};
use crate::net::tls;
use crate::report::doctor::machine;
use crate::wire::Status;

/// How long each process is asked: they are on this machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses that are asked.
const MOST_ADDRESSES: usize = 16;

pub enum DaemonSearch {
    Found(Api),
    Nothing {
        why: String,
        /// Whether it is certain that none runs.
        is_certain: bool,
    },
}

/// Looks for it by the file that it writes, and among the processes of this machine if the directory of that file is not there.
pub async fn daemon_of(config: &Config) -> DaemonSearch {
    if let Some(daemon) = Api::running(config).await {
        return DaemonSearch::Found(daemon);
    }
    let base = config.base_dir.display();
    let (wrong, has_state) = (wrong_with(&config.base_dir), config.state_dir.is_dir());
    if has_state && wrong.is_none() {
        // It would hold the lock of its state directory, and does not.
        let why = format!("no daemon runs on {base}; start one with `gapless node`");
        return DaemonSearch::Nothing { why, is_certain: true };
    }
    let mut unsure = Vec::new();
    for address in addresses(config) {
        match ask(address, config).await {
            Answer::Ours(daemon) => return DaemonSearch::Found(daemon),
            Answer::Unsure(why) => unsure.push(why),
            Answer::Other => {}
        }
    }
    let is_certain = unsure.is_empty();
    let advice = match (&wrong, is_certain) {
        (Some(_), false) => format!("mount the disk, or correct --base-dir; {}", unsure.join("; ")),
        (None, false) => unsure.join("; "),
        (Some(_), true) => "mount the disk, or correct --base-dir; no daemon that runs here has it open".to_owned(),
        (None, true) => "start one with `gapless node`, or mount the disk if something should be there".to_owned(),
    };
    let what = wrong.unwrap_or_else(|| format!("no daemon runs on {base}, which has no state directory"));
    DaemonSearch::Nothing { why: format!("{what}; {advice}"), is_certain }
}

/// Where it is to listen, and where processes of this program do.
fn addresses(config: &Config) -> Vec<SocketAddr> {
    let running = machine::running().into_iter().flat_map(|process| process.listens);
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in std::iter::once(config.node.listen).chain(running).map(reachable) {
        if address.port() != 0 && !found.contains(&address) && found.len() < MOST_ADDRESSES {
            found.push(address);
        }
    }
    found
}

/// One that listens on all addresses is asked by the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

enum Answer {
    Ours(Api),
    Unsure(String),
    Other,
}

async fn ask(address: SocketAddr, config: &Config) -> Answer {
    let Some(daemon) = tls::trusting_nobody().ok().and_then(|tls| Api::at(&format!("http://{address}"), &tls).ok())
    else {
        return Answer::Other;
    };
    match tokio::time::timeout(PATIENCE, daemon.get("api/v1/status").json::<Status>()).await {
        Ok(Ok(status)) if is_same(Path::new(&status.base_dir), &config.base_dir) => Answer::Ours(daemon),
        Ok(Err(ApiError::Refused { status, .. })) if matches!(status.as_u16(), 401 | 403) => Answer::Unsure(format!(
            "a daemon at {address} may have it open and requires a token: --node http://{address} --token-file FILE asks it"
        )),
        Err(_) => {
            Answer::Unsure(format!("a process at {address} may have it open and does not answer within {PATIENCE:?}"))
        }
        // What answers TLS to plain HTTP closes the connection or sends what cannot be read.
        Ok(Err(ApiError::Unreachable { .. } | ApiError::Unexpected { .. })) if is_listening(address) => {
            Answer::Unsure(format!(
                "a process at {address} may have it open and speaks no plain HTTP: --node https://NAME:{} asks it",
                address.port()
            ))
        }
        _ => Answer::Other,
    }
}

fn is_listening(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, PATIENCE).is_ok()
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || matches!((absolute(one), absolute(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_is_the_same_as_the_absolute_one() {
        assert!(is_same(Path::new("."), &std::env::current_dir().unwrap()));
        assert!(!is_same(Path::new("/a"), Path::new("/b")));
    }

    #[test]
    fn one_that_listens_everywhere_is_asked_by_the_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(
            (at("0.0.0.0:80"), at("[::]:80"), at("192.0.2.7:80")),
            ("127.0.0.1:80".into(), "[::1]:80".into(), "192.0.2.7:80".into())
        );
    }
}
