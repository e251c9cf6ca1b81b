//! What a question about the archive is answered from: what lies on this node, or what all nodes have together.
//!
//! Without a layout both are the same. Under one everybody is answered for all nodes, unless the question says `local=true`, as nodes do when
//! they ask each other.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use parking_lot::Mutex;

use super::Problem;
use super::app::{App, ServedNode};
use super::request::Parameters;
use crate::play::playback::Playback;
use crate::sync::crawl::Keeper;

/// Index, disk and playback of what is answered from.
pub struct ReadView {
    pub(super) keeper: Arc<Keeper>,
    pub(super) playback: Arc<Playback>,
}

impl ReadView {
    /// What tells what is kept for this view from what is kept for the other one, in front of its name.
    pub(super) fn kept_as(&self, name: &str) -> String {
        if self.keeper.is_whole() { format!("whole:{name}") } else { name.to_owned() }
    }
}

/// Both of them.
pub(super) struct Views {
    local: Arc<ReadView>,
    /// Made when it is first asked for, and anew when what it is made of is another one.
    whole: Mutex<Option<Arc<ReadView>>>,
}

impl Views {
    pub(super) fn new(node: &ServedNode) -> Self {
        let local = ReadView { keeper: Arc::clone(&node.keeper), playback: Arc::clone(&node.playback) };
        Self { local: Arc::new(local), whole: Mutex::default() }
    }

    pub(super) fn now(&self, node: &ServedNode, local: bool) -> Arc<ReadView> {
        let whole = node.whole.as_ref().filter(|_| !local).and_then(|whole| whole.keeper());
        let Some(keeper) = whole else {
            return Arc::clone(&self.local);
        };
        let mut kept = self.whole.lock();
        if let Some(view) = kept.as_ref().filter(|view| Arc::ptr_eq(&view.keeper, &keeper)) {
            return Arc::clone(view);
        }
        let playback = Arc::new(node.playback.over(Arc::clone(&keeper)));
        let view = Arc::new(ReadView { keeper, playback });
        *kept = Some(Arc::clone(&view));
        view
    }
}

/// The view that a request means.
pub(super) struct AskedView(pub(super) Arc<ReadView>);

impl FromRequestParts<Arc<App>> for AskedView {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let local = Parameters::new(request.uri.query().unwrap_or_default(), 0).flag("local")?;
        if !local && let Some(why) = app.is_opening() {
            return Err(Problem::unavailable(1, why));
        }
        Ok(Self(app.view(local)))
    }
}
