//! Who has what is in a hole, and what nobody has.

use super::*;
use crate::archive::hole_reasons::test_holes::{at, entry, stretch};

fn peer(name: &str, heard: Option<i64>, offer: Option<HoleOffer>) -> PeerFacts {
    PeerFacts { name: name.to_owned(), heard: heard.map(at), offer }
}

fn of(peers: Vec<PeerFacts>) -> HoleFacts {
    HoleFacts { peers, ..HoleFacts::default() }
}

fn told(open: &OpenHole, facts: &HoleFacts) -> (HoleReason, bool, Vec<String>) {
    let known = why(open, facts, at(100));
    (known.reason, known.unfillable, known.peers)
}

#[test]
fn who_has_it_comes_first_and_nobody_has_it_only_when_all_were_asked_since() {
    let hole = entry(0, 10, 50);
    let (a, b) = (peer("a", Some(60), None), peer("b", Some(49), None));
    assert_eq!(told(&hole, &of(vec![a.clone(), b.clone()])), (HoleReason::NotAsked, false, vec!["b".to_owned()]));
    let asked = peer("b", Some(50), None);
    let all = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(told(&hole, &of(vec![a.clone(), asked.clone()])), (HoleReason::NobodyHas, true, all.clone()));
    assert_eq!(told(&hole, &of(vec![])), (HoleReason::NobodyHas, true, vec![]));
    let away = HoleFacts { away: vec![stretch(2, 4), stretch(3, 7)], ..of(vec![a.clone(), asked.clone()]) };
    assert_eq!(told(&hole, &away), (HoleReason::DiskAway, true, all));
    let short = HoleFacts { away: vec![stretch(2, 4), stretch(3, 5)], ..away.clone() };
    assert_eq!(told(&hole, &short).0, HoleReason::NobodyHas, "less than half of it");
    assert!(why(&hole, &short, at(100)).detail.contains("the disk was away for 0.000003 s"));
    let retired = HoleFacts { retired: vec![stretch(0, 10)], ..away.clone() };
    assert_eq!(told(&hole, &retired).0, HoleReason::Retention);
    let hidden = HoleFacts { tombstones: vec![stretch(0, 5)], ..retired };
    assert_eq!(told(&hole, &hidden).0, HoleReason::Tombstoned);
    let failed = HoleFacts { peers: vec![a, peer("b", Some(60), Some(HoleOffer::Failed))], ..hidden.clone() };
    assert_eq!(told(&hole, &failed), (HoleReason::PeerHas, false, vec!["b".to_owned()]));
    let coming = HoleFacts { peers: vec![peer("c", None, Some(HoleOffer::Coming)), failed.peers[1].clone()], ..hidden };
    assert_eq!(told(&hole, &coming), (HoleReason::Fetching, false, vec!["c".to_owned()]));
    let unwanted = HoleFacts { unwanted: true, ..of(vec![b]) };
    assert_eq!(told(&hole, &unwanted), (HoleReason::NotAsked, false, vec![]));
}

#[test]
fn what_lay_in_an_object_that_is_lost_is_told_unless_somebody_has_it() {
    let hole = entry(0, 10, 50);
    let asked = peer("a", Some(60), None);
    let lost = HoleFacts { lost_objects: vec![stretch(0, 4), stretch(4, 8)], ..of(vec![asked]) };
    assert_eq!(told(&hole, &lost), (HoleReason::ObjectLost, true, vec!["a".to_owned()]));
    let detail = why(&hole, &lost, at(100)).detail;
    assert!(detail.contains("0.000008 s of it lay in an object of the bucket that is lost"), "{detail}");
    let little = HoleFacts { lost_objects: vec![stretch(0, 4)], ..lost.clone() };
    assert_eq!(told(&hole, &little).0, HoleReason::NobodyHas);
    let damaged = HoleFacts { damaged: vec![stretch(0, 10)], ..lost.clone() };
    assert_eq!(told(&hole, &damaged).0, HoleReason::Lost, "what lies in the quarantine can be looked at");
    let silent = HoleFacts { peers: vec![peer("a", None, None)], ..lost.clone() };
    assert_eq!(told(&hole, &silent), (HoleReason::NotAsked, false, vec!["a".to_owned()]));
    let offered = HoleFacts { peers: vec![peer("a", Some(60), Some(HoleOffer::Coming))], ..lost };
    assert_eq!(told(&hole, &offered).0, HoleReason::Fetching);
}

fn missed(start: i64, end: i64, reason: HoleReason) -> MissedRecording {
    MissedRecording { missed: stretch(start, end), reason, detail: format!("because of {reason}") }
}

#[test]
fn why_the_recorder_here_has_it_not_is_the_reason_where_nobody_has_it() {
    let hole = entry(0, 10, 50);
    let asked = of(vec![peer("a", Some(60), None)]);
    let all = vec!["a".to_owned()];
    let offline = missed(0, 10, HoleReason::SourceOffline);
    let facts = |missed: &[MissedRecording]| HoleFacts { missed: missed.to_vec(), ..asked.clone() };
    assert_eq!(told(&hole, &facts(std::slice::from_ref(&offline))), (HoleReason::SourceOffline, true, all.clone()));
    let exact = [offline.clone(), missed(0, 4, HoleReason::NotReceived), missed(4, 10, HoleReason::NotReceived)];
    assert_eq!(told(&hole, &facts(&exact)).0, HoleReason::NotReceived, "said of each segment, it says more");
    let most = [missed(0, 4, HoleReason::NotRecording), missed(4, 10, HoleReason::SourceStalled)];
    assert_eq!(told(&hole, &facts(&most)).0, HoleReason::SourceStalled);
    let known = why(&hole, &facts(&most), at(100));
    let mentioned = "0.000006 s of it were not recorded here: because of source_stalled; 0.000004 s";
    assert!(known.detail.contains(mentioned), "{}", known.detail);
    let restarted = [missed(0, 10, HoleReason::NotRecording), missed(0, 10, HoleReason::SourceOffline)];
    let before = why(&hole, &facts(&restarted), at(100));
    assert_eq!(before.reason, HoleReason::SourceOffline, "that was known before a recorder began anew");
    assert!(!before.detail.contains("not_recording"), "{}", before.detail);
    let little = [missed(0, 4, HoleReason::DiskFull)];
    assert_eq!(told(&hole, &facts(&little)), (HoleReason::NobodyHas, true, all));
    let away = HoleFacts { away: vec![stretch(0, 10)], ..facts(std::slice::from_ref(&offline)) };
    assert_eq!(told(&hole, &away).0, HoleReason::DiskAway, "without its disk no recorder can do anything");
    let silent = HoleFacts { peers: vec![peer("a", None, None)], ..facts(std::slice::from_ref(&offline)) };
    assert_eq!(told(&hole, &silent), (HoleReason::SourceOffline, false, vec!["a".to_owned()]));
    let has = HoleFacts { peers: vec![peer("a", Some(60), Some(HoleOffer::Coming))], ..facts(&[offline]) };
    assert_eq!(told(&hole, &has).0, HoleReason::Fetching, "that is what will happen");
}

#[test]
fn what_was_known_before_a_restart_holds_until_those_it_came_from_are_asked_again() {
    let hole = entry(0, 10, 50);
    let asked = of(vec![peer("a", Some(60), None), peer("b", Some(60), None)]);
    let nobody = OpenHole { known: Some(why(&hole, &asked, at(61))), ..hole.clone() };
    let silent = of(vec![peer("a", None, None), peer("b", Some(90), None)]);
    assert_eq!(Some(why(&nobody, &silent, at(99))), nobody.known, "as it was, and since when it was");
    assert_eq!(Some(why(&nobody, &asked, at(99))), nobody.known);
    let another = of(vec![peer("c", None, None)]);
    assert_eq!(told(&nobody, &another).0, HoleReason::NotAsked, "that one was never asked");
    let has = of(vec![peer("a", Some(60), Some(HoleOffer::Failed))]);
    let had = OpenHole { known: Some(why(&hole, &has, at(61))), ..hole };
    assert_eq!(told(&had, &silent).0, HoleReason::PeerHas);
    assert_eq!(told(&had, &of(vec![peer("a", Some(70), None)])).0, HoleReason::NobodyHas, "it has gone there");
}
