//! What goes to the service manager again and again: signs of life, and the line of state.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Notify;

/// From one look at the state to the next; the line is sent only where it has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How often patience is asked for, and how much: a little more than twice that.
const ASK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);
/// Whoever has not started after a day has hung.
const MOST_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What is told again and again.
pub struct Beat {
    /// Who is told.
    pub notify: Arc<Notify>,
    /// Whether everything runs that the node cannot do without. Must not wait for anything.
    pub alive: Box<dyn Fn() -> bool + Send + Sync>,
    /// How it is, on one line; asked every second. May wait for the disk.
    pub line: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Beat {
    /// Tells until it is dropped. The two halves do not wait for each other: a disk that hangs is no reason to be ended.
    pub async fn run(self) {
        let Self { notify, alive, line } = self;
        tokio::join!(live(&notify, &alive), tell(&notify, line));
    }
}

async fn live(notify: &Notify, alive: &(dyn Fn() -> bool + Send + Sync)) {
    let Some(within) = notify.signs().filter(|_| notify.is_heard()) else { return };
    loop {
        if alive() {
            notify.alive();
        }
        // Half of it, as is recommended, so that one that is late does no harm.
        tokio::time::sleep(within / 2).await;
    }
}

async fn tell(notify: &Notify, line: Arc<dyn Fn() -> String + Send + Sync>) {
    if !notify.is_heard() {
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
