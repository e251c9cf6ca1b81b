//! Takes the layout of a peer that is ahead, if that peer may give it. What it has comes with its digests, so that nothing more is asked
//! where it has the same, or none.

use std::sync::Arc;

use super::report::RoundError;
use super::shared::PeerJob;
use crate::archive::Hash;
use crate::archive::placement::{LARGEST_LAYOUT, Layout, LayoutId};
use crate::replicate::placement::{LayoutState, LayoutStore};
use crate::wire::LayoutOffer;

/// Heeds what a peer says of its layout. Whatever is wrong with it is noted in the store, and costs the round nothing.
pub(super) async fn heed(job: &mut PeerJob, offer: Option<&LayoutOffer>) -> Result<(), RoundError> {
    let Some(layouts) = job.shared.parts.layouts.clone() else { return Ok(()) };
    let peer = job.peer().clone();
    let read = |said: &LayoutOffer| {
        let hash = Hash::parse_hexadecimal(&said.hash)?;
        (said.version > 0).then_some(LayoutId { version: said.version, hash })
    };
    let offered = offer.and_then(read);
    let (store, name) = (Arc::clone(&layouts), peer.name.clone());
    // What could not be read may have become readable.
    let is_of_concern = offered.is_some() || !matches!(layouts.current().now(), LayoutState::None);
    let hearing = move || {
        if is_of_concern {
            store.look();
        }
        Ok(store.hear(&name, offered))
    };
    let Some(wanted) = job.shared.blocking(hearing).await? else { return Ok(()) };
    let fetched = job.shared.client.layout(&peer, LARGEST_LAYOUT, None).await;
    job.asked();
    let file = match fetched {
        // Without a tag there is always one.
        Ok(file) => file.unwrap_or_default(),
        Err(error) => {
            layouts.not_fetched(&peer.name, wanted, error.to_string());
            return Ok(());
        }
    };
    take(job, layouts, wanted, file).await
}

/// The same without a round, for a node that has no room to fetch anything: the layout that gives it room must come all the same. One
/// request, if the peer may give one and the one here, if there is one, can be read.
pub(super) async fn ask(job: &mut PeerJob) -> Result<(), RoundError> {
    let Some(layouts) = job.shared.parts.layouts.clone() else { return Ok(()) };
    let peer = job.peer().clone();
    if !layouts.may_give(&peer.name) {
        return Ok(());
    }
    let store = Arc::clone(&layouts);
    let own = match job.shared.blocking(move || Ok(store.look())).await? {
        LayoutState::None => None,
        LayoutState::Known(known) => Some(known.id.hash),
        LayoutState::Unusable(_) => return Ok(()),
    };
    let fetched = job.shared.client.layout(&peer, LARGEST_LAYOUT, own).await;
    job.asked();
    // Whatever else is wrong with it, the round has failed already.
    let Ok(Some(file)) = fetched else { return Ok(()) };
    let Ok(offered) = Layout::read(&file).map(|layout| layout.id()) else { return Ok(()) };
    match layouts.hear(&peer.name, Some(offered)) {
        Some(wanted) => take(job, layouts, wanted, file).await,
        None => Ok(()),
    }
}

async fn take(job: &PeerJob, layouts: Arc<LayoutStore>, wanted: LayoutId, file: Vec<u8>) -> Result<(), RoundError> {
    let peer = job.peer().name.clone();
    let taking = move || {
        if let Err(error) = layouts.take_offered(&peer, wanted, &file) {
            layouts.not_fetched(&peer, wanted, error.to_string());
        }
        Ok(())
    };
    job.shared.blocking(taking).await
}
