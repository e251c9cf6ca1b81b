//! Reads, writes and changes the layout of this node.
//!
//! 1. [`LayoutStore::stage`] keeps a change beside the layout and touches nothing else; the planner must have a plan for it.
//! 2. [`LayoutStore::apply`] writes the first version of the plan, if the layout is still the one that the plan was made from. Before, it
//!    notes with the changes which version they become, so that those that a crash leaves behind are known to be done.
//! 3. [`LayoutStore::take`] and [`LayoutStore::take_offered`] put the layout of another node in its place.
//!
//! The file is read again when it has become another one. It is never deleted here, and one that cannot be read, or is gone, is replaced on
//! a person's word alone. Changes that are done are known by the layout that they became, so they go before another one takes its place.
//! All of it blocks.

use std::ops::Not as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::current_layout::{CurrentLayout, LayoutState};
use super::layout_error::LayoutStoreError;
use super::layout_file::SeenFile;
use super::peer_layouts::{HeardLayout, LayoutStanding, PeerLayouts};
use crate::archive::placement::{
    LARGEST_STAGED, Layout, LayoutChange, LayoutId, MOST_STAGED, PLAN_DIGITS, PlaceName, PlanError, StagedChanges,
    check_leap, check_parent, plan,
};
use crate::disk::{Base, BaseGuard, LayoutFiles};
use crate::replicate::sources::Trust;

/// The settings of the layout.
#[derive(Debug, Clone)]
pub struct LayoutOptions {
    /// What this node is called.
    pub name: String,
    /// Whose layouts are taken.
    pub from: Trust,
}

/// What would become of the layout.
#[derive(Debug, Clone)]
pub struct PlannedLayout {
    /// What it is now.
    pub before: Layout,
    /// What is staged.
    pub changes: Vec<LayoutChange>,
    /// The versions that lead to it, one after another; none if there is nothing to do.
    pub versions: Vec<Layout>,
}

/// See the module. Share it by `Arc`.
#[derive(Debug)]
pub struct LayoutStore {
    guard: Arc<BaseGuard>,
    from: Trust,
    current: CurrentLayout,
    state: watch::Sender<LayoutState>,
    /// Held while a file is written.
    seen: Mutex<SeenFile>,
    peers: PeerLayouts,
}

impl LayoutStore {
    /// Reads what is there.
    pub fn new(guard: Arc<BaseGuard>, options: LayoutOptions) -> Self {
        let state = watch::Sender::new(LayoutState::Unusable("it was not read yet".into()));
        let current = CurrentLayout::new(PlaceName::new(&options.name), state.subscribe());
        let store =
            Self { guard, from: options.from, current, state, seen: Mutex::default(), peers: PeerLayouts::default() };
        store.look();
        store
    }

    /// For whoever acts on it.
    pub fn current(&self) -> &CurrentLayout {
        &self.current
    }

    /// Whether this peer may give its layout.
    pub fn may_give(&self, peer: &str) -> bool {
        self.from.has(peer)
    }

    /// What was heard of this peer.
    pub fn heard(&self, peer: &str) -> Option<HeardLayout> {
        self.peers.get(peer, &self.current.now(), self.may_give(peer))
    }

    /// Forgets a peer that is in no list any more.
    pub fn leave(&self, peer: &str) {
        self.peers.leave(peer);
    }

    /// What holds now: read again if the file has become another one.
    pub fn look(&self) -> LayoutState {
        let mut seen = self.seen.lock();
        // While the disk is away nothing is decided anyway, and what was known comes back with it.
        if let Ok(base) = self.guard.base() {
            self.look_at(&base, &mut seen);
        }
        drop(seen);
        self.current.now()
    }

    /// A new one is logged, but not the first one that a process finds.
    fn look_at(&self, base: &Base, seen: &mut SeenFile) {
        let is_first = !seen.was_read();
        let found = seen.look(LayoutFiles::of(base), self.current.now());
        self.publish(found, is_first);
    }

    fn publish(&self, found: LayoutState, is_first: bool) {
        let before = self.current.now();
        if found.is(&before) {
            return;
        }
        match &found {
            LayoutState::Unusable(why) => {
                tracing::error!(name: "layout_unusable", %why, "nothing is decided by the layout until it can be read");
            }
            // The one that was there when the process began is told by whoever asks.
            LayoutState::Known(known) if !is_first => {
                let (version, hash) = (known.id.version, known.id.hash.hexadecimal());
                tracing::info!(name: "layout_read", version, hash, "this version of the layout holds from now on");
            }
            LayoutState::Known(_) | LayoutState::None => {}
        }
        self.state.send_replace(found);
    }

    /// The layout to plan from; what holds without one, if there is none.
    fn before(&self) -> Result<Layout, LayoutStoreError> {
        match self.current.now() {
            LayoutState::None => Ok(Layout::none()),
            LayoutState::Known(known) => Ok(known.layout.clone()),
            LayoutState::Unusable(why) => Err(LayoutStoreError::Unusable(why.to_string())),
        }
    }

    /// The changes that wait. Those that became the layout before they could be forgotten do not.
    pub fn staged(&self) -> Result<Vec<LayoutChange>, LayoutStoreError> {
        let base = self.guard.base()?;
        let _one = self.seen.lock();
        self.read_staged(&base).map(|staged| staged.changes)
    }

    fn read_staged(&self, base: &Base) -> Result<StagedChanges, LayoutStoreError> {
        let Some(bytes) = LayoutFiles::of(base).staged(LARGEST_STAGED)? else { return Ok(StagedChanges::default()) };
        let staged = StagedChanges::read(&bytes)?;
        Ok(if self.are_done(&staged) { StagedChanges::default() } else { staged })
    }

    /// Whether these changes are in the layout that is here: it is what they became, or was made of that.
    fn are_done(&self, staged: &StagedChanges) -> bool {
        let (Some(becomes), LayoutState::Known(known)) = (staged.becomes, self.current.now()) else { return false };
        known.id.hash == becomes || known.layout.parent() == Some(becomes)
    }

    /// Removes changes that are done: what they became is about to give way to another version, by which nobody could tell any more.
    fn forget_done(&self, base: &Base) -> Result<(), LayoutStoreError> {
        let files = LayoutFiles::of(base);
        let Some(bytes) = files.staged(LARGEST_STAGED)? else { return Ok(()) };
        // Those that cannot be read are applied by nobody.
        if StagedChanges::read(&bytes).is_ok_and(|staged| self.are_done(&staged)) {
            files.remove_staged()?;
        }
        Ok(())
    }

    /// The plan with what is staged and these changes besides.
    pub fn plan(&self, more: &[LayoutChange]) -> Result<PlannedLayout, LayoutStoreError> {
        let base = self.guard.base()?;
        let mut seen = self.seen.lock();
        self.look_at(&base, &mut seen);
        let (before, staged) = (self.before()?, self.read_staged(&base)?);
        // Nobody waits for a large plan.
        drop(seen);
        planned(before, staged.changes, more)
    }

    fn planned(&self, base: &Base, more: &[LayoutChange]) -> Result<PlannedLayout, LayoutStoreError> {
        planned(self.before()?, self.read_staged(base)?.changes, more)
    }

    /// Keeps changes beside the layout until they are applied.
    pub fn stage(&self, changes: &[LayoutChange]) -> Result<PlannedLayout, LayoutStoreError> {
        let base = self.guard.base()?;
        let mut seen = self.seen.lock();
        self.look_at(&base, &mut seen);
        let planned = self.planned(&base, changes)?;
        if planned.changes.len() > MOST_STAGED {
            return Err(LayoutStoreError::TooManyStaged);
        }
        let staged = StagedChanges { changes: planned.changes.clone(), becomes: None };
        LayoutFiles::of(&base).write_staged(&staged.to_bytes())?;
        Ok(planned)
    }

    /// Forgets what is staged, also if it cannot be read; false if nothing was.
    pub fn discard(&self) -> Result<bool, LayoutStoreError> {
        let base = self.guard.base()?;
        let _one = self.seen.lock();
        Ok(LayoutFiles::of(&base).remove_staged()?)
    }

    /// Whether an operator has said that nothing leaves for its owners; so it is where that is not known.
    pub fn is_paused(&self) -> bool {
        self.guard.base().is_ok_and(|base| LayoutFiles::of(&base).is_paused().is_ok_and(|is_paused| !is_paused)).not()
    }

    /// Says so, or that it may leave again; false if that was said before.
    pub fn set_paused(&self, is_paused: bool) -> Result<bool, LayoutStoreError> {
        let base = self.guard.base()?;
        let _one = self.seen.lock();
        Ok(LayoutFiles::of(&base).set_paused(is_paused)?)
    }

    /// Makes the first version of the plan the layout. The plan must have been made from this version.
    pub fn apply(&self, from: u64, plan: Option<&str>) -> Result<PlannedLayout, LayoutStoreError> {
        let base = self.guard.base()?;
        let mut seen = self.seen.lock();
        self.look_at(&base, &mut seen);
        let now = self.before()?.version();
        if now != from {
            return Err(LayoutStoreError::OtherVersion { asked: from, now });
        }
        let planned = self.planned(&base, &[])?;
        let next = planned.versions.first().ok_or(LayoutStoreError::Plan(PlanError::NothingToDo(from)))?;
        let hash = next.hash().hexadecimal();
        if let Some(other) = plan.filter(|plan| !hash.starts_with(*plan)) {
            let waits = hash.get(..PLAN_DIGITS).unwrap_or(&hash).to_owned();
            return Err(LayoutStoreError::OtherPlan { asked: other.to_owned(), now: waits });
        }
        let files = LayoutFiles::of(&base);
        self.forget_done(&base)?;
        if !planned.changes.is_empty() {
            let staged = StagedChanges { changes: planned.changes.clone(), becomes: Some(next.hash()) };
            files.write_staged(&staged.to_bytes())?;
        }
        files.write_layout(&next.to_bytes())?;
        self.look_at(&base, &mut seen);
        // They are done, whether or not they can be forgotten now.
        if !planned.changes.is_empty()
            && let Err(error) = files.remove_staged()
        {
            tracing::warn!(name: "staged_changes_left", %error, "changes of the layout that were applied could not be removed; they count as done");
        }
        Ok(planned)
    }

    /// Puts the file of a layout in the place of what is here, on a person's word: where two were applied apart from one another, or the
    /// one here cannot be read. One that is behind is refused, and so is one that is further ahead than anybody can be.
    pub fn take(&self, file: &[u8]) -> Result<LayoutId, LayoutStoreError> {
        let taken = Layout::read(file)?;
        let base = self.guard.base()?;
        let mut seen = self.seen.lock();
        self.look_at(&base, &mut seen);
        if let Some(now) = self.current.now().id().filter(|now| now.version > taken.version()) {
            return Err(LayoutStoreError::Behind { given: taken.version(), now: now.version });
        }
        check_leap(self.current.now().id(), taken.version()).map_err(LayoutStoreError::Leap)?;
        self.forget_done(&base)?;
        LayoutFiles::of(&base).write_layout(file)?;
        self.look_at(&base, &mut seen);
        Ok(taken.id())
    }

    /// Notes what a peer says that it has; the one to be fetched, if it should be taken.
    pub fn hear(&self, peer: &str, offered: Option<LayoutId>) -> Option<LayoutId> {
        let (now, may_give) = (self.current.now(), self.may_give(peer));
        let known = self.peers.get(peer, &now, may_give).filter(|known| known.offered == offered);
        // What was refused, and would be again, is not fetched each time.
        let refused = known.map(|known| known.standing).filter(|standing| matches!(standing, LayoutStanding::Fork(_)));
        let standing = refused.unwrap_or_else(|| LayoutStanding::of(&now, offered, may_give));
        let is_wanted = standing == LayoutStanding::Newer;
        self.peers.note(peer, offered, standing, now.id());
        offered.filter(|_| is_wanted)
    }

    /// Takes the layout that a peer has offered, and whose file this is. Whatever comes of it is noted with the peer.
    pub fn take_offered(&self, peer: &str, offered: LayoutId, file: &[u8]) -> Result<(), LayoutStoreError> {
        let base = self.guard.base()?;
        let mut seen = self.seen.lock();
        self.look_at(&base, &mut seen);
        let now = self.current.now();
        let standing = match Layout::read(file) {
            Ok(taken) if taken.id() != offered => {
                LayoutStanding::Failed("it sent another layout than it offered".into())
            }
            Err(error) => LayoutStanding::Failed(error.to_string()),
            // Another peer may have given it, or a newer one, meanwhile.
            Ok(taken) => match LayoutStanding::of(&now, Some(offered), self.may_give(peer)) {
                LayoutStanding::Newer => {
                    if let Err(fork) = check_parent(now.id(), &taken) {
                        LayoutStanding::Fork(fork)
                    } else {
                        self.forget_done(&base)?;
                        LayoutFiles::of(&base).write_layout(file)?;
                        let (version, hash) = (offered.version, offered.hash.hexadecimal());
                        tracing::info!(name: "layout_taken", peer, version, hash, "the layout of a peer holds from now on");
                        self.look_at(&base, &mut seen);
                        LayoutStanding::Same
                    }
                }
                other => other,
            },
        };
        self.peers.note(peer, Some(offered), standing, self.current.now().id());
        Ok(())
    }

    /// Notes that what a peer has offered could not be fetched.
    pub fn not_fetched(&self, peer: &str, offered: LayoutId, why: String) {
        self.peers.note(peer, Some(offered), LayoutStanding::Failed(why), self.current.now().id());
    }
}

/// The plan with what is staged and these changes besides.
fn planned(
    before: Layout,
    mut changes: Vec<LayoutChange>,
    more: &[LayoutChange],
) -> Result<PlannedLayout, LayoutStoreError> {
    changes.extend_from_slice(more);
    match plan(&before, &changes) {
        Ok(versions) => Ok(PlannedLayout { before, changes, versions }),
        // All is as it should be.
        Err(PlanError::NothingToDo(_)) if more.is_empty() => {
            Ok(PlannedLayout { before, changes, versions: Vec::new() })
        }
        Err(error) if more.is_empty() => Err(LayoutStoreError::Plan(error)),
        Err(error) => Err(LayoutStoreError::NotStaged(error)),
    }
}
