//! What is written down while nobody vouches for the clock: real disk, clocks as a test likes.

use super::protect::{Archive, DAY, run};
use crate::archive::Span;
use crate::archive::retention::RetentionLimits;
use crate::lifecycle::clock::Clocks as _;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_by_a_clock_years_ahead_is_not_from_the_future_once_it_is_right() {
    let archive = Archive::new(3);
    assert_eq!(run(&archive.start(RetentionLimits::default())).error, None);
    let (place, right) = (archive.place(2), archive.clocks.wall());
    let years = Span::from_us(3_650 * DAY.us());
    archive.clocks.set(|said| (said.wall, said.boot) = (right + years, "second".to_owned()));
    archive.start(RetentionLimits::default()).keep(&[place], false).unwrap();
    archive.clocks.set(|said| said.wall = right);
    let again = archive.start(RetentionLimits::default());
    assert!(again.unusable_records().is_empty(), "{:?}", again.unusable_records());
    assert_eq!(run(&again).error, None);
}
