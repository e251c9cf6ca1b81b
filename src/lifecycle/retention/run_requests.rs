//! Requests for a run of retention: each has a number, and a run answers all that were made before it began. Nothing is run here.

use parking_lot::Mutex;

use tokio::sync::watch;

/// Requests that wait, and how many were answered.
#[derive(Debug)]
pub(super) struct RunRequests {
    asked: Mutex<Asked>,
    answered: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Requests there have been.
    count: u64,
    /// Whether what looks like a mistake is to be done as well, if any of them waits.
    waiting: Option<bool>,
}

/// A request for a run.
#[derive(Debug)]
pub struct RunRequest {
    number: u64,
    answered: watch::Receiver<u64>,
}

/// Requests that a run answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TakenRequests {
    /// Whether what looks like a mistake is to be done as well.
    pub(super) confirmed: bool,
    up_to: u64,
}

impl RunRequests {
    /// No request yet.
    pub(super) fn new() -> Self {
        Self { asked: Mutex::default(), answered: watch::Sender::new(0) }
    }

    /// Asks for a run that begins after now.
    pub(super) fn ask(&self, confirmed: bool) -> RunRequest {
        let mut asked = self.asked.lock();
        asked.count += 1;
        asked.waiting = Some(confirmed || asked.waiting.unwrap_or(false));
        RunRequest { number: asked.count, answered: self.answered.subscribe() }
    }

    /// What a run that begins now answers.
    pub(super) fn take(&self) -> Option<TakenRequests> {
        let mut asked = self.asked.lock();
        asked.waiting.take().map(|confirmed| TakenRequests { confirmed, up_to: asked.count })
    }

    /// The run is done.
    pub(super) fn done(&self, taken: TakenRequests) {
        self.answered.send_replace(taken.up_to);
    }
}

impl RunRequest {
    /// Waits until a run that began after the request was made is done; false if there will be none, because the node ends.
    pub async fn answered(&mut self) -> bool {
        let number = self.number;
        self.answered.wait_for(|done| *done >= number).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_run_answers_only_the_requests_made_before_it_began() {
        let requests = RunRequests::new();
        assert_eq!(requests.take(), None);
        let (mut first, mut with_it) = (requests.ask(true), requests.ask(false));
        let run = requests.take().unwrap();
        assert!(run.confirmed, "a word that was given counts");
        let mut late = requests.ask(false);
        assert_eq!(first.answered().now_or_never(), None);
        requests.done(run);
        assert_eq!((first.answered().now_or_never(), with_it.answered().now_or_never()), (Some(true), Some(true)));
        assert_eq!(late.answered().now_or_never(), None);
        let next = requests.take().unwrap();
        assert!(!next.confirmed, "and counts once");
        requests.done(next);
        assert_eq!(late.answered().now_or_never(), Some(true));
        assert_eq!(requests.take(), None);
    }
}
