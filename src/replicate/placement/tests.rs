//! What a node takes of what others offer, and what whoever acts on the layout is told.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::current_layout::{CurrentLayout, Ownership};
use super::*;
use crate::archive::placement::{CopiesWanted, Layout, LayoutChange, LayoutId, PlaceName, StagedChanges, plan};
use crate::archive::{Hash, HourPlace};
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::replicate::sources::Trust;

fn name(text: &str) -> PlaceName {
    PlaceName::new(text).unwrap()
}

fn add(node: &str) -> LayoutChange {
    LayoutChange::Add { name: name(node), zone: name(node), weight: 1 }
}

fn next(before: &Layout, changes: &[LayoutChange]) -> Layout {
    plan(before, changes).unwrap().pop().unwrap()
}

/// Version 1: one copy of each slot, on `a` or on `b`.
fn first() -> Layout {
    let copies = LayoutChange::Copies { channel: None, copies: Some(CopiesWanted::Number(1)) };
    next(&Layout::none(), &[add("a"), add("b"), copies])
}

struct Node {
    tree: tempfile::TempDir,
    store: LayoutStore,
}

impl Node {
    fn called(called: &str) -> Self {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join(".gapless")).unwrap();
        Self::begun(called, tree)
    }

    /// The next process.
    fn again(self, called: &str) -> Self {
        Self::begun(called, self.tree)
    }

    fn begun(called: &str, tree: tempfile::TempDir) -> Self {
        let identity = BaseIdentity::Unmarked { channels: Vec::new() };
        let guard = Arc::new(BaseGuard::new(Base::open(tree.path()).unwrap(), identity));
        let from = Trust::Names(["friend".to_owned(), "other".to_owned()].into());
        let store = LayoutStore::new(guard, LayoutOptions { name: called.to_owned(), from });
        Self { tree, store }
    }

    fn current(&self) -> &CurrentLayout {
        self.store.current()
    }

    fn id(&self) -> Option<LayoutId> {
        self.current().now().id()
    }

    fn own(&self, file: &str) -> PathBuf {
        self.tree.path().join(".gapless").join(file)
    }

    /// What a crash leaves of changes that were being applied to this layout.
    fn crashed(&self, before: &Layout, changes: &[LayoutChange]) {
        let becomes = Some(next(before, changes).hash());
        let staged = StagedChanges { changes: changes.to_vec(), becomes };
        std::fs::write(self.own("layout-staged"), staged.to_bytes()).unwrap();
    }

    fn standing(&self, peer: &str) -> LayoutStanding {
        self.store.heard(peer).unwrap().standing
    }

    /// A round with a peer that has this one; says whether it was fetched.
    fn meets(&self, peer: &str, layout: &Layout) -> bool {
        let Some(wanted) = self.store.hear(peer, Some(layout.id())) else { return false };
        self.store.take_offered(peer, wanted, &layout.to_bytes()).unwrap();
        true
    }
}

#[test]
fn who_acts_on_the_layout_is_told_whether_an_hour_is_this_nodes() {
    let (a, stranger) = (Node::called("a"), Node::called("z"));
    let mut told = a.current().subscribe();
    let hours: Vec<HourPlace> =
        (0..24).map(|hour| HourPlace::parse(&format!("c/source/2020-01-01T{hour:02}")).unwrap()).collect();
    assert_eq!(a.current().ownership(&hours[0]), Ownership::Everything);
    let layout = first();
    assert!(a.meets("friend", &layout) && stranger.meets("friend", &layout));
    assert!(told.has_changed().unwrap());
    assert_eq!(told.borrow_and_update().id(), Some(layout.id()));
    let owned = |node: &Node| hours.iter().filter(|hour| node.current().ownership(hour) == Ownership::Owner).count();
    assert!((1..24).contains(&owned(&a)), "{}", owned(&a));
    assert_eq!((owned(&stranger), stranger.current().ownership(&hours[0])), (0, Ownership::NotOwner));
    std::fs::write(a.tree.path().join(".gapless/layout"), "something").unwrap();
    a.store.look();
    assert_eq!(a.current().ownership(&hours[0]), Ownership::Undecided);
    assert!(told.has_changed().unwrap());
    // It is not replaced by itself.
    assert!(!a.meets("friend", &next(&layout, &[add("c")])));
    assert_eq!(a.standing("friend"), LayoutStanding::Undecided);
}

#[test]
fn what_is_offered_is_taken_only_from_who_may_give_it_and_only_if_it_is_what_was_offered() {
    let node = Node::called("a");
    let (one, two) = (first(), next(&first(), &[add("c")]));
    assert!(!node.meets("stranger", &one));
    assert_eq!((node.id(), node.standing("stranger")), (None, LayoutStanding::NotAllowed));
    // Another one than was offered, or none at all.
    for sent in [two.to_bytes(), one.to_bytes()[..100].to_vec(), Vec::new()] {
        let wanted = node.store.hear("friend", Some(one.id())).unwrap();
        node.store.take_offered("friend", wanted, &sent).unwrap();
        assert!(matches!(node.standing("friend"), LayoutStanding::Failed(_)), "{:?}", node.standing("friend"));
    }
    assert_eq!(node.id(), None);
    assert!(node.meets("friend", &one) && !node.meets("friend", &one));
    assert_eq!((node.id(), node.standing("friend")), (Some(one.id()), LayoutStanding::Same));
    // Meanwhile another peer has given it.
    let wanted = node.store.hear("friend", Some(two.id())).unwrap();
    assert!(node.meets("other", &two));
    node.store.take_offered("friend", wanted, &two.to_bytes()).unwrap();
    assert_eq!(node.standing("friend"), LayoutStanding::Same);
    // One that falls behind is noted as that.
    assert!(!node.meets("friend", &one));
    assert_eq!((node.standing("friend"), node.id()), (LayoutStanding::Older, Some(two.id())));
}

#[test]
fn what_does_not_follow_is_refused_and_fetched_once() {
    let node = Node::called("a");
    let one = first();
    let (two, other) = (next(&one, &[add("c")]), next(&one, &[add("d")]));
    assert!(node.meets("friend", &two));
    assert!(!node.meets("other", &other));
    assert!(matches!(node.standing("other"), LayoutStanding::Fork(_)));
    // Of the next one it is known when it was read.
    let other_next = next(&other, &[add("e")]);
    assert!(node.meets("other", &other_next));
    let LayoutStanding::Fork(fork) = node.standing("other") else { panic!("{:?}", node.standing("other")) };
    assert!(fork.to_string().contains("was not made of version 2 as it is here"), "{fork}");
    assert!(!node.meets("other", &other_next), "it is not fetched again");
    assert!(matches!(node.standing("other"), LayoutStanding::Fork(_)));
    assert_eq!(node.id(), Some(two.id()));
    // This node goes on by itself, and what the other one has is the same version now.
    let three = next(&two, &[add("f")]);
    assert!(node.meets("friend", &three));
    assert!(matches!(node.standing("other"), LayoutStanding::Fork(_)));
    node.store.leave("other");
    assert_eq!(node.store.heard("other"), None);
}

/// A layout comes to a node.
type Comes = fn(&Node, &Layout);

#[test]
fn changes_that_a_crash_left_after_they_became_the_layout_never_wait_again() {
    let changes = [LayoutChange::Drain(name("b"))];
    let one = first();
    let two = next(&one, &changes);
    let three = next(&two, &[add("c")]);
    let four = next(&three, &[add("d")]);
    // The next version comes from a peer, from a person, or is the next one of the plan here.
    let ways: [(&str, Comes); 2] = [
        ("a peer", |node, layout| assert!(node.meets("friend", layout))),
        ("a person", |node, layout| assert_eq!(node.store.take(&layout.to_bytes()).unwrap(), layout.id())),
    ];
    for (way, comes) in ways {
        for newer in [&three, &four] {
            let node = Node::called("a");
            assert!(node.meets("friend", &two));
            node.crashed(&one, &changes);
            assert_eq!(node.store.staged().unwrap(), [], "{way}");
            comes(&node, newer);
            let node = node.again("a");
            assert_eq!((node.id(), node.store.staged().unwrap()), (Some(newer.id()), Vec::new()), "{way}");
            assert!(!node.own("layout-staged").exists(), "{way}");
        }
        // Of a crash before the layout was written they wait on.
        let node = Node::called("a");
        assert!(node.meets("friend", &one));
        node.crashed(&one, &changes);
        comes(&node, &next(&one, &[add("e")]));
        assert_eq!(node.store.staged().unwrap(), changes, "{way}");
    }
    // Somebody has copied the next version here, while nothing ran.
    let node = Node::called("a");
    node.crashed(&one, &changes);
    std::fs::write(node.own("layout"), three.to_bytes()).unwrap();
    assert_eq!(node.again("a").store.staged().unwrap(), []);
}

#[test]
fn the_rest_of_a_plan_is_applied_over_what_a_crash_left_of_its_first_version() {
    let node = Node::called("a");
    let copies = LayoutChange::Copies { channel: None, copies: Some(CopiesWanted::Number(2)) };
    let one = next(&Layout::none(), &[add("a"), add("b"), add("c"), add("d"), copies]);
    assert!(node.meets("friend", &one));
    let changes = [LayoutChange::Drain(name("a")), LayoutChange::Drain(name("b"))];
    node.store.stage(&changes).unwrap();
    let planned = node.store.apply(1, None).unwrap();
    assert!(planned.versions.len() > 1, "some slots lose both of their owners");
    let staged = StagedChanges { changes: changes.to_vec(), becomes: Some(planned.versions[0].hash()) };
    std::fs::write(node.own("layout-staged"), staged.to_bytes()).unwrap();
    node.store.apply(2, None).unwrap();
    assert!(!node.own("layout-staged").exists());
    assert_eq!(node.store.staged().unwrap(), []);
}

#[test]
fn a_file_that_is_lost_while_nothing_runs_is_no_layout_that_there_never_was() {
    let (one, two) = (first(), next(&first(), &[add("c")]));
    let node = Node::called("a");
    assert!(!node.own("layout-known").exists());
    assert!(node.meets("friend", &one));
    std::fs::remove_file(node.own("layout")).unwrap();
    let node = node.again("a");
    let LayoutState::Unusable(why) = node.current().now() else { panic!("{:?}", node.current().now()) };
    assert!(why.contains("is gone") && why.contains("`gapless layout take`"), "{why}");
    let hour = HourPlace::parse("c/source/2020-01-01T00").unwrap();
    assert_eq!(node.current().ownership(&hour), Ownership::Undecided);
    // It is replaced on a person's word alone.
    assert!(!node.meets("friend", &two) && node.store.plan(&[]).is_err());
    node.store.take(&two.to_bytes()).unwrap();
    // One that a person has copied here is known as well.
    std::fs::remove_file(node.own("layout-known")).unwrap();
    let node = node.again("a");
    std::fs::remove_file(node.own("layout")).unwrap();
    let node = node.again("a");
    assert_eq!((node.id(), matches!(node.current().now(), LayoutState::Unusable(_))), (None, true));
    // Without both the node has left it.
    std::fs::remove_file(node.own("layout-known")).unwrap();
    assert_eq!(node.again("a").current().ownership(&hour), Ownership::Everything);
}

#[test]
fn a_version_after_which_there_is_none_is_not_taken_from_a_person_either() {
    let node = Node::called("a");
    let at = |version: u64| {
        let text = |layout: &Layout| layout.to_bytes()[..layout.to_bytes().len() - 72].to_vec();
        let two = text(&next(&first(), &[add("c")]));
        let mut file = b"# gapless layout v1\nversion ".to_vec();
        file.extend_from_slice(version.to_string().as_bytes());
        let rest = two.windows(8).position(|bytes| bytes == b"\nparent ").unwrap();
        file.extend_from_slice(&two[rest..]);
        let check = format!("sha256 {}\n", Hash(Sha256::digest(&file).into()).hexadecimal());
        file.extend_from_slice(check.as_bytes());
        file
    };
    for version in [u64::MAX, 1_000_001] {
        let refused = node.store.take(&at(version)).unwrap_err();
        assert!(matches!(refused, LayoutStoreError::Leap(_)), "{refused}");
    }
    assert_eq!(node.id(), None);
    for version in [1_000_000, 2_000_000] {
        assert_eq!(node.store.take(&at(version)).unwrap().version, version);
    }
}
