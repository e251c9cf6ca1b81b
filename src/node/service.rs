//! Reports the state of the node to the service manager, by the protocol of systemd's `sd_notify(3)`. Without one, it reports nothing.
//!
//! 1. While the node starts, the manager is asked for patience: an index may have to be checked or brought to another format.
//! 2. Ready means that it listens: what it answers is right from the first moment. Whether it has caught up is said by
//!    `/readyz`, and in the one line of state that goes with `systemctl status`.
//! 3. A sign of life goes out as often as the manager wants it, as long as what the node cannot do without is running.
//! 4. Reloading and ending are reported when they begin.
//!
//! Not the crate `sd-notify`: it sends on a socket that blocks, so that a manager that does not read would hold up the node, and takes an abstract
//! name for a path.
//!
//! What is vital, what the line says and when to reload is the node's affair. Nothing here reads the environment by itself.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::archive::escape;

/// Looks up an environment variable; given in, so that tests need not change the process.
pub type EnvLookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The service manager, if one started this process and wants reports.
#[derive(Debug)]
pub struct Notify {
    manager: Option<(UnixDatagram, SocketAddr)>,
    signs: Option<Duration>,
}

impl Notify {
    /// Whoever `NOTIFY_SOCKET` names: a path, or a name without a file after `@`. What cannot be used is logged once and then ignored.
    pub fn new(environment: EnvLookup<'_>) -> Self {
        let place = environment("NOTIFY_SOCKET").filter(|place| !place.is_empty());
        let manager = place.and_then(|place| {
            open(&place)
                .inspect_err(|error| {
                    tracing::warn!(name: "service_manager_unknown", place = %place.display(), %error, "NOTIFY_SOCKET cannot be used; no reports to the service manager");
                })
                .ok()
        });
        let signs = if manager.is_some() { signs(environment, std::process::id()) } else { None };
        Self { manager, signs }
    }

    pub fn is_connected(&self) -> bool {
        self.manager.is_some()
    }

    /// How long the manager waits for a sign of life before it ends the process; `None` if it wants none.
    pub fn signs(&self) -> Option<Duration> {
        self.signs
    }

    pub fn ready(&self, line: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(line)));
    }

    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", one_line(line)));
    }

    /// The configuration is being read again; [`Notify::reloaded`] follows when that is done.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    pub fn reloaded(&self) {
        self.send("READY=1");
    }

    pub fn stopping(&self, line: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(line)));
    }

    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// The start, or the end, needs this much longer from now.
    pub fn extend(&self, by: Duration, line: &str) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}\nSTATUS={}", by.as_micros(), one_line(line)));
    }

    /// Never waits: a manager that does not read must not hold the node up.
    fn send(&self, message: &str) {
        let Some((socket, manager)) = &self.manager else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), manager) {
            tracing::debug!(name: "service_manager_not_told", %error, message, "the service manager was not told");
        }
    }
}

/// A line break would begin another message, and `systemctl status` shows the line on a terminal.
fn one_line(text: &str) -> String {
    escape::words(text).into_owned()
}

fn open(place: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(place)?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected an absolute path, or @ and a name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, manager))
}

/// What the manager wants of this process; of its parent, if `WATCHDOG_PID` names another one.
fn signs(environment: EnvLookup<'_>, own: u32) -> Option<Duration> {
    let number = |name| environment(name)?.to_str()?.parse::<u64>().ok();
    if environment("WATCHDOG_PID").is_some() && number("WATCHDOG_PID") != Some(u64::from(own)) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|us| *us > 0).map(Duration::from_micros)
}

/// From one look at the state to the next; the line is sent only where it has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How often patience is asked for, and how much: a little more than twice that.
const ASK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);
/// Whoever has not started after a day has hung.
const MOST_PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub struct Beat {
    pub notify: Arc<Notify>,
    /// Whether everything runs that the node cannot do without. Must not wait for anything.
    pub alive: Box<dyn Fn() -> bool + Send + Sync>,
    /// How it is, on one line; asked every second. May wait for the disk.
    pub line: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Beat {
    /// Reports until it is dropped. The two halves do not wait for each other: a disk that hangs is no reason to be ended.
    pub async fn run(self) {
        let Self { notify, alive, line } = self;
        tokio::join!(live(&notify, &alive), keep_reporting(&notify, line));
    }
}

async fn live(notify: &Notify, alive: &(dyn Fn() -> bool + Send + Sync)) {
    let Some(within) = notify.signs().filter(|_| notify.is_connected()) else { return };
    loop {
        if alive() {
            notify.alive();
        }
        // Half of it, as is recommended, so that one that is late does no harm.
        tokio::time::sleep(within / 2).await;
    }
}

async fn keep_reporting(notify: &Notify, line: Arc<dyn Fn() -> String + Send + Sync>) {
    if !notify.is_connected() {
        return;
    }
    let mut told = String::new();
    loop {
        let ask = Arc::clone(&line);
        // One that panics has said why, and the next one may do better.
        if let Ok(fresh) = tokio::task::spawn_blocking(move || ask()).await
            && fresh != told
        {
            notify.status(&fresh);
            told = fresh;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for a start, and asks the manager for patience until it is over.
pub async fn with_patience<T>(notify: &Notify, line: &str, start: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    tokio::pin!(start);
    loop {
        tokio::select! {
            biased;
            started = &mut start => return started,
            () = tokio::time::sleep(ASK) => {
                if begun.elapsed() < MOST_PATIENCE {
                    notify.extend(PATIENCE, line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manager: &UnixDatagram) -> String {
        let mut room = [0; 4096];
        let length = manager.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..length]).into_owned()
    }

    fn notify(place: &str) -> Notify {
        let place = place.to_owned();
        Notify::new(&move |name| match name {
            "NOTIFY_SOCKET" => Some(place.clone().into()),
            "WATCHDOG_USEC" => Some("30000000".into()),
            _ => None,
        })
    }

    #[test]
    fn messages_reach_a_socket_with_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let node = notify(path.to_str().unwrap());
        node.extend(Duration::from_secs(60), "opening");
        node.ready("two\nlines");
        node.alive();
        node.reloading();
        node.reloaded();
        node.stopping("ending");
        assert_eq!(told(&manager), "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=opening");
        assert_eq!(told(&manager), "READY=1\nSTATUS=two\\nlines");
        assert_eq!(told(&manager), "WATCHDOG=1");
        let reloading = told(&manager);
        let us = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(us.parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(told(&manager), "READY=1");
        assert_eq!(told(&manager), "STOPPING=1\nSTATUS=ending");
        assert_eq!(node.signs(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn messages_reach_a_socket_without_a_file() {
        let name = format!("gapless-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        notify(&format!("@{name}")).status("well");
        assert_eq!(told(&manager), "STATUS=well");
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_nothing_fails() {
        for place in ["", "relative/path", "vsock:2:1234", "/nowhere/at/all"] {
            let node = notify(place);
            assert_eq!(node.is_connected(), place == "/nowhere/at/all", "{place}");
            node.ready("x");
        }
        assert_eq!(Notify::new(&|_| None).signs(), None);
    }

    #[test]
    fn signs_of_life_are_sent_by_the_process_that_is_meant() {
        let wanted = |us: &'static str, pid: Option<&'static str>| {
            signs(
                &move |name| match name {
                    "WATCHDOG_USEC" => Some(us.into()),
                    _ => pid.map(OsString::from),
                },
                42,
            )
        };
        assert_eq!(wanted("1500000", Some("42")), Some(Duration::from_millis(1500)));
        assert_eq!(wanted("1500000", None), Some(Duration::from_millis(1500)));
        assert_eq!(wanted("1500000", Some("41")), None);
        assert_eq!(wanted("0", Some("42")), None);
        assert_eq!(wanted("soon", None), None);
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let node = notify(path.to_str().unwrap());
        (0..10_000).for_each(|_| node.alive());
    }
}

#[cfg(test)]
mod beat_tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn heard(dir: &std::path::Path, watchdog_us: &'static str) -> (UnixDatagram, Arc<Notify>) {
        let path = dir.join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notify = Notify::new(&|name| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into()),
            "WATCHDOG_USEC" => Some(watchdog_us.into()),
            _ => None,
        });
        (manager, Arc::new(notify))
    }

    fn all(manager: &UnixDatagram) -> Vec<String> {
        let mut room = [0; 4096];
        std::iter::from_fn(|| {
            let length = manager.recv(&mut room).ok()?;
            Some(String::from_utf8_lossy(&room[..length]).into_owned())
        })
        .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_end_with_what_is_vital() {
        let dir = tempfile::tempdir().unwrap();
        let (manager, notify) = heard(dir.path(), "20000000");
        let vital = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&vital);
        let alive = move || seen.load(Ordering::SeqCst);
        let beating = live(&notify, &alive);
        tokio::pin!(beating);
        assert!(tokio::time::timeout(Duration::from_secs(35), &mut beating).await.is_err());
        assert_eq!(all(&manager), ["WATCHDOG=1"; 4]);
        vital.store(false, Ordering::SeqCst);
        assert!(tokio::time::timeout(Duration::from_secs(100), &mut beating).await.is_err());
        assert_eq!(all(&manager), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_start_asks_for_patience_and_a_short_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (manager, notify) = heard(dir.path(), "");
        with_patience(&notify, "opening", tokio::time::sleep(Duration::from_secs(5))).await;
        assert_eq!(all(&manager), Vec::<String>::new());
        with_patience(&notify, "opening", tokio::time::sleep(Duration::from_secs(25))).await;
        assert_eq!(all(&manager), ["EXTEND_TIMEOUT_USEC=30000000\nSTATUS=opening"; 2]);
    }
}
