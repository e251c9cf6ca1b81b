//! Questions about retention change nothing, however the index and the records are.

use std::sync::Arc;

use super::protect::{Archive, age, run};
use crate::archive::origins::GiftedHour;
use crate::archive::retention::RetentionLimits;
use crate::archive::time::HOUR_US;
use crate::archive::{HourPlace, Span};
use crate::sync::crawl::Allowance;

/// A file of that name from a peer, in an hour of its own.
fn give(archive: &Archive, place: &HourPlace) {
    let keeper = archive.keeper();
    let filling = keeper.fill("evil", place, true, &Allowance::Unbounded).unwrap();
    filling.book(&GiftedHour { files: 1, bytes: 10, tombstones: 0 }).unwrap();
    let dir = archive.tree.path().join(place.path());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts"), [0; 10]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_while_the_index_catches_up_leaves_what_peers_gave_theirs() {
    let archive = Archive::new(3);
    let junk = archive.place(20);
    give(&archive, &junk);
    assert_eq!(run(&archive.start(age(30))).error, None);
    std::fs::remove_file(archive.state.path().join("index.redb")).unwrap();
    let keeper = archive.keeper();
    let retention = archive.retention(Arc::clone(&keeper), age(30), Box::new(|| false));
    let before = archive.records();
    assert!(before.iter().any(|(path, _)| path.ends_with("fetched")));
    retention.view(None).unwrap();
    assert!(run(&retention).error.is_some_and(|error| error.contains("catching up")));
    let fetched =
        |all: &[(std::path::PathBuf, Vec<u8>)]| all.iter().find(|(path, _)| path.ends_with("fetched")).cloned();
    assert_eq!(fetched(&archive.records()), fetched(&before));
    assert!(keeper.origin(&junk, (1, 10)).unwrap().fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_writes_no_levels_and_says_what_a_run_would() {
    let archive = Archive::new(10);
    let retention = archive.start(age(3));
    let before = archive.records();
    let doubt = retention.view(None).unwrap().plan.doubt.unwrap();
    assert_eq!(archive.records(), before);
    assert_eq!(run(&retention).doubt, Some(doubt));
    // Nor does one of later: the week goes on only where something runs.
    archive.clocks.pass(Span::from_us(24 * HOUR_US));
    retention.know_journal();
    let then = archive.records();
    assert!(then.iter().any(|(path, _)| path.ends_with("levels")));
    retention.plan(None).unwrap();
    assert_eq!(archive.records(), then);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_put_back_is_read_when_a_person_asks() {
    let archive = Archive::with_kept_hours();
    let good = archive.records();
    for copy in ["retired", "retired.2"] {
        std::fs::write(archive.own(copy), "gapless-retired 3 nonsense\n").unwrap();
    }
    let retention = archive.start(RetentionLimits::default());
    assert_eq!(retention.keeps(&archive.place(9)), None);
    for (path, bytes) in good.iter().filter(|(path, _)| path.ends_with("retired") || path.ends_with("retired.2")) {
        std::fs::write(path, bytes).unwrap();
    }
    retention.request_run(false);
    retention.know_journal();
    assert_eq!(retention.keeps(&archive.place(9)), Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_hour_that_is_to_be_kept_is_told_with_what_may_be_meant() {
    let archive = Archive::new(3);
    let retention = archive.start(RetentionLimits::default());
    let here = archive.place(1);
    let (channel, quality) = (here.stream.channel.as_str(), here.stream.quality.as_str());
    let slip = HourPlace::parse(&format!("{channel}/{quality}x/{}", here.hour)).unwrap();
    let other = HourPlace::parse(&format!("other/1080p/{}", here.hour)).unwrap();
    let all = [here.clone(), slip.clone(), other.clone()];
    retention.keep(&all, false).unwrap();
    let absent = retention.not_here(&all).unwrap();
    let absent: Vec<_> = absent.into_iter().map(|absent| (absent.hour, absent.meant)).collect();
    assert_eq!(absent, [(slip.to_string(), Some(here.stream.to_string())), (other.to_string(), None)]);
    assert_eq!(retention.keeps(&slip), Some(true), "it may come");
}
