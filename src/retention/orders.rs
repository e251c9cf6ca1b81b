//! Runs that were ordered: each order has a number, and a run obeys all that were given before it began. Nothing is run here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Orders that wait, and how many were obeyed.
#[derive(Debug)]
pub(super) struct Orders {
    given: Mutex<Given>,
    obeyed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Given {
    /// Orders there have been.
    count: u64,
    /// Whether what looks like a mistake is to be done as well, if any of them waits.
    waiting: Option<bool>,
}

/// An order that was given.
#[derive(Debug)]
pub struct Order {
    number: u64,
    obeyed: watch::Receiver<u64>,
}

/// Orders that a run obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Whether what looks like a mistake is to be done as well.
    pub(super) confirmed: bool,
    up_to: u64,
}

impl Orders {
    /// No order yet.
    pub(super) fn new() -> Self {
        Self { given: Mutex::default(), obeyed: watch::Sender::new(0) }
    }

    /// Orders a run that begins after now.
    pub(super) fn give(&self, confirmed: bool) -> Order {
        let mut given = self.lock();
        given.count += 1;
        given.waiting = Some(confirmed || given.waiting.unwrap_or(false));
        Order { number: given.count, obeyed: self.obeyed.subscribe() }
    }

    /// What a run that begins now obeys.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut given = self.lock();
        given.waiting.take().map(|confirmed| Taken { confirmed, up_to: given.count })
    }

    /// The run is done.
    pub(super) fn done(&self, taken: Taken) {
        self.obeyed.send_replace(taken.up_to);
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    /// Waits until a run that began after the order was given is done; false if there will be none, because the node ends.
    pub async fn obeyed(&mut self) -> bool {
        let number = self.number;
        self.obeyed.wait_for(|done| *done >= number).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_run_obeys_only_the_orders_given_before_it_began() {
        let orders = Orders::new();
        assert_eq!(orders.take(), None);
        let (mut first, mut with_it) = (orders.give(true), orders.give(false));
        let run = orders.take().unwrap();
        assert!(run.confirmed, "a word that was given counts");
        let mut late = orders.give(false);
        assert_eq!(first.obeyed().now_or_never(), None);
        orders.done(run);
        assert_eq!((first.obeyed().now_or_never(), with_it.obeyed().now_or_never()), (Some(true), Some(true)));
        assert_eq!(late.obeyed().now_or_never(), None);
        let next = orders.take().unwrap();
        assert!(!next.confirmed, "and counts once");
        orders.done(next);
        assert_eq!(late.obeyed().now_or_never(), Some(true));
        assert_eq!(orders.take(), None);
    }
}
