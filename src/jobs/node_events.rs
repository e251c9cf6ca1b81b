//! What happens in one part of a node and concerns others: whoever causes it does not know who listens.

use tokio::sync::broadcast;

/// Events that one listener may be behind. One that missed some learns that, and has to act as if everything had changed.
const MOST_WAITING: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeEvent {
    /// The scrub moved a damaged file to the quarantine: a sound copy is missing now.
    FileQuarantined,
    /// A file was deleted from the quarantine that had kept its name from being fetched.
    BadNameForgotten,
    /// Retention keeps other hours than before: its journal was read, or the operator said what to keep.
    HourRulesChanged,
}

/// Carries events to whoever listens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NodeEvents(broadcast::Sender<NodeEvent>);

impl Default for NodeEvents {
    fn default() -> Self {
        Self(broadcast::Sender::new(MOST_WAITING))
    }
}

impl NodeEvents {
    /// Never waits. It is no error if nobody listens.
    pub fn send(&self, event: NodeEvent) {
        self.0.send(event).unwrap_or_default();
    }

    pub fn listen(&self) -> broadcast::Receiver<NodeEvent> {
        self.0.subscribe()
    }
}
