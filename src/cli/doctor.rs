//! The verb `doctor`: looks at what surrounds a node and says what to do. Judges nothing itself but what the daemon says; see `doctor`.

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::api::{Api, ApiError};
use super::args::TrustArgs;
use super::config::Config;
use super::daemon_search::{DaemonSearch, daemon_of};
use super::exit::Exit;
use super::out::stdout;
use crate::archive::Timestamp;
use crate::archive::escape::words;
use crate::archive::quantity::count;
use crate::disk::{DirLock, DiskError};
use crate::replicate::peer::Peer;
use crate::report::doctor::archive::{self, CheckedPlace};
use crate::report::doctor::peers::PeerAccess;
use crate::report::doctor::{self, CheckLevel, CheckResult, bucket, machine, verdict, worst};
use crate::wire::{ArchiveReport, Status};

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let (daemon, silence) = match daemon_of(config).await {
        DaemonSearch::Found(daemon) => (Some(daemon), None),
        DaemonSearch::Nothing { why, is_certain } => (None, (!is_certain).then_some(why)),
    };
    let mut found = vec![configured(config, daemon.is_some())];
    let status = match &daemon {
        Some(daemon) => Some(daemon.get("api/v1/status").json::<Status>().await),
        None => None,
    };
    found.extend(running(config, daemon.as_ref(), status.as_ref(), silence));
    let status = status.and_then(Result::ok);
    found.extend(status.iter().flat_map(doctor::problems));
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let keep_free = status.as_ref().and_then(|status| status.disk.keep_free_bytes);
    let place = CheckedPlace {
        base_dir: config.base_dir.clone(),
        state_dir: config.state_dir.clone(),
        keep_free: keep_free.unwrap_or(config.backfill.keep_free),
        thresholds: super::options::thresholds(config),
        watched_hours: config.watch.hours_per_quality as u64,
        now: Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
        writes: true,
        runs: daemon.is_some(),
    };
    let examined = tokio::task::spawn_blocking(move || archive::examine(&place)).await.context("the work crashed")?;
    found.extend(examined.findings);
    found.extend(bucket(config, daemon.as_ref()).await?);
    let pid = daemon.as_ref().and_then(|daemon| daemon.pid);
    found.push(verdict::descriptors(machine::descriptor_limit(pid), config.http.max_connections as u64));
    found.extend(watches(config, status.as_ref(), pid, examined.watches));
    let (peers, clocks) = peers(config, status.as_ref(), examined.id).await;
    found.push(verdict::clock(machine::clock_keeper(), &clocks));
    found.extend(peers);
    print(config, &found)?;
    Ok(if worst(&found) == CheckLevel::Fail { Exit::DataWrong.into() } else { Exit::Done.into() })
}

/// What cannot be read ends the program before it comes here.
fn configured(config: &Config, runs: bool) -> CheckResult {
    let value = match &config.file {
        Some(file) => format!("{}, flags and environment", file.display()),
        None if runs => "flags and environment; what the daemon was given is asked of the daemon".to_owned(),
        None => "flags and environment; there is no file".to_owned(),
    };
    CheckResult::ok("configuration", value)
}

fn running(
    config: &Config,
    daemon: Option<&Api>,
    status: Option<&Result<Status, ApiError>>,
    silence: Option<String>,
) -> Vec<CheckResult> {
    let Some(daemon) = daemon else {
        let unsure = silence.map(|why| CheckResult::warn("daemon", why, "ask that one, to know what it knows"));
        let mut found = vec![unsure.unwrap_or_else(|| silent(config))];
        found.extend(user(machine::own_user(), None));
        found.push(free(config));
        return found;
    };
    let mut found = vec![match status {
        Some(Ok(status)) => state(status),
        Some(Err(error)) => CheckResult::fail("daemon", error.to_string(), "look at its log"),
        None => CheckResult::ok("daemon", "it answers"),
    }];
    found.extend(user(machine::own_user(), daemon.pid.and_then(machine::user_of)));
    found.push(CheckResult::ok("address", format!("{}, held by the daemon", daemon.address())));
    found
}

fn silent(config: &Config) -> CheckResult {
    match DirLock::acquire(&config.base_dir, Duration::ZERO) {
        Err(DiskError::InUse { .. }) => {
            let value = "a process has the archive open and does not answer";
            CheckResult::fail("daemon", value, "look which it is (fuser, lsof), and at its log; end it if it hangs")
        }
        _ => CheckResult::ok("daemon", "none runs on this archive"),
    }
}

fn state(status: &Status) -> CheckResult {
    let value = format!("{} {}, {}", status.name, status.version, if status.ready { "ready" } else { "catching up" });
    if !status.troubles.is_empty() {
        let value = format!("{value}; it reports {}", count(status.troubles.len() as u64, "problem"));
        let advice = "see the checks below and `gapless status`; its log says when it began";
        return CheckResult::fail("daemon", value, advice);
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        return CheckResult::warn(
            "daemon",
            value,
            format!("this is {}: start the daemon anew", env!("CARGO_PKG_VERSION")),
        );
    }
    CheckResult::ok("daemon", value)
}

/// What one user may another may not: the right one has to look.
fn user(own: u32, daemons: Option<u32>) -> Option<CheckResult> {
    match daemons {
        Some(other) if other != own => {
            let value = format!("the daemon runs as user {other}, and this as {own}");
            Some(CheckResult::warn(
                "user",
                value,
                format!(
                    "rights are looked at as another user: run this as `setpriv --reuid={other} --clear-groups gapless doctor`, or with sudo -u"
                ),
            ))
        }
        None if own == 0 => {
            let advice = "if the node runs as another user, look as that one; root may read and write everything";
            Some(CheckResult::warn("user", "this runs as root", advice))
        }
        _ => None,
    }
}

fn free(config: &Config) -> CheckResult {
    let address = config.node.listen;
    match TcpListener::bind(address) {
        Ok(_) => CheckResult::ok("address", format!("{address} is free")),
        Err(error) => {
            let advice = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "choose another with --listen, or stop the process that has it (ss -ltnp)"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need CAP_NET_BIND_SERVICE; choose another with --listen"
                }
                _ => "choose an address of this machine with --listen, or 0.0.0.0 for all",
            };
            CheckResult::fail("address", format!("{address}: {error}"), advice)
        }
    }
}

fn watches(config: &Config, status: Option<&Status>, pid: Option<u32>, needed: u64) -> Option<CheckResult> {
    if let Some(watch) = status.map(|status| &status.watch) {
        let value = format!("{} held, {} directories compared twice a second instead", watch.watches, watch.unwatched);
        return Some(if watch.unwatched == 0 {
            CheckResult::ok("watches", value)
        } else {
            CheckResult::fail("watches", value, "raise sysctl fs.inotify.max_user_watches, or [watch] max_watches")
        });
    }
    let most = config.watch.max_watches as u64;
    if needed > most {
        let value = format!("{needed} directories are to be watched, and [watch] max_watches is {most}");
        return Some(CheckResult::warn(
            "watches",
            value,
            "raise it; the crawl finds changes in the others, more slowly",
        ));
    }
    let user = pid.and_then(machine::user_of).unwrap_or_else(machine::own_user);
    machine::inotify(user, pid).map(|inotify| verdict::watches(&inotify, needed))
}

/// Those that the daemon follows, as it reports them; where none runs those that are configured, which are asked. Those that are given
/// beside a daemon that does not follow them are asked as well.
async fn peers(
    config: &Config,
    status: Option<&Status>,
    own: Option<crate::disk::ArchiveId>,
) -> (Vec<CheckResult>, Vec<i64>) {
    let wrong = |error: anyhow::Error| {
        (vec![CheckResult::fail("peers", format!("{error:#}"), "correct the settings of [backfill]")], Vec::new())
    };
    let followed = status.map_or(&[][..], |status| &status.peers);
    let (mut checks, mut clocks) = doctor::peers_of(followed);
    let mut unfollowed: Vec<Peer> = match status {
        Some(_) => {
            let given = config.backfill.peers.iter().map(|text| super::peer_access::peer(text));
            match given.collect::<Result<_, _>>() {
                Ok(peers) => peers,
                Err(error) => return wrong(error.into()),
            }
        }
        None => match super::peer_access::peers_now(config).await {
            Ok(peers) => peers.borrow().clone(),
            Err(error) => return wrong(error),
        },
    };
    unfollowed.retain(|peer| followed.iter().all(|other| other.url != peer.url.to_string()));
    if !unfollowed.is_empty() {
        let (more, said) = match asker(config, own) {
            Ok(asker) => asker.examine(&unfollowed).await,
            Err(error) => wrong(error),
        };
        checks.extend(more);
        clocks.extend(said);
    }
    if checks.is_empty() {
        checks.push(CheckResult::ok("peers", "none; nothing is fetched"));
    }
    (checks, clocks)
}

/// The bucket that the settings name, asked from here, and what the daemon says of its own.
async fn bucket(config: &Config, daemon: Option<&Api>) -> anyhow::Result<Vec<CheckResult>> {
    let report = match daemon {
        Some(daemon) => daemon.get("api/v1/archive").json::<ArchiveReport>().await.ok(),
        None => None,
    };
    let mut found = Vec::new();
    let named = match super::options::bucket(config) {
        Ok(named) => named,
        Err(error) => {
            found.push(CheckResult::fail("bucket", format!("{error:#}"), "correct the settings of [archive]"));
            None
        }
    };
    match &named {
        Some(named) => found.extend(bucket::examine(named, report.as_ref()).await),
        None if config.archive.seal && config.archive.bucket.is_none() => found.push(bucket::none()),
        None => {}
    }
    let (base_dir, ages) = (config.base_dir.clone(), super::options::retention(config).limits);
    let waiting =
        tokio::task::spawn_blocking(move || bucket::waiting(&base_dir, (named.as_ref(), &ages), report.as_ref()));
    found.extend(waiting.await.context("the work crashed")?);
    Ok(found)
}

fn asker(config: &Config, own: Option<crate::disk::ArchiveId>) -> anyhow::Result<PeerAccess> {
    let token = config.backfill.token_file.as_deref().map(super::peer_access::token).transpose()?;
    Ok(PeerAccess::new(super::peer_access::trusted(config)?.as_ref(), token.as_ref(), own)?)
}

fn print(config: &Config, found: &[CheckResult]) -> anyhow::Result<()> {
    let mut out = stdout();
    if config.json {
        out.json(&serde_json::json!({ "worst": worst(found), "checks": found }))?;
    } else {
        let in_colour = out.is_in_colour();
        for finding in found {
            out.painted(&line(finding, in_colour))?;
        }
    }
    Ok(())
}

fn line(finding: &CheckResult, in_colour: bool) -> String {
    let (colour, plain) = match finding.level {
        _ if !in_colour => ("", ""),
        CheckLevel::Ok => ("\x1b[32m", "\x1b[0m"),
        CheckLevel::Warn => ("\x1b[33m", "\x1b[0m"),
        CheckLevel::Fail => ("\x1b[31m", "\x1b[0m"),
    };
    let advice = finding.advice.as_ref().map_or_else(String::new, |advice| format!("  → {}", words(advice)));
    format!("{colour}{:<4}{plain}  {:<16}  {}{advice}", finding.level, words(&finding.check), words(&finding.value))
}

#[derive(Debug, Clone, Default, clap::Args)]
pub struct DoctorArgs {
    /// Another node to ask, besides those that the running daemon knows; may be given several times
    #[arg(long, value_name = "[NAME=]URL", env = "GAPLESS_PEERS", value_delimiter = ',')]
    pub peer: Vec<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = "Where the node is to listen [env: GAPLESS_LISTEN] [default: 127.0.0.1:8000]"
    )]
    pub listen: Option<String>,
}

impl DoctorArgs {
    pub(super) fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("listen", self.listen.clone()),
            ("backfill.token_file", self.trust.token_file.clone()),
            ("backfill.peers", Some(self.peer.join(",")).filter(|peers| !peers.is_empty())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_found_and_what_to_do() {
        let fail = CheckResult::fail("clock", "1 h\nahead", "set it");
        assert_eq!(line(&fail, false), "fail  clock             1 h\\nahead  → set it");
        assert_eq!(
            line(&CheckResult::ok("kernel", "Linux 6.1"), true),
            "\x1b[32mok  \x1b[0m  kernel            Linux 6.1"
        );
    }

    #[test]
    fn another_user_than_the_daemons_is_told() {
        assert!(user(1000, Some(998)).is_some_and(|finding| finding.value.contains("998")));
        assert_eq!(user(998, Some(998)), None);
        assert!(user(0, None).is_some());
        assert_eq!(user(0, Some(0)), None);
        assert_eq!(user(1000, None), None);
    }
}
